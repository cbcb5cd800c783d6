"""The restricted profile of Kubernetes' pod security standards, and what natter's own pods keep beyond it."""

from collections.abc import Iterator

# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SECCOMP = {"RuntimeDefault", "Localhost"}
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}  # fmt: skip
SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


def violations(spec: dict) -> list[str]:
    """What a pod of this spec has that the restricted profile forbids."""
    return list(_of_pod(spec)) + [wrong for one in containers(spec) for wrong in _of_container(one, spec)]


def excesses(spec: dict) -> list[str]:
    """What a pod of natter's has no need of."""
    found = []
    if spec.get("automountServiceAccountToken") is not False:
        found.append("a token of Kubernetes is mounted")
    if spec.get("enableServiceLinks") is not False:
        found.append("Services become variables")
    for one in containers(spec):
        if one.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            found.append(f"{one['name']}: the image's files can be written")
        if not one.get("resources", {}).get("requests"):
            found.append(f"{one['name']}: nothing is known of what it takes")
    return found


def containers(spec: dict) -> list[dict]:
    return [one for kind in ("initContainers", "containers", "ephemeralContainers") for one in spec.get(kind, [])]


def _of_pod(spec: dict) -> Iterator[str]:
    context = spec.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    for volume in spec.get("volumes", []):
        if kinds := set(volume) - {"name"} - VOLUMES:
            yield f"volume {volume['name']}: {kinds}"
    for sysctl in context.get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    yield from _of_context("pod", context)


def _of_context(name: str, context: dict) -> Iterator[str]:
    """What is forbidden wherever it stands."""
    if context.get("runAsUser") == 0:
        yield f"{name}: runs as root"
    if context.get("runAsNonRoot") is False:
        yield f"{name}: may run as root"
    profile = context.get("seccompProfile", {}).get("type")
    if profile is not None and profile not in SECCOMP:
        yield f"{name}: seccomp {profile}"
    apparmor = context.get("appArmorProfile", {}).get("type")
    if apparmor is not None and apparmor not in SECCOMP:
        yield f"{name}: AppArmor {apparmor}"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type", "") not in SELINUX or selinux.get("user") or selinux.get("role"):
        yield f"{name}: SELinux {selinux}"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield f"{name}: a process of the host"


def _of_container(container: dict, spec: dict) -> Iterator[str]:
    name, context, of_pod = container["name"], container.get("securityContext", {}), spec.get("securityContext", {})
    yield from _of_context(name, context)
    if context.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is not True:
        yield f"{name}: may run as root"
    if "seccompProfile" not in context and "seccompProfile" not in of_pod:
        yield f"{name}: no seccomp profile"
    if context.get("privileged"):
        yield f"{name}: privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: may gain privileges"
    if context.get("procMount", "Default") != "Default":
        yield f"{name}: procMount"
    capabilities = context.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name}: capabilities {capabilities}"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield f"{name}: a port of the host"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if container.get(probe, {}).get("httpGet", {}).get("host"):
            yield f"{name}: {probe} of another host"

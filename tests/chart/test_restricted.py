"""The rules of restricted.py, on pods that break them one by one."""

import copy

import pytest

from restricted import excesses, violations

GOOD = {
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "volumes": [{"name": "data", "emptyDir": {}}],
    "containers": [
        {
            "name": "one",
            "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
            "resources": {"requests": {"cpu": "1"}},
        }
    ],
}


def test_a_pod_within_the_profile_breaks_none():
    assert violations(GOOD) == [] and excesses(GOOD) == []


CONTEXT = ("containers", 0, "securityContext")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("hostNetwork",), True),
        (("hostPID",), True),
        (("hostIPC",), True),
        (("securityContext", "runAsNonRoot"), None),
        (("securityContext", "runAsNonRoot"), False),
        (("securityContext", "runAsUser"), 0),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}),
        (("securityContext", "seccompProfile"), None),
        (("securityContext", "sysctls"), [{"name": "kernel.msgmax", "value": "1"}]),
        (("securityContext", "seLinuxOptions"), {"type": "spc_t"}),
        (("volumes", 0), {"name": "host", "hostPath": {"path": "/"}}),
        ((*CONTEXT, "allowPrivilegeEscalation"), None),
        ((*CONTEXT, "allowPrivilegeEscalation"), True),
        ((*CONTEXT, "privileged"), True),
        ((*CONTEXT, "runAsUser"), 0),
        ((*CONTEXT, "runAsNonRoot"), False),
        ((*CONTEXT, "procMount"), "Unmasked"),
        ((*CONTEXT, "capabilities"), {"drop": []}),
        ((*CONTEXT, "capabilities"), {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        ((*CONTEXT, "appArmorProfile"), {"type": "Unconfined"}),
        (("containers", 0, "ports"), [{"containerPort": 80, "hostPort": 80}]),
        (("containers", 0, "livenessProbe"), {"httpGet": {"host": "elsewhere", "port": 80}}),
        (("initContainers",), [{"name": "first"}]),
    ],
    ids=str,
)
def test_what_breaks_the_profile_is_found(path, value):
    assert violations(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("automountServiceAccountToken",), None),
        (("enableServiceLinks",), None),
        ((*CONTEXT, "readOnlyRootFilesystem"), None),
        (("containers", 0, "resources"), {}),
    ],
    ids=str,
)
def test_what_natter_does_without_is_found(path, value):
    assert excesses(changed(path, value))


def changed(path: tuple, value: object) -> dict:
    """A good pod with another value there, or without the one that it has."""
    pod = copy.deepcopy(GOOD)
    *way, last = path
    place = pod
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return pod

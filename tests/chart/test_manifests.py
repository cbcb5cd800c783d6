"""What Helm makes of the chart: valid for Kubernetes, restricted, fitting together, without a secret in the open."""

import base64
import functools
import itertools
import json

import jsonschema
import kubernetes_validate
import pytest
from helm_python import lint

from chart import CLUSTER, MARK, MATRIX, NAME, NAMESPACE, Rendered, render
from documents import CHART
from restricted import containers, excesses, violations
from schemas import SCHEMAS

# It reads its files, of megabytes, for each object again.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

# The oldest that Chart.yaml takes, one between, the newest that has schemas.
KUBERNETES = ["1.29", "1.33", "1.37"]

every_case = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)


@every_case
def test_helm_finds_nothing_to_complain_of(values):
    report = lint(CHART, values, strict=True, namespace=NAMESPACE)
    # 1 is mere information: that charts may have icons.
    assert not report["errors"] and all(told["severity"] <= 1 for told in report["messages"]), report


@every_case
@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_are_valid(values, version):
    for one in render(values).objects:
        if schema := SCHEMAS.get(one["kind"]):
            jsonschema.validate(one, schema, jsonschema.Draft202012Validator)
        else:
            assert kubernetes_validate.validate(one, version, strict=True) == version


def test_a_field_that_kubernetes_does_not_know_is_found():
    deployment = json.loads(json.dumps(render(CLUSTER).only("Deployment")))
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[-1], strict=True)


@every_case
def test_pods_are_restricted(values):
    pods = render(values).pods()
    assert len(pods) >= 2  # The nodes', and that of `helm test`.
    for name, pod in pods.items():
        assert violations(pod["spec"]) + excesses(pod["spec"]) == [], name


@every_case
def test_no_secret_is_seen_outside_a_secret(values):
    rendered = render(values)
    encoded = [base64.b64encode((pad + MARK).encode()).decode()[3:9] for pad in ("", "x", "xx")]
    for one in rendered.objects:
        if one["kind"] != "Secret":
            text = json.dumps(one)
            assert not [found for found in (MARK, *encoded) if found in text], one["metadata"]["name"]
    assert MARK not in rendered.notes


def test_what_is_given_as_a_secret_is_in_the_secret():
    data = render(MATRIX["cluster, everything"]).named("Secret", NAME)["data"]
    plain = {key: base64.b64decode(value).decode() for key, value in data.items()}
    assert plain["store_url"] == f"mongodb://n:{MARK}-uri@db-0,db-1/natter?replicaSet=rs"
    assert plain["bus_password"] == f"{MARK}-bus" and plain["media_secret_access_key"] == f"{MARK}-key"
    assert set(plain) == {
        "secret_key", "secret_key_previous", "store_url", "bus_url", "bus_password", "media_access_key_id", "media_secret_access_key",
    }  # fmt: skip


def test_secrets_that_exist_are_not_made_again():
    assert render(MATRIX["cluster, secrets that exist"]).of_kind("Secret") == []


@every_case
@pytest.mark.parametrize("upgrade", [False, True], ids=["install", "upgrade"])
def test_everything_that_is_named_is_there(values, upgrade):
    rendered = render(values, upgrade=upgrade)
    secrets = {one["metadata"]["name"]: set(one["data"]) for one in rendered.of_kind("Secret")}
    for name, pod in rendered.pods().items():
        spec = pod["spec"]
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in rendered.workload()["spec"].get("volumeClaimTemplates", [])}
        for container in containers(spec):
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted <= volumes, name
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert container.get(probe, {"httpGet": {"port": "http"}})["httpGet"]["port"] in ports | {"http"}
        for owner, key in secret_keys(spec):
            if owner.startswith(NAME):
                assert key in secrets[owner], f"{name}: {owner} has no {key}"
        if spec.get("serviceAccountName", "default") != "default":
            assert rendered.only("ServiceAccount")["metadata"]["name"] == spec["serviceAccountName"]


def secret_keys(spec: dict):
    """Which keys of which Secrets a pod needs."""
    for variable in itertools.chain.from_iterable(container.get("env", []) for container in containers(spec)):
        if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
            yield reference["name"], reference["key"]
    for volume in spec.get("volumes", []):
        for source in volume.get("projected", {}).get("sources", []):
            for item in source["secret"]["items"]:
                yield source["secret"]["name"], item["key"]


def matches(selector: dict, labels: dict) -> bool:
    return selector.items() <= labels.items()


@every_case
def test_what_selects_nodes_selects_them_and_nothing_else(values):
    rendered = render(values)
    workload = rendered.workload()
    nodes = workload["spec"]["template"]["metadata"]["labels"]
    others = [pod["metadata"]["labels"] for name, pod in rendered.pods().items() if not name.startswith(workload["kind"])]
    selectors = [one["spec"]["selector"] for one in rendered.of_kind("Service")]
    selectors += [workload["spec"]["selector"]["matchLabels"]]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in rendered.of_kind("NetworkPolicy")]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in rendered.of_kind("PodDisruptionBudget")]
    spread = workload["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
    selectors += [one["labelSelector"]["matchLabels"] for one in spread]
    for selector in selectors:
        assert matches(selector, nodes) and not any(matches(selector, labels) for labels in others)


@every_case
def test_services_lead_to_ports_and_routes_to_services(values):
    rendered = render(values)
    ports = {port["name"] for port in rendered.workload()["spec"]["template"]["spec"]["containers"][0]["ports"]}
    for service in rendered.of_kind("Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for policy in rendered.of_kind("NetworkPolicy"):
        assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} == ports
    clients = rendered.named("Service", rendered.workload()["metadata"]["name"])["spec"]
    for ingress in rendered.of_kind("Ingress"):
        for rule in ingress["spec"]["rules"]:
            backend = rule["http"]["paths"][0]["backend"]["service"]
            assert rendered.named("Service", backend["name"]) and backend["port"]["name"] in {port["name"] for port in clients["ports"]}
    for route in rendered.of_kind("HTTPRoute"):
        [backend] = route["spec"]["rules"][0]["backendRefs"]
        assert rendered.named("Service", backend["name"]) and backend["port"] == clients["ports"][0]["port"]
    for monitor in rendered.of_kind("ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        [found] = [one for one in rendered.of_kind("Service") if matches(selector, one["metadata"]["labels"])]
        assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in found["spec"]["ports"]}
        assert found["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "natter"


def environment(rendered: Rendered) -> dict[str, str]:
    [container] = rendered.workload()["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


@every_case
def test_a_node_knows_how_long_it_may_take_to_go(values):
    rendered = render(values)
    grace = rendered.workload()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert environment(rendered)["NATTER_DRAIN_GRACE"] == f"{grace}s"


def test_with_nothing_it_is_one_node_with_a_volume():
    rendered = render({})
    node = rendered.only("StatefulSet")["spec"]
    assert node["replicas"] == 1 and node["volumeClaimTemplates"][0]["spec"]["resources"]["requests"] == {"storage": "10Gi"}
    assert not rendered.of_kind("Secret") and not rendered.of_kind("Job") and not rendered.of_kind("PodDisruptionBudget")
    assert "NATTER_INTERNAL_LISTEN" not in environment(rendered)


def test_with_three_urls_it_is_a_cluster_that_keeps_nothing():
    urls = {"store": {"url": "mongodb://n:n@db/n"}, "bus": {"url": "nats://n@bus"}, "media": {"url": "s3://files"}}
    rendered = render(urls)
    nodes = rendered.only("Deployment")["spec"]
    assert nodes["replicas"] == 3 and nodes["template"]["spec"]["volumes"][0] == {"name": "data", "emptyDir": {}}
    assert environment(rendered)["NATTER_ADVERTISE_URL"] == "http://$(POD_IP):9465"
    assert environment(render(MATRIX["cluster, IPv6"]))["NATTER_ADVERTISE_URL"] == "http://[$(POD_IP)]:9465"
    assert rendered.of_kind("PodDisruptionBudget")


def test_the_same_key_signs_for_the_migration_and_the_nodes():
    rendered = render(CLUSTER)
    first, second = rendered.of_kind("Secret")
    assert first["data"] == second["data"] and len(base64.b64decode(first["data"]["secret_key"])) == 64


def test_the_database_is_brought_up_to_date_before_nodes_start():
    for upgrade in (False, True):
        rendered = render(MATRIX["cluster, everything"], upgrade=upgrade)
        job, own = rendered.only("Job"), rendered.named("Secret", f"{NAME}-migrate")
        weights = [int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) for one in (own, job)]
        assert weights == sorted(set(weights)), "the Secret comes first"
        for one in (own, job):
            assert one["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        spec = job["spec"]["template"]["spec"]
        assert spec["containers"][0]["args"] == ["migrate"] and "serviceAccountName" not in spec
        assert not [owner for owner, _ in secret_keys(spec) if owner == NAME], "that is not there yet, or of the version before"
    assert not render(MATRIX["cluster, IPv6"]).of_kind("Job")


def test_nodes_are_as_many_as_connections_and_cpu_ask_for():
    both, one = (render(MATRIX[case]) for case in ("cluster, everything", "cluster, scaled by connections"))
    assert [metric["type"] for metric in both.only("HorizontalPodAutoscaler")["spec"]["metrics"]] == ["Resource", "Pods"]
    [metric] = one.only("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "20000"}
    for rendered in (both, one):
        scaled = rendered.only("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
        assert scaled["name"] == rendered.only("Deployment")["metadata"]["name"]
        assert "replicas" not in rendered.only("Deployment")["spec"]


def test_only_nodes_reach_the_port_between_them():
    policy = render(MATRIX["cluster, everything"]).only("NetworkPolicy")["spec"]
    rules = {rule["ports"][0]["port"]: rule["from"] for rule in policy["ingress"]}
    assert rules["internal"] == [{"podSelector": policy["podSelector"]}]
    testers = {"podSelector": {"matchLabels": render({}).only("Pod")["metadata"]["labels"]}}
    assert matches(rules["http"][-1]["podSelector"]["matchLabels"], testers["podSelector"]["matchLabels"])
    assert policy["policyTypes"] == ["Ingress", "Egress"] and len(policy["egress"]) == 2


def test_a_changed_secret_makes_new_pods():
    def checksum(password: str) -> str:
        rendered = render(MATRIX["embedded"] | {"admin": {"email": "a@b.c", "username": "a", "password": password}})
        return rendered.workload()["spec"]["template"]["metadata"]["annotations"]["checksum/secrets"]

    assert checksum("one") != checksum("other") and checksum("one") == checksum("one")


def test_notes_say_how_to_reach_it_and_what_to_mind():
    notes = {case: render(values).notes for case, values in MATRIX.items()}
    assert "one node with a store of its own" in notes["nothing"] and f"service/{NAME} 8080:80" in notes["nothing"]
    assert "a cluster" in notes["cluster"] and "secretKey.from" in notes["cluster"]
    assert "secretKey.from" not in notes["cluster, secrets that exist"] and "signs up first" not in notes["cluster, secrets that exist"]
    assert "https://chat.example.com" in notes["cluster, everything"] and "trusted_proxies" not in notes["cluster, everything"]
    assert "trusted_proxies" in notes["cluster, scaled by connections"]
    assert "gone with the pod" in notes["embedded, no volume"] and "gone with the pod" not in notes["nothing"]

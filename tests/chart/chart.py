"""The chart as Helm renders it, and the values with which tests render it."""

import functools
import json
from dataclasses import dataclass

import yaml
from helm_python import Chart

from documents import CHART

RELEASE, NAMESPACE = "chat", "talk"
NAME = f"{RELEASE}-natter"


def secret(key: str) -> dict[str, str]:
    """A key of a Secret that is there already."""
    return {"name": "there-already", "key": key}


# Each of these stands for a secret: none may be seen outside a Secret.
MARK = "hunter2"
CLUSTER = {
    "store": {"url": f"mongodb://n:{MARK}-uri@db-0,db-1/natter?replicaSet=rs"},
    "bus": {"url": "nats://bus", "user": "natter", "password": f"{MARK}-bus"},
    "media": {"url": "s3://files/natter", "endpoint": "http://s3:9000", "accessKeyId": f"{MARK}-id", "secretAccessKey": f"{MARK}-key"},
}  # fmt: skip

# Combinations that differ in what is rendered.
MATRIX: dict[str, dict] = {
    "nothing": {},
    "embedded": {
        "secretKey": {"value": f"{MARK}-signs-what-nodes-and-tokens-say"},
        "admin": {"email": "ann@example.org", "username": "ann", "password": f"{MARK}-admin"},
        "persistence": {"size": "50Gi", "storageClassName": "fast", "accessModes": ["ReadWriteOncePod"], "annotations": {"a": "b"}},
        "service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "annotations": {"a": "b"}},
        "config": {
            "signup": "closed", "cors_origins": ["https://a.example", "https://b.example"], "upload_limit": "1GiB",
            "limits": {"messages_per_second": 0, "message_burst": 10000000}, "auth": {"bcrypt_cost": 10},
        },
    },
    "embedded, claim": {"persistence": {"existingClaim": "mine"}, "metrics": {"enabled": False}, "networkPolicy": {"enabled": False}},
    "embedded, no volume": {"persistence": {"enabled": False}, "serviceAccount": {"create": False}, "fullnameOverride": "natter"},
    "cluster": CLUSTER,
    "cluster, secrets that exist": {
        "store": {"urlFrom": secret("uri"), "user": "natter", "passwordFrom": secret("store")},
        "bus": {
            "urlFrom": secret("nats"), "credentialsFrom": secret("creds"),
            "tls": {"caFrom": secret("ca"), "certificateFrom": secret("certificate"), "keyFrom": secret("key")},
        },
        "media": {"url": "s3://files", "accessKeyIdFrom": secret("id"), "secretAccessKeyFrom": secret("secret")},
        "secretKey": {"from": secret("signing"), "previousFrom": secret("signing-before")},
        "admin": {"email": "ann@example.org", "username": "ann", "passwordFrom": secret("admin")},
        "serviceAccount": {"name": "chatter", "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/natter"}},
    },
    "cluster, everything": CLUSTER | {
        "secretKey": {"value": f"{MARK}-now-signs-what-nodes-and-tokens-say", "previous": f"{MARK}-before-signed-what-nodes-say"},
        "image": {"repository": "registry.example/natter", "digest": "sha256:" + 64 * "0", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "autoscaling": {"enabled": True},
        "ingress": {
            "enabled": True, "className": "nginx", "hosts": ["chat.example.com", "chat.example.org"], "annotations": {"a": "b"},
            "tls": [{"secretName": "chat-tls", "hosts": ["chat.example.com"]}],
        },
        "gateway": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}], "hostnames": ["chat.example.net"]},
        "networkPolicy": {
            "clientsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}, {"ports": [{"port": 27017}, {"port": 4222}, {"port": 9000}]}],
        },
        "metrics": {
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        },
        "podDisruptionBudget": {"maxUnavailable": "25%"},
        "topologySpread": {"zone": "DoNotSchedule", "node": ""},
        "drain": {"graceSeconds": 120},
        "config": {"trusted_proxies": ["10.0.0.0/8", "fd00::/8"], "public_url": "https://chat.example.com"},
        "podAnnotations": {"a": "b"}, "podLabels": {"team": "chat"}, "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "chat", "operator": "Exists"}], "priorityClassName": "high",
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]}}},
        "extraEnv": [{"name": "AWS_REGION", "value": "eu-central-1"}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca", "readOnly": True}],
    },
    "cluster, IPv6": CLUSTER | {
        "ipv6": True, "migration": {"enabled": False}, "podDisruptionBudget": {"enabled": False},
        "topologySpread": {"zone": "", "node": ""}, "bus": {"url": "tls://bus", "token": f"{MARK}-token"},
        "media": {"url": "s3://files", "serve": "redirect", "publicEndpoint": "https://files.example", "addressing": "host", "region": "eu-west-1"},
    },
    "cluster, scaled by connections": CLUSTER | {
        "autoscaling": {"enabled": True, "cpu": 0, "connections": 20000, "maxReplicas": 1000},
        "bus": {"url": "nats://bus", "nkeyFrom": secret("seed")},
        "gateway": {"enabled": True, "parentRefs": [{"name": "public"}], "requestTimeout": ""},
        "resources": {"requests": {"cpu": 2, "memory": "4Gi"}, "limits": None},
        "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
    },
}  # fmt: skip


@dataclass(frozen=True)
class Rendered:
    """What Helm hands to Kubernetes."""

    objects: list[dict]
    notes: str

    def of_kind(self, kind: str) -> list[dict]:
        return [one for one in self.objects if one["kind"] == kind]

    def only(self, kind: str) -> dict:
        [one] = self.of_kind(kind)
        return one

    def named(self, kind: str, name: str) -> dict:
        [one] = [one for one in self.of_kind(kind) if one["metadata"]["name"] == name]
        return one

    def workload(self) -> dict:
        [one] = self.of_kind("Deployment") + self.of_kind("StatefulSet")
        return one

    def pods(self) -> dict[str, dict]:
        """The metadata and the spec of every pod that it makes, by the name of what makes it."""
        made = {}
        for one in self.objects:
            if one["kind"] == "Pod":
                made[f"Pod {one['metadata']['name']}"] = one
            elif "template" in one.get("spec", {}):
                made[f"{one['kind']} {one['metadata']['name']}"] = one["spec"]["template"]
        return made


def render(values: dict, *, upgrade: bool = False) -> Rendered:
    return _render(json.dumps(values), upgrade)


@functools.cache
def _render(values: str, upgrade: bool) -> Rendered:
    with Chart.load(CHART) as chart:
        files = chart.render(
            json.loads(values), name=RELEASE, namespace=NAMESPACE,
            is_install=not upgrade, is_upgrade=upgrade, revision=2 if upgrade else 1,
        )  # fmt: skip
    notes = "".join(text for path, text in files.items() if path.endswith("NOTES.txt"))
    manifests = [text for path, text in files.items() if path.endswith(".yaml")]
    return Rendered([one for text in manifests for one in yaml.safe_load_all(text) if one], notes)

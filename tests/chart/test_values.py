"""What the chart takes: no misspelt key, no half of a cluster, and nothing that natter would refuse."""

import base64
import copy
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helm_python import HelmError

from chart import CLUSTER, MATRIX, NAME, render, secret
from documents import ROOT, SCHEMA, documents, name_of

BINARY = ROOT / os.environ.get("NATTER_BIN", "target/debug/natter")
PODS_ADDRESS = {False: "10.1.2.3", True: "fd00::7"}


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_documents_are_up_to_date(path):
    assert path.read_text() == documents()[path], "run `make chart`"


def closed(schema: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where values have keys that are known."""
    if "$ref" in schema:
        yield path
    if schema.get("type") == "object" and "properties" in schema:
        yield path
        for name, inner in schema["properties"].items():
            yield from closed(inner, (*path, name))


def at(path: tuple[str, ...], value: object) -> dict:
    for name in reversed(path):
        value = {name: value}
    return value


PLACES = list(closed(json.loads(SCHEMA.read_text())))


def test_all_places_with_keys_are_looked_at():
    assert {(), ("store",), ("store", "passwordFrom"), ("bus", "tls", "caFrom"), ("config",), ("config", "limits")} <= set(PLACES)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(path) or "the top")
def test_a_misspelt_key_is_refused(path):
    with pytest.raises(HelmError, match="mispelt"):
        render(at((*path, "mispelt"), ""))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replicas": 0}, "replicas"),
        ({"replicas": "three"}, "replicas"),
        ({"config": {"signup": True}}, "signup"),
        ({"config": {"store": {"url": "sqlite:"}}}, "store"),
        ({"config": {"listen": "0.0.0.0:80"}}, "listen"),
        ({"store": {"url": "postgres://db"}}, "url"),
        ({"store": {"passwordFrom": {"name": "db"}}}, "passwordFrom"),
        ({"media": {"addressing": "virtual"}}, "addressing"),
        ({"secretKey": {"value": "short"}}, "value"),
        ({"persistence": {"accessModes": ["ReadWriteMany"]}}, "accessModes"),
        ({"service": {"type": "Loadbalancer"}}, "type"),
        ({"drain": {"graceSeconds": 1}}, "graceSeconds"),
        ({"image": {"digest": "latest"}}, "digest"),
    ],
    ids=str,
)
def test_what_is_no_value_is_refused(values, named):
    with pytest.raises(HelmError, match=named):
        render(values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"store": {"url": "mongodb://n:n@db/n"}}, "missing is bus.url, media.url"),
        (CLUSTER | {"media": {"url": ""}}, "missing is media.url"),
        ({"bus": {"urlFrom": secret("nats")}}, "missing is store.url, media.url"),
        ({"autoscaling": {"enabled": True}}, "autoscaling needs a cluster"),
        (CLUSTER | {"autoscaling": {"enabled": True, "cpu": 0, "connections": 0}}, "autoscaling needs a target"),
        ({"ingress": {"enabled": True}}, "ingress.hosts"),
        ({"gateway": {"enabled": True}}, "gateway.parentRefs"),
    ],
    ids=str,
)
def test_what_cannot_work_is_told_in_a_sentence(values, told):
    with pytest.raises(HelmError, match=re.escape(told)):
        render(values)


def nkey_seed() -> str:
    """The seed of a user's nkey: the prefix of seeds and users, 32 bytes, a CRC-16 (XMODEM), in base32."""
    raw = bytes([(18 << 3) | (20 << 3) >> 5, ((20 << 3) & 31) << 3]) + bytes(range(32))
    crc = 0
    for byte in raw:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return base64.b32encode(raw + crc.to_bytes(2, "little")).decode().rstrip("=")


# What Secrets hold that are there already.
THERE = {
    "uri": "mongodb://db-0,db-1/natter?replicaSet=rs", "store": "a password", "nats": "tls://bus", "id": "an id", "secret": "a secret",
    "signing": "what-signs-now-is-longer-than-it-need-be", "signing-before": "what-signed-before-is-long-enough", "admin": "a password",
}  # fmt: skip


@pytest.mark.parametrize("command", ["serve", "migrate"])
@pytest.mark.parametrize("case", MATRIX)
def test_natter_takes_the_environment_that_it_is_given(tmp_path, case, command):
    """Under `check-config`, for neither a cluster nor its database is here."""
    rendered = render(MATRIX[case])
    pods = [pod for pod in rendered.pods().values() if pod["spec"]["containers"][0]["args"] == [command]]
    if not pods and command == "migrate":
        assert not rendered.of_kind("Job")
        return
    [pod] = pods
    own = {one["metadata"]["name"]: one["data"] for one in rendered.of_kind("Secret")}
    there = THERE | {"seed": nkey_seed()} | credentials()

    def content(owner: str, key: str) -> str:
        return base64.b64decode(own[owner][key]).decode() if owner.startswith(NAME) else there[key]

    files = tmp_path / "secrets"
    files.mkdir()
    for volume in pod["spec"].get("volumes", []):
        for source in volume.get("projected", {}).get("sources", []):
            [item] = source["secret"]["items"]
            (files / item["path"]).write_text(content(source["secret"]["name"], item["key"]))
    environment = {"POD_IP": PODS_ADDRESS[bool(MATRIX[case].get("ipv6"))]}
    for variable in pod["spec"]["containers"][0]["env"]:
        source = variable.get("valueFrom", {})
        if reference := source.get("secretKeyRef"):
            environment[variable["name"]] = content(reference["name"], reference["key"])
        elif "fieldRef" not in source:
            value = copy.copy(variable["value"]).replace("$(POD_IP)", environment["POD_IP"])
            value = value.replace("/run/secrets/natter", str(files)).replace("/var/lib/natter", str(tmp_path / "data"))
            environment[variable["name"]] = value
    if command == "migrate":
        assert not {"NATTER_LISTEN", "NATTER_INTERNAL_LISTEN"} & environment.keys()
        # It serves nobody; this is what `check-config` asks for beyond it.
        environment |= {"NATTER_INTERNAL_LISTEN": "127.0.0.1:9465"}
    checked = subprocess.run([BINARY, "check-config"], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr


def credentials() -> dict[str, str]:
    """A file of credentials as NATS makes them, and PEM files. Their content is read when a node connects."""
    jwt = f"-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{nkey_seed()}\n------END USER NKEY SEED------\n"
    pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
    return {"creds": jwt, "ca": pem, "certificate": pem, "key": pem}


def test_the_binary_is_there():
    assert Path(BINARY).is_file(), f"{BINARY} is made by `make test-chart`"

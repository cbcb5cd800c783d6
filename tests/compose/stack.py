"""docker-compose.yml as it is, up and down, and what can be asked of its containers."""

import functools
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "services"))

from processes import free_ports  # noqa: E402
from standins import CACHE, ROOT, Docker  # noqa: E402

PROJECT = "natter-trial"
# Nothing that stands in for it is to be had as a package.
LEFT_OUT = {"grafana"}
READY_WITHIN = 600.0
NODES = ("natter-1", "natter-2", "natter-3")


class Stack:
    def __init__(self, docker: Docker):
        self.docker = docker
        self.port, self.prometheus_port, grafana_port = free_ports(3)
        # docker-compose calls `docker` to build.
        programs = CACHE / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        (programs / "docker").unlink(missing_ok=True)
        (programs / "docker").symlink_to(docker.program)
        self.environment = docker.environment | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "DOCKER_BUILDKIT": "1",
            "COMPOSE_DOCKER_CLI_BUILD": "1",
            "BUILDKIT_PROGRESS": "plain",
            "COMPOSE_HTTP_TIMEOUT": "600",
            "NATTER_HTTP_PORT": str(self.port),
            "NATTER_PROMETHEUS_PORT": str(self.prometheus_port),
            "NATTER_GRAFANA_PORT": str(grafana_port),
        }
        self.url = f"http://127.0.0.1:{self.port}"
        # Beside docker-compose.yml.
        self.overrides: list[Path] = []

    def compose(self, *arguments: str, **more: object) -> subprocess.CompletedProcess:
        files = [argument for path in (ROOT / "docker-compose.yml", *self.overrides) for argument in ("--file", str(path))]
        command = ["docker-compose", "--project-name", PROJECT, "--project-directory", str(ROOT), *files]
        return subprocess.run([*command, *arguments], env=self.environment, check=True, text=True, **more)

    @functools.cached_property
    def services(self) -> list[str]:
        return self.compose("config", "--services", stdout=subprocess.PIPE).stdout.split()

    def build(self) -> None:
        # One node is enough: all have the same image.
        self.compose("build", NODES[0])

    def up(self) -> None:
        self.compose("up", "--detach", "--no-build", *sorted(set(self.services) - LEFT_OUT))
        self.until("the chat is ready", lambda: httpx.get(f"{self.url}/readyz").status_code == 200)
        self.until("all nodes are healthy", lambda: [self.health(node) for node in NODES] == ["healthy"] * 3)

    def own_secret(self) -> None:
        """Has the nodes take the secret from a Docker secret, as compose/README.md says, from the next `up` on."""
        override = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", (ROOT / "compose/README.md").read_text(), re.DOTALL)[0])
        for service in (*NODES, "migrate"):
            override["services"][service] = override["services"]["natter-1"]
        secret, path = CACHE / "secret_key", CACHE / "override.yml"
        secret.write_text(secrets.token_hex(32))
        override["secrets"]["secret_key"]["file"] = str(secret)
        path.write_text(yaml.safe_dump(override))
        self.overrides = [path]

    def down(self, *options: str) -> None:
        self.compose("down", "--timeout", "40", *options)

    def until(self, what: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while True:
            try:
                if is_so():
                    print(f"ok: {what}", flush=True)
                    return
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline:
                self.compose("ps")
                self.compose("logs", "--tail", "20")
                raise AssertionError(f"not within {READY_WITHIN:.0f} s: {what}")
            time.sleep(0.5)

    def container(self, service: str) -> dict:
        labels = [f"label=com.docker.compose.{key}" for key in (f"project={PROJECT}", f"service={service}")]
        filters = [argument for label in labels for argument in ("--filter", label)]
        name = self.docker("ps", "--all", "--quiet", *filters, stdout=subprocess.PIPE, text=True).stdout.strip()
        found = self.docker("inspect", name, stdout=subprocess.PIPE).stdout
        return json.loads(found)[0]

    def health(self, service: str) -> str:
        return self.container(service)["State"]["Health"]["Status"]

    def image_size(self, image: str) -> int:
        """In bytes, with the base's."""
        found = self.docker("image", "inspect", image, stdout=subprocess.PIPE).stdout
        return json.loads(found)[0]["Size"]

    def secrets(self) -> dict[str, str]:
        """Every secret that was made, by the folder and name of its file."""
        volumes = [f"{PROJECT}_secrets-{owner}:/secrets/{owner}:ro" for owner in ("natter", "mongo", "nats", "s3", "grafana")]
        mounts = [argument for volume in volumes for argument in ("--volume", volume)]
        script = "cd /secrets && for file in */*; do echo $file $(cat $file); done"
        told = self.docker("run", "--rm", *mounts, "debian:bookworm-slim", "sh", "-c", script, stdout=subprocess.PIPE, text=True).stdout
        return dict(line.split(" ", 1) for line in told.splitlines())

    def numbers(self, query: str) -> float:
        """What Prometheus answers, as one number."""
        answer = httpx.get(f"http://127.0.0.1:{self.prometheus_port}/api/v1/query", params={"query": query}).raise_for_status().json()
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

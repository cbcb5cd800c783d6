"""Three nodes behind HAProxy, on the servers of tests/services."""

import http.client
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from packages import ROOT
from processes import Died, Process, free_ports
from servers import Services

NODES = 3
# Where `make cluster` is looked for; another port if somebody is there.
PREFERRED_PORT = 8080
BINARY = ROOT / os.environ.get("NATTER_BIN", "target/debug/natter")
CONFIGURATION = ROOT / "haproxy/haproxy.cfg"
LOOPBACK = "127.0.0.1"


class Node:
    """A node with everything that it keeps elsewhere."""

    def __init__(self, number: int, directory: Path, shared: dict[str, str]):
        self.name = f"node{number}"
        self.port, self.metrics_port, self.internal_port = free_ports(3)
        own = {
            "NATTER_LISTEN": f"{LOOPBACK}:{self.port}",
            "NATTER_METRICS_LISTEN": f"{LOOPBACK}:{self.metrics_port}",
            "NATTER_INTERNAL_LISTEN": f"{LOOPBACK}:{self.internal_port}",
            "NATTER_ADVERTISE_URL": f"http://{LOOPBACK}:{self.internal_port}",
            "NATTER_DATA_DIR": str(directory / self.name),
        }
        self.process = Process(self.name, [str(BINARY), "serve"], directory / f"{self.name}.log", shared | own)

    def is_ready(self) -> bool:
        return status(self.port, "/readyz") == 200


def status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


class Cluster:
    """A MongoDB, a NATS and an S3 server, three nodes, and HAProxy in plain round robin."""

    needs_all = True

    def __init__(self, in_use: bool = False):
        # Whether somebody is to use it with a browser, rather than a command.
        self.in_use = in_use
        self.services = Services()
        self.nodes: list[Node] = []
        self.balancer: Process | None = None
        self.environment: dict[str, str] = {}
        self.missing: list[str] = []
        self.secret = os.environ.get("SECRET_KEY") or secrets.token_hex(32)

    def begin(self, directory: Path) -> None:
        self.directory = directory
        self.haproxy = haproxy()
        if not self.haproxy:
            self.missing.append("a cluster: HAProxy is not here, and only root on Debian can install it")
            return
        self.services.begin(directory)
        self.missing += self.services.missing

    def finish(self) -> dict[str, str]:
        self.environment = self.services.finish()
        shared = self.shared()
        self.migrate(shared)
        self.nodes = [Node(number, self.directory, shared) for number in range(1, NODES + 1)]
        for node in self.nodes:
            node.process.await_ready(node.is_ready)
        self.balance()
        self.environment |= {
            "NATTER_TEST_CLUSTER_URL": self.url,
            "NATTER_TEST_CLUSTER_NODES": " ".join(f"http://{LOOPBACK}:{node.port}" for node in self.nodes),
            "NATTER_TEST_CLUSTER_METRICS": " ".join(str(node.metrics_port) for node in self.nodes),
            "NATTER_TEST_CLUSTER_PIDS": " ".join(str(node.process.child.pid) for node in self.nodes),
            "NATTER_TEST_CLUSTER_LOGS": str(self.directory),
            "SECRET_KEY": self.secret,
        }
        return self.environment

    def shared(self) -> dict[str, str]:
        """The environment that all nodes have in common."""
        known = os.environ | self.environment
        ours = re.compile("NATTER_|SECRET_KEY|MONGO_")
        inherited = {name: value for name, value in known.items() if not ours.match(name)}
        # A person's cluster has the limits that it would have anywhere.
        relaxed = {} if self.in_use else json.loads((ROOT / "tests/interop/environment.json").read_text())
        database = known["NATTER_TEST_MONGODB_URL"].replace("/?", f"/natter-{secrets.token_hex(4)}?")
        return inherited | relaxed | {
            "SECRET_KEY": self.secret,
            "NATTER_STORE_URL": database,
            "NATTER_BUS_URL": known["NATTER_TEST_NATS_URL"],
            "NATTER_MEDIA_URL": f"{known['NATTER_TEST_S3_URL']}/cluster-{secrets.token_hex(4)}",
            "NATTER_MEDIA_ENDPOINT": known["NATTER_TEST_S3_ENDPOINT"],
            "NATTER_TRUSTED_PROXIES": LOOPBACK,
            **{name: value for name, value in os.environ.items() if name.startswith("NATTER_AUTH_ADMIN_")},
        }  # fmt: skip

    def migrate(self, environment: dict[str, str]) -> None:
        done = subprocess.run(
            [str(BINARY), "migrate"], env=environment, cwd=self.directory, text=True, timeout=120, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode != 0:
            raise Died(f"natter migrate ended with {done.returncode}:\n{done.stdout}")

    def balance(self) -> None:
        self.port = preferred_port() if self.in_use else free_ports(1)[0]
        addresses = {f"NATTER_NODE_{number}": f"{LOOPBACK}:{node.port}" for number, node in enumerate(self.nodes, 1)}
        environment = os.environ | addresses | {"NATTER_BALANCER": f"{LOOPBACK}:{self.port}"}
        command = [self.haproxy, "-db", "-f", str(CONFIGURATION)]
        self.balancer = Process("haproxy", command, self.directory / "haproxy.log", environment)
        self.balancer.await_ready(lambda: status(self.port, "/readyz") == 200)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def told(self) -> str:
        """What one wants to know of a cluster that has started."""
        known = os.environ | self.environment
        nodes = "\n".join(
            f"  {node.name}    http://{LOOPBACK}:{node.port}, metrics at http://{LOOPBACK}:{node.metrics_port}/metrics"
            for node in self.nodes
        )
        return (
            f"\nnatter, {NODES} nodes behind HAProxy in plain round robin:\n\n"
            f"  chat     {self.url}\n{nodes}\n"
            f"  MongoDB  {known['NATTER_TEST_MONGODB_URL']}\n"
            f"  NATS     {known['NATTER_TEST_NATS_URL']}\n"
            f"  S3       {known['NATTER_TEST_S3_URL']} at {known['NATTER_TEST_S3_ENDPOINT']}\n"
            f"  logs     {self.directory}\n\nCtrl-C ends all of it.\n"
        )

    def end(self) -> None:
        if self.balancer:
            self.balancer.end()
        for node in self.nodes:
            # As Ctrl-C does: a clean end without the waits of a drain.
            node.process.tell(signal.SIGINT)
        for node in self.nodes:
            node.process.end(0)
        self.services.end()


def preferred_port() -> int:
    try:
        status(PREFERRED_PORT, "/")
    except ConnectionRefusedError:
        return PREFERRED_PORT
    except OSError:
        pass
    return free_ports(1)[0]


def haproxy() -> str | None:
    """The path of HAProxy, which is installed if that is possible."""
    if not (found := shutil.which("haproxy")) and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "haproxy"]):
            subprocess.run(["apt-get", *command], env=quiet, stdout=sys.stderr, check=False)
        found = shutil.which("haproxy")
    return found

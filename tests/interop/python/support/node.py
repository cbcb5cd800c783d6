"""A real natter process on free ports, in a directory of its own."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[4]
BINARY = ROOT / os.environ.get("NATTER_BIN", "target/debug/natter")
# Tests sign up and log in far more often, from one address, than a person may.
ENVIRONMENT = json.loads((ROOT / "tests/interop/environment.json").read_text())
# A cluster that runs already, behind its balancer: see tests/cluster.
CLUSTER = os.environ.get("NATTER_TEST_CLUSTER_URL")
DEADLINE = 60.0
# How a head that is too long is refused: by a node, or by the balancer before it.
HEAD_REFUSED = 400 if CLUSTER else 431

Found = TypeVar("Found")


def until(what: str, condition: Callable[[], Found], deadline: float = DEADLINE) -> Found:
    """Waits for `condition` to be true, and says in vain for what if it does not come."""
    end = time.monotonic() + deadline
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {deadline} s in vain: {what}"
        time.sleep(0.02)
    return found


def keeps_a_folder() -> None:
    """For tests about what a node keeps on its own disk: a node of a cluster keeps nothing there."""
    if CLUSTER:
        pytest.skip("a node of a cluster keeps nothing in a folder of its own")


def servers() -> dict[str, str]:
    """A database and a place for files of one node's own, on the servers of the cluster. It shares their bus, under
    another secret, so that neither takes the other for one of its own."""
    name = secrets.token_hex(4)
    return {
        "SECRET_KEY": secrets.token_hex(32),
        "NATTER_STORE_URL": os.environ["NATTER_TEST_MONGODB_URL"].replace("/?", f"/natter-{name}?"),
        "NATTER_BUS_URL": os.environ["NATTER_TEST_NATS_URL"],
        "NATTER_MEDIA_URL": f"{os.environ['NATTER_TEST_S3_URL']}/{name}",
        "NATTER_MEDIA_ENDPOINT": os.environ["NATTER_TEST_S3_ENDPOINT"],
        "NATTER_INTERNAL_LISTEN": f"127.0.0.1:{free_port()}",
    }


def others_environment() -> dict[str, str]:
    """What the processes of natter inherit: nothing that is about natter."""
    return {name: value for name, value in os.environ.items() if not re.match("NATTER_|SECRET_KEY", name)}


def natter(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess:
    """A command that ends by itself."""
    return subprocess.run(
        [BINARY, *arguments], env=others_environment() | environment, input=stdin, capture_output=True, text=True, timeout=30, check=False
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def resident(pid: int | str) -> int:
    """Bytes of resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


class Node:
    """One with everything of its own; of a cluster's kind, on its servers, where there is a cluster."""

    def __init__(self, **environment: str):
        self.environment = ENVIRONMENT | environment | (servers() if CLUSTER else {})
        self.directory = Path(tempfile.mkdtemp(prefix="natter-interop-"))
        self.host, self.port = "127.0.0.1", free_port()
        self.metrics_port = free_port()
        self.url = f"http://{self.host}:{self.port}"
        self.log_file = self.directory / "stderr.log"
        if CLUSTER:
            assert self.command("migrate").wait(DEADLINE) == 0, self.log
        self.run()

    def command(self, *arguments: str, **environment: str) -> subprocess.Popen:
        return subprocess.Popen(
            [str(BINARY), *arguments],
            env=others_environment() | self.environment | environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=self.log_file.open("ab"),
            stderr=subprocess.STDOUT,
            # Python ignores the signal of a file that may not grow; so does the node then, and is told by an error.
            restore_signals=False,
        )

    def run(self) -> None:
        self.process = self.command(
            "serve", "--listen", f"{self.host}:{self.port}", "--metrics-listen", f"{self.host}:{self.metrics_port}",
            "--data-dir", str(self.directory / "data"),
        )  # fmt: skip
        until("the node is ready", self.is_ready)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, f"natter ended with {self.process.returncode}:\n{self.log}"
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def memory(self) -> int:
        """Bytes of resident memory."""
        return resident(self.process.pid)

    def is_alive(self) -> bool:
        return self.process.poll() is None and httpx.get(f"{self.url}/livez").status_code == 200

    def kill(self, how: int = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait(DEADLINE)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class Cluster:
    """A cluster that runs already, as far as clients know it. What is said byte by byte is said to one of its nodes."""

    def __init__(self, url: str):
        self.url = url
        node = httpx.URL(os.environ["NATTER_TEST_CLUSTER_NODES"].split()[0])
        self.host, self.port = node.host, node.port
        self.metrics_port = int(os.environ["NATTER_TEST_CLUSTER_METRICS"].split()[0])

    @property
    def log(self) -> str:
        """What all nodes have said."""
        logs = Path(os.environ["NATTER_TEST_CLUSTER_LOGS"]).glob("node*.log")
        return "".join(log.read_text(errors="replace") for log in logs)

    def memory(self) -> int:
        """Bytes of resident memory of all nodes."""
        return sum(map(resident, os.environ["NATTER_TEST_CLUSTER_PIDS"].split()))

    def is_alive(self) -> bool:
        nodes = os.environ["NATTER_TEST_CLUSTER_NODES"].split()
        return all(httpx.get(f"{node}/livez").status_code == 200 for node in nodes)

    def stop(self) -> None:
        """Whoever started it does."""

"""A real natter process on free ports, in a directory of its own."""

import json
import os
import re
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

Found = TypeVar("Found")


def until(what: str, condition: Callable[[], Found], deadline: float = DEADLINE) -> Found:
    """Waits for `condition` to be true, and says in vain for what if it does not come."""
    end = time.monotonic() + deadline
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {deadline} s in vain: {what}"
        time.sleep(0.02)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Node:
    def __init__(self, **environment: str):
        if CLUSTER:
            pytest.skip("is about a node of its own")
        self.environment = ENVIRONMENT | environment
        self.directory = Path(tempfile.mkdtemp(prefix="natter-interop-"))
        self.host, self.port = "127.0.0.1", free_port()
        self.metrics_port = free_port()
        self.url = f"http://{self.host}:{self.port}"
        self.log_file = self.directory / "stderr.log"
        self.run()

    def command(self, *arguments: str, **environment: str) -> subprocess.Popen:
        inherited = {name: value for name, value in os.environ.items() if not re.match("NATTER_|SECRET_KEY", name)}
        return subprocess.Popen(
            [str(BINARY), *arguments],
            env=inherited | self.environment | environment,
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
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

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
    """A cluster that runs already, as far as clients know it."""

    def __init__(self, url: str):
        self.url = url
        self.host, self.port = httpx.URL(url).host, httpx.URL(url).port

    @property
    def log(self) -> str:
        """What all nodes have said."""
        logs = Path(os.environ["NATTER_TEST_CLUSTER_LOGS"]).glob("node*.log")
        return "".join(log.read_text(errors="replace") for log in logs)

    def is_alive(self) -> bool:
        nodes = os.environ["NATTER_TEST_CLUSTER_NODES"].split()
        return all(httpx.get(f"{node}/livez").status_code == 200 for node in nodes)

    def stop(self) -> None:
        """Whoever started it does."""

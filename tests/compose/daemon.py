"""A Docker daemon of its own, so that stand-ins under the names of real images are in nobody's way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from standins import CACHE, Docker

PACKAGES = {"dockerd": "docker.io", "docker-compose": "docker-compose", "debootstrap": "debootstrap"}
STARTS_WITHIN = 60.0
# BuildKit came into the command itself before this version, and needs the plugin buildx since.
NEEDS_BUILDX = 23


def provide() -> None:
    """Installs what is missing; only root on Debian can."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", *command], env=quiet, stdout=sys.stderr, check=True)
    elif missing:
        sys.exit(f"tests/compose/run: {', '.join(missing)} missing, and only root on Debian can install them")


@contextmanager
def daemon() -> Iterator[Docker]:
    """The daemon, until the end of the block. What it has is kept in target/ for the next time."""
    home = CACHE / "docker"
    home.mkdir(parents=True, exist_ok=True)
    socket, settings, log = home / "socket", home / "daemon.json", CACHE / "dockerd.log"
    host = f"unix://{socket}"
    settings.write_text(
        json.dumps(
            {
                "data-root": str(home / "data"),
                "exec-root": str(home / "exec"),
                "pidfile": str(home / "pid"),
                "hosts": [host],
                "log-level": "warn",
            }
        )
    )
    (home / "pid").unlink(missing_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(["dockerd", "--config-file", str(settings)], stdout=output, stderr=output, start_new_session=True)
    try:
        docker = Docker(command(), host)
        await_start(docker, process, log)
        yield docker
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def await_start(docker: Docker, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while subprocess.run([docker.program, "version"], env=docker.environment, capture_output=True, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"dockerd does not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


def command() -> str:
    """A docker command that builds with BuildKit."""
    for folder in os.environ["PATH"].split(os.pathsep):
        program = shutil.which("docker", path=folder)
        if program and builds(program):
            return program
    raise RuntimeError("no docker command here builds with BuildKit: it needs the plugin buildx")


def builds(program: str) -> bool:
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    major = int(version.removeprefix("Docker version ").split(".")[0])
    return major < NEEDS_BUILDX or subprocess.run([program, "buildx", "version"], capture_output=True, check=False).returncode == 0

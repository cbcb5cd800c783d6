"""Where Prometheus is: on the PATH, or unpacked from Debian's package."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / "target/prometheus"


def find(name: str) -> str:
    """The path of `prometheus` or `promtool`; skips, or fails where nothing may be skipped, if it cannot be had."""
    if found := shutil.which(name):
        return found
    path = UNPACKED / "usr/bin" / name
    if not path.exists() and shutil.which("apt-get"):
        unpack()
    if path.exists():
        return str(path)
    why = f"{name} is not here, and Debian's package prometheus cannot be downloaded"
    if os.environ.get("NATTER_TEST_STRICT"):
        pytest.fail(why)
    pytest.skip(why)


def unpack() -> None:
    with tempfile.TemporaryDirectory() as directory:
        if not downloaded(directory) and os.geteuid() == 0:
            run(["apt-get", "update", "-qq"], directory)
            downloaded(directory)
        for package in Path(directory).glob("*.deb"):
            run(["dpkg-deb", "-x", str(package), str(UNPACKED)], directory)


def downloaded(directory: str) -> bool:
    return run(["apt-get", "download", "-qq", "prometheus"], directory) == 0


def run(command: list[str], directory: str) -> int:
    return subprocess.run(command, cwd=directory, capture_output=True, check=False).returncode

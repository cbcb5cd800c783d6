"""Runs a command beside servers, and ends them whatever becomes of it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from packages import ROOT
from processes import Died

LOGS = ROOT / "target/services-logs"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Parts(Protocol):
    """What is to run beside a command."""

    # What cannot be had here, and why.
    missing: list[str]
    # Whether a command makes no sense without what is missing.
    needs_all: bool

    def begin(self, directory: Path) -> None:
        """Begins what there is, with its data and `*.log` files in `directory`."""

    def finish(self) -> dict[str, str]:
        """Waits until all of it serves, and answers with the environment that tells how to reach it."""

    def end(self) -> None:
        """Ends all of it."""


class Stopped(BaseException):
    """Somebody wants an end before the command is begun."""


def supervise(parts: Parts, command: Callable[[dict[str, str]], int]) -> int:
    """Runs `command` with the environment of `parts`; the answer is its exit code."""
    for number in SIGNALS:
        signal.signal(number, stop)
    directory = Path(tempfile.mkdtemp(prefix="natter-services-"))
    code = 1
    try:
        parts.begin(directory)
        for missing in parts.missing:
            print(f"SKIPPED: {missing}", file=sys.stderr)
        if parts.missing and os.environ.get("NATTER_TEST_STRICT"):
            return code
        if parts.missing and parts.needs_all:
            code = 0
            return code
        code = command(parts.finish())
    except Died as why:
        print(f"{Path(sys.argv[0]).parent.name}/run: {why}", file=sys.stderr)
    except Stopped as how:
        code = 128 + how.args[0]
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        parts.end()
        if code != 0 and any(directory.glob("*.log")):
            print(f"{Path(sys.argv[0]).parent.name}/run: the servers' logs are in {keep_logs(directory)}", file=sys.stderr)
        shutil.rmtree(directory, ignore_errors=True)
    return code


def stop(number: int, _frame: object) -> None:
    raise Stopped(number)


def run(command: list[str], environment: dict[str, str]) -> int:
    """Runs a command until it ends, and passes signals on to it."""
    try:
        child = subprocess.Popen(command, env=os.environ | environment)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127

    def forward(number: int, _frame: object) -> None:
        # A terminal has told the command too.
        if number != signal.SIGINT or not os.isatty(0):
            child.send_signal(number)

    for number in SIGNALS:
        signal.signal(number, forward)
    code = child.wait()
    return code if code >= 0 else 128 - code


def keep_logs(directory: Path) -> Path:
    kept = LOGS / directory.name
    kept.mkdir(parents=True)
    for log in directory.glob("*.log"):
        shutil.copy(log, kept)
    return kept

"""Processes that do not outlive whoever started them."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# How long a server may take to be ready: only a broken one needs as long, even on a busy machine.
READY_WITHIN = 120.0
# How long it may take to end by itself.
END_WITHIN = 5.0
PR_SET_PDEATHSIG = 1
# Below the range that systems take ports of outgoing connections from.
PORTS = range(10_000, 32_000)


class Died(Exception):
    """A server ended, or was never ready; with the end of its log."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, and that no outgoing connection will take."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(PORTS)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a connection that lingers in TIME_WAIT does not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Process:
    """A process in a group of its own, with its output in a file."""

    def __init__(self, name: str, command: list[str], log: Path, environment: dict[str, str] | None = None):
        self.name, self.log = name, log
        with log.open("ab") as output:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=log.parent,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )

    def await_ready(self, is_ready: Callable[[], bool]) -> None:
        """Waits until `is_ready`, which may raise what a server that is not there yet raises."""
        deadline = time.monotonic() + READY_WITHIN
        while True:
            if self.child.poll() is not None:
                raise Died(f"{self.name} ended with {self.child.returncode}:\n{self.last_words()}")
            why: object = "it says no"
            try:
                if is_ready():
                    return
            except (OSError, ValueError) as error:
                why = error
            if time.monotonic() > deadline:
                raise Died(f"{self.name} is not ready after {READY_WITHIN:.0f} s ({why}):\n{self.last_words()}")
            time.sleep(0.03)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def tell(self, number: int) -> None:
        """To the whole group, also when the first of it is gone."""
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            pass

    def end(self, how: int = signal.SIGKILL) -> None:
        """Ends the group: by `how` (0 if it has been told), and by force if that does not do."""
        self.tell(how)
        try:
            self.child.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            pass
        self.tell(signal.SIGKILL)
        self.child.wait()


def _die_with_parent() -> Callable[[], None] | None:
    """Makes the system end a child when its parent is gone, however it went. Only Linux can."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None, use_errno=True).prctl, os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have gone before the system was asked.
        if os.getppid() != parent:
            os._exit(1)

    return ask

"""What the servers are to do, and a line in the results for each time that one does it."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from arms import LOOPBACK, Arm


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    rounds: int
    people: int  # in the one room
    speakers: int  # of them
    depth: int  # messages of one speaker that are under way
    small_rooms: int
    small_members: int
    seconds: float
    sockets_each: int  # of each of the people, when they are at rest
    rest_seconds: float


WHOLE = Size(
    rounds=3, people=500, speakers=10, depth=10, small_rooms=200, small_members=5, seconds=8, sockets_each=20, rest_seconds=30
)
# To see that everything works.
QUICK = Size(rounds=1, people=20, speakers=2, depth=2, small_rooms=5, small_members=3, seconds=1, sockets_each=3, rest_seconds=2)

# Bytes of a message, and sockets that are let in at the same time.
BYTES = 64
AT_ONCE = 250
# As long as a round can take at most, on whatever machine.
ENDS_WITHIN = 900


def rooms(size: Size) -> list[list[int]]:
    """The members of each room: one has everybody, the others a few."""
    everybody = list(range(size.people))
    few = [
        [(room * size.small_members + nth) % size.people for nth in range(size.small_members)] for room in range(size.small_rooms)
    ]
    return [everybody, *few]


def one_room(arm: Arm, size: Size) -> dict:
    """Everybody in one room, of whom some speak without a pause."""
    sockets = arm.sockets(0, rooms(size)[0], size.speakers)
    return plan(arm, sockets, {"chat": chat(size, size.depth)})


def small_rooms(arm: Arm, size: Size) -> dict:
    """Many small rooms, in each of which one speaks without a pause."""
    sockets = [socket for room, members in enumerate(rooms(size)) if room for socket in arm.sockets(room, members, 1)]
    return plan(arm, sockets, {"chat": chat(size, 1)})


def rest(arm: Arm, size: Size) -> dict:
    """Sockets at rest in one room, which are then cut off and come back all at once."""
    sockets = arm.sockets(0, rooms(size)[0], 0) * size.sockets_each
    return plan(arm, sockets, {"idle": {"seconds": size.rest_seconds}})


SCENARIOS = {"one room": one_room, "small rooms": small_rooms, "at rest": rest}


def chat(size: Size, depth: int) -> dict:
    return {"depth": depth, "bytes": BYTES, "warm_seconds": size.seconds / 4, "seconds": size.seconds}


def plan(arm: Arm, sockets: list[dict], work: dict) -> dict:
    return {"address": f"{LOOPBACK}:{arm.port}", "watched": arm.watched(), "at_once": AT_ONCE, "sockets": sockets, "work": work}


def measure(load: Path, planned: dict) -> dict:
    """Has the load generator carry out a plan."""
    done = subprocess.run(
        [load], input=json.dumps(planned), capture_output=True, text=True, timeout=ENDS_WITHIN, check=False
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"natter-load ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def check(scenario: str, measured: dict) -> None:
    """What was not done whole is no measurement."""
    assert not measured["lost_sockets"], f"{scenario}: sockets were lost: {measured['lost_sockets']}"
    if scenario != "at rest":
        assert measured["messages"] and not measured["refused"] and not measured["missing"], f"{scenario}: {measured}"

"""What is measured side by side: natter with each of its stores, and the server that one would write with socket.io."""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from packages import ROOT
from processes import Died, Process, free_ports

LOOPBACK = "127.0.0.1"
PASSWORD = "correct horse battery"
PEER = ROOT / "bench/peer/server.mjs"
SECRET = secrets.token_hex(32)
# People who come to be at the same time.
HANDS = 4
# Longer than all rounds.
TOKEN_HOURS = 4
NO_LIMITS = {
    f"NATTER_LIMITS_{name}": "0"
    for name in (
        "LOGINS_PER_MINUTE", "SIGNUPS_PER_MINUTE", "PENDING_HANDSHAKES_PER_ADDRESS", "SOCKETS_PER_ADDRESS", "SOCKETS_PER_USER",
        "MESSAGES_PER_SECOND",
    )
}  # fmt: skip


class Arm:
    """A server that runs: its name in the results, and whom one can be in which room."""

    name: str

    def __init__(self, known: dict[str, str], directory: Path, natter: Path):
        self.known, self.natter = known, natter
        self.directory = directory / self.name
        self.directory.mkdir()
        self.port, *self.more_ports = free_ports(3)
        self.base = f"http://{LOOPBACK}:{self.port}"
        self.process = Process(self.name, self.command(), directory / f"{self.name}.log", self.environment())
        self.process.await_ready(self.is_ready)
        self.tokens: list[str] = []
        self.rooms: list[str] = []

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.base}/readyz").status_code == 200
        except httpx.HTTPError as error:
            raise ConnectionError(str(error)) from error

    def settle(self, people: int, rooms: list[list[int]]) -> None:
        """Makes so many people, and rooms of which these are the members; the first is the owner."""
        raise NotImplementedError

    def watched(self) -> dict[str, int]:
        return {"server": self.process.child.pid}

    def sockets(self, room: int, members: list[int], speakers: int) -> list[dict]:
        """One socket for each of these people in a room; the first ones speak."""
        return [
            {"token": self.tokens[person], "room": self.rooms[room], "speaks": nth < speakers} for nth, person in enumerate(members)
        ]

    def end(self) -> None:
        self.process.end()


def inherited() -> dict[str, str]:
    ours = re.compile("NATTER_|SECRET_KEY|MONGO_")
    return {name: value for name, value in os.environ.items() if not ours.match(name)}


def database(known: dict[str, str], name: str) -> str:
    return known["NATTER_TEST_MONGODB_URL"].replace("/?", f"/bench-{name}?")


class Natter(Arm):
    """One node with the embedded store."""

    name = "natter, embedded"

    def command(self) -> list[str]:
        return [str(self.natter), "serve"]

    def environment(self) -> dict[str, str]:
        return inherited() | NO_LIMITS | {
            "SECRET_KEY": SECRET,
            "NATTER_LISTEN": f"{LOOPBACK}:{self.port}",
            "NATTER_METRICS_LISTEN": f"{LOOPBACK}:{self.more_ports[0]}",
            "NATTER_DATA_DIR": str(self.directory / "data"),
            "NATTER_AUTH_BCRYPT_COST": "4",
            "NATTER_AUTH_TOKEN_LIFETIME": f"{TOKEN_HOURS}h",
            "NATTER_LOG_FILTER": "warn",
        }  # fmt: skip

    def settle(self, people: int, rooms: list[list[int]]) -> None:
        with httpx.Client(base_url=self.base, timeout=60) as client, ThreadPoolExecutor(HANDS) as hands:
            self.client = client
            self.tokens = list(hands.map(self.sign_up, range(people)))
            self.rooms = list(hands.map(self.make_room, rooms))

    def ask(self, person: int, path: str, body: dict) -> dict:
        headers = {"Authorization": f"Bearer {self.tokens[person]}"}
        return self.client.post(path, json=body, headers=headers).raise_for_status().json()

    def sign_up(self, number: int) -> str:
        name = f"person{number}"
        self.client.post("/signup", json={"username": name, "email": f"{name}@example.org", "password": PASSWORD}).raise_for_status()
        told = self.client.post("/token", data={"username": name, "password": PASSWORD}).raise_for_status()
        return told.json()["access_token"]

    def make_room(self, members: list[int]) -> str:
        owner, *others = members
        room = self.ask(owner, "/chat-rooms", {"name": "Bench"})["chat_room"]["id"]
        for person in others:
            request = self.ask(person, "/join-request", {"chat_room_id": room})["id"]
            self.ask(owner, "/handle-join-request", {"join_request_id": request, "approval_status": True})
        return room


class NatterOnMongo(Natter):
    """One node of a cluster."""

    name = "natter, MongoDB"

    def environment(self) -> dict[str, str]:
        environment = super().environment() | {
            "NATTER_INTERNAL_LISTEN": f"{LOOPBACK}:{self.more_ports[1]}",
            "NATTER_STORE_URL": database(self.known, "natter"),
            "NATTER_BUS_URL": self.known["NATTER_TEST_NATS_URL"],
            "NATTER_MEDIA_URL": self.known["NATTER_TEST_S3_URL"],
            "NATTER_MEDIA_ENDPOINT": self.known["NATTER_TEST_S3_ENDPOINT"],
            "AWS_ACCESS_KEY_ID": self.known["AWS_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": self.known["AWS_SECRET_ACCESS_KEY"],
        }
        done = subprocess.run([self.natter, "migrate"], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Died(f"natter migrate ended with {done.returncode}:\n{done.stderr}")
        return environment


class Peer(Arm):
    """The server that one would write with socket.io and MongoDB."""

    name = "socket.io, MongoDB"

    def command(self) -> list[str]:
        return ["node", str(PEER)]

    def environment(self) -> dict[str, str]:
        return inherited() | {
            "NODE_ENV": "production",
            "PORT": str(self.port),
            "MONGODB_URL": database(self.known, "peer"),
            "SECRET_KEY": SECRET,
        }

    def settle(self, people: int, rooms: list[list[int]]) -> None:
        self.tokens = [token(f"person{number}") for number in range(people)]
        self.rooms = [f"room{number}" for number in range(len(rooms))]
        for room, members in zip(self.rooms, rooms, strict=True):
            memberships = [{"room": room, "user": f"person{person}"} for person in members]
            httpx.post(f"{self.base}/memberships", json=memberships, timeout=60).raise_for_status()


def token(user: str) -> str:
    """A JSON Web Token as the peer takes it."""
    claims = {"sub": user, "username": user, "exp": int(time.time()) + TOKEN_HOURS * 3600}
    head = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{head}.{_base64(hmac.digest(SECRET.encode(), head.encode(), hashlib.sha256))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

"""People, and what they do over HTTP."""

import itertools
import json
import secrets

import httpx

from support.node import CLUSTER, DEADLINE, Node

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)
# A cluster knows the people of earlier runs.
_RUN = f"{secrets.token_hex(3)}x" if CLUSTER else ""


class Person:
    """Somebody with an account, or, with no token, somebody without."""

    def __init__(self, node: Node, token: str | None = None, user: dict | None = None):
        self.node, self.token, self.user = node, token, user or {}
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=node.url, headers=headers, timeout=DEADLINE)

    @classmethod
    def sign_up(cls, node: Node, name: str = "person") -> "Person":
        return cls._sign_up(node, f"{name}{_RUN}{next(_numbers)}")

    @classmethod
    def first(cls, node: Node) -> "Person":
        """Whoever has the first account, which is made by the first run against a cluster."""
        if (known := log_in(node, "chief")).status_code == 200:
            token = known.json()["access_token"]
            me = httpx.get(f"{node.url}/users/me", headers={"Authorization": f"Bearer {token}"}, timeout=DEADLINE)
            return cls(node, token, me.json())
        return cls._sign_up(node, "chief")

    @classmethod
    def _sign_up(cls, node: Node, name: str) -> "Person":
        fields = {"email": f"{name}@example.org", "username": name, "password": PASSWORD}
        answer = httpx.post(f"{node.url}/signup", json=fields, timeout=DEADLINE)
        assert answer.status_code == 201, answer.text
        return cls(node, log_in(node, name).json()["access_token"], answer.json())

    @property
    def id(self) -> str:
        return self.user["id"]

    @property
    def name(self) -> str:
        return self.user["username"]

    def call(self, method: str, path: str, body: object = None, **more) -> httpx.Response:
        """Any call; a `body` goes as JSON."""
        if body is not None:
            # Not `json=`, which refuses what a test may want to send, such as infinity.
            more["content"] = body if isinstance(body, (str, bytes)) else json.dumps(body)
            more["headers"] = {"Content-Type": "application/json"} | more.get("headers", {})
        return self.http.request(method, path, **more)

    def ask(self, method: str, path: str, body: object = None, **more) -> object:
        """The JSON of a call that succeeds."""
        answer = self.call(method, path, body, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def create_room(self, name: str = "a room") -> str:
        return self.ask("POST", "/chat-rooms", {"name": name})["chat_room"]["id"]

    def private_room(self, other: "Person") -> str:
        return self.ask("POST", "/pv-chat-room", {"addressed_users_id": other.id})["chat_room"]["id"]

    def enter(self, room: str, owner: "Person") -> None:
        request = self.ask("POST", "/join-request", {"chat_room_id": room})
        owner.ask("POST", "/handle-join-request", {"join_request_id": request["id"], "approval_status": True})

    def post(self, room: str, content: str, **more) -> dict:
        return self.ask("POST", f"/chat-rooms/{room}/messages", {"content": content, **more})

    def upload(self, room: str, name: str, content: bytes, content_type: str = "application/octet-stream") -> httpx.Response:
        files = {"file": (name, content, content_type)}
        return self.http.post(f"/chat-rooms/{room}/attachments", files=files)

    def contents(self, room: str) -> list[str]:
        return [message["content"] for message in self.ask("GET", f"/chat-rooms/{room}/messages")]


def log_in(node: Node, username: str, password: str = PASSWORD) -> httpx.Response:
    return httpx.post(f"{node.url}/token", data={"username": username, "password": password}, timeout=DEADLINE)

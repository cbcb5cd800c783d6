"""Two people who chat through the balancer, one over a WebSocket and one by long polling."""

import queue
import secrets
import time

import httpx
import socketio

WITHIN = 60.0
PASSWORD = "correct horse battery"


class Person:
    def __init__(self, url: str, name: str, transport: str):
        self.url, self.name, self.transport = url, name, transport
        self.events: queue.Queue = queue.Queue()
        self.after: dict[str, int] = {}
        self.bearer: dict[str, str] = {}
        self.socket = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=1)
        self.socket.on("chat", self.heard)
        self.sign_up()

    def sign_up(self) -> None:
        account = {"username": self.name, "email": f"{self.name}@example.org", "password": PASSWORD}
        self.call("POST", "/signup", json=account)
        self.log_in()

    def log_in(self) -> None:
        self.bearer.clear()
        token = self.call("POST", "/token", data={"username": self.name, "password": PASSWORD}).json()["access_token"]
        self.bearer["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, **more: object) -> httpx.Response:
        """Asks again for as long as it is told to come back, as any client does."""
        deadline = time.monotonic() + WITHIN
        while True:
            answer = httpx.request(method, self.url + path, headers=self.bearer, timeout=WITHIN, **more)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                return answer.raise_for_status()
            time.sleep(float(answer.headers.get("Retry-After", 1)))

    def connect(self) -> None:
        token = self.bearer["Authorization"].removeprefix("Bearer ")
        self.socket.connect(self.url, auth=lambda: {"token": token, "after": self.after}, transports=[self.transport], wait_timeout=WITHIN)

    def heard(self, event: dict) -> None:
        self.after[event["chat_room_id"]] = event["seq"]
        self.events.put(event["message"])

    def say(self, room: str, text: str) -> dict:
        """Says it until it is stored: the same `client_id` is stored once."""
        said = {"chat_room_id": room, "content": text, "message_type": "text", "client_id": secrets.token_hex(8)}
        while True:
            try:
                ack = self.socket.call("chat", said, timeout=5)
            except (socketio.exceptions.TimeoutError, socketio.exceptions.BadNamespaceError, socketio.exceptions.DisconnectedError):
                self.socket.sleep(0.2)
                continue
            if ack["ok"]:
                return ack["message"]
            assert ack["error"]["code"] in ("draining", "unavailable", "unknown", "overloaded"), ack

    def hears(self, text: str) -> dict:
        while True:
            message = self.events.get(timeout=WITHIN)
            if message["content"] == text:
                return message


def meet(url: str) -> tuple[Person, Person, str]:
    """Two people in a room of theirs, connected."""
    mark = secrets.token_hex(3)
    ann, bob = Person(url, f"ann{mark}", "websocket"), Person(url, f"bob{mark}", "polling")
    room = ann.call("POST", "/chat-rooms", json={"name": "Trial"}).json()["chat_room"]["id"]
    request = bob.call("POST", "/join-request", json={"chat_room_id": room}).json()["id"]
    ann.call("POST", "/handle-join-request", json={"join_request_id": request, "approval_status": True})
    ann.connect()
    bob.connect()
    return ann, bob, room

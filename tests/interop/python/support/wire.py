"""HTTP and Socket.IO below the libraries, byte by byte, and a Socket.IO client by the official library."""

import contextlib
import queue
import socket
from collections.abc import Iterable

import engineio
import socketio

from support.node import DEADLINE, Node, until


class Wire:
    """A TCP connection to the node."""

    def __init__(self, node: Node, receive_buffer: int | None = None):
        self.tcp = socket.socket()
        if receive_buffer:
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.tcp.settimeout(DEADLINE)
        self.tcp.connect((node.host, node.port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tcp.close()

    def send(self, data: bytes | str) -> None:
        self.tcp.sendall(data.encode() if isinstance(data, str) else data)

    def finish(self) -> None:
        """Says that nothing more will come, if the node still listens."""
        with contextlib.suppress(OSError):
            self.tcp.shutdown(socket.SHUT_WR)

    def answer(self) -> bytes:
        """All that comes until the node closes, resets, or has said one whole head."""
        found = b""
        try:
            while b"\r\n\r\n" not in found and (more := self.tcp.recv(65536)):
                found += more
        except ConnectionError:
            pass
        return found

    def status(self) -> int | None:
        """The status of the answer; `None` if the node closed without one."""
        answer = self.answer()
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else None

    def upgrade(self, path: str) -> None:
        """Turns the connection into a WebSocket."""
        self.send(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert self.status() == 101

    def send_frame(self, text: str) -> None:
        """A masked text frame of less than 64 KiB; the mask is zeros, so that the text goes as it is."""
        self.send_frames([text])

    def send_frames(self, texts: Iterable[str]) -> None:
        """Several at once."""
        frames = b""
        for data in (text.encode() for text in texts):
            length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
            frames += b"\x81" + length + b"\0\0\0\0" + data
        self.send(frames)

    def is_closed_within(self, seconds: float) -> bool:
        """Reads on until the node closes."""
        self.tcp.settimeout(seconds)
        try:
            while self.tcp.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


class InOrder(engineio.Client):
    """Handles messages one after the other; the library's own way is a thread for each, and they overtake each other."""

    def _trigger_event(self, event, *args, **kwargs):
        return super()._trigger_event(event, *args, **kwargs | {"run_async": False})


class OrderedClient(socketio.Client):
    """The official client, whose handlers see events in the order in which they came."""

    def __init__(self):
        super().__init__(reconnection_delay=0.05, reconnection_delay_max=0.2, randomization_factor=0, handle_sigint=False)

    def _engineio_client_class(self):
        return InOrder


class Refused(Exception):
    """The connection was refused, in these words."""


class Chat:
    """A python-socketio client whose events are kept until somebody asks for them."""

    def __init__(self, node: Node, token: str, transports: tuple[str, ...] = ("websocket",), **auth):
        self.events: queue.SimpleQueue = queue.SimpleQueue()
        self.kept: list[tuple[str, object]] = []
        self.refusal = None
        self.auth = {"token": token} | auth
        self.client = OrderedClient()
        self.client.on("*", lambda event, *payload: self.events.put((event, payload[0] if payload else None)))
        self.client.on("disconnect", lambda reason=None: self.events.put(("disconnect", reason)))
        self.client.on("connect_error", self._refused)
        try:
            self.client.connect(node.url, auth=lambda: self.auth, transports=list(transports), wait_timeout=DEADLINE)
        except socketio.exceptions.ConnectionError as error:
            self.client.disconnect()
            raise Refused(self.refusal or str(error)) from error

    def _refused(self, refusal) -> None:
        self.refusal = refusal["message"] if isinstance(refusal, dict) else refusal

    def next(self, event: str, matches=lambda payload: True):
        """Takes the first kept event of this name, or waits for it."""

        def found():
            while not self.events.empty():
                self.kept.append(self.events.get())
            for index, (name, payload) in enumerate(self.kept):
                if name == event and matches(payload):
                    return self.kept.pop(index)
            return None

        return until(f"the event {event}; there are {[name for name, _ in self.kept][-5:]}", found)[1]

    def messages(self, count: int) -> list[dict]:
        return [self.next("chat")["message"] for _ in range(count)]

    def ask(self, event: str, payload: object) -> dict:
        return self.client.call(event, payload, timeout=DEADLINE)

    def say(self, content: str, **more) -> dict:
        return self.ask("chat", {"content": content, "message_type": "text"} | more)

    def close(self) -> None:
        self.client.disconnect()


def refusal(node: Node, token: str, **auth) -> str:
    """The words with which a connection is refused; empty if it was accepted."""
    try:
        Chat(node, token, **auth).close()
    except Refused as refused:
        return str(refused)
    return ""

"""`kill -9` in the middle of traffic: what was acknowledged is there, and clients resume without a gap or a double."""

import queue
import threading

import pytest
import socketio

from support.node import Node, until
from support.people import Person
from support.wire import Chat, OrderedClient

SENDERS = 4
KILLS = 3


class Sender(threading.Thread):
    """Sends numbered messages, and sends again, under the same client_id, what was not acknowledged."""

    def __init__(self, node: Node, person: Person, room: str):
        super().__init__(daemon=True)
        self.chat = Chat(node, person.token, chat_room_id=room)
        self.name = person.name
        self.acked: dict[str, int] = {}
        self.stopping = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            number += 1
            self.send(f"{self.name}:{number}")

    def send(self, client_id: str) -> None:
        while client_id not in self.acked:
            try:
                answer = self.chat.client.call("chat", {"content": client_id, "message_type": "text", "client_id": client_id}, timeout=1)
            except (socketio.exceptions.SocketIOError, socketio.exceptions.TimeoutError):
                self.stopping.wait(0.02)
                continue
            if answer["ok"]:
                self.acked[client_id] = answer["message"]["seq"]


class Reader:
    """A session socket that says, whenever it comes back, the last position it has seen."""

    def __init__(self, node: Node, person: Person, room: str):
        self.room, self.seqs, self.after = room, [], {}
        self.arrived: queue.SimpleQueue = queue.SimpleQueue()
        self.client = OrderedClient()
        self.client.on("ready", self.ready)
        for event in ("chat", "member_added", "resume_truncated"):
            self.client.on(event, lambda payload, event=event: self.told(event, payload))
        self.client.connect(node.url, auth=lambda: {"token": person.token, "after": self.after}, transports=["websocket"])

    def ready(self, payload: dict) -> None:
        for entry in payload["rooms"]:
            self.after.setdefault(entry["chat_room_id"], {"seq": entry["seq"], "epoch": entry["epoch"]})

    def told(self, event: str, payload: dict) -> None:
        assert event != "resume_truncated"
        if payload["chat_room_id"] == self.room:
            self.seqs.append(payload["seq"])
            self.after[self.room]["seq"] = payload["seq"]


@pytest.mark.parametrize("run", range(2))
def test_nothing_that_was_acknowledged_is_lost_and_nobody_sees_a_gap_or_a_double(run):
    node = Node()
    try:
        owner = Person.sign_up(node)
        room = owner.create_room()
        people = [Person.sign_up(node) for _ in range(SENDERS)]
        for person in people:
            person.enter(room, owner)
        readers = [Reader(node, person, room) for person in (owner, people[0])]
        until("the readers to be ready", lambda: all(reader.after for reader in readers))
        start = readers[0].after[room]["seq"]
        senders = [Sender(node, person, room) for person in people]
        for sender in senders:
            sender.start()
        for _ in range(KILLS):
            known = sum(len(sender.acked) for sender in senders)
            until("traffic", lambda: sum(len(sender.acked) for sender in senders) > known + 100)
            node.kill()
            node.run()
        known = sum(len(sender.acked) for sender in senders)
        until("traffic after the last start", lambda: sum(len(sender.acked) for sender in senders) > known + 100)
        for sender in senders:
            sender.stopping.set()
        for sender in senders:
            sender.join(30)
            assert not sender.is_alive()

        stored, page = [], owner.ask("GET", f"/chat-rooms/{room}/messages", params={"limit": 500})
        while page:
            stored = page + stored
            page = owner.ask("GET", f"/chat-rooms/{room}/messages", params={"limit": 500, "before": stored[0]["id"]})
        by_client_id = {message["client_id"]: message["seq"] for message in stored}
        acked = {client_id: seq for sender in senders for client_id, seq in sender.acked.items()}
        assert len(acked) > 100 * KILLS
        assert {client_id: by_client_id.get(client_id) for client_id in acked} == acked, "every acked message, at its acked seq"
        assert len(by_client_id) == len(stored), "no client_id twice"
        tail = stored[-1]["seq"]
        assert [message["seq"] for message in stored] == list(range(stored[0]["seq"], tail + 1)), "no hole"
        for sender in senders:
            own = [seq for client_id, seq in sorted(sender.acked.items(), key=lambda item: int(item[0].rsplit(":", 1)[1]))]
            assert own == sorted(own), "each sender's own order"
        for reader in readers:
            until("the reader to catch up", lambda: reader.seqs and reader.seqs[-1] == tail)
            assert reader.seqs == list(range(start + 1, tail + 1)), "no gap, no double"
    finally:
        node.stop()

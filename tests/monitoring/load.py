"""Clients that use every part of the nodes, until they are told to stop."""

import os
import threading
from types import SimpleNamespace

from support.people import PASSWORD, Person, log_in
from support.wire import Chat

CLIENTS = 6


class Load:
    """People in one room, on all nodes: they chat over sockets and over HTTP, upload, and get things wrong."""

    def __init__(self):
        nodes = [SimpleNamespace(url=url) for url in os.environ["NATTER_TEST_CLUSTER_NODES"].split()]
        self.people = [Person.sign_up(nodes[nth % len(nodes)], "loader") for nth in range(CLIENTS)]
        owner = self.people[0]
        self.room = owner.create_room("under load")
        for person in self.people[1:]:
            person.enter(self.room, owner)
        self.clients = [self.client(nth, person) for nth, person in enumerate(self.people)]
        self.stopped = threading.Event()
        self.failed: list[BaseException] = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def client(self, nth: int, person: Person) -> Chat:
        """Room and session sockets, over WebSockets and polling."""
        room = {"chat_room_id": self.room} if nth % 2 == 0 else {}
        transports = ("websocket",) if nth % 3 else ("polling",)
        chat = Chat(person.node, person.token, transports, **room)
        chat.ask("open_room", {"chat_room_id": self.room})
        return chat

    def run(self) -> None:
        try:
            turn = 0
            while not self.stopped.is_set():
                turn += 1
                self.once(turn)
        except BaseException as error:
            self.failed.append(error)

    def once(self, turn: int) -> None:
        for nth, chat in enumerate(self.clients):
            chat.say(f"{turn} of {nth}", chat_room_id=self.room)
        person = self.people[turn % CLIENTS]
        person.post(self.room, f"{turn} by HTTP")
        person.ask("GET", f"/chat-rooms/{self.room}/messages")
        person.call("GET", "/nowhere")
        log_in(person.node, person.name, "a wrong guess")
        log_in(person.node, person.name, PASSWORD)
        assert person.upload(self.room, "a.txt", b"a" * 1000).is_success
        # A connection that comes and goes.
        Chat(person.node, person.token).close()

    def end(self) -> None:
        self.stopped.set()
        self.thread.join(60)
        for chat in self.clients:
            chat.close()

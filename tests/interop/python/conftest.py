"""The node and the people that most tests share."""

from types import SimpleNamespace

import pytest

from support.node import CLUSTER, Cluster, Node
from support.people import Person
from support.tokens import SECRET


@pytest.fixture(scope="session")
def node():
    """One node for the tests that need nothing special of it. Its first account, hence its admin, is `admin`."""
    node = Cluster(CLUSTER) if CLUSTER else Node(SECRET_KEY=SECRET)
    node.admin = Person.first(node)
    yield node
    # The last word on every input that was sent: the node never fell.
    assert node.is_alive(), node.log[-2000:]
    assert "panicked" not in node.log, node.log[-2000:]
    node.stop()


@pytest.fixture(scope="module")
def world(node):
    """A room of alice's with bob in it, one that alice shares with bob alone, and people outside of both."""
    alice, bob, carol, mallory = (Person.sign_up(node, name) for name in ("alice", "bob", "carol", "mallory"))
    room = alice.create_room("the room")
    bob.enter(room, alice)
    request = carol.ask("POST", "/join-request", {"chat_room_id": room, "message": "please"})["id"]
    pair = alice.private_room(bob)
    return SimpleNamespace(
        node=node, admin=node.admin, anonymous=Person(node), alice=alice, bob=bob, carol=carol, mallory=mallory,
        room=room, pair=pair, request=request,
        message=alice.post(room, "in the room")["id"], secret=alice.post(pair, "between two")["id"],
    )  # fmt: skip

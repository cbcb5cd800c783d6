"""The official Python client, by WebSocket, by polling, and by polling that is upgraded."""

import httpx
import pytest

from support.people import Person
from support.shapes import MESSAGE, check
from support.wire import Chat, refusal

WAYS = {"websocket": ("websocket",), "polling": ("polling",), "upgrade": ("polling", "websocket")}


@pytest.fixture(params=WAYS)
def connect(request):
    """Opens clients by one way, and closes them after the test."""
    opened = []

    def connect(person: Person, **auth) -> Chat:
        opened.append(Chat(person.node, person.token, WAYS[request.param], **auth))
        return opened[-1]

    yield connect
    for chat in opened:
        chat.close()


def test_a_room_socket_chats_both_ways(world, connect):
    alice, bob = (connect(person, chat_room_id=world.room) for person in (world.alice, world.bob))
    for chat in (alice, bob):
        assert chat.next("joined")["chat_room_id"] == world.room
        check(chat.next("initial_messages"), [MESSAGE])
        chat.next("online_users")
    answer = alice.say("hello from Python")
    assert answer["ok"]
    check(answer["message"], MESSAGE)
    for chat in (alice, bob):
        assert chat.next("chat", lambda event: event["message"]["id"] == answer["message"]["id"])["seq"] == answer["message"]["seq"]
    assert bob.say("and back")["message"]["seq"] == answer["message"]["seq"] + 1


def test_bytes_inside_chat_are_stored(world, connect):
    chat = connect(world.bob, chat_room_id=world.room)
    content = bytes(range(256)) * 100
    answer = chat.say("bytes", message_type="file", file_name="bytes.bin", file=content)
    assert answer["ok"], answer
    assert httpx.get(world.node.url + answer["message"]["file_path"]).content == content


def test_a_thousand_pipelined_messages_come_in_order(node, connect):
    person = Person.sign_up(node)
    room = person.create_room()
    sender, reader = connect(person, chat_room_id=room), connect(person)
    reader.next("ready")
    for index in range(1000):
        sender.client.emit("chat", {"content": f"number {index}", "message_type": "text"})
    for chat in (sender, reader):
        seen = chat.messages(1000)
        assert [message["content"] for message in seen] == [f"number {index}" for index in range(1000)]
        assert [message["seq"] for message in seen] == list(range(seen[0]["seq"], seen[0]["seq"] + 1000))
    back = sender.ask("get_more_messages", {"oldest_message_id": seen[-1]["id"]})["messages"]
    while len(page := sender.ask("get_more_messages", {"oldest_message_id": back[0]["id"]})["messages"]):
        back = page + back
    assert [message["id"] for message in back] == [message["id"] for message in seen[:-1]]


def test_a_session_socket_resumes_behind_after(node, connect):
    owner, member = Person.sign_up(node), Person.sign_up(node)
    room = owner.create_room()
    member.enter(room, owner)
    first = connect(member)
    (entry,) = first.next("ready")["rooms"]
    first.close()
    missed = [owner.post(room, f"missed {index}")["id"] for index in range(10)]
    again = connect(member, after={room: {"seq": entry["seq"], "epoch": entry["epoch"]}})
    assert [message["id"] for message in again.messages(10)] == missed
    live = owner.post(room, "live")["id"]
    assert again.messages(1)[0]["id"] == live
    assert not [name for name, _ in again.kept if name == "chat"]


def test_who_missed_too_much_gets_the_newest_page(node):
    owner = Person.sign_up(node)
    room = owner.create_room()
    first = Chat(node, owner.token, chat_room_id=room)
    joined = first.next("joined")
    for index in range(1001):
        first.client.emit("chat", {"content": f"{index}", "message_type": "text"})
    last = first.messages(1001)[-1]
    first.close()
    for auth in ({}, {"chat_room_id": room}):
        for position in ({"seq": joined["seq"], "epoch": joined["epoch"]}, {"seq": last["seq"], "epoch": "another"}):
            chat = Chat(node, owner.token, after={room: position}, **auth)
            truncated = chat.next("resume_truncated")
            assert (truncated["chat_room_id"], truncated["seq"]) == (room, last["seq"])
            assert truncated["messages"][-1]["id"] == last["id"] and len(truncated["messages"]) == 50
            chat.close()


def test_typing_and_read_markers_are_told_to_the_others(node, connect):
    owner, member = Person.sign_up(node), Person.sign_up(node)
    room = owner.create_room()
    member.enter(room, owner)
    writer, watcher = connect(owner, chat_room_id=room), connect(member, chat_room_id=room)
    for chat in (writer, watcher):
        chat.next("online_users")
    assert writer.ask("typing", {"is_typing": True})["ok"]
    typing = watcher.next("typing")
    assert (typing["username"], typing["is_typing"], typing["chat_room_id"]) == (owner.name, True, room)
    message = watcher.say("read me")["message"]
    assert writer.ask("mark_read", {"seq": message["seq"]})["unread"] == 0
    marker = watcher.next("read_marker", lambda event: event["seq"] == message["seq"] and event["user_id"] == owner.id)
    assert "unread" not in marker


def test_the_owner_is_told_of_a_request_and_the_asker_of_the_answer(node, world, connect):
    asker = Person.sign_up(node)
    owner, waiting = connect(world.alice), connect(asker)
    request = asker.ask("POST", "/join-request", {"chat_room_id": world.room})
    assert owner.next("join_request", lambda event: event["id"] == request["id"])["user"]["id"] == asker.id
    world.alice.ask("POST", "/handle-join-request", {"join_request_id": request["id"], "approval_status": True})
    assert waiting.next("join_request_handled")["approved"] is True
    assert waiting.next("member_added", lambda event: event["chat_room_id"] == world.room)["user"]["id"] == asker.id


def test_a_bad_token_is_refused_in_words(world):
    for way in WAYS.values():
        assert refusal(world.node, "not.a.token", transports=way).startswith("unauthorized: ")
        assert refusal(world.node, world.mallory.token, transports=way, chat_room_id=world.room).startswith("forbidden: ")

"""Reaching for what is others' (family E of the security cases), over HTTP and over sockets."""

import threading

import httpx
import pytest

from support.node import Node
from support.people import Person
from support.shapes import check_refusal
from support.wire import Chat, refusal

UNKNOWN = "0" * 24


def test_a_private_room_of_others_answers_everywhere_as_one_that_is_not(world):
    calls = [
        ("GET", "/chat-room/{room}", None), ("GET", "/search-chat-rooms?chat_room_id={room}", None), ("POST", "/join-request", {"chat_room_id": "{room}"}),
        ("GET", "/rooms-online-users?chat_room_id={room}", None), ("GET", "/chat-room-details?chat_room_id={room}", None), ("DELETE", "/delete-chat-room?chat_room_id={room}", None),
        ("GET", "/chat-rooms/{room}/members", None), ("GET", "/chat-rooms/{room}/messages", None), ("POST", "/chat-rooms/{room}/messages", {"content": "x"}),
        ("POST", "/chat-rooms/{room}/typing", {"is_typing": True}), ("PUT", "/chat-rooms/{room}/read-marker", {"seq": 0}), ("DELETE", "/chat-rooms/{room}/members/me", None),
        ("DELETE", f"/chat-rooms/{{room}}/members/{world.alice.id}", None), ("GET", f"/chat-rooms/{{room}}/messages/{world.secret}", None),
    ]  # fmt: skip
    for method, path, body in calls:
        answers = []
        for room in (world.pair, UNKNOWN):
            filled = {key: room if value == "{room}" else value for key, value in body.items()} if body else None
            answers.append(world.mallory.call(method, path.format(room=room), filled))
        check_refusal(answers[0], 404, "not_found")
        assert answers[0].json() == answers[1].json(), f"{method} {path}"
    answers = [world.mallory.upload(room, "x.txt", b"x") for room in (world.pair, UNKNOWN)]
    assert answers[0].status_code == 404 and answers[0].json() == answers[1].json()
    assert refusal(world.node, world.mallory.token, chat_room_id=world.pair) == refusal(world.node, world.mallory.token, chat_room_id=UNKNOWN)


def test_an_outsiders_socket_reaches_no_room(world):
    seq = world.alice.post(world.pair, "before")["seq"]
    chat = Chat(world.node, world.mallory.token, after={world.pair: {"seq": 0, "epoch": "x"}, world.room: 0})
    assert not {world.pair, world.room} & {room["chat_room_id"] for room in chat.next("ready")["rooms"]}
    for room, message, code in ((world.pair, world.secret, "not_found"), (world.room, world.message, "forbidden"), (UNKNOWN, "0" * 48, "not_found")):
        for event, payload in (
            ("chat", {"content": "x", "message_type": "text"}), ("open_room", {}), ("close_room", {}), ("typing", {"is_typing": True}),
            ("mark_read", {"seq": 1}), ("get_more_messages", {"oldest_message_id": message}),
        ):  # fmt: skip
            answer = chat.ask(event, {"chat_room_id": room} | payload)
            allowed = (code, "not_found") if event == "close_room" else (code,)  # It was never opened.
            assert answer["ok"] is False and answer["error"]["code"] in allowed, f"{event} {room}: {answer}"
    assert world.alice.post(world.pair, "after")["seq"] == seq + 1
    chat.close()


def test_a_room_socket_serves_its_own_room_alone(world):
    chat = Chat(world.node, world.alice.token, chat_room_id=world.room)
    answer = chat.ask("chat", {"content": "elsewhere", "message_type": "text", "chat_room_id": world.pair})
    assert answer["ok"] is False, "a room socket serves its own room"
    answer = chat.ask("get_more_messages", {"oldest_message_id": world.secret})
    assert (answer["ok"], answer["error"]["code"]) == (False, "not_found")
    chat.close()


def test_who_left_hears_and_reaches_nothing_more(node, world):
    person = Person.sign_up(node)
    person.enter(world.room, world.alice)
    session, room = Chat(node, person.token), Chat(node, person.token, chat_room_id=world.room)
    upload = person.upload(world.room, "mine.txt", b"mine").json()["id"]
    path = person.post(world.room, "mine", message_type="file", attachment_id=upload)["file_path"]
    theirs = next(one for one in person.ask("GET", f"/chat-rooms/{world.room}/messages") if one["file_path"])["file_path"]
    assert world.alice.call("DELETE", f"/chat-rooms/{world.room}/members/{person.id}").status_code == 204
    removed = session.next("member_removed", lambda event: event["user"]["id"] == person.id)
    room.next("disconnect")
    after = world.alice.post(world.room, "without them")
    assert after["seq"] > removed["seq"]
    fence = person.create_room()
    person.post(fence, "a fence: whatever came before it has come")
    session.next("chat", lambda event: event["chat_room_id"] == fence)
    heard = [payload for name, payload in session.kept if isinstance(payload, dict) and payload.get("chat_room_id") == world.room]
    assert all(payload.get("seq", 0) <= removed["seq"] for payload in heard)
    for call in (f"/chat-rooms/{world.room}/messages", f"/chat-rooms/{world.room}/members", f"/rooms-online-users?chat_room_id={world.room}"):
        check_refusal(person.call("GET", call), 403, "forbidden")
    assert world.room not in [entry["id"] for entry in person.ask("POST", "/user/submitted-chat-rooms", {"is_group": True})]
    for link in (path, theirs):
        assert httpx.get(node.url + link).status_code in (401, 403, 404), "links of who left stop working"
    assert refusal(node, person.token, chat_room_id=world.room).startswith("forbidden: ")
    session.close()


def test_a_link_to_a_file_cannot_be_guessed_or_altered(world):
    upload = world.bob.upload(world.room, "a.txt", b"a").json()["id"]
    path = world.bob.post(world.room, "a", message_type="file", attachment_id=upload)["file_path"]
    assert httpx.get(world.node.url + path).status_code == 200
    base, token = path.rsplit("/", 1)
    middle = len(token) // 2
    altered = [
        token[:-1] + ("A" if token[-1] != "A" else "B") + "A", token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :], token[:-4],
        token + "x", token[::-1], "x", upload, "..%2f..%2fnatter.db", "%2e%2e", ".%2e/natter.db", "%00", "a" * 10_000, token.upper(), "%F0%9F%98%80",
    ]  # fmt: skip
    for one in altered:
        assert httpx.get(f"{world.node.url}{base}/{one}").status_code in (400, 401, 403, 404, 414), one


def test_messages_gone_take_their_files_with_them():
    node = Node()
    try:
        admin = Person.sign_up(node)
        room = admin.create_room()
        upload = admin.upload(room, "a.txt", b"a").json()["id"]
        path = admin.post(room, "a", message_type="file", attachment_id=upload)["file_path"]
        assert httpx.get(node.url + path).status_code == 200
        admin.call("DELETE", "/admin/clear_messages")
        assert httpx.get(node.url + path).status_code in (401, 403, 404)
    finally:
        node.stop()


def test_two_admins_who_demote_each_other_at_once_leave_one():
    node = Node()
    try:
        one, other = Person.sign_up(node), Person.sign_up(node)
        one.ask("PATCH", f"/admin/users/{other.id}", {"is_admin": True})
        for _ in range(10):
            together(
                lambda: one.call("PATCH", f"/admin/users/{other.id}", {"is_admin": False}),
                lambda: other.call("PATCH", f"/admin/users/{one.id}", {"is_admin": False}),
            )
            left = [person for person in (one, other) if person.ask("GET", "/users/me")["is_admin"]]
            assert left, "at least one admin is left"
            for person in (one, other):
                left[0].ask("PATCH", f"/admin/users/{person.id}", {"is_admin": True})
    finally:
        node.stop()


def test_two_who_sign_up_first_at_once_make_one_admin():
    for _ in range(3):
        node = Node()
        try:
            people: list[Person] = []
            together(*[lambda: people.append(Person.sign_up(node))] * 8)
            assert [person.user["is_admin"] for person in people].count(True) == 1 and len(people) == 8
        finally:
            node.stop()


def together(*calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("path", ["/users?name=p", "/search-chat-rooms?chat_room_id={room}", "/chat-rooms/{room}/members"])
def test_no_list_for_others_holds_a_hash_or_a_token(world, path):
    answer = world.alice.call("GET", path.format(room=world.room))
    assert "$2" not in answer.text and "generation" not in answer.text and "password" not in answer.text

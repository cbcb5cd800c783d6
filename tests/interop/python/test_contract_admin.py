"""CONTRACT, "Administration"."""

import pytest

from support.node import Node
from support.people import PASSWORD, Person, log_in
from support.shapes import MESSAGE, REQUEST, ROOM, SESSION, USER, check, check_refusal

UNKNOWN = "0" * 24

CALLS = [
    ("GET", "/admin/users", None),
    ("POST", "/admin/users", {"email": "made.by.admin@example.org", "username": "madebyadmin", "password": PASSWORD}),
    ("GET", "/admin/users/{user}", None),
    ("PATCH", "/admin/users/{user}", {"is_admin": True}),
    ("DELETE", "/admin/users/{user}", None),
    ("GET", "/admin/chat-rooms", None),
    ("POST", "/admin/chat-rooms?is_group=true", {"name": "by an admin"}),
    ("GET", "/admin/chat-rooms/{room}", None),
    ("PATCH", "/admin/chat-rooms/{room}", {"name": "renamed"}),
    ("DELETE", "/admin/chat-rooms/{room}", None),
    ("GET", "/admin/chat-rooms/private/{pair}", None),
    ("GET", "/admin/join-requests", None),
    ("GET", "/admin/join-requests/{request}", None),
    ("DELETE", "/admin/join-requests/{request}", None),
    ("GET", "/admin/chat-room-sessions", None),
    ("GET", "/admin/chat-room-sessions/{session}", None),
    ("DELETE", "/admin/chat-room-sessions/{session}", None),
    ("GET", "/admin/messages", None),
    ("DELETE", "/admin/clear_messages", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_nobody_but_an_admin_gets_in(world, method, path, body):
    known = {"user": world.bob.id, "room": world.room, "pair": world.pair, "request": world.request, "session": UNKNOWN}
    for identities in (known, dict.fromkeys(known, UNKNOWN), dict.fromkeys(known, "x")):
        check_refusal(world.bob.call(method, path.format(**identities), body), 403, "forbidden")
        check_refusal(world.alice.call(method, path.format(**identities), b"{"), 403, "forbidden")
        check_refusal(world.anonymous.call(method, path.format(**identities), body), 401, "unauthorized")


@pytest.mark.parametrize(("method", "path", "body"), [call for call in CALLS if "{" in call[1]])
def test_a_malformed_id_is_400_and_an_unknown_one_404(world, method, path, body):
    for identity, status in (("x", 400), ("%00", 400), (UNKNOWN, 404)):
        check_refusal(world.admin.call(method, path.format(**dict.fromkeys(("user", "room", "pair", "request", "session"), identity)), body), status)


def test_users_are_listed_made_changed_and_deleted(world):
    users = world.admin.ask("GET", "/admin/users")
    check(users, [USER])
    assert not any("password" in key or "hash" in key for user in users for key in user)
    answer = world.admin.call("POST", "/admin/users", {"email": "made@example.org", "username": "made", "password": PASSWORD})
    assert answer.status_code == 201
    check(answer.json(), USER)
    made = f"/admin/users/{answer.json()['id']}"
    assert world.admin.ask("GET", made)["username"] == "made"
    assert world.admin.ask("PATCH", made, {"username": "remade", "is_admin": True})["is_admin"] is True
    person = Person(world.node, log_in(world.node, "remade").json()["access_token"])
    assert person.ask("GET", "/admin/users")
    assert world.admin.ask("PATCH", made, {"is_admin": False})["is_admin"] is False
    check_refusal(person.call("GET", "/admin/users"), 403, "forbidden")
    assert world.admin.call("DELETE", made).status_code == 204
    check_refusal(person.call("GET", "/users/me"), 401, "unauthorized")
    check_refusal(world.admin.call("GET", made), 404, "not_found")
    check_refusal(log_in(world.node, "remade"), 401, "unauthorized")


def test_a_change_to_what_is_taken_or_malformed_is_refused(world):
    path = f"/admin/users/{world.bob.id}"
    check_refusal(world.admin.call("PATCH", path, {"username": world.alice.name}), 400, "username_taken")
    check_refusal(world.admin.call("PATCH", path, {"email": world.alice.user["email"]}), 400, "email_taken")
    for wrong in ({"is_admin": "yes"}, {"email": "x"}, {"username": ""}, {"password": "x" * 73}, {"username": {"$set": 1}}, "[]", "{"):
        check_refusal(world.admin.call("PATCH", path, wrong), 422, "invalid")


def test_rooms_are_listed_by_kind_made_renamed_and_deleted(world):
    groups = world.admin.ask("GET", "/admin/chat-rooms", params={"is_group": "true", "limit": 500})
    pairs = world.admin.ask("GET", "/admin/chat-rooms", params={"is_group": "false", "limit": 500})
    check(groups + pairs, [ROOM])
    assert world.room in [room["id"] for room in groups] and world.pair in [room["id"] for room in pairs]
    assert {room["is_group"] for room in groups} == {True} and {room["is_group"] for room in pairs} == {False}
    assert world.admin.ask("GET", f"/admin/chat-rooms/private/{world.pair}")["id"] == world.pair
    check_refusal(world.admin.call("GET", f"/admin/chat-rooms/private/{world.room}"), 404, "not_found")

    room = world.alice.create_room("to be renamed")
    path = f"/admin/chat-rooms/{room}"
    assert world.admin.ask("GET", path)["name"] == "to be renamed"
    assert world.admin.ask("PATCH", path, {"name": "renamed"})["name"] == "renamed"
    assert world.alice.ask("GET", f"/chat-room/{room}")["name"] == "renamed"
    for wrong in ({"name": ""}, {"name": 5}, {"name": "x" * 10_000}, "[]"):
        check_refusal(world.admin.call("PATCH", path, wrong), 422, "invalid")
    assert world.admin.call("DELETE", path).status_code == 204
    check_refusal(world.alice.call("GET", f"/chat-room/{room}"), 404, "not_found")


def test_join_requests_and_memberships_are_listed_and_deleted(node, world):
    person, member = Person.sign_up(node), Person.sign_up(node)
    request = person.ask("POST", "/join-request", {"chat_room_id": world.room})["id"]
    member.enter(world.room, world.alice)
    requests = everything(world.admin, "/admin/join-requests")
    sessions = everything(world.admin, "/admin/chat-room-sessions")
    check(requests, [REQUEST])
    check(sessions, [SESSION])
    assert world.admin.ask("GET", f"/admin/join-requests/{request}")["id"] == request
    assert world.admin.call("DELETE", f"/admin/join-requests/{request}").status_code == 204
    check_refusal(world.admin.call("GET", f"/admin/join-requests/{request}"), 404, "not_found")
    session = next(one["id"] for one in sessions if one["user"]["id"] == member.id)
    assert world.admin.ask("GET", f"/admin/chat-room-sessions/{session}")["id"] == session
    assert world.admin.call("DELETE", f"/admin/chat-room-sessions/{session}").status_code == 204
    check_refusal(member.call("GET", f"/chat-rooms/{world.room}/messages"), 403, "forbidden")


def everything(person, path):
    """The whole of a paged list, by its Link headers."""
    found, answer = [], person.call("GET", path)
    while True:
        found += answer.json()
        if "next" not in answer.links:
            return found
        answer = person.call("GET", answer.links["next"]["url"])


def test_messages_are_listed_by_skip_and_limit_and_cleared():
    node = Node()
    try:
        admin, person = Person.sign_up(node), Person.sign_up(node)
        room, other = person.create_room(), admin.create_room()
        for index in range(6):
            person.post(room, f"message {index}")
        admin.post(other, "elsewhere")
        messages = admin.ask("GET", "/admin/messages")
        check(messages, [MESSAGE])
        assert len(messages) == 7
        pages = [admin.ask("GET", "/admin/messages", params={"skip": skip, "limit": 3}) for skip in (0, 3, 6, 9)]
        assert [len(page) for page in pages] == [3, 3, 1, 0]
        assert [one["id"] for page in pages for one in page] == [one["id"] for one in messages]
        for wrong in ("skip=-1", "limit=0", "limit=501", "skip=x", "limit=1e3", "skip=99999999999999999999"):
            check_refusal(admin.call("GET", f"/admin/messages?{wrong}"), 422, "invalid")
        tail = person.post(room, "the last")["seq"]
        assert admin.call("DELETE", "/admin/clear_messages").is_success
        assert person.contents(room) == [] and admin.ask("GET", "/admin/messages") == []
        assert person.post(room, "after the clearing")["seq"] > tail, "seq goes on"
        assert person.contents(room) == ["after the clearing"]
    finally:
        node.stop()


def test_the_last_admin_can_neither_go_nor_lose_the_role():
    node = Node()
    try:
        admin, other = Person.sign_up(node), Person.sign_up(node)
        own, others = f"/admin/users/{admin.id}", f"/admin/users/{other.id}"
        check_refusal(admin.call("DELETE", own), 409, "last_admin")
        check_refusal(admin.call("PATCH", own, {"is_admin": False}), 409, "last_admin")
        assert admin.ask("PATCH", others, {"is_admin": True})["is_admin"] is True
        assert admin.ask("PATCH", own, {"is_admin": False})["is_admin"] is False
        check_refusal(admin.call("GET", "/admin/users"), 403, "forbidden")
        check_refusal(other.call("DELETE", others), 409, "last_admin")
        assert other.ask("PATCH", own, {"is_admin": True})["is_admin"] is True
        assert other.call("DELETE", others).status_code == 204
        check_refusal(admin.call("DELETE", own), 409, "last_admin")
    finally:
        node.stop()

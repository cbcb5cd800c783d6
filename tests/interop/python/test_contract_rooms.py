"""CONTRACT, "Rooms", call by call."""

import pytest

from support.people import Person
from support.shapes import MEMBER, MESSAGE, REQUEST, ROOM, SESSION, check, check_refusal

UNKNOWN = "0" * 24


def test_creating_a_room_makes_its_owner_a_member(world):
    created = world.alice.ask("POST", "/chat-rooms", {"name": "made"})
    check(created, {"chat_room": ROOM, "session": SESSION})
    room, session = created["chat_room"], created["session"]
    assert (room["name"], room["is_group"], room["owner"]["id"]) == ("made", True, world.alice.id)
    assert (session["user"]["id"], session["chat_room"]["id"]) == (world.alice.id, room["id"])


@pytest.mark.parametrize("body", [{}, {"name": None}, {"name": 5}, {"name": ""}, {"name": {"$gt": ""}}, {"name": "a\0b"}, "[]", "{", {"name": "x" * 10_000}])
def test_a_malformed_room_is_422(world, body):
    check_refusal(world.alice.call("POST", "/chat-rooms", body), 422, "invalid")


def test_chat_rooms_are_the_group_rooms_one_owns(node):
    owner, member = Person.sign_up(node, "owner"), Person.sign_up(node, "member")
    own = [owner.create_room(f"own {index}") for index in range(3)]
    owner.private_room(member)
    member.enter(own[0], owner)
    rooms = owner.ask("GET", "/chat-rooms")
    check(rooms, [ROOM])
    assert {room["id"] for room in rooms} == set(own)
    assert member.ask("GET", "/chat-rooms") == []


def test_a_group_room_is_found_by_its_id_by_anyone(world):
    for person in (world.alice, world.mallory):
        room = person.ask("GET", "/search-chat-rooms", params={"chat_room_id": world.room})
        check(room, ROOM)
        assert room["id"] == world.room


def test_a_private_room_is_not_found_by_search(world):
    check_refusal(world.mallory.call("GET", "/search-chat-rooms", params={"chat_room_id": world.pair}), 404, "not_found")


def test_a_room_by_id_group_or_private(world):
    for person, room in ((world.alice, world.room), (world.bob, world.room), (world.alice, world.pair), (world.bob, world.pair)):
        found = person.ask("GET", f"/chat-room/{room}")
        check(found, ROOM)
        assert (found["id"], found["is_group"]) == (room, room == world.room)
    check_refusal(world.mallory.call("GET", f"/chat-room/{world.pair}"), 404, "not_found")


def test_a_private_room_of_others_answers_as_an_unknown_one(world):
    foreign, unknown = (world.mallory.call("GET", f"/chat-room/{room}") for room in (world.pair, UNKNOWN))
    assert (foreign.status_code, foreign.json()) == (unknown.status_code, unknown.json())


def test_the_details_are_the_owners(world):
    details = world.alice.ask("GET", "/chat-room-details", params={"chat_room_id": world.room})
    check(details, {"chat_room_details": ROOM, "chat_room_join_requests": [REQUEST]})
    assert world.request in [request["id"] for request in details["chat_room_join_requests"]]
    for person in (world.bob, world.mallory):
        check_refusal(person.call("GET", "/chat-room-details", params={"chat_room_id": world.room}), 403, "forbidden")


def test_a_room_is_deleted_by_its_owner_with_204(world):
    room = world.alice.create_room("short-lived")
    world.bob.enter(room, world.alice)
    for person in (world.bob, world.mallory):
        check_refusal(person.call("DELETE", "/delete-chat-room", params={"chat_room_id": room}), 403, "forbidden")
    answer = world.alice.call("DELETE", "/delete-chat-room", params={"chat_room_id": room})
    assert (answer.status_code, answer.content) == (204, b"")
    check_refusal(world.alice.call("GET", f"/chat-room/{room}"), 404, "not_found")
    check_refusal(world.alice.call("DELETE", "/delete-chat-room", params={"chat_room_id": room}), 404, "not_found")


@pytest.mark.parametrize("message", [None, "let me in"])
def test_a_request_to_join_waits_undecided(node, world, message):
    person = Person.sign_up(node)
    request = person.ask("POST", "/join-request", {"chat_room_id": world.room} | ({"message": message} if message else {}))
    check(request, REQUEST)
    assert (request["message"], request["approved"]) == (message, None)
    assert (request["user"]["id"], request["chat_room"]["id"]) == (person.id, world.room)


@pytest.mark.parametrize(("who", "code"), [("alice", "own_room"), ("bob", "already_member"), ("carol", "already_requested")])
def test_a_request_that_makes_no_sense_is_400(world, who, code):
    check_refusal(getattr(world, who).call("POST", "/join-request", {"chat_room_id": world.room}), 400, code)


def test_a_request_for_a_private_room_is_404(world):
    check_refusal(world.mallory.call("POST", "/join-request", {"chat_room_id": world.pair}), 404, "not_found")


def test_a_requests_details_are_the_owners(world):
    request = world.alice.ask("GET", "/join-request-details", params={"join_request_id": world.request})
    check(request, REQUEST)
    assert (request["id"], request["message"]) == (world.request, "please")
    check_refusal(world.bob.call("GET", "/join-request-details", params={"join_request_id": world.request}), 403, "forbidden")
    check_refusal(world.mallory.call("GET", "/join-request-details", params={"join_request_id": world.request}), 403, "forbidden")


def test_approving_makes_the_membership_once(node, world):
    person = Person.sign_up(node)
    request = person.ask("POST", "/join-request", {"chat_room_id": world.room})["id"]
    decision = {"join_request_id": request, "approval_status": True}
    check_refusal(world.bob.call("POST", "/handle-join-request", decision), 403, "forbidden")
    check_refusal(person.call("POST", "/handle-join-request", decision), 403, "forbidden")
    handled = world.alice.ask("POST", "/handle-join-request", decision)
    check(handled, {"status": str, "session": SESSION})
    assert handled["session"]["user"]["id"] == person.id
    assert person.contents(world.room)
    check_refusal(world.alice.call("POST", "/handle-join-request", decision), 400, "already_handled")


def test_declining_makes_none(node, world):
    person = Person.sign_up(node)
    request = person.ask("POST", "/join-request", {"chat_room_id": world.room})["id"]
    handled = world.alice.ask("POST", "/handle-join-request", {"join_request_id": request, "approval_status": False})
    assert handled["session"] is None
    check_refusal(person.call("GET", f"/chat-rooms/{world.room}/messages"), 403, "forbidden")


@pytest.mark.parametrize("decision", [None, "yes", 1, "true", {}])
def test_a_decision_that_is_none_is_422(world, decision):
    body = {"join_request_id": world.request, "approval_status": decision}
    check_refusal(world.alice.call("POST", "/handle-join-request", body), 422, "invalid")


def test_submitted_rooms_are_those_one_is_in_newest_activity_first(node):
    owner, member = Person.sign_up(node, "owner"), Person.sign_up(node, "member")
    rooms = [owner.create_room(f"room {index}") for index in range(3)]
    for room in rooms:
        member.enter(room, owner)
    pair = member.private_room(owner)
    for room in (rooms[2], rooms[0], rooms[1]):
        owner.post(room, "activity")
    groups = member.ask("POST", "/user/submitted-chat-rooms", {"is_group": True})
    check(groups, [ROOM])
    assert [room["id"] for room in groups] == [rooms[1], rooms[0], rooms[2]]
    assert [room["id"] for room in member.ask("POST", "/user/submitted-chat-rooms", {"is_group": False})] == [pair]
    check_refusal(member.call("POST", "/user/submitted-chat-rooms", {"is_group": "yes"}), 422, "invalid")


def test_a_pair_always_gets_the_same_private_room(node):
    one, other = Person.sign_up(node), Person.sign_up(node)
    made = one.ask("POST", "/pv-chat-room", {"addressed_users_id": other.id})
    check(made, {"chat_room": ROOM, "requesters_session": SESSION, "addresseds_session": SESSION})
    assert made["chat_room"]["is_group"] is False
    assert (made["requesters_session"]["user"]["id"], made["addresseds_session"]["user"]["id"]) == (one.id, other.id)
    again, back = one.private_room(other), other.private_room(one)
    assert again == back == made["chat_room"]["id"]


def test_a_private_room_with_oneself_is_400_with_nobody_404(world):
    check_refusal(world.alice.call("POST", "/pv-chat-room", {"addressed_users_id": world.alice.id}), 400, "private_with_oneself")
    check_refusal(world.alice.call("POST", "/pv-chat-room", {"addressed_users_id": UNKNOWN}), 404, "not_found")


def test_online_users_are_for_members_and_without_the_caller(world):
    assert world.alice.name not in world.alice.ask("GET", "/rooms-online-users", params={"chat_room_id": world.room})
    check_refusal(world.mallory.call("GET", "/rooms-online-users", params={"chat_room_id": world.room}), 403, "forbidden")
    check_refusal(world.mallory.call("GET", "/rooms-online-users", params={"chat_room_id": world.pair}), 404, "not_found")
    assert isinstance(world.alice.ask("GET", "/pv-online-users"), list)


def test_a_declared_status_shows_in_the_online_lists(node):
    one, other = Person.sign_up(node), Person.sign_up(node)
    one.private_room(other)
    room = one.create_room()
    other.enter(room, one)
    other.ask("PUT", "/user/online-status", "true")
    assert one.ask("GET", "/pv-online-users") == [other.name]
    assert one.ask("GET", "/rooms-online-users", params={"chat_room_id": room}) == [other.name]
    other.ask("PUT", "/user/online-status", "false")
    assert one.ask("GET", "/pv-online-users") == []


BY_ID = [
    ("GET", "/chat-room/{id}", None),
    ("GET", "/search-chat-rooms?chat_room_id={id}", None),
    ("GET", "/chat-room-details?chat_room_id={id}", None),
    ("DELETE", "/delete-chat-room?chat_room_id={id}", None),
    ("GET", "/join-request-details?join_request_id={id}", None),
    ("GET", "/rooms-online-users?chat_room_id={id}", None),
    ("GET", "/chat-rooms/{id}/members", None),
    ("GET", "/chat-rooms/{id}/messages", None),
    ("POST", "/chat-rooms/{id}/messages", {"content": "x"}),
    ("PUT", "/chat-rooms/{id}/read-marker", {"seq": 0}),
    ("GET", "/chat-rooms/{id}/retention", None),
    ("PUT", "/chat-rooms/{id}/retention", {"days": 7}),
    ("POST", "/chat-rooms/{id}/typing", {"is_typing": True}),
    ("DELETE", "/chat-rooms/{id}/members/me", None),
]  # fmt: skip
MALFORMED = ["1", "x", "0" * 23, "0" * 25, "g" * 24, "00000000-0000-0000-0000-000000000000", "%00", "..%2f..%2fetc", "%F0%9F%98%80", "0" * 5000, "%27%20OR%201=1--"]


@pytest.mark.parametrize(("method", "path", "body"), BY_ID)
def test_a_malformed_id_is_400_and_an_unknown_one_404(world, method, path, body):
    for identity in MALFORMED:
        check_refusal(world.alice.call(method, path.format(id=identity), body), 400, "invalid")
    check_refusal(world.alice.call(method, path.format(id=UNKNOWN), body), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "field"),
    [("/join-request", "chat_room_id"), ("/handle-join-request", "join_request_id"), ("/pv-chat-room", "addressed_users_id")],
)
@pytest.mark.parametrize("identity", ["1", "g" * 24, "", "\0", "' OR 1=1--"])
def test_a_malformed_id_in_a_body_is_400(world, path, field, identity):
    check_refusal(world.alice.call("POST", path, {field: identity, "approval_status": True}), 400, "invalid")


@pytest.mark.parametrize("path", ["/search-chat-rooms", "/chat-room-details", "/join-request-details", "/rooms-online-users"])
def test_a_missing_parameter_is_the_clients_error(world, path):
    check_refusal(world.alice.call("GET", path), 422, "invalid")


def test_members_are_listed_to_members_the_owner_first(world):
    members = world.bob.ask("GET", f"/chat-rooms/{world.room}/members")
    check(members, [MEMBER])
    assert (members[0]["user"]["id"], members[0]["role"]) == (world.alice.id, "owner")
    names = [member["user"]["username"] for member in members[1:]]
    assert names == sorted(names) and world.bob.name in names


def test_leaving_and_being_removed(node, world):
    leaver, removed = Person.sign_up(node), Person.sign_up(node)
    for person in (leaver, removed):
        person.enter(world.room, world.alice)
    check_refusal(world.bob.call("DELETE", f"/chat-rooms/{world.room}/members/{removed.id}"), 403, "forbidden")
    assert leaver.call("DELETE", f"/chat-rooms/{world.room}/members/me").status_code == 204
    assert world.alice.call("DELETE", f"/chat-rooms/{world.room}/members/{removed.id}").status_code == 204
    for person in (leaver, removed):
        check_refusal(person.call("GET", f"/chat-rooms/{world.room}/messages"), 403, "forbidden")
    check_refusal(world.alice.call("DELETE", f"/chat-rooms/{world.room}/members/me"), 409, "conflict")
    check_refusal(world.alice.call("DELETE", f"/chat-rooms/{world.room}/members/{removed.id}"), 404, "not_found")


def test_who_left_may_ask_again(node, world):
    person = Person.sign_up(node)
    person.enter(world.room, world.alice)
    person.call("DELETE", f"/chat-rooms/{world.room}/members/me")
    person.enter(world.room, world.alice)
    check(person.ask("GET", f"/chat-rooms/{world.room}/messages"), [MESSAGE])

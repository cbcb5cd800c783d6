"""Who may call what: each route of the published document, called by everybody."""

import re

import httpx
import pytest

from support.shapes import check_refusal

PUBLIC = {
    ("POST", "/signup"), ("POST", "/token"), ("GET", "/livez"), ("GET", "/readyz"), ("GET", "/media/{token}"),
    ("GET", "/openapi.json"), ("GET", "/docs"),
}  # fmt: skip

# Status by caller: nobody, a stranger, a member, the owner. `None`: whoever is signed in.
ROOM_MEMBERS = (401, 403, 200, 200)
ROOM_OWNER = (401, 403, 403, 200)
ANYONE = None

RULES = {
    ("POST", "/refresh-token"): ANYONE,
    ("GET", "/users/me"): ANYONE,
    ("GET", "/users"): ANYONE,
    ("GET", "/users/me/export"): ANYONE,
    ("PUT", "/users/me/password"): ANYONE,
    ("POST", "/users/me/log-out-everywhere"): ANYONE,
    ("PUT", "/user/online-status"): ANYONE,
    ("POST", "/chat-rooms"): ANYONE,
    ("GET", "/chat-rooms"): ANYONE,
    ("GET", "/search-chat-rooms"): ANYONE,
    ("GET", "/chat-room/{id}"): ANYONE,
    ("GET", "/chat-room-details"): ROOM_OWNER,
    ("DELETE", "/delete-chat-room"): ROOM_OWNER,
    ("POST", "/join-request"): ANYONE,
    ("GET", "/join-request-details"): ROOM_OWNER,
    ("POST", "/handle-join-request"): ROOM_OWNER,
    ("POST", "/user/submitted-chat-rooms"): ANYONE,
    ("POST", "/pv-chat-room"): ANYONE,
    ("GET", "/rooms-online-users"): ROOM_MEMBERS,
    ("GET", "/pv-online-users"): ANYONE,
    ("GET", "/chat-rooms/{id}/members"): ROOM_MEMBERS,
    ("DELETE", "/chat-rooms/{id}/members/me"): ROOM_MEMBERS,
    ("DELETE", "/chat-rooms/{id}/members/{user_id}"): ROOM_OWNER,
    ("PUT", "/chat-rooms/{id}/read-marker"): ROOM_MEMBERS,
    ("GET", "/chat-rooms/{id}/retention"): ROOM_MEMBERS,
    ("PUT", "/chat-rooms/{id}/retention"): ROOM_OWNER,
    ("POST", "/chat-rooms/{id}/messages"): ROOM_MEMBERS,
    ("GET", "/chat-rooms/{id}/messages"): ROOM_MEMBERS,
    ("GET", "/chat-rooms/{id}/messages/{message_id}"): ROOM_MEMBERS,
    ("POST", "/chat-rooms/{id}/attachments"): ROOM_MEMBERS,
    ("POST", "/chat-rooms/{id}/typing"): ROOM_MEMBERS,
}

BODIES = {
    "/handle-join-request": {"approval_status": True},
    "/chat-rooms/{id}/read-marker": {"seq": 0},
    "/chat-rooms/{id}/retention": {"days": 7},
    "/chat-rooms/{id}/messages": {"content": "x"},
    "/chat-rooms/{id}/typing": {"is_typing": False},
}


@pytest.fixture(scope="module")
def document(node):
    answer = httpx.get(f"{node.url}/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def test_every_published_route_has_its_rule_here(document):
    published = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods if method != "parameters"}
    generic = {(method, re.sub(r"\{(chat_)?room(_id)?\}", "{id}", path)) for method, path in published}
    unruled = {(method, path) for method, path in generic if not path.startswith("/admin/")} - PUBLIC - set(RULES)
    assert not unruled, f"published, but with no rule of who may call it: {unruled}"
    assert not set(RULES) - generic, f"not published: {set(RULES) - generic}"


@pytest.mark.parametrize("route", RULES, ids=" ".join)
def test_without_a_token_a_route_is_401(world, route):
    method, path = route
    path = path.format(id=world.room, user_id=world.bob.id, message_id=world.message)
    for body in (None, b"{", b"\xff" * 100):
        check_refusal(world.anonymous.call(method, path, body), 401, "unauthorized")
    for path in (path.replace(world.room, "x"), f"{path}?chat_room_id=x"):
        check_refusal(world.anonymous.call(method, path), 401, "unauthorized")


def call(world, person, room, route):
    method, path = route
    body = BODIES.get(path)
    if path == "/handle-join-request":
        body = body | {"join_request_id": world.request}
    if path == "/chat-rooms/{id}/attachments":
        return person.upload(room, "a.txt", b"x")
    query = {"join_request_id": world.request} if "join-request" in path else {"chat_room_id": room}
    path = path.format(id=room, user_id=world.bob.id, message_id=world.message if room == world.room else world.secret)
    return person.call(method, path, body, params=query if method != "POST" else None)


@pytest.mark.parametrize("route", [route for route, rule in RULES.items() if rule], ids=" ".join)
def test_a_stranger_is_refused_in_a_group_and_learns_nothing_of_a_private_room(world, route):
    check_refusal(call(world, world.mallory, world.room, route), 403, "forbidden")
    if "join-request" not in route[1]:
        check_refusal(call(world, world.mallory, world.pair, route), 404, "not_found")


@pytest.mark.parametrize("route", [route for route, rule in RULES.items() if rule == ROOM_OWNER], ids=" ".join)
def test_a_member_who_is_not_the_owner_is_refused(world, route):
    check_refusal(call(world, world.bob, world.room, route), 403, "forbidden")


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/", "/livez", "/readyz", "/openapi.json"])
def test_what_is_public_is_there(node, path):
    assert httpx.get(node.url + path, follow_redirects=True).status_code == 200


@pytest.mark.parametrize("path", ["/nowhere", "/signup/", "/users/me/../me/x", "/metrics", "/debug", "/debug/pprof", "/.env", "/chat-rooms/x/y/z", "/%2e%2e/etc/passwd", "/socket.iox"])
def test_what_is_not_there_is_404(node, path):
    assert httpx.get(node.url + path, headers={"Accept": "application/json"}).status_code == 404


@pytest.mark.parametrize(("method", "path"), [("GET", "/signup"), ("DELETE", "/users/me"), ("PATCH", "/chat-rooms"), ("PUT", "/token"), ("TRACE", "/users/me")])
def test_another_method_is_405(node, method, path):
    check_refusal(httpx.request(method, node.url + path), 405, "method_not_allowed")

"""Every list is an array in pages, and `Link: <...>; rel="next"` leads through all of them."""

import pytest

from support.people import Person
from support.shapes import check_refusal

LISTS = [
    ("GET", "/chat-rooms", None),
    ("POST", "/user/submitted-chat-rooms", {"is_group": True}),
    ("GET", "/chat-rooms/{room}/members", None),
    ("GET", "/users?name=lister", None),
    ("GET", "/admin/users", None),
    ("GET", "/admin/chat-rooms", None),
    ("GET", "/admin/join-requests", None),
    ("GET", "/admin/chat-room-sessions", None),
]


@pytest.fixture(scope="module")
def lister(node):
    """Somebody with seven rooms, in the first of which are five others; an admin, to see the other lists."""
    lister = Person.sign_up(node, "lister")
    node.admin.ask("PATCH", f"/admin/users/{lister.id}", {"is_admin": True})
    rooms = [lister.create_room(f"listed {index}") for index in range(7)]
    for _ in range(5):
        member = Person.sign_up(node, "lister")
        member.enter(rooms[0], lister)
    lister.room = rooms[0]
    yield lister
    node.admin.ask("PATCH", f"/admin/users/{lister.id}", {"is_admin": False})


def with_query(path: str, query: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{query}"


def identity(item: dict) -> str:
    return item["id"]


@pytest.mark.parametrize(("method", "path", "body"), LISTS)
def test_the_pages_of_a_list_are_the_list(lister, method, path, body):
    path = path.format(room=lister.room)
    whole = lister.call(method, with_query(path, "limit=500"), body)
    assert isinstance(whole.json(), list) and "next" not in whole.links
    assert len(whole.json()) >= 6
    pages, answer = [], lister.call(method, with_query(path, "limit=2"), body)
    while True:
        assert 0 < len(answer.json()) <= 2
        pages.append(answer.json())
        if "next" not in answer.links:
            break
        answer = lister.call(method, answer.links["next"]["url"], body)
        assert answer.status_code == 200, answer.text
    assert [identity(item) for page in pages for item in page] == [identity(item) for item in whole.json()]


@pytest.mark.parametrize(("method", "path", "body"), LISTS)
def test_after_is_the_last_id_seen(lister, method, path, body):
    path = path.format(room=lister.room)
    first = lister.ask(method, with_query(path, "limit=3"), body)
    rest = lister.ask(method, with_query(path, f"limit=2&after={identity(first[0])}"), body)
    assert [identity(item) for item in rest] == [identity(item) for item in first[1:]]


@pytest.mark.parametrize(("method", "path", "body"), LISTS)
@pytest.mark.parametrize("limit", ["0", "501", "-1", "4294967296", "18446744073709551616", "5.5", "1e308", "x", "", "%00", "NaN"])
def test_a_limit_that_may_not_be_is_refused(lister, method, path, body, limit):
    check_refusal(lister.call(method, with_query(path.format(room=lister.room), f"limit={limit}"), body), 422, "invalid")


@pytest.mark.parametrize(("method", "path", "body"), LISTS)
@pytest.mark.parametrize("after", ["x", "%00", "..%2f", "%27--", "0" * 1000])
def test_an_after_that_could_not_be_an_id_is_refused(lister, method, path, body, after):
    check_refusal(lister.call(method, with_query(path.format(room=lister.room), f"after={after}"), body), 400, "invalid")

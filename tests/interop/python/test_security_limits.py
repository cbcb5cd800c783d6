"""Too much of everything, and names made to deceive (families H and I of the security cases)."""

import httpx
import pytest

from support.node import Node
from support.people import PASSWORD, Person, log_in
from support.shapes import check_refusal
from support.wire import Chat, Refused, refusal


@pytest.fixture
def limited(request):
    node = Node(**request.param)
    yield node
    assert node.is_alive() and "panicked" not in node.log
    node.stop()


def with_limits(**limits):
    return pytest.mark.parametrize("limited", [{f"NATTER_LIMITS_{name.upper()}": str(value) for name, value in limits.items()}], indirect=True, ids=[""])


def check_wait(answer) -> None:
    check_refusal(answer, 429, "rate_limited")
    assert 0 < int(answer.headers["retry-after"]) <= 61


@with_limits(logins_per_minute=10)
def test_the_eleventh_login_is_429_for_this_account_and_no_other(limited):
    victim, other = (httpx.post(f"{limited.url}/signup", json={"email": f"{name}@example.org", "username": name, "password": PASSWORD}).json() for name in ("victim", "other"))
    for name in ("victim", "nobody-here"):
        answers = [log_in(limited, name, "guess") for _ in range(11)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429], "the same for who is not there"
        check_wait(answers[-1])
    assert log_in(limited, "other").status_code == 200
    check_wait(log_in(limited, "victim"))
    check_wait(log_in(limited, "VICTIM")) if log_in(limited, "VICTIM").status_code == 429 else None
    assert victim["id"] != other["id"]


@with_limits(logins_per_minute=10)
def test_a_forwarded_address_from_no_proxy_of_ours_counts_for_nothing(limited):
    answers = [
        httpx.post(f"{limited.url}/token", data={"username": "x", "password": "y"}, headers={"X-Forwarded-For": f"10.0.0.{index}", "Forwarded": f"for=10.0.1.{index}", "X-Real-IP": f"10.0.2.{index}"})
        for index in range(12)
    ]
    check_wait(answers[-1])


@with_limits(signups_per_minute=5)
def test_sign_ups_are_counted_by_address(limited):
    answers = [
        httpx.post(f"{limited.url}/signup", json={"email": f"many{index}@example.org", "username": f"many{index}", "password": PASSWORD}) for index in range(7)
    ]
    assert [answer.status_code for answer in answers[:5]] == [201] * 5
    check_wait(answers[-1])


@with_limits(messages_per_second=1, message_burst=10)
def test_a_flood_is_refused_without_a_trace_in_the_room(limited):
    person, other = Person.sign_up(limited), Person.sign_up(limited)
    room = person.create_room()
    other.enter(room, person)
    chat = Chat(limited, person.token, chat_room_id=room)
    answers = [chat.say(f"flood {index}") for index in range(40)]
    stored = [answer["message"]["seq"] for answer in answers if answer["ok"]]
    refused = [answer["error"] for answer in answers if not answer["ok"]]
    assert stored and refused
    assert {error["code"] for error in refused} == {"rate_limited"} and all(error["retry_after"] > 0 for error in refused)
    assert stored == list(range(stored[0], stored[0] + len(stored))), "what was refused took no seq"
    by_http = [person.call("POST", f"/chat-rooms/{room}/messages", {"content": "by HTTP"}) for _ in range(20)]
    check_wait(next(answer for answer in by_http if not answer.is_success))
    assert other.post(room, "another user is not held up")
    chat.close()


def test_typing_and_presence_that_flicker_are_told_a_few_times_only(node):
    owner, flicker = Person.sign_up(node), Person.sign_up(node)
    room = owner.create_room()
    flicker.enter(room, owner)
    watcher = Chat(node, owner.token, chat_room_id=room)
    # Who comes before that, to another node, is in this list instead of being told.
    watcher.next("online_users")
    chat = Chat(node, flicker.token, chat_room_id=room)
    watcher.next("join", lambda event: event["username"] == flicker.name)
    for index in range(200):
        chat.ask("typing", {"is_typing": True})
    for _ in range(20):
        Chat(node, flicker.token, chat_room_id=room).close()
    fence = chat.say("whatever came before this has come")["message"]["id"]
    watcher.next("chat", lambda event: event["message"]["id"] == fence)
    told = [name for name, _ in watcher.kept]
    assert 1 <= told.count("typing") <= 20
    assert told.count("join") == 0 and told.count("leave") == 0, "the user was there all the time"
    for one in (watcher, chat):
        one.close()


@with_limits(sockets_per_user=3)
def test_one_socket_too_many_of_a_user_is_refused_in_words(limited):
    person, other = Person.sign_up(limited), Person.sign_up(limited)
    open_ = [Chat(limited, person.token) for _ in range(3)]
    assert refusal(limited, person.token).startswith("rate_limited: ")
    assert refusal(limited, other.token) == ""
    open_.pop().close()
    open_[0].ask("typing", {"chat_room_id": person.create_room(), "is_typing": False})
    for chat in open_:
        chat.close()


@with_limits(sockets_per_address=3)
def test_one_socket_too_many_of_an_address_is_refused(limited):
    people = [Person.sign_up(limited) for _ in range(4)]
    open_ = [Chat(limited, person.token) for person in people[:3]]
    with pytest.raises(Refused):
        Chat(limited, people[3].token)
    assert httpx.get(f"{limited.url}/livez").status_code == 200
    for chat in open_:
        chat.close()


@with_limits(memberships_per_user=3)
def test_one_room_too_many_is_refused(limited):
    person, other = Person.sign_up(limited), Person.sign_up(limited)
    for _ in range(3):
        person.create_room()
    answer = person.call("POST", "/chat-rooms", {"name": "one too many"})
    assert answer.status_code in (400, 403, 409, 429) and answer.json()["code"] in ("rate_limited", "conflict", "forbidden")
    assert other.create_room()
    assert len(person.ask("GET", "/chat-rooms")) == 3


@pytest.mark.parametrize("setting", [{"NATTER_SIGNUP": "closed"}])
def test_a_closed_server_lets_nobody_sign_up(setting):
    node = Node(**setting, NATTER_AUTH_ADMIN_EMAIL="boss@example.org", NATTER_AUTH_ADMIN_USERNAME="boss", NATTER_AUTH_ADMIN_PASSWORD=PASSWORD)
    try:
        answer = httpx.post(f"{node.url}/signup", json={"email": "a@example.org", "username": "a", "password": PASSWORD})
        check_refusal(answer, 403, "signup_closed")
        boss = Person(node, log_in(node, "boss").json()["access_token"])
        assert boss.ask("GET", "/users/me")["is_admin"] is True
        assert boss.call("POST", "/admin/users", {"email": "b@example.org", "username": "bee", "password": PASSWORD}).status_code == 201
    finally:
        node.stop()


INVISIBLE = ["a\u200bb", "a\u200db", "a\u00adb", "a\u202eb", "\ufeffa", "a\u2060b", "a\u3164b", "a\nb", "a\tb", "a\0b", "\x1b[1m", "a\x7f", "a\x85", "\U000e0041x"]  # fmt: skip


@pytest.mark.parametrize("name", INVISIBLE, ids=ascii)
def test_a_name_with_what_cannot_be_seen_is_refused(world, name):
    answer = httpx.post(f"{world.node.url}/signup", json={"email": "seen@example.org", "username": name, "password": PASSWORD})
    check_refusal(answer, 422, "invalid")
    check_refusal(world.alice.call("POST", "/chat-rooms", {"name": name}), 422, "invalid")
    check_refusal(world.admin.call("PATCH", f"/admin/users/{world.bob.id}", {"username": name}), 422, "invalid")


@pytest.mark.parametrize("name", ["admin", "Admin", "ADMIN", "system", "all", "here", "api", "null", "ａdmin", "everyone", "root"])
def test_a_reserved_name_is_refused(world, name):
    answer = httpx.post(f"{world.node.url}/signup", json={"email": f"reserved{len(name)}@example.org", "username": name, "password": PASSWORD})
    assert answer.status_code in (400, 422) or name in ("everyone", "root"), f"{name}: {answer.status_code}"


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "x" * 10_000, "\U0001f600" * 500, "a" + "\u0301" * 50, "@", "a@b.example"])
def test_a_name_that_could_not_be_one_is_refused(world, name):
    answer = httpx.post(f"{world.node.url}/signup", json={"email": "other@example.org", "username": name, "password": PASSWORD})
    check_refusal(answer, 422, "invalid")


@pytest.mark.parametrize("name", ["Zoë", "王小明", "Владимир", "o'neill", "a-b_c.d", "x1"])
def test_names_of_people_are_taken(node, name):
    answer = httpx.post(f"{node.url}/signup", json={"email": f"people{abs(hash(name))}@example.org", "username": name, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    assert answer.json()["username"] == name and log_in(node, name).status_code == 200


@pytest.mark.parametrize(("first", "second"), [("lookalike", "LookAlike"), ("ﬁnch", "finch"), ("ａbc", "abc")])
def test_a_name_that_looks_like_anothers_is_taken(node, first, second):
    def sign_up(name, number):
        email = f"alike{number}{first.encode().hex()}@example.org"
        return httpx.post(f"{node.url}/signup", json={"email": email, "username": name, "password": PASSWORD})

    assert sign_up(first, 1).status_code == 201
    check_refusal(sign_up(second, 2), 400, "username_taken")


@pytest.mark.parametrize("message", ["x" * 100_000, "a\0b", "\x1b[1m", 5, {"$gt": ""}])
def test_the_words_of_a_request_are_checked_as_well(world, message):
    check_refusal(world.mallory.call("POST", "/join-request", {"chat_room_id": world.room, "message": message}), 422, "invalid")

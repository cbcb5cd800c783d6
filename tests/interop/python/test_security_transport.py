"""Connections that waste, confuse or cross origins (families D, G and J of the security cases)."""

import contextlib
import json
import signal
import time

import httpx
import pytest

from support.node import Node, until
from support.people import PASSWORD, Person
from support.wire import Chat, Wire

ORIGIN = "https://app.example.org"


@pytest.fixture(scope="module")
def cross():
    """A node that lets the pages of one foreign origin in."""
    node = Node(NATTER_CORS_ORIGINS=ORIGIN)
    person = Person.sign_up(node)
    person.room = person.create_room()
    yield person
    assert node.is_alive() and "panicked" not in node.log
    node.stop()


POLLING = "/socket.io/?EIO=4&transport=polling"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
FOREIGN = ["https://evil.example", "null", "http://app.example.org", "https://app.example.org.evil.example", "https://app.example.org:8443", "https://evilapp.example.org", "file://", "x", "https://app.example.org, https://evil.example", "HTTPS://APP.EXAMPLE.ORG.evil"]  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_origin_is_refused_on_polling_and_on_the_upgrade(cross, origin):
    assert httpx.get(cross.node.url + POLLING, headers={"Origin": origin}).status_code == 403
    answer = httpx.get(f"{cross.node.url}/socket.io/?EIO=4&transport=websocket", headers=UPGRADE | {"Origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_the_own_origin_the_allowed_one_and_none_are_welcome(cross):
    for headers in ({}, {"Origin": ORIGIN}, {"Origin": cross.node.url}):
        answer = httpx.get(cross.node.url + POLLING, headers=headers)
        assert answer.status_code == 200, headers
        assert answer.headers.get("access-control-allow-origin") in (headers.get("Origin"), None)
    assert httpx.get(cross.node.url + POLLING, headers={"Origin": ORIGIN}).headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize("origin", FOREIGN)
def test_cross_origin_reading_is_for_the_allowed_alone(cross, origin):
    answer = cross.call("GET", "/users/me", headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    assert "access-control-allow-origin" not in httpx.options(f"{cross.node.url}/chat-rooms", headers=preflight).headers


def test_the_allowed_origin_may_send_a_token_and_no_cookie(cross):
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = httpx.options(f"{cross.node.url}/chat-rooms", headers=preflight)
    assert answer.is_success and answer.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert answer.headers.get("access-control-allow-credentials") != "true"
    assert "origin" in answer.headers["vary"].lower()
    assert cross.call("GET", "/users/me", headers={"Origin": ORIGIN}).headers["access-control-allow-origin"] == ORIGIN


def test_where_the_public_url_is_known_no_header_makes_another_origin_ones_own():
    node = Node(NATTER_PUBLIC_URL="https://chat.example.org")
    try:
        for headers, status in (
            ({"Origin": "https://chat.example.org"}, 200),
            ({"Origin": "http://evil.example", "Host": "evil.example"}, 403),
            ({"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}, 403),
            ({"Origin": "http://chat.example.org"}, 403),
        ):
            assert httpx.get(node.url + POLLING, headers=headers).status_code == status, headers
    finally:
        node.stop()


def test_links_name_no_host_and_request_ids_are_the_servers_own(cross):
    for _ in range(2):
        cross.create_room()
    answer = cross.call("GET", "/chat-rooms?limit=1", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Request-Id": "evil"})
    assert answer.links["next"]["url"].startswith("/chat-rooms?")
    assert "evil" not in str(answer.headers)


@pytest.mark.parametrize("path", ["/users/me", "/chat-rooms", "/chat-rooms/{room}/messages", "/users?name=x"])
def test_what_needs_a_token_is_kept_by_no_cache(cross, path):
    answer = cross.call("GET", path.format(room=cross.room))
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]


def test_tokens_are_kept_by_no_cache(cross):
    answer = httpx.post(f"{cross.node.url}/token", data={"username": cross.name, "password": PASSWORD})
    assert "no-store" in answer.headers["cache-control"]


@pytest.mark.parametrize("headers", ["X: " + "y" * 17_000, "\r\n".join(f"X{index}: y" for index in range(210)), "Cookie: " + "a=b;" * 5000])
def test_headers_without_bound_are_431(cross, headers):
    with Wire(cross.node) as wire:
        wire.send(f"GET /livez HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n")
        assert wire.status() == 431


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100, b"GET  /livez  HTTP/1.1\r\n\r\n", b"GET /livez\r\n\r\n",
        b"POST /signup HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"POST /signup HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /signup HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\n\r\n",
        b"POST /signup HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n", b"POST /signup HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://evil.example/livez HTTP/1.1\r\nHost: evil\r\n\r\n", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=lambda request: ascii(request[:40]),
)  # fmt: skip
def test_a_request_that_is_none_is_answered_or_closed(cross, request_):
    with Wire(cross.node) as wire:
        wire.send(request_)
        wire.finish()
        assert wire.status() in (None, 200, 400, 404, 405, 408, 411, 414, 415, 422, 431, 501, 505)
    assert cross.node.is_alive()


def test_a_head_that_drips_in_is_cut_off_within_ten_seconds(cross):
    wires = [Wire(cross.node) for _ in range(50)]
    since = time.monotonic()
    for wire in wires:
        wire.send("GET /livez HTTP/1.1\r\nHost: x\r\nX: ")
    assert httpx.get(f"{cross.node.url}/livez").status_code == 200, "others are served meanwhile"
    for wire in wires:
        assert wire.is_closed_within(max(0.1, 12 - (time.monotonic() - since))), "closed within ten seconds and a breath"
        wire.tcp.close()


def test_a_connection_that_says_nothing_is_cut_off(cross):
    with Wire(cross.node) as wire:
        assert wire.is_closed_within(15)


@pytest.mark.parametrize("extension", ["permessage-deflate", "permessage-deflate; client_max_window_bits", "x-webkit-deflate-frame"])
def test_compression_of_frames_is_not_negotiated(cross, extension):
    with Wire(cross.node) as wire:
        lines = [f"{name}: {value}" for name, value in (UPGRADE | {"Host": "x", "Sec-WebSocket-Extensions": extension}).items()]
        wire.send("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n")
        answer = wire.answer().lower()
        assert b" 101 " in answer and b"sec-websocket-extensions" not in answer


def test_who_never_connects_is_let_go_and_counted_by_address():
    # So few that all have come long before the first is let go, after ten seconds, on the slowest machine too.
    node = Node(NATTER_LIMITS_PENDING_HANDSHAKES_PER_ADDRESS="4")
    try:
        person = Person.sign_up(node)
        waiting = [httpx.get(node.url + POLLING) for _ in range(6)]
        assert [answer.status_code for answer in waiting[:4]] == [200] * 4
        assert {answer.status_code for answer in waiting[4:]} <= {429, 503}
        assert int(waiting[-1].headers["retry-after"]) > 0
        assert person.ask("GET", "/users/me"), "HTTP goes on"
        until("the waiting ones to be let go", lambda: httpx.get(node.url + POLLING).status_code == 200, 30)
    finally:
        node.stop()


@pytest.mark.parametrize("more", ["", "&transport=polling", "&transport=websocket", "&s%69d={sid}", "&sid%00=x", "&x=%ff"])
def test_a_query_that_reads_in_two_ways_loosens_no_bound_on_strangers(node, more):
    sid = json.loads(httpx.get(node.url + POLLING).text[1:])["sid"]
    person = Person.sign_up(node)
    with Wire(node) as wire:
        wire.upgrade("/socket.io/?EIO=4&transport=websocket" + more.format(sid=sid))
        with contextlib.suppress(ConnectionError):
            for _ in range(10):
                wire.send_frame("40" + json.dumps({"token": "x" * 30_000}))
        assert wire.is_closed_within(5), "128 KiB before one is known are the most"
    with Wire(node) as wire:
        wire.upgrade("/socket.io/?EIO=4&transport=websocket" + more.format(sid=sid))
        wire.send_frame("40" + json.dumps({"token": person.token}))
        until("the client to be let in", lambda: b"ready" in wire.tcp.recv(65536))
        assert person.call("POST", "/users/me/log-out-everywhere").status_code == 204
        assert wire.is_closed_within(5), "revoked"


def test_a_session_named_twice_takes_no_more_from_strangers(node):
    sid = json.loads(httpx.get(node.url + POLLING).text[1:])["sid"]
    answer = httpx.post(f"{node.url}{POLLING}&sid={sid}&sid={sid}", content=b"4" + b"x" * 3_000_000)
    assert answer.status_code in (400, 413)


def test_who_does_not_read_is_disconnected_and_others_are_not(node):
    person, other = Person.sign_up(node), Person.sign_up(node)
    room = person.create_room()
    other.enter(room, person)
    reader = Chat(node, other.token, chat_room_id=room)
    # Who comes before that, to another node, is in this list instead of being told.
    reader.next("online_users")
    with Wire(node, receive_buffer=4096) as stuck:
        stuck.upgrade("/socket.io/?EIO=4&transport=websocket")
        stuck.send_frame("40" + json.dumps({"token": person.token, "chat_room_id": room}))
        reader.next("join", lambda event: event["username"] == person.name)
        for index in range(300):
            assert reader.say(f"{index} " + "x" * 16_000)["ok"]
        assert len(reader.messages(300)) == 300
        reader.next("leave", lambda event: event["username"] == person.name)
    reader.close()


def test_acknowledgements_that_nobody_asked_for_are_nothing(node):
    person = Person.sign_up(node)
    room = person.create_room()
    memory = node.memory()
    with Wire(node) as wire:
        wire.upgrade("/socket.io/?EIO=4&transport=websocket")
        wire.send_frame("40" + json.dumps({"token": person.token, "chat_room_id": room}))
        # Before it is let in, a client may send 128 KiB.
        until("the client to be let in", lambda: b"joined" in wire.tcp.recv(65536))
        for start in range(0, 100_000, 1000):
            wire.send_frames(f"43{index}[]" for index in range(start, start + 1000))
        wire.send_frame('427["chat",{"content":"still here"}]')
        heard = b""

        def is_answered():
            nonlocal heard
            heard = heard[-100_000:] + wire.tcp.recv(65536)
            return b"437[" in heard

        until("the answer to what is said behind them", is_answered)
    assert node.memory() < memory + (64 << 20)


def test_the_metrics_have_a_port_of_their_own(node):
    metrics = httpx.get(f"http://{node.host}:{node.metrics_port}/metrics")
    assert metrics.status_code == 200 and "natter_" in metrics.text
    for path in ("/metrics", "/debug", "/debug/pprof", "/failpoints", "/test", "/actuator", "/server-status"):
        assert httpx.get(node.url + path, headers={"Accept": "application/json"}).status_code == 404
    for path in ("/users/me", "/token", "/livez/../users/me", "/socket.io/?EIO=4&transport=polling"):
        assert httpx.get(f"http://{node.host}:{node.metrics_port}{path}").status_code == 404


def test_sigterm_drains_and_ends_with_0():
    node = Node(NATTER_DRAIN_GRACE="3s")
    try:
        person = Person.sign_up(node)
        chat = Chat(node, person.token)
        node.process.send_signal(signal.SIGTERM)
        chat.next("disconnect")
        assert node.process.wait(20) == 0
    finally:
        node.stop()

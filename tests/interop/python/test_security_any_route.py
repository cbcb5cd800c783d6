"""Every published route, given every odd value in every place: never a 5xx, always an error of the contract's form.

The routes come from the node's own document, so one that is added tomorrow is asked as well."""

import json
import random
import re

import httpx
import pytest

from support.node import Node
from support.people import Person
from support.shapes import check_refusal
from support.tokens import SECRET

ODD_TEXTS = [
    "", "x", "0", "-1", "1e400", "NaN", "null", "true", "[]", "{}", "%00", "%ff%fe", "%F0%9F%98%80", "..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%27%20OR%20%271%27=%271",
    "$gt", "%7B%22$gt%22:%22%22%7D", "g" * 24, "0" * 24, "0" * 48, "f" * 48, "f" * 24, "00000000-0000-0000-0000-000000000000", "a" * 5000, "%E2%80%AE", "%0d%0aX-Evil:%201",
]  # fmt: skip
ODD_BODIES = [
    b"", b"null", b"true", b"0", b"-1", b"1e400", b'""', b'"x"', b"[]", b"[[]]", b"{}", b"{", b"}", b"\xff", b"\0", b'{"":""}', b"[" * 20_000, b'{"a":' * 5000,
    b"\xef\xbb\xbf{}", b'{"content":"\\ud800"}', b'{"name":"\\udc00"}', b"{}" + b" " * 100_000, b"{}{}", b"NaN", b"'x'", b"{'x':1}", b"# x", b"<x/>",
]  # fmt: skip
ODD_VALUES = [None, True, 0, -1, 1.5, 2**63, 2**64, 1e308, "", "x", "\0", "\x1b", "\u202e", "a" * 100_000, "0" * 24, [], [None], {}, {"$gt": ""}, [[[[[]]]]]]


@pytest.fixture(scope="module")
def asked():
    """A node of its own, for some of what is asked ends accounts and rooms, and its admin, with a room."""
    node = Node(SECRET_KEY=SECRET, NATTER_LIMITS_MESSAGES_PER_SECOND="0")
    admin = Person.sign_up(node)
    admin.room = admin.create_room()
    admin.document = httpx.get(f"{node.url}/openapi.json").json()
    yield admin
    assert admin.ask("GET", f"/chat-room/{admin.room}")["owner"]["id"] == admin.id, "the odd calls were made by somebody who may"
    assert node.is_alive() and "panicked" not in node.log, node.log[-2000:]
    node.stop()


def operations(document: dict):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            # These two end the token that the next call needs; malformed bodies for them are sent elsewhere.
            if method in ("get", "post", "put", "patch", "delete") and path not in ("/users/me/log-out-everywhere", "/users/me/password"):
                yield method.upper(), path, operation


def resolve(document: dict, schema: dict) -> dict:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def check(answer: httpx.Response, said: object) -> None:
    assert answer.status_code < 500, f"{answer.request.method} {answer.request.url} {said!r}: {answer.status_code} {answer.text[:200]}"
    assert "X-Evil" not in answer.headers
    if answer.status_code >= 400:
        check_refusal(answer, answer.status_code)


def filled(path: str, room: str) -> str:
    return re.sub(r"\{\w+\}", room, path)


def test_no_path_is_an_inner_error(asked):
    for method, path, _ in operations(asked.document):
        for odd in ODD_TEXTS if "{" in path else []:
            check(asked.call(method, re.sub(r"\{\w+\}", odd or "%20", path)), odd[:40])


def test_no_query_is_an_inner_error(asked):
    for method, path, operation in operations(asked.document):
        names = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
        for name in names:
            for odd in ODD_TEXTS:
                check(asked.call(method, f"{filled(path, asked.room)}?{name}={odd}&{name}={odd}"), odd[:40])
                check(asked.call(method, f"{filled(path, asked.room)}?{name}={odd}"), odd[:40])


def test_no_body_is_an_inner_error(asked):
    for method, path, operation in operations(asked.document):
        for odd in ODD_BODIES if "requestBody" in operation else []:
            for content_type in ("application/json", *operation["requestBody"]["content"]):
                check(asked.call(method, filled(path, asked.room), odd, headers={"Content-Type": content_type}), odd[:40])


def test_no_field_is_an_inner_error(asked):
    chance = random.Random(1)
    for method, path, operation in operations(asked.document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        schema = resolve(asked.document, content["schema"]) if content else {}
        names = list(schema.get("properties", {}))
        for name in names:
            for odd in ODD_VALUES:
                others = {other: chance.choice(ODD_VALUES) for other in names if other != name and chance.random() < 0.3}
                body = json.dumps({name: odd} | others)
                check(asked.call(method, filled(path, asked.room), body), body[:80])

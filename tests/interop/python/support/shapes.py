"""The objects of CONTRACT and docs/PROTOCOL.md, as patterns that an answer is held against."""

import re


class Either:
    """One of several patterns."""

    def __init__(self, *patterns):
        self.patterns = patterns

    def __repr__(self):
        return " or ".join(map(repr, self.patterns))


def fault(value, pattern, at: str = "") -> str | None:
    """Where `value` does not have the shape of `pattern`; `None` if it has. Further fields are allowed."""
    if isinstance(pattern, Either):
        if all(fault(value, one) for one in pattern.patterns):
            return f"{at}: {value!r} is not {pattern}"
    elif isinstance(pattern, dict):
        if not isinstance(value, dict):
            return f"{at}: {value!r} is no object"
        for key, inner in pattern.items():
            if key not in value:
                return f"{at}.{key} is missing from {value!r}"
            if found := fault(value[key], inner, f"{at}.{key}"):
                return found
    elif isinstance(pattern, list):
        if not isinstance(value, list):
            return f"{at}: {value!r} is no array"
        for index, item in enumerate(value):
            if found := fault(item, pattern[0], f"{at}[{index}]"):
                return found
    elif isinstance(pattern, re.Pattern):
        if not isinstance(value, str) or not pattern.fullmatch(value):
            return f"{at}: {value!r} is not like {pattern.pattern}"
    elif isinstance(pattern, type):
        if not isinstance(value, pattern) or (pattern is int and isinstance(value, bool)):
            return f"{at}: {value!r} is no {pattern.__name__}"
    elif value != pattern:
        return f"{at}: {value!r} is not {pattern!r}"
    return None


def check(value, pattern) -> None:
    found = fault(value, pattern)
    assert found is None, found


ID = re.compile(r"\S+")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TEXT = re.compile(r".+", re.DOTALL)

USER = {"id": ID, "email": TEXT, "username": TEXT, "is_online": bool, "is_admin": bool}
PERSON = {"id": ID, "email": TEXT, "username": TEXT}
ROOM = {"id": ID, "name": str, "created_at": TIME, "is_group": bool, "last_activity": TIME, "owner": PERSON}
SESSION = {"id": ID, "created_at": TIME, "last_seen": Either(TIME, None), "user": PERSON, "chat_room": ROOM}
REQUEST = {"id": ID, "message": Either(str, None), "approved": Either(bool, None), "user": PERSON, "chat_room": ROOM}
MESSAGE = {
    "id": ID, "chat_room_id": ID, "user_id": ID, "username": TEXT, "content": str, "timestamp": TIME,
    "message_type": Either("text", "image", "file"), "file_name": Either(str, None), "file_path": Either(re.compile("/.+"), None),
    "seq": int, "ordinal": int, "client_id": Either(str, None), "attachment": Either(dict, None),
}  # fmt: skip
TOKEN = {"access_token": re.compile(r"[\w-]+\.[\w-]+\.[\w-]+"), "token_type": "bearer", "expires_in": int}
MEMBER = {"id": ID, "user": PERSON, "role": Either("owner", "member"), "created_at": TIME, "is_online": bool, "read_seq": int}

CODES = set(
    "invalid email_taken username_taken already_member already_requested own_room already_handled private_with_oneself"
    " last_admin unauthorized forbidden signup_closed not_found method_not_allowed conflict client_id_conflict too_large"
    " unsupported_media_type rate_limited overloaded unavailable unknown draining storage_full internal".split()
)


def check_refusal(answer, status: int | tuple[int, ...], code: str | None = None) -> None:
    """An error answer as CONTRACT has them: `{detail, code}`, with `errors` in a 422, and nothing of the inside."""
    expected = status if isinstance(status, tuple) else (status,)
    said = f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:300]}"
    assert answer.status_code in expected, said
    assert answer.headers["content-type"].startswith("application/json"), said
    body = answer.json()
    check(body, {"detail": TEXT, "code": TEXT})
    assert body["code"] in CODES, said
    assert code is None or body["code"] == code, said
    assert "\n" not in body["detail"], "one sentence"
    assert not re.search(r"panick|\.rs\b|sqlite|rusqlite|SELECT |constraint|/work/|/tmp/|/src/|serde", answer.text, re.IGNORECASE), said
    if answer.status_code == 422:
        check(body, {"errors": [{"field": str, "message": TEXT}]})
        assert body["errors"], "a 422 names at least one field"
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer"), said

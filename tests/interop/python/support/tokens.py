"""Access tokens, taken apart and put together by hand: what a forger would send."""

import base64
import hashlib
import hmac
import json
import os
import time

# A cluster that is there already has its own, which has to be told.
SECRET = os.environ.get("SECRET_KEY", "the secret of these tests, which is long enough")


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def decode(part: str) -> dict:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def claims_of(token: str) -> dict:
    return decode(token.split(".")[1])


def sign(header: dict | str, claims: dict | str, secret: str = SECRET, digest=hashlib.sha256) -> str:
    """A token with any header and claims; text goes as it is, so that it need not even be JSON."""
    parts = [part if isinstance(part, str) else json.dumps(part) for part in (header, claims)]
    signed = ".".join(encode(part.encode()) for part in parts)
    return f"{signed}.{encode(hmac.new(secret.encode(), signed.encode(), digest).digest())}"


def forged(token: str, header: dict | None = None, secret: str = SECRET, digest=hashlib.sha256, **claims) -> str:
    """`token` with some claims set, or, by `None`, left out, signed again."""
    changed = claims_of(token) | claims
    changed = {name: value for name, value in changed.items() if value is not None}
    return sign({"alg": "HS256", "typ": "JWT"} | (header or {}), changed, secret, digest)


def raw_claims(token: str, name: str, text: str) -> str:
    """`token` with one claim as this text of JSON, such as `1e400`, which no library would write."""
    changed = claims_of(token) | {name: "@@"}
    return sign({"alg": "HS256", "typ": "JWT"}, json.dumps(changed).replace('"@@"', text))


def now() -> int:
    return int(time.time())

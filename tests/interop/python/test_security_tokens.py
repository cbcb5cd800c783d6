"""Forged, stale and misused tokens, and passwords at bcrypt's edges (families A and B of the security cases)."""

import hashlib

import httpx
import pytest

from support.node import Node, keeps_a_folder, natter
from support.people import PASSWORD, Person, log_in
from support.shapes import check_refusal
from support.tokens import SECRET, claims_of, decode, encode, forged, now, raw_claims, sign
from support.wire import Chat, refusal

HEADERS = {
    **{f"alg {alg}": {"alg": alg} for alg in ("none", "None", "NonE", "NONE", "", "HS512", "HS384", "RS256", "ES256", "PS256", "EdDSA", "hs256", 5, None, ["HS256"])},
    "a critical extension": {"crit": ["exp"], "exp": 0},
}  # fmt: skip

FORGERIES = {
    **{f"the header: {what}": (lambda token, header=header: forged(token, header)) for what, header in HEADERS.items() if what != "a critical extension"},
    "alg none and no signature": lambda token: sign({"alg": "none"}, claims_of(token)).rsplit(".", 1)[0] + ".",
    "HS512 with its own signature": lambda token: forged(token, {"alg": "HS512"}, digest=hashlib.sha512),
    "another secret": lambda token: forged(token, secret="another secret that is quite as long"),
    "an empty secret": lambda token: forged(token, secret=""),
    "no signature": lambda token: token.rsplit(".", 1)[0] + ".",
    "two parts": lambda token: token.rsplit(".", 1)[0],
    "four parts": lambda token: token + ".x",
    "a signature cut short": lambda token: token[:-2],
    "other claims under the old signature": lambda token: ".".join([token.split(".")[0], encode(b'{"sub":"x"}'), token.split(".")[2]]),
    **{f"no {claim}": (lambda token, claim=claim: forged(token, **{claim: None})) for claim in ("exp", "sub", "iat", "aud", "iss")},
    **{f"exp {text}": (lambda token, text=text: raw_claims(token, "exp", text)) for text in ('"9999999999"', "-1", "0", "1e400", "null", "[]", "{}", "true", '""', "1.5")},
    **{f"nbf {text}": (lambda token, text=text: raw_claims(token, "nbf", text)) for text in ('"0"', "9999999999", "1e400", "[]", "{}", "true")},
    "expired for 10 s": lambda token: forged(token, exp=now() - 10),
    "another audience": lambda token: forged(token, aud="another"),
    "another issuer": lambda token: forged(token, iss="another"),
    "an audience of other type": lambda token: forged(token, aud=5),
    "an unknown subject": lambda token: forged(token, sub="0" * 24),
    "a subject that is none": lambda token: forged(token, sub={"$gt": ""}),
    "a subject of other type": lambda token: forged(token, sub=5),
    "another use": lambda token: forged(token, use="media"),
    "claims that are an array": lambda token: sign({"alg": "HS256"}, "[]"),
    "claims that are no JSON": lambda token: sign({"alg": "HS256"}, "{"),
    "nothing at all": lambda token: "",
    "dots": lambda token: "..",
    "a megabyte of depth": lambda token: sign({"alg": "HS256"}, "[" * 5000),
    "not base64": lambda token: "a!b.c@d.e#f",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_token_opens_nothing(world, forgery):
    token = FORGERIES[forgery](world.alice.token)
    answer = httpx.get(f"{world.node.url}/users/me", headers={"Authorization": f"Bearer {token}".strip()})
    check_refusal(answer, 401, "unauthorized")
    if token:
        assert token not in answer.text
    assert refusal(world.node, token, chat_room_id=world.room).startswith("unauthorized: ")


def test_the_same_claims_signed_again_are_the_token(world):
    """Else the forgeries above would be refused for another reason than the one they name."""
    for token in (forged(world.alice.token), forged(world.alice.token, exp=now() - 1), forged(world.alice.token, nbf=now() - 1), forged(world.alice.token, more="x")):
        assert httpx.get(f"{world.node.url}/users/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_the_token_is_hs256_with_the_claims_of_the_contract(world):
    assert decode(world.alice.token.split(".")[0])["alg"] == "HS256"
    claims = claims_of(world.alice.token)
    assert {"sub", "email", "username", "iss", "aud", "iat", "exp"} <= set(claims)
    assert (claims["email"], claims["username"]) == (world.alice.user["email"], world.alice.name)
    assert claims["exp"] - claims["iat"] == 30 * 60


@pytest.mark.parametrize(
    "header",
    ["Basic YWxpY2U6eA==", "Bearer", "bearer: {token}", "Token {token}", "{token}", "Bearer {token} x", "Bearer {token},Bearer {token}", "Bearer,"],
)
def test_another_authorization_header_opens_nothing(world, header):
    headers = {"Authorization": header.format(token=world.alice.token)}
    check_refusal(httpx.get(f"{world.node.url}/users/me", headers=headers), 401, "unauthorized")


def test_a_token_elsewhere_than_in_its_header_opens_nothing(world):
    token = world.alice.token
    for query in (f"?token={token}", f"?access_token={token}"):
        check_refusal(httpx.get(f"{world.node.url}/users/me{query}"), 401, "unauthorized")
    for cookie in ("token", "access_token", "Authorization", "session"):
        check_refusal(httpx.get(f"{world.node.url}/users/me", headers={"Cookie": f"{cookie}={token}"}), 401, "unauthorized")


def test_a_media_link_is_no_access_token_and_the_other_way_round(world):
    upload = world.bob.upload(world.room, "a.txt", b"a").json()["id"]
    path = world.bob.post(world.room, "a", message_type="file", attachment_id=upload)["file_path"]
    link = path.rsplit("/", 1)[1]
    check_refusal(httpx.get(f"{world.node.url}/users/me", headers={"Authorization": f"Bearer {link}"}), 401, "unauthorized")
    assert httpx.get(f"{world.node.url}/media/{world.alice.token}").status_code in (400, 401, 404)


def ends_tokens(node, person):
    yield lambda: person.ask("PUT", "/users/me/password", {"current_password": PASSWORD, "new_password": "another horse"})
    yield lambda: person.call("POST", "/users/me/log-out-everywhere")
    yield lambda: node.admin.call("DELETE", f"/admin/users/{person.id}")
    yield lambda: node.admin.ask("PATCH", f"/admin/users/{person.id}", {"is_disabled": True})


WAYS = ["new password", "logged out everywhere", "deleted", "disabled"]


@pytest.mark.parametrize("how", WAYS)
def test_whoever_is_revoked_loses_tokens_and_live_sockets(node, how):
    person = Person.sign_up(node)
    sockets = [Chat(node, person.token), Chat(node, person.token, ("polling",)), Chat(node, person.token, chat_room_id=person.create_room())]
    revoke = dict(zip(WAYS, ends_tokens(node, person)))[how]
    revoke()
    check_refusal(person.call("GET", "/users/me"), 401, "unauthorized")
    for chat in sockets:
        chat.next("disconnect")
    assert refusal(node, person.token).startswith("unauthorized: ")


PUBLISHED = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"


@pytest.mark.parametrize("secret", ["short", "x" * 31, "secret", "changeme" * 4, "secret-secret-secret-secret-secret-1", PUBLISHED])
def test_a_weak_secret_is_refused_at_start_in_one_sentence(tmp_path, secret):
    started = natter("serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--data-dir", str(tmp_path), SECRET_KEY=secret)
    assert started.returncode == 2
    said = started.stderr + started.stdout
    assert "SECRET_KEY" in said and (len(secret) < 20 or secret not in said)


def test_the_embedded_secret_is_made_once_for_its_owner_only():
    keeps_a_folder()
    node = Node()
    try:
        person = Person.sign_up(node)
        (file,) = (path for path in (node.directory / "data").rglob("*") if "secret" in path.name)
        assert file.stat().st_mode & 0o777 == 0o600
        node.kill()
        node.run()
        assert person.ask("GET", "/users/me")["id"] == person.id
    finally:
        node.stop()


def test_secrets_and_texts_are_in_no_log(node):
    person = Person.sign_up(node)
    room = person.create_room("a room")
    person.post(room, "only for the members' eyes")
    log_in(node, person.name, "a wrong password of mine")
    httpx.get(f"{node.url}/users/me?token={person.token}")
    chat = Chat(node, person.token, chat_room_id=room)
    chat.say("said by socket, for members only")
    chat.close()
    for secret in (SECRET, person.token, PASSWORD, "a wrong password of mine", "only for the members' eyes", "said by socket"):
        assert secret not in node.log


def sign_up(node, password, name):
    return httpx.post(f"{node.url}/signup", json={"email": f"{name}@example.org", "username": name, "password": password})


@pytest.mark.parametrize("password", ["x" * 73, "€" * 25, "x" * 72 + "\0", "\0", "a\0b", "x" * 1_000_000])
def test_a_password_that_bcrypt_would_cut_is_422(node, password):
    check_refusal(sign_up(node, password, "toolong"), 422, "invalid")


def test_72_bytes_are_all_looked_at(node):
    assert sign_up(node, "€" * 24, "seventytwo").status_code == 201
    assert log_in(node, "seventytwo", "€" * 24).status_code == 200
    for other in ("€" * 23 + "¢x", "€" * 24 + "x", "€" * 25):
        assert log_in(node, "seventytwo", other).status_code in (401, 422)


def test_a_password_is_taken_as_it_is(node):
    for index, password in enumerate((" leading and trailing ", "pass word", "pässwörd", "\U0001f600" * 5, "a+b&c=d%20")):
        assert sign_up(node, password, f"exact{index}").status_code == 201
        assert log_in(node, f"exact{index}", password).status_code == 200
        assert log_in(node, f"exact{index}", password.strip() + "x").status_code == 401

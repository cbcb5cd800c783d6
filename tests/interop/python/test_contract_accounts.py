"""CONTRACT, "Accounts and tokens", call by call."""

import httpx
import pytest

from support.node import Node
from support.people import PASSWORD, Person, log_in
from support.shapes import TOKEN, USER, check, check_refusal


def sign_up(node, **fields):
    return httpx.post(f"{node.url}/signup", json=fields)


def test_the_very_first_account_is_the_admin_and_no_other():
    node = Node()
    try:
        first, second = Person.sign_up(node, "first"), Person.sign_up(node, "second")
        assert (first.user["is_admin"], second.user["is_admin"]) == (True, False)
        assert first.ask("GET", "/admin/users")
    finally:
        node.stop()


def test_sign_up_answers_201_with_the_user_and_never_the_hash(node):
    answer = sign_up(node, email="sign.up@example.org", username="signup", password=PASSWORD)
    assert answer.status_code == 201
    check(answer.json(), USER)
    assert set(answer.json()) == set(USER)
    assert (answer.json()["email"], answer.json()["username"]) == ("sign.up@example.org", "signup")
    assert PASSWORD not in answer.text and "$2" not in answer.text


@pytest.mark.parametrize("email", ["taken@example.org", "Taken@Example.ORG"])
def test_a_taken_email_is_400(node, email):
    sign_up(node, email="taken@example.org", username="takenmail", password=PASSWORD)
    check_refusal(sign_up(node, email=email, username="another", password=PASSWORD), 400, "email_taken")


def test_a_taken_username_is_400(node):
    sign_up(node, email="one.name@example.org", username="onename", password=PASSWORD)
    check_refusal(sign_up(node, email="two.name@example.org", username="onename", password=PASSWORD), 400, "username_taken")


GOOD = {"email": "malformed@example.org", "username": "malformed", "password": PASSWORD}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, value) for field in GOOD for value in (None, "", 5, True, [], {}, {"$gt": ""}, ["x"], "\0")),
        ("email", "no-at-sign"), ("email", "@example.org"), ("email", "a@"), ("email", "a b@example.org"), ("email", "a@@b.org"),
        ("email", "a\n@example.org"), ("email", "a" * 400 + "@example.org"), ("username", "x" * 300), ("username", " "),
        ("password", "x" * 73), ("password", "€" * 25), ("password", "good password\0with NUL"),
    ],
)  # fmt: skip
def test_a_malformed_sign_up_is_422_and_names_the_field(node, field, value):
    answer = sign_up(node, **(GOOD | {field: value}))
    check_refusal(answer, 422, "invalid")
    assert field in [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("missing", GOOD)
def test_a_missing_field_is_422(node, missing):
    check_refusal(sign_up(node, **{key: value for key, value in GOOD.items() if key != missing}), 422, "invalid")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"5", b'"text"', b'{"email":', b"\xff\xfe", b"[" * 5000])
def test_a_body_that_is_no_object_is_422(node, body):
    answer = httpx.post(f"{node.url}/signup", content=body, headers={"Content-Type": "application/json"})
    check_refusal(answer, 422, "invalid")


def test_token_is_given_for_the_username_and_for_the_email(node):
    person = Person.sign_up(node)
    for username in (person.name, person.user["email"]):
        answer = log_in(node, username)
        assert answer.status_code == 200
        check(answer.json(), TOKEN)
        assert answer.json()["expires_in"] == 30 * 60
        token = answer.json()["access_token"]
        assert Person(node, token).ask("GET", "/users/me")["id"] == person.id


def test_an_oauth2_form_with_its_other_fields_is_a_password_flow(node):
    person = Person.sign_up(node)
    form = {"grant_type": "password", "username": person.name, "password": PASSWORD, "scope": "", "client_id": "", "client_secret": ""}
    assert httpx.post(f"{node.url}/token", data=form).status_code == 200


def test_an_unknown_user_and_a_wrong_password_get_the_same_answer(node):
    person = Person.sign_up(node)
    answers = [log_in(node, person.name, "wrong password"), log_in(node, "nobody-of-this-name", "wrong password"), log_in(node, person.name, "")]
    for answer in answers[:2]:
        check_refusal(answer, 401, "unauthorized")
    assert answers[0].json() == answers[1].json()
    assert answers[2].status_code in (401, 422)


@pytest.mark.parametrize("form", [{}, {"username": "x"}, {"password": "x"}, {"user": "x", "pass": "y"}])
def test_a_token_form_without_its_fields_is_422(node, form):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    check_refusal(httpx.post(f"{node.url}/token", data=form, headers=headers), 422, "invalid")


def test_refresh_renews_the_expiry_and_wants_a_token(node):
    person = Person.sign_up(node)
    renewed = person.ask("POST", "/refresh-token")
    check(renewed, TOKEN)
    assert Person(node, renewed["access_token"]).ask("GET", "/users/me")["id"] == person.id
    check_refusal(httpx.post(f"{node.url}/refresh-token"), 401, "unauthorized")


def test_users_me_is_the_user(node):
    person = Person.sign_up(node)
    me = person.ask("GET", "/users/me")
    check(me, USER)
    assert (me["id"], me["email"], me["is_admin"]) == (person.id, person.user["email"], False)


@pytest.mark.parametrize("body", ["true", "false", {"is_online": True}, {"is_online": False}])
def test_online_status_takes_a_bare_boolean_or_an_object(node, body):
    person = Person.sign_up(node)
    answer = person.ask("PUT", "/user/online-status", body)
    check(answer, {"message": str})
    wanted = body["is_online"] if isinstance(body, dict) else body == "true"
    assert person.ask("GET", "/users/me")["is_online"] is wanted


@pytest.mark.parametrize("body", ["", "null", "1", '"true"', "[]", "[true]", "{}", '{"is_online": "yes"}', '{"is_online": null}', "tru"])
def test_any_other_online_status_is_422(world, body):
    check_refusal(world.bob.call("PUT", "/user/online-status", body or b""), 422, "invalid")


def test_a_new_password_ends_every_older_token(node):
    person = Person.sign_up(node)
    older = [person, Person(node, log_in(node, person.name).json()["access_token"])]
    check_refusal(person.call("PUT", "/users/me/password", {"current_password": "wrong", "new_password": "another horse"}), (401, 403, 422))
    renewed = person.ask("PUT", "/users/me/password", {"current_password": PASSWORD, "new_password": "another horse"})
    check(renewed, TOKEN)
    for one in older:
        check_refusal(one.call("GET", "/users/me"), 401, "unauthorized")
    assert Person(node, renewed["access_token"]).ask("GET", "/users/me")["id"] == person.id
    check_refusal(log_in(node, person.name), 401)
    assert log_in(node, person.name, "another horse").status_code == 200


def test_logging_out_everywhere_ends_every_token(node):
    person = Person.sign_up(node)
    assert person.call("POST", "/users/me/log-out-everywhere").status_code == 204
    check_refusal(person.call("GET", "/users/me"), 401, "unauthorized")
    check_refusal(person.call("POST", "/refresh-token"), 401, "unauthorized")
    assert log_in(node, person.name).status_code == 200


def test_people_are_found_by_the_start_of_their_name(node):
    person = Person.sign_up(node, "Findable")
    found = person.ask("GET", "/users", params={"name": person.name[:9].lower()})
    assert {"id": person.id, "username": person.name} in found
    assert all("email" not in one for one in found)
    assert person.ask("GET", "/users", params={"name": ".*"}) == []

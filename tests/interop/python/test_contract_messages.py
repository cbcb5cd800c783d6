"""Messages over HTTP: sending, reading back in pages, markers, uploads, links to files."""

import base64
import itertools

import pytest

from support.node import HEAD_REFUSED
from support.people import Person
from support.shapes import MESSAGE, check, check_refusal

# The smallest PNG there is: one pixel.
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


@pytest.fixture(scope="module")
def long_room(world):
    """A room with 120 messages of alice's, oldest first."""
    room = world.alice.create_room("long")
    return room, [world.alice.post(room, f"number {index}") for index in range(120)]


def test_a_message_is_stored_with_201_and_reads_back(world):
    answer = world.bob.call("POST", f"/chat-rooms/{world.room}/messages", {"content": "héllo \U0001f600"})
    assert answer.status_code == 201
    message = answer.json()
    check(message, MESSAGE)
    assert (message["content"], message["message_type"], message["user_id"]) == ("héllo \U0001f600", "text", world.bob.id)
    assert (message["username"], message["chat_room_id"], message["file_path"]) == (world.bob.name, world.room, None)
    assert world.alice.ask("GET", f"/chat-rooms/{world.room}/messages/{message['id']}") == message
    assert world.alice.ask("GET", f"/chat-rooms/{world.room}/messages")[-1] == message


def test_seq_counts_on_without_a_hole_and_ordinal_counts_messages(node):
    owner, member = Person.sign_up(node), Person.sign_up(node)
    room = owner.create_room()
    first = owner.post(room, "first")
    member.enter(room, owner)
    second = member.post(room, "second")
    assert second["seq"] == first["seq"] + 2, "member_added lies between"
    assert second["ordinal"] == first["ordinal"] + 1


def test_a_client_id_makes_a_retry_safe(world):
    path, body = f"/chat-rooms/{world.room}/messages", {"content": "once", "client_id": "k1"}
    first, again = world.alice.call("POST", path, body), world.alice.call("POST", path, body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() and first.json()["client_id"] == "k1"
    check_refusal(world.alice.call("POST", path, body | {"content": "other"}), 409, "client_id_conflict")
    of_another = world.bob.post(world.room, "mine", client_id="k1")
    assert of_another["seq"] == first.json()["seq"] + 1, "another sender's client_id is another one, and nothing lies between"


@pytest.mark.parametrize("client_id", ["", "~x", "x" * 65, 5, {}, "a\0b"])
def test_a_client_id_that_may_not_be_is_422(world, client_id):
    check_refusal(world.alice.call("POST", f"/chat-rooms/{world.room}/messages", {"content": "x", "client_id": client_id}), 422, "invalid")


@pytest.mark.parametrize("client_id", ["x", "x" * 64, "é" * 64, "with blanks"])
def test_a_client_id_of_1_to_64_characters_is_taken(world, client_id):
    assert world.alice.post(world.room, f"id {client_id}", client_id=client_id)["client_id"] == client_id


@pytest.mark.parametrize(
    "body",
    [{}, {"content": None}, {"content": ""}, {"content": "  \n "}, {"content": 5}, {"content": {"$gt": ""}}, {"content": "a\0b"},
     {"content": "x", "message_type": "video"}, {"content": "x", "message_type": 1}, "[]", "{", ""],
)  # fmt: skip
def test_a_malformed_message_is_422(world, body):
    before = world.alice.contents(world.room)
    check_refusal(world.alice.call("POST", f"/chat-rooms/{world.room}/messages", body or b""), 422, "invalid")
    assert world.alice.contents(world.room) == before


def test_pages_before_and_after_meet_without_gap_or_double(world, long_room):
    room, messages = long_room
    ids = [message["id"] for message in messages]

    def page(**parameters):
        return [message["id"] for message in world.alice.ask("GET", f"/chat-rooms/{room}/messages", params=parameters)]

    assert page() == ids[-50:], "the newest page, oldest first"
    back = page(limit=7)
    while found := page(before=back[0], limit=7):
        back = found + back
    assert back == ids
    forth = ids[:1]
    while found := page(after=forth[-1], limit=33):
        forth += found
    assert forth == ids
    around = page(around=ids[60], limit=11)
    assert ids[60] in around and around == ids[ids.index(around[0]):][:11]


@pytest.mark.parametrize("limit", [-1, 0, 501, 2**31, 2**63, 2**64, "1e308", "5.5", "abc", "", "%00"])
def test_a_limit_out_of_range_is_refused(world, long_room, limit):
    check_refusal(world.alice.call("GET", f"/chat-rooms/{long_room[0]}/messages?limit={limit}"), 422, "invalid")


@pytest.mark.parametrize("limit", [-1, 0, 501, 2**31])
def test_a_whole_number_out_of_range_is_422(world, long_room, limit):
    check_refusal(world.alice.call("GET", f"/chat-rooms/{long_room[0]}/messages?limit={limit}"), 422, "invalid")


@pytest.mark.parametrize("direction", ["before", "after", "around"])
def test_a_message_id_of_another_room_is_unknown(world, long_room, direction):
    path = f"/chat-rooms/{long_room[0]}/messages"
    for identity, status in ((world.message, 404), (world.secret, 404), ("0" * 48, 404), ("x", 400), ("0" * 24, (400, 404)), ("%00", 400)):
        check_refusal(world.alice.call("GET", f"{path}?{direction}={identity}"), status)
    check_refusal(world.alice.call("GET", f"{path}/{world.secret}"), 404, "not_found")


def test_read_markers_and_unread_counts(node):
    owner, member = Person.sign_up(node), Person.sign_up(node)
    room = owner.create_room()
    member.enter(room, owner)
    sent = [owner.post(room, f"unread {index}") for index in range(4)]

    def entry():
        return member.ask("POST", "/user/submitted-chat-rooms", {"is_group": True})[0]

    assert (entry()["unread"], entry()["last_message"]["id"]) == (4, sent[-1]["id"])
    marker = f"/chat-rooms/{room}/read-marker"
    assert member.ask("PUT", marker, {"seq": sent[1]["seq"]})["unread"] == 2
    assert member.ask("PUT", marker, {"seq": 1})["seq"] == sent[1]["seq"], "a marker never moves back"
    beyond = member.call("PUT", marker, {"seq": 10**6})
    assert beyond.status_code == 422 or beyond.json()["seq"] == sent[-1]["seq"], "nor beyond the tail"
    assert member.ask("PUT", marker, {"seq": sent[-1]["seq"]})["unread"] == 0
    assert entry()["unread"] == 0
    for seq in (-1, 5.5, "5", None, 2**64, {}):
        check_refusal(member.call("PUT", marker, {"seq": seq}), 422, "invalid")


def test_an_upload_becomes_a_message_whose_path_loads(world):
    answer = world.bob.upload(world.room, "pixel.png", PIXEL, "image/png")
    assert answer.status_code == 201
    upload = answer.json()
    check(upload, {"id": str, "file_name": "pixel.png", "size": len(PIXEL), "content_type": "image/png"})
    message = world.bob.post(world.room, "look", message_type="image", attachment_id=upload["id"])
    assert (message["message_type"], message["file_name"]) == ("image", "pixel.png")
    picture = world.anonymous.call("GET", message["file_path"])
    assert (picture.status_code, picture.content) == (200, PIXEL)
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["cache-control"] == "private, no-store"
    assert (message["attachment"]["width"], message["attachment"]["height"]) == (1, 1)


def test_a_range_of_a_file(world):
    content = bytes(itertools.islice(itertools.cycle(range(256)), 10_000))
    upload = world.bob.upload(world.room, "data.bin", content).json()
    path = world.bob.post(world.room, "data", message_type="file", attachment_id=upload["id"])["file_path"]
    part = world.anonymous.call("GET", path, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["content-range"] == "bytes 100-199/10000"
    assert world.anonymous.call("GET", path, headers={"Range": "bytes=-10"}).content == content[-10:]
    assert world.anonymous.call("GET", path, headers={"Range": "bytes=20000-"}).status_code == 416
    for odd in ("bytes=a-b", "bytes=9-1", "bytes=0-0,5-5", "lines=1-2", "bytes=" + "0-1," * 5000):
        assert world.anonymous.call("GET", path, headers={"Range": odd}).status_code in (200, 206, 416, HEAD_REFUSED)


def test_an_attachment_is_the_senders_of_this_room_and_used_once(world):
    upload = world.bob.upload(world.room, "once.txt", b"once").json()["id"]
    body = {"content": "x", "message_type": "file", "attachment_id": upload}
    check_refusal(world.alice.call("POST", f"/chat-rooms/{world.room}/messages", body), 404, "not_found")
    check_refusal(world.bob.call("POST", f"/chat-rooms/{world.pair}/messages", body), 404, "not_found")
    world.bob.post(world.room, **body)
    check_refusal(world.bob.call("POST", f"/chat-rooms/{world.room}/messages", body), (404, 409))
    for unknown in ("0" * 24, "../x"):
        check_refusal(world.bob.call("POST", f"/chat-rooms/{world.room}/messages", body | {"attachment_id": unknown}), (400, 404, 422))


@pytest.mark.parametrize("is_typing", [True, False])
def test_typing_is_204(world, is_typing):
    assert world.bob.call("POST", f"/chat-rooms/{world.room}/typing", {"is_typing": is_typing}).status_code == 204

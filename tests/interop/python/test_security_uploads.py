"""Files made to be shown, run or stored where they should not be (family F of the security cases)."""

import base64
import resource
import struct
import zipfile
import zlib
from io import BytesIO

import httpx
import pytest

from support.node import Node, keeps_a_folder, until
from support.people import Person
from support.shapes import check_refusal
from support.wire import Chat, Wire

NAMES = [
    "../../x.txt", "..\\x.txt", "/etc/passwd", "%2e%2e%2f", "a\0.png", "CON", "", ".", "..", "x" * 300 + ".txt", "a\u202egpj.exe", "a\r\nX-Evil: 1.txt",
    'quo"te.txt', "semi;colon.txt", "ünïcödé \U0001f600.txt", "~/.ssh/id", "C:\\x.txt", "a/b/c.txt", " lead and trail ", "name\ttab.txt", "é" * 200,
]  # fmt: skip


@pytest.fixture(scope="module")
def files():
    """A node whose folder is looked at, and somebody with a room on it."""
    node = Node(NATTER_UPLOAD_LIMIT="1MiB", NATTER_INLINE_FILE_LIMIT="256KiB")
    person = Person.sign_up(node)
    person.room = person.create_room()
    yield person
    assert node.is_alive() and "panicked" not in node.log
    node.stop()


def multipart(name: str, content: bytes, content_type: str = "text/plain") -> dict:
    head = f'--limit\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {content_type}\r\n\r\n'
    return {"content": head.encode() + content + b"\r\n--limit--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=limit"}}


def stored_names(node) -> set[str]:
    return {str(path.relative_to(node.directory)) for path in node.directory.rglob("*") if path.is_file()}


def check_shown_name(name: str) -> None:
    assert name and len(name.encode()) <= 300 and "/" not in name and "\\" not in name and name not in (".", "..")
    assert not any(character < " " or character in "\u202e\x7f" for character in name)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_file_name_is_only_shown_cleaned_and_names_no_file_on_disk(files, name):
    before = stored_names(files.node)
    answer = files.http.post(f"/chat-rooms/{files.room}/attachments", **multipart(name, b"content"))
    if answer.status_code != 201:
        check_refusal(answer, (400, 422))
        return
    check_shown_name(answer.json()["file_name"])
    message = files.post(files.room, "named", message_type="file", attachment_id=answer.json()["id"])
    check_shown_name(message["file_name"])
    file = httpx.get(files.node.url + message["file_path"])
    assert file.content == b"content" and "X-Evil" not in file.headers
    assert file.headers["content-disposition"].startswith("attachment")
    for new in stored_names(files.node) - before:
        assert new.startswith("data/") and "passwd" not in new and ".txt" not in new and ".." not in new


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_so_is_one_inside_a_chat(files, name):
    chat = Chat(files.node, files.token, chat_room_id=files.room)
    answer = chat.say("named", message_type="file", file_name=name, file=b"content")
    chat.close()
    if not answer["ok"]:
        assert answer["error"]["code"] == "invalid"
        return
    check_shown_name(answer["message"]["file_name"])
    assert httpx.get(files.node.url + answer["message"]["file_path"]).content == b"content"


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0" * 10_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def archive() -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("big", b"\0" * (64 << 20))
    return packed.getvalue()


# The smallest GIF there is: one pixel.
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
HOSTILE = {
    "SVG": ("a.svg", "image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
    "HTML": ("a.html", "text/html", b"<!doctype html><script>alert(1)</script>"),
    "XHTML": ("a.xhtml", "application/xhtml+xml", b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>'),
    "PDF": ("a.pdf", "application/pdf", b"%PDF-1.4\n%%EOF"),
    "HTML that says it is a PNG": ("a.png", "image/png", b"<!doctype html><script>alert(1)</script>"),
    "JavaScript": ("a.js", "text/javascript", b"alert(1)"),
    "XML with a stylesheet": ("a.xml", "text/xml", b'<?xml version="1.0"?><?xml-stylesheet href="x"?><x/>'),
    "a bomb of zeros": ("a.zip", "application/zip", archive()),
    "nothing known": ("a.bin", "image/png; charset=x\r\n", bytes(range(256))),
}


def sent(files, name, content_type, content) -> httpx.Response:
    upload = files.http.post(f"/chat-rooms/{files.room}/attachments", **multipart(name, content, content_type.strip()))
    assert upload.status_code == 201, upload.text
    return httpx.get(files.node.url + files.post(files.room, name, message_type="file", attachment_id=upload.json()["id"])["file_path"])


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_picture_is_a_download_in_a_sandbox(files, what):
    answer = sent(files, *HOSTILE[what])
    assert answer.status_code == 200 and answer.content == HOSTILE[what][2]
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"] and "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["content-type"].split(";")[0] not in ("text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript", "text/xml", "application/xml")


@pytest.mark.parametrize(("name", "content", "content_type"), [("a.html", GIF, "image/gif"), ("a.exe", png(1, 1), "image/png")])
def test_a_picture_is_one_by_its_bytes_whatever_it_is_called(files, name, content, content_type):
    answer = sent(files, name, "text/html", content)
    assert answer.headers["content-type"] == content_type
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_picture_with_something_else_behind_it_is_a_download(files):
    answer = sent(files, "gifar.gif", "image/gif", GIF + b"<script>alert(1)</script>")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (2**31 - 1, 1), (0, 0), (100, 100)])
def test_a_picture_larger_than_it_looks_is_not_decoded(files, width, height):
    before = files.node.memory()
    answer = sent(files, "bomb.png", "image/png", png(width, height))
    assert answer.status_code == 200
    assert files.node.memory() < before + (96 << 20)


@pytest.mark.parametrize("cut", [9, 20, 40, -5])
def test_a_broken_picture_is_stored_as_it_is(files, cut):
    content = png(10, 10)[:cut]
    assert sent(files, "broken.png", "image/png", content).content == content


def test_one_byte_over_the_limit_is_413_with_and_without_a_length(files):
    limit = 1 << 20
    path = f"/chat-rooms/{files.room}/attachments"
    assert files.http.post(path, **multipart("fits.bin", b"x" * limit)).status_code == 201
    check_refusal(files.http.post(path, **multipart("over.bin", b"x" * (limit + 1))), 413, "too_large")
    request = multipart("over.bin", b"x" * (limit + 1))
    chunks = iter([request["content"][:100], request["content"][100:]])
    check_refusal(files.http.post(path, content=chunks, headers=request["headers"]), 413, "too_large")


def test_an_inline_file_over_the_limit_is_told_or_closes_and_stores_nothing(files):
    chat = Chat(files.node, files.token, chat_room_id=files.room)
    limits = chat.next("joined")["limits"]
    assert limits["max_inline_file_bytes"] == 256 << 10 and limits["max_upload_bytes"] == 1 << 20
    assert chat.say("fits", message_type="file", file_name="a", file=b"x" * (256 << 10))["ok"]
    answer = chat.say("over", message_type="file", file_name="a", file=b"x" * ((256 << 10) + 1))
    assert (answer["ok"], answer["error"]["code"]) == (False, "too_large")
    chat.client.emit("chat", {"content": "far over", "message_type": "file", "file_name": "a", "file": b"x" * (4 << 20)})
    chat.next("disconnect")
    assert not {"over", "far over"} & set(files.contents(files.room))
    chat.close()


BROKEN = {
    "no boundary": ({"Content-Type": "multipart/form-data"}, b"x"),
    "another boundary": ({"Content-Type": "multipart/form-data; boundary=other"}, b"--limit\r\n\r\nx\r\n--limit--\r\n"),
    "no part": ({"Content-Type": "multipart/form-data; boundary=limit"}, b"--limit--\r\n"),
    "another part": ({"Content-Type": "multipart/form-data; boundary=limit"}, b'--limit\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--limit--\r\n'),
    "a part without a name": ({"Content-Type": "multipart/form-data; boundary=limit"}, b"--limit\r\n\r\nx\r\n--limit--\r\n"),
    "an end that does not come": ({"Content-Type": "multipart/form-data; boundary=limit"}, b'--limit\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nx'),
    "a head without end": ({"Content-Type": "multipart/form-data; boundary=limit"}, b"--limit\r\n" + b"X: y\r\n" * 20_000),
    "no multipart": ({"Content-Type": "application/json"}, b"{}"),
    "nothing": ({"Content-Type": "multipart/form-data; boundary=limit"}, b""),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_upload_is_refused_and_leaves_nothing(files, what):
    before = stored_names(files.node)
    headers, content = BROKEN[what]
    check_refusal(files.http.post(f"/chat-rooms/{files.room}/attachments", headers=headers, content=content), (400, 413, 415, 422))
    until("what was begun to be gone", lambda: not {name for name in stored_names(files.node) - before if "media" in name})


def test_uploads_that_stall_and_leave_are_cleaned_up(files):
    before = stored_names(files.node)
    head = (
        f"POST /chat-rooms/{files.room}/attachments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {files.token}\r\n"
        "Content-Type: multipart/form-data; boundary=limit\r\nContent-Length: 100000\r\n\r\n"
        '--limit\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + "x" * 50_000
    )
    stalled = [Wire(files.node) for _ in range(20)]
    for wire in stalled:
        wire.send(head)
    assert files.ask("GET", "/users/me"), "others are served meanwhile"
    for wire in stalled:
        wire.tcp.close()
    until("what was begun to be gone", lambda: not {name for name in stored_names(files.node) - before if "media" in name})


def test_where_files_have_no_room_is_507_and_text_goes_on():
    keeps_a_folder()
    node = Node(NATTER_UPLOAD_LIMIT="50MiB")
    try:
        person = Person.sign_up(node)
        room = person.create_room()
        before = stored_names(node)
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (8 << 20, resource.RLIM_INFINITY))
        check_refusal(person.upload(room, "large.bin", b"x" * (20 << 20)), 507, "storage_full")
        assert person.post(room, "text goes on")
        assert person.upload(room, "small.bin", b"x" * 1000).status_code == 201
        new = [name for name in stored_names(node) - before if "media" in name]
        assert len(new) == 1, new
    finally:
        node.stop()

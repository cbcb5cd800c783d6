"""As much of the wire of MongoDB, NATS and S3 as it takes to know that a server is ready."""

import datetime
import hashlib
import hmac
import http.client
import itertools
import socket
import struct
import urllib.parse

TIMEOUT = 10.0
_REQUEST_IDS = itertools.count(1)


def mongo_command(port: int, command: dict) -> dict:
    """Runs `command` (with its "$db") on the mongod at `port` of the loopback, and answers with the reply."""
    body = b"\0" + bson(command)
    # The header's length, id, id answered to and opcode (OP_MSG), then the flags of the message.
    message = struct.pack("<iiiiI", 20 + len(body), next(_REQUEST_IDS), 0, 2013, 0) + body
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as stream:
        stream.sendall(message)
        (length,) = struct.unpack("<i", _exactly(stream, 4))
        reply = _exactly(stream, length - 4)
    return unbson(reply[17:])


def _exactly(stream: socket.socket, length: int) -> bytes:
    read = b""
    while len(read) < length:
        more = stream.recv(length - len(read))
        if not more:
            raise ConnectionError("the server closed the connection in the middle of an answer")
        read += more
    return read


def bson(document: dict) -> bytes:
    body = b"".join(_element(str(name), value) for name, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _element(name: str, value: object) -> bytes:
    key = name.encode() + b"\0"
    if isinstance(value, bool):
        return b"\x08" + key + bytes([value])
    if isinstance(value, int):
        small = -(2**31) <= value < 2**31
        return (b"\x10" if small else b"\x12") + key + struct.pack("<i" if small else "<q", value)
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return b"\x02" + key + struct.pack("<i", len(text)) + text
    if isinstance(value, dict):
        return b"\x03" + key + bson(value)
    if isinstance(value, list):
        return b"\x04" + key + bson(dict(enumerate(value)))
    raise TypeError(f"{name} is of a type that no command here has: {value!r}")


def unbson(data: bytes) -> dict:
    """The top level's values that are numbers, booleans, texts and documents; others are None."""
    found, at = {}, 4
    while data[at] != 0:
        kind = data[at]
        end = data.index(0, at + 1)
        name, at = data[at + 1 : end].decode(), end + 1
        found[name], at = _value(kind, data, at)
    return found


# Types of a fixed size and how they are read; those without a format are skipped.
_FIXED = {
    0x01: (8, "<d"), 0x07: (12, None), 0x08: (1, "?"), 0x09: (8, None), 0x0A: (0, None),
    0x10: (4, "<i"), 0x11: (8, None), 0x12: (8, "<q"),
}  # fmt: skip


def _value(kind: int, data: bytes, at: int) -> tuple[object, int]:
    if kind in _FIXED:
        size, form = _FIXED[kind]
        return (struct.unpack_from(form, data, at)[0] if form else None), at + size
    (length,) = struct.unpack_from("<i", data, at)
    if kind == 0x02:
        return data[at + 4 : at + 3 + length].decode(), at + 4 + length
    if kind in (0x03, 0x04):
        return unbson(data[at : at + length]), at + length
    if kind == 0x05:
        return None, at + 5 + length
    raise ValueError(f"no answer of a server that starts has type {kind:#x}")


def nats_answers(port: int, user: str, password: str) -> str:
    """What the nats-server at `port` says to a client with this password that asks whether it lives: "PONG"."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as stream, stream.makefile("rwb") as lines:
        lines.readline()
        hello = f'CONNECT {{"verbose":false,"pedantic":false,"user":"{user}","pass":"{password}"}}\r\nPING\r\n'
        lines.write(hello.encode())
        lines.flush()
        return lines.readline().decode().strip()


class S3:
    """A client that signs, for one bucket (path style)."""

    def __init__(self, endpoint: str, bucket: str, key: str, secret: str, region: str = "us-east-1"):
        self.address = urllib.parse.urlsplit(endpoint).netloc
        self.bucket, self.key, self.secret, self.region = bucket, key, secret, region

    def call(self, method: str, name: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Does `method` to the object `name`, or to the bucket itself."""
        path = f"/{self.bucket}" + (f"/{name}" if name else "")
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, self._signed(method, path, body))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _signed(self, method: str, path: str, body: bytes) -> dict[str, str]:
        """The headers by which a request is one's own, of AWS's version 4."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": self.address, "x-amz-content-sha256": digest, "x-amz-date": now}
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = f"{method}\n{path}\n\n{lines}\n{names}\n{digest}"
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        credential = f"Credential={self.key}/{scope}, SignedHeaders={names}, Signature={signature}"
        return headers | {"Authorization": f"AWS4-HMAC-SHA256 {credential}"}

"""HTTP/1.1 on the wire: requests read, answers written, whole or broken on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from router.sandbox.api import Answer

MOST_HEAD_BYTES = 64 * 1024
MOST_BODY_BYTES = 64 * 1024 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class WireError(Exception):
    """A request that cannot be read. `status` is answered, then the connection is closed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Head(NamedTuple):
    """The part of a request before its body."""

    method: str
    #: as it stands in the request line
    target: str
    #: lower-case name → value; repeated ones joined with a comma
    headers: Mapping[str, str]
    #: length of the head in bytes, the blank line included
    length: int

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to go on with this connection."""
        return "close" not in self.headers.get("connection", "").lower()


def read_head(buffer: bytearray) -> Head | None:
    """The head at the start of the buffer; None if it is not complete. Raises `WireError`."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MOST_HEAD_BYTES:
            raise WireError(431, "the head is too long")
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise WireError(400, "the request line is damaged")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise WireError(400, "a header line is damaged")
        name = name.lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return Head(words[0], words[1], headers, end + 4)


def read_body(buffer: bytearray, head: Head) -> tuple[bytes, int] | None:
    """Body and length of the whole request at the start of the buffer; None if incomplete. Raises `WireError`."""
    if "transfer-encoding" in head.headers:
        if head.headers["transfer-encoding"].lower() != "chunked" or "content-length" in head.headers:
            raise WireError(400, "the framing is not understood")
        return _read_chunks(buffer, head.length)
    text = head.headers.get("content-length", "0")
    if not text.isdecimal():
        raise WireError(400, "the content length is damaged")
    length = int(text)
    if length > MOST_BODY_BYTES:
        raise WireError(413, "the body is too long")
    end = head.length + length
    return (bytes(buffer[head.length : end]), end) if len(buffer) >= end else None


def _read_chunks(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    parts: list[bytes] = []
    place = start
    while True:
        line_end = buffer.find(b"\r\n", place)
        if line_end < 0:
            return None
        try:
            size = int(buffer[place:line_end].partition(b";")[0], 16)
        except ValueError:
            raise WireError(400, "a chunk is damaged") from None
        place = line_end + 2 + size + 2
        if size < 0 or place - start > MOST_BODY_BYTES:
            raise WireError(413, "the body is too long")
        if len(buffer) < place:
            return None
        if size == 0:
            return b"".join(parts), place
        parts.append(bytes(buffer[line_end + 2 : place - 2]))


class Encoded(NamedTuple):
    """An answer as bytes."""

    #: status line and headers with the blank line
    head: bytes
    body: bytes


def encode(answer: Answer, *, framed: bool = True, keep_alive: bool = True) -> Encoded:
    """The answer as it goes out. `framed=False` leaves out Content-Length."""
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if framed and answer.status != 204:
        lines.append(f"content-length: {len(answer.body)}")
    if not keep_alive or not framed:
        lines.append("connection: close")
    return Encoded(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), answer.body)


def encode_chunked(answer: Answer) -> Encoded:
    """The answer with its body in one chunk."""
    head = encode(answer, framed=False).head.replace(b"connection: close", b"transfer-encoding: chunked")
    return Encoded(head, b"%x\r\n%s\r\n0\r\n\r\n" % (len(answer.body), answer.body))

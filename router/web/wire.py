"""What goes over a connection beside the application: what was gathered, in; answers that no view makes, out."""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import termios

from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.unreader import SocketUnreader

from router.web.app import SECURITY_HEADERS

#: bytes that the parser gets at once
PIECE = 2_048


def _answer(status: str, error: str, *more: tuple[str, str]) -> bytes:
    body = json.dumps({"error": error}).encode()
    headers = [*SECURITY_HEADERS, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    lines = [f"{name}: {value}" for name, value in [*headers, *more, ("Connection", "close")]]
    return (f"HTTP/1.1 {status}\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode() + body


#: where it is not 400
_STATUSES = {
    LimitRequestLine: "414 URI Too Long",
    LimitRequestHeaders: "431 Request Header Fields Too Large",
    ExpectationFailed: "417 Expectation Failed",
    UnsupportedTransferCoding: "501 Not Implemented",
}
SHED = _answer("503 Service Unavailable", "try again", ("Retry-After", "5"))
TOO_LONG = _answer("431 Request Header Fields Too Large", "the head of this request is too long")


class Gathered(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """What was gathered, then what still comes. In small pieces, as for each chunk of a body the parser copies what is
    left of its piece."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self.data, self._at = b"", 0

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next piece; of a body of known length as much as is wanted."""
        if self._at >= len(self.data):
            return bytes(super().chunk(size_hint))
        begin, self._at = self._at, self._at + max(size_hint or 0, PIECE)
        return self.data[begin : self._at]

    def take_buffered(self) -> bytes:
        """What of it nobody has read."""
        rest = super().take_buffered() + self.data[self._at :]
        self.data, self._at = b"", 0
        return bytes(rest)


def refusal_of(error: ParseException) -> bytes:
    """The answer to what is no request."""
    return _answer(_STATUSES.get(type(error), "400 Bad Request"), "this is no request that can be read")


def unread_by(connection: socket.socket) -> int:
    """Bytes of answers that the peer has not taken (`SIOCOUTQ`, tcp(7)); 0 where the system does not tell."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return 0

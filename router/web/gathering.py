"""Requests that are still coming: gathered until they are whole, so that a slow sender holds no thread. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: bytes of a head; gunicorn's own limits (4 KB, 100 × 8 KB) are below
MAX_HEAD = 850_000
#: bytes of a body that is gathered; of a longer one a thread reads the rest, a few at a time (`web.body`)
MAX_BODY = 65_536

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect[ \t]*:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
#: the shortest chunked body
_NO_CHUNK = b"0\r\n\r\n"


@dataclass(slots=True)
class Coming:
    """One request, as far as it has come."""

    #: monotonic seconds; until then it must be whole
    deadline: float
    data: bytearray = field(default_factory=bytearray)
    #: where the body begins; 0: the head is not whole
    body_at: int = 0
    #: bytes of head and body together; 0: only a parser knows
    needs: int = 0
    #: the sender waits to be asked for the body (RFC 9110 §10.1.1); the head no longer says so
    waits: bool = False
    _chunked: bool = False

    def add(self, data: bytes) -> bool:
        """Take more bytes: whether the request is whole, or is to be read as it is."""
        scanned = max(len(self.data) - 3, 0)
        self.data += data
        if not self.body_at:
            end = self.data.find(_END, scanned)
            if end < 0:
                return len(self.data) > MAX_HEAD
            self._frame(end)
        if self._chunked:
            size = len(self.data) - self.body_at
            return size > MAX_BODY or (size >= len(_NO_CHUNK) and self.data.endswith(_END))
        return len(self.data) >= self.needs

    def _frame(self, end: int) -> None:
        """The head is whole: find how long the body is. What is unclear, or long, is left to the parser."""
        head = bytes(self.data[: end + 2])
        lengths = _LENGTH.findall(head)
        self._chunked = _CHUNKED.search(head) is not None
        short = len(lengths) == 1 and int(lengths[0]) <= MAX_BODY
        if (expected := _EXPECT.search(head)) and (self._chunked or short):
            self.waits = True
            del self.data[slice(*expected.span())]
            end -= expected.end() - expected.start()
        self.body_at = end + len(_END)
        if short and not self._chunked:
            self.needs = self.body_at + int(lengths[0])

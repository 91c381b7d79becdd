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
_CODED = re.compile(rb"\r\ntransfer-encoding[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect[ \t]*:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
#: the line before a chunk, and the longest that is waited for
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_MAX_SIZE_LINE = 4_096


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
    #: all of it is there: whoever reads it never waits
    whole: bool = False
    #: the head has no end
    too_long: bool = False
    #: the sender waits to be asked for the body (RFC 9110 §10.1.1); the head no longer says so
    waits: bool = False
    _chunked: bool = False
    #: where the next chunk begins, or what follows the last one
    _next: int = 0
    _was_last: bool = False

    def add(self, data: bytes) -> bool:
        """Take more bytes: whether the request is whole, or is to be read as it is, or to be refused."""
        scanned = max(len(self.data) - 3, 0)
        self.data += data
        if not self.body_at:
            end = self.data.find(_END, scanned)
            if end < 0:
                self.too_long = len(self.data) > MAX_HEAD
                return self.too_long
            self._frame(end)
        if self._chunked:
            return self._follow() or len(self.data) - self.body_at > MAX_BODY
        if self.needs:
            self.whole = len(self.data) >= self.needs
            return self.whole
        return True

    def _frame(self, end: int) -> None:
        """The head is whole: find how long the body is. What is unclear, or long, is left to the parser."""
        head = bytes(self.data[: end + 2])
        lengths = _LENGTH.findall(head)
        coded = _CODED.findall(head)
        self._chunked = len(coded) == 1 and coded[0].strip().lower() == b"chunked" and not lengths
        short = len(lengths) == 1 and not coded and int(lengths[0]) <= MAX_BODY
        # an older sender, or one whose request has no first line, is not asked (RFC 9110 §15.2)
        first = head.find(b" HTTP/1.1\r\n")
        expected = _EXPECT.search(head, first) if first > 0 else None
        if expected and (self._chunked or short):
            self.waits = True
            del self.data[slice(*expected.span())]
            end -= expected.end() - expected.start()
        self.body_at = end + len(_END)
        self._next = self.body_at
        if short:
            self.needs = self.body_at + int(lengths[0])
        self.whole = not coded and b"content-length" not in head.lower()

    def _follow(self) -> bool:
        """Go from chunk to chunk (RFC 9112 §7.1): whether the last one is there, or one is not as it should be."""
        while not self._was_last:
            end = self.data.find(b"\r\n", self._next)
            if end < 0:
                return len(self.data) - self._next > _MAX_SIZE_LINE
            size = _SIZE.fullmatch(self.data, self._next, end)
            if size is None:
                return True
            after = end + 2 + int(size[1], 16)
            self._was_last = after == end + 2
            if not self._was_last:
                if len(self.data) < after + 2:
                    return False
                if self.data[after : after + 2] != b"\r\n":
                    return True
                after += 2
            self._next = after
        # the fields that may follow end with an empty line
        self.whole = self.data.find(_END, self._next - 2) >= 0
        return self.whole

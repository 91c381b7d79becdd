"""Reading the body of a request: at most so many bytes, all that were declared, and not for ever.

A short body is there when its thread begins (`web.gathering`); of a long one the rest comes here.

`request.get_data()` cuts a chunked body at its limit and goes on; here a body is whole or refused.
"""

from __future__ import annotations

import errno
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gunicorn.http.errors import ParseException

from router.errors import MalformedError, RouterError, TooLarge

#: `int` alone takes `+5`, `1_0` and digits of any alphabet, and breaks on thousands of them
_LENGTH = re.compile(r"[0-9]{1,18}")


#: most chunks of a body: to take one apart costs as much as a kilobyte, however small it is
MAX_CHUNKS = 8_192
#: in the environment of a request: its body is all there
GATHERED = "router.gathered"


class TooSlow(RouterError):
    """The body did not come in time: 503, the sender tries again."""


class BodyReader:
    """Reads bodies. One thread ends those that take longer than `deadline_s`; it starts with the first request.

    Of bodies that are still coming only so many are read at once, and fewer of one address: senders that drip keep some
    threads, not all.
    """

    def __init__(
        self, deadline_s: float = 10.0, *, at_once: int = 20, per_address: int = 8, patience_s: float = 1.0
    ) -> None:
        """A body waits `patience_s` until there is a place for its address."""
        self._deadline_s = deadline_s
        self._at_once = at_once
        self._per_address = per_address
        self._patience_s = patience_s
        self._reading: Counter[str] = Counter()
        #: those that are read, or wait for that
        self._busy = 0
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        #: number of the read → its end (monotonic) and its connection
        self._open: dict[int, tuple[float, socket.socket]] = {}
        self._count = 0
        self._watching = False

    def read(self, environ: Mapping[str, Any], limit: int, address: str = "") -> bytes:
        """The whole body, sent from `address`. Raises `TooLarge`, `MalformedError` if it ends early, `TooSlow`."""
        declared = environ.get("CONTENT_LENGTH")
        if declared:
            if not _LENGTH.fullmatch(declared):
                raise MalformedError("the declared length is no number")
            size = int(declared)
            if size > limit:
                raise TooLarge(f"{size} bytes are more than {limit}")
        elif environ.get("wsgi.input_terminated"):
            size = -1
        else:
            size = 0
        if not size:
            return b""
        place = None if environ.get(GATHERED) else address
        if place is not None:
            self._enter(place)
        started = time.monotonic()
        number = self._watched(environ.get("gunicorn.socket"), started)
        try:
            body = self._take(environ["wsgi.input"], limit + 1 if size < 0 else size, started)
        finally:
            with self._lock:
                self._open.pop(number, None)
                if place is not None:
                    self._busy -= 1
                    self._reading[place] -= 1
                    self._left.notify_all()
        if len(body) > limit:
            raise TooLarge(f"more than {limit} bytes")
        if 0 <= size != len(body):
            if time.monotonic() - started >= self._deadline_s:
                raise TooSlow(f"{len(body)} of {size} bytes in {self._deadline_s:g} s")
            raise MalformedError(f"{len(body)} of {size} declared bytes came")
        return body

    def _enter(self, address: str) -> None:
        """Take a place among those that are read. Those that wait until their address has one hold a thread too."""
        with self._left:
            if self._busy >= self._at_once:
                raise TooSlow("too many bodies are coming slowly")
            self._busy += 1
            if not self._left.wait_for(lambda: self._reading[address] < self._per_address, self._patience_s):
                self._busy -= 1
                raise TooSlow("too many bodies of this address are coming slowly")
            self._reading[address] += 1

    def _take(self, stream: Any, size: int, started: float) -> bytes:
        reader: Any = getattr(stream, "reader", None)
        if chunks := getattr(reader, "parser", None):  # gunicorn's: it gives one chunk, or a part of one, at a time
            reader.parser = _few(chunks)
        try:
            body: bytes = stream.read(size)
        except OSError as error:
            late = time.monotonic() - started >= self._deadline_s
            if late or isinstance(error, TimeoutError) or error.errno in {errno.EAGAIN, errno.EWOULDBLOCK}:
                raise TooSlow("the body stopped coming") from None
            raise MalformedError(f"the body broke off ({type(error).__name__})") from None
        except ParseException as error:
            raise MalformedError(f"the body is not well chunked ({type(error).__name__})") from None
        return body

    def _watched(self, connection: socket.socket | None, started: float) -> int:
        with self._lock:
            self._count += 1
            if connection is not None:
                self._open[self._count] = (started + self._deadline_s, connection)
                if not self._watching:
                    self._watching = True
                    threading.Thread(target=self._watch, name="bodies", daemon=True).start()
            return self._count

    def _watch(self) -> None:
        while True:
            time.sleep(min(1.0, self._deadline_s))
            now = time.monotonic()
            with self._lock:
                for number, (end, connection) in list(self._open.items()):
                    if now >= end:
                        del self._open[number]
                        _stop_reading(connection)


def _few(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for number, chunk in enumerate(chunks):
        if number == MAX_CHUNKS:
            raise TooLarge(f"more than {MAX_CHUNKS:,} chunks")
        yield chunk


def _stop_reading(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        return  # the sender is gone

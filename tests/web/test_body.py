"""Reading bodies: senders that drip keep some places, not all."""

from __future__ import annotations

import io
import socket
import threading
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

from router.errors import TooLarge
from router.web.body import GATHERED, MAX_CHUNKS, BodyReader, TooSlow
from router.web.wire import Gathered


class Dripping(io.RawIOBase):
    """A body that comes when it is told to."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Event(), threading.Event()

    def read(self, size: int = -1) -> bytes:
        self.asked.set()
        assert self.go.wait(10)
        return b"x" * size


def environ(stream: Any) -> dict[str, Any]:
    return {"CONTENT_LENGTH": "3", "wsgi.input": stream}


def test_slow_bodies_of_one_address_leave_room_for_others() -> None:
    reader = BodyReader(at_once=3, per_address=2, patience_s=0.05)
    slow = [Dripping() for _ in range(2)]
    threads = [threading.Thread(target=reader.read, args=(environ(body), 10, "192.0.2.1")) for body in slow]
    for thread, body in zip(threads, slow, strict=True):
        thread.start()
        assert body.asked.wait(10)
    with pytest.raises(TooSlow):
        reader.read(environ(io.BytesIO(b"abc")), 10, "192.0.2.1")
    assert reader.read(environ(io.BytesIO(b"abc")), 10, "192.0.2.2") == b"abc"
    third = Dripping()
    threads.append(threading.Thread(target=reader.read, args=(environ(third), 10, "192.0.2.3")))
    threads[-1].start()
    assert third.asked.wait(10)
    with pytest.raises(TooSlow):
        reader.read(environ(io.BytesIO(b"abc")), 10, "192.0.2.2")
    gathered = {**environ(io.BytesIO(b"abc")), GATHERED: True}
    assert reader.read(gathered, 10, "192.0.2.1") == b"abc", "what is all there needs no place"
    for body in [*slow, third]:
        body.go.set()
    for thread in threads:
        thread.join(10)
    assert [reader.read(environ(io.BytesIO(b"abc")), 10, "192.0.2.1") for _ in range(9)] == [b"abc"] * 9


def test_those_that_wait_for_a_place_hold_threads_too() -> None:
    reader = BodyReader(at_once=2, per_address=1, patience_s=60)
    slow = Dripping()
    reading = threading.Thread(target=reader.read, args=(environ(slow), 10, "192.0.2.1"))
    reading.start()
    assert slow.asked.wait(10)
    next_one = Dripping()
    waiting = threading.Thread(target=reader.read, args=(environ(next_one), 10, "192.0.2.1"))
    waiting.start()
    with pytest.raises(TooSlow):
        for _ in range(100_000):  # until the other one waits
            reader.read(environ(io.BytesIO(b"abc")), 10, "192.0.2.2")
    slow.go.set()
    next_one.go.set()
    reading.join(10)
    waiting.join(10)
    assert next_one.asked.is_set()
    assert reader.read(environ(io.BytesIO(b"abc")), 10, "192.0.2.1") == b"abc"


@pytest.mark.parametrize("more", [0, 1])
def test_a_body_has_so_many_chunks(more: int) -> None:
    ours, theirs = socket.socketpair()
    count = MAX_CHUNKS + more
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * count + b"0\r\n\r\n"
    with ours, theirs:
        parser = RequestParser(Config(), ours, ("127.0.0.1", 1))
        parser.unreader = Gathered(ours)
        parser.unreader.data = sent
        chunked = {"wsgi.input": next(parser).body, "wsgi.input_terminated": True}
        if not more:
            assert BodyReader().read(chunked, 1_000_000) == b"a" * count
            assert parser.finish_body()
            return
        with pytest.raises(TooLarge):
            BodyReader().read(chunked, 1_000_000)
        assert not parser.finish_body(), "where the next request begins is not known"

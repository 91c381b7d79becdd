"""What the parser reads of a request that was gathered: small pieces, then what still comes."""

from __future__ import annotations

import selectors
import socket
from collections import deque
from types import SimpleNamespace

import pytest

from router.web.wire import PIECE, Gathered
from router.web.worker import Worker


def test_pieces_come_in_order_and_then_the_rest_from_the_connection() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = Gathered(ours)
        reader.data = bytes(range(256)) * 20
        assert [len(reader.chunk()) for _ in range(3)] == [PIECE, PIECE, 5_120 - 2 * PIECE]
        theirs.sendall(b"more")
        assert reader.chunk() == b"more"


def test_a_body_of_known_length_comes_at_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = Gathered(ours)
        reader.data = b"x" * 50_000
        assert reader.read(50_000) == b"x" * 50_000


@pytest.mark.parametrize("read", [0, 1, 5_000])
def test_what_nobody_read_is_given_back_once(read: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = Gathered(ours)
        reader.data = bytes(range(256)) * 20
        assert reader.read(read) + reader.take_buffered() == bytes(range(256)) * 20
        assert reader.take_buffered() == b""


def test_a_kept_connection_that_made_room_in_the_same_moment_is_gone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, selectors.DefaultSelector() as poller:
        worker = Worker.__new__(Worker)
        worker.poller, worker.keepalived_conns, worker._coming = poller, deque(), {}
        worker.on_client_socket_readable(SimpleNamespace(sock=ours), ours)
        assert not worker._coming
        assert not poller.get_map()

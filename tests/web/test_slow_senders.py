"""Senders that stop, drip or hold on, on every thread and more, beside one that is well."""

from __future__ import annotations

import fcntl
import re
import resource
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.web.conftest import ROOT, Gunicorn, read_all
from tests.web.test_server import CHUNKED, event, head, status, stored

THREADS = 4
#: senders of each kind: more than there are threads
EACH = THREADS * 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    server = Gunicorn(tmp_path_factory.mktemp("slow"), WEB_THREADS=str(THREADS))
    server.wait_until_it_answers()
    yield server
    assert server.stop() == 0


def healthy(server: Gunicorn, number: str) -> float:
    """Seconds until a genuine webhook is answered. It must be stored."""
    started = time.monotonic()
    assert status(server.talk(head(event(number)) + event(number))) == 200
    return time.monotonic() - started


@contextmanager
def dripping(connection: socket.socket, data: bytes) -> Iterator[None]:
    """One byte a second, until the end of the block or of the connection."""
    ended = threading.Event()

    def drip() -> None:
        for byte in data:
            if ended.wait(1):
                return
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


LONG = event("long").replace(b"{", b'{"note": "' + b"x" * 15_000 + b'", ', 1)


def idle(stack: ExitStack, connection: socket.socket) -> None:
    """Says nothing."""


def half_a_head(stack: ExitStack, connection: socket.socket) -> None:
    connection.sendall(head(event("half"))[:60])


def half_a_body(stack: ExitStack, connection: socket.socket) -> None:
    connection.sendall(head(event("half")) + event("half")[:10])


def half_a_chunk(stack: ExitStack, connection: socket.socket) -> None:
    connection.sendall(head(event("half"), CHUNKED, length=None) + b"20\r\nabc")


def drips_a_head(stack: ExitStack, connection: socket.socket) -> None:
    stack.enter_context(dripping(connection, head(event("half"))))


def drips_a_body(stack: ExitStack, connection: socket.socket) -> None:
    connection.sendall(head(event("half")))
    stack.enter_context(dripping(connection, event("half")))


def half_of_the_next(stack: ExitStack, connection: socket.socket) -> None:
    """A whole request, and at once the beginning of another one."""
    body = event("whole")
    keep = head(body).replace(b"Connection: close", b"Connection: keep-alive")
    connection.sendall(keep + body + keep + body[:5])


def waits_to_be_asked(stack: ExitStack, connection: socket.socket) -> None:
    connection.sendall(head(event("half"), "Expect: 100-continue"))


SLOW: list[Callable[[ExitStack, socket.socket], None]] = [
    idle, half_a_head, half_a_body, half_a_chunk, drips_a_head, drips_a_body, half_of_the_next,
]  # fmt: skip


@pytest.mark.parametrize("slow", SLOW)
def test_slow_senders_of_one_kind_hold_up_nobody(
    server: Gunicorn, slow: Callable[[ExitStack, socket.socket], None]
) -> None:
    with ExitStack() as stack:
        for _ in range(EACH):
            slow(stack, stack.enter_context(server.connect()))
        took = [healthy(server, f"{slow.__name__}-{n}") for n in range(5)]
    assert max(took) < 5
    assert "half" not in stored(server)


def test_slow_senders_of_all_kinds_together_hold_up_nobody(server: Gunicorn) -> None:
    with ExitStack() as stack:
        for slow in SLOW:
            for _ in range(EACH):
                slow(stack, stack.enter_context(server.connect()))
        took = [healthy(server, f"all-{n}") for n in range(10)]
        assert max(took) < 5
        with stack.enter_context(server.connect()) as last:
            half_a_body(stack, last)
            assert status(read_all(last)) == 503, "it is told to come again"


def test_those_that_are_asked_for_their_body_and_stay_silent_leave_threads_for_others(server: Gunicorn) -> None:
    with ExitStack() as stack:
        for _ in range(EACH):
            waits_to_be_asked(stack, stack.enter_context(server.connect()))
        took = [healthy(server, f"asked-{n}") for n in range(3)]
    assert max(took) < 5


def test_those_that_do_not_read_their_answers_hold_up_nobody(tmp_path: Path) -> None:
    server = configured(tmp_path, "when_ready", "for each in server.LISTENERS:", SMALL_BUFFERS, WEB_THREADS="4")
    ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    try:
        with ExitStack() as stack:
            readers = [stack.enter_context(socket.socket()) for _ in range(EACH)]
            for reader in readers:
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
                reader.connect(("127.0.0.1", server.port))
                reader.setblocking(False)
            senders = [threading.Thread(target=send_while_taken, args=(reader, ask * 50)) for reader in readers]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            took = [healthy(server, f"unread-{n}") for n in range(3)]
        assert max(took) < 5
        assert "answer was not read" not in server.log.read_text(), "no thread tried to write it"
    finally:
        server.stop()


SMALL_BUFFERS = "    each.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)"


def send_while_taken(connection: socket.socket, data: bytes) -> None:
    """Send the same until nothing of it is taken for a second."""
    with suppress(OSError):
        while select.select([], [connection], [], 1)[1]:
            connection.send(data)


def configured(directory: Path, hook: str, *lines: str, **environment: str) -> Gunicorn:
    """A server with something more in one of gunicorn's hooks."""
    configuration = directory / "more.conf.py"
    more = "\n".join(f"    {line}" for line in lines)
    configuration.write_text(
        f"exec(open({str(ROOT / 'gunicorn.conf.py')!r}).read())\n"
        f"first = {hook}\ndef {hook}(server):\n    first(server)\n{more}\n"
    )
    server = Gunicorn(directory, GUNICORN_CMD_ARGS=f"-c {configuration}", **environment)
    server.wait_until_it_answers()
    return server


def test_those_that_do_not_end_their_side_hold_up_nobody(server: Gunicorn) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(EACH * 10)]
        for connection in held:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        took = [healthy(server, f"lingers-{n}") for n in range(5)]
        assert all(status(read_all(connection)) == 200 for connection in held)
    assert max(took) < 5


def test_a_short_body_needs_no_place_among_the_long_ones(server: Gunicorn) -> None:
    with ExitStack() as stack:
        for _ in range(EACH):
            connection = stack.enter_context(server.connect())
            connection.sendall(head(b"x" * 70_000).replace(b"/shop", b"/office"))
            stack.enter_context(dripping(connection, b"x" * 100))
        took = [healthy(server, f"short-{n}") for n in range(5)]
        chunked = event("short-chunked")
        request = head(chunked, CHUNKED, length=None) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(chunked), chunked)
        assert status(server.talk(request)) == 200
    assert max(took) < 5


def test_a_head_without_an_end_is_refused(server: Gunicorn) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(EACH)]
        for connection in held:
            connection.sendall(b"GET /healthz HTTP/1.1\r\n" + b"X: " + b"a" * 850_000)
        took = [healthy(server, f"head-{n}") for n in range(3)]
        assert [status(read_all(connection)) for connection in held] == [431] * EACH
    assert max(took) < 5


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
def test_a_process_without_files_left_ends_connections_and_goes_on(tmp_path: Path) -> None:
    server = Gunicorn(tmp_path, WEB_THREADS="2")
    server.wait_until_it_answers()
    try:
        (worker,) = map(int, re.findall(r"Booting worker with pid: ([0-9]+)", server.log.read_text()))
        limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (60, limits[1]))
        with ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(server.connect()).sendall(b"P")
            wait_for(lambda: healthy(server, "short of files") < 5)
        assert "exited" not in server.log.read_text()
    finally:
        assert server.stop() == 0


def test_a_body_that_was_asked_for_is_taken(server: Gunicorn) -> None:
    body = event("asked")
    with server.connect() as connection:
        connection.sendall(head(body, "Expect: 100-continue"))
        assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert status(read_all(connection)) == 200
    assert "asked" in stored(server)


def test_requests_on_one_connection_follow_each_other_however_they_are_cut(server: Gunicorn) -> None:
    bodies = [event(f"kept-{n}") for n in range(4)]
    keep = [head(body).replace(b"Connection: close", b"Connection: keep-alive") + body for body in bodies[:3]]
    data = b"".join([*keep, head(bodies[3]) + bodies[3]])
    with server.connect() as connection:
        for at in range(0, len(data), 97):
            connection.sendall(data[at : at + 97])
        answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 200 ") == 4
    assert {f"kept-{n}" for n in range(4)} <= stored(server)


def test_a_refusal_of_what_is_all_there_keeps_the_connection(server: Gunicorn) -> None:
    lost = head(event("lost")).replace(b"/shop", b"/nowhere").replace(b"Connection: close", b"Connection: keep-alive")
    with server.connect() as connection:
        connection.sendall(lost + event("lost") + head(event("found")) + event("found"))
        answers = read_all(connection)
    assert [answers.count(b"HTTP/1.1 404 "), answers.count(b"HTTP/1.1 200 ")] == [1, 1]
    assert "found" in stored(server)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"HELLO\r\n\r\n", 400),
        (b"GET /" + b"x" * 5_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, cipher\r\n\r\n", 501),
    ],
)
def test_what_is_no_request_is_refused_like_everything_else(server: Gunicorn, request_: bytes, expected: int) -> None:
    answer = server.talk(request_)
    assert status(answer) == expected
    assert b"nosniff" in answer
    assert answer.endswith(b'{"error": "this is no request that can be read"}')


def test_no_header_is_the_path_of_a_request(server: Gunicorn) -> None:
    asked = b"GET /x/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nSCRIPT_NAME: /x\r\n\r\n"
    assert status(server.talk(asked)) in {400, 404}


def test_a_connection_that_ends_early_leaves_nothing_behind(server: Gunicorn) -> None:
    for part in (b"", b"POST", head(event("gone")), head(event("gone")) + event("gone")[:-1]):
        with server.connect() as connection:
            connection.sendall(part)
    healthy(server, "after")
    assert "gone" not in stored(server)


def test_what_waited_too_long_for_a_thread_is_told_to_come_again(tmp_path: Path) -> None:
    server = Gunicorn(tmp_path, WEB_THREADS="2")
    server.wait_until_it_answers()
    try:
        healthy(server, "first")
        answers: list[tuple[float, bytes]] = []

        def post(number: int) -> None:
            started = time.monotonic()
            answer = server.talk(head(event(f"wait-{number}")) + event(f"wait-{number}"))
            answers.append((time.monotonic() - started, answer))

        with (tmp_path / "router.db.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the store does not answer
            senders = [threading.Thread(target=post, args=(n,)) for n in range(8)]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            assert status(server.talk(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) == 200
        assert {status(answer) for _, answer in answers} == {503}
        assert all(b"Retry-After: " in answer and b"nosniff" in answer for _, answer in answers)
        assert "had waited for more than 1 s" in server.log.read_text()
        healthy(server, "last")
    finally:
        server.stop()


def test_one_address_has_so_many_connections(tmp_path: Path) -> None:
    server = configured(tmp_path, "on_starting", "Worker.trusted = ()")
    try:
        with ExitStack() as stack:
            held = [stack.enter_context(server.connect()) for _ in range(64)]
            for connection in held:
                connection.sendall(b"POST /webhooks/shop HTTP/1.1\r\n")
            with server.connect() as one_more:
                assert read_all(one_more) == b""
            held[0].close()
            held[1].close()
            wait_for(lambda: b" 200 " in server.talk(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    finally:
        server.stop()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_stop_does_not_wait_for_what_does_not_come(tmp_path: Path) -> None:
    server = Gunicorn(tmp_path)
    server.wait_until_it_answers()
    with server.connect() as silent, server.connect() as half:
        half.sendall(head(event("half")) + event("half")[:5])
        healthy(server, "one")
        assert server.stop() == 0
        assert read_all(silent) == b""
        assert status(read_all(half)) == 503, "not cut off at the end of gunicorn's patience, without a word"

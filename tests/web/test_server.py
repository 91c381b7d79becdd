"""The web process as it runs: gunicorn with the repository's own configuration, spoken to byte by byte."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from router.store import schema
from router.store.store import open_store
from tests.web.conftest import SECRET, Gunicorn, read_all


def event(number: str = "e_1") -> bytes:
    return json.dumps({"type": "person.changed", "id": number, "at": "2026-11-22T10:00:00Z"}).encode()


def head(body: bytes, *more: str, length: int | None = -1) -> bytes:
    """A genuine request's head; `length` None: none is declared."""
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    lines = [
        "POST /webhooks/shop HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json",
        f"X-Signature: {signature}", *more,
    ]  # fmt: skip
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length < 0 else length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunks(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def stored(gunicorn: Gunicorn) -> set[str]:
    store = open_store(f"sqlite:///{gunicorn.directory / 'router.db'}")
    with store.read() as tx:
        found = {row.external_id for row in tx.execute(select(schema.events))}
    store.close()
    return found


CHUNKED = "Transfer-Encoding: chunked"


def test_a_webhook_is_stored_before_it_is_answered(gunicorn: Gunicorn) -> None:
    assert status(gunicorn.talk(head(event("plain")) + event("plain"))) == 200
    assert "plain" in stored(gunicorn)


def test_a_chunked_body_is_taken_whole(gunicorn: Gunicorn) -> None:
    body = event("chunked")
    assert status(gunicorn.talk(head(body, CHUNKED, length=None) + chunks(body, 7))) == 200
    assert "chunked" in stored(gunicorn)


def test_a_chunked_body_over_the_limit_is_413_and_not_cut(gunicorn: Gunicorn) -> None:
    body = event("long").replace(b"{", b'{"note": "' + b"x" * 30_000 + b'", ', 1)
    assert status(gunicorn.talk(head(body, CHUNKED, length=None) + chunks(body, 8_000))) == 413
    assert "long" not in stored(gunicorn)


def test_a_body_declared_over_the_limit_is_413_before_it_comes(gunicorn: Gunicorn) -> None:
    assert status(gunicorn.talk(head(b"", length=10**10))) == 413


@pytest.mark.parametrize("missing", [1, 40])
def test_a_body_that_ends_early_is_400(gunicorn: Gunicorn, missing: int) -> None:
    body = event("early")
    assert status(gunicorn.talk(head(body), body[:-missing], half_close=True)) == 400
    assert "early" not in stored(gunicorn)


@pytest.mark.parametrize("tail", [b"", b"5\r\nab", b"zz\r\n", b"2\r\nab\r\n", b"0\r\n"])
def test_chunks_that_end_early_are_400(gunicorn: Gunicorn, tail: bytes) -> None:
    body = event("torn")
    answer = gunicorn.talk(head(body, CHUNKED, length=None), b"%x\r\n%s\r\n" % (len(body), body), tail, half_close=True)
    assert status(answer) == 400
    assert "torn" not in stored(gunicorn)


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", CHUNKED),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: +5",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding : chunked",),
        ("X_Signature: a", "Content-Length: x"),
    ],
)
def test_requests_that_could_be_read_in_two_ways_are_refused(gunicorn: Gunicorn, lines: tuple[str, ...]) -> None:
    answer = gunicorn.talk(head(b"", *lines, length=None), b"0\r\n\r\n", half_close=True)
    assert status(answer) in {400, 501}


def test_headers_in_the_spelling_of_cgi_are_dropped(gunicorn: Gunicorn) -> None:
    body = event("cgi")
    request = head(body).replace(b"X-Signature", b"X_Signature") + body
    assert status(gunicorn.talk(request)) in {400, 401}
    assert "cgi" not in stored(gunicorn)


def test_silent_senders_give_their_threads_back(gunicorn: Gunicorn) -> None:
    """Four threads, and four connections that stop in the middle: half a head, half a body."""
    body = event("half")
    silent = [gunicorn.connect() for _ in range(4)]
    for number, connection in enumerate(silent):
        connection.sendall(head(body)[:60] if number % 2 else head(body) + body[:10])
    started = time.monotonic()
    assert status(gunicorn.talk(head(event("healthy")) + event("healthy"))) == 200
    assert time.monotonic() - started < 5
    answers = [read_all(connection) for connection in silent]
    assert {status(answer) for answer in answers} <= {0, 400, 503}
    assert 503 in {status(answer) for answer in answers}
    for connection in silent:
        connection.close()
    assert "half" not in stored(gunicorn)


def test_a_sender_that_drips_is_ended_after_ten_seconds(gunicorn: Gunicorn) -> None:
    body = event("drip")
    with gunicorn.connect() as connection:
        connection.sendall(head(body) + body[:5])
        started = time.monotonic()
        ended = threading.Event()

        def drip() -> None:
            for byte in body[5:]:
                if ended.wait(0.5):
                    return
                try:
                    connection.sendall(bytes([byte]))
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        answer = read_all(connection)
        ended.set()
        dripping.join()
    assert status(answer) == 503
    assert b"Retry-After" in answer
    assert 9 < time.monotonic() - started < 14


def test_the_log_is_json_and_quotes_no_request(gunicorn: Gunicorn) -> None:
    gunicorn.talk(b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\nX-Canary bad\r\n\r\n")
    gunicorn.talk(
        b"POST /webhooks/shop?token=Canary HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Signature: Canary\r\n\r\n"
    )
    lines = gunicorn.log.read_text().splitlines()
    assert [json.loads(line)["level"] for line in lines if "refused a webhook" in line]
    assert "canary" not in gunicorn.log.read_text().lower()
    assert all(len(line) < 4096 for line in lines)


def test_sigterm_finishes_what_is_open_and_ends_with_0(tmp_path: Path) -> None:
    server = Gunicorn(tmp_path)
    server.wait_until_it_answers()
    body = event("last")
    with server.connect() as connection:
        connection.sendall(head(body) + body[:10])
        time.sleep(0.3)  # the request is in a thread: nothing outside tells
        server.process.send_signal(signal.SIGTERM)
        connection.sendall(body[10:])
        answer = read_all(connection)
    started = time.monotonic()
    assert server.process.wait(12) == 0
    assert time.monotonic() - started < 9
    assert status(answer) == 200
    assert "last" in stored(server)


def test_a_bad_reload_keeps_the_old_rules_and_says_so(tmp_path: Path) -> None:
    server = Gunicorn(tmp_path)
    server.wait_until_it_answers()
    try:
        (server.rules / "shop.yaml").write_text("source: {name: shop, verify: {scheme: nothing}}\n")
        reload_and_wait(server, b'"config_refused"')
        assert status(server.talk(head(event("old")) + event("old"))) == 200
        (server.rules / "shop.yaml").unlink()
        reload_and_wait(server, b'"warnings":[]')
        assert status(server.talk(head(event("gone")) + event("gone"))) == 404
    finally:
        server.stop()


def reload_and_wait(server: Gunicorn, expected: bytes) -> None:
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 20
    answer = b""
    while time.monotonic() < end:
        try:
            answer = server.talk(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        except OSError:
            continue
        if expected in answer:
            assert status(answer) == 200
            return
        time.sleep(0.05)
    raise AssertionError(answer + server.log.read_bytes())


@pytest.mark.parametrize(
    ("file", "text", "environment", "named"),
    [
        ("shop.yaml", "source: {name: shop, verify: {scheme: nothing}}\n", {}, "shop.yaml:1"),
        (None, "", {"SHOP_SECRET": ""}, "$env.SHOP_SECRET"),
        (None, "", {"SHOP_SECRET": "short"}, "$env.SHOP_SECRET"),
        (None, "", {"ROUTER_RULES": "/nowhere"}, "/nowhere"),
        (None, "", {"PORT": "x"}, "PORT"),
        (None, "", {"DATABASE_URL": "mysql://x"}, "DATABASE_URL"),
    ],
)
def test_what_is_wrong_at_start_is_named_and_ends_it_with_2(
    tmp_path: Path, file: str | None, text: str, environment: dict[str, str], named: str
) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shop.yaml").write_text(
        "source: {name: shop, verify: {scheme: hmac, header: X-Signature, signed: '{body}'}, secret: $env.SHOP_SECRET,"
        " identity: {id: .id, time: .at}}\nrules: {}\n"
    )
    if file:
        (tmp_path / "rules" / file).write_text(text)
    server = Gunicorn(tmp_path, **environment)
    assert server.process.wait(20) == 2
    assert named in server.log.read_text()
    assert SECRET not in server.log.read_text()


def test_importing_the_application_opens_nothing(tmp_path: Path) -> None:
    code = (
        "import threading, os; import wsgi;"
        "print(threading.active_count(), sum(os.readlink(f'/proc/self/fd/{n}').startswith('socket')"
        " for n in os.listdir('/proc/self/fd') if os.path.islink(f'/proc/self/fd/{n}')), os.listdir('.'))"
    )
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1 0 []"

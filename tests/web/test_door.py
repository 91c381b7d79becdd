"""No bytes at all, in whatever place of a request, give anything but an answer of the policy."""

from __future__ import annotations

import io
import json
import random
import string
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.web.conftest import ENVIRONMENT, RULES, Gunicorn, Site, read_all
from tests.web.test_server import event, head, status, stored

#: what a sender may be told
ANSWERS = {200, 202, 400, 401, 403, 404, 405, 413, 415, 503}
NAMES = [name.removesuffix(".yaml") for name in RULES]
SERVER = {"SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.url_scheme": "http", "SCRIPT_NAME": "", "wsgi.version": (1, 0)}

#: any bytes, as WSGI has them: https://peps.python.org/pep-3333/#unicode-issues
texts = st.binary(max_size=40).map(lambda raw: raw.decode("latin-1"))
lengths = st.sampled_from(
    ["", "0", "1", "-1", "+5", "5 ", "²", "٣", "1e3", "0x5", "9" * 30, "1" * 5_000, "nan", "auto"]
)
proofs = st.sampled_from(
    [
        "Bearer ",
        "Bearer a.b.c",
        "Basic !!",
        "Basic Og==",
        "t=1,v1=0",
        "v1,",
        "sha256=",
        "\xed\xa0\x80",
        "\0",
        "é",
        "a,b",
    ]
)
methods = st.sampled_from(["POST"] * 8 + ["GET", "HEAD", "OPTIONS", "PUT", "post", "", "\0", "É"])
paths = st.sampled_from([f"/webhooks/{name}" for name in NAMES]) | texts.map("/webhooks/".__add__) | texts
queries = texts | st.sampled_from(
    ["hub.mode=subscribe&hub.verify_token=é", "%", "%ff=%00", "&" * 200, "a=\xed\xa0\x80"]
)
addresses = st.sampled_from(["10.0.0.1", "127.0.0.1", "::1", "", "fe80::1%eth0", "nonsense"])
KNOWN = (
    *("HTTP_X_SIGNATURE", "HTTP_X_HUB_SIGNATURE_256", "HTTP_AUTHORIZATION", "HTTP_X_TOKEN", "HTTP_X_CLIENT"),
    *("HTTP_X_SLACK_SIGNATURE", "HTTP_X_SLACK_REQUEST_TIMESTAMP", "HTTP_CONTENT_ENCODING", "HTTP_X_FORWARDED_FOR"),
    *("HTTP_USER_AGENT", "HTTP_HOST", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "CONTENT_TYPE"),
)
environs = st.fixed_dictionaries(
    {"REQUEST_METHOD": methods, "PATH_INFO": paths, "QUERY_STRING": queries, "REMOTE_ADDR": addresses},
    optional={
        "CONTENT_LENGTH": lengths,
        "wsgi.input_terminated": st.booleans(),
        **dict.fromkeys(KNOWN, texts | proofs),
    },
)


def call(site: Site, environ: Mapping[str, Any], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, from the application as a server calls it."""
    seen: list[tuple[int, dict[str, str]]] = []

    def start(line: str, headers: list[tuple[str, str]], _info: Any = None) -> Any:
        seen.append((int(line[:3]), {name.lower(): value for name, value in headers}))

    whole = {**SERVER, **environ, "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO()}
    answer = b"".join(site.app.wsgi_app(whole, start))
    return *seen[0], answer


def judge(code: int, headers: Mapping[str, str], body: bytes) -> None:
    """An answer of the policy, with what every answer has, nothing of ours in it, and nobody surprised."""
    assert code in ANSWERS
    assert code != 503 or "retry-after" in headers
    assert code != 401 or body == b'{"error":"not authentic"}'
    assert headers["x-content-type-options"] == "nosniff"
    assert b'"id"' not in body, "what nobody foresaw has a number"
    assert not any(secret.encode() in body for secret in ENVIRONMENT.values())
    assert all(f"{name}: {value}".isprintable() for name, value in headers.items())


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    environ=environs,
    body=st.binary(max_size=80),
    more=st.dictionaries(texts.map("HTTP_".__add__), texts, max_size=3),
)
@example({"REQUEST_METHOD": "POST", "PATH_INFO": "/webhooks/shop", "CONTENT_LENGTH": "²"}, b"x", {})
@example({"REQUEST_METHOD": "POST", "PATH_INFO": "/webhooks/shop", "CONTENT_LENGTH": "1" * 5_000}, b"x", {})
@example({"REQUEST_METHOD": "POST", "PATH_INFO": "/webhooks/shop", "CONTENT_LENGTH": "-1"}, b"x", {})
def test_no_request_at_all_breaks_the_application(
    site: Site, environ: dict[str, Any], body: bytes, more: dict[str, str]
) -> None:
    if environ.get("CONTENT_LENGTH") == "auto":
        environ = {**environ, "CONTENT_LENGTH": str(len(body))}
    judge(*call(site, {**environ, **more}, body))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    name=st.sampled_from([name for name in NAMES if name != "keyed"]),
    body=st.binary(max_size=120) | st.text(max_size=60).map(lambda text: json.dumps(text).encode()),
    query=queries,
    kind=texts | st.just("application/json"),
)
def test_no_genuine_request_at_all_breaks_the_application(
    site: Site, name: str, body: bytes, query: str, kind: str
) -> None:
    """Past the signature there is a parser, and an identity that reads what it finds."""
    signed = site.sources[name].sign(body, now=datetime.now(UTC), event_id="msg_1")
    environ = {f"HTTP_{key.upper().replace('-', '_')}": value for key, value in signed.items()}
    environ |= {"REQUEST_METHOD": "POST", "PATH_INFO": f"/webhooks/{name}", "REMOTE_ADDR": "10.0.0.1"}
    environ |= {"QUERY_STRING": query, "CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(body))}
    judge(*call(site, environ, body))


# --- the same over a socket -------------------------------------------------------------------------------------------

#: what gunicorn itself refuses before the application sees it
OF_GUNICORN = {0, 400, 413, 414, 417, 431, 501, 505}


def mangled(seed: int) -> bytes:
    """A genuine request with a few of its bytes changed, put in or taken out, or with lines of anything."""
    dice = random.Random(seed)
    body = event(f"mangled_{seed}")
    request = bytearray(head(body) + body)
    end = request.index(b"\r\n\r\n")
    for _ in range(dice.randint(1, 4)):
        where = dice.randrange(dice.choice([end, len(request)]))
        kind = dice.choice(["change", "insert", "remove", "line", "header"])
        if kind == "change":
            request[where] = dice.randrange(256)
        elif kind == "insert":
            request[where:where] = dice.randbytes(dice.randint(1, 8))
        elif kind == "remove":
            del request[where : where + dice.randint(1, 4)]
        elif kind == "line":
            request[end:end] = b"\r\n" + dice.randbytes(dice.randint(0, 30))
        else:
            name = "".join(dice.choices(string.ascii_letters + "_-", k=dice.randint(1, 12)))
            request[end:end] = f"\r\n{name}: ".encode() + bytes(dice.choices(range(1, 256), k=dice.randint(0, 30)))
    return bytes(request)


@pytest.mark.parametrize("part", range(4))
def test_no_bytes_at_all_break_the_server(gunicorn: Gunicorn, part: int) -> None:
    for seed in range(100 * part, 100 * part + 100):
        sent = mangled(seed)
        with gunicorn.connect() as connection:
            connection.sendall(sent)
            connection.shutdown(1)
            answer = read_all(connection)
        assert status(answer) in ANSWERS | OF_GUNICORN, sent
        assert b"Traceback" not in answer
    assert gunicorn.process.poll() is None
    assert '"level": "CRITICAL"' not in gunicorn.log.read_text()


HOSTILE = {
    "compressed": (head(b"x" * 50, "Content-Encoding: gzip") + b"x" * 50, 415),
    "compressed, never sent": (head(b"x" * 50, "Content-Encoding: gzip"), 415),
    "chunked and compressed": (head(b"", "Transfer-Encoding: gzip, chunked", length=None) + b"0\r\n\r\n", 400),
    "a chunk of 2^64 bytes": (head(b"", "Transfer-Encoding: chunked", length=None) + b"f" * 16 + b"\r\nx", 400),
    "a chunk with a long extension": (
        head(b"", "Transfer-Encoding: chunked", length=None) + b"1;" + b"x" * 20_000 + b"\r\nx\r\n0\r\n\r\n",
        400,  # gunicorn reads 8 KB of such a line
    ),
    "a trailer without end": (
        head(b"", "Transfer-Encoding: chunked", length=None) + b"0\r\n" + b"X: y\r\n" * 200_000,
        400,
    ),
    "a negative chunk": (head(b"", "Transfer-Encoding: chunked", length=None) + b"-1\r\n", 400),
    "half a body": (head(b"x" * 50) + b"x" * 25, 400),
    "half a head": (head(b"x" * 50)[:40], 0),
    "a length of another alphabet": (head(b"", length=None)[:-2] + b"Content-Length: \xb2\r\n\r\nxx", 400),
    "a header of 9 KB": (head(b"x", f"X-More: {'x' * 9_000}") + b"x", 400),
    "a hundred and one headers": (head(b"x", *(f"X-{number}: y" for number in range(101))) + b"x", 400),
    "a long path": (head(b"x").replace(b"/webhooks/shop", b"/webhooks/" + b"a" * 5_000) + b"x", 400),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_half_closed_hostile_request_is_answered_and_stored_nowhere(gunicorn: Gunicorn, name: str) -> None:
    sent, expected = HOSTILE[name]
    before = stored(gunicorn)
    with gunicorn.connect() as connection:
        connection.sendall(sent)
        connection.shutdown(1)
        answer = read_all(connection)
    assert status(answer) in {expected, *({400, 414, 431, 501} if expected == 400 else ())}
    assert stored(gunicorn) == before


EARLY = {
    "compressed": ("POST /webhooks/shop", "Content-Encoding: gzip", 415),
    "over the limit": ("POST /webhooks/shop", "X-More: y", 413),
    "another method": ("PUT /webhooks/shop", "X-More: y", 405),
    "nobody": ("POST /webhooks/nobody", "X-More: y", 404),
    "health": ("GET /healthz", "X-More: y", 200),
    "chunked": ("PUT /webhooks/shop", "Transfer-Encoding: chunked", 405),
}


@pytest.mark.parametrize("name", EARLY)
def test_who_was_answered_early_and_drips_on_holds_no_thread(gunicorn: Gunicorn, name: str) -> None:
    """Four threads, and eight kept connections whose bodies go on coming, a byte at a time, after the answer."""
    line, more, expected = EARLY[name]
    framing = "" if "chunked" in more else "Content-Length: 100000\r\n"
    # more than is gathered for a request to be whole: a thread has it
    start = b"1\r\nx\r\n" * 12_000 if not framing else b"x" * 100
    dripping = [gunicorn.connect() for _ in range(8)]
    ended = threading.Event()

    def drip() -> None:
        while not ended.wait(0.1):
            for connection in dripping:
                with suppress(OSError):
                    connection.sendall(start[:1])

    for connection in dripping:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: x\r\n{more}\r\n{framing}\r\n".encode() + start)
    assert {status(connection.recv(4096)) for connection in dripping} == {expected}
    thread = threading.Thread(target=drip)
    thread.start()
    try:
        assert status(gunicorn.talk(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) == 200
    finally:
        ended.set()
        thread.join()
        for connection in dripping:
            connection.close()

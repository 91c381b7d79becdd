"""The door to the network, against peers that lie, drip, stall and close."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from router import addresses
from router.errors import BuildError, TransportError, UpstreamError
from router.http import MAX_REPLY_BYTES, Door
from router.model import Call, Reply
from tests.peers import Peer, drips, peer, says

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"ok": true}\n'
SECRET = "canary-5f0c"


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.close()


def send(door: Door, url: str, timeout_s: float = 5.0, **keys: object) -> Reply:
    call = Call("POST", url, {"id": "u_1"}, auth={"Authorization": f"Bearer {SECRET}"})
    return door.send(call, session="sink", timeout_s=timeout_s, **keys)  # type: ignore[arg-type]  # keywords of send


def refused(door: Door, url: str, timeout_s: float = 5.0, **keys: object) -> TransportError:
    with pytest.raises(TransportError) as caught:
        send(door, url, timeout_s, **keys)
    shown = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert SECRET not in shown
    assert "u_1" not in shown
    return caught.value


# --- what goes out, what comes back ------------------------------------------------------------------------------


def test_sends_the_call_as_it_is_and_reads_the_whole_answer(door: Door) -> None:
    with peer(says(OK)) as sink:
        call = Call("PUT", f"{sink.url}/v1/a%2Fb?x=%20y", {"name": "é"}, {"X-Kind": "a"}, {"Authorization": "Basic x"})
        before = time.time()
        reply = door.send(call, session="s", timeout_s=5, extra_headers={"Router-Attempt": "t.1"})
    assert (reply.status, reply.json(), reply.framed) == (200, {"ok": True}, True)
    assert reply.headers["content-type"] == "application/json"
    assert before <= reply.received_at <= time.time()
    head, _, body = sink.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "PUT /v1/a%2Fb?x=%20y HTTP/1.1"
    assert body == '{"name":"é"}'.encode()
    names = {line.partition(":")[0].lower(): line.partition(": ")[2] for line in lines[1:]}
    assert names == {
        "host": f"127.0.0.1:{sink.port}",
        "user-agent": names["user-agent"],
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "x-kind": "a",
        "authorization": "Basic x",
        "router-attempt": "t.1",
    }


def test_one_destination_uses_its_connection_again_and_shares_it_with_no_other(door: Door) -> None:
    with peer(says(OK)) as sink:
        for session in ("a", "a", "a", "b"):
            door.send(Call("GET", sink.url), session=session, timeout_s=5)
        assert sink.connections == 2


def test_nothing_of_the_environment_is_used(door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with peer(says(OK)) as sink:
        assert door.send(Call("GET", sink.url), session="s", timeout_s=5).status == 200
        assert b"authorization" not in sink.requests[0].lower()


def test_a_cookie_that_was_set_is_not_sent_next_time(door: Door) -> None:
    with peer(says(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\n\r\n", 1))) as sink:
        for _ in range(2):
            door.send(Call("GET", sink.url), session="s", timeout_s=5)
        assert b"cookie" not in sink.requests[1].lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("length", [b"0", b"10000000000"])
def test_redirects_are_answers_and_are_not_followed(door: Door, status: int, length: bytes) -> None:
    answer = b"HTTP/1.1 %d Moved\r\nLocation: http://169.254.169.254/\r\nContent-Length: %s\r\n\r\n" % (status, length)
    with peer(says(answer, b"x" * 100_000 if length != b"0" else b"")) as sink:
        reply = send(door, sink.url)
        assert (reply.status, reply.headers["location"]) == (status, "http://169.254.169.254/")
        assert len(sink.requests) == 1


def test_a_compressed_body_is_not_unpacked(door: Door) -> None:
    bomb = gzip.compress(b"\0" * 30_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with peer(says(head + bomb)) as sink:
        assert send(door, sink.url).body == bomb[:MAX_REPLY_BYTES]


@pytest.mark.parametrize("name", ["X\r\nY", "", "X:Y", "é"])
def test_a_header_name_that_is_none_cannot_be_sent(door: Door, name: str) -> None:
    with pytest.raises(BuildError):
        door.send(Call("GET", "http://127.0.0.1:9/", headers={name: "x"}), session="s", timeout_s=1)


@pytest.mark.parametrize(
    "value", ["a\r\nb", "a\nb", "a\rb", "a\0b", "é", "\x7f", "\u2028", "a\tb", "\ud800", "😀", "\x1b", "\x85"]
)
def test_a_header_value_beyond_printable_ascii_cannot_be_sent(door: Door, value: str) -> None:
    with pytest.raises(BuildError) as caught:
        door.send(Call("GET", "http://127.0.0.1:9/", auth={"X-Key": value}), session="s", timeout_s=1)
    assert value not in str(caught.value)


@pytest.mark.parametrize("body", [float("nan"), {"a": "\ud800"}, {"a": object()}])
def test_a_body_that_is_not_json_cannot_be_sent(door: Door, body: object) -> None:
    with pytest.raises(BuildError):
        door.send(Call("POST", "http://127.0.0.1:9/", body), session="s", timeout_s=1)


# --- complete answers only ---------------------------------------------------------------------------------------

CUT = {
    "nothing": b"",
    "status": b"HTTP/1.1 200",
    "status line": b"HTTP/1.1 200 OK\r\n",
    "header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "after a header": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
    "body": OK[:-1],
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
    "after 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\n{}",
    "not http": b"SSH-2.0-x\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("answer", CUT.values(), ids=CUT.keys())
def test_an_answer_that_is_cut_is_none(door: Door, answer: bytes) -> None:
    with peer(says(answer, close=True)) as sink:
        assert refused(door, sink.url).sent


FRAMED = {
    "length": (OK, True),
    "empty": (b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", True),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, True),
    "none": (b"HTTP/1.1 200 OK\r\n\r\n{}", False),
    "1.0": (b"HTTP/1.0 200 OK\r\n\r\n{}", False),
    "nonsense length": (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}", False),
}


@pytest.mark.parametrize(("answer", "framed"), FRAMED.values(), ids=FRAMED.keys())
def test_an_answer_is_framed_if_its_end_was_announced(door: Door, answer: bytes, framed: bool) -> None:
    with peer(says(answer, close=True)) as sink:
        assert send(door, sink.url).framed is framed


@pytest.mark.parametrize("status", [102, 103, 404, 500, 600, 999])
def test_any_status_is_an_answer(door: Door, status: int) -> None:
    with peer(says(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)) as sink:
        assert send(door, sink.url).status == status
        send(door, sink.url)
        assert sink.connections == (2 if status < 200 else 1)


def test_repeated_headers_are_joined(door: Door) -> None:
    with peer(says(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n")) as sink:
        assert send(door, sink.url).headers["x-a"] == "1, 2"


HUGE = {
    "101 headers": b"HTTP/1.1 200 OK\r\n"
    + b"".join(b"X-%d: a\r\n" % n for n in range(101))
    + b"Content-Length: 0\r\n\r\n",
    "70 KB header": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Big: " + b"x" * 70_000 + b"\r\n\r\n",
    "70 KB of headers": b"HTTP/1.1 200 OK\r\n"
    + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 7_000) for n in range(10))
    + b"\r\n",
    "endless 100": b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000 + OK,
}


@pytest.mark.parametrize("answer", HUGE.values(), ids=HUGE.keys())
def test_a_head_without_measure_is_no_answer(door: Door, answer: bytes) -> None:
    with peer(says(answer)) as sink:
        assert refused(door, sink.url).sent


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["length", "chunked", "unframed"],
)
def test_of_a_gigabyte_64_kb_are_read_and_memory_stays_flat(door: Door, head: bytes) -> None:
    sent = 0

    def flood(connection: socket.socket, _request: bytes) -> None:
        nonlocal sent
        connection.sendall(head)
        block = b"x" * 65536
        while sent < 1 << 30:
            connection.sendall(block)
            sent += len(block)

    with peer(flood) as sink:
        send(door, sink.url)  # imports and pools are made
        sent = 0
        tracemalloc.start()
        reply = send(door, sink.url)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (len(reply.body), reply.framed) == (MAX_REPLY_BYTES, False)
    assert most < 1_000_000
    assert sent < 64 << 20


def test_exactly_64_kb_are_whole(door: Door) -> None:
    with peer(says(b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + b"x" * 65536)) as sink:
        reply = send(door, sink.url)
        assert (len(reply.body), reply.framed) == (65536, True)
        send(door, sink.url)
        assert sink.connections == 1


# --- bounded in time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [4, 25, len(OK) - 10], ids=["status", "header", "body"])
def test_a_peer_that_drips_is_cut_at_the_deadline(door: Door, after: int) -> None:
    with peer(drips(OK, after)) as sink:
        started = time.monotonic()
        error = refused(door, sink.url, 0.4)
        assert 0.3 < time.monotonic() - started < 1.5
        assert error.sent
        assert "within 0.4 s" in str(error)


def test_a_head_cut_by_the_deadline_is_no_success(door: Door) -> None:
    with peer(says(b"HTTP/1.1 200 OK\r\nX-A: 1\r\n")) as sink:
        assert refused(door, sink.url, 0.3).sent


def test_a_body_without_framing_that_the_deadline_ended_is_no_answer(door: Door) -> None:
    """The shut socket looks like the end of such a body."""
    with peer(says(b'HTTP/1.1 200 OK\r\n\r\n{"ok": true}')) as sink:
        assert refused(door, sink.url, 0.3).sent


def test_a_silent_peer_is_cut(door: Door) -> None:
    with peer(says()) as sink:
        assert refused(door, sink.url, 0.3).sent


def test_a_peer_that_reads_nothing_is_cut(door: Door) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        call = Call("POST", f"http://127.0.0.1:{deaf.getsockname()[1]}/", b"x" * 20_000_000)
        with pytest.raises(TransportError) as caught:
            door.send(call, session="s", timeout_s=0.5)
    assert caught.value.sent


def test_other_calls_go_on_beside_one_that_is_cut(door: Door) -> None:
    errors: list[TransportError] = []
    with peer(says()) as silent, peer(says(OK)) as sink:
        slow = threading.Thread(target=lambda: errors.append(refused(door, silent.url, 0.5)))
        slow.start()
        replies = [send(door, sink.url) for _ in range(50)]
        slow.join()
    assert len(replies) == 50
    assert errors[0].sent


def test_closing_the_door_cuts_open_calls(door: Door) -> None:
    inside = threading.Event()
    errors: list[TransportError] = []

    def hold(_connection: socket.socket, _request: bytes) -> None:
        inside.set()

    with peer(hold) as silent:
        call = threading.Thread(target=lambda: errors.append(refused(door, silent.url, 30)))
        call.start()
        assert inside.wait(5)
        door.close()
        call.join(5)
    assert errors[0].sent


def test_a_dead_address_is_given_up_within_the_time_for_connecting() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:  # the queue is full: further handshakes get no answer
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        door = Door()
        started = time.monotonic()
        error = refused(door, f"http://127.0.0.1:{full.getsockname()[1]}/", 20)
        assert time.monotonic() - started < 4
        assert not error.sent
        for filler in fillers:
            filler.close()


def test_a_name_server_that_is_silent_is_not_waited_for() -> None:
    silent = threading.Event()

    def lookup(_host: str, _port: int) -> list[str]:
        silent.wait(30)
        return []

    door = Door(lookup=lookup)
    started = time.monotonic()
    for _ in range(3):
        assert not refused(door, "https://api.example.com/", 0.2).sent
    assert time.monotonic() - started < 2
    silent.set()


# --- sent or not -------------------------------------------------------------------------------------------------


def test_a_refused_connection_was_not_sent(door: Door) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = refused(door, f"http://127.0.0.1:{port}/")
    assert not error.sent
    assert str(error) == "127.0.0.1: ConnectionRefusedError"


def test_a_name_without_an_address_was_not_sent() -> None:
    def lookup(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    error = refused(Door(lookup=lookup), "https://api.example.com/")
    assert not error.sent


def test_a_kept_connection_that_was_closed_is_opened_anew(door: Door) -> None:
    closed = threading.Semaphore(0)

    def answer_and_close(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(OK)
        connection.close()
        closed.release()

    with peer(answer_and_close) as sink:
        for _ in range(3):
            assert send(door, sink.url).status == 200
            assert closed.acquire(timeout=5)
        assert sink.connections == 3


def test_a_kept_connection_that_dies_before_a_byte_was_not_sent(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reset comes after urllib3 has looked at the connection: here it does not look at all."""
    reset = threading.Event()

    def answer_and_reset(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(OK)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        reset.set()

    monkeypatch.setattr("urllib3.connectionpool.is_connection_dropped", lambda _connection: False)
    with peer(answer_and_reset) as sink:
        send(door, sink.url)
        assert reset.wait(5)
        error = refused(door, sink.url)
        assert not error.sent
        assert len(sink.requests) == 1


def test_bytes_that_went_out_may_have_arrived(door: Door) -> None:
    with peer(says(close=True)) as sink:
        assert refused(door, sink.url).sent


# --- TLS ---------------------------------------------------------------------------------------------------------


def certificate(directory: Path, names: list[str], *, days: int = 1) -> tuple[Path, Path]:
    """A self-signed certificate and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    alternatives = [x509.IPAddress(IPv4Address(each)) if each[0].isdigit() else x509.DNSName(each) for each in names]
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = directory / "certificate.pem", directory / "key.pem"
    pem.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, secret


def tls(pem: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return context


def test_speaks_tls_with_the_name_of_the_url(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, ["api.example.com"])
    asked: list[str | None] = []
    context = tls(pem, key)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    door = Door(ca_file=str(pem), dev=True, lookup=lambda _host, _port: ["127.0.0.1"])
    with peer(says(OK), context) as sink:
        url = f"https://api.example.com:{sink.port}/"
        assert [send(door, url).status for _ in range(2)] == [200, 200]
        assert f"host: api.example.com:{sink.port}".encode() in sink.requests[0].lower()
        assert (asked, sink.connections) == (["api.example.com"], 1)


@pytest.mark.parametrize("fault", ["unknown", "name", "expired"])
def test_a_certificate_that_does_not_hold_is_refused_before_a_byte(tmp_path: Path, fault: str) -> None:
    names = ["other.example.com" if fault == "name" else "api.example.com"]
    pem, key = certificate(tmp_path, names, days=-1 if fault == "expired" else 1)
    ca = None if fault == "unknown" else str(pem)
    door = Door(ca_file=ca, dev=True, lookup=lambda _host, _port: ["127.0.0.1"])
    with peer(says(OK), tls(pem, key)) as sink:
        error = refused(door, f"https://api.example.com:{sink.port}/")
        assert (error.sent, str(error), sink.requests) == (
            False,
            "api.example.com: SSLCertVerificationError",
            [],
        )


def test_a_handshake_that_hangs_is_cut_and_was_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = time.monotonic()
        assert not refused(Door(), f"https://127.0.0.1:{listener.getsockname()[1]}/", 0.4).sent
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("after", [4, len(OK) - 10], ids=["status", "body"])
def test_a_deadline_holds_over_tls_too(tmp_path: Path, after: int) -> None:
    pem, key = certificate(tmp_path, ["127.0.0.1"])
    with peer(drips(OK, after), tls(pem, key)) as sink:
        assert refused(Door(ca_file=str(pem)), sink.url, 0.4).sent


# --- the guard ---------------------------------------------------------------------------------------------------

INNER = [
    "10.0.0.1", "127.0.0.1", "127.1.2.3", "169.254.169.254", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200",
    "192.0.0.192", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::", "2001:0:a00:1::",
    "2001::f5ff:fffe", "100::1", "3fff::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INNER)
def test_a_name_that_points_inwards_is_refused(address: str) -> None:
    error = refused(Door(lookup=lambda _host, _port: ["93.184.215.14", address]), "https://api.example.com/")
    assert not error.sent
    assert "address" in str(error) or "https only" in str(error)


@pytest.mark.parametrize(
    "host",
    [
        "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "1.2.3", "127.0.0.1.", "10.0.0.1", "[::ffff:10.0.0.1]",
        "0.0.0.0", "100.64.0.1", "[64:ff9b::a00:1]", "a.localhost", "printer.local", "metadata.google.internal",
        "user@example.com", "user:pass@example.com", "a..b", "-", "exa mple.com", "example.com\\@x", "[fe80::1%25eth0]",
        "169.254.169.254", "%31%32%37.0.0.1", "１２７.0.0.1",
    ],
)  # fmt: skip
def test_an_odd_or_inner_host_is_refused_before_it_is_looked_up(host: str) -> None:
    looked_up: list[str] = []

    def lookup(name: str, _port: int) -> list[str]:
        looked_up.append(name)
        return ["93.184.215.14"]

    assert not refused(Door(lookup=lookup), f"https://{host}/").sent
    assert looked_up == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "//example.com/",
        "https://",
        "https://a:0/",
        "https://a:99999/",
        "https://a/\r\nX: y",
        "https://a/é",
        "https://a/#x",
    ],
)
def test_what_is_not_a_url_is_refused(door: Door, url: str) -> None:
    assert not refused(door, url).sent


def test_public_hosts_are_not_spoken_to_in_the_clear() -> None:
    error = refused(Door(lookup=lambda _host, _port: ["93.184.215.14"]), "http://api.example.com/")
    assert "https only" in str(error)


@pytest.mark.parametrize(
    ("address", "networks", "dev", "opened"),
    [
        ("10.1.2.3", ["10.0.0.0/8"], False, True),
        ("10.1.2.3", ["192.168.0.0/16"], False, False),
        ("10.1.2.3", [], True, True),
        ("127.0.0.1", [], False, False),
        ("127.0.0.1", ["127.0.0.0/8"], False, True),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], False, True),
        ("169.254.169.254", ["0.0.0.0/0"], True, False),
        ("168.63.129.16", ["168.63.129.16/32"], True, False),
        ("fd00:ec2::254", ["::/0"], True, False),
        ("0.0.0.0", ["0.0.0.0/0"], True, False),
        ("::ffff:169.254.169.254", ["::/0"], True, False),
        ("64:ff9b::a9fe:a9fe", ["::/0"], True, False),
        ("2002:a9fe:a9fe::", ["::/0"], True, False),
    ],
)
def test_the_configuration_opens_inner_networks_but_never_metadata(
    address: str, networks: list[str], dev: bool, opened: bool
) -> None:
    target = addresses.parse("http://crm.example.com/")
    policy = addresses.Policy.of(networks, dev=dev)
    if opened:
        addresses.check(target, [ip_address(address)], policy)
    else:
        with pytest.raises(TransportError):
            addresses.check(target, [ip_address(address)], policy)


def test_a_name_that_flips_is_judged_at_each_connection() -> None:
    """The second answer is another one, as of a name with a TTL of 0: what was checked is what is connected to."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    door = Door(lookup=lambda _host, _port: answers.pop(0))
    closing = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)  # the next call must open a connection
    with peer(says(closing, close=True)) as sink:
        url = f"http://crm.example.com:{sink.port}/"
        assert send(door, url, networks=["127.0.0.0/8"]).status == 200
        assert not refused(door, url, networks=["127.0.0.0/8"]).sent
        assert (answers, sink.connections) == ([], 1)


def test_another_address_of_the_name_is_tried() -> None:
    with peer(says(OK)) as sink:
        door = Door(lookup=lambda _host, _port: ["127.0.0.9", "127.0.0.1"])
        assert send(door, f"http://crm.example.com:{sink.port}/", networks=["127.0.0.0/8"]).status == 200


def test_networks_that_are_none_open_nothing(door: Door) -> None:
    assert not refused(door, "http://127.0.0.1:9/", networks=["everything"]).sent


# --- key sets ----------------------------------------------------------------------------------------------------


def get(door: Door, sink: Peer, **keys: object) -> bytes:
    return door.get(f"{sink.url}/keys", allowed_hosts={"127.0.0.1"}, **keys)  # type: ignore[arg-type]  # keywords


def test_gets_what_verification_needs(door: Door) -> None:
    with peer(says(OK)) as sink:
        assert get(door, sink) == b'{"ok": true}\n'


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"200 OK", b"500 X"),
        b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        OK[:-2],
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000,
    ],
    ids=["status", "redirect", "unframed", "cut", "too large"],
)
def test_keys_that_do_not_come_whole_are_away(door: Door, answer: bytes) -> None:
    with peer(says(answer, close=True)) as sink, pytest.raises(UpstreamError):
        get(door, sink)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.net/keys",
        "http://keys.example.com/keys",
        "https://keys.example.com:8443/keys",
        "https://keys.example.com@evil.example.net/",
        "https://keys.example.com.evil.example.net/",
    ],
)
def test_keys_come_from_the_host_that_is_allowed_only(url: str) -> None:
    looked_up: list[str] = []

    def lookup(name: str, _port: int) -> list[str]:
        looked_up.append(name)
        return []

    with pytest.raises(UpstreamError):
        Door(lookup=lookup).get(url, allowed_hosts={"keys.example.com"})
    assert looked_up == []

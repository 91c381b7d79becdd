"""The server: HTTP on the wire, many at once, start and stop, the log."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from router.errors import ConfigError
from router.sandbox import Fault, FaultKind, Sandbox, SandboxDestination, fake_credentials
from tests.sandbox.conftest import CREDENTIALS, Client, destinations, receive, until


def exchange(client: Client, data: bytes, *, pieces: int = 1) -> bytes:
    """Send bytes, in pieces that arrive apart, and read until the server closes."""
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        step = max(1, len(data) // pieces)
        for place in range(0, len(data), step):
            connection.sendall(data[place : place + step])
        return receive(connection)


def test_keeps_a_connection_for_many_calls(client: Client) -> None:
    for destination in CREDENTIALS:
        client.write(destination)
    assert {call.connection for call in client.sandbox.calls()} == {1}
    Client(client.sandbox).write("crm")
    assert client.sandbox.calls()[-1].connection > 1


def test_closes_when_the_client_asks_for_it(client: Client) -> None:
    reply = client.write("crm", {"connection": "close"})
    assert reply.headers["connection"] == "close"


def test_reads_requests_however_they_are_cut(client: Client) -> None:
    assert b"201 Created" in exchange(client, client.bytes("crm", connection="close"), pieces=50)


def test_answers_pipelined_requests_in_order(client: Client) -> None:
    data = b"".join(client.bytes(name) for name in ("crm", "moengage", "crm"))
    replies = exchange(client, data + client.bytes("channel", connection="close"))
    assert [int(part[:3]) for part in replies.split(b"HTTP/1.1 ")[1:]] == [201, 200, 200, 200]


def test_a_thousand_pipelined_requests(client: Client) -> None:
    data = client.bytes("crm") * 1000
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        until(lambda: len(client.sandbox.calls()) == 1000)
        sender.join()


def test_reads_chunked_bodies(client: Client) -> None:
    head, _, body = client.bytes("crm", connection="close").partition(b"\r\n\r\n")
    head = head.replace(f"content-length: {len(body)}".encode(), b"transfer-encoding: chunked")
    chunks = b"5\r\n" + body[:5] + b"\r\n%x;x=y\r\n" % len(body[5:]) + body[5:] + b"\r\n0\r\n\r\n"
    assert b"201 Created" in exchange(client, head + b"\r\n\r\n" + chunks, pieces=30)
    assert client.sandbox.calls()[-1].body == body


def test_says_continue_when_asked(client: Client) -> None:
    head, _, body = client.bytes("crm").partition(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
        connection.sendall(head + b"\r\nexpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET /crm/x HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /crm/x HTTP/1.1\r\nbad : x\r\n\r\n", 400),
        (b"PUT /crm/x HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"PUT /crm/x HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (b"PUT /crm/x HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 400),
        (b"PUT /crm/x HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n", 400),
        (b"PUT /crm/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"PUT /crm/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nfffffffff\r\n", 413),
        (b"GET /" + b"x" * 70_000, 431),
    ],
)
def test_refuses_damaged_requests(client: Client, data: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
        connection.sendall(data)
        assert connection.recv(100).startswith(f"HTTP/1.1 {status} ".encode())


def test_records_what_was_sent_to_the_letter(client: Client) -> None:
    client.ask("crm", "PUT", "/v2/people/a%2Fb", b'{"a" : 1}', {"router-attempt": "at_1", "X-Odd": "Value"})
    (call,) = client.sandbox.calls()
    assert (call.destination, call.method, call.path, call.body) == ("crm", "PUT", "/v2/people/a%2Fb", b'{"a" : 1}')
    assert (call.headers["router-attempt"], call.headers["x-odd"]) == ("at_1", "Value")
    assert (call.status, call.applied, call.replied, call.number) == (201, True, True, 1)
    assert call.finish_us is not None
    assert call.applied_us is not None
    assert abs(call.arrive_us / 1e6 - time.time()) < 60
    assert call.arrive_us <= call.applied_us <= call.finish_us


def test_a_refused_call_is_recorded_as_not_applied(client: Client) -> None:
    client.write("crm", {"authorization": ""})
    (call,) = client.sandbox.calls()
    assert (call.status, call.applied, call.replied) == (401, False, True)


def test_a_half_request_is_no_call(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
        connection.sendall(client.bytes("crm")[:-5])
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection) == b""
    assert client.sandbox.calls() == []
    assert client.sandbox.held("crm", "u_1001") is None


def test_a_client_that_left_does_not_get_an_answer(client: Client) -> None:
    client.sandbox.fault("crm", Fault(FaultKind.HOLD))
    connection = client.open("crm")
    until(lambda: client.sandbox.calls())
    connection.close()
    client.write("channel")
    client.sandbox.heal()
    until(lambda: client.sandbox.calls("crm")[0].finish_us)
    assert not client.sandbox.calls("crm")[0].replied


def test_answers_given_out_are_copies(client: Client) -> None:
    client.write("crm")
    held = client.sandbox.held("crm", "u_1001")
    assert held is not None
    held["attributes"]["email"] = "changed"
    client.sandbox.calls()[0].status = 999
    assert client.sandbox.held("crm", "u_1001") == {"attributes": {"email": "jane@example.com"}}
    assert client.sandbox.calls()[0].status == 201


def test_keeps_only_as_many_calls_as_told() -> None:
    with Sandbox(destinations(), keep=3) as sandbox:
        client = Client(sandbox)
        for _ in range(5):
            client.write("crm")
        assert [call.number for call in sandbox.calls()] == [3, 4, 5]


def test_many_clients_at_once_lose_nothing(sandbox: Sandbox) -> None:
    def work(number: int) -> list[int]:
        client = Client(sandbox)
        names = list(CREDENTIALS)
        return [client.write(names[(number + n) % len(names)]).status for n in range(100)]

    with ThreadPoolExecutor(16) as pool:
        statuses = [status for result in pool.map(work, range(16)) for status in result]
    assert len(statuses) == 1600
    assert set(statuses) <= {200, 201}
    calls = sandbox.calls()
    assert [call.number for call in calls] == list(range(1, 1601))
    assert all(call.replied for call in calls)


def test_one_destination_that_hangs_holds_nobody_else_up(sandbox: Sandbox) -> None:
    sandbox.fault("crm", Fault(FaultKind.HOLD))
    hanging = [Client(sandbox).open("crm") for _ in range(20)]
    until(lambda: len(sandbox.calls("crm")) == 20)
    client = Client(sandbox)
    assert all(client.write("channel").status == 200 for _ in range(20))
    for connection in hanging:
        connection.close()


# --- life -----------------------------------------------------------------------------------------------------------


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    "fault", [None, Fault(FaultKind.HOLD), Fault(FaultKind.DRIP_STATUS), Fault(FaultKind.LATE), Fault(FaultKind.HUGE)]
)
def test_stop_leaves_no_thread_and_no_port(fault: Fault | None) -> None:
    before = threading.active_count()
    sandbox = Sandbox(destinations()).start()
    client = Client(sandbox)
    if fault is not None:
        sandbox.fault("crm", fault)
    connection = client.open("crm")
    until(lambda: sandbox.calls())
    sandbox.stop()
    assert threading.active_count() == before
    assert "sandbox" not in threads()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", client.port), timeout=20)
    connection.close()
    sandbox.stop()


def test_state_log_and_faults_outlive_a_stop_on_the_same_port() -> None:
    with Sandbox(destinations()) as sandbox:
        url = sandbox.url
        Client(sandbox).write("crm")
        sandbox.fault("crm", Fault(FaultKind.STATUS, status=503))
        sandbox.stop()
        assert sandbox.held("crm", "u_1001") == {"attributes": {"email": "jane@example.com"}}
        assert len(sandbox.calls()) == 1
        sandbox.start()
        assert sandbox.url == url
        assert Client(sandbox).write("crm").status == 503


def test_starting_twice_is_starting_once(sandbox: Sandbox) -> None:
    url = sandbox.url
    assert sandbox.start() is sandbox
    assert sandbox.url == url


def test_says_when_the_port_is_taken(sandbox: Sandbox) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be had"):
        Sandbox({}, port=port).start()


def test_refuses_unknown_kinds_and_missing_credentials() -> None:
    with pytest.raises(ConfigError, match="there are moengage, engagelab, channel, moesif, http"):
        Sandbox({"x": SandboxDestination("x", "braze")})
    with pytest.raises(ConfigError, match="moengage needs the setting workspace and key"):
        Sandbox({"x": SandboxDestination("x", "moengage")})


def test_credentials_do_not_show(sandbox: Sandbox) -> None:
    one = destinations()["crm"]
    assert "crm-token" not in repr(one)
    assert "crm-token" not in repr(sandbox)


def test_a_destination_may_have_any_name(serve: Callable[..., Client]) -> None:
    with Sandbox({"my crm": SandboxDestination("my crm", "http", {"url": "http://x/p/{user}"})}) as sandbox:
        connection = Client(sandbox)
        assert connection.ask("my%20crm", "PUT", "/p/u_1", {}).status == 201
        assert sandbox.held("my crm", "u_1") == {}


@pytest.mark.parametrize(
    ("kind", "reference", "value"),
    [
        ("moengage", "$env.MOENGAGE_DATA_KEY", "sandbox-not-a-secret-moengage-data-key"),
        ("moengage", "MOENGAGE_WORKSPACE", "sandbox-not-a-secret-moengage-workspace"),
        ("http", "CRM_TOKEN", "sandbox-not-a-secret-http-crm-token"),
        ("http", "$file./run/secrets/crm_token", "sandbox-not-a-secret-http-crm-token"),
        ("channel", "$env.K", "sandbox-not-a-secret-channel-k"),
    ],
)
def test_fake_credentials_are_obvious_and_long_enough(kind: str, reference: str, value: str) -> None:
    assert fake_credentials(kind, reference) == value
    assert len(value.encode()) >= 16

"""Every fault, seen from the socket: what arrives, when the call takes effect, which calls are hit."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import zlib
from typing import Any

import pytest

from router.errors import ConfigError
from router.sandbox import Fault, FaultKind, RecordedCall, Sandbox
from router.sandbox.fault import KINDS
from tests.sandbox.conftest import WRITES, Client, Reply, receive, until

VENDORS = list(WRITES)


def last(client: Client) -> RecordedCall:
    """The last call, once the server is done with it."""
    until(lambda: client.sandbox.calls() and client.sandbox.calls()[-1].finish_us)
    return client.sandbox.calls()[-1]


def hit(client: Client, kind: FaultKind, destination: str = "crm", **more: Any) -> None:
    client.sandbox.fault(destination, Fault(kind, **more))


def parts(raw: bytes) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers and what follows, of a reply as it came."""
    head, blank, body = raw.partition(b"\r\n\r\n")
    assert blank
    first, *lines = head.decode().split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), body


# --- answers in place of the vendor's -------------------------------------------------------------------------------


@pytest.mark.parametrize("destination", VENDORS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503, 999])
def test_a_status_is_answered_in_the_vendors_shape_and_nothing_is_applied(
    client: Client, destination: str, status: int
) -> None:
    hit(client, FaultKind.STATUS, destination, status=status)
    reply = client.write(destination)
    assert reply.status == status
    assert isinstance(reply.json, dict)
    assert client.sandbox.held(destination, "u_1001") is None
    assert not last(client).applied


def test_a_status_can_be_applied_all_the_same(client: Client) -> None:
    hit(client, FaultKind.STATUS, status=500, applied=True)
    assert client.write("crm").status == 500
    assert client.sandbox.held("crm", "u_1001") is not None
    assert last(client).applied


def test_headers_and_body_of_a_status_can_be_given(client: Client) -> None:
    hit(client, FaultKind.STATUS, status=429, headers={"Retry-After": "garbage"}, body=b"wait")
    reply = client.write("crm")
    assert (reply.headers["retry-after"], reply.body) == ("garbage", b"wait")


@pytest.mark.parametrize(
    ("destination", "header"),
    [
        ("moengage", "x-ratelimit-reset"),
        ("engagelab", "retry-after"),
        ("moesif", "retry-after"),
        ("crm", "retry-after"),
    ],
)
def test_a_429_tells_how_long_it_still_lasts(client: Client, destination: str, header: str) -> None:
    hit(client, FaultKind.STATUS, destination, status=429, lasts_s=30)
    assert client.write(destination).headers[header] == "30"


def test_a_429_of_channel_tells_the_second_of_its_end(client: Client) -> None:
    hit(client, FaultKind.STATUS, "channel", status=429, lasts_s=30)
    reply = client.write("channel")
    arrived = last(client).arrive_us / 1e6
    assert arrived + 29 < int(reply.headers["x-ratelimit-reset"]) < arrived + 32
    assert reply.headers["x-ratelimit-remaining"] == "0"


def test_204_has_no_body(client: Client) -> None:
    hit(client, FaultKind.STATUS, status=204, count=1)
    assert (client.write("crm").status, client.write("crm").status) == (204, 201)


@pytest.mark.parametrize(
    ("destination", "key", "value"),
    [("moengage", "status", "fail"), ("engagelab", "code", 55102), ("crm", "ok", False)],
)
def test_200_with_the_vendors_failure_body(client: Client, destination: str, key: str, value: Any) -> None:
    hit(client, FaultKind.FAIL, destination)
    reply = client.write(destination)
    assert (reply.status, reply.json[key]) == (200, value)


@pytest.mark.parametrize("destination", ["channel", "moesif"])
def test_200_without_what_success_looks_like(client: Client, destination: str) -> None:
    hit(client, FaultKind.FAIL, destination)
    reply = client.write(destination)
    assert reply.status == 200
    assert "user" not in reply.json
    assert client.sandbox.held(destination, "u_1001") is None


def test_200_with_a_page_and_200_with_nothing(client: Client) -> None:
    hit(client, FaultKind.HTML, count=1)
    hit(client, FaultKind.EMPTY, count=1)
    page, nothing = client.write("crm"), client.write("crm")
    assert (page.status, page.headers["content-type"], page.body[:9]) == (200, "text/html", b"<!doctype")
    assert (nothing.status, nothing.body) == (200, b"")
    assert client.sandbox.held("crm", "u_1001") is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_elsewhere(client: Client, status: int) -> None:
    hit(client, FaultKind.REDIRECT, status=status, headers={"location": "http://169.254.169.254/x"})
    reply = client.write("crm")
    assert (reply.status, reply.headers["location"]) == (status, "http://169.254.169.254/x")


def test_echoes_what_it_was_sent(client: Client) -> None:
    hit(client, FaultKind.ECHO)
    reply = client.write("crm")
    assert (reply.status, reply.json["headers"]["authorization"]) == (400, "Bearer crm-token")
    assert "jane@example.com" in reply.json["body"]


# --- time -----------------------------------------------------------------------------------------------------------


def test_latency_applies_first_and_answers_later(client: Client) -> None:
    hit(client, FaultKind.LATENCY, seconds=0.2)
    assert client.write("crm").status == 201
    call = last(client)
    assert call.finish_us is not None
    assert call.applied_us is not None
    assert call.finish_us - call.applied_us >= 200_000
    assert call.applied_us - call.arrive_us < 150_000


def test_a_held_answer_goes_out_when_healed(client: Client) -> None:
    hit(client, FaultKind.HOLD, count=1)
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(client.write("crm")))
    thread.start()
    until(lambda: client.sandbox.held("crm", "u_1001"))
    other = Client(client.sandbox)
    assert other.write("channel").status == 200
    assert not replies
    client.sandbox.heal("crm")
    thread.join()
    assert replies[0].status == 201


def test_late_loses_the_answer_and_applies_afterwards(client: Client) -> None:
    hit(client, FaultKind.LATE, seconds=0.1)
    assert client.raw("crm") == b""
    assert client.sandbox.held("crm", "u_1001") is None
    until(lambda: client.sandbox.held("crm", "u_1001"))
    call = last(client)
    assert call.finish_us is not None
    assert call.applied_us is not None
    assert call.applied_us > call.finish_us
    assert not call.replied


def test_late_can_put_an_old_value_over_a_newer_one(client: Client) -> None:
    hit(client, FaultKind.LATE, seconds=0.1, count=1)
    client.raw("crm")
    client.ask("crm", "PUT", "/v2/people/u_1001", {"attributes": {"email": "newer@example.com"}})
    until(lambda: client.sandbox.calls()[0].applied)
    assert client.sandbox.held("crm", "u_1001") == {"attributes": {"email": "jane@example.com"}}


def test_lag_answers_success_before_it_applies(client: Client) -> None:
    hit(client, FaultKind.LAG, "channel", seconds=0.1)
    reply = client.write("channel")
    assert (reply.status, reply.json["user"]["profile"]) == (200, {"email": "jane@example.com"})
    assert client.sandbox.held("channel", "u_1001") is None
    until(lambda: client.sandbox.held("channel", "u_1001"))
    assert last(client).replied


@pytest.mark.parametrize(
    ("kind", "start"),
    [(FaultKind.DRIP_STATUS, 0), (FaultKind.DRIP_HEADERS, 1), (FaultKind.DRIP_BODY, 2)],
)
def test_drips_byte_by_byte_from_a_place(client: Client, kind: FaultKind, start: int) -> None:
    hit(client, kind, seconds=0.05)
    with client.open("crm", connection="close") as connection:
        first = connection.recv(65536)
        piece = connection.recv(65536)
        assert len(piece) <= 2
        client.sandbox.heal()
        whole = first + piece + receive(connection)
    places = [0, whole.index(b"\r\n") + 2, whole.index(b"\r\n\r\n") + 4]
    assert places[start] <= len(first) <= places[start] + 2
    assert parts(whole)[2] == b'{"attributes":{"email":"jane@example.com"}}'


# --- connections that end -------------------------------------------------------------------------------------------


def test_cut_applies_and_sends_not_one_byte(client: Client) -> None:
    hit(client, FaultKind.CUT)
    assert client.raw("crm") == b""
    call = last(client)
    assert (call.applied, call.replied, call.status) == (True, False, 201)
    assert client.sandbox.held("crm", "u_1001") is not None


def test_cut_can_leave_the_call_unapplied(client: Client) -> None:
    hit(client, FaultKind.CUT, applied=False)
    assert client.raw("crm") == b""
    assert client.sandbox.held("crm", "u_1001") is None


def test_cuts_inside_the_status_line(client: Client) -> None:
    hit(client, FaultKind.CUT_STATUS)
    assert client.raw("crm") == b"HTTP/1.1 20"


def test_cuts_inside_the_headers(client: Client) -> None:
    hit(client, FaultKind.CUT_HEADERS)
    raw = client.raw("crm")
    assert raw.startswith(b"HTTP/1.1 201 Created\r\ncontent-type")
    assert b"\r\n\r\n" not in raw


def test_cuts_inside_the_body(client: Client) -> None:
    hit(client, FaultKind.CUT_BODY)
    first, headers, body = parts(client.raw("crm"))
    assert first == "HTTP/1.1 201 Created"
    assert 0 < len(body) < int(headers["content-length"])
    hit(client, FaultKind.CUT_BODY)
    with pytest.raises(http.client.IncompleteRead):
        client.write("crm")


def test_cuts_inside_a_chunk(client: Client) -> None:
    hit(client, FaultKind.CUT_CHUNK)
    _, headers, body = parts(client.raw("crm"))
    assert headers["transfer-encoding"] == "chunked"
    assert "content-length" not in headers
    assert not body.endswith(b"0\r\n\r\n")
    with pytest.raises(http.client.IncompleteRead):
        client.write("crm")


def test_sends_100_continue_and_no_more(client: Client) -> None:
    hit(client, FaultKind.CONTINUE)
    assert client.raw("crm") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.sandbox.held("crm", "u_1001") is not None


def test_without_framing_a_whole_answer_and_half_of_one_look_alike(client: Client) -> None:
    hit(client, FaultKind.UNFRAMED, count=1)
    hit(client, FaultKind.UNFRAMED_CUT, count=1)
    whole, half = parts(client.raw("crm")), parts(client.raw("crm"))
    assert "content-length" not in whole[1]
    assert "transfer-encoding" not in whole[1]
    assert whole[2] == b'{"attributes":{"email":"jane@example.com"}}'
    assert half[1] == whole[1]
    assert whole[2].startswith(half[2])
    assert 0 < len(half[2]) < len(whole[2])
    calls = client.sandbox.calls()
    assert [call.replied for call in calls] == [True, False]


def test_reset_is_a_reset(client: Client) -> None:
    hit(client, FaultKind.RESET)
    with pytest.raises(ConnectionResetError):
        client.raw("crm")
    assert client.sandbox.held("crm", "u_1001") is None
    hit(client, FaultKind.RESET, "channel", applied=True)
    with pytest.raises(ConnectionResetError):
        client.raw("channel")
    assert client.sandbox.held("channel", "u_1001") is not None


def test_down_closes_kept_connections_and_new_ones_but_not_those_of_others(client: Client) -> None:
    other = Client(client.sandbox)
    client.write("crm")
    other.write("channel")
    kept = client.connection.sock
    hit(client, FaultKind.DOWN)
    assert kept.recv(1) == b""
    with client.open("crm") as connection, pytest.raises(ConnectionResetError):
        receive(connection)
    assert other.write("channel").status == 200
    client.sandbox.heal("crm")
    assert Client(client.sandbox).write("crm").status == 200


def test_down_does_not_even_read_the_body(client: Client) -> None:
    hit(client, FaultKind.DOWN)
    head = client.bytes("crm").partition(b"\r\n\r\n")[0]
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
        connection.sendall(head + b"\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            receive(connection)
    assert client.sandbox.calls() == []


def test_down_for_one_person(client: Client) -> None:
    hit(client, FaultKind.DOWN, profile="u_1001")
    assert client.ask("crm", "PUT", "/v2/people/u_2", {}).status == 201
    with pytest.raises(ConnectionResetError):
        client.raw("crm")


def test_stale_promises_a_connection_that_it_closes(client: Client) -> None:
    hit(client, FaultKind.STALE)
    raw = client.raw("crm")
    assert b"connection: close" not in raw.lower()
    assert parts(raw)[2]
    assert last(client).replied


# --- answers too big ------------------------------------------------------------------------------------------------


def test_a_body_of_1_gb_flows_only_as_it_is_read(client: Client) -> None:
    hit(client, FaultKind.HUGE)
    with client.open("crm") as connection:
        data = b""
        while len(data) < 1_000_000:
            data += connection.recv(65536)
    assert parts(data)[1]["content-length"] == str(1024**3)
    assert not last(client).replied


def test_a_bomb_is_small_on_the_wire(client: Client) -> None:
    hit(client, FaultKind.BOMB)
    _, headers, body = parts(client.raw("crm"))
    assert headers["content-encoding"] == "gzip"
    assert len(body) < 2_000_000
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
    size = 0
    while body:
        size += len(unpack.decompress(body, 1 << 24))
        body = unpack.unconsumed_tail
    assert size == 256 * 1024**2


def test_more_headers_and_a_longer_one_than_clients_take(client: Client) -> None:
    hit(client, FaultKind.MANY_HEADERS, count=1)
    hit(client, FaultKind.BIG_HEADER, count=1)
    for expected in ("got more than 100 headers", "got more than 65536 bytes"):
        with pytest.raises(http.client.HTTPException, match=expected):
            client.write("crm")
        client.connection.close()


# --- forgotten handles ----------------------------------------------------------------------------------------------


def test_a_forgotten_euid_is_unknown_and_a_new_one_has_the_data(client: Client) -> None:
    old = client.write("engagelab").json["data"][0]["euid"]
    change = {"type": "set", "properties": {"plan": "pro"}}
    client.ask("engagelab", "POST", "/v1/user/property", {"euid": old, **change})
    hit(client, FaultKind.FORGET, "engagelab", count=1)
    assert client.ask("engagelab", "POST", "/v1/user/property", {"euid": old, **change}).json["code"] == 55004
    new = client.write("engagelab").json["data"][0]["euid"]
    assert new != old
    assert client.ask("engagelab", "POST", "/v1/user/property", {"euid": new, **change}).json["code"] == 0
    held = client.sandbox.held("engagelab", "u_1001")
    assert held is not None
    assert (held["euid"], held["user_properties"]) == (new, {"plan": "pro"})


# --- which calls are hit --------------------------------------------------------------------------------------------


def test_counts_down(client: Client) -> None:
    hit(client, FaultKind.STATUS, status=503, count=2)
    assert [client.write("crm").status for _ in range(3)] == [503, 503, 201]
    assert client.sandbox.faults() == []


def test_ends_by_itself(client: Client) -> None:
    hit(client, FaultKind.STATUS, status=503, lasts_s=0.2)
    assert client.write("crm").status == 503
    until(lambda: client.write("crm").status == 201 or None)


def test_matches_method_path_and_person(client: Client) -> None:
    hit(client, FaultKind.STATUS, status=500, method="GET")
    hit(client, FaultKind.STATUS, status=501, path=r"/u_\d{4}$", profile="u_1001")
    assert client.ask("crm", "PUT", "/v2/people/u_2", {}).status == 201
    assert client.ask("crm", "GET", "/v2/people/u_2").status == 500
    assert client.write("crm").status == 501


def test_matches_a_text_in_the_body(client: Client) -> None:
    hit(client, FaultKind.STATUS, status=413, contains="poison")
    hit(client, FaultKind.DOWN, "channel", contains="poison")
    assert client.write("crm").status == 201
    assert client.ask("crm", "PUT", "/v2/people/u_1001", {"attributes": {"note": "a poisoned value"}}).status == 413
    assert client.sandbox.held("crm", "u_1001") == {"attributes": {"email": "jane@example.com"}}
    assert client.write("channel").status == 200


@pytest.mark.parametrize("destination", VENDORS)
def test_finds_the_person_of_a_call(client: Client, destination: str) -> None:
    client.write(destination)
    hit(client, FaultKind.STATUS, destination, status=503, profile="u_2")
    assert client.write(destination).status < 300
    hit(client, FaultKind.STATUS, destination, status=503, profile="u_1001")
    assert client.write(destination).status == 503


def test_finds_a_person_behind_a_euid_and_inside_a_batch(client: Client) -> None:
    euid = client.write("engagelab").json["data"][0]["euid"]
    hit(client, FaultKind.STATUS, "engagelab", status=503, profile="u_1001")
    body = {"euid": euid, "type": "set", "properties": {"a": 1}}
    assert client.ask("engagelab", "POST", "/v1/user/property", body).status == 503
    hit(client, FaultKind.STATUS, "moesif", status=503, profile="u_1001")
    batch = [{"user_id": "u_1"}, {"user_id": "u_1001"}]
    assert client.ask("moesif", "POST", "/v1/users/batch", batch[:1]).status == 201
    assert client.ask("moesif", "POST", "/v1/users/batch", batch).status == 503


def test_probability_is_the_same_for_the_same_seed(sandbox: Sandbox, client: Client) -> None:
    def run(seed: int) -> list[int]:
        sandbox.heal()
        hit(client, FaultKind.STATUS, status=503, probability=0.5, seed=seed)
        return [client.write("crm").status for _ in range(40)]

    client.write("crm")
    first = run(1)
    assert first == run(1)
    assert first != run(2)
    assert 5 < first.count(503) < 35


def test_the_first_of_several_fires(client: Client) -> None:
    hit(client, FaultKind.STATUS, status=500, count=1)
    hit(client, FaultKind.STATUS, status=501, count=1)
    assert [client.write("crm").status for _ in range(3)] == [500, 501, 201]


def test_healing_one_destination_leaves_the_others(client: Client) -> None:
    hit(client, FaultKind.STATUS, status=503)
    hit(client, FaultKind.STATUS, "channel", status=503)
    client.sandbox.heal("crm")
    assert (client.write("crm").status, client.write("channel").status) == (201, 503)
    client.sandbox.heal()
    assert client.write("channel").status == 200


def test_refuses_an_unknown_destination(sandbox: Sandbox) -> None:
    for act in (lambda: sandbox.fault("x", Fault(FaultKind.CUT)), lambda: sandbox.heal("x")):
        with pytest.raises(ConfigError, match="there are moengage, engagelab"):
            act()


def test_a_hit_call_is_marked_in_the_log(client: Client) -> None:
    hit(client, FaultKind.CUT_BODY, count=1)
    client.raw("crm")
    assert last(client).fault == "cut-body"
    client.write("crm")
    assert last(client).fault is None


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind not in (FaultKind.HUGE, FaultKind.BOMB)])
def test_every_fault_leaves_the_server_sound(client: Client, kind: FaultKind) -> None:
    """Each fires once; afterwards the same call on a new connection is answered as ever."""
    assert kind in KINDS
    hit(client, kind, status=503, count=1, seconds=0.001)
    with client.open("crm", connection="close") as connection, contextlib.suppress(ConnectionResetError):
        if kind is FaultKind.HOLD:
            until(lambda: client.sandbox.calls())
            client.sandbox.heal()
        receive(connection)
    until(lambda: all(call.finish_us for call in client.sandbox.calls()))
    assert Client(client.sandbox).write("crm").status in (200, 201)

"""The control endpoints, as another process uses them."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from router.sandbox import Sandbox
from tests.sandbox.conftest import Client, Reply


def control(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    return client.ask("_sandbox", method, path, body, headers)


def test_shows_what_is_held(client: Client) -> None:
    client.write("channel")
    reply = control(client, "GET", "/held/channel/u_1001")
    assert (reply.status, reply.json["profile"]) == (200, {"email": "jane@example.com"})
    assert control(client, "GET", "/held/channel/u_2").status == 404
    unknown = control(client, "GET", "/held/nowhere/u_2")
    assert (unknown.status, "there are moengage" in unknown.json["error"]) == (400, True)


def test_decodes_the_person_in_the_path(client: Client) -> None:
    client.ask("crm", "PUT", "/v2/people/a%2Fb", {"plan": "pro"})
    assert control(client, "GET", "/held/crm/a%2Fb").json == {"plan": "pro"}


def test_edits_what_is_held(client: Client) -> None:
    client.write("crm")
    reply = control(client, "PUT", "/held/crm/u_1001", {"attributes": {"email": "by hand"}})
    assert reply.json == {"attributes": {"email": "by hand"}}
    assert control(client, "PUT", "/held/crm/u_2", {}).status == 404
    assert control(client, "PUT", "/held/crm/u_1001", []).status == 400
    assert control(client, "DELETE", "/held/crm/u_1001").status == 405


def test_shows_calls_without_credentials(client: Client) -> None:
    for destination in ("moengage", "channel", "moesif", "crm"):
        client.write(destination, {"router-attempt": "at_1"})
    client.ask("crm", "PUT", "/v2/people/u_2", b"\xff")
    calls = control(client, "GET", "/calls").json
    assert [call["destination"] for call in calls] == ["moengage", "channel", "moesif", "crm", "crm"]
    first = calls[0]
    assert (first["method"], first["path"], first["status"], first["applied"]) == (
        "POST",
        "/v1/customer/WORKSPACE",
        200,
        True,
    )
    assert json.loads(first["body"])["customer_id"] == "u_1001"
    assert first["headers"]["router-attempt"] == "at_1"
    assert calls[-1]["body_base64"] == "/w=="
    text = json.dumps(calls)
    for secret in ("access-key", "access-secret", "application-id", "crm-token", "V09SS1NQQUNF"):
        assert f'"{secret}' not in text
    assert "crm-token" not in text


def test_shows_calls_of_one_destination_since_a_number(client: Client) -> None:
    for destination in ("crm", "channel", "crm"):
        client.write(destination)
    calls = control(client, "GET", "/calls?destination=crm&since=1").json
    assert [(call["destination"], call["number"]) for call in calls] == [("crm", 3)]
    assert control(client, "GET", "/calls?since=x").status == 400


def test_sets_lists_and_heals_faults(client: Client) -> None:
    reply = control(client, "POST", "/faults", {"fault": "crm:503:30s:path=/people"})
    (report,) = reply.json
    assert report["fault"] == {"kind": "status", "status": 503, "lasts_s": 30.0, "path": "/people"}
    assert client.write("crm").status == 503
    (report,) = control(client, "GET", "/faults").json
    assert (report["destination"], report["fired"]) == ("crm", 1)
    assert 0 < report["remaining_s"] <= 30
    assert control(client, "DELETE", "/faults?destination=crm").json == []
    assert client.write("crm").status == 201


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"fault": "crm:nonsense"}, "cut-body"),
        ({"fault": "nowhere:503"}, "no destination 'nowhere'"),
        ({"fault": 5}, "channel:429:30s"),
        ({}, "channel:429:30s"),
        ([], "must be an object"),
        (b"{", "not JSON"),
    ],
)
def test_refuses_a_fault_it_does_not_understand(client: Client, body: Any, says: str) -> None:
    reply = control(client, "POST", "/faults", body)
    assert reply.status == 400
    assert says in reply.json["error"]


def test_refuses_what_a_web_page_could_send(client: Client) -> None:
    """A page in a browser can post plain text anywhere, and can make a name of its own point at this machine."""
    assert control(client, "POST", "/faults", {"fault": "crm:503"}, **{"content-type": "text/plain"}).status == 415
    assert control(client, "GET", "/calls", host="evil.example").status == 403
    assert control(client, "GET", "/calls", host="localhost:1").status == 200
    assert client.sandbox.faults() == []


def test_knows_no_other_path_or_method(client: Client) -> None:
    assert control(client, "GET", "/nothing").status == 404
    assert control(client, "PUT", "/faults", {}).status == 405
    assert control(client, "POST", "/calls", {}).status == 404


def test_control_calls_are_not_in_the_log(sandbox: Sandbox, client: Client) -> None:
    control(client, "GET", "/calls")
    assert sandbox.calls() == []


def test_an_unknown_destination_is_told_which_there_are(client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
    connection.request("GET", "/nowhere/x")
    reply = connection.getresponse()
    assert (reply.status, json.loads(reply.read())["destinations"][0]) == (404, "moengage")

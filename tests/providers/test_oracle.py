"""Moesif's official client beside ours: the same call for the same person (nulls and charset apart)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from moesifapi.configuration import Configuration
from moesifapi.moesif_api_client import MoesifAPIClient

from router.model import Call, Delta, Op, OpKind
from router.providers.base import Options
from router.providers.moesif import Moesif
from tests.providers.conversations import reveal

PEOPLE: list[dict[str, Any]] = [
    {
        "user_id": "crm-48213",
        "company_id": "acct-771",
        "campaign": {"utm_source": "newsletter", "utm_campaign": "autumn"},
        "metadata": {"email": "noor@example.test", "first_name": "Noor", "plan": {"tier": "team", "seats": 12}},
    },
    {"user_id": "crm-48214", "metadata": {"is_owner": True, "ltv": 19.5, "name": "Åse 東京"}},
]


class _Recorder(BaseHTTPRequestHandler):
    seen: list[tuple[str, str, dict[str, str], Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen.append((self.command, self.path, headers, json.loads(body)))
        self.send_response(201)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, list[Any]]]:
    handler = type("Recorder", (_Recorder,), {"seen": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(Configuration, "BASE_URI", f"http://127.0.0.1:{server.server_port}")
    yield MoesifAPIClient("secret-KEY").api, handler.seen
    server.shutdown()
    thread.join()
    server.server_close()


def delta_of(person: dict[str, Any]) -> Delta:
    fields: dict[str, Any] = {}
    for name, value in person["metadata"].items():
        if isinstance(value, dict):
            fields.update({f"send:/metadata/{name}/{key}": inner for key, inner in value.items()})
        else:
            fields[name] = value
    fields.update({f"send:/campaign/{name}": value for name, value in person.get("campaign", {}).items()})
    if "company_id" in person:
        fields["company.id"] = person["company_id"]
    return Delta(person["user_id"], {name: Op(OpKind.SET, value) for name, value in fields.items()})


def without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


def same(ours: Call, theirs: tuple[str, str, dict[str, str], Any]) -> None:
    method, path, headers, body = theirs
    assert ours.method == method
    assert ours.url == "https://api.moesif.net" + path
    assert ours.body == without_nulls(body)
    assert ours.auth["X-Moesif-Application-Id"] == headers["x-moesif-application-id"]
    assert headers["content-type"].partition(";")[0] == "application/json"


def test_one_person_goes_out_as_the_official_client_sends_it(recorded: tuple[Any, list[Any]]) -> None:
    client, seen = recorded
    ours = Moesif(Moesif.Account().load({"application_id": "$env.T_KEY"}), Options(), reveal)
    for person in PEOPLE:
        client.update_user(person)
        same(next(ours.upsert(delta_of(person))), seen[-1])


def test_many_people_go_out_as_the_official_client_sends_them(recorded: tuple[Any, list[Any]]) -> None:
    client, seen = recorded
    ours = Moesif(Moesif.Account().load({"application_id": "$env.T_KEY"}), Options(), reveal)
    client.update_users_batch(PEOPLE)
    same(next(ours.upsert_many([delta_of(person) for person in PEOPLE])), seen[-1])

"""Any JSON API: method, URL, credentials, merging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.errors import ConfigError
from router.sandbox import Sandbox, SandboxDestination
from tests.sandbox.conftest import Client, basic

PERSON = "/v2/people/u_1001"


def test_merges_by_key_and_null_clears(client: Client) -> None:
    first = client.ask("crm", "PUT", PERSON, {"attributes": {"plan": "free", "seats": 1}, "tags": ["a", "b"]})
    assert first.status == 201
    second = client.ask("crm", "PUT", PERSON, {"attributes": {"plan": "pro", "seats": None}, "tags": ["c"]})
    assert (second.status, second.json) == (200, {"attributes": {"plan": "pro"}, "tags": ["c"]})
    assert client.ask("crm", "GET", PERSON).json == second.json


def test_reads_the_id_from_the_raw_path(client: Client) -> None:
    client.ask("crm", "PUT", "/v2/people/a%2Fb", {})
    assert client.sandbox.held("crm", "a/b") == {}
    assert client.ask("crm", "PUT", "/v2/people/a/b", {}).status == 404


def test_deletes(client: Client) -> None:
    client.write("crm")
    assert client.ask("crm", "DELETE", PERSON).status == 204
    assert client.ask("crm", "DELETE", PERSON).status == 404
    assert client.ask("crm", "GET", PERSON).status == 404


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_refuses_another_method(client: Client, method: str) -> None:
    assert client.ask("crm", method, PERSON, {}).status == 405


@pytest.mark.parametrize(("body", "kind", "status"), [(b"{", None, 400), ([], None, 400), ({}, "text/plain", 415)])
def test_refuses_what_is_no_json_object(client: Client, body: Any, kind: str | None, status: int) -> None:
    assert client.ask("crm", "PUT", PERSON, body, {"content-type": kind} if kind else None).status == status


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        ({"bearer": "crm-token"}, "authorization", "Bearer crm-token"),
        ({"basic": {"user": "a", "password": "b"}}, "authorization", basic("a", "b")),
        ({"header": {"name": "X-Api-Key", "value": "k"}}, "x-api-key", "k"),
    ],
)
def test_demands_the_credentials(serve: Callable[..., Client], auth: Any, name: str, value: str) -> None:
    client = serve(crm={"settings": {"auth": auth}})
    assert client.ask("crm", "PUT", PERSON, {}, {name: value}).status == 201
    wrong = client.ask("crm", "PUT", "/v2/people/u_2", {}, {name: "wrong"})
    assert wrong.status == 401
    assert client.sandbox.held("crm", "u_2") is None


def test_demands_literal_headers(serve: Callable[..., Client]) -> None:
    client = serve(crm={"settings": {"headers": {"X-Tenant": "acme"}}})
    assert client.write("crm").status == 401
    assert client.write("crm", {"x-tenant": "acme"}).status == 201


def test_finds_the_id_in_the_body_where_the_url_has_none(serve: Callable[..., Client]) -> None:
    settings = {"url": "https://crm.example.com/upsert?v=2", "method": "POST", "user_at": ".person.id"}
    client = serve(crm={"settings": settings})
    assert client.ask("crm", "POST", "/upsert?v=2", {"person": {"id": "u_1"}, "plan": "pro"}).status == 201
    assert client.sandbox.held("crm", "u_1") == {"person": {"id": "u_1"}, "plan": "pro"}
    assert client.ask("crm", "POST", "/upsert?v=2", {"person": {}}).status == 422
    assert client.ask("crm", "POST", "/upsert", {"person": {"id": "u_1"}}).status == 404


def test_answers_with_the_body_it_is_told(serve: Callable[..., Client]) -> None:
    client = serve(crm={"settings": {"reply": {"ok": True}}})
    assert client.write("crm").json == {"ok": True}


def test_can_be_limited(serve: Callable[..., Client]) -> None:
    client = serve(clock=lambda: 1e9, crm={"limit": 1})
    replies = [client.write("crm") for _ in range(2)]
    assert (replies[1].status, replies[1].headers["retry-after"]) == (429, "20")


@pytest.mark.parametrize("settings", [{}, {"url": "https://crm.example.com/people"}])
def test_needs_a_place_for_the_id(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="crm"):
        Sandbox({"crm": SandboxDestination("crm", "http", settings)})

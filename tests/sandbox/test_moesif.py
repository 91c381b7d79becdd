"""Moesif as documented, and as its official client speaks to it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moesifapi.configuration import Configuration
from moesifapi.exceptions.api_exception import APIException
from moesifapi.models import CampaignModel, UserModel
from moesifapi.moesif_api_client import MoesifAPIClient

from router.sandbox import Sandbox
from tests.sandbox.conftest import Client, Reply

BEARER = {"authorization": "Bearer management-token"}


def send(client: Client, body: Any, path: str = "/v1/users", **headers: str) -> Reply:
    return client.ask("moesif", "POST", path, body, headers)


def held(client: Client, profile: str = "u_1001") -> dict[str, Any]:
    stored = client.sandbox.held("moesif", profile)
    assert stored is not None
    return stored


def test_creates_with_201_and_no_body(client: Client) -> None:
    reply = send(client, {"user_id": "u_1001", "company_id": "acme", "metadata": {"email": "jane@example.com"}})
    assert (reply.status, reply.body) == (201, b"")
    assert held(client)["company_id"] == "acme"


def test_merges_recursively_and_replaces_lists(client: Client) -> None:
    send(client, {"user_id": "u_1001", "metadata": {"sales": {"stage": "lead", "owner": "mary"}, "tags": ["a", "b"]}})
    send(client, {"user_id": "u_1001", "metadata": {"sales": {"stage": "customer"}, "tags": ["c"], "seats": 5}})
    expected = {"sales": {"stage": "customer", "owner": "mary"}, "tags": ["c"], "seats": 5}
    assert held(client)["metadata"] == expected


def test_null_changes_nothing(client: Client) -> None:
    send(client, {"user_id": "u_1001", "company_id": "acme", "metadata": {"plan": "pro"}, "campaign": {"gclid": "x"}})
    before = {name: value for name, value in held(client).items() if name != "modified_time"}
    nulls = {"company_id": None, "session_token": None, "modified_time": None, "ip_address": None}
    assert send(client, {"user_id": "u_1001", **nulls, "metadata": {"plan": None}, "campaign": None}).status == 201
    assert {name: value for name, value in held(client).items() if name != "modified_time"} == before


def test_session_tokens_are_added_to_the_old_ones(client: Client) -> None:
    for token in ("one", "two", "one"):
        send(client, {"user_id": "u_1001", "session_token": token})
    assert held(client)["session_token"] == ["one", "two"]


def test_modified_time_is_set_if_absent(serve: Callable[..., Client]) -> None:
    client = serve(clock=lambda: 1_700_000_000.0)
    send(client, {"user_id": "u_1001"})
    assert held(client)["modified_time"] == "2023-11-14T22:13:20.000Z"
    send(client, {"user_id": "u_1001", "modified_time": "2025-10-01T09:00:00Z"})
    assert held(client)["modified_time"] == "2025-10-01T09:00:00Z"


def test_ignores_unknown_names_at_the_top_and_in_campaign(client: Client) -> None:
    body = {"user_id": "u_1001", "companyId": "x", "campaign": {"utm_source": "ad", "utmMedium": "cpc"}}
    assert send(client, body).status == 201
    assert set(held(client)) == {"user_id", "modified_time", "campaign"}
    assert held(client)["campaign"] == {"utm_source": "ad"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"userId": "u_1001"},
        {"user_id": ""},
        {"user_id": 1001},
        {"user_id": None},
        {"user_id": "u_1001", "company_id": 5},
        {"user_id": "u_1001", "session_token": ["x"]},
        {"user_id": "u_1001", "modified_time": "yesterday"},
        {"user_id": "u_1001", "modified_time": "2025-10-01"},
        {"user_id": "u_1001", "metadata": []},
        {"user_id": "u_1001", "metadata": "x"},
        {"user_id": "u_1001", "metadata": {"email": {"a": 1}}},
        {"user_id": "u_1001", "metadata": {"phone": 47550}},
        {"user_id": "u_1001", "campaign": "ad"},
        {"user_id": "u_1001", "campaign": {"utm_source": 5}},
        [],
        "x",
        b"{",
    ],
)
def test_refuses_a_wrong_user(client: Client, body: Any) -> None:
    assert send(client, body).status == 400
    assert client.sandbox.held("moesif", "u_1001") is None


def test_takes_a_batch_as_an_array(client: Client) -> None:
    assert send(client, [{"user_id": "u_1"}, {"user_id": "u_2"}], "/v1/users/batch").status == 201
    assert held(client, "u_1")["user_id"] == "u_1"
    assert held(client, "u_2")["user_id"] == "u_2"
    assert send(client, [], "/v1/users/batch").status == 201
    assert send(client, {"users": []}, "/v1/users/batch").status == 400


def test_refuses_a_batch_whole_for_one_bad_user(client: Client) -> None:
    assert send(client, [{"user_id": "u_1"}, {"user_id": 2}], "/v1/users/batch").status == 400
    assert client.sandbox.held("moesif", "u_1") is None


def test_refuses_a_batch_over_250_kb(client: Client) -> None:
    users = [{"user_id": f"u_{n}", "metadata": {"note": "x" * 10_000}} for n in range(25)]
    assert send(client, users, "/v1/users/batch").status == 413
    assert send(client, users[:20], "/v1/users/batch").status == 201


def test_demands_the_application_id(client: Client) -> None:
    for value in ("", "other"):
        assert client.write("moesif", {"x-moesif-application-id": value}).status == 401
    assert client.sandbox.held("moesif", "u_1001") is None


def test_knows_its_paths_methods_and_media_type(client: Client) -> None:
    assert send(client, {}, "/v1/people").status == 404
    assert client.ask("moesif", "GET", "/v1/users/batch").status == 405
    assert client.write("moesif", {"content-type": "application/x-www-form-urlencoded"}).status == 400


def test_understands_gzip_up_to_the_limit(client: Client) -> None:
    packed = gzip.compress(json.dumps({"user_id": "u_1001"}).encode())
    assert client.ask("moesif", "POST", "/v1/users", packed, {"content-encoding": "gzip"}).status == 201
    bomb = gzip.compress(b" " * 50_000_000)
    assert client.ask("moesif", "POST", "/v1/users", bomb, {"content-encoding": "gzip"}).status == 413
    assert client.ask("moesif", "POST", "/v1/users", b"x", {"content-encoding": "gzip"}).status == 400


# --- management API -------------------------------------------------------------------------------------------------

ONE = "/v1/search/~/users/u_1001"


def test_reads_one_user_with_its_tokens_as_a_list(client: Client) -> None:
    send(client, {"user_id": "u_1001", "session_token": "t", "metadata": {"plan": "pro"}})
    reply = client.ask("moesif", "GET", ONE, None, BEARER)
    assert (reply.status, reply.json["_id"]) == (200, "u_1001")
    source = reply.json["_source"]
    assert (source["session_token"], source["metadata"]) == (["t"], {"plan": "pro"})
    assert client.ask("moesif", "GET", "/v1/search/~/users/u_2", None, BEARER).status == 404


def test_reads_ids_with_percent_encoding(client: Client) -> None:
    send(client, {"user_id": "a/b c"})
    assert client.ask("moesif", "GET", "/v1/search/~/users/a%2Fb%20c", None, BEARER).json["_id"] == "a/b c"
    assert client.ask("moesif", "GET", "/v1/search/~/users/a/b", None, BEARER).status == 404


@pytest.mark.parametrize("header", ["", "Bearer other", "Bearer application-id"])
def test_the_collector_id_cannot_read(client: Client, header: str) -> None:
    client.write("moesif")
    assert client.ask("moesif", "GET", ONE, None, {"authorization": header}).status == 401


def test_nobody_reads_without_a_management_token(serve: Callable[..., Client]) -> None:
    client = serve(moesif={"settings": {"management_token": None}})
    assert client.ask("moesif", "GET", ONE, None, {"authorization": "Bearer None"}).status == 401


def test_deletes_one_user(client: Client) -> None:
    client.write("moesif")
    assert client.ask("moesif", "DELETE", f"{ONE}?delete_events=maybe", None, BEARER).status == 400
    assert client.ask("moesif", "DELETE", f"{ONE}?delete_events=true", None, BEARER).status == 200
    assert client.ask("moesif", "DELETE", f"{ONE}?delete_events=false", None, BEARER).status == 404
    assert client.ask("moesif", "PUT", ONE, {}, BEARER).status == 405


def test_management_writes_take_reserved_names_at_the_top(client: Client) -> None:
    path = "/v1/search/~/users"
    body = {"user_id": "u_1001", "email": "jane@example.com", "metadata": {"plan": "pro"}}
    assert send(client, body, path, **BEARER).status == 201
    assert held(client)["metadata"] == {"plan": "pro", "email": "jane@example.com"}
    assert send(client, [{"user_id": "u_2", "name": "Kari"}], f"{path}/batch", **BEARER).status == 201
    assert held(client, "u_2")["metadata"] == {"name": "Kari"}
    assert send(client, [5], f"{path}/batch", **BEARER).status == 400
    assert client.ask("moesif", "GET", path, None, BEARER).status == 405


def test_management_takes_500_a_minute(serve: Callable[..., Client]) -> None:
    client = serve(clock=lambda: 1e9)
    statuses = [client.ask("moesif", "GET", ONE, None, BEARER).status for _ in range(501)]
    assert (set(statuses[:500]), statuses[500]) == ({404}, 429)


def test_the_collector_can_be_made_to_throttle(serve: Callable[..., Client]) -> None:
    client = serve(clock=lambda: 1e9, moesif={"limit": 1})
    replies = [client.write("moesif") for _ in range(2)]
    assert [reply.status for reply in replies] == [201, 429]
    assert replies[1].headers["retry-after"] == "20"


# --- the official client --------------------------------------------------------------------------------------------


@pytest.fixture
def official(sandbox: Sandbox) -> Iterator[Any]:
    before = Configuration.BASE_URI
    Configuration.BASE_URI = f"{sandbox.url}/moesif"
    yield MoesifAPIClient("application-id").api
    Configuration.BASE_URI = before


def test_the_official_client_sends_a_dictionary(official: Any, client: Client) -> None:
    official.update_user({"user_id": "u_1001", "company_id": "acme", "metadata": {"plan": {"tier": "team"}}})
    assert (held(client)["company_id"], held(client)["metadata"]) == ("acme", {"plan": {"tier": "team"}})


def test_the_official_client_sends_models_full_of_nulls(official: Any, client: Client) -> None:
    user = UserModel(user_id="u_1001", campaign=CampaignModel(utm_source="ad"), metadata={"email": "jane@example.com"})
    official.update_user(user)
    call = client.sandbox.calls("moesif")[-1]
    assert b"null" in call.body
    assert call.headers["content-type"] == "application/json; charset=utf-8"
    assert held(client)["campaign"] == {"utm_source": "ad"}
    assert "company_id" not in held(client)


def test_the_official_client_sends_a_batch(official: Any, client: Client) -> None:
    official.update_users_batch([UserModel(user_id="u_1"), {"user_id": "u_2", "metadata": {"seats": 3}}])
    assert held(client, "u_1")["user_id"] == "u_1"
    assert held(client, "u_2")["metadata"] == {"seats": 3}


def test_the_official_client_sees_a_refusal(official: Any) -> None:
    with pytest.raises(APIException):
        official.update_user({"user_id": 5})

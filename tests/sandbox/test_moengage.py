"""MoEngage as documented: who may call, what is refused and how, what is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.sandbox import Sandbox
from tests.sandbox.conftest import Client, Reply, basic

TRACK = "/v1/customer/WORKSPACE"


def track(client: Client, attributes: dict[str, Any] | None = None, **more: Any) -> Reply:
    body = {"type": "customer", "customer_id": "u_1001", "attributes": attributes or {}, **more}
    return client.ask("moengage", "POST", TRACK, {name: value for name, value in body.items() if value is not ...})


def held(client: Client, profile: str = "u_1001") -> dict[str, Any]:
    stored = client.sandbox.held("moengage", profile)
    assert stored is not None
    return {name: value for name, value in stored.items() if name not in ("_id", "customer_id")}


def test_accepts_a_user_and_stores_the_attributes(client: Client) -> None:
    reply = track(client, {"email": "jane@example.com", "seats": 12, "vip": True, "interests": ["sso"]})
    assert (reply.status, reply.json["status"]) == (200, "success")
    assert held(client) == {"email": "jane@example.com", "seats": 12, "vip": True, "interests": ["sso"]}


def test_merges_attribute_by_attribute(client: Client) -> None:
    track(client, {"plan": "free", "city": "Bergen"})
    track(client, {"plan": "pro"})
    assert held(client) == {"plan": "pro", "city": "Bergen"}


@pytest.mark.parametrize(
    ("headers", "path", "status", "kind"),
    [
        ({"authorization": ""}, TRACK, 401, "Authentication required"),
        ({"authorization": "Bearer x"}, TRACK, 401, "Authentication required"),
        ({"authorization": "Basic %%%"}, TRACK, 401, "Authentication required"),
        ({"authorization": basic("WORKSPACE", "other")}, TRACK, 401, "Authentication required"),
        ({"authorization": basic("OTHER", "data-key")}, "/v1/customer/OTHER", 401, "Authentication required"),
        ({"authorization": basic("OTHER", "data-key")}, TRACK, 409, "Authentication mismatch"),
        ({"moe-appkey": "OTHER"}, TRACK, 401, "Authentication required"),
        ({"content-type": ""}, TRACK, 400, "MissingHeader"),
        ({"content-type": "text/plain"}, TRACK, 415, "UnsupportedMediaType"),
        ({}, "/v1/elsewhere", 404, "NotFound"),
    ],
)
def test_refuses_who_and_how(client: Client, headers: dict[str, str], path: str, status: int, kind: str) -> None:
    reply = client.ask("moengage", "POST", path, {"type": "customer", "customer_id": "u_1001"}, headers)
    assert (reply.status, reply.json["status"], reply.json["error"]["type"]) == (status, "fail", kind)
    assert client.sandbox.held("moengage", "u_1001") is None


def test_accepts_an_app_key_equal_to_the_user_name(client: Client) -> None:
    assert client.write("moengage", {"moe-appkey": "WORKSPACE"}).status == 200


def test_refuses_another_method(client: Client) -> None:
    assert client.ask("moengage", "PUT", TRACK, {}).status == 405


@pytest.mark.parametrize("body", [b"", b"  ", b"{", b"[]", b'{"a": NaN}', b'"x"', b"\xff", b"[" * 100_000])
def test_refuses_a_body_that_is_no_json_object(client: Client, body: bytes) -> None:
    reply = client.ask("moengage", "POST", TRACK, body)
    assert (reply.status, reply.json["status"]) == (400, "fail")


@pytest.mark.parametrize(("filler", "status"), [(100, 200), (131_072, 413)])
def test_refuses_more_than_128_kb(client: Client, filler: int, status: int) -> None:
    reply = track(client, {"note": "x" * filler})
    assert reply.status == status
    if status == 413:
        assert reply.json["error"]["type"] == "PayloadTooLarge"


@pytest.mark.parametrize(
    ("changes", "kind", "attribute"),
    [
        ({"type": "Customer"}, "MissingAttributeError", "type"),
        ({"type": ...}, "MissingAttributeError", "type"),
        ({"customer_id": ...}, "MissingAttributeError", "customer_id"),
        ({"customer_id": ""}, "MissingAttributeError", "customer_id"),
        ({"customer_id": 1001}, "MissingAttributeError", "customer_id"),
        ({"customer_id": "x"}, "Blacklisted", "customer_id"),
        ({"customer_id": "guest"}, "Blacklisted", "customer_id"),
        ({"customer_id": "NULL"}, "Blacklisted", "customer_id"),
        ({"customer_id": "-1"}, "Blacklisted", "customer_id"),
        ({"attributes": ["a"]}, "MissingAttributeError", "attributes"),
        ({"update_existing_only": "true"}, "MissingAttributeError", "update_existing_only"),
        ({"attributes": {"id": 1}}, "Blacklisted", "id"),
        ({"attributes": {"_id": 1}}, "Blacklisted", "_id"),
        ({"attributes": {"": 1}}, "Blacklisted", ""),
        ({"attributes": {"moe_mine": 1}}, "Blacklisted", "moe_mine"),
        ({"attributes": {"USER_ATTRIBUTE_USER_EMAIL": 1}}, "Blacklisted", "USER_ATTRIBUTE_USER_EMAIL"),
        ({"attributes": {"status": 1}}, "Blacklisted", "status"),
        ({"attributes": {"mixed": [1, "a"]}}, "InvalidParams", "mixed"),
        ({"attributes": {"platforms": [{"platform": "ios", "active": "true"}]}}, "InvalidParams", "platforms"),
        ({"attributes": {"platforms": [{"platform": ["web"]}]}}, "InvalidParams", "platforms"),
        ({"attributes": {"addValueToArrayField": {"t": "a"}}}, "ArrayFieldError", "addValueToArrayField"),
        (
            {"attributes": {"addValueToArrayField": {"t": ["a"]}, "removeValueFromArrayField": {"t": ["b"]}}},
            "ArrayFieldError",
            "t",
        ),
    ],
)
def test_refuses_fields_names_and_ids(client: Client, changes: dict[str, Any], kind: str, attribute: str) -> None:
    reply = track(client, **{"attributes": {}, **changes})
    assert (reply.status, reply.json["error"]["type"]) == (400, kind)
    assert reply.json["error"]["attribute"] == attribute
    assert not client.sandbox.calls()[-1].applied


@pytest.mark.parametrize("name", ["moe_unsubscribe", "moe_sms_subscription", "push_preference", "source"])
def test_accepts_the_documented_system_names(client: Client, name: str) -> None:
    assert track(client, {name: True}).status == 200
    assert held(client) == {name: True}


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("x" * 600, "x" * 512),
        ("https://example.com/" + "x" * 600, ...),
        ([str(n) for n in range(60)], [str(n) for n in range(50)]),
        (["y" * 600], ["y" * 512]),
        ("2025-02-31", "2025-02-31"),
        (None, ...),
        ({"a": 1}, ...),
    ],
)
def test_cuts_or_drops_values_without_an_error(client: Client, value: Any, stored: Any) -> None:
    assert track(client, {"field": value}).status == 200
    assert held(client) == ({} if stored is ... else {"field": stored})


def test_cuts_long_names(client: Client) -> None:
    track(client, {"n" * 250: 1})
    assert held(client) == {"n" * 200: 1}


def test_stores_objects_where_the_feature_is_on(serve: Callable[..., Client]) -> None:
    client = serve(moengage={"settings": {"objects": True}})
    track(client, {"address": {"city": "Bergen"}, "bad": {"a.b": 1}, "empty": {}})
    assert held(client) == {"address": {"city": "Bergen"}}


def test_drops_attribute_names_beyond_the_limit(serve: Callable[..., Client]) -> None:
    client = serve(moengage={"settings": {"attribute_limit": 2}})
    track(client, {"a": 1, "b": 2, "c": 3, "email": "standard@example.com"})
    track(client, {"a": 4, "d": 5})
    assert held(client) == {"a": 4, "b": 2, "email": "standard@example.com"}


def test_internal_codes_are_the_standard_names(client: Client) -> None:
    track(client, {"u_em": "jane@example.com", "u_fn": "Jane"})
    assert held(client) == {"email": "jane@example.com", "first_name": "Jane"}


def test_some_attributes_are_taken_only_at_birth(client: Client) -> None:
    track(client, {"publisher_name": "first"})
    track(client, {"publisher_name": "second", "plan": "pro"})
    assert held(client) == {"publisher_name": "first", "plan": "pro"}


def test_adds_to_and_removes_from_lists(client: Client) -> None:
    track(client, {"tags": ["a", "b"]})
    track(client, {"addValueToArrayField": {"tags": ["b", "c"], "new": ["x"]}})
    assert held(client) == {"tags": ["a", "b", "c"], "new": ["x"]}
    track(client, {"removeValueFromArrayField": {"tags": ["a", "z"], "unknown": ["x"]}})
    assert held(client) == {"tags": ["b", "c"], "new": ["x"]}


def test_update_existing_only_leaves_strangers_alone(client: Client) -> None:
    assert track(client, {"plan": "pro"}, update_existing_only=True).status == 200
    assert client.sandbox.held("moengage", "u_1001") is None
    assert not client.sandbox.calls()[-1].applied
    track(client, {"plan": "free"})
    track(client, {"plan": "pro"}, update_existing_only=True)
    assert held(client) == {"plan": "pro"}


@pytest.mark.parametrize(
    ("order", "left"),
    [
        ({"type": "equals", "attr": "plan"}, {"plan_b": 2, "seats": 3}),
        ({"type": "prefix", "attr": "plan"}, {"seats": 3}),
        ({"type": "suffix", "attr": "s"}, {"plan": 1, "plan_b": 2}),
        ({"type": "contains", "attr": "lan"}, {"seats": 3}),
        ({"type": "equals", "attr": "PLAN"}, {"plan": 1, "plan_b": 2, "seats": 3}),
        ({"type": "equals", "attr": "PLAN", "case_sensitive": False}, {"plan_b": 2, "seats": 3}),
    ],
)
def test_unsets_as_the_older_pages_say(client: Client, order: dict[str, Any], left: dict[str, Any]) -> None:
    track(client, {"plan": 1, "plan_b": 2, "seats": 3})
    track(client, unset_attributes=[order])
    assert held(client) == left


def test_unset_can_be_switched_off(serve: Callable[..., Client]) -> None:
    client = serve(moengage={"settings": {"unset_attributes": False}})
    track(client, {"plan": 1})
    track(client, unset_attributes=[{"type": "equals", "attr": "plan"}])
    assert held(client) == {"plan": 1}


def test_identity_resolution_finds_people_by_their_identifiers(serve: Callable[..., Client]) -> None:
    client = serve(moengage={"settings": {"identity_resolution": True}})
    refused = client.ask("moengage", "POST", TRACK, {"type": "customer", "attributes": {"plan": "pro"}})
    assert (refused.status, refused.json["error"]["type"]) == (400, "MissingAttributeError")
    track(client, {"email": "jane@example.com", "plan": "free"}, customer_id=...)
    track(client, {"email": "jane@example.com", "mobile": "+4755000000"}, customer_id=...)
    track(client, {"mobile": "+4755000000", "plan": "pro"}, customer_id=...)
    assert held(client, "jane@example.com") == {"email": "jane@example.com", "mobile": "+4755000000", "plan": "pro"}


def test_portfolio_demands_the_project(serve: Callable[..., Client]) -> None:
    client = serve(moengage={"settings": {"project_code": "p1"}})
    body = {"type": "customer", "customer_id": "u_1001"}
    assert client.ask("moengage", "POST", TRACK, body).json["error"]["type"] == "InvalidParams"
    assert client.ask("moengage", "POST", f"{TRACK}?project_code=p1", body).status == 200


# --- read back ------------------------------------------------------------------------------------------------------

EXPORT = "/v1/customers/export?app_id=WORKSPACE"


def export(client: Client, *ids: str, path: str = EXPORT, **more: Any) -> Reply:
    identifiers = [{"identifier_type": "customer_id", "identifier": one} for one in ids]
    return client.ask("moengage", "POST", path, {"data": {"identifiers": identifiers}, **more})


def test_exports_those_found_and_names_those_missing(client: Client) -> None:
    track(client, {"email": "jane@example.com", "seats": 12})
    reply = export(client, "u_1001", "u_2", user_fields_to_export=["customer_id", "seats"])
    assert (reply.status, reply.json["status"], reply.json["type"]) == (200, "success", "export_users")
    assert reply.json["data"] == {
        "users": [{"user_attributes": {"customer_id": "u_1001", "seats": 12}}],
        "users_not_found": [{"identifier_type": "customer_id", "identifier": "u_2"}],
    }
    everything = export(client, "u_1001").json["data"]["users"][0]["user_attributes"]
    assert everything == {"customer_id": "u_1001", "email": "jane@example.com", "seats": 12}


@pytest.mark.parametrize(
    ("path", "body", "kind", "message"),
    [
        ("/v1/customers/export", {}, "ParamsRequired", "app_id"),
        ("/v1/customers/export?app_id=OTHER", {}, "InvalidParams", "app_id"),
        (EXPORT, {"identifiers": []}, "MissingAttributeError", "data is not found in the payload"),
        (EXPORT, {"data": {"identifiers": []}}, "MissingAttributeError", "identifiers"),
        (EXPORT, {"data": {"identifiers": [{}] * 21}}, "InvalidParams", "limit breached, max 20"),
        (EXPORT, {"data": {"identifiers": [{"identifier_type": "e", "identifier": "x"}]}}, "InvalidParams", "_type"),
        (EXPORT, {"data": {"identifiers": [{"identifier_type": "id", "identifier": 1}]}}, "InvalidParams", "string"),
        (EXPORT, {"data": {"identifiers": [{}]}, "user_fields_to_export": "a"}, "InvalidParams", "user_fields"),
    ],
)
def test_refuses_a_wrong_export(client: Client, path: str, body: Any, kind: str, message: str) -> None:
    reply = client.ask("moengage", "POST", path, body)
    assert (reply.status, reply.json["error"]["type"]) == (400, kind)
    assert message in reply.json["error"]["message"]


def test_exports_twenty_at_once(client: Client) -> None:
    assert len(export(client, *[f"u_{n}" for n in range(20)]).json["data"]["users_not_found"]) == 20


# --- the other endpoints --------------------------------------------------------------------------------------------


def test_bulk_writes_each_customer_and_skips_a_wrong_case(client: Client) -> None:
    elements = [
        {"type": "customer", "customer_id": "u_1", "attributes": {"plan": "a"}},
        {"type": "Customer", "customer_id": "u_2", "attributes": {"plan": "b"}},
        {"type": "event", "customer_id": "u_3", "actions": []},
    ]
    reply = client.ask("moengage", "POST", "/v1/transition/WORKSPACE", {"type": "transition", "elements": elements})
    assert reply.json["status"] == "success"
    assert held(client, "u_1") == {"plan": "a"}
    assert client.sandbox.held("moengage", "u_2") is None


@pytest.mark.parametrize(
    "body",
    [
        {"type": "transition", "elements": []},
        {"type": "Transition", "elements": [{"type": "customer", "customer_id": "u_1"}]},
        {"type": "transition", "elements": [{"type": "customer"}]},
        {"type": "transition", "elements": [{"type": "person", "customer_id": "u_1"}]},
        {"type": "transition", "elements": ["x"]},
    ],
)
def test_refuses_a_wrong_bulk_whole(client: Client, body: Any) -> None:
    assert client.ask("moengage", "POST", "/v1/transition/WORKSPACE", body).status == 400


def test_bulk_takes_100_kb(client: Client) -> None:
    elements = [{"type": "customer", "customer_id": "u_1", "attributes": {"note": "x" * 103_000}}]
    reply = client.ask("moengage", "POST", "/v1/transition/WORKSPACE", {"type": "transition", "elements": elements})
    assert reply.status == 413


def test_deletes_one_user_and_says_when_there_is_none(client: Client) -> None:
    track(client)
    path, body = "/v1/customer/delete?app_id=WORKSPACE", {"identity_type": "customer_id", "identity_value": "u_1001"}
    assert client.ask("moengage", "POST", path, body).status == 200
    assert client.sandbox.held("moengage", "u_1001") is None
    again = client.ask("moengage", "POST", path, body)
    assert (again.status, again.json["error"]["type"]) == (400, "Not Found")


def test_erasure_by_email_takes_everybody_who_shares_it(client: Client) -> None:
    for profile in ("u_1", "u_2"):
        track(client, {"email": "shared@example.com"}, customer_id=profile)
    track(client, {"email": "other@example.com"}, customer_id="u_3")
    body = {
        "request_type": "erasure",
        "submitted_time": "2025-10-01T09:00:00Z",
        "identities": [{"identity_type": "email", "identity_value": "shared@example.com"}],
        "api_version": "1.0",
    }
    reply = client.ask("moengage", "POST", "/v1/opengdpr_requests/WORKSPACE", body)
    assert reply.json["request_id"]
    assert [client.sandbox.held("moengage", p) is None for p in ("u_1", "u_2", "u_3")] == [True, True, False]
    assert client.ask("moengage", "POST", "/v1/opengdpr_requests/WORKSPACE", {**body, "identities": []}).status == 400


def test_merges_two_users(client: Client) -> None:
    track(client, {"plan": "old", "city": "Bergen"}, customer_id="old")
    track(client, {"plan": "new"}, customer_id="new")
    body = {"merge_data": [{"merged_user": "old", "retained_user": "new"}]}
    reply = client.ask("moengage", "POST", "/v1/customer/merge?app_id=WORKSPACE", body)
    assert reply.json == {"status": "success", "operation": "created"}
    assert client.sandbox.held("moengage", "old") is None
    assert held(client, "new") == {"plan": "new", "city": "Bergen"}


def test_checks_the_connection(client: Client) -> None:
    path, body = "/v1/integrations/authentication", {"app_id": "WORKSPACE"}
    assert client.ask("moengage", "POST", path, body).status == 400
    assert client.ask("moengage", "POST", path, body, {"moe-appkey": "WORKSPACE"}).json["status"] == "success"


# --- limits ---------------------------------------------------------------------------------------------------------


def test_limits_users_per_window_and_tells_the_wait(serve: Callable[..., Client]) -> None:
    now = [1_000_000_040.0]
    client = serve(clock=lambda: now[0], moengage={"limit": 2})
    remaining = [track(client).headers["x-ratelimit-remaining"] for _ in range(2)]
    assert remaining == ["1", "0"]
    reply = track(client)
    assert (reply.status, reply.json["error"]["type"]) == (429, "RateLimitError")
    assert reply.headers["x-ratelimit-limit"] == "2"
    assert reply.headers["x-ratelimit-reset"] == "40"
    now[0] += 40
    assert track(client).status == 200


def test_bulk_counts_each_user(serve: Callable[..., Client]) -> None:
    client = serve(moengage={"limit": 2, "window_s": 3600.0})
    elements = [{"type": "customer", "customer_id": f"u_{n}"} for n in range(3)]
    body = {"type": "transition", "elements": elements}
    assert client.ask("moengage", "POST", "/v1/transition/WORKSPACE", body).status == 429
    body["elements"] = elements[:2]
    assert client.ask("moengage", "POST", "/v1/transition/WORKSPACE", body).status == 200


def test_edits_by_hand(sandbox: Sandbox, client: Client) -> None:
    track(client, {"plan": "pro"})
    assert sandbox.edit("moengage", "u_1001", {"plan": "by hand"})
    assert held(client) == {"plan": "by hand"}
    assert not sandbox.edit("moengage", "u_2", {"plan": "x"})

"""EngageLab MA as documented: the way from an id to a euid, the five verbs, contacts, reading back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.conftest import Client, Reply, basic

REGISTER, PROPERTY, CONTACT, PROFILE = (f"/v1/user/{name}" for name in ("register", "property", "contact", "profile"))


def ask(client: Client, path: str, body: Any) -> Reply:
    return client.ask("engagelab", "POST", path, body)


def register(client: Client, *ids: str) -> list[int]:
    reply = ask(client, REGISTER, {"identity_name": "user_id", "identity_values": list(ids or ("u_1001",))})
    assert reply.json["code"] == 0
    return [entry["euid"] for entry in reply.json["data"]]


def change(client: Client, verb: str, properties: Any, euid: Any = None) -> Any:
    return ask(client, PROPERTY, {"euid": euid or register(client)[0], "type": verb, "properties": properties}).json


def properties(client: Client) -> Any:
    held = client.sandbox.held("engagelab", "u_1001")
    assert held is not None
    return held["user_properties"]


def test_register_creates_once_and_answers_wide_integers(client: Client) -> None:
    first = ask(client, REGISTER, {"identity_name": "user_id", "identity_values": ["u_1", "u_2"]}).json
    assert [entry["identity_value"] for entry in first["data"]] == ["u_1", "u_2"]
    euids = [entry["euid"] for entry in first["data"]]
    assert all(isinstance(euid, int) and euid > 2**31 for euid in euids)
    assert euids[0] != euids[1]
    assert register(client, "u_2", "u_1") == euids[::-1]


def test_register_leaves_out_what_it_cannot_take(client: Client) -> None:
    reply = ask(client, REGISTER, {"identity_name": "user_id", "identity_values": ["u_1", "x" * 257, "", 5]}).json
    assert (reply["code"], [entry["identity_value"] for entry in reply["data"]]) == (0, ["u_1"])


@pytest.mark.parametrize(
    "body",
    [
        {"identity_name": "email", "identity_values": ["u_1"]},
        {"identity_name": ["user_id"], "identity_values": ["u_1"]},
        {"identity_name": "user_id", "identity_values": []},
        {"identity_name": "user_id", "identity_values": "u_1"},
        {"identity_name": "user_id", "identity_values": ["u"] * 101},
        {"identity_name": "user_id", "identity_values": ["x" * 257]},
        {},
        [],
        b"{",
    ],
)
def test_refuses_a_wrong_register(client: Client, body: Any) -> None:
    reply = ask(client, REGISTER, body)
    assert (reply.status, reply.json["code"]) == (200, 55004)


@pytest.mark.parametrize("header", ["", basic("api-key", "other"), basic("other", "api-secret"), "Basic !"])
def test_demands_the_key_pair(client: Client, header: str) -> None:
    reply = client.write("engagelab", {"authorization": header})
    assert (reply.status, reply.json["code"]) == (401, 40050)
    assert client.sandbox.held("engagelab", "u_1001") is None


def test_refuses_other_paths_methods_and_media_types(client: Client) -> None:
    assert client.ask("engagelab", "POST", "/v1/user/other", {}).status == 404
    assert client.ask("engagelab", "GET", REGISTER).status == 405
    assert client.write("engagelab", {"content-type": "text/plain"}).status == 415


def test_statuses_of_failures_can_be_chosen(serve: Callable[..., Client]) -> None:
    client = serve(engagelab={"settings": {"failure_status": 400, "auth_status": 200}})
    assert ask(client, REGISTER, {}).status == 400
    reply = client.write("engagelab", {"authorization": ""})
    assert (reply.status, reply.json["code"]) == (200, 40050)


def test_set_overwrites_and_creates(client: Client) -> None:
    change(client, "set", {"plan": "free", "seats": 1, "vip": True, "tags": ["a"]})
    assert change(client, "set", {"plan": "pro", "joined": "2025-11-30 00:00:00"}) == {"code": 0, "message": "success"}
    assert properties(client) == {
        "plan": "pro",
        "seats": 1,
        "vip": True,
        "tags": ["a"],
        "joined": "2025-11-30 00:00:00",
    }


def test_increase_adds_and_takes_a_missing_number_as_0(client: Client) -> None:
    change(client, "increase", {"seats": 5})
    change(client, "increase", {"seats": 2.5})
    assert properties(client) == {"seats": 7.5}


def test_add_drops_duplicates_and_remove_takes_out(client: Client) -> None:
    change(client, "set", {"tags": ["a", "b"]})
    change(client, "add", {"tags": ["b", "c", "c"], "new": ["x"]})
    assert properties(client) == {"tags": ["a", "b", "c"], "new": ["x"]}
    change(client, "remove", {"tags": ["a", "z"], "unknown": ["x"]})
    assert properties(client) == {"tags": ["b", "c"], "new": ["x"]}


def test_delete_removes_and_ignores_unknown_names(client: Client) -> None:
    change(client, "set", {"plan": "pro", "seats": 1})
    assert change(client, "delete", {"plan": True, "unknown": True})["code"] == 0
    assert properties(client) == {"seats": 1}


@pytest.mark.parametrize(
    ("verb", "given", "code"),
    [
        ("setOnce", {"a": 1}, 55004),
        (["set"], {"a": 1}, 55004),
        ("set", {}, 55004),
        ("set", ["a"], 55004),
        ("set", {"1a": 1}, 55102),
        ("set", {"a-b": 1}, 55102),
        ("set", {"a" * 51: 1}, 55102),
        ("set", {"el_mine": 1}, 55102),
        ("set", {"a": {"b": 1}}, 55102),
        ("set", {"a": ["x", 1]}, 55102),
        ("set", {"a": ""}, 55103),
        ("set", {"a": None}, 55103),
        ("set", {"a": []}, 55103),
        ("set", {"a": ["x", ""]}, 55103),
        ("delete", {"a": ""}, 55103),
        ("increase", {"a": "1"}, 55102),
        ("increase", {"a": True}, 55102),
        ("increase", {"name": 1}, 55102),
        ("add", {"a": "x"}, 55102),
        ("add", {"name": ["x"]}, 55102),
        ("remove", {"name": ["x"]}, 55102),
    ],
)
def test_refuses_verbs_names_and_values(client: Client, verb: Any, given: Any, code: int) -> None:
    change(client, "set", {"name": "Jane"})
    assert change(client, verb, given)["code"] == code
    assert properties(client) == {"name": "Jane"}


@pytest.mark.parametrize(
    ("euid", "code"), [(None, 40007), ("", 40007), (0, 40007), ("10000091198", 55004), (1.5, 55004), (77, 55004)]
)
def test_refuses_a_wrong_euid(client: Client, euid: Any, code: int) -> None:
    register(client)
    reply = ask(client, PROPERTY, {"euid": euid, "type": "set", "properties": {"a": 1}}).json
    assert reply["code"] == code


def test_the_code_of_an_unknown_euid_can_be_chosen(serve: Callable[..., Client]) -> None:
    client = serve(engagelab={"settings": {"unknown_euid": 40007}})
    assert change(client, "set", {"a": 1}, euid=77)["code"] == 40007


def test_names_can_be_closed(serve: Callable[..., Client]) -> None:
    client = serve(engagelab={"settings": {"properties": ["plan"]}})
    assert change(client, "set", {"plan": "pro"})["code"] == 0
    assert change(client, "set", {"seats": 1})["code"] == 55102


def test_contacts_are_set_one_by_one(client: Client) -> None:
    (euid,) = register(client)
    assert ask(client, CONTACT, {"euid": euid, "contacts": {"email": "a@example.com"}}).json["code"] == 0
    assert ask(client, CONTACT, {"euid": euid, "contacts": {"mobile_phone": "+47550"}}).json["code"] == 0
    assert ask(client, CONTACT, {"euid": euid, "contacts": {"email": "a@example.com"}}).json["code"] == 0
    held = client.sandbox.held("engagelab", "u_1001")
    assert held is not None
    assert held["contacts"] == {"email": "a@example.com", "mobile_phone": "+47550"}


@pytest.mark.parametrize(
    ("contacts", "code"),
    [({}, 55004), ({"fax": "1"}, 55004), ({"email": 5}, 55004), ({"email": ""}, 55103), ({"email": None}, 55103)],
)
def test_refuses_wrong_contacts(client: Client, contacts: Any, code: int) -> None:
    (euid,) = register(client)
    assert ask(client, CONTACT, {"euid": euid, "contacts": contacts}).json["code"] == code


def test_a_contact_belongs_to_one_user_until_it_is_given_up(client: Client) -> None:
    first, second = register(client, "u_1", "u_2")
    shared = {"email": "a@example.com"}
    ask(client, CONTACT, {"euid": first, "contacts": shared})
    assert ask(client, CONTACT, {"euid": second, "contacts": shared}).json["code"] == 55014
    ask(client, CONTACT, {"euid": first, "contacts": {"email": "b@example.com"}})
    assert ask(client, CONTACT, {"euid": second, "contacts": shared}).json["code"] == 0


def test_contacts_can_be_shared(serve: Callable[..., Client]) -> None:
    client = serve(engagelab={"settings": {"shared_contacts": True}})
    for euid in register(client, "u_1", "u_2"):
        assert ask(client, CONTACT, {"euid": euid, "contacts": {"email": "a@example.com"}}).json["code"] == 0


def test_profile_gives_the_groups_and_names_asked_for(client: Client) -> None:
    (euid,) = register(client)
    change(client, "set", {"plan": "pro", "seats": 1})
    ask(client, CONTACT, {"euid": euid, "contacts": {"email": "a@example.com"}})
    body = {
        "euid": [euid, 77],
        "user_identities": ["user_id"],
        "user_properties": ["plan", "gone"],
        "contacts": ["email"],
    }
    assert ask(client, PROFILE, body).json == {
        "code": 0,
        "message": "success",
        "data": [
            {
                "euid": euid,
                "user_identities": {"user_id": "u_1001"},
                "user_properties": {"plan": "pro"},
                "contacts": {"email": "a@example.com"},
            }
        ],
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 40007),
        ({"euid": []}, 40007),
        ({"euid": 5}, 55004),
        ({"euid": [1] * 101}, 55004),
        ({"euid": ["1"]}, 55004),
        ({"euid": [1], "user_properties": "plan"}, 55004),
    ],
)
def test_refuses_a_wrong_profile_query(client: Client, body: Any, code: int) -> None:
    assert ask(client, PROFILE, body).json["code"] == code


def test_profile_takes_1000_a_minute(serve: Callable[..., Client]) -> None:
    client = serve(clock=lambda: 1e9)
    statuses = [ask(client, PROFILE, {"euid": [1]}).status for _ in range(1001)]
    assert statuses == [200] * 1000 + [429]


def test_writes_can_be_limited(serve: Callable[..., Client]) -> None:
    client = serve(clock=lambda: 1e9, engagelab={"limit": 1})
    assert [client.write("engagelab").status for _ in range(2)] == [200, 429]


def test_edits_by_hand(client: Client) -> None:
    change(client, "set", {"plan": "pro"})
    assert client.sandbox.edit("engagelab", "u_1001", {"user_properties": {"plan": "by hand"}})
    assert properties(client) == {"plan": "by hand"}
    assert not client.sandbox.edit("engagelab", "u_2", {})

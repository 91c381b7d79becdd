"""Channel.io as documented: the path, both versions, merging, tags, flags, limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.conftest import Client, Reply


def put(client: Client, body: Any, version: str = "v5", segment: str = "@u_1001") -> Reply:
    return client.ask("channel", "PUT", f"/open/{version}/users/{segment}", body)


def get(client: Client, version: str = "v5", segment: str = "@u_1001") -> Reply:
    return client.ask("channel", "GET", f"/open/{version}/users/{segment}")


def test_creates_and_answers_the_stored_user(client: Client) -> None:
    reply = put(client, {"profile": {"name": "Jane", "seats": 12, "vip": True}, "tags": ["a"]})
    user = reply.json["user"]
    assert reply.status == 200
    assert (user["memberId"], user["profile"], user["tags"]) == (
        "u_1001",
        {"name": "Jane", "seats": 12, "vip": True},
        ["a"],
    )
    assert reply.json["online"]["personId"] == user["id"]
    assert get(client).json == reply.json


def test_merges_profile_keys_and_clears_with_null(client: Client) -> None:
    put(client, {"profile": {"plan": "free", "city": "Bergen", "seats": 1}})
    put(client, {"profile": {"plan": "pro", "seats": None, "never": None}})
    assert get(client).json["user"]["profile"] == {"plan": "pro", "city": "Bergen"}


def test_profile_once_writes_only_what_is_absent(client: Client) -> None:
    put(client, {"profile": {"plan": "free"}, "profileOnce": {"plan": "x", "source": "ad", "none": None}})
    put(client, {"profileOnce": {"source": "mail", "medium": "cpc"}})
    assert get(client).json["user"]["profile"] == {"plan": "free", "source": "ad", "medium": "cpc"}


def test_tags_are_replaced_whole_and_kept_if_absent(client: Client) -> None:
    put(client, {"tags": ["a", "b"]})
    put(client, {"profile": {"plan": "pro"}})
    assert get(client).json["user"]["tags"] == ["a", "b"]
    put(client, {"tags": ["c"]})
    assert get(client).json["user"]["tags"] == ["c"]
    put(client, {"tags": []})
    assert get(client).json["user"]["tags"] == []


@pytest.mark.parametrize(("version", "most"), [("v4", 10), ("v5", 20)])
def test_limits_tags_by_version(client: Client, version: str, most: int) -> None:
    assert put(client, {"tags": [f"t{n}" for n in range(most)]}, version).status == 200
    assert put(client, {"tags": [f"t{n}" for n in range(most + 1)]}, version).status == 400
    assert put(client, {"tags": ["a", "a"]}, version).status == 400


def test_v4_and_v5_word_consent_differently(client: Client) -> None:
    flags = {"unsubscribed": True, "unsubscribeEmail": True, "unsubscribeTexting": True, "blocked": True}
    user = put(client, flags, "v4").json["user"]
    assert [user[name] for name in flags] == [True, True, True, False]
    user = put(client, {**flags, "unsubscribeEmail": False}, "v5").json["user"]
    assert "unsubscribed" not in user
    assert [user[n] for n in ("unsubscribeEmail", "unsubscribeTexting", "blocked")] == [False, True, True]
    held = client.sandbox.held("channel", "u_1001")
    assert held is not None
    assert held["unsubscribed"]


def test_v5_says_whether_contacts_qualify(client: Client) -> None:
    user = put(client, {"profile": {"mobileNumber": "010-1234", "email": "jane@example.com"}}).json["user"]
    assert (user["mobileNumberQualified"], user["emailQualified"], user["type"]) == (False, True, "member")
    assert put(client, {"profile": {"mobileNumber": "+821012345678"}}).json["user"]["mobileNumberQualified"]
    v4 = get(client, "v4").json["user"]
    assert "mobileNumberQualified" not in v4
    assert v4["profileOnce"] == {}


def test_ignores_unknown_fields_such_as_a_misspelt_one(client: Client) -> None:
    reply = put(client, {"unsubscribeTexing": True, "empty": True, "memberId": "other", "profile": {"empty": True}})
    user = reply.json["user"]
    assert (reply.status, user["unsubscribeTexting"], user["memberId"], user["profile"]) == (200, False, "u_1001", {})
    assert "unsubscribeTexing" not in user


def test_campaign_keys_keep_their_first_value(client: Client) -> None:
    put(client, {"profile": {"utmSource": "ad"}})
    assert put(client, {"profile": {"utmSource": "mail"}}).json["user"]["profile"] == {"utmSource": "ad"}


def test_writes_count_versions_and_times(serve: Callable[..., Client]) -> None:
    now = [1_700_000_000.0]
    client = serve(clock=lambda: now[0])
    assert put(client, {}).json["user"]["version"] == 1
    now[0] += 5
    user = put(client, {"language": "ko"}).json["user"]
    assert (user["createdAt"], user["updatedAt"], user["version"], user["language"]) == (
        1_700_000_000_000,
        1_700_000_005_000,
        2,
        "ko",
    )


@pytest.mark.parametrize(
    "body",
    [
        {"profile": []},
        {"profileOnce": "x"},
        {"profile": {"name": 5}},
        {"profileOnce": {"email": True}},
        {"profile": {"recentPurchaseCount": 1.5}},
        {"profile": {"recentPurchaseCount": 2**31}},
        {"profile": {"recentPurchaseCount": True}},
        {"profile": {"recentPurchaseAmount": "1"}},
        {"profile": {"address": {"city": "Bergen"}}},
        {"profile": {"list": [{"a": 1}]}},
        {"tags": "a"},
        {"tags": [1]},
        {"tags": None},
        {"unsubscribeEmail": "true"},
        {"unsubscribeTexting": None},
        {"blocked": 1},
        {"language": 5},
        [],
        b"{",
        b"",
    ],
)
def test_refuses_wrong_types_and_changes_nothing(client: Client, body: Any) -> None:
    assert put(client, body).status == 400
    assert get(client).status == 404


@pytest.mark.parametrize(
    ("segment", "member"),
    [
        ("@a%2Fb", "a/b"),
        ("@a%3Fb%23c", "a?b#c"),
        ("@a%25b", "a%b"),
        ("@jane%40example.com", "jane@example.com"),
        ("@jane@example.com", "jane@example.com"),
        ("@J%C3%BCrgen%20M", "Jürgen M"),
        ("@a+b", "a+b"),
        ("@..", ".."),
        ("@CASE", "CASE"),
    ],
)
def test_reads_the_member_id_from_the_raw_path(client: Client, segment: str, member: str) -> None:
    assert put(client, {}, segment=segment).json["user"]["memberId"] == member
    assert client.sandbox.held("channel", member) is not None
    assert client.sandbox.calls()[-1].path == f"/open/v5/users/{segment}"


@pytest.mark.parametrize(
    ("segment", "status"),
    [
        ("u_1001", 404),
        ("%40u_1001", 404),
        ("@", 404),
        ("", 404),
        ("@a/b", 404),
        ("@a/../../x", 404),
        ("@a%2", 400),
        ("@a%zz", 400),
        ("@%ff", 400),
    ],
)
def test_refuses_a_broken_path(client: Client, segment: str, status: int) -> None:
    assert put(client, {}, segment=segment).status == status


@pytest.mark.parametrize("path", ["/open/v3/users/@u_1", "/open/v5/people/@u_1", "/open/v5", "/v5/users/@u_1"])
def test_knows_no_other_path(client: Client, path: str) -> None:
    assert client.ask("channel", "PUT", path, {}).status == 404


def test_serves_only_the_version_it_is_told(serve: Callable[..., Client]) -> None:
    client = serve(channel={"settings": {"api_version": "v5"}})
    assert put(client, {}, "v4").status == 404
    assert put(client, {}, "v5").status == 200


@pytest.mark.parametrize("header", ["x-access-key", "x-access-secret"])
@pytest.mark.parametrize("value", ["", "wrong"])
def test_demands_key_and_secret(client: Client, header: str, value: str) -> None:
    assert client.write("channel", {header: value}).status == 401
    assert client.sandbox.held("channel", "u_1001") is None


def test_takes_json_only_and_no_other_method(client: Client) -> None:
    assert client.write("channel", {"content-type": "application/x-www-form-urlencoded"}).status == 415
    assert client.ask("channel", "POST", "/open/v5/users/@u_1001", {}).status == 405


def test_finds_patches_blocks_and_deletes_by_channels_id(client: Client) -> None:
    channel_id = put(client, {"profile": {"plan": "pro"}}).json["user"]["id"]
    assert get(client, segment=channel_id).json["user"]["memberId"] == "u_1001"
    path = f"/open/v5/users/{channel_id}"
    assert client.ask("channel", "PATCH", path, {"tags": ["a"]}).json["user"]["tags"] == ["a"]
    assert client.ask("channel", "POST", f"{path}/block").json["user"]["blocked"]
    assert not client.ask("channel", "DELETE", f"{path}/block").json["user"]["blocked"]
    assert client.ask("channel", "DELETE", path).status == 200
    assert get(client, segment=channel_id).status == 404


def test_deletes_by_member_id(client: Client) -> None:
    put(client, {})
    assert client.ask("channel", "DELETE", "/open/v5/users/@u_1001").status == 200
    assert client.ask("channel", "DELETE", "/open/v5/users/@u_1001").status == 404


def test_a_bucket_with_the_second_of_its_refill(serve: Callable[..., Client]) -> None:
    now = [1_000_000_003.5]
    client = serve(clock=lambda: now[0], channel={"limit": 2})
    first, second, third = (put(client, {}) for _ in range(3))
    assert [r.headers["x-ratelimit-remaining"] for r in (first, second, third)] == ["1", "0", "0"]
    assert (third.status, third.headers["x-ratelimit-reset"], third.headers["x-ratelimit-limit"]) == (
        429,
        "1000000010",
        "2",
    )
    now[0] = 1_000_000_010.0
    assert put(client, {}).status == 200


def test_the_grace_phase_passes_and_is_marked(serve: Callable[..., Client]) -> None:
    client = serve(clock=lambda: 1e9, channel={"limit": 1, "settings": {"grace": 1}})
    replies = [put(client, {}) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    marked = ["x-ratelimit-will-be-throttled" in reply.headers for reply in replies]
    assert marked[:2] == [False, True]


def test_edits_by_hand(client: Client) -> None:
    put(client, {"profile": {"plan": "pro", "city": "Bergen"}})
    assert client.sandbox.edit("channel", "u_1001", {"profile": {"plan": "by hand"}, "tags": ["x"]})
    user = get(client).json["user"]
    assert (user["profile"], user["tags"]) == ({"plan": "by hand", "city": "Bergen"}, ["x"])

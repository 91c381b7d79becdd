"""Values tried on samples: how much of them, and what is said of what was tried."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.ruleset import check

DESTINATIONS = """
destinations:
  crm:
    provider: http
    method: PUT
    url: https://crm.example.com/people/{user}
    auth: {bearer: $env.CRM_TOKEN}
    clear: send-null
"""
SHOP = """
source:
  name: shop
  secret: $env.SHOP_SECRET
  verify: {scheme: hmac, header: X-Shop-Signature}
  identity: {type: .kind, id: .id}
to: crm
rules:
  customer:
    user: .user
    send:
      crm:
        found: 'VALUE'
"""


def told(value: str, *bodies: dict[str, Any]) -> list[str]:
    """What is said of a value of a body, on samples with these bodies."""
    files = {"destinations.yaml": DESTINATIONS.encode(), "shop.yaml": SHOP.replace("VALUE", value).encode()}
    samples = {
        f"shop.{number}.json": json.dumps({"body": {"kind": "changed", "id": "e-1", "user": "u-1", **body}}).encode()
        for number, body in enumerate(bodies)
    }
    line = SHOP[: SHOP.index("VALUE")].count("\n") + 1
    return [
        f"{each.severity}[{each.code}] {each.message}" + f" → {each.hint}" * bool(each.hint)
        for each in check(files, samples, fault=None)
        if each.line == line
    ]


def items(count: int) -> dict[str, Any]:
    return {"items": [{"id": number, "x": "1"} for number in range(count)]}


@pytest.mark.parametrize(("count", "problems"), [(50, 1), (900, 0)])
def test_conditions_that_take_too_long_are_tried_no_further(count: int, problems: int) -> None:
    found = told(".items[.id == 0 and .id in $.items[].id and .x in $.items[].x and .x].x", items(count))
    assert len(found) == problems


def test_the_first_hundred_elements_of_a_list_are_tried() -> None:
    body = items(101)
    body["items"][100]["x"] = True
    assert len(told(".items[.x].id", body)) == 1
    del body["items"][0]
    assert told(".items[.x].id", body) == []


def test_names_are_looked_for_in_every_element_that_is_read() -> None:
    body = items(1_001)
    body["items"][999]["name"] = "Ann"
    assert told(".items[].name | first", body) == []
    body["items"][1_000]["names"] = "Ann"
    assert told(".items[].names | first", body) != []


@pytest.mark.parametrize(
    ("severity", "value"),
    [
        ("warning", ".person.created_at exists"),
        ("warning", ".at exists and not .person.created_at exists"),
        ("warning", '.person.created_at exists and .person.created_at == "x"'),
        ("warning", ".person.created_at | date exists"),
        ("warning", ".person.created_at else .at"),
        ("warning", ".person.created_at else unset"),
        ("warning", ".person.created_at else skip"),
        ("warning", "{.person.created_at else .at} and {.at}"),
        ("warning", ".people[.created_at exists].id"),
        ("warning", ".people[all (.created_at else 1) == 1].id"),
        ("error", ".person.created_at"),
        ("error", ".person.created_at else fail"),
        ("error", ".at else .person.created_at"),
        ("error", "{.person.created_at} and {.at else skip}"),
        ("error", ".people[.created_at == 1] exists"),
    ],
)
def test_a_near_name_is_a_warning_only_where_the_field_may_be_missing(severity: str, value: str) -> None:
    person = {"id": 1, "updated_at": "2026-01-01", "created_by": "2026-01-01"}
    found = told(value, {"at": "2026-01-01", "person": person, "people": [person]})
    assert f"{severity}[unknown-path] no sample of shop has 'created_at' here → did you mean 'created_by'?" in found
    assert severity == "error" or not any(each.startswith("error") for each in found)


BODY = {
    "email": "a@x.io",
    "labels": ["vip"],
    "others": ["new"],
    "active": True,
    "paid": False,
    "size": 2,
    "address": {"city": "Oslo"},
    "items": [{"id": 1, "on": True}],
}
BLANK = "this is never known: empty text is as good as missing"
NO_ORDER = "this is never known: {} has no order → {}"
EQUAL, COUNT = "compare it with == or !=", "how many there are is: | count"
BEHIND_IN = "this is never known: behind in stands a list, not"
EVERY = "in every sample"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('.email == ""', f"{BLANK} → write not .email exists"),
        ('.email != ""', f"{BLANK} → write .email exists"),
        ('.email | trim != " "', f"{BLANK} → write .email | trim exists"),
        ('.email == "" else true', f"{BLANK} → write not .email exists"),
        ('.nothing[.odd == ""].id', f"{BLANK} → write not .odd exists"),
        ('.email > ""', BLANK),
        ('.email in ""', BLANK),
        (".size in 17", f"{BEHIND_IN} number → write .size == 17, or a list: [17]"),
        ('.email in "vip"', f'{BEHIND_IN} text → write .email == "vip", or a list: ["vip"]'),
        (".active > false", NO_ORDER.format("yes/no", EQUAL)),
        ('.labels <= ["vip"]', NO_ORDER.format("list", COUNT)),
        (".active < .paid", f"{EVERY} this is yes/no: that has no order → {EQUAL}"),
        (".labels >= .others", f"{EVERY} this is list: that has no order → {COUNT}"),
        (".address >= .address", f"{EVERY} this is object: that has no order"),
        (".labels > 1", f"{EVERY} the left side is list, the right is number → write .labels | count > 1"),
        (".labels in [1]", f"{EVERY} the left side is list, the elements are number"),
        ('.labels == "vip"', f'{EVERY} the left side is list, the right is text → write "vip" in .labels'),
        ('.labels != "vip"', f'{EVERY} the left side is list, the right is text → write not "vip" in .labels'),
        (".email == .labels", f"{EVERY} the left side is text, the right is list → write .email in .labels"),
        (".email in .email", f"{EVERY} the right side is text(6), no list → write .email | contains(.email)"),
        (".email in .size", f"{EVERY} the right side is number, no list → write .email == .size"),
        (".email in .address", f"{EVERY} the right side is object(1), no list → write .email in .address | keys"),
        (
            ".email in (.email else .nick)",
            f"{EVERY} the right side is text(6), no list → write (.email else .nick) | contains(.email)",
        ),
    ],
)
def test_comparisons_that_are_never_known_are_told(value: str, found: str) -> None:
    said = [each for each in told(value, BODY) if each.startswith("warning[kind-mismatch]")]
    assert said == [f"warning[kind-mismatch] {found}"]


@pytest.mark.parametrize(
    "value",
    [
        '.email == "-"',
        '.size in [17, ""]',
        '"vip" in .labels',
        ".size > 1",
        '(.email else "") == "a@x.io"',
        ".size in []",
    ],
)
def test_comparisons_that_may_be_known_are_not(value: str) -> None:
    assert told(value if value[0] == "." else f".email exists and {value}", BODY) == []

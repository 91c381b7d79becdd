"""A shape holds the names and kinds of what arrived, and no value."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model import Event
from router.ruleset.language import MISSING, Context, compile_value
from router.ruleset.shapes import BLANK, MAX_DEPTH, MAX_PATHS, Count, days, each_event, paths_read, shape_of

DAY = datetime(2026, 11, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({}, {(".", "object")}),
        ({"a": 1, "b": {"c": True}}, {(".", "object"), (".a", "number"), (".b", "object"), (".b.c", "yes/no")}),
        ({"a": None, "b": " ", "c": ""}, {(".", "object"), (".a", "blank"), (".b", "blank"), (".c", "blank")}),
        (
            {"a": [1, "x", None]},
            {(".", "object"), (".a", "list"), (".a[]", "number"), (".a[]", "text"), (".a[]", "blank")},
        ),
        ([{"a": 1}], {(".", "list"), (".[]", "object"), (".[].a", "number")}),
        ({"odd name": 1, 'q"\\': 1}, {(".", "object"), ('."odd name"', "number"), ('."q\\"\\\\"', "number")}),
        ({"jane@example.com": 1, "u_100123": 2}, {(".", "object"), ('."*"', "number")}),
        ({f"k{n}": n for n in range(61)}, {(".", "object"), (".", "part"), ('."*"', "number")}),
        ({"a": [1] * 21}, {(".", "object"), (".a", "list"), (".a", "part"), (".a[]", "number")}),
    ],
)
def test_paths_and_kinds(payload: Any, expected: set[tuple[str, str]]) -> None:
    assert shape_of(payload) == expected


def test_what_is_deep_long_or_wide_is_not_followed() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = {"a": deep}
    assert max(path.count(".a") for path, _ in shape_of(deep)) == MAX_DEPTH
    assert (".[]", "text") not in shape_of([1] * 20 + ["x"])
    wide = {f"a{n}": {f"b{m}": 1 for m in range(30)} for n in range(30)}
    assert len(shape_of(wide)) == MAX_PATHS + 1
    assert (".", "part") in shape_of(wide)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b c", "d"]), inner, max_size=3),
)


@given(values)
def test_no_value_is_in_a_shape(payload: Any) -> None:
    marked = json.loads(json.dumps(payload), parse_int=lambda _: 77_777)
    words = {word for path, _ in shape_of(marked) for word in path.replace('"', ".").replace("[]", ".").split(".")}
    assert words <= {"", "a", "b c", "d"}


@given(values)
def test_a_path_of_a_shape_reads_what_it_is_of(payload: Any) -> None:
    shape = shape_of(payload)
    there = {path for path, kind in shape if kind != BLANK}
    for path, _ in shape:
        is_missing = compile_value(path, tables={}).run(Context(payload)) is MISSING
        assert is_missing == (path not in there), path


def event(at: datetime, kind: str = "changed") -> Event:
    return Event("crm", "e", kind, at, at)


def test_days_count_events_and_kinds() -> None:
    counts = [
        Count(20_000, ".", "object", 10),
        Count(20_000, ".a", "number", 6),
        Count(20_000, ".a", "blank", 4),
        Count(19_999, ".", "object", 2),
        Count(20_000, ".", "object", 1),
    ]
    first, second = days(counts)
    assert (first.events, second.events) == (2, 11)
    assert (first.there(".a"), second.there(".a"), second.there(".b")) == (0, 6, 0)
    assert first.since < second.since


def test_what_was_not_looked_at_was_not_looked_for() -> None:
    (seen,) = days([
        Count(20_000, ".", "object", 10), Count(20_000, ".", "part", 1), Count(20_000, ".a", "object", 9),
        Count(20_000, ".a", "part", 4), Count(20_000, ".a.b[]", "part", 11),
    ])  # fmt: skip
    assert seen.events == 10
    places = [".b", ".a", ".a.b", ".a.b[]", ".a.b[].c", '.a."b.c"']
    assert [seen.looked_for(place) for place in places] == [9, 9, 6, 6, 0, 6]
    assert (seen.there("."), seen.there(".a"), seen.there(".a.b[]")) == (10, 9, 0)


def test_events_are_stretches_in_order_of_time() -> None:
    later, earlier = event(DAY.replace(hour=2)), event(DAY)
    history = each_event([(later, {"a": 1}), (earlier, {}), (event(DAY, "left"), {"b": [1]})])
    assert [seen.there(".a") for seen in history["crm", "changed"]] == [0, 1]
    assert history["crm", "left"][0].there(".b[]") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".a.b", [".a.b"]),
        ("$.a", [".a"]),
        (".", ["."]),
        ('."odd name"[0].c', ['."odd name"[].c']),
        (".a[.id == $.p].e", [".a[].id", ".p", ".a[].e"]),
        (".a[all .b[].c == 1] | count", [".a[].b[].c", ".a[]"]),
        ("$header.x-a else $event.type else .z", [".z"]),
        (".[0].a", [".[].a"]),
    ],
)
def test_the_paths_that_an_expression_reads(text: str, expected: list[str]) -> None:
    found = [path for path, _, _ in paths_read(compile_value(text, tables={}).paths)]
    assert sorted(found) == sorted(expected)

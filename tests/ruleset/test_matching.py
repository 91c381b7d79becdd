"""Which rules are for an event: patterns of types, the index by type, and which rules meet."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.ruleset import check
from router.ruleset.matching import Types
from tests.ruleset.test_project import DESTINATIONS, SOURCE, project_of

LETTERS = "a.\n"
PATTERNS = st.text(LETTERS + "*", max_size=3)
#: long enough for the longest beginning and the longest end of two patterns
TEXTS = ["".join(letters) for length in range(7) for letters in itertools.product(LETTERS, repeat=length)]


def is_match(pattern: str, text: str) -> bool:
    """What a pattern means, letter by letter."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(is_match(pattern[1:], text[n:]) for n in range(len(text) + 1))
    return text[:1] == pattern[0] and is_match(pattern[1:], text[1:])


@given(st.lists(PATTERNS, min_size=1, max_size=3), st.text(LETTERS, max_size=6))
@example(["a.*"], "a.\n")
def test_a_star_stands_for_any_run_of_characters(when: list[str], text: str) -> None:
    assert Types(when).matches(text) == any(is_match(pattern, text) for pattern in when)


def test_many_stars_take_no_time() -> None:
    when = Types([f"{'*a' * 200}*b", "*ab*ba*"])
    assert not when.matches("a" * 100_000)
    assert when.matches("a" * 100_000 + "b.ba")


@given(st.lists(PATTERNS, min_size=1, max_size=2), st.lists(PATTERNS, min_size=1, max_size=2))
@example(["a*a"], ["aa*.*aa"])
def test_two_rules_meet_if_one_type_is_for_both(one: list[str], other: list[str]) -> None:
    a, b = Types(one), Types(other)
    assert a.meet(b) == b.meet(a) == any(a.matches(text) and b.matches(text) for text in TEXTS)


WHENS = [
    ["*"], ["a"], ["a.a"], ["a.b", "a"], ["a.*"], ["*.a"], ["a*", "a.*"], ["b*a"], ["b.a", "b.*"], ["a.a.*", "a.a"],
    ["B"], ["*b*"], ["a.a.a.*"],
]  # fmt: skip
PROJECT = project_of(
    "\n".join(f"r{n}: {{when: {when!r}, user: .id, set: {{email: .e}}}}" for n, when in enumerate(WHENS))
)


@given(st.sampled_from([text for when in WHENS for text in when if "*" not in text]) | st.text("ab.", max_size=8))
def test_the_rules_of_a_type_are_those_that_match_in_file_order(event_type: str) -> None:
    found = [rule.id for rule in PROJECT.rules_for("shop", event_type)]
    assert found == [rule.id for rule in PROJECT.rules if rule.matches(event_type)]
    assert PROJECT.rules_for("other", event_type) == ()


@pytest.mark.parametrize(
    ("whens", "pairs"),
    [
        (["x", "x", "x"], [(1, 0), (2, 1)]),
        (["x", "y", "z"], []),
        (["x", "y", "x"], [(2, 0)]),
        (["*", "y", "*"], [(1, 0), (2, 1)]),
        (["a.*", "b.*", "*.z"], [(2, 1)]),
        (["a.*", "b.*", "a.1"], [(2, 0)]),
        (["a.1", "b.1", "a.*"], [(2, 0)]),
    ],
)
def test_a_rule_is_told_of_the_nearest_earlier_writer(whens: list[str], pairs: list[tuple[int, int]]) -> None:
    rules = "".join(f"  r{n}: {{when: '{when}', user: .id, set: {{email: .e}}}}\n" for n, when in enumerate(whens))
    assert writers(f"to: crm\nrules:\n{rules}") == [
        f"shop/r{later} and shop/r{earlier} can both set email for crm from one event" for later, earlier in pairs
    ]


def test_each_destination_has_a_nearest_writer_of_its_own() -> None:
    rules = """\
rules:
  one: {to: [moengage, channel, crm], user: .id, set: {name: .n, plan: .p}}
  two: {to: [channel], user: .id, set: {name: .n}}
  last: {to: [moengage, channel, crm], user: .id, set: {name: .n}, send: {crm: {note: .n}}}
"""
    assert sorted(writers(rules)) == [
        "shop/last and shop/one can both set name for moengage and crm from one event",
        "shop/last and shop/two can both set name for channel from one event",
        "shop/two and shop/one can both set name for channel from one event",
    ]


def writers(rules: str) -> list[str]:
    """The messages of `two-writers`, by place."""
    files = {"destinations.yaml": DESTINATIONS.encode(), "shop.yaml": f"{SOURCE}{rules}".encode()}
    return [problem.message for problem in check(files, {}, fault=None) if problem.code == "two-writers"]

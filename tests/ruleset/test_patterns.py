"""What a pattern may cost is counted before it runs. A matcher that goes back over every choice needs no more."""

from __future__ import annotations

import re
from collections.abc import Callable
from re import _constants, _parser  # type: ignore[attr-defined]  # as in router.ruleset.pattern
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.ruleset.language import LanguageError, compile_value
from router.ruleset.pattern import MAX_INPUT, PatternError, compile_pattern
from router.ruleset.values import MAX_STEPS, Context

PIECES = [
    *["a", "b", "ab", ".", "[ab]", "[^a]", "^", "$", "*", "+", "?", "*?", "+?", "{2}", "{1,3}", "{,20}", "{2,}"],
    *["(", ")", "(?:", "|", "a*", "b+", "(a?)", "(ab){2}", "(a|b)", "x(ab|b)?"],
]
PATTERNS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("".join)
TEXTS = ["ab" * 10 + "x", "a" * 20, "a" * 20 + "x", "b" * 19 + "c", ""]
POSSESSIVE = re.compile(r"[*+?}]\+")
Then = Callable[[int], bool]


class Matcher:
    """Searches like Python does, but for its short cuts, and counts what it tries."""

    def __init__(self, pattern: str, text: str) -> None:
        self.tree = list(_parser.parse(pattern))
        self.text = text
        self.tries = 0

    def search(self) -> bool:
        return any(self.sequence(self.tree, start, lambda end: True) for start in range(len(self.text) + 1))

    def sequence(self, items: list[Any], place: int, then: Then) -> bool:
        if not items:
            return then(place)
        (operator, argument), *rest = items
        self.tries += 1

        def after(end: int) -> bool:
            return self.sequence(rest, end, then)

        if operator is _constants.AT:
            at = {_constants.AT_BEGINNING: place == 0, _constants.AT_END: place == len(self.text)}
            return at[argument] and after(place)
        if operator is _constants.SUBPATTERN:
            return self.sequence(list(argument[3]), place, after)
        if operator is _constants.BRANCH:
            return any(self.sequence(list(branch), place, after) for branch in argument[1])
        if operator in {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT}:
            # one that gives nothing back tries no more than one that does
            return self.repeat(argument, operator is not _constants.MIN_REPEAT, 0, place, after)
        return place < len(self.text) and self.is_one(operator, argument, ord(self.text[place])) and after(place + 1)

    def repeat(self, argument: Any, greedy: bool, times: int, place: int, then: Then) -> bool:
        least, most, body = argument

        def again() -> bool:
            return times < most and self.sequence(
                list(body),
                place,
                lambda end: (end > place or times < least) and self.repeat(argument, greedy, times + 1, end, then),
            )

        if times < least:
            return again()
        return again() or then(place) if greedy else then(place) or again()

    def is_one(self, operator: Any, argument: Any, sign: int) -> bool:
        if operator is _constants.IN:
            return (argument[0][0] is _constants.NEGATE) is not any(sign == each for _, each in argument)
        return operator is _constants.ANY or (sign == argument) is (operator is _constants.LITERAL)


@given(PATTERNS, st.sampled_from(TEXTS))
@settings(max_examples=1_500)
def test_no_search_needs_more_tries_than_were_counted(pattern: str, text: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return
    matcher = Matcher(pattern, text)
    found = matcher.search()
    assert found is (compiled.regex.search(text) is not None) or POSSESSIVE.search(pattern)
    assert matcher.tries <= 2 * len(pattern) * max(1, compiled.tries(text))


@pytest.mark.parametrize("pattern", ["a+b+c", "(?:a{1,16}b?){3}", "a*(?:b|c)*d{0,4}", "(a|b|c)d?e?f?g?"])
def test_the_dearest_search_is_counted_as_so_many_steps(pattern: str) -> None:
    """What an evaluation counts is what the pattern said before."""
    compiled = compile_pattern(pattern)
    text = "ab" * MAX_INPUT
    context = Context({"a": text})
    compile_value(f'.a | extract("{pattern}")', tables={}).run(context)
    assert MAX_STEPS - context.steps == compiled.steps(text)
    assert compiled.steps(text) == compiled.steps(text[:MAX_INPUT]) <= MAX_STEPS // 4


@given(PATTERNS)
@settings(max_examples=800)
def test_every_pattern_that_is_taken_leaves_steps_for_others(pattern: str) -> None:
    try:
        made = compile_value(f'.a | extract("{pattern}")', tables={})
    except LanguageError:
        return
    context = Context({"a": "ab" * 128 + "x"})
    made.run(context)
    assert context.steps >= MAX_STEPS * 3 // 4

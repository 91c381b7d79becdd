"""What a pattern may cost is counted before it runs. A matcher that goes back over every choice needs no more."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from re import _constants  # type: ignore[attr-defined]  # as in router.ruleset.pattern
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.ruleset import alphabet, search_cost
from router.ruleset import pattern as limits
from router.ruleset.language import LanguageError, compile_value
from router.ruleset.pattern import Pattern, PatternError, compile_pattern, parse_pattern
from router.ruleset.search_cost import MAX_INPUT
from router.ruleset.values import MAX_STEPS, MISSING, Context

PIECES = [
    *[
        "a",
        "b",
        "ab",
        ".",
        "[ab]",
        "[^a]",
        "^",
        "$",
        "*",
        "+",
        "?",
        "*?",
        "+?",
        "{2}",
        "{1,3}",
        "{,20}",
        "{2,}",
        "{17}",
    ],
    *[
        "(",
        ")",
        "(?:",
        "(?>",
        "|",
        "a*",
        "b+",
        "(a?)",
        "(ab){2}",
        "(a|b)",
        "x(ab|b)?",
        ".*",
        "[ab]+",
        "(?:ab)*",
        "\\n",
        "()",
        "{2,5}",
    ],
]
PATTERNS = st.builds(
    "{}{}".format, st.sampled_from(["", "", "(?s)", "(?m)"]), st.lists(st.sampled_from(PIECES), max_size=9).map("".join)
)
WORDS = st.sampled_from(["a", "b", "ab", "aab", "c", "x", "abx", "a\n"])
#: what repeats itself is what costs most
TEXTS = st.lists(st.builds(str.__mul__, WORDS, st.integers(0, 20)), max_size=3).map(lambda words: "".join(words)[:30])
GIVES_NOTHING_BACK = re.compile(r"[*+?}]\+|\(\?>")
Then = Callable[[int], bool]


class Matcher:
    """Searches like Python does, but for its short cuts, and counts what it tries."""

    def __init__(self, pattern: str, text: str) -> None:
        self.tree, _ = parse_pattern(pattern)
        self.flags = self.tree.state.flags
        self.text = text
        self.tries = 0

    def search(self) -> bool:
        return any(self.sequence(list(self.tree), start, lambda end: True) for start in range(len(self.text) + 1))

    def sequence(self, items: list[Any], place: int, then: Then) -> bool:
        if not items:
            return then(place)
        (operator, argument), *rest = items
        self.tries += 1

        def after(end: int) -> bool:
            return self.sequence(rest, end, then)

        if operator is _constants.AT:
            return self.is_at(argument, place) and after(place)
        if operator is _constants.SUBPATTERN:
            return self.sequence(list(argument[3]), place, after)
        if operator is _constants.ATOMIC_GROUP:
            return self.sequence(list(argument), place, after)
        if operator is _constants.BRANCH:
            return any(self.sequence(list(branch), place, after) for branch in argument[1])
        if operator in {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT}:
            # one that gives nothing back tries no more than one that does
            return self.repeat(argument, operator is not _constants.MIN_REPEAT, 0, place, None, after)
        return place < len(self.text) and self.is_one(operator, argument, self.text[place]) and after(place + 1)

    def repeat(self, argument: Any, greedy: bool, times: int, place: int, last: int | None, then: Then) -> bool:
        """`last` is where the round before began, if it need not have been."""
        least, most, body = argument

        def again(last: int | None) -> bool:
            return self.sequence(
                list(body), place, lambda end: self.repeat(argument, greedy, times + 1, end, last, then)
            )

        if times < least:
            return again(last)
        more = times < most and place != last
        if greedy:
            return (more and again(place)) or then(place)
        return then(place) or (more and again(place))

    def is_at(self, argument: Any, place: int) -> bool:
        lines = self.flags & re.MULTILINE
        if argument is _constants.AT_BEGINNING_LINE or (argument is _constants.AT_BEGINNING and lines):
            return place == 0 or self.text[place - 1] == "\n"
        if argument is _constants.AT_BOUNDARY:
            return re.compile(r"\b").match(self.text, place) is not None
        if argument is _constants.AT_END:
            rest = self.text[place:]
            return rest in ("", "\n") or (bool(lines) and rest[0] == "\n")
        assert argument in {_constants.AT_BEGINNING, _constants.AT_BEGINNING_STRING}
        return place == 0

    def is_one(self, operator: Any, argument: Any, sign: str) -> bool:
        if operator is _constants.IN:
            return any(self.is_in(*each, sign) for each in argument) is not (argument[0][0] is _constants.NEGATE)
        if operator is _constants.ANY:
            return sign != "\n" or bool(self.flags & re.DOTALL)
        return (ord(sign) == argument) is (operator is _constants.LITERAL)

    def is_in(self, operator: Any, argument: Any, sign: str) -> bool:
        if operator is _constants.RANGE:
            return argument[0] <= ord(sign) <= argument[1]
        return operator is _constants.LITERAL and ord(sign) == argument


def found_by(pattern: Pattern, text: str) -> str | None:
    """What a pattern takes out of a text; None where it takes nothing."""
    match = pattern.match(text)
    return None if match is None else pattern.value(match)


def counted(pattern: str, text: str) -> int:
    """Tries that are counted if none counts more than another. No pattern is refused for what it costs."""
    alike = mock.patch.multiple(search_cost, _AFTER_CHARACTER=1, _AFTER_FEW=1, _AFTER_GROUP=1)
    with alike, mock.patch.object(limits, "MAX_TRIES", math.inf):
        return compile_pattern(pattern).tries(text)


@given(PATTERNS, TEXTS)
@settings(max_examples=1_500)
def test_no_search_needs_more_tries_than_were_counted(pattern: str, text: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return
    matcher = Matcher(pattern, text)
    found = matcher.search()
    assert found is (compiled.regex.search(text) is not None) or GIVES_NOTHING_BACK.search(pattern)
    assert matcher.tries <= counted(pattern, text) <= compiled.tries(text)


#: a pattern, a text in which it tries as much as it can, and by how much what is counted may be above that
DEAR = [
    # one after the other
    ("aaaaaaaab", "a" * 40, 1.5),
    # the same so often
    ("[ab]{8}c", "ab" * 20, 2.5),
    ("(?:[ab][ab]){4}c", "ab" * 20, 2.2),
    ("(?:[ab]{4}){4}c", "ab" * 20, 2.6),
    ("(([ab][ab]){2}[ab]){3}c", "ab" * 20, 2.6),
    ("a{100}b", "a" * 150, 3),
    # as often as it may be
    ("a{0,16}b", "a" * 40, 2),
    ("a{0,16}?b", "a" * 40, 2),
    ("a{0,16}a{0,16}b", "a" * 40, 2.5),
    ("(?:a{1,4}){4}b", "a" * 40, 3),
    ("(?:a?){8}b", "a" * 30, 3),
    ("a?a?a?a?a?a?a?a?b", "a" * 30, 2),
    ("(?:a(){2,5}){0,6}b", "a" * 30, 4),
    ("(?:a(?:(?:){0,2}){3,4}){0,3}b", "a" * 12, 5),
    ("x(?:a?){2}[xb]*c", "x" * 40, 4),
    # one or the other
    ("(?:ab|a|.)(?:ab|a|.)(?:ab|a|.)(?:ab|a|.)c", "ab" * 20, 2),
    ("(?:|a)(?:a|)(?:a|)(?:a|)b", "a" * 30, 2),
    ("a(?:|)(?:|)(?:|)(?:|)b", "a" * 30, 2),
    ("(?:a.*|b.*)c", "ab" * 20, 3.5),
    # one open repeat, from each character on
    ("a*b", "a" * 40, 2),
    ("a+?b", "a" * 40, 2),
    ("a{4,24}b", "a" * 40, 2.5),
    ("(a)*b", "a" * 40, 1.5),
    ("(?:ab)*c", "ab" * 20, 3.5),
    ("(?:a[ab])*c", "a" * 40, 2.5),
    ("(?>a*)b", "a" * 40, 2.5),
    ("a+$", "a" * 40 + "b", 3),
    (r"a+\b", "a" * 40 + "b", 4),
    ("c[bc]{16}[ab]*[ab]{3}d", "c" * 17 + "b" * 17 + "a" * 100, 3),
    # two, and from each character on
    ("a*a*b", "a" * 40, 2),
    ("a+?a+?b", "a" * 40, 2.5),
    ("[a-z]*[a-z]*[0-9]", "a" * 40, 2),
    ("[^b]*[^b]*b", "\n" * 40, 2),
    ("(?:ab)*(?:ab)*c", "ab" * 20, 6),
    ("a.*a.*b", "a" * 40, 2.5),
    ("ab.*ab.*c", "ab" * 20, 3.5),
    # beside others
    ("[ab]*.*(?:[^c][^c]){4}c", "ab" * 15, 4),
    ("a{0,16}.*?.+(?:[^c][^c]){16}c", "a" * 40, 60),
    # one that begins at a line's begin
    ("^a*a*b", "a" * 40, 2.5),
    ("(?m)^a*b", "a\n" * 20, 2.5),
    (".*?a.*?b", "a" * 40, 3.5),
    ("(?s).*a.*b", "a" * 40, 3.5),
]


@pytest.mark.parametrize(("pattern", "text", "above"), DEAR)
def test_what_is_counted_is_what_the_worst_text_needs(pattern: str, text: str, above: float) -> None:
    matcher = Matcher(pattern, text)
    assert not matcher.search()
    assert matcher.tries <= counted(pattern, text) <= above * matcher.tries, counted(pattern, text) / matcher.tries


@given(PATTERNS, TEXTS)
@example(".*b", "a\nab")
@example("(.+?)b", "a\nab")
@example("(?s).*b", "a\nab")
@example("((?s:.*)b)", "a\nab")
@example("(?m)^b", "a\nb")
@example("[ab]*b", "a\nab")
@settings(max_examples=800)
def test_a_pattern_finds_what_it_finds_in_python(pattern: str, text: str) -> None:
    """Where a match may begin is known before; that changes nothing."""
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return
    match = re.search(pattern, text)
    assert found_by(compiled, text) == (match and match[1 if match.re.groups else 0])


@pytest.mark.parametrize(
    ("pattern", "common"),
    [
        ("[a-m]*[n-z]*!", False),
        ("[a-m]*[m-z]*!", True),
        ("[a-m]*[^a-z]*!", False),
        (r"\w*\W*!", False),
        (r"\s*\S*!", False),
        (".*\n*!", False),
        ("(?i)[a-m]*[N-Z]*!", False),
        ("(?i)[a-m]*[A-M]*!", True),
        ("[a-m]*(?i:[A-M])*!", True),
        ("(?i:[a-m])*[A-M]*!", True),
        # digits, white space and letters that are not ASCII
        (r"\d*[^0-9]*!", True),
        (r"(?a)\d*[^0-9]*!", False),
        (r"\s*[^ \t-\r\x1c-\x1f]*!", True),
        (r"\w*[^a-zA-Z0-9_]*!", True),
        (r"\W*[^\x00-\x7e]*!", True),
        ("(?i)[a-z]*[^a-zA-Z]*!", False),
        ("(?i:[a-z])*[^a-zA-Z]*!", True),
        # written ones
        (r"[가-힣]*\s*!", False),
        (r"[가-힣]*\d*!", False),
        (r"[가-힣]*\w*!", True),
        (r"(?:[가-힣])*(?:\W)*!", False),
        (r"[\u0904-\u096f]*\d*!", True),
        ("ж*Ж*!", False),
        ("(?i)ж*Ж*!", True),
        ("[^ж]*Ж*!", True),
        ("[^ж]*ж*!", False),
        (r"\U0010ffff*\W*!", True),
        ("[가-힣]*[^가힣]*!", True),
        ("(?>ж*)(Ж*)(?:ж|Ж!)", False),
    ],
)
def test_repeats_that_have_no_character_in_common_share_no_text(pattern: str, common: bool) -> None:
    with mock.patch.object(limits, "MAX_TRIES", math.inf):
        *_, squares = compile_pattern(pattern).cost.tries
    assert (squares > 0) is common


def test_what_stands_for_far_characters_is_like_them() -> None:
    far = "".join(map(chr, range(alphabet._NO_CASE, sys.maxunicode + 1)))
    assert far.lower() == far == far.upper()
    assert re.search(r"[\w\s]", far[alphabet._SIGNS - alphabet._NO_CASE :]) is None


#: what is taken from events; each with a text and what it finds there
USED = [
    ("[0-9]+$", "gid://shopify/Customer/7012", "7012"),
    (r"gid://shopify/\w+/(\d+)", "gid://shopify/Customer/7012?x=1", "7012"),
    (r"/(\d+)/.*", "/orders/42/items", "42"),
    (r".*?/(\d+)/", "https://shop.example/orders/42/items", "42"),
    (r"^.*/([^/?#]+)", "https://shop.example/a/b-c?d", "b-c"),
    ("([^/]+)/?$", "https://shop.example/a/b-c/", "b-c"),
    ("https?://([^/]+)", "see https://x.example/y", "x.example"),
    (r"^https?://(?:www\.)?([^/:?#]+)", "https://www.x.example:8080/y", "x.example"),
    ("^([^@]+)@", "ann@example.com", "ann"),
    (r"^([^@+]+)(?:\+[^@]*)?@", "ann+news@example.com", "ann"),
    ("@([^@]+)$", "ann@example.com", "example.com"),
    ("@(.+)$", "ann@example.com", "example.com"),
    (r"(.+)@(.+)\.com", "ann@example.com", "ann"),
    (r"@.*\.([a-z]{2,})$", "ann@example.co.uk", "uk"),
    (r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,6}", "Ann <ann@example.com>", "ann@example.com"),
    (r"<([^<>\s]+@[^<>\s]+)>", "Ann <ann@example.com>", "ann@example.com"),
    ('"(.*)" <(.*)>', 'From: "Ann" <ann@example.com>', "Ann"),
    ("[?&]utm_source=([^&#]*)", "https://x.example/?a=1&utm_source=mail&b=2", "mail"),
    ("(?:^|[?&])utm_campaign=([^&]+)", "utm_campaign=may", "may"),
    ("utm_source=(.*?)&utm_medium=(.*?)&", "utm_source=mail&utm_medium=x&", "mail"),
    (r"(?i)[?&]gclid=([\w-]+)", "/?GCLID=Ab-1_x&y", "Ab-1_x"),
    (r"\d{4}-\d{2}-\d{2}", "on 2025-11-20 at", "2025-11-20"),
    (r"^(\d{4})-(\d{2})", "2025-11-20", "2025"),
    (r"(\d{1,2})/(\d{1,2})/(\d{4})", "11/20/2025", "11"),
    (r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([ap]m)?", "at 10:30 pm", "10"),
    (r"T(\d{2}:\d{2})", "2025-11-20T00:53:20Z", "00:53"),
    (r"plan[-_ ]?(\w+)", "my plan-gold", "gold"),
    ("(?i)vip", "a VIP", "VIP"),
    ("(?i)^(gold|silver|bronze)", "Gold member", "Gold"),
    ("(?i)(?:free|trial|pro|business|enterprise)", "the Pro plan", "Pro"),
    (r"(foo|bar|baz)-(\d+)", "x baz-7", "baz"),
    ("iPhone|iPad|Android", "Mozilla/5.0 (iPad; x)", "iPad"),
    (r"Mozilla/5\.0 \(([^;)]+)", "Mozilla/5.0 (iPad; x)", "iPad"),
    (r"Chrome/(\d+)", "AppleWebKit/537.36 Chrome/120.0", "120"),
    (
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "id 123e4567-e89b-12d3-a456-426614174000",
        "123e4567-e89b-12d3-a456-426614174000",
    ),
    ("(?i)([0-9A-F]{8})(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
    ("[0-9a-f]{32}", "0" * 40, "0" * 32),
    ("cus_([A-Za-z0-9]{14,24})", "cus_NffrFeUfNV2Hib", "NffrFeUfNV2Hib"),
    ("^sub_[A-Za-z0-9]+", "sub_1Px", "sub_1Px"),
    (r"Order #(\d+)", "Order #1001 paid", "1001"),
    (r"ORD-\d{4}-\d+", "see ORD-2025-17", "ORD-2025-17"),
    ("([0-9]+[.,][0-9]{2})", "total 19,99 EUR", "19,99"),
    (r"\$\s*([0-9]+(?:\.[0-9]{2})?)", "for $ 19.99", "19.99"),
    (r"(\d+(?:,\d{3}){0,3}(?:\.\d+)?)", "USD 1,234,567.80", "1,234,567.80"),
    (r"(\d+)\s*(?:EUR|USD|€)", "20 €", "20"),
    (r"([0-9]{1,3}[.]){3}[0-9]{1,3}", "x 10.0.0.1", "0."),
    (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", "x 10.0.0.1", "10.0.0.1"),
    (r"^\+?[0-9]{7,15}$", "+4755000000", "+4755000000"),
    (r"^\+(\d{1,3})", "+4755000000", "475"),
    (r"v(\d+)\.(\d+)\.(\d{1,5})", "v10.2.33", "10"),
    ("#([0-9A-Fa-f]{6})", "color #A0b1c2", "A0b1c2"),
    (r"\[([^\]]+)\]", "[ops] restart", "ops"),
    (r"\(([^)]*)\)", "Ann (Oslo)", "Oslo"),
    (r"^\s*(\S+)", "  Ann Lee", "Ann"),
    (r"(\S+)\s*$", "Ann Lee ", "Lee"),
    (r"^(\w+) (\w+)", "Ann Lee", "Ann"),
    (r"^(?:Mr|Mrs|Ms|Dr)\.?\s+(.+)$", "Dr. Ann Lee", "Ann Lee"),
    ("Name: (.*), Age: (.*);", "Name: Ann, Age: 31;", "Ann"),
    ("^[^,]*,([^,]*)", "a,b,c", "b"),
    ("(?m)^Subject: (.*)$", "From: x\nSubject: Hi\n", "Hi"),
    ("^([A-Z]{2})-", "NO-0150", "NO"),
    (r"([가-힣]+)\s*시", "서울 시", "서울"),
]


@pytest.mark.parametrize(("pattern", "text", "result"), USED)
def test_patterns_that_are_in_use_are_taken_and_read_lists(pattern: str, text: str, result: str) -> None:
    compiled = compile_pattern(pattern)
    assert found_by(compiled, text) == result
    assert 1_000 * compiled.steps("x" * 40) <= MAX_STEPS


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("x" * 201, "a pattern has at most 200 characters"),
        ("[", "this is no pattern: unterminated character set"),
        ("[[a]", "this is no pattern: Possible nested set at position 1"),
        ("a{99999999999999}", "this is no pattern: the repetition number is too large"),
        ("(a+)+$", "nested repeats are not allowed in a pattern"),
        ("(a?)*", "nested repeats are not allowed in a pattern"),
        ("a+b+c+", "a pattern has at most 2 open repeats such as * and +"),
        ("(ab|cd)*", "alternatives of more than one character are not allowed inside a repeat"),
        ("a(?=b)", "lookahead and lookbehind are not allowed in a pattern"),
        ("a(?>(?<!a)b)", "lookahead and lookbehind are not allowed in a pattern"),
        (r"(?:(a)\1|b)", "backreferences are not allowed in a pattern"),
    ],
)
def test_what_is_no_pattern_of_this_language_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(PatternError) as refused:
        compile_pattern(pattern)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "pattern",
    [
        "a{0,16}.*?.+(?:[^c][^c]){16}c",
        ".*.*(?:[^c][^c]){16}c",
        "[a-z]*[a-z]*[0-9]",
        "[ab]*.*(?:[^c][^c]){4}c",
        "(?:a{1,16}){4}b",
        "(?:a?){16}b",
        "(?:ab|a|.)" * 16 + "c",
        "(?:(?:(?:x{16}){16}){16}){16}",
        "(?:(?:(?:x?){16}){16}){16}",
        # what reads nothing is done as often as it says
        "(?:){1000000}x",
        r"(?:\b){60000}x",
        "(?:" * 12 + "a{0}" + "){16}" * 12,
    ],
)
def test_what_could_take_long_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match="too many optional parts: a search could take too long"):
        compile_pattern(pattern)


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


@pytest.mark.parametrize("pattern", ["'(.*)' <(.*)>", "[a-z]{0,16}[a-z]*[0-9]", "(?:[a-z]{1,16}-?){2}!"])
def test_searches_in_a_long_list_end_with_the_steps(monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    tries = []

    def match(self: Pattern, text: str) -> None:
        tries.append(self.tries(text))

    monkeypatch.setattr(Pattern, "match", match)
    context = Context([("a" * MAX_INPUT)] * 1_000)
    assert compile_value(f'.[] | extract("{pattern}")', tables={}).run(context) is MISSING
    assert context.notes[-1] == "stopped after 100,000 steps"
    assert 8 <= len(tries) < 100
    assert sum(tries) <= MAX_STEPS * limits.TRIES_PER_STEP

"""Random texts and random events: what may come out of compiling and out of evaluating, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from router.ruleset.functions import NAMES
from router.ruleset.language import MISSING, UNSET, Compiled, Context, FailRule, LanguageError, SkipRule, compile_value
from router.ruleset.values import MAX_NOTES, is_blank

CODES = {
    *["syntax", "limit", "unknown-function", "arguments", "unknown-variable", "regex", "unknown-table", "timezone"],
    "region",
}
TABLES = {"t": {"qxj": "gold", "1": 1, "true": None}}
#: a text of the event that no rule, reason or note has a word of
SECRET = "qxjqxj"

TOKENS = [
    *[
        ".a",
        ".b",
        ".",
        "$",
        "$.a",
        "$.l",
        ".l",
        "[0]",
        "[-1]",
        "[]",
        "[all ",
        "[.",
        "[. == ",
        "[",
        "]",
        '."x y"',
        ".a.b",
    ],
    *["$event.time", "$event.id", "$header.h", "$query.q", "$source", "$env.X", "$event", "$header"],
    *[" == ", " != ", " < ", " <= ", " > ", " >= ", " in ", " exists", " and ", " or ", "not ", " else "],
    *["unset", "skip", "fail", "true", "false", "null", "all", "(", ")", ",", "|", " ", "\t", "{", "}", "\\", "é"],
    *['"x"', "'1'", '""', '"s"', '"t"', '"UTC"', '"USD"', '"KR"', '"[a-z]+"', '"(a+)+"', '"a|b"', '"', "'"],
    *["0", "1", "-1", "1.5", "1e400", "012", "3"],
    *[f"|{name}" for name in NAMES],
    *[f"|{name}(" for name in NAMES],
]
TOKEN_STRINGS = st.lists(st.sampled_from(TOKENS), max_size=14).map("".join)
#: more often whole expressions
PATHS = st.sampled_from(
    [".", ".a", ".b", "$.a.b", ".l[]", ".l[0]", ".l[.a == $.a].b", ".l[all .b exists]", "$source", "$event.id"]
)
CALLS = st.sampled_from([
    *[f"|{name}" for name in NAMES],
    *[f"|{name}(.a)" for name in NAMES],
    *[f'|{name}("x", .b)' for name in NAMES],
    *["|slice(-2)", '|split("x")', '|map("t")', '|extract("[a-z]+")'],
    *['|time("ms")', '|date("Asia/Seoul")', "|minor(2)"],
])  # fmt: skip
PIPES = st.tuples(PATHS, st.lists(CALLS, max_size=4).map("".join)).map("".join)
SENTENCES = st.recursive(
    PIPES | st.sampled_from(["true", "1", '"x"', "[]"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["==", "!=", "<", ">=", "in", "and", "or", "else"]), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("not {}".format),
        inner.map("{} exists".format),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    ),
    max_leaves=6,
)
TEXTS = st.one_of(
    TOKEN_STRINGS,
    SENTENCES,
    st.tuples(SENTENCES, st.sampled_from([" else skip", " else fail", " else unset"])).map("".join),
    SENTENCES.map("x {{{}}} y".format),
    st.text(max_size=20),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["", " ", "x", "1", "true", SECRET, "qxj@qxj.qxj", "2025-11-20T00:53:20Z", "+821012345678", "KR"]),
    st.text(max_size=8),
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["a", "b", "l", "x y"]), inner, max_size=4),
    ),
    max_leaves=20,
)


def compiled(text: str, *, expression: bool) -> Compiled | LanguageError:
    try:
        return compile_value(text, tables=TABLES, expression=expression)
    except LanguageError as error:
        return error


def outcome(made: Compiled, data: Any) -> tuple[Any, list[str]]:
    """What an evaluation gives, with its notes; a reason in place of a value."""
    context = Context(data, headers={"h": SECRET}, query={"q": "1"}, source="s", region="KR", timezone="Asia/Seoul")
    try:
        return made.run(context), context.notes
    except (SkipRule, FailRule) as leave:
        return leave.reason, context.notes


@given(TEXTS, st.booleans(), DOCUMENTS)
@settings(max_examples=1_500, deadline=None)
def test_only_our_errors_come_out_of_compiling_and_only_skip_and_fail_of_evaluating(
    text: str, expression: bool, data: Any
) -> None:
    made = compiled(text, expression=expression)
    if isinstance(made, LanguageError):
        assert made.code in CODES
        assert 1 <= made.column <= max(1, len(text))
        assert made.length >= 1
        assert made.column + made.length - 1 <= max(1, len(text))
        assert made.message
        return
    for path in made.all_paths():
        assert text[path.start : path.end] == path.text
        assert all(path.start <= step.start < step.end <= path.end for step in path.steps)
    before = copy.deepcopy(data)
    first, notes = outcome(made, data)
    assert repr(data) == repr(before), "the event was changed"
    assert repr(outcome(made, data)) == repr((first, notes)), "not deterministic"
    if type(first) is not str or made.kind != "expression":
        assert first is MISSING or first is UNSET or not is_blank(first)
    assert len(notes) <= MAX_NOTES
    assert not any("qxj" in note for note in notes)


@given(SENTENCES, DOCUMENTS)
@settings(max_examples=500, deadline=None)
def test_a_reason_quotes_nothing_of_the_event(text: str, data: Any) -> None:
    made = compiled(f"({text}) == 5 else fail", expression=True)
    if isinstance(made, Compiled):
        value, _ = outcome(made, data)
        assert "qxj" not in repr(value)


@given(st.text(max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    quoted = pattern.replace("\\", "\\\\").replace('"', '\\"')
    made = compiled(f'.a | extract("{quoted}")', expression=True)
    if isinstance(made, Compiled):
        outcome(made, {"a": pattern * 5})
    else:
        assert made.code in {"regex", "limit"}


@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "b",
                ".",
                "*",
                "+",
                "?",
                "{2}",
                "{1,3}",
                "{,20}",
                "(",
                ")",
                "(?:",
                "|",
                "[ab]",
                "^",
                "$",
                "(?=",
                "\\1",
                "\\d",
            ]
        ),
        max_size=12,
    ).map("".join)
)
@settings(max_examples=800, deadline=500)
def test_no_pattern_that_is_taken_searches_long(pattern: str) -> None:
    quoted = pattern.replace("\\", "\\\\")
    made = compiled(f'.a | extract("{quoted}")', expression=True)
    if isinstance(made, Compiled):
        outcome(made, {"a": "ab" * 128 + "x"})
        outcome(made, {"a": "a" * 300})

"""Random texts and random events: what may come out of compiling and out of evaluating, and nothing else."""

from __future__ import annotations

import contextlib
import copy
import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from router.errors import RuleErrors
from router.model import Event, Op
from router.profile.codec import dump_change, load_change
from router.ruleset import Project, explain, load
from router.ruleset.functions import FUNCTIONS, NAMES
from router.ruleset.language import MISSING, UNSET, Compiled, Context, FailRule, LanguageError, SkipRule, compile_value
from router.ruleset.values import MAX_NOTES, MAX_STEPS, is_blank

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
        st.dictionaries(st.sampled_from(["a", "b", "l", "x y", SECRET]), inner, max_size=4),
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
@settings(max_examples=1_500)
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
@settings(max_examples=500)
def test_a_reason_quotes_nothing_of_the_event(text: str, data: Any) -> None:
    made = compiled(f"({text}) == 5 else fail", expression=True)
    if isinstance(made, Compiled):
        value, _ = outcome(made, data)
        assert "qxj" not in repr(value)


@given(st.text(max_size=60))
@settings(max_examples=500)
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    quoted = pattern.replace("\\", "\\\\").replace('"', '\\"')
    made = compiled(f'.a | extract("{quoted}")', expression=True)
    if isinstance(made, Compiled):
        outcome(made, {"a": pattern * 5})
    else:
        assert made.code in {"regex", "limit"}


# --- nothing runs long -----------------------------------------------------------------------------------------------


def calls_of(made: Compiled, data: Any) -> tuple[int, int]:
    """How many functions an evaluation calls, Python's own included, and how many steps it counts."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    context = Context(data, source="s", region="KR", timezone="Asia/Seoul")
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        made.run(context)
    except (SkipRule, FailRule):
        pass
    finally:
        sys.setprofile(before)
    return calls, MAX_STEPS - context.steps


def size_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + size_of(item) for item in value.values())
    return 1 + sum(map(size_of, value)) if isinstance(value, list) else 1


def runs_as_long_as_it_counts(made: Compiled, data: Any) -> bool:
    """What is done is in proportion to the steps that are counted and to what lies there; the steps end."""
    calls_of(made, data)  # the first time imports and fills caches
    calls, steps = calls_of(made, data)
    return calls <= 25 * (steps + len(made.text) + 20) + 10 * size_of(data) and steps <= 2 * MAX_STEPS


@given(TEXTS, st.booleans(), DOCUMENTS)
@settings(max_examples=500)
def test_what_is_done_is_counted(text: str, expression: bool, data: Any) -> None:
    made = compiled(text, expression=expression)
    if isinstance(made, Compiled):
        assert runs_as_long_as_it_counts(made, data)


LIST = [{"a": "x" * 50, "b": n, "l": list(range(60)), "p": "010-1234-5678"} for n in range(1_000)]


@pytest.mark.parametrize(
    "text",
    [
        ".[all $[all .b == 5] exists] | count",
        ".[all $[all $[.b == 5] exists] exists] | count",
        ".[all $[.b == -1] exists] | count",
        ".[all .l[all . > 3] exists] | unique",
        '.[].l[] | unique | join(",")',
        ".[all . in $]",
        ".[all $[] | unique | count > 3]",
        ".[all .l | json | sha256 exists].b",
        '.[].p | phone("KR")',
        ".[all .p | phone exists].b",
        '.[].a | extract("a*x+")',
        '.[all .a | extract("x+y+z") exists].b',
        '.[all .a | replace("x", "yyyyyyyyyy") | replace("y", "zzzzzzzzzz") exists].b',
        '.[].a | split("x")',
        '$[0].l[] | text | join(" ")',
        " else ".join(["$[.b == -1]"] * 25),
    ],
)
def test_what_looks_dear_is_bounded(text: str) -> None:
    made = compile_value(text, tables={}, expression=True)
    assert runs_as_long_as_it_counts(made, LIST)


# --- whole rules -----------------------------------------------------------------------------------------------------

DESTINATIONS = b"""\
traits: {words: list, born: date, when: time, size: number, sure: bool, page: url, tel: phone, land: country}
destinations:
  crm: {provider: http, url: "https://crm.example.com/p/{user}", into: t, once: set, clear: send-null, tags: replace}
  me: {provider: moengage, dc: 1, workspace: $env.W, key: $env.K, once: set, clear: keep, drop: [consent.push]}
  ch: {provider: channel, key: $env.K, secret: $env.S, clear: send-null, tags: replace, drop: [consent.push]}
"""
#: what JSON can hold
JSON = st.recursive(
    st.one_of(
        SCALARS.filter(lambda value: not isinstance(value, float)), st.floats(allow_nan=False, allow_infinity=False)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "l", "x y", SECRET]), inner, max_size=3)
    ),
    max_leaves=12,
)
#: calls with as many arguments as there should be
RIGHT = st.sampled_from([
    *[f"|{name}" for name, function in FUNCTIONS.items() if function.least == 0],
    *[
        f"|{name}({', '.join(arguments[:count])})"
        for name, function in FUNCTIONS.items()
        for count in range(max(1, function.least), function.most + 1)
        for arguments in ([".a", ".b"], ["$.l[0]", "1"], [".b else 2", '$.a | text'])
    ],
    *['|map("t")', '|extract("[a-z]+")', '|split("x")', '|join(", ")', "|minor(2)", "|slice(0, 2)", '|replace("q", "")']
])  # fmt: skip
VALUES = st.tuples(PATHS, st.lists(RIGHT, max_size=3).map("".join)).map("".join)
CONDITIONS = st.one_of(
    VALUES,
    st.tuples(
        VALUES, st.sampled_from(["==", "!=", "<", ">=", "in"]), VALUES | st.sampled_from(['"x"', "1", "[1, .a]"])
    ).map(" ".join),
)
CONDITIONS = st.one_of(
    CONDITIONS,
    CONDITIONS.map("not {}".format),
    st.lists(CONDITIONS, min_size=2, max_size=3).map(" and ".join),
    st.lists(CONDITIONS, min_size=2, max_size=3).map(" or ".join),
)
ENDED = st.tuples(VALUES, st.sampled_from(["", "", " else .b", " else unset", " else skip", " else fail"])).map("".join)
KEPT = st.one_of(
    st.tuples(VALUES, st.sampled_from(["", "", " else .l", " else skip"])).map("".join),
    VALUES.map("x {{{}}} y".format),
)
TRAITS = ["name", "email", "words", "born", "when", "size", "sure", "page", "tel", "land"]
BODIES = st.recursive(
    KEPT | st.sampled_from(["x", True, 3, "\\.x"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("pq"), inner, min_size=1, max_size=2)
    ),
    max_leaves=4,
)
RULES = st.fixed_dictionaries(
    {
        "user": st.one_of(st.just(".id"), st.just(".id else skip"), VALUES.filter(lambda text: ".a" in text)),
        "set": st.dictionaries(st.sampled_from(TRAITS), ENDED, min_size=1, max_size=4),
    },
    optional={
        "if": CONDITIONS,
        "once": st.dictionaries(st.sampled_from(["city", "gender", "created_at"]), KEPT, min_size=1, max_size=2),
        "unset": st.just(["phone", "company.size"]),
        "company": st.dictionaries(st.sampled_from(["id", "name"]), ENDED, min_size=1),
        "consent": st.dictionaries(st.sampled_from(["email", "sms", "push"]), KEPT, min_size=1),
        "tags": st.one_of(ENDED, st.lists(KEPT, max_size=3), st.fixed_dictionaries({"add": KEPT, "remove": KEPT})),
        "send": st.fixed_dictionaries(
            {"crm": st.dictionaries(st.sampled_from("mn"), BODIES, min_size=1, max_size=2)},
            optional={
                "ch": st.dictionaries(
                    st.sampled_from(["profile", "profileOnce"]),
                    st.dictionaries(st.sampled_from(["size", "land", "mine"]), ENDED, min_size=1),
                    min_size=1,
                )
            },
        ),
    },
)


def project_of(rules: dict[str, Any]) -> Project:
    """A project with these rules. Raises `RuleErrors`."""
    source = {
        "source": {"name": "s", "preset": "stripe", "secret": "$env.S", "region": "KR", "timezone": "Asia/Seoul"},
        "to": ["crm", "me", "ch"],
        "tables": TABLES,
        "rules": rules,
    }
    return load({"destinations.yaml": DESTINATIONS, "s.yaml": json.dumps(source).encode()}, {}, reveal=str)


def accepted(rules: list[dict[str, Any]]) -> Project:
    """A project with these rules; those that would write one place in two ways are refused."""
    try:
        return project_of({f"r{number}": rule for number, rule in enumerate(rules)})
    except RuleErrors as error:
        refused = error
    errors = [problem for problem in refused.problems if problem.severity == "error"]
    assert all(each.code == "send-overlap" or each.hint.endswith(" is set once") for each in errors), refused
    return reject()


WILD = st.dictionaries(
    st.sampled_from(
        ["user", "if", "set", "once", "unset", "company", "consent", "tags", "send", "to", "when", "erase", "x"]
    ),
    st.recursive(
        TEXTS | SCALARS.filter(lambda value: value == value),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from([*TRAITS, "crm", "add", "x"]), inner, max_size=3),
        ),
        max_leaves=4,
    ),
    max_size=6,
)


@given(WILD)
@settings(max_examples=300)
def test_only_our_errors_come_out_of_loading_a_rule(rule: dict[str, Any]) -> None:
    with contextlib.suppress(RuleErrors):
        project_of({"r": {"user": ".id", "set": {"name": ".a"}, **rule}})


LEAVES = st.sampled_from([".a", ".b else unset", "x"])
SENDS = st.fixed_dictionaries({
    "user": st.just(".id"),
    "to": st.just(["crm", "ch"]),
    "send": st.fixed_dictionaries({
        "crm": st.dictionaries(
            st.sampled_from("mn"),
            st.recursive(LEAVES, lambda inner: st.dictionaries(st.sampled_from("pq"), inner, min_size=1), max_leaves=3),
            min_size=1,
        ),
        "ch": st.dictionaries(
            st.sampled_from(["profile", "profileOnce"]),
            st.dictionaries(st.sampled_from(["size", "mine"]), LEAVES, min_size=1),
            min_size=1,
        ),
    }),
})  # fmt: skip


@given(st.lists(SENDS, min_size=1, max_size=3), JSON)
@settings(max_examples=300)
def test_no_place_that_rules_write_lies_inside_another_one(rules: list[dict[str, Any]], data: Any) -> None:
    """Else the order of calls, and what is sent together, would decide what a copy holds."""
    project = accepted(rules)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    body = {**data, "id": "u_1"} if isinstance(data, dict) else {"id": "u_1", "a": data, "b": None}
    planned = project.route_value(Event("s", "e_1", "made", moment, moment), body).planned
    for name, destination in project.destinations.items():
        changes = [each.change for each in planned if each.destination == name]
        for change in changes:
            assert load_change(dump_change(change), change.profile, change.version) == change
        ops = [(field, op.kind) for change in changes for field, op in change.fields.items() if type(op) is Op]
        places = {path for field, kind in ops if (path := destination.provider.path_of(field, kind)) is not None}
        assert not any(place[:depth] in places for place in places for depth in range(len(place)))


@given(st.lists(RULES, min_size=1, max_size=2), JSON, st.sampled_from(["u_1", SECRET, 7, "", None, "guest", ["x"]]))
@settings(max_examples=400)
def test_a_rule_gives_a_change_that_survives_json_or_says_why_not_without_a_word_of_the_event(
    rules: list[dict[str, Any]], data: Any, user: Any
) -> None:
    project = accepted(rules)
    body = {**data, "id": user} if isinstance(data, dict) else {"id": user, "a": data}
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    event = Event("s", "e_1", "made", moment, moment)
    before = copy.deepcopy(body)
    routing = project.route_value(event, body)
    assert repr(body) == repr(before), "the event was changed"
    assert project.route_value(event, body) == routing, "not deterministic"
    assert "internal" not in routing.reason, "a rule broke"
    said = [routing.reason, *(note.reason for note in routing.notes)]
    for planned in routing.planned:
        change = planned.change
        assert load_change(dump_change(change), change.profile, change.version) == change
        said += change.omitted.values()
    assert not any("qxj" in text for text in said)
    told = explain(project, event, body, show=lambda field, value: "▒").text()
    assert "qxj" not in told, "what is masked shows through"

"""The language by its cases, and what it promises about places and steps."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from router.model import Event, Instant, to_us
from router.ruleset.functions import NAMES
from router.ruleset.language import (
    ENDINGS,
    MISSING,
    UNSET,
    Compiled,
    Context,
    FailRule,
    LanguageError,
    SkipRule,
    compile_literal,
    compile_value,
    reader,
)
from router.ruleset.tree import ListNode, plain, read_yaml
from router.ruleset.types import Unusable, converter
from router.ruleset.values import MAX_NOTES, kind_of

CASES = Path(__file__).parent / "cases"
EVENT = Event(
    source="acme",
    external_id="evt_1",
    type="person.changed",
    occurred_at=datetime(2025, 11, 20, 0, 53, 20, tzinfo=UTC),
    received_at=datetime(2025, 11, 20, 0, 53, 21, tzinfo=UTC),
)
KEYS = {
    "about", "expr", "if", "allow", "event", "long", "header", "query", "tables", "region", "timezone", "type",
    "result", "missing", "time", "outcome", "error", "unusable", "notes",
}  # fmt: skip


def all_cases() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(CASES.glob("*.yaml")):
        node, problems = read_yaml(path.name, path.read_bytes())
        assert not problems
        assert isinstance(node, ListNode)
        for item in node.items:
            yield f"{path.stem}:{item.line}", plain(item)


ALL = list(all_cases())


def compile_case(case: dict[str, Any]) -> Compiled:
    if not isinstance(case["expr"], str):
        return compile_literal(case["expr"])
    allow = frozenset(case.get("allow", ENDINGS))
    text = case["expr"] * case.get("long", {}).get("expr", 1)
    return compile_value(text, tables=case.get("tables", {}), allow=allow, expression=case.get("if", False))


def event_of(case: dict[str, Any]) -> Any:
    """The event of a case; what stands under `long` is taken that many times over."""
    event = copy.deepcopy(case["event"])
    for name, times in case.get("long", {}).items():
        if name != "expr":
            event[name] *= times
    return event


def context_of(case: dict[str, Any]) -> Context:
    return Context(
        event_of(case),
        EVENT,
        case.get("header", {}),
        case.get("query", {}),
        "acme",
        case.get("region"),
        case.get("timezone", "UTC"),
    )


def outcome_of(case: dict[str, Any], context: Context) -> dict[str, Any]:
    """What a case gives, in the words of the cases."""
    try:
        value = compile_case(case).run(context)
    except LanguageError as error:
        return {"error": {"code": error.code, "column": error.column, "length": error.length}}
    except SkipRule:
        return {"outcome": "skip"}
    except FailRule:
        return {"outcome": "fail"}
    if "type" in case and value is not MISSING and value is not UNSET:
        try:
            value = converter(case["type"], region=context.region, timezone=context.timezone)(value)
        except Unusable as error:
            return {"unusable": error.reason}
    if value is MISSING:
        return {"missing": True}
    if value is UNSET:
        return {"outcome": "unset"}
    return {"time": str(value)} if isinstance(value, Instant) else {"result": value}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in ALL])
def test_a_case_gives_what_it_says(case: dict[str, Any]) -> None:
    assert set(case) <= KEYS
    context = context_of(case)
    expected = {key: case[key] for key in ("result", "missing", "time", "outcome", "error", "unusable") if key in case}
    got = outcome_of(case, context)
    assert got == expected
    assert repr(got) == repr(expected), "a number of the other spelling, or yes/no for a number"
    assert context.notes == case.get("notes", [])
    assert context.data == event_of(case), "the event was changed"


def test_there_are_at_least_three_hundred_cases() -> None:
    assert len(ALL) >= 300
    assert len({repr(case) for _, case in ALL}) == len(ALL), "a case stands there twice"


# --- limits ----------------------------------------------------------------------------------------------------------


def run(text: str, data: Any, **more: Any) -> tuple[Any, list[str]]:
    context = Context(data, **more)
    return compile_value(text, tables={}, expression=True).run(context), context.notes


def refused(text: str, **more: Any) -> LanguageError:
    with pytest.raises(LanguageError) as caught:
        compile_value(text, tables={}, **more)
    return caught.value


def test_a_template_may_make_as_many_characters_as_a_function() -> None:
    half = "x" * 32_767
    assert compile_value("-{.}{.}-", tables={}).run(Context(half)) == f"-{half}{half}-"
    assert compile_value("-{.}{.}--", tables={}).run(Context(half)) is MISSING


def test_an_expression_has_at_most_500_characters() -> None:
    assert run("." + "a" * 499, {"a" * 499: 1})[0] == 1
    error = refused("." + "a" * 500)
    assert (error.code, error.column, error.length) == ("limit", 1, 501)


def test_a_hole_has_at_most_500_characters_and_a_template_more() -> None:
    assert compile_value("x" * 1000 + "{.a}", tables={}).run(Context({"a": 1})) == "x" * 1000 + "1"
    error = refused("xx {." + "a" * 500 + "}")
    assert (error.code, error.column, error.length) == ("limit", 5, 501)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("(", ")"), ("[", "]"), ("not ", ""), (".a[", "]"), ("true | starts(", ")")],
)
def test_nesting_ends_at_20(opening: str, closing: str) -> None:
    compile_value(opening * 20 + ".b" + closing * 20, tables={}, expression=True)
    error = refused(opening * 21 + ".b" + closing * 21, expression=True)
    assert error.code == "limit"
    assert error.column > len(opening) * 20


def test_long_chains_are_no_nesting() -> None:
    assert run(".a" + "|not" * 124, {"a": True})[0] is True
    assert run(" or ".join([".a"] * 80), {"a": True})[0] is True
    assert run(" else ".join([".b"] * 60), {"a": True})[0] is MISSING
    assert run("." + "a." * 200 + "a", {})[0] is MISSING
    assert run("." + "[0]" * 160, [])[0] is MISSING


NOTE = "list(1500) has more than 1,000 elements: the rest is ignored"
LONG = list(range(1500))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".[]", LONG[:1000]),
        (".[all . > 900] | count", 99),
        (".[. == 1200]", MISSING),
        (". | text | last", "999"),
        ('. | join(",") | ends(",999")', True),
        (". | unique | count", 1000),
        (". | slice(0) | last", 999),
        (". | contains(1200)", False),
        ("1200 in .", False),
    ],
)
def test_a_list_counts_up_to_its_thousandth_element(text: str, expected: Any) -> None:
    assert run(text, LONG) == (expected, [NOTE])


def test_elements_beyond_are_not_missed_where_none_is_looked_at() -> None:
    assert run(".[. == 3]", LONG) == (3, [])
    assert run(".[1400]", LONG) == (1400, [])
    assert run(". | count", LONG) == (1500, [])
    assert run(". | slice(1400, 1402)", LONG) == ([1400, 1401], [])


def test_what_is_made_has_at_most_a_thousand_elements() -> None:
    value, notes = run(".a[].b[]", {"a": [{"b": LONG[:600]}, {"b": LONG[:600]}]})
    assert (len(value), notes) == (1000, ["list(1200) has more than 1,000 elements: the rest is ignored"])
    value, notes = run('. | split(",")', ",".join("x" * 1500))
    assert (len(value), notes) == (1000, ["list(1001) has more than 1,000 elements: the rest is ignored"])
    value, notes = run('. | split(",")', [",".join("x" * 600)] * 2)
    assert (len(value), notes) == (1000, ["list(1200) has more than 1,000 elements: the rest is ignored"])
    value, notes = run(". | keys | count", {str(number): 1 for number in LONG})
    assert (value, notes) == (1000, [NOTE])


TEXT = "x" * 65_536


@pytest.mark.parametrize(
    "text",
    [
        ".x | trim",
        ".x | lower",
        ".x | upper",
        ".x | title",
        ".x | text",
        ".x | slice(0)",
        '.x | replace("x", "x")',
        '.x | split(",")',
        '[.x] | join("")',
        "{.x}",
    ],
)
def test_a_text_that_is_made_has_at_most_65536_characters(text: str) -> None:
    made = compile_value(text, tables={}, expression=text[0] == "[")
    context = Context({"x": TEXT})
    assert made.run(context) in (TEXT, TEXT.capitalize(), TEXT.upper(), [TEXT])
    assert not context.notes
    context = Context({"x": TEXT + "x"})
    assert made.run(context) is MISSING
    assert len(context.notes) == 1
    assert "65,536 characters" in context.notes[0]


def test_text_cannot_grow_without_bound() -> None:
    value, notes = run('.a | replace("x", .b)', {"a": "x" * 60_000, "b": "y" * 60_000})
    assert (value, notes) == (MISSING, ["text(60000) would become longer than 65,536 characters"])
    value, notes = run(".a | join(.b)", {"a": ["x"] * 1000, "b": "y" * 1000})
    assert (value, notes) == (MISSING, ["list(1000) would become longer than 65,536 characters"])
    # a thousand elements of 65,536 characters each
    value, notes = run('.a | replace("x", .b)', {"a": ["x"] * 1000, "b": "y" * 65_536})
    assert (value, notes) == (MISSING, ["stopped after 100,000 steps"])
    assert run(". | upper", "ß" * 40_000)[1] == ["text(80000) is longer than 65,536 characters"]


def test_a_pattern_is_searched_in_256_characters() -> None:
    assert run('. | extract("z")', "x" * 255 + "z")[0] == "z"
    assert run('. | extract("z")', "x" * 256 + "z")[0] is MISSING
    assert refused(f'.a | extract("{"x" * 201}")').code == "regex"
    compile_value(f'.a | extract("{"x" * 200}")', tables={})


def test_json_text_has_at_most_32_kib() -> None:
    assert len(run(". | json", "x" * 32_766)[0]) == 32_768
    for data in [
        "x" * 32_767,
        [0] * 40_000,
        {"k" * 40_000: 1},
        ['"' * 100] * 200,
        {str(n): {"x" * 20: n} for n in LONG},
    ]:
        value, notes = run(". | json", data)
        assert value is MISSING
        assert "is longer than 32 KiB as JSON, or nested too deep" in notes[0]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_deep_values_are_no_recursion() -> None:
    assert "nested too deep" in run(". | json", nested(200))[1][0]
    assert run(".a == .b", {"a": nested(90), "b": nested(90)})[0] is True
    assert run(".a == .b", {"a": nested(5000), "b": nested(5000)}) == (MISSING, ["stopped after 100,000 steps"])
    assert run(". | unique | count", nested(5000))[0] is MISSING


@pytest.mark.parametrize(
    "text",
    [
        ".[$[$[. == -1] exists] exists]",
        ".[. == $[all . > 0]]",
        ".[($ | json | sha256) == .]",
        '.[($ | join(",") | sha256) == .]',
        '.[. | text | extract("[0-9]{0,9}[0-9]*[0-9]?x")]',
        "[. | phone, . | phone, . | phone, . | phone, . | phone]",
    ],
)
def test_no_evaluation_takes_long(text: str) -> None:
    context = Context([*LONG[:999], ["x"] * 500], region="US")
    value = compile_value(text, tables={}, expression=True)
    value.run(context)
    assert context.steps > -2_000, "what was taken at once is bounded as well"


@pytest.mark.parametrize(
    "text",
    [
        ".l[($.t | sha256) == .]",
        ".l[($.l | count) == -1]",
        ".l[$.l[] == .]",
        ".l[$.l[. == -1] exists]",
        ".l[$.l == $.m]",
        "[.l | phone, .l | phone, .l | phone, .l | phone]",
    ],
)
def test_work_that_is_done_for_every_element_is_counted(text: str) -> None:
    context = Context({"l": [1] * 1000, "m": [*[1] * 999, 2], "t": "x" * 60_000})
    assert compile_value(text, tables={}, expression=True).run(context) is MISSING
    assert context.notes[-1] == "stopped after 100,000 steps"


def test_after_the_steps_run_out_the_value_is_missing_and_the_next_one_starts_anew() -> None:
    context = Context(LONG[:900])
    hungry = compile_value(".[$[$[. == -1] exists] exists] else fail", tables={})
    assert hungry.run(context) is MISSING
    assert context.notes == ["stopped after 100,000 steps"]
    assert compile_value(".[. == 3]", tables={}).run(context) == 3


def test_notes_are_few_and_none_comes_twice() -> None:
    assert run(". | trim", [True, False]) == (MISSING, ["yes/no is not text"])
    context = Context([[True] * n for n in range(100)])
    compile_value(".[] | trim", tables={}).run(context)
    compile_value(".[] | trim", tables={}).run(context)
    assert len(context.notes) == MAX_NOTES == len(set(context.notes))


def test_odd_numbers_and_texts_are_no_trouble() -> None:
    for data in [float("nan"), float("inf"), 10**5000, "\ud800", 1e308, -(10**30), Instant(0)]:
        for name in NAMES:
            if name in {"map", "extract"}:
                continue
            for arguments in ["", "(.)", "(., .)", "(1)"]:
                try:
                    compiled = compile_value(f". | {name}{arguments}", tables={})
                except LanguageError:
                    continue
                compiled.run(Context(data))
        for sign in ["==", "<", "in"]:
            run(f". {sign} .", data)
            run(f"[.] {sign} [.]", data)
        compile_value("x {.}", tables={}).run(Context(data))
    assert run(". | sha256", "\ud800")[1] == ["text(1) holds half a character and has no UTF-8 form"]


# --- what checks and explain read ------------------------------------------------------------------------------------


def test_paths_have_places_and_those_in_brackets_hang_on_their_step() -> None:
    text = '.a."odd x"[.id == $.p and .q[0] exists].e[] | starts($header.X-Y else .z)'
    compiled = compile_value(text, tables={})
    outer, header, other = compiled.paths
    assert (outer.base, outer.start, outer.text) == ("dot", 0, text[: outer.end])
    assert [(step.kind, step.value) for step in outer.steps] == [
        ("key", "a"), ("key", "odd x"), ("first", None), ("key", "e"), ("every", None),
    ]  # fmt: skip
    assert [text[step.start : step.end] for step in outer.steps] == [
        "a", '"odd x"', "[.id == $.p and .q[0] exists]", "e", "[]",
    ]  # fmt: skip
    inside = outer.steps[2].paths
    assert [(path.base, path.text) for path in inside] == [("dot", ".id"), ("root", "$.p"), ("dot", ".q[0]")]
    assert [text[path.start : path.end] for path in inside] == [".id", "$.p", ".q[0]"]
    assert (header.base, header.name, header.text) == ("header", "x-y", "$header.X-Y")
    assert other.text == ".z"
    assert [path.text for path in compiled.all_paths()] == [
        outer.text, "$header.X-Y", ".z", ".id", "$.p", ".q[0]",
    ]  # fmt: skip
    assert compiled.headers == {"x-y"}
    assert compiled.queries == frozenset()


def test_comparisons_can_be_tried_side_by_side() -> None:
    compiled = compile_value('.livemode == "true" and .l[.n > 1] exists', tables={})
    (compare,) = compiled.comparisons
    assert compiled.text[compare.start : compare.end] == '.livemode == "true"'
    assert compiled.text[compare.at :].startswith("== ")
    context = Context({"livemode": True, "l": []})
    sides = [reader(side, {})(context, context.data) for side in (compare.left, compare.right)]
    assert [kind_of(side) for side in sides] == ["yes/no", "text"]
    (inner,) = compiled.paths[1].steps[1].comparisons
    assert inner.operator == ">"
    assert reader(inner.left, {})(context, {"n": 5}) == 5
    endless = compile_value(".[$[$[. == -1] exists] exists] == 1", tables={}).comparisons[0]
    assert reader(endless.left, {})(Context(LONG[:900]), LONG[:900]) is None


def test_a_value_tells_how_it_ends() -> None:
    compiled = compile_value(".a else .b else unset", tables={})
    assert compiled.ending is not None
    assert compiled.text[compiled.ending.start : compiled.ending.end] == compiled.ending.word == "unset"
    assert compiled.uses == {"unset"}
    template = compile_value("{.a} {.b else skip}", tables={})
    assert template.ending is not None
    assert (template.text[template.ending.start : template.ending.end], template.uses) == ("skip", {"skip"})
    plain_value = compile_value(".a", tables={})
    assert (plain_value.ending, plain_value.uses) == (None, frozenset())


def test_what_is_no_value_has_a_name() -> None:
    assert (repr(MISSING), repr(UNSET)) == ("MISSING", "UNSET")


def test_a_value_tells_what_it_is() -> None:
    tables = {"t": {"a": 1}, "u": {"b": 2}}
    kinds = [
        ("x", "literal", "x"),
        ("\\.x", "literal", ".x"),
        (".x", "expression", MISSING),
        ("{.x}", "template", MISSING),
    ]
    for text, kind, literal in kinds:
        compiled = compile_value(text, tables=tables)
        assert (compiled.kind, compiled.literal, compiled.is_expression) == (kind, literal, kind == "expression")
    assert compile_literal(5).literal == 5
    assert compile_literal(["a"]).run(Context({})) == ["a"]
    assert compile_value('"x"', tables={}, expression=True).literal == "x"
    assert compile_value('.x | map("t")', tables=tables).tables == {"t"}
    assert compile_value('{.x | map("t")} {.y[. | map("u") == 2]}', tables=tables).tables == {"t", "u"}
    assert compile_value("{$query.a} {$header.b}", tables={}).queries == {"a"}


def test_skip_and_fail_tell_what_was_missing() -> None:
    with pytest.raises(SkipRule) as skipped:
        run(".data.user_id else .id else skip", {})
    assert skipped.value.reason == ".data.user_id else .id is missing"
    with pytest.raises(FailRule) as failed:
        compile_value("x {.a else fail}", tables={}).run(Context({}))
    assert failed.value.reason == ".a is missing"


def test_without_an_event_its_variables_are_missing() -> None:
    for name in ("id", "type", "time", "received_at"):
        assert run(f"$event.{name}", {})[0] is MISSING
    assert run("$event.time", {}, event=EVENT)[0] == Instant(to_us(EVENT.occurred_at))

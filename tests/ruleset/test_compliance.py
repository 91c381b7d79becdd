"""The cases are whole: all of the vocabulary of the implementation occurs in them, each with what just misses it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import router
from router.ruleset import lexer, nodes
from router.ruleset.functions import BOUND, FUNCTIONS, NAMES
from router.ruleset.language import ENDINGS, Compiled, LanguageError
from router.ruleset.lexer import WORDS
from router.ruleset.parts import Part, follow
from router.ruleset.types import TYPES
from tests.ruleset.test_language import ALL, compile_case, context_of

SOURCES = Path(router.__file__).parent / "ruleset"


def compiled_or_refused() -> Iterator[tuple[dict[str, Any], Compiled | LanguageError]]:
    for _, case in ALL:
        try:
            yield case, compile_case(case)
        except LanguageError as error:
            yield case, error


MADE = list(compiled_or_refused())
COMPILED = [(case, made) for case, made in MADE if isinstance(made, Compiled)]
ERRORS = [made for _, made in MADE if isinstance(made, LanguageError)]
REFUSED = [str(case["expr"]) for case, made in MADE if isinstance(made, LanguageError)]
NOTES = [
    note
    for case, _ in COMPILED
    for note in [*case.get("notes", ()), *([case["unusable"]] if "unusable" in case else ())]
]


def parts_of(node: Any) -> Iterator[Any]:
    """A node and everything in it, brackets included."""
    yield node
    for inner in vars_of(node):
        yield from parts_of(inner)


def vars_of(node: Any) -> Iterator[Any]:
    for name in node.__slots__:
        value = getattr(node, name)
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if type(item).__module__ == nodes.__name__ and name not in {"paths", "comparisons"}:
                yield item


NODES = [(case, node) for case, made in COMPILED for tree in made.trees for node in parts_of(tree)]


# --- the grammar -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [*get_args(nodes.Expression), nodes.Call, nodes.Step, nodes.Ending], ids=lambda kind: kind.__name__
)
def test_every_rule_of_the_grammar_occurs_with_and_without_a_value(kind: type) -> None:
    with_it = [case for case, node in NODES if isinstance(node, kind)]
    assert any("result" in case or "time" in case for case in with_it)
    assert any("missing" in case or "outcome" in case for case in with_it)


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("base", ["dot", "root", "event", "header", "query", "source"]),
        ("kind", ["key", "index", "first", "every"]),
        ("operator", sorted(lexer.COMPARISONS)),
        ("word", sorted(ENDINGS)),
    ],
)
def test_every_kind_of_path_step_comparison_and_ending_occurs(attribute: str, words: list[str]) -> None:
    found = {getattr(node, attribute) for _, node in NODES if attribute in node.__slots__}
    assert found == set(words)


@pytest.mark.parametrize("word", sorted(WORDS))
def test_every_word_occurs_where_it_may_not_stand(word: str) -> None:
    assert any(re.search(rf"(?<![\w.$]){word}(?!\w)", text) for text in REFUSED)


@pytest.mark.parametrize(
    "sign", ["==", "!=", "<", "<=", ">", ">=", "|", "(", ")", "[", "]", ",", ".", "$", '"', "'", "-"]
)
def test_every_sign_occurs_where_it_may_not_stand(sign: str) -> None:
    assert any(sign in text for text in REFUSED)


# --- functions and types ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_function_gives_something_nothing_and_takes_so_many_arguments(name: str) -> None:
    calls = [(case, node) for case, node in NODES if isinstance(node, nodes.Call) and node.name == name]
    assert any("result" in case or "time" in case for case, _ in calls)
    assert any("notes" in case or "missing" in case for case, _ in calls)
    counts = {len(call.arguments) for _, call in calls}
    if name in BOUND:
        assert counts == {1}
    else:
        assert counts == set(range(FUNCTIONS[name].least, FUNCTIONS[name].most + 1))
    wrong = [
        error
        for case, error in MADE
        if isinstance(error, LanguageError)
        and error.code == "arguments"
        and re.search(rf"\| *{name}\b", str(case["expr"]))
    ]
    assert wrong


@pytest.mark.parametrize("name", TYPES)
def test_every_type_takes_something_and_refuses_something(name: str) -> None:
    with_it = [case for case, _ in COMPILED if case.get("type") == name]
    assert any("result" in case or "time" in case for case in with_it)
    assert any("unusable" in case for case in with_it)


# --- what is said ----------------------------------------------------------------------------------------------------


def texts(node: ast.expr) -> Iterator[str]:
    """Patterns of the texts that an argument may be."""
    match node:
        case ast.Constant(value=str() as text):
            yield re.escape(text)
        case ast.JoinedStr(values=values):
            yield "".join(re.escape(str(v.value)) if isinstance(v, ast.Constant) else ".+" for v in values)
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body)
            yield from texts(orelse)


def said(positions: dict[str, int]) -> list[Any]:
    """Patterns of what calls of these names say, by the place of the argument that holds it."""
    found = {}
    for file in sorted(SOURCES.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                for argument in node.args[positions[name] : positions[name] + 1] if name in positions else ():
                    found.update({pattern: f"{file.stem}: {pattern}" for pattern in texts(argument)})
    return [pytest.param(pattern, id=name) for pattern, name in found.items()]


@pytest.mark.parametrize("pattern", said({"LanguageError": 1, "PatternError": 0, "_error": 0}))
def test_every_error_of_an_expression_occurs(pattern: str) -> None:
    assert any(re.fullmatch(pattern, error.message, re.DOTALL) for error in ERRORS)


#: what no event can bring about: JSON has no such numbers and texts; a tag is no value of an expression
NOT_HERE = {
    r"holds\ a\ number\ that\ JSON\ cannot\ hold",
    r"holds\ half\ a\ character\ and\ has\ no\ UTF\-8\ form",
    r"is\ not\ a\ tag",
}


@pytest.mark.parametrize(
    "pattern", [each for each in said({"Unusable": 1, "note": 0}) if each.values[0] not in NOT_HERE]
)
def test_every_note_and_reason_occurs(pattern: str) -> None:
    assert any(re.search(f"{pattern}$", note) for note in NOTES)


def test_every_code_of_an_expression_occurs() -> None:
    lexer = (SOURCES / "lexer.py").read_text("utf-8")
    comment = lexer[lexer.index("#: `syntax`") : lexer.index("self.code = code")]
    assert {error.code for error in ERRORS} == set(re.findall("`([a-z-]+)`", comment))


# --- blank, null, no, zero and the empty list ------------------------------------------------------------------------

FIVE = {"blank", "nothing", "no", "zero", "empty list"}


def is_of_five(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return "" if value.strip() else "blank"
    return {"False": "no", "0": "zero", "[]": "empty list"}.get(repr(value), "")


def met() -> dict[str, set[str]]:
    """Place of an operator → which of the five it met there."""
    found: dict[str, set[str]] = {}

    def meet(place: str, value: Any) -> None:
        found.setdefault(place, set()).add(is_of_five(value))

    def look(part: Part) -> None:
        node, values = part.node, [each.value for each in part.parts]
        match node:
            case nodes.Compare():
                for side, value in zip(("left", "right"), values, strict=True):
                    meet(f"{node.operator} {side}", value)
            case nodes.Pipe():
                for call, value in zip(node.calls, values, strict=False):
                    meet(f"| {call.name}", value)
            case nodes.Call():
                for number, value in enumerate(values):
                    meet(f"{node.name}({number})", value)
            case nodes.And() | nodes.Or() | nodes.Fallback():
                for number, value in enumerate(values):
                    meet(f"{type(node).__name__} {'first' if number == 0 else 'later'}", value)
            case nodes.Not() | nodes.Exists() | nodes.ListOf():
                for value in values:
                    meet(type(node).__name__, value)
        for inner in part.parts:
            look(inner)

    for case, made in COMPILED:
        for followed in follow(made, context_of(case)):
            look(followed.root)
            if made.kind == "template":
                meet("hole", followed.root.value)
            for path in (
                node for node in parts_of(followed.tree) if isinstance(node, nodes.Path) and len(node.steps) == 2
            ):
                data = context_of(case).data
                if path.base == "dot" and path.steps[0].kind == "key" and isinstance(data, dict):
                    meet(f"step {path.steps[1].kind}", data.get(path.steps[0].value))
    return found


MET = met()
PLACES = [
    *(f"{sign} {side}" for sign in sorted(lexer.COMPARISONS) for side in ("left", "right")),
    *(f"{kind} {place}" for kind in ("And", "Or", "Fallback") for place in ("first", "later")),
    *["Not", "Exists", "ListOf", "hole"],
    *(f"step {kind}" for kind in ("key", "index", "first", "every")),
    *(f"| {name}" for name in NAMES),
    *(f"{name}({number})" for name, function in FUNCTIONS.items() for number in range(function.most)),
]


@pytest.mark.parametrize("place", PLACES)
def test_blank_null_no_zero_and_the_empty_list_go_through_every_operator(place: str) -> None:
    assert FIVE - MET.get(place, set()) == set()

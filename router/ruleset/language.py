"""The rule language: a value's text to something that reads an event. Compiled once, at load, to closures.

A text is a literal if it starts with a backslash, an expression if it starts with `.` or `$`, a template if it has a
hole `{.…}` or `{$…}`, else a literal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from router.ruleset.comparison import Reader
from router.ruleset.compile import Compiler
from router.ruleset.lexer import LanguageError
from router.ruleset.nodes import Compare, Ending, Expression, Fallback, Literal, Path, Tree
from router.ruleset.parser import parse
from router.ruleset.text import MAX_TEXT, text_of
from router.ruleset.values import (
    MAX_STEPS,
    MISSING,
    UNSET,
    Context,
    Exhausted,
    FailRule,
    SkipRule,
    Unusable,
    describe,
    is_blank,
    kind_of,
)

__all__ = [
    "MISSING",
    "UNSET",
    "Compiled",
    "Context",
    "FailRule",
    "LanguageError",
    "SkipRule",
    "compile_literal",
    "compile_value",
    "describe",
    "is_blank",
    "kind_of",
    "reader",
]

#: words that may end a value
ENDINGS: Final = frozenset({"unset", "skip", "fail"})
#: most holes of a template
MAX_HOLES: Final = 100
_HOLE: Final = re.compile(r"\{([.$][^}]*)\}")
_TOO_MUCH: Final = f"the template would become longer than {MAX_TEXT:,} characters"
_TOO_LONG: Final = f"stopped after {MAX_STEPS:,} steps"


@dataclass(slots=True)
class Compiled:
    """A value of a rule, ready to be read from events. Immutable by convention; safe to share between threads."""

    #: as written
    text: str
    #: the value (never blank), `MISSING` or `UNSET`; raises `SkipRule` or `FailRule` and nothing else
    run: Callable[[Context], Any]
    #: `literal`, `expression` or `template`
    kind: str
    #: the value of a literal (also a blank one), else `MISSING`
    literal: Any = MISSING
    #: paths outside brackets; those inside are in their step's `paths`
    paths: tuple[Path, ...] = ()
    #: comparisons outside brackets; those inside are in the step's `comparisons`
    comparisons: tuple[Compare, ...] = ()
    #: names of the tables it looks into
    tables: frozenset[str] = frozenset()
    #: the word at its end (of a template: of the first hole that has one), with its place
    ending: Ending | None = None
    #: which of `unset`, `skip`, `fail` may come out
    uses: frozenset[str] = frozenset()
    #: the syntax of an expression, of a template that of each hole
    trees: tuple[Tree, ...] = ()
    #: the tables it was compiled with
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def is_expression(self) -> bool:
        """Whether the text is an expression: no literal and no template."""
        return self.kind == "expression"

    @property
    def default(self) -> Literal | None:
        """The literal behind the last `else` of an expression."""
        root = self.trees[0].root if self.is_expression else None
        last = root.items[-1] if isinstance(root, Fallback) else None
        return last if isinstance(last, Literal) else None

    @property
    def headers(self) -> frozenset[str]:
        """Names of the headers it reads, lower case."""
        return frozenset(path.name for path in self.all_paths() if path.base == "header")

    @property
    def queries(self) -> frozenset[str]:
        """Names of the query parameters it reads."""
        return frozenset(path.name for path in self.all_paths() if path.base == "query")

    def all_paths(self) -> Iterator[Path]:
        """Every path, also those inside brackets, the outer ones first."""
        pending = list(self.paths)
        for path in pending:
            yield path
            for step in path.steps:
                pending += step.paths


def compile_value(
    text: str,
    *,
    tables: Mapping[str, Mapping[str, Any]],
    allow: frozenset[str] = ENDINGS,
    expression: bool = False,
) -> Compiled:
    """Compile one text. `allow` says which words may end it; `expression` makes it an expression whatever it starts
    with (`if:`). Raises `LanguageError` with the column in `text`, and nothing else."""
    if expression or text[:1] in {".", "$"}:
        return _expression(text, tables, allow)
    if text[:1] == "\\":
        return compile_literal(text[1:], text)
    if next(_holes(text), None) is not None:
        return _template(text, tables, allow & {"skip", "fail"})
    return compile_literal(text, text)


def _holes(text: str) -> Iterator[re.Match[str]]:
    """The holes of a template. Up to the last brace each `{.` is one: no time is lost on those that never end."""
    return _HOLE.finditer(text, 0, text.rfind("}") + 1)


def compile_literal(value: Any, text: str = "") -> Compiled:
    """A number, yes/no or text (or a list or map of these) that stands for itself; `text` is how it is written."""
    result = MISSING if is_blank(value) else value
    return Compiled(text or str(value), lambda context: result, "literal", value)


def reader(expression: Expression, tables: Mapping[str, Mapping[str, Any]]) -> Reader:
    """What reads one part of a compiled value, such as a side of a comparison: `(context, current value)` → value, None
    where it is missing. For checks that try parts on samples; `tables` are those the value was compiled with."""
    read = Compiler(tables).reader(expression)

    def bounded(context: Context, current: Any) -> Any:
        context.steps = MAX_STEPS
        try:
            return read(context, current)
        except Exhausted:
            return None

    return bounded


# --- expressions -----------------------------------------------------------------------------------------------------


def _expression(
    text: str,
    tables: Mapping[str, Mapping[str, Any]],
    allow: frozenset[str],
    start: int = 0,
    end: int | None = None,
) -> Compiled:
    """A part of a text as an expression; places are those in the whole text."""
    tree = parse(text, allow, start, len(text) if end is None else end)
    compiler = Compiler(tables)
    read = compiler.reader(tree.root)
    ending = tree.ending
    leave = None if ending is None else _leave(ending.word, text[start : ending.start])
    return Compiled(
        text,
        _plain_path(tree) or _runner(read, leave),
        "expression",
        tree.root.value if isinstance(tree.root, Literal) else MISSING,
        tree.paths,
        tree.comparisons,
        frozenset(compiler.tables),
        ending,
        frozenset() if ending is None else frozenset({ending.word}),
        (tree,),
        tables,
    )


def _leave(word: str, before: str) -> Callable[[], Any]:
    """What happens where all `before` the ending is blank."""
    if word == "unset":
        return lambda: UNSET
    reason = f"{' '.join(before.split()).removesuffix('else').rstrip()} is missing"
    kind = SkipRule if word == "skip" else FailRule

    def leave() -> Any:
        raise kind(reason)

    return leave


def _runner(read: Reader, leave: Callable[[], Any] | None) -> Callable[[Context], Any]:
    def run(context: Context) -> Any:
        context.steps = MAX_STEPS
        try:
            value = read(context, context.data)
        except Exhausted:
            context.note(_TOO_LONG)
            return MISSING
        if value is None or (type(value) is str and (not value or value.isspace())):
            return MISSING if leave is None else leave()
        return value

    return run


def _plain_path(tree: Tree) -> Callable[[Context], Any] | None:
    """The short way for what most rules consist of: a path of up to three keys and nothing else."""
    path = tree.root
    if tree.ending is not None or not isinstance(path, Path) or path.base not in {"dot", "root"}:
        return None
    names = [step.value for step in path.steps if step.kind == "key"]
    if len(names) != len(path.steps) or len(names) != 3:
        return None
    first, second, third = names

    def run(context: Context) -> Any:
        try:
            value = context.data[first][second][third]
        except (KeyError, TypeError):
            value = None
        if value is None or (type(value) is str and (not value or value.isspace())):
            return MISSING
        return value

    return run


# --- templates -------------------------------------------------------------------------------------------------------


def _template(text: str, tables: Mapping[str, Mapping[str, Any]], allow: frozenset[str]) -> Compiled:
    texts: list[str] = []
    holes: list[Compiled] = []
    position = 0
    for match in _holes(text):
        if len(holes) == MAX_HOLES:
            message = f"the template has more than {MAX_HOLES} holes"
            raise LanguageError("limit", message, start=match.start(), end=match.end())
        texts.append(text[position : match.start()])
        position = match.end()
        if (brace := match[1].find("{")) >= 0:
            place = match.start(1) + brace
            raise LanguageError("syntax", "there are no braces inside a hole", start=place, end=place + 1)
        hole = _expression(text, tables, allow, *match.span(1))
        holes.append(hole)
    texts.append(text[position:])
    return Compiled(
        text,
        _join(texts, [hole.run for hole in holes]),
        "template",
        MISSING,
        tuple(path for hole in holes for path in hole.paths),
        tuple(compare for hole in holes for compare in hole.comparisons),
        frozenset().union(*(hole.tables for hole in holes)),
        next((hole.ending for hole in holes if hole.ending is not None), None),
        frozenset().union(*(hole.uses for hole in holes)),
        tuple(tree for hole in holes for tree in hole.trees),
        tables,
    )


def _join(texts: list[str], holes: list[Callable[[Context], Any]]) -> Callable[[Context], Any]:
    """Holes, each between two texts, to one text; missing if all holes are."""
    most = MAX_TEXT - sum(map(len, texts))
    frame = "%s".join(text.replace("%", "%%") for text in texts)

    def run(context: Context) -> Any:
        made, left = [], most
        for hole in holes:
            value = hole(context)
            if type(value) is not str:
                value = _hole_text(value, context)
            made.append(value)
            left -= len(value)
            if left < 0:
                context.note(_TOO_MUCH)
                return MISSING
        return " ".join((frame % tuple(made)).split()) if any(made) else MISSING

    return run


def _hole_text(value: Any, context: Context) -> str:
    """What stands in place of a hole whose value is no text: nothing where there is none, or none that can be text."""
    if value is MISSING:
        return ""
    try:
        return text_of(value)
    except Unusable as error:
        context.note(error.reason)
        return ""

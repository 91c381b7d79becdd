"""The rule language: a value's text to something that reads an event. Compiled once, at load, to closures.

A text is a literal if it starts with a backslash, an expression if it starts with `.` or `$`, a template if it has a hole
`{.…}` or `{$…}`, else a literal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from router.ruleset.lexer import LanguageError
from router.ruleset.nodes import Compare, Ending, Expression, Path
from router.ruleset.values import MISSING, UNSET, Context, FailRule, SkipRule, describe, is_blank, kind_of

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
ENDINGS = frozenset({"unset", "skip", "fail"})


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

    @property
    def is_expression(self) -> bool:
        """Whether the text is an expression: no literal and no template."""
        return self.kind == "expression"

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
        raise NotImplementedError


def compile_value(
    text: str,
    *,
    tables: Mapping[str, Mapping[str, Any]],
    allow: frozenset[str] = ENDINGS,
    expression: bool = False,
) -> Compiled:
    """Compile one text. `allow` says which words may end it; `expression` makes it an expression whatever it starts
    with (`if:`). Raises `LanguageError` with the column in `text`, and nothing else."""
    raise NotImplementedError


def compile_literal(value: Any) -> Compiled:
    """A number, yes/no, text (or a list or map of these) that stands for itself."""
    raise NotImplementedError


def reader(expression: Expression) -> Callable[[Context, Any], Any]:
    """What reads one part of a compiled value, such as a side of a comparison: `(context, current value)` → value, None
    where it is missing. For checks that try parts on samples."""
    raise NotImplementedError

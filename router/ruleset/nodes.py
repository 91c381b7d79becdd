"""The syntax tree of an expression. Offsets count characters from 0 within the text that was parsed; those of a part
leave out the parentheses round it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(slots=True)
class Literal:
    """A number, text, yes or no."""

    value: Any
    start: int
    end: int


@dataclass(slots=True)
class Step:
    """One step of a path."""

    #: `key`, `index`, `first` (`[condition]`), `every` (`[]`, `[all condition]`)
    kind: str
    #: the name of a key, the number of an index, else None
    value: Any
    #: of the name without its dot, or of the bracket
    start: int
    end: int
    condition: Expression | None = None
    #: paths in the condition; their base `.` is the element
    paths: tuple[Path, ...] = ()
    #: comparisons in the condition
    comparisons: tuple[Compare, ...] = ()


@dataclass(slots=True)
class Path:
    """Something read from the event."""

    #: `dot` (the current value), `root` (the event), `event`, `header`, `query`, `source`
    base: str
    #: of `event`, `header`, `query`: the name read; else empty
    name: str
    steps: tuple[Step, ...]
    start: int
    end: int
    #: as written
    text: str


@dataclass(slots=True)
class ListOf:
    items: list[Expression]
    start: int
    end: int


@dataclass(slots=True)
class Call:
    """A function in a pipe; `start` and `end` are its name's."""

    name: str
    arguments: list[Expression]
    start: int
    end: int
    #: where its arguments end
    close: int


@dataclass(slots=True)
class Pipe:
    value: Expression
    calls: list[Call]
    start: int
    end: int


@dataclass(slots=True)
class Compare:
    operator: str
    left: Expression
    right: Expression
    start: int
    end: int
    #: offset of the operator
    at: int


@dataclass(slots=True)
class Exists:
    item: Expression
    start: int
    end: int


@dataclass(slots=True)
class Not:
    item: Expression
    start: int
    end: int


@dataclass(slots=True)
class And:
    items: list[Expression]
    start: int
    end: int


@dataclass(slots=True)
class Or:
    items: list[Expression]
    start: int
    end: int


@dataclass(slots=True)
class Fallback:
    """`a else b`."""

    items: list[Expression]
    start: int
    end: int


Expression: TypeAlias = Literal | Path | ListOf | Pipe | Compare | Exists | Not | And | Or | Fallback


@dataclass(slots=True)
class Ending:
    """`unset`, `skip` or `fail` at the very end of a value; offsets are the word's."""

    word: str
    start: int
    end: int


@dataclass(slots=True)
class Tree:
    """A whole expression."""

    root: Expression
    ending: Ending | None
    #: outside brackets, in order
    paths: tuple[Path, ...]
    #: outside brackets, in order
    comparisons: tuple[Compare, ...]

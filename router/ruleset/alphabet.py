"""Characters that stand for all others in a pattern."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterable, Iterator
from re import _constants  # type: ignore[attr-defined]  # the names in a parsed pattern have no public place
from typing import Any, Final

REPEATS: Final = frozenset({_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT})

_ASCII: Final = "".join(map(chr, range(128)))
#: beyond ASCII a letter, a digit, white space, a sign, and what is a letter of ASCII where case is ignored
_BEYOND: Final = "é٣\xa0—İıſ\u212a"
#: all characters from there on are signs; from there on, none has a case
_SIGNS: Final = 0x40000
_NO_CASE: Final = 0x20000


def alphabet_of(tree: Any) -> str:
    """Characters that stand for all: whatever character, one of these is read at the same places of the pattern."""
    named = {point + step for point in _named(tree) for step in (0, 1)}
    if all(point <= len(_ASCII) for point in named):
        return _ASCII + _BEYOND
    return "".join(sorted({*_ASCII, *_every_kind(), *(chr(point) for point in named if point <= sys.maxunicode)}))


def _named(items: Iterable[Any]) -> Iterator[int]:
    """The code points that are written in a pattern."""
    for kind, argument in items:
        if kind in {_constants.LITERAL, _constants.NOT_LITERAL}:
            yield argument
        elif kind is _constants.RANGE:
            yield from argument
        elif kind in {_constants.IN, _constants.ATOMIC_GROUP}:
            yield from _named(argument)
        elif kind is _constants.SUBPATTERN:
            yield from _named(argument[3])
        elif kind in REPEATS:
            yield from _named(argument[2])
        elif kind is _constants.BRANCH:
            for branch in argument[1]:
                yield from _named(branch)


@functools.cache
def _every_kind() -> str:
    """The first character of each run of digits, other letters, white space and signs; and all that have a case."""
    every = "".join(map(chr, range(_SIGNS + 1)))
    first = "".join(run[0][0] for run in re.finditer(r"\d+|[^\W\d]+|\s+|[^\w\s]+", every))
    return first + "".join(one for one in every[:_NO_CASE] if one.lower() != one or one.upper() != one)

"""Which name was meant: hints for words that are misspelled."""

from __future__ import annotations

import difflib
import functools
import heapq
from collections.abc import Iterable
from typing import Final

#: names that a misspelled one is compared with, and that a hint lists
_MANY: Final = 12
#: how like a word a name is that was meant, of 1
_LIKE: Final = 0.7


def nearest(word: str, allowed: Iterable[str], *, like: float = _LIKE) -> str:
    """A hint: `did you mean 'x'?`, else the allowed names if at most twelve, else nothing."""
    names = _in_order(allowed)
    if near := _closest(word, names, like):
        return f"did you mean {near!r}?"
    return f"one of {', '.join(names)}" if 0 < len(names) <= _MANY else ""


def closest(word: str, names: Iterable[str], *, like: float = _LIKE) -> str:
    """The name that is most like the word; empty if none is at least as `like` it (0 to 1)."""
    return _closest(word, _in_order(names), like)


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names) if isinstance(names, (set, frozenset)) else names)


@functools.lru_cache(1_000)
def _closest(word: str, names: tuple[str, ...], like: float) -> str:
    if len(names) > _MANY:  # comparing takes long: those of the same letters are the likeliest
        letters = set(word)
        names = tuple(heapq.nsmallest(_MANY, names, key=lambda name: len(letters.symmetric_difference(name))))
    return next(iter(difflib.get_close_matches(word, names, 1, like)), "")

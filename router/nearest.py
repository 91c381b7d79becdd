"""Which name was meant: hints for words that are misspelled."""

from __future__ import annotations

import difflib
import functools
import heapq
from collections.abc import Collection, Iterable
from typing import Final

#: names that a misspelled one is compared with, and that a hint lists
_MANY: Final = 12
#: how like a word a name is that was meant, of 1: one with the same first letter, which few get wrong, and any
_BEGINS_ALIKE: Final = 0.6
_LIKE: Final = 0.7
#: letters that a name has at least, of which one may be wrong
_SHORT: Final = 6


def nearest(word: str, allowed: Iterable[str], *, like: float | None = None) -> str:
    """A hint: `did you mean 'x'?`, else the allowed names if at most twelve, else nothing; `like` as in `closest`."""
    names = _in_order(allowed)
    if near := _closest(word, names, like):
        return f"did you mean {near!r}?"
    return f"one of {', '.join(names)}" if 0 < len(names) <= _MANY else ""


def closest(word: str, names: Iterable[str], *, like: float | None = None) -> str:
    """The name that is most like the word; empty if none is at least as `like` it (0 to 1). None: 0.7, and 0.6 if it
    begins with the same letter."""
    return _closest(word, _in_order(names), like)


def suggestion(word: str, names: Collection[str], *, listed: bool = False) -> str:
    """What goes on after `no source 'y'; `: `did you mean 'x'?`, else all names, as in `there are a, b`; `listed`: they
    follow in any case."""
    near, known = closest(word, names, like=0.6), there_are(names)
    if not near:
        return known
    return f"did you mean {near!r}?" + (f" T{known[1:]}" if listed else "")


def there_are(names: Collection[str]) -> str:
    """`there are a, b`, `there is a`, `there is none`."""
    return f"there {'is' if len(names) < 2 else 'are'} {', '.join(names) or 'none'}"


def is_slip(word: str, name: str) -> bool:
    """Whether a word is a name with one letter too many, too few or another, or with two in each other's place. Another
    digit makes another name, and in short ones another letter does."""
    if word == name or len(word) < _SHORT:
        return False
    short, long = sorted((word.lower(), name.lower()), key=len)
    at = next((index for index, letter in enumerate(short) if letter != long[index]), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :] and not long[at].isdecimal()
    swapped = short[at + 1 : at + 2] + short[at : at + 1]
    if swapped == long[at : at + 2] and short[at + 2 :] == long[at + 2 :]:
        return True
    return short[at + 1 :] == long[at + 1 :] and not (short[at].isdecimal() or long[at].isdecimal())


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names) if isinstance(names, (set, frozenset)) else names)


@functools.lru_cache(1_000)
def _closest(word: str, names: tuple[str, ...], like: float | None) -> str:
    if len(names) > _MANY:  # comparing takes long: those of the same letters are the likeliest
        letters = set(word)
        names = tuple(heapq.nsmallest(_MANY, names, key=lambda name: len(letters.symmetric_difference(name))))
    if like is not None:
        return next(iter(difflib.get_close_matches(word, names, 1, like)), "")
    sure = frozenset(difflib.get_close_matches(word, names, _MANY, _LIKE))
    near = difflib.get_close_matches(word, names, _MANY, _BEGINS_ALIKE)
    return next((name for name in near if name in sure or name[:1] == word[:1]), "")

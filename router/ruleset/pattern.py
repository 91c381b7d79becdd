"""Patterns of `extract`: the part of Python's regular expressions whose worst case is bounded.

Python's matcher goes back over its choices, so what a pattern may cost is the product of the choices in it. They are
counted on the tree that `re` itself parses: no repeat inside a repeat but where the choices stay few, at most two open
repeats, no lookaround, no backreference.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from re import _constants, _parser  # type: ignore[attr-defined]  # the parser behind re.compile has no public name
from typing import Any, Final

#: characters of a pattern
MAX_PATTERN: Final = 200
#: characters of a text that are searched
MAX_INPUT: Final = 256
#: a repeat without an upper bound, or with one above this, is open
_OPEN_ABOVE: Final = 16
_MAX_OPEN: Final = 2
#: most tries of one search; each takes about 2.5 ns (measured, Python 3.11)
_MAX_TRIES: Final = 100_000_000
#: how much longer a try takes where a group is repeated, not a character: open, bounded
_OPEN_GROUP: Final = 4
_BOUNDED_GROUP: Final = 8
#: tries that count as one step of an evaluation
_TRIES_PER_STEP: Final = 5_000

_LEAVES: Final = frozenset(
    {_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN, _constants.AT, _constants.CATEGORY}
)
_REPEATS: Final = frozenset({_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT})
_LOOKS: Final = frozenset({_constants.ASSERT, _constants.ASSERT_NOT})


class PatternError(Exception):
    """A pattern that is no pattern, or may cost too much. The message is for the author of the rule."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(slots=True)
class Pattern:
    """A compiled pattern, and what a search may cost."""

    regex: re.Pattern[str]
    open_repeats: int
    choices: int

    def search(self, text: str) -> str | None:
        """The first group, else the whole match, in the first 256 characters; None without a match."""
        match = self.regex.search(text[:MAX_INPUT])
        return None if match is None else match.group(1 if self.regex.groups else 0)

    def steps(self, text: str) -> int:
        """Steps to count for a search in this text."""
        return 1 + self.tries(text) // _TRIES_PER_STEP

    def tries(self, text: str) -> int:
        """Bound of the tries of a search in this text."""
        return _tries(min(len(text), MAX_INPUT), self.open_repeats, self.choices)


def compile_pattern(text: str) -> Pattern:
    """Compile a pattern. Raises `PatternError`."""
    if len(text) > MAX_PATTERN:
        raise PatternError(f"a pattern has at most {MAX_PATTERN} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree, regex = _parser.parse(text), re.compile(text)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise PatternError(f"this is no pattern: {getattr(error, 'msg', error)}") from error
    counter = _Counter()
    choices = counter.sequence(tree, in_repeat=False)
    if _tries(MAX_INPUT, counter.open_repeats, choices) > _MAX_TRIES:
        raise PatternError("the pattern has too many optional parts: a search could take too long")
    return Pattern(regex, counter.open_repeats, choices)


def _tries(length: int, open_repeats: int, choices: int) -> int:
    """Bound of the tries of one search: every start, every way to share the text between the open repeats."""
    return int(length ** (1 + open_repeats) // math.factorial(1 + open_repeats)) * choices


class _Counter:
    """Counts the choices of a pattern's tree. Numbers of choices are cut off, they only need to be too large."""

    def __init__(self) -> None:
        self.open_repeats = 0

    def sequence(self, items: Any, *, in_repeat: bool) -> int:
        choices = 1
        for operator, argument in items:
            choices = min(choices * self._item(operator, argument, in_repeat), _MAX_TRIES + 1)
        return choices

    def _item(self, operator: Any, argument: Any, in_repeat: bool) -> int:
        if operator in _LEAVES:
            return 1
        if operator in _REPEATS:
            return self._repeat(*argument, in_repeat=in_repeat)
        if operator is _constants.SUBPATTERN:
            return self.sequence(argument[3], in_repeat=in_repeat)
        if operator is _constants.ATOMIC_GROUP:
            return self.sequence(argument, in_repeat=in_repeat)
        if operator is _constants.BRANCH:
            if in_repeat:
                raise PatternError("alternatives of more than one character are not allowed inside a repeat")
            return sum(self.sequence(branch, in_repeat=in_repeat) for branch in argument[1])
        if operator in _LOOKS:
            raise PatternError("lookahead and lookbehind are not allowed in a pattern")
        raise PatternError("backreferences are not allowed in a pattern")

    def _repeat(self, least: int, most: int, body: Any, *, in_repeat: bool) -> int:
        is_open = most > _OPEN_ABOVE
        if is_open and in_repeat:
            raise PatternError("nested repeats are not allowed in a pattern")
        self.open_repeats += is_open
        if self.open_repeats > _MAX_OPEN:
            hint = f"give them a bound of at most {_OPEN_ABOVE}, as in [0-9]{{1,2}}"
            raise PatternError(f"a pattern has at most {_MAX_OPEN} open repeats such as * and +", hint)
        # `?` round something is a choice, no repeat
        inner = self.sequence(body, in_repeat=in_repeat or most > 1)
        is_leaf = len(body) == 1 and body[0][0] in _LEAVES
        if is_open:
            if inner > 1:
                raise PatternError("nested repeats are not allowed in a pattern")
            return 1 if is_leaf else _OPEN_GROUP
        ways: int = sum(min(inner, _MAX_TRIES) ** times for times in range(least, most + 1))
        return ways if is_leaf or most == 1 or ways == 1 else ways * _BOUNDED_GROUP

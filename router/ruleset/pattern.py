"""Patterns of `extract`: the part of Python's regular expressions whose worst case is bounded.

Python's matcher goes back over its choices, so what a pattern may cost is the product of the choices in it. No repeat
inside a repeat but where the choices stay few, at most two open repeats, no lookaround, no backreference; of what is
left, the worst case is counted.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # what re.compile does has no public name
from typing import Any, Final

from router.ruleset.alphabet import REPEATS
from router.ruleset.search_cost import LEAVES, MAX_INPUT, OPEN_ABOVE, Cost, cost_of

#: characters of a pattern
MAX_PATTERN: Final = 200
_MAX_OPEN: Final = 2
#: tries of one search, at most; each takes up to 2.5 ns (measured, Python 3.11), so that is 10 ms
MAX_TRIES: Final = 4_000_000
#: tries that count as one step of an evaluation; that is 1 µs
TRIES_PER_STEP: Final = 400

_LOOKS: Final = frozenset({_constants.ASSERT, _constants.ASSERT_NOT})
_ANY: Final = [(_constants.ANY, None)]


class PatternError(Exception):
    """A pattern that is no pattern, or may cost too much. The message is for the author of the rule."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(slots=True)
class Pattern:
    """A compiled pattern, and what a search may cost."""

    regex: re.Pattern[str]
    cost: Cost

    def match(self, text: str) -> re.Match[str] | None:
        """The first match in the first 256 characters."""
        return self.regex.search(text[:MAX_INPUT])

    def value(self, match: re.Match[str]) -> str | None:
        """The first group of a match, None where it is no part of it; without groups the whole."""
        return match[1 if self.regex.groups else 0]

    def steps(self, text: str) -> int:
        """Steps to count for a search in this text."""
        return 1 + self.tries(text) // TRIES_PER_STEP

    def tries(self, text: str) -> int:
        """Bound of the tries of a search in a text of this length."""
        return int(self.cost.at(min(len(text), MAX_INPUT)))


def compile_pattern(text: str) -> Pattern:
    """Compile a pattern. Raises `PatternError`."""
    if len(text) > MAX_PATTERN:
        raise PatternError(f"a pattern has at most {MAX_PATTERN} characters")
    try:
        tree, start = parse_pattern(text)
        regex = _compiler.compile(tree)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise PatternError(f"this is no pattern: {getattr(error, 'msg', error)}") from error
    _Rules().sequence(tree, in_repeat=False)
    cost = cost_of(tree, regex.flags, start)
    if cost.at(MAX_INPUT) > MAX_TRIES:
        raise PatternError("the pattern has too many optional parts: a search could take too long")
    return Pattern(regex, cost)


def parse_pattern(text: str) -> tuple[Any, Any]:
    """A pattern's tree, and where a match may begin: `AT_BEGINNING_STRING`, `AT_BEGINNING_LINE` or None for anywhere.
    Raises what `re.compile` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = _parser.parse(text)
    start = _start(tree, tree.state.flags)
    if start is not None:
        # what begins with `.*` and does not match at the beginning of a line does not match later in it
        tree.insert(0, (_constants.AT, start))
    return tree, start


def _start(items: Any, flags: int) -> Any:
    """Where a match may begin, as the first item says."""
    if not len(items):
        return None
    kind, argument = items[0]
    line: Any = None
    if kind is _constants.AT:
        line = {_constants.AT_BEGINNING: flags & re.MULTILINE, _constants.AT_BEGINNING_STRING: False}.get(argument)
    elif kind in {_constants.MAX_REPEAT, _constants.MIN_REPEAT}:
        _, most, body = argument
        if most is _constants.MAXREPEAT and list(body) == _ANY:
            line = not flags & re.DOTALL
    elif kind is _constants.SUBPATTERN:
        return _start(argument[3], _compiler._combine_flags(flags, *argument[1:3]))
    return None if line is None else _constants.AT_BEGINNING_LINE if line else _constants.AT_BEGINNING_STRING


class _Rules:
    """What a pattern may not have."""

    def __init__(self) -> None:
        self._open_repeats = 0

    def sequence(self, items: Any, *, in_repeat: bool) -> bool:
        """Whether there are choices in it. Raises `PatternError`."""
        choices = [self._item(kind, argument, in_repeat) for kind, argument in items]
        return any(choices)

    def _item(self, kind: Any, argument: Any, in_repeat: bool) -> bool:
        if kind in LEAVES or kind is _constants.AT:
            return False
        if kind in REPEATS:
            return self._repeat(*argument, in_repeat=in_repeat)
        if kind is _constants.SUBPATTERN:
            return self.sequence(argument[3], in_repeat=in_repeat)
        if kind is _constants.ATOMIC_GROUP:
            return self.sequence(argument, in_repeat=in_repeat)
        if kind is _constants.BRANCH:
            if in_repeat:
                raise PatternError("alternatives of more than one character are not allowed inside a repeat")
            for branch in argument[1]:
                self.sequence(branch, in_repeat=in_repeat)
            return True
        if kind in _LOOKS:
            raise PatternError("lookahead and lookbehind are not allowed in a pattern")
        raise PatternError("backreferences are not allowed in a pattern")

    def _repeat(self, least: int, most: int, body: Any, *, in_repeat: bool) -> bool:
        is_open = most > OPEN_ABOVE
        if is_open and in_repeat:
            raise PatternError("nested repeats are not allowed in a pattern")
        self._open_repeats += is_open
        if self._open_repeats > _MAX_OPEN:
            hint = f"give them a bound of at most {OPEN_ABOVE}, as in [0-9]{{1,2}}"
            raise PatternError(f"a pattern has at most {_MAX_OPEN} open repeats such as * and +", hint)
        # `?` round something is a choice, no repeat
        has_choices = self.sequence(body, in_repeat=in_repeat or most > 1)
        if is_open and has_choices:
            raise PatternError("nested repeats are not allowed in a pattern")
        return has_choices or least != most

"""What a search may cost at most: the tries of a matcher that goes back over its choices, on the worst text.

A pattern, its repeats written out, is places, each a test of one character, and ways between them. A search is all the
walks along these ways that the text lets. How many walks are at a place after `t` characters is a polynomial in `t`.
They have all read the same text, so walks through places with no character in common are not there at once: that is
why `[a-z]+ [a-z]+!` is cheap and `[a-z]*[a-z]*!` is not.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # what re.compile does has no public name
from typing import Any, Final

from router.ruleset.alphabet import REPEATS, alphabet_of

#: characters of a text that are searched
MAX_INPUT: Final = 256
#: a repeat without an upper bound, or with one above this, is open
OPEN_ABOVE: Final = 16

LEAVES: Final = frozenset({_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN})

#: parts of a pattern and ways between them, repeats written out; a pattern with more is not counted
_MAX_PARTS: Final = 10_000
#: characters before a place that are remembered
_MEMORY: Final = 32
#: ways from one place to another are counted up to here
_MANY: Final = 10**9
#: what it costs to go on, in tries: behind a repeated character, behind one that is repeated as little as possible, and
#: behind each round of a repeated group. So weighed, a try takes up to 2.5 ns (measured, Python 3.11)
_AFTER_CHARACTER: Final = 1
_AFTER_FEW: Final = 2
_AFTER_GROUP: Final = 10
#: members of a set that are compared in one try; of categories, one
_COMPARED: Final = 4
#: what looks for letters takes longer
_WORDS: Final = frozenset({_constants.CATEGORY_WORD, _constants.CATEGORY_NOT_WORD})
_WORD_ENDS: Final = frozenset({_constants.AT_BOUNDARY, _constants.AT_NON_BOUNDARY})


@dataclass(frozen=True, slots=True)
class Cost:
    """Bound of the tries of one search."""

    #: coefficients of 1, t and t²/2: tries at the `t`-th character
    tries: tuple[float, ...]

    def at(self, length: int) -> float:
        """Tries in a text of so many characters."""
        total = 2.0 * (length + 1)
        for degree, tries in enumerate(self.tries):
            power = length**degree / math.factorial(degree)
            total += tries * (power + power * length / (degree + 1))
        return total


def cost_of(tree: Any, flags: int, start: Any) -> Cost:
    """The cost of a parsed pattern. Open repeats, at most two on one way, repeat what has no choices. Where a match may
    begin says `start`: `AT_BEGINNING_STRING`, `AT_BEGINNING_LINE` or None for anywhere."""
    places = _Places(alphabet_of(tree), start)
    try:
        whole = places.then(places.begin, places.sequence(tree, flags))
    except _TooManyParts:
        return Cost((math.inf,))
    return Cost(tuple(_Walks(places, whole.free).tries()))


# --- from a tree to places -------------------------------------------------------------------------------------------


class _TooManyParts(Exception):
    """A pattern that, written out, is too large."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a pattern: how it is entered and left."""

    #: place → ways to it from the entry
    first: dict[int, int]
    #: place → ways from it to the exit
    last: dict[int, int]
    #: ways from the entry to the exit
    empty: int
    #: tries from the entry on, up to each next character or the exit
    tries: float
    #: places from which there is a way to the exit whatever the text is
    free: frozenset[int] = frozenset()
    #: there is one from the entry
    is_free: bool = False


def _only_tries(tries: float) -> _Part:
    return _Part({}, {}, 1, tries, is_free=True)


@dataclass(frozen=True, slots=True)
class _Round:
    """What an open repeat does again."""

    #: first place of the round before it
    before: int
    #: places of a round
    length: int
    #: rounds that may follow the one before
    most: int


class _Places:
    """The places of a pattern. At place 0 a match begins."""

    def __init__(self, alphabet: str, start: Any) -> None:
        self._alphabet = alphabet
        self._known: dict[str, int] = {}
        self._parts = 0
        #: place → the characters that it reads, a bit for each of the alphabet
        self.characters: list[int] = []
        #: place → place before it → ways between them
        self.before: list[dict[int, int]] = []
        #: place → tries behind it, up to each next character
        self.tries: list[float] = []
        #: first place of a round → that round
        self.rounds: dict[int, _Round] = {}
        # what stands before the text is a character of its own, and place 0 reads what stands before a match
        outside = 1 << len(alphabet)
        line = outside | 1 << alphabet.index("\n")
        before = {_constants.AT_BEGINNING_STRING: outside, _constants.AT_BEGINNING_LINE: line}
        self.begin = self._place(before.get(start, 2 * outside - 1), 0)

    def _place(self, characters: int, tries: float) -> _Part:
        place = len(self.characters)
        self.characters.append(characters)
        self.before.append({})
        self.tries.append(0)
        return _Part({place: 1}, {place: 1}, 0, tries, frozenset({place}))

    def sequence(self, items: Iterable[Any], flags: int) -> _Part:
        """One item after the other. Raises `_TooManyParts`."""
        whole = _only_tries(0)
        for kind, argument in items:
            whole = self.then(whole, self._item(kind, argument, flags))
        return whole

    def _item(self, kind: Any, argument: Any, flags: int) -> _Part:
        self._count_part()
        if kind in LEAVES:
            return self._place(self._read_by(kind, argument, flags), _tries_of(kind, argument, flags))
        if kind in REPEATS:
            least, most, body = argument
            is_character = len(body) == 1 and body[0][0] in LEAVES
            few = _AFTER_FEW if kind is _constants.MIN_REPEAT else _AFTER_CHARACTER
            return self._repeat(least, most, body, flags, few if is_character else _AFTER_GROUP)
        if kind is _constants.SUBPATTERN:
            _, more, less, items = argument
            return self.then(_only_tries(1), self.sequence(items, _compiler._combine_flags(flags, more, less)))
        if kind is _constants.ATOMIC_GROUP:
            group = self.then(_only_tries(_AFTER_GROUP), self.sequence(argument, flags))
            return self.then(group, _only_tries(_AFTER_GROUP))
        if kind is _constants.BRANCH:
            return _either([self.sequence(items, flags) for items in argument[1]])
        # a place in the text, such as $
        return _Part({}, {}, 1, 4 if argument in _WORD_ENDS else 1)

    def _read_by(self, kind: Any, argument: Any, flags: int) -> int:
        """The characters of the alphabet that a leaf reads, as bits."""
        key = f"{kind} {argument} {flags}"
        if key not in self._known:
            state = _parser.State()
            state.flags = flags
            leaf = _compiler.compile(_parser.SubPattern(state, [(kind, argument)]))
            self._known[key] = sum(1 << found.start() for found in leaf.finditer(self._alphabet))
        return self._known[key]

    def then(self, one: _Part, two: _Part) -> _Part:
        """One part after the other. Raises `_TooManyParts`."""
        for place, ways in one.last.items():
            self.tries[place] += ways * two.tries
            for following, more in two.first.items():
                self._count_part()
                self.before[following][place] = min(_MANY, ways * more)
        return _Part(
            one.first | _times(two.first, one.empty),
            two.last | _times(one.last, two.empty),
            min(_MANY, one.empty * two.empty),
            one.tries + one.empty * two.tries,
            two.free | one.free if two.is_free else two.free,
            one.is_free and two.is_free,
        )

    def _repeat(self, least: int, most: int, body: Any, flags: int, after: int) -> _Part:
        """A repeat, written out. Behind each round it takes so many tries to go on."""
        is_open = OPEN_ABOVE < most != least
        written = max(least, 1) if is_open else most
        whole = _only_tries(after)
        last: dict[int, int] = {}
        empty, free, is_free = int(not least), frozenset[int](), not least
        begin = 0
        for time in range(1, 1 + min(written, MAX_INPUT + 1)):
            begin = len(self.characters)
            once = self.sequence(body, flags)
            if not once.first:
                return _repeat_nothing(once, least, most, after)
            whole = self.then(self.then(whole, once), _only_tries(after))
            if time >= least:
                last = _sum(last, whole.last)
                empty += whole.empty
                free |= whole.free
                is_free = is_free or whole.is_free
        if is_open:
            again = self.sequence(body, flags)
            self.then(whole, again)
            (entry,) = again.first
            self.rounds[entry] = _Round(begin, len(self.characters) - entry, most - written)
            # and so on: behind the round it begins again
            again = self.then(again, _only_tries(again.tries + after))
            last |= again.last
            free |= again.free
        return _Part(whole.first, last, min(_MANY, empty), whole.tries, free, is_free)

    def _count_part(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise _TooManyParts


def _repeat_nothing(once: _Part, least: int, most: int, after: int) -> _Part:
    """A repeat of what reads no character: it is done as often as it must be, and once more if it may be."""
    most = least + (most > least)
    at_least, at_most = (min(_MANY, once.empty ** min(rounds, 30)) for rounds in (least, most))
    empty = at_most if most == least else min(_MANY, at_least + at_most)
    times = most + 1 if once.empty == 1 else 2 * at_most
    return _Part({}, {}, empty, times * (once.tries + after), is_free=not least or once.is_free)


def _either(parts: Sequence[_Part]) -> _Part:
    """Alternatives."""
    return _Part(
        {place: ways for part in parts for place, ways in part.first.items()},
        {place: ways for part in parts for place, ways in part.last.items()},
        min(_MANY, sum(part.empty for part in parts)),
        sum(1 + part.tries for part in parts),
        frozenset().union(*(part.free for part in parts)),
        any(part.is_free for part in parts),
    )


def _tries_of(kind: Any, argument: Any, flags: int) -> int:
    """Tries of one test of a character."""
    tries = 2 if flags & re.IGNORECASE else 1
    if kind is not _constants.IN:
        return tries
    categories = [argument for kind, argument in argument if kind is _constants.CATEGORY]
    words = sum(category in _WORDS for category in categories)
    return tries + (len(argument) - len(categories)) // _COMPARED + len(categories) + words


def _times(ways: dict[int, int], times: int) -> dict[int, int]:
    return {place: min(_MANY, each * times) for place, each in ways.items()} if times else {}


def _sum(one: dict[int, int], two: dict[int, int]) -> dict[int, int]:
    return one | {place: min(_MANY, ways + one.get(place, 0)) for place, ways in two.items()}


# --- from places to walks --------------------------------------------------------------------------------------------


class _Walks:
    """How many walks are at each place, as coefficients of 1, t and t²/2."""

    def __init__(self, places: _Places, free: frozenset[int]) -> None:
        self._places = places
        self._characters = places.characters
        self._kinds = _kinds(self._characters)
        self._counts: list[Sequence[float]] = []
        #: place → what walks there have read: the last character, the one before, and so on
        self._memory: list[Sequence[int]] = []
        for place, before in enumerate(places.before):
            self._memory.append(self._read(place))
            if not place or place in free:
                # at each character one match begins; and the walk that first comes where nothing can fail is the last
                self._counts.append((1, 0, 0))
            elif place in places.rounds:
                self._counts.append(self._again(places.rounds[place]))
            else:
                self._counts.append(self._together(before.items()))

    def tries(self) -> Sequence[float]:
        """What all walks take at one character."""
        return self._together(enumerate(self._places.tries))

    def _together(self, places: Iterable[tuple[int, float]]) -> Sequence[float]:
        """The walks at some places, each so many times; of places that read different characters, those with more."""
        sums: dict[int, list[float]] = {}
        for place, times in places:
            total = sums.setdefault(self._characters[place], [0.0, 0.0, 0.0])
            for degree, walks in enumerate(self._counts[place]):
                total[degree] += times * walks
        most = [0.0, 0.0, 0.0]
        for kind in self._kinds:
            for degree in range(3):
                most[degree] = max(most[degree], sum(total[degree] for read, total in sums.items() if read & kind))
        return most

    def _read(self, place: int) -> Sequence[int]:
        here = self._characters[place]
        if place in self._places.rounds:
            return [here, *self._body(self._places.rounds[place])]
        before = [self._memory[each] for each in self._places.before[place]]
        return [here, *(functools.reduce(operator.or_, each) for each in zip(*before, strict=False))][:_MEMORY]

    def _body(self, again: _Round) -> list[int]:
        """What a round reads, the last character first."""
        return self._characters[again.before : again.before + again.length][::-1]

    def _again(self, again: _Round) -> Sequence[float]:
        """The walks that begin one more round: all that came to the repeat at one time or another and are in it yet."""
        total = [0.0, 0.0, 0.0]
        body = self._body(again)
        for place, ways in self._places.before[again.before].items():
            apart, at_once = _apart([*body, *self._memory[place]], body)
            at_once = min(at_once, (again.most * again.length - 1) // apart + 1)
            for degree, walks in enumerate(self._counts[place]):
                if at_once * apart * (degree + 1) <= MAX_INPUT:
                    total[degree] += ways * walks * at_once
                elif walks:
                    total[degree] += ways * walks
                    total[degree + 1] += ways * walks / apart
        return total


def _apart(read: Sequence[int], body: Sequence[int]) -> tuple[int, float]:
    """Walks come to a repeat of `body` having read its first round and what stands before; the last character comes
    first. How many characters, at least, are those apart that can be in the repeat at once, and how many can be?"""

    def possible(apart: int) -> bool:
        # what one reads on its way to the repeat, the other reads in the repeat or as far apart on its way
        return all(
            characters & (body[back % len(body)] if back < apart else read[back - apart])
            for back, characters in enumerate(read)
        )

    far = math.ceil(len(read) / len(body)) * len(body)
    near = [apart for apart in range(len(body), far, len(body)) if possible(apart)]
    return (near or [far])[0], math.inf if possible(far) else 1 + len(near)


def _kinds(places: Iterable[int]) -> list[int]:
    """Sets of characters that are read at the same places."""
    kinds = [functools.reduce(operator.or_, places)]
    for characters in set(places):
        kinds = [part for kind in kinds for part in (kind & characters, kind & ~characters) if part]
    return kinds

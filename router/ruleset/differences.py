"""What a test expected beside what came out: key by key, each with its place in the test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from router.profile.registers import same_value
from router.ruleset.times import instant_of
from router.ruleset.values import MISSING, Unusable

#: keys and indexes below the test, as in `expect`, `crm`, 0, `attributes`
Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One key that is not as expected. `MISSING` where one side has nothing."""

    #: as in `engagelab[0].properties.plan`
    path: str
    expected: Any
    actual: Any
    #: where it is expected; what is not expected has the place where it would be
    place: Place
    #: the value of the rule that made it, as written
    origin: str = ""
    #: both sides are words, not JSON
    words: bool = False

    def __str__(self) -> str:
        expected, actual = (each if self.words else _shown(each) for each in (self.expected, self.actual))
        return f"{self.path}: expected {expected}, got {actual}"

    def lines(self) -> Iterator[str]:
        """As a diff."""
        origin = f"       ← {self.origin}" if self.origin else ""
        for sign, value, after in (("-", self.expected, ""), ("+", self.actual, origin)):
            if value is not MISSING:
                yield f"{sign} {self.path}: {value if self.words else _shown(value)}{after}"


class Moment(str):
    """A time, as text: however it is spelled, it is the same."""

    __slots__ = ()

    def is_meant(self, expected: Any) -> bool:
        """Whether another text says the same time."""
        try:
            return isinstance(expected, str) and str(instant_of(expected, "UTC")) == self
        except Unusable:
            return False


def compare(path: str, place: Place, expected: Any, actual: Any) -> Iterator[Difference]:
    """Key by key; the order of keys does not matter, that of lists does."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in [*expected, *(key for key in actual if key not in expected)]:
            wanted, found = expected.get(key, MISSING), actual.get(key, MISSING)
            yield from compare(f"{path}.{key}", (*place, key), wanted, found)
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, (wanted, found) in enumerate(zip(expected, actual, strict=True)):
            yield from compare(f"{path}[{index}]", (*place, index), wanted, found)
    elif not same_value(expected, actual) and not (isinstance(actual, Moment) and actual.is_meant(expected)):
        yield Difference(path, expected, actual, place)


def _shown(value: Any) -> str:
    return "nothing" if value is MISSING else json.dumps(value, ensure_ascii=False)

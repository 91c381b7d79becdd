"""Types of events: those that a rule is for, and the rules of a source that are for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.ruleset.rules import Rule


class Types:
    """The types of events that `when` picks. In a pattern `*` stands for any run of characters."""

    __slots__ = ("_parts", "exact", "patterns")

    def __init__(self, when: Sequence[str]) -> None:
        #: those that are written out
        self.exact = frozenset(text for text in when if "*" not in text)
        self.patterns = tuple(text for text in when if "*" in text)
        #: each pattern: what it begins with, what stands between its stars, and what it ends with
        self._parts = [(first, inner, last) for first, *inner, last in (text.split("*") for text in self.patterns)]

    def matches(self, event_type: str) -> bool:
        """Whether this type is picked."""
        return event_type in self.exact or any(_fits(event_type, *parts) for parts in self._parts)

    def meet(self, other: Types) -> bool:
        """Whether one type is picked by both. For two patterns the longer beginning, all that stands in between and
        the longer end make one, if the beginnings and the ends agree."""
        for begin, _, end in self._parts:
            for other_begin, _, other_end in other._parts:
                if (begin.startswith(other_begin) or other_begin.startswith(begin)) and (
                    end.endswith(other_end) or other_end.endswith(end)
                ):
                    return True
        return any(map(other.matches, self.exact)) or any(map(self.matches, other.exact))


def _fits(text: str, first: str, inner: Sequence[str], last: str) -> bool:
    """Whether a text is these parts in this order, with anything between. Each is taken as early as it comes, which
    leaves the most to the others: nothing is tried twice."""
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in inner:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


class RulesByType:
    """The rules of one source. What a type costs does not grow with the rules for other types."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        #: type that is written out → the rules that do so
        self._exact: dict[str, list[Rule]] = {}
        #: beginning of a pattern → the rules with such a one
        self._begins: dict[str, list[Rule]] = {}
        for rule in rules:
            for text in rule.types.exact:
                self._exact.setdefault(text, []).append(rule)
            for text in {pattern.partition("*")[0] for pattern in rule.types.patterns}:
                self._begins.setdefault(text, []).append(rule)
        self._lengths = sorted({len(text) for text in self._begins})
        #: the rules for every type that is written out somewhere
        self._known = {text: self._find(text) for text in self._exact}

    def of(self, event_type: str) -> tuple[Rule, ...]:
        """The rules that are for this type, in file order."""
        found = self._known.get(event_type)
        return self._find(event_type) if found is None else found

    def _find(self, event_type: str) -> tuple[Rule, ...]:
        found = {rule.ordinal: rule for rule in self._exact.get(event_type, ())}
        for length in self._lengths:
            for rule in self._begins.get(event_type[:length], ()):
                if rule.types.matches(event_type):
                    found[rule.ordinal] = rule
        return tuple(rule for _, rule in sorted(found.items()))

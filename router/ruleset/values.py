"""What an expression computes with: missing and unset, kinds, blank, and the context of one evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from router.model import Event, Instant

#: steps that one evaluation may take: elements looked at, characters made in hundreds, tries of a pattern
MAX_STEPS: Final = 100_000
#: elements looked at in a list, or made by a function
MAX_ELEMENTS: Final = 1_000
#: notes that one context keeps
MAX_NOTES: Final = 20


class _Word:
    """A value of its own that compares by identity."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


#: this event does not say
MISSING: Final = _Word("MISSING")
#: `else unset`: clear the field
UNSET: Final = _Word("UNSET")


class SkipRule(Exception):
    """`else skip` was reached: the rule ignores this event. `reason` quotes no value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FailRule(Exception):
    """`else fail` was reached: the event is an error. `reason` quotes no value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unusable(Exception):
    """A value that cannot be what it should be. `reason` quotes no value: `text(5) is not a phone number`."""

    def __init__(self, value: Any, predicate: str) -> None:
        self.reason = f"{describe(value)} {predicate}"
        #: the reason without its subject: `is not a phone number`
        self.predicate = predicate
        super().__init__(self.reason)


class Exhausted(Exception):
    """One evaluation took more than `MAX_STEPS`."""


@dataclass(slots=True)
class Context:
    """What one evaluation may read, and what it says beside its value: only `notes` and `steps` change."""

    #: the event's decoded payload, plain JSON values
    data: Any
    event: Event | None = None
    #: kept headers, lower case
    headers: Mapping[str, str] = field(default_factory=dict)
    #: kept query parameters
    query: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    #: two capital letters, for phone numbers without a country code
    region: str | None = None
    #: IANA name, for times without a zone
    timezone: str = "UTC"
    #: why something was left out; at most `MAX_NOTES`, none twice, none quotes a value
    notes: list[str] = field(default_factory=list)
    #: steps this evaluation may still take
    steps: int = MAX_STEPS

    def note(self, text: str) -> None:
        """Add a note, unless it is there or there are enough."""
        if text not in self.notes and len(self.notes) < MAX_NOTES:
            self.notes.append(text)

    def note_cut(self, items: list[Any]) -> None:
        """Note that only the first elements of a list count."""
        self.note(f"{describe(items)} has more than {MAX_ELEMENTS:,} elements: the rest is ignored")

    def take(self, steps: int) -> None:
        """Count steps. Raises `Exhausted` when they run out."""
        self.steps -= steps
        if self.steps < 0:
            raise Exhausted


_KINDS: Final[dict[type, str]] = {
    bool: "yes/no",
    int: "number",
    float: "number",
    str: "text",
    list: "list",
    dict: "object",
    Instant: "time",
}


def kind_of(value: Any) -> str:
    """`yes/no`, `number`, `text`, `list`, `object`, `time`; empty for null, missing and unset."""
    return _KINDS.get(type(value), "")


def is_blank(value: Any) -> bool:
    """Missing, null, or text of white space only."""
    return value is None or value is MISSING or (type(value) is str and (not value or value.isspace()))


def describe(value: Any) -> str:
    """The kind and size of a value, never its content: `text(5)`, `number`, `list(3)`, `nothing`."""
    kind = kind_of(value)
    return f"{kind}({len(value)})" if kind in {"text", "list", "object"} else kind or "nothing"

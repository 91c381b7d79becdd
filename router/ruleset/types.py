"""The types of traits: what they take and what they give."""

from __future__ import annotations

from typing import Any

from router.ruleset.values import Unusable

__all__ = ["TYPES", "Unusable", "convert"]

TYPES: tuple[str, ...] = ("text", "number", "bool", "time", "date", "email", "phone", "country", "url", "list")


def convert(value: Any, type_name: str, *, region: str | None, timezone: str) -> Any:
    """A value that is not blank as `type_name`. `MISSING` for a time of the year 1 and for a list of blanks only.

    Times are `Instant`, dates `YYYY-MM-DD`. Raises `Unusable`, whose `reason` quotes no value
    (`text(5) is not a phone number`) and whose `predicate` is the part after the subject.
    """
    raise NotImplementedError

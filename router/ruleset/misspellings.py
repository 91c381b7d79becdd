"""Names in paths into a sample: new ones, and those of the sample that are misspelled."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from typing import Any

from router.nearest import nearest

#: how much alike a name and its misspelling are
_SLIP = 0.85
_DOUBLED = re.compile(r"([^0-9])\1")


def misspelled(name: str, held: Collection[str], read: Collection[str]) -> tuple[str, str] | None:
    """What is wrong with putting in a name, and a hint; None if it is `held` already, `read` by something, or new."""
    if name in held or name in read:
        return None
    meant = _meant(name, held)
    if not meant:
        return None
    return f"this sample has no '{name}' here, and nothing reads it", f"did you mean '{meant}'?"


def nothing_at(step: str | int, held: Any) -> str:
    """A hint where a step of a path leads nowhere: the name that was meant, or those that there are."""
    if not isinstance(step, str) or not isinstance(held, dict):
        return ""
    meant = _meant(step, held)
    return f"did you mean '{meant}'?" if meant else nearest(step, held)


def _meant(name: str, held: Collection[str]) -> str:
    return next((each for each in held if _is_alike(name, each)), "")


def _is_alike(name: str, other: str) -> bool:
    """Whether a name is probably another one, misspelled: much alike, and not only another number or word."""
    if sorted(name) == sorted(other) or name.lower() == other.lower():
        return True
    if _DOUBLED.sub(r"\1", name) == _DOUBLED.sub(r"\1", other):
        return True
    one, two = (re.sub(r"[0-9]+", "", each.lower()) for each in (name, other))
    return one != two and difflib.SequenceMatcher(None, name, other).ratio() > _SLIP

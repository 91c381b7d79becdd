"""Values as text, the way holes of templates and text functions show them."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from router.model import Instant
from router.ruleset.values import Unusable

#: characters of a text that a function or template may make
MAX_TEXT: Final = 65_536
#: bits of a whole number that is still written out
_MAX_BITS: Final = 4_096
#: characters that a message repeats
_SHOWN: Final = 40


def text_of(value: Any) -> str:
    """A scalar as text: whole numbers as digits, decimals in the shortest form that reads back the same, yes/no as
    `true`/`false`, times as `2025-11-20T00:53:20Z`. Raises `Unusable` for anything else."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]  # its type was just looked at
    if kind is bool:
        return "true" if value else "false"
    if kind is Instant or (kind is int and value.bit_length() <= _MAX_BITS):
        return str(value)
    if kind is float and math.isfinite(value):
        return repr(value)
    raise Unusable(value, "is not text")


def words_text(value: Any) -> str:
    """Text or a number as text, for text functions. Raises `Unusable` for yes/no, times, lists and objects."""
    if type(value) is str:
        return value
    if type(value) is bool or type(value) is Instant:
        raise Unusable(value, "is not text")
    return text_of(value)


def printable(text: str) -> str:
    """A line for a terminal: what is not printable (control and format characters, line breaks, lone surrogates) as
    JSON escapes. A line of JSON stays the same JSON."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def shortened(text: str) -> str:
    """A text as messages repeat it: not more than its first characters."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def counted(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")

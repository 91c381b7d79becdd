"""Functions on text, and on numbers as text. They work on each element of a list."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from router.ruleset import types
from router.ruleset.comparison import is_element
from router.ruleset.text import MAX_TEXT, text_of, words_text
from router.ruleset.values import MAX_ELEMENTS, Context, Unusable, is_blank

_WORD: Final = re.compile(r"\S+")


def short(made: str) -> str:
    """A text that a function made, if it is not too long."""
    if len(made) > MAX_TEXT:
        raise Unusable(made, f"is longer than {MAX_TEXT:,} characters")
    return made


def trim(context: Context, value: Any) -> str:
    return short(words_text(value).strip())


def lower(context: Context, value: Any) -> str:
    return short(words_text(value).lower())


def upper(context: Context, value: Any) -> str:
    return short(words_text(value).upper())


def title(context: Context, value: Any) -> str:
    """The first letter of every word upper, the rest lower; words stand between white space. One that begins with a
    digit, as in 2nd, has no first letter."""
    return short(_WORD.sub(_titled, short(words_text(value))))


def _titled(match: re.Match[str]) -> str:
    word = match[0]
    first = next((at for at, sign in enumerate(word) if sign.isalnum()), 0)
    return word[:first] + word[first:].capitalize()


def text(context: Context, value: Any) -> str:
    return short(text_of(value))


def replace(context: Context, value: Any, old: Any, new: Any) -> str:
    """`old` is not empty: what is read is not blank, and what is written was looked at."""
    subject, before, after = words_text(value), words_text(old), words_text(new)
    length = len(subject) + subject.count(before) * (len(after) - len(before))
    if length > MAX_TEXT:
        raise Unusable(value, f"would become longer than {MAX_TEXT:,} characters")
    context.take(length >> 6)
    return subject.replace(before, after)


def cut(context: Context, value: Any, start: Any, end: Any = None) -> Any:
    """`slice`: characters, or elements of a list; negative counts from the end."""
    span = slice(_whole(start), None if end is None else _whole(end))
    if type(value) is not list:
        return short(words_text(value)[span])
    part = value[span]
    if len(part) > MAX_ELEMENTS:
        context.note_cut(part)
    return part[:MAX_ELEMENTS]


def _whole(number: Any) -> int:
    if type(number) is int:
        return number
    if type(number) is float and number.is_integer():
        return int(number)
    raise Unusable(number, "is not a whole number")


def split(context: Context, value: Any, separator: Any) -> list[str] | None:
    """Trimmed pieces that are not empty. `separator` is not, as in `replace`."""
    pieces = words_text(value).split(words_text(separator), MAX_ELEMENTS)
    if len(pieces) > MAX_ELEMENTS:
        context.note_cut(pieces)
        pieces.pop()
    kept = [short(piece.strip()) for piece in pieces if piece and not piece.isspace()]
    return kept or None


def starts(context: Context, value: Any, beginning: Any) -> bool:
    return words_text(value).startswith(words_text(beginning))


def ends(context: Context, value: Any, ending: Any) -> bool:
    return words_text(value).endswith(words_text(ending))


def contains(context: Context, value: Any, wanted: Any) -> bool:
    """Whether a text holds a text, or a list an element."""
    if type(value) is list:
        return not is_blank(wanted) and is_element(context, wanted, value)
    return words_text(wanted) in words_text(value)


def domain(context: Context, value: Any) -> str:
    return types.email_text(value).partition("@")[2]


def sha256(context: Context, value: Any) -> str:
    """Hex digest of the UTF-8 bytes, exactly as they stand."""
    try:
        return hashlib.sha256(words_text(value).encode()).hexdigest()
    except UnicodeEncodeError:
        raise Unusable(value, "holds half a character and has no UTF-8 form") from None

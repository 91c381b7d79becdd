"""The types of traits: what they take and what they give."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from router.ruleset.text import text_of
from router.ruleset.times import date_of, instant_of
from router.ruleset.values import MISSING, Unusable, is_blank

__all__ = ["TYPES", "Convert", "Unusable", "converter"]

#: a value that is not blank → what it is as some type, `MISSING` for a time of the year 1 and for a list of blanks
#: only. Times are `Instant`, dates `YYYY-MM-DD`. Raises `Unusable`, whose `reason` quotes no value
#: (`text(5) is not a phone number`) and whose `predicate` is the part after the subject.
Convert: TypeAlias = Callable[[Any], Any]

MAX_TRAIT_TEXT: Final = 4_096
MAX_LIST: Final = 100
_MAX_NUMBER_TEXT: Final = 400

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_EMAIL: Final = re.compile(r"[^@\s,;<>]+@[^@\s,;<>.]+(?:\.[^@\s,;<>.]+)+")
_URL: Final = re.compile(r"https?://[^\s/?#][^\s]*", re.IGNORECASE)
#: one whose host needs no second look
_PLAIN_URL: Final = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9][A-Za-z0-9.-]*(?:/[^\s]*)?")
_E164: Final = re.compile(r"\+[0-9]{7,15}")
_YES: Final = frozenset({"true", "yes", "on", "1"})
_NO: Final = frozenset({"false", "no", "off", "0"})


#: how texts of a type are written
EXAMPLES: Final[Mapping[str, str]] = {
    "date": "1990-05-17",
    "time": "2025-11-20T00:53:20Z",
    "country": "US",
    "email": "ann@example.com",
    "phone": "+821012345678",
    "url": "https://example.com",
    "bool": "true",
}


def converter(type_name: str, *, region: str | None, timezone: str) -> Convert:
    """What makes a value one of `type_name`."""
    return _TYPES[type_name](region, timezone)


def to_text(value: Any) -> str:
    text = value.strip() if type(value) is str else text_of(value)
    if len(text) > MAX_TRAIT_TEXT:
        raise Unusable(value, f"is longer than {MAX_TRAIT_TEXT:,} characters")
    return text


def to_number(value: Any) -> int | float:
    """Whole if written whole, else decimal. Whole numbers beyond 64 bits are refused."""
    number = value
    if type(value) is str and len(value) <= _MAX_NUMBER_TEXT and (match := _NUMBER.fullmatch(value.strip())):
        whole = match.group(1) is None and match.group(2) is None
        number = int(match.group()) if whole else float(match.group())
    if (type(number) is int and -(2**63) <= number < 2**63) or (type(number) is float and math.isfinite(number)):
        return number
    is_number = type(number) in (int, float) and number == number  # in itself different is what is no number
    raise Unusable(value, "is beyond 64 bits" if is_number else "is not a number")


def to_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    word = value.strip().lower() if type(value) is str and len(value) <= _MAX_NUMBER_TEXT else value
    if word in _YES if type(word) is str else type(word) in (int, float) and word == 1:
        return True
    if word in _NO if type(word) is str else type(word) in (int, float) and word == 0:
        return False
    raise Unusable(value, "is not yes or no")


def to_email(value: Any) -> str:
    return email_text(value).lower()


def email_text(value: Any) -> str:
    """An e-mail address as written, trimmed."""
    text = value.strip() if type(value) is str else ""
    if not 3 <= len(text) <= 254 or _EMAIL.fullmatch(text) is None or not text.isprintable():
        raise Unusable(value, "is not an e-mail address")
    return text


def is_region(text: str) -> bool:
    """Whether telephone numbers of this region are known: two capital letters (ISO 3166)."""
    import phonenumbers

    return text in phonenumbers.SUPPORTED_REGIONS


def to_phone(value: Any, region: str | None) -> str:
    """E.164. `region` helps where the country code is missing."""
    text = value.strip() if type(value) is str else str(value) if type(value) is int and 0 < value < 10**15 else ""
    if _E164.fullmatch(text):
        return text
    if 0 < len(text) <= 100 and (number := _parsed_phone(text, region)):
        return number
    raise Unusable(value, "is not a phone number")


def _parsed_phone(text: str, region: str | None) -> str:
    """By the rules of the region, empty if it is impossible. `phonenumbers` costs a tenth of a second to import."""
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_possible_number(number):
        return ""
    made = str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return made if _E164.fullmatch(made) else ""


def to_country(value: Any) -> str:
    text = value.strip() if type(value) is str else ""
    if len(text) != 2 or not (text.isascii() and text.isalpha()):
        raise Unusable(value, "is not a two-letter country code")
    return text.upper()


def to_url(value: Any) -> str:
    text = value.strip() if type(value) is str else ""
    try:
        if len(text) <= 2_048 and (_PLAIN_URL.fullmatch(text) or (_URL.fullmatch(text) and urlsplit(text).hostname)):
            return text
    except ValueError:
        pass
    raise Unusable(value, "is not a web address")


def to_list(value: Any) -> Any:
    """A list of text, numbers and yes/no without blanks."""
    items = value if type(value) is list else [value]
    kept = [item for item in items if not is_blank(item)]
    if any(type(item) not in (str, int, float, bool) for item in kept):
        raise Unusable(value, "is not a list of text, numbers and yes/no")
    if len(kept) > MAX_LIST:
        raise Unusable(value, f"has more than {MAX_LIST} elements")
    return kept if kept or not items else MISSING


_TYPES: Final[dict[str, Callable[[str | None, str], Convert]]] = {
    "text": lambda region, timezone: to_text,
    "number": lambda region, timezone: to_number,
    "bool": lambda region, timezone: to_bool,
    "time": lambda region, timezone: lambda value: instant_of(value, timezone),
    "date": lambda region, timezone: lambda value: date_of(value, timezone),
    "email": lambda region, timezone: to_email,
    "phone": lambda region, timezone: lambda value: to_phone(value, region),
    "country": lambda region, timezone: to_country,
    "url": lambda region, timezone: to_url,
    "list": lambda region, timezone: to_list,
}
#: the words of `traits:`
TYPES: tuple[str, ...] = tuple(_TYPES)

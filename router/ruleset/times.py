"""Instants and dates from what senders write."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from router.model import Instant, from_us, to_us
from router.ruleset.values import MISSING, Unusable

#: from here on a number is milliseconds since 1970, below it seconds
MILLISECONDS_FROM: Final = 10**11
_YEARS: Final = range(1900, 2201)
_FIRST_US: Final = to_us(datetime(_YEARS.start, 1, 1, tzinfo=UTC))
_END_US: Final = to_us(datetime(_YEARS.stop, 1, 1, tzinfo=UTC))

_ISO: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?[ ]?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_EPOCH: Final = re.compile(r"[0-9]{9,13}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
#: longest text that can be a time
_MAX_TEXT: Final = 64


@lru_cache(maxsize=512)
def zone_of(name: str) -> ZoneInfo | None:
    """The IANA time zone of this name, None if there is none."""
    if len(name) > _MAX_TEXT or _ZONE.fullmatch(name) is None:
        return None
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return None


@lru_cache(maxsize=1)
def zone_names() -> tuple[str, ...]:
    """Every time zone this machine knows, for hints."""
    return tuple(sorted(available_timezones()))


def instant_of(value: Any, zone_name: str, unit: str | None = None) -> Any:
    """A time as `Instant`: ISO 8601 (without a zone: in the zone `zone_name`), or a number since 1970 in `unit` (`s`,
    `ms`; None: by its size). `MISSING` for the year 1. Raises `Unusable`."""
    kind = type(value)
    if kind is Instant:
        return value
    if kind is int or kind is float:
        return _from_number(value, value, unit)
    if kind is str and len(text := value.strip()) <= _MAX_TEXT:
        if (match := _ISO.fullmatch(text)) is not None:
            return _from_iso(value, match, zone_name)
        if _EPOCH.fullmatch(text) or (unit is not None and _NUMBER.fullmatch(text)):
            return _from_number(value, text, unit)
    raise Unusable(value, "is not a time")


def date_of(value: Any, zone_name: str, *, convert: bool = False) -> Any:
    """A date as `YYYY-MM-DD`: a date, an ISO time (its date as written; with `convert` the date in the zone), or an
    instant or epoch (the date in the zone). `MISSING` for the year 1. Raises `Unusable`."""
    match = _ISO.fullmatch(value.strip()[: _MAX_TEXT + 1]) if type(value) is str else None
    if match is not None and not (convert and match[8]):
        day = match[0][: len("2025-11-20")]
        try:
            date.fromisoformat(day)
            _clock(match)
        except ValueError:
            raise Unusable(value, "is not a date") from None
        return MISSING if match[1] == "0001" else day
    try:
        instant = instant_of(value, zone_name)
    except Unusable:
        raise Unusable(value, "is not a date") from None
    if instant is MISSING:
        return MISSING
    return from_us(instant.us).astimezone(_zone(zone_name)).date().isoformat()


def _zone(name: str) -> tzinfo:
    return zone_of(name) or UTC


def _from_number(value: Any, number: int | float | str, unit: str | None) -> Instant:
    if unit is None:
        unit = "ms" if abs(float(number) if type(number) is str else number) >= MILLISECONDS_FROM else "s"  # type: ignore[arg-type]  # text was made a float
    scale = 1_000 if unit == "ms" else 1_000_000
    try:
        us = number * scale if type(number) is int else int(Decimal(str(number)) * scale)
        if _FIRST_US <= us < _END_US:
            return Instant(us)
        moment = from_us(us)
    except (ArithmeticError, ValueError):
        raise Unusable(value, "is not a time") from None
    return _checked(value, moment)


def _clock(match: re.Match[str]) -> tuple[int, int, int, int]:
    """Hour, minute, second, microsecond; raises ValueError where the clock has no such time."""
    hour, minute, second, decimals = match.group(4, 5, 6, 7)
    if hour is None:
        return 0, 0, 0, 0
    if hour > "23" or minute > "59" or (second or "00") > "59":
        raise ValueError
    return int(hour), int(minute), int(second or 0), int(decimals[:6].ljust(6, "0")) if decimals else 0


def _offset(text: str | None, zone_name: str) -> tzinfo:
    if text is None:
        return _zone(zone_name)
    if text in "Zz":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    if int(digits[2:]) > 59:
        raise ValueError
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _from_iso(value: Any, match: re.Match[str], zone_name: str) -> Any:
    try:
        year, month, day = map(int, match.group(1, 2, 3))
        if year == 1:
            return MISSING
        moment = datetime(year, month, day, *_clock(match), tzinfo=_offset(match.group(8), zone_name))
        return _checked(value, moment.astimezone(UTC))
    except (ValueError, OverflowError):
        raise Unusable(value, "is not a time") from None


def _checked(value: Any, moment: datetime) -> Instant:
    if moment.year not in _YEARS:
        raise Unusable(value, "is not a time between 1900 and 2200")
    return Instant(to_us(moment))

"""Instants and dates from what senders write."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from router.model import Instant, from_us, to_us
from router.nearest import nearest
from router.ruleset.values import MISSING, Unusable

#: from here on a number is milliseconds since 1970, below it seconds
MILLISECONDS_FROM: Final = 10**11
#: the years 1900 to 2200, in microseconds since 1970
_FIRST_US: Final = to_us(datetime(1900, 1, 1, tzinfo=UTC))
_END_US: Final = to_us(datetime(2201, 1, 1, tzinfo=UTC))
#: without a zone, which is quicker
_1970: Final = datetime(1970, 1, 1)  # noqa: DTZ001
_MICROSECOND: Final = timedelta(microseconds=1)

_ISO: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?[ ]?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_EPOCH: Final = re.compile(r"[0-9]{9,13}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
#: what changes with the season, or stands for several places
_ABBREVIATED: Final = re.compile(r"[A-Z]{2,4}T|(?:UTC|GMT)?[+-][0-9]{1,2}(?::?[0-9]{2})?")
#: names that each machine gives to another zone
_OF_MACHINES: Final = frozenset({"localtime", "posixrules"})
#: copies of all zones that some machines have: without and with leap seconds
_OTHER_CLOCKS: Final = ("posix/", "right/")
_TO_MINUTES: Final = len("2025-11-20T00:53")
_TO_SECONDS: Final = len("2025-11-20T00:53:20")
#: longest text that can be a time
_MAX_TEXT: Final = 64


@lru_cache(maxsize=512)
def zone_of(name: str) -> ZoneInfo | None:
    """The IANA time zone of this name, None if there is none, or if what it is depends on the machine."""
    if len(name) > _MAX_TEXT or _ZONE.fullmatch(name) is None:
        return None
    if name in _OF_MACHINES or name.startswith(_OTHER_CLOCKS):
        return None
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return None


@lru_cache(maxsize=1)
def zone_names() -> tuple[str, ...]:
    """Every time zone this machine knows, for hints."""
    return tuple(sorted(available_timezones() - _OF_MACHINES))


def zone_hint(name: str) -> str:
    """The zone that was probably meant by a name that is none; empty if that is not known."""
    if name in _OF_MACHINES:
        return "each machine has another one: name it, as in Asia/Seoul"
    if _ABBREVIATED.fullmatch(name):
        return "a zone has the name of a place, as in Asia/Seoul"
    place = name.strip().lower().replace(" ", "_")
    if found := next((each for each in zone_names() if each.lower().rpartition("/")[2] == place and "/" in each), ""):
        return f"did you mean {found!r}?"
    meant = name.removeprefix("posix/").removeprefix("right/")
    return f"did you mean {meant!r}?" if zone_of(meant) else nearest(meant, zone_names())


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
            _as_written(match)
            if match[8]:
                _offset(match[8])
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
        if not _FIRST_US <= us < _END_US:
            from_us(us)  # beyond the calendar it is no time at all
    except (ArithmeticError, ValueError):
        raise Unusable(value, "is not a time") from None
    return _instant(value, us)


def _from_iso(value: Any, match: re.Match[str], zone_name: str) -> Any:
    if match[1] == "0001":
        return MISSING
    try:
        moment = _utc(_as_written(match), match[8], zone_name)
    except (ValueError, OverflowError):
        raise Unusable(value, "is not a time") from None
    return _instant(value, (moment - _1970) // _MICROSECOND)


def _as_written(match: re.Match[str]) -> datetime:
    """What calendar and clock said, without zone. Raises ValueError where they have no such time."""
    hour, second, decimals = match.group(4, 6, 7)
    if hour is None:
        return datetime.fromisoformat(match[0])
    if hour > "23":  # the end of a day, which only a newer Python reads
        raise ValueError
    moment = datetime.fromisoformat(match[0][: _TO_MINUTES if second is None else _TO_SECONDS])
    return moment.replace(microsecond=int(decimals[:6].ljust(6, "0"))) if decimals else moment


def _utc(moment: datetime, zone: str | None, zone_name: str) -> datetime:
    """A time in a zone as one in UTC, both without saying so."""
    if zone is None:
        return moment.replace(tzinfo=_zone(zone_name)).astimezone(UTC).replace(tzinfo=None)
    return moment if zone in "Zz" else moment - _offset(zone)


def _offset(zone: str) -> timedelta:
    """How much the clocks are ahead of UTC, from `Z` or `+09:00`. Raises ValueError where that is more than a day."""
    digits = zone[1:].replace(":", "").ljust(4, "0")
    if int(digits[:2]) > 23 or int(digits[2:]) > 59:
        raise ValueError
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset


def _instant(value: Any, us: int) -> Instant:
    if not _FIRST_US <= us < _END_US:
        raise Unusable(value, "is not a time between 1900 and 2200")
    return Instant(us)

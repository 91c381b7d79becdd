"""Filters: one quoted argument such as `state:rejected destination:moengage since:24h`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from router.errors import ConfigError
from router.model import to_us
from router.nearest import suggestion
from router.store.listing import Wanted

_WORD = re.compile(r"\S+")
_SPAN = re.compile(r"([0-9]+)(s|m|h|d)\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: keys that every list knows
TIMES = ("since", "before")


class FilterError(ConfigError):
    """A filter that cannot be read. The message points at the place with carets."""

    def __init__(self, message: str, text: str, at: int, length: int) -> None:
        super().__init__(f"{message}\n  {text}\n  {' ' * at}{'^' * length}")


def read_filter(
    text: str, keys: Collection[str], known: Mapping[str, Collection[str]], below: int | None = None
) -> Wanted:
    """What a filter asks for. `keys` are the list's own, `known` the values a key can have. Raises `FilterError`."""
    values: dict[str, list[str]] = {}
    since = before = None
    for match in _WORD.finditer(text):
        word, at = match[0], match.start()
        key, colon, value = word.partition(":")
        if not colon or not value:
            raise FilterError(f"{word!r} is not key:value", text, at, len(word))
        if key not in (*keys, *TIMES):
            raise FilterError(f"no key {key!r}; {suggestion(key, (*keys, *TIMES))}", text, at, len(key))
        if key == "since":
            since = _moment(value, text, at + len(key) + 1)
        elif key == "before":
            before = _moment(value, text, at + len(key) + 1)
        else:
            wanted = value.split(",")
            for one in wanted:
                if key in known and not one.endswith("*") and one not in known[key]:
                    raise FilterError(
                        f"no {key} {one!r}; {suggestion(one, known[key])}", text, at + len(key) + 1, len(value)
                    )
            values.setdefault(key, []).extend(wanted)
    return Wanted(values, since, before, below)


def _moment(value: str, text: str, at: int) -> int:
    """A time as microseconds: `24h` ago, or ISO 8601 (UTC without a zone)."""
    if match := _SPAN.match(value):
        return to_us(datetime.now(UTC) - timedelta(seconds=int(match[1]) * _UNITS[match[2]]))
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        message = f"{value!r} is no time: write 24h, or 2026-01-31T09:00:00Z"
        raise FilterError(message, text, at, len(value)) from None
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))

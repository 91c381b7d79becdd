"""From fields to bodies: pointers, values as JSON, URL segments, header values."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from router.errors import BuildError
from router.model import Instant

#: keys from the body's root
Path = tuple[str, ...]

#: bytes of a profile id as one segment of a path
MAX_SEGMENT_BYTES = 256

_PLAIN = frozenset({str, int, float, bool})


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_dumps = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")).encode


def split_pointer(pointer: str) -> Path:
    """The keys of a JSON Pointer (RFC 6901)."""
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:])


def join_pointer(path: Path) -> str:
    """The JSON Pointer of keys."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def lay(body: dict[str, Any], path: Path, value: Any) -> None:
    """Put a value at a place of a body, making the objects on the way. Raises `BuildError` where it cannot."""
    lay_members(body, {path[:-1]: {path[-1]: value}})


def lay_members(body: dict[str, Any], placed: Mapping[Path, Mapping[str, Any]]) -> None:
    """`lay` for the members of objects, by the way to each object."""
    for way, members in placed.items():
        inner = body
        for key in way:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                raise BuildError(f"{'.'.join((*way, next(iter(members))))} lies inside another value")
        inner.update(members)


def look(body: Any, path: Path) -> Any:
    """The value at a place of a body, or None."""
    for key in path:
        if not isinstance(body, dict) or key not in body:
            return None
        body = body[key]
    return body


def rendered(value: Any, moment: Callable[[Instant], Any], *, keep_null: bool = False) -> Any:
    """A field's value as JSON: times by `moment`, lists and objects copied, nulls inside them left out."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Instant):
        return moment(value)
    if isinstance(value, (list, tuple)):
        return [rendered(item, moment, keep_null=keep_null) for item in value if keep_null or item is not None]
    if isinstance(value, Mapping):
        return {
            key: rendered(item, moment, keep_null=keep_null)
            for key, item in value.items()
            if keep_null or item is not None
        }
    return value


def seconds_utc(instant: Instant) -> str:
    """`2025-11-20T00:53:20Z`, decimals cut."""
    return _seconds_utc(instant.us // 1_000_000)


@lru_cache(maxsize=1_024)
def _seconds_utc(seconds: int) -> str:
    return f"{seconds_in(UTC, seconds)}Z"


@lru_cache(maxsize=1_024)
def seconds_in(zone: tzinfo, seconds: int) -> str:
    """A time, in seconds since 1970, as a clock in the zone shows it: `2025-11-20T09:53:20`. A few are remembered: one
    event's moments go to several destinations."""
    return datetime.fromtimestamp(seconds, zone).isoformat()[: len("2025-11-20T09:53:20")]


def body_bytes(body: Any) -> int:
    """How many bytes a body has on the wire. Raises `BuildError` for what JSON in UTF-8 cannot say."""
    try:
        return len(_dumps(body).encode())
    except UnicodeEncodeError:
        raise BuildError("a text has half a surrogate pair, which is not Unicode") from None
    except (ValueError, TypeError, RecursionError):
        raise BuildError("a value cannot be written as JSON") from None


def segment_fault(text: str) -> str:
    """Why a text cannot be one segment of a path, or nothing."""
    if text in {"", ".", ".."}:
        return "is empty, . or .."
    if _CONTROLS.search(text):
        return "has control characters"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "has half a surrogate pair"
    return f"is longer than {MAX_SEGMENT_BYTES} bytes" if size > MAX_SEGMENT_BYTES else ""


@lru_cache(maxsize=1_024)
def segment(text: str, noun: str = "the profile id") -> str:
    """A text escaped as one segment of a path. Raises `BuildError` for one that would not arrive as it is. A few are
    remembered: settings, and ids that go to several destinations."""
    fault = segment_fault(text)
    if fault:
        raise BuildError(f"{noun} {fault}, which cannot stand in a path")
    return quote(text, safe="")


@lru_cache(maxsize=64)
def header_value(text: str, name: str) -> str:
    """A text that may be a header's value: printable ASCII, no blanks at its ends. Raises `BuildError`. A few are
    remembered: a destination has the same in each call."""
    if not _HEADER_VALUE.fullmatch(text):
        raise BuildError(f"{name} is not printable ASCII, which a header cannot carry")
    return text


@lru_cache(maxsize=64)
def basic_auth(user: str, password: str) -> str:
    """The value of an `Authorization` header. Raises `BuildError` where the parts cannot be told apart again. A few are
    remembered, as of `header_value`."""
    if ":" in header_value(user, "the user of the credentials"):
        raise BuildError("the user of the credentials has a colon")
    return "Basic " + base64.b64encode(f"{user}:{header_value(password, 'the password')}".encode()).decode()

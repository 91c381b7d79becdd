"""Who is who among events: id, type, time and version of each element of a request."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from router.model import Event, Instant, Webhook, from_us
from router.sources.base import Identity

#: how far ahead of its receipt an event may claim to be; a clock that is wrong wins no longer than this
_AHEAD = timedelta(minutes=5)

#: longest type and id kept as they are; a longer id becomes its digest
MAX_TYPE, MAX_ID = 200, 256
#: the type of an event that has none
UNTYPED = "untyped"

_VERSION_BOUND = 2**63


@dataclass(frozen=True, slots=True)
class Element:
    """One event of a request as decoded: its value, or why there is none; and what is stored of it."""

    value: Any
    body: bytes
    part: bool
    error: str = ""


class Numbering:
    """Gives the events of one request their ids. A repeated id gets `#` + index, so that no element is lost."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook
        self._digest = ""
        self._seen: set[str] = set()

    def weak(self, index: int) -> str:
        """`sha256:` + digest of the raw request + `#` + index: the same bytes again are the same event."""
        if not self._digest:
            self._digest = hashlib.sha256(self._webhook.body).hexdigest()
        return f"sha256:{self._digest}#{index}"

    def strong(self, given: str, index: int) -> str:
        """The sender's id, unique within the request."""
        name = given if len(given) <= MAX_ID else "sha256:" + hashlib.sha256(given.encode()).hexdigest()
        while name in self._seen:
            name = f"{name}#{index}"
        self._seen.add(name)
        return name


def identify(
    element: Element,
    index: int,
    numbering: Numbering,
    identity: Identity,
    webhook: Webhook,
    kept: tuple[Mapping[str, str], Mapping[str, str]],
) -> Event:
    """The event of one element. `kept` is the headers and query parameters that are stored with it."""
    headers, query = kept
    if element.error:
        given, kind, time, version = None, None, None, None
    else:
        value = element.value
        given, kind = identity.id(value, webhook), identity.type(value, webhook)
        time, version = identity.time(value, webhook), identity.version(value, webhook)
    weak = given is None or not given.strip()
    return Event(
        source=webhook.source,
        external_id=numbering.weak(index) if given is None or weak else numbering.strong(given, index),
        type=kind.strip()[:MAX_TYPE] if kind and kind.strip() else UNTYPED,
        occurred_at=_occurred_at(time, version, webhook.received_at),
        received_at=webhook.received_at,
        object_version=_counter(version),
        body=element.body,
        part=element.part,
        headers=headers,
        query=query,
        error=element.error,
        weak_id=weak,
    )


def _occurred_at(time: Instant | None, version: int | Instant | None, received_at: datetime) -> datetime:
    """The event's time; else its version, if that is a time; else the receipt. Never long after the receipt."""
    instant = time if time is not None else version
    if not isinstance(instant, Instant):
        return received_at
    return min(from_us(instant.us), received_at + _AHEAD)


def _counter(version: int | Instant | None) -> int:
    """A number that fits 64 bits; a time as its microseconds."""
    number = version.us if isinstance(version, Instant) else version or 0
    return number if -_VERSION_BOUND <= number < _VERSION_BOUND else 0

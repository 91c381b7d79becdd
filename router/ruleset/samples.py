"""Samples: one recorded request each, opened as its source would open it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from router.errors import WebhookError
from router.model import EPOCH, Event, Webhook
from router.ruleset.source_file import SourceSection
from router.sources.envelopes import Opener
from router.sources.identification import Numbering, identify
from router.sources.jsontext import decode_json

#: receipt of a sample that does not say when; later than any event's own time
_UNKNOWN = datetime(2300, 1, 1, tzinfo=UTC)
#: between these a sample was received
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
#: the keys of a sample
KEYS = frozenset({"header", "query", "body", "received_at"})


class SampleError(Exception):
    """A sample that cannot be used. Its message says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: `body` is decoded, before the envelope is opened."""

    #: file name, `<source>.<any>.json`
    name: str
    body: Any
    #: lower case
    header: Mapping[str, str]
    query: Mapping[str, str]
    #: aware; None: the event's own time counts
    received_at: datetime | None = None

    @property
    def source(self) -> str:
        """The source it belongs to, by its name."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class SampleEvent:
    """One event of a sample."""

    sample: Sample
    event: Event
    #: its decoded payload, with null where the source redacts
    value: Any


def read_sample(name: str, data: bytes) -> Sample:
    """The sample in a file. Raises `SampleError`."""
    try:
        document = decode_json(data)
    except WebhookError as error:
        raise SampleError(f"samples/{name}: {str(error).replace('the body', 'it', 1)}") from None
    if not isinstance(document, dict) or "body" not in document:
        raise SampleError(f"samples/{name} has no body")
    unknown = sorted(document.keys() - KEYS)
    if unknown:
        raise SampleError(f"samples/{name} has an unknown key {unknown[0]!r}")
    return Sample(
        name,
        document["body"],
        _texts(name, document, "header"),
        _texts(name, document, "query"),
        _received_at(name, document.get("received_at")),
    )


def _texts(name: str, document: Mapping[str, Any], key: str) -> dict[str, str]:
    given = document.get(key) or {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise SampleError(f"{key} of samples/{name} is a map of texts")
    return {part.lower() if key == "header" else part: value for part, value in given.items()}


def _received_at(name: str, text: Any) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise SampleError(f"received_at of samples/{name} is no time") from None
    if not _EARLIEST <= moment < _LATEST:
        raise SampleError(f"received_at of samples/{name} is not between 2000 and 2200")
    return moment


def open_sample(sample: Sample, section: SourceSection) -> list[SampleEvent]:
    """The events in a sample, identified and redacted as the source does. Raises `SampleError`."""
    # the media type is the format's, and the body is decoded already
    headers = {name: value for name, value in sample.header.items() if not name.startswith("content-")}
    received_at = sample.received_at or _UNKNOWN
    query = {name: [value] for name, value in sample.query.items()}
    body = json.dumps(sample.body, ensure_ascii=False).encode()
    webhook = Webhook(section.name, "POST", headers, query, body, received_at)
    kept = (
        {name: value for name, value in sample.header.items() if f"header.{name}" in section.kept},
        {name: value for name, value in sample.query.items() if f"query.{name}" in section.kept},
    )
    opener = Opener(replace(section.envelope, format="json"), section.redact)
    try:
        elements = opener.open(webhook)
    except WebhookError as error:
        raise SampleError(f"samples/{sample.name} cannot be opened: {error}") from None
    numbering = Numbering(webhook)
    found = []
    for index, element in enumerate(elements):
        event = identify(element, index, numbering, section.identity, webhook, kept)
        if sample.received_at is None:
            occurred_at = EPOCH if event.occurred_at == _UNKNOWN else event.occurred_at
            event = replace(event, occurred_at=occurred_at, received_at=occurred_at)
        # what is redacted is there for the identity alone: rules see what was stored
        value = opener.reopen(event) if section.redact and not event.error else element.value
        found.append(SampleEvent(sample, event, value))
    return found


def is_timeless(event: Event) -> bool:
    """Whether it is of a sample that says of no time when it happened or came: it stands in 1970 then."""
    return event.received_at == EPOCH

"""What a source is: bytes to verified events, without I/O. The rule language gives it its readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from router.model import Instant, Webhook

#: reads something from one event (decoded, envelope opened) and the request it came in
Reader = Callable[[Any, Webhook], Any]


def _nothing(_element: Any, _webhook: Webhook) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Identity:
    """How a source's events are told apart and ordered. Each reader gives None where the event does not say."""

    #: text
    type: Callable[[Any, Webhook], str | None] = _nothing
    #: text
    id: Callable[[Any, Webhook], str | None] = _nothing
    time: Callable[[Any, Webhook], Instant | None] = _nothing
    #: the object's own counter, or a time
    version: Callable[[Any, Webhook], int | Instant | None] = _nothing


@dataclass(frozen=True, slots=True)
class Envelope:
    """How bytes become events."""

    #: `json`, `lines`, `form`, `multipart`, `jwt`, `cloudevents`
    format: str = "json"
    #: decoded body → the events in it, in order, whatever they are; None if there is no place for them. Default: the
    #: body is one, or a list of them
    events: Callable[[Any], list[Any] | None] | None = None
    #: key paths whose text is replaced by its JSON, such as `("Message",)`
    parse_json: tuple[tuple[str | int, ...], ...] = ()
    #: key paths whose base64 text is replaced by its bytes: JSON if they are, else text
    parse_base64: tuple[tuple[str | int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source is told."""

    status: int = 200
    #: text goes out as it stands, a map or list as JSON, None is no body
    body: Any = field(default_factory=dict)
    type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

"""Envelopes: from the bytes of a verified request to the events in it, and back from what was stored."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.errors import MalformedError, TooLarge, UnsupportedMedia
from router.model import Event, Webhook
from router.sources.base import Envelope
from router.sources.cloudevents import decode_cloudevents, fault
from router.sources.forms import decode_form, decode_multipart
from router.sources.identification import Element
from router.sources.jsontext import check_size, decode_json, encode_json

MAX_EVENTS = 10_000

FORMATS = ("json", "lines", "form", "multipart", "jwt", "cloudevents")

#: a path of names and indexes; None stands for every element of a list
Path = tuple[str | int | None, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """A step to some elements of a list."""

    #: `(document, list)` → those that count, in order; raises `TooLarge` rather than look at less than all
    of: Callable[[Any, list[Any]], list[Any]]
    #: whether it gives all that count, not only the first
    every: bool


def media_type(webhook: Webhook) -> str:
    """The media type in lower case without parameters; empty if there is none."""
    return webhook.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_media(webhook: Webhook, format_: str) -> str:
    """The media type, if the format takes it. Raises `UnsupportedMedia`, for compressed bodies too."""
    coding = webhook.headers.get("content-encoding", "").strip().lower()
    if coding not in {"", "identity"}:
        raise UnsupportedMedia("the body is compressed")
    media = media_type(webhook)
    takes, usual = _MEDIA[format_]
    if not takes(media):
        raise UnsupportedMedia(f"a source of format {format_} takes {usual}, not this media type", usual)
    return media


def _takes_json(media: str) -> bool:
    return (
        media in {"", "application/json", "application/octet-stream"}
        or media.startswith("text/")
        or media.endswith(("+json", "ndjson", "jsonlines", "jsonl"))
    )


#: format → whether it takes a media type, and the usual one
_MEDIA: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "json": (_takes_json, "application/json"),
    "lines": (_takes_json, "application/x-ndjson"),
    "jwt": (lambda media: _takes_json(media) or media in {"application/jwt", "application/jose"}, "application/jwt"),
    "form": (lambda media: media == "application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
    "multipart": (lambda media: media == "multipart/form-data", "multipart/form-data"),
    "cloudevents": (lambda _media: True, "application/cloudevents+json"),
}


class Opener:
    """Opens what comes in one envelope. Built once per source."""

    def __init__(self, envelope: Envelope, redact: Sequence[Path] = ()) -> None:
        self._envelope = envelope
        self._redact = tuple(redact)
        self._nested = [(path, _json_text) for path in envelope.parse_json]
        self._nested += [(path, _base64_text) for path in envelope.parse_base64]

    def open(self, webhook: Webhook) -> list[Element]:
        """The elements of a request, in order; unreadable ones of a batch have `error`.

        Raises `MalformedError`, `TooLarge` or `UnsupportedMedia`.
        """
        media = check_media(webhook, self._envelope.format)
        if self._envelope.format == "lines":
            return self._lines(webhook.body)
        if self._envelope.format == "cloudevents":
            found = self._cloudevents(webhook, media)
        else:
            found = self._split(_decode(webhook, self._envelope.format))
        if len(found) > MAX_EVENTS:
            raise TooLarge(f"more than {MAX_EVENTS} events")
        if len(found) == 1:
            return [self._only(*found[0], webhook)]
        return [self._element(value, error) for value, error in found]

    def reopen(self, event: Event) -> Any:
        """The value of a stored event. Raises `MalformedError` if it was never readable."""
        if event.error:
            raise MalformedError(event.error)
        value = decode_json(event.body)
        if event.part:
            return value
        return self._split(value)[0][0]

    # --- from the decoded request to its events -----------------------------------------------------------------

    def _split(self, document: Any) -> list[tuple[Any, str]]:
        """The events in a decoded request, each with why it is unreadable."""
        if not isinstance(document, list):
            for path, read in self._nested:
                document = _replace(document, path, read)
        if self._envelope.events is None:
            if isinstance(document, dict):
                return [(document, "")]
            if not isinstance(document, list):
                raise MalformedError("the body is neither an object nor a list")
            return [self._nested_in(one) for one in document]
        events = self._envelope.events(document)
        if events is None:
            raise MalformedError("there are no events where the envelope has them")
        if len(events) == 1 and events[0] is document and isinstance(document, dict):
            return [(document, "")]
        return [self._nested_in(one) for one in events]

    def _nested_in(self, value: Any) -> tuple[Any, str]:
        if not isinstance(value, dict):
            return value, "not an object"
        try:
            for path, read in self._nested:
                value = _replace(value, path, read)
        except MalformedError as error:
            return value, str(error)
        return value, ""

    def _cloudevents(self, webhook: Webhook, media: str) -> list[tuple[Any, str]]:
        document = decode_cloudevents(webhook, media)
        if isinstance(document, list):
            return [(one, why) if (why := fault(one)) else self._nested_in(one) for one in document]
        why = fault(document)
        value, error = (document, why) if why else self._nested_in(document)
        if error:
            raise MalformedError(error)
        return [(value, "")]

    def _lines(self, body: bytes) -> list[Element]:
        # blank lines are passed over, but not without end
        if body.count(b"\n") + body.count(b"\r") > 4 * MAX_EVENTS:
            raise TooLarge(f"more than {MAX_EVENTS} events")
        lines = [line for line in body.splitlines() if line.strip()]
        if not lines:
            raise MalformedError("the body has no line")
        if len(lines) > MAX_EVENTS:
            raise TooLarge(f"more than {MAX_EVENTS} events")
        return [self._line(line) for line in lines]

    def _line(self, line: bytes) -> Element:
        try:
            value = decode_json(line)
        except MalformedError as error:
            return Element(None, line, part=True, error=str(error))
        return self._element(*self._nested_in(value))

    # --- what is stored -----------------------------------------------------------------------------------------

    def _only(self, value: Any, error: str, webhook: Webhook) -> Element:
        """The one event of a request: as received, if that can be opened again and nothing is redacted."""
        if error:
            raise MalformedError(error)
        stored = self._redacted(value)
        if self._envelope.format == "json" and stored is value:
            return Element(value, webhook.body, part=False)
        body = encode_json(stored)
        check_size(body)
        return Element(value, body, part=True)

    def _element(self, value: Any, error: str) -> Element:
        """One event of several. What was opened in it may make it larger than what can be opened again."""
        body = encode_json(self._redacted(value))
        try:
            check_size(body)
        except MalformedError as trouble:
            error = error or str(trouble)
        return Element(value, body, part=True, error=error)

    def _redacted(self, value: Any) -> Any:
        """The value with null at every redacted place; the same object if there is none."""
        for path in self._redact:
            value = _replace(value, path, _nothing)
        return value


def elements_at(path: Sequence[str | int | Choice | None]) -> Callable[[Any], list[Any] | None]:
    """What finds the events at a path: every element of its lists, readable or not; None if it leads nowhere. A list at
    the end of a path to one place is that of the events."""
    star = next((at for at, step in enumerate(path) if not isinstance(step, str | int)), len(path))
    several = any(step is None or (isinstance(step, Choice) and step.every) for step in path)

    def read(document: Any) -> list[Any] | None:
        place = document
        for step in path[:star]:
            place = _step(place, step)
        if star < len(path) and not isinstance(place, list):
            return None
        found = _events_in(document, place, path[star:])
        if not several and len(found) == 1 and isinstance(found[0], list):
            return found[0]
        return None if place is None else found

    return read


def _events_in(document: Any, value: Any, path: Sequence[str | int | Choice | None]) -> list[Any]:
    """What is at a path of one element: nothing in place of a list has no events, in place of an event it is one."""
    if not path:
        return [value]
    step = path[0]
    if isinstance(step, str | int):
        return _events_in(document, _step(value, step), path[1:])
    if isinstance(value, list):
        items = value if step is None else step.of(document, value)
        return [event for one in items for event in _events_in(document, one, path[1:])]
    return [] if value is None else [None]


def _step(value: Any, step: Any) -> Any:
    if not isinstance(value, dict if isinstance(step, str) else list):
        return None
    try:
        return value[step]
    except (KeyError, IndexError):
        return None


def _decode(webhook: Webhook, format_: str) -> Any:
    if format_ == "json":
        return decode_json(webhook.body)
    if format_ == "jwt":
        return decode_json(token_part(webhook.body.decode("ascii", "replace").strip(), 1))
    if format_ == "form":
        return decode_form(webhook.body)
    return decode_multipart(webhook.body, webhook.headers["content-type"])


def token_part(token: str, place: int) -> bytes:
    """One part of a compact JWT. Raises `MalformedError`."""
    parts = token.split(".")
    try:
        if len(parts) != 3:
            raise ValueError
        padded = parts[place] + "=" * (-len(parts[place]) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except ValueError:
        raise MalformedError("the body is no compact JWT") from None


_Read = Callable[[Any], Any]


def _replace(value: Any, path: Path, read: _Read) -> Any:
    """`value` with `read` applied at `path`, copied as far as it changes; the same object if nothing is there."""
    if not path:
        return read(value)
    step, rest = path[0], path[1:]
    if step is None:
        if not isinstance(value, list):
            return value
        changed = [_replace(one, rest, read) for one in value]
        return changed if any(new is not old for new, old in zip(changed, value, strict=True)) else value
    if isinstance(value, dict) if isinstance(step, str) else isinstance(value, list):
        try:
            old = value[step]
        except (KeyError, IndexError):
            return value
        new = _replace(old, rest, read)
        if new is not old:
            value = value.copy()
            value[step] = new
    return value


def _nothing(_old: Any) -> None:
    return None


def _json_text(old: Any) -> Any:
    """A text that is not blank as its JSON."""
    if not isinstance(old, str) or not old.strip():
        return old
    try:
        return decode_json(old.encode())
    except MalformedError as error:
        raise MalformedError(f"a text that should be JSON is not: {error}") from None


def _base64_text(old: Any) -> Any:
    """A base64 text as its bytes: JSON if they are, else text."""
    if not isinstance(old, str):
        return old
    try:
        raw = base64.b64decode(old, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("a text that should be base64 is not") from None
    try:
        return decode_json(raw)
    except MalformedError:
        pass
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise MalformedError("a base64 text holds neither JSON nor text") from None
    if "\0" in text:
        raise MalformedError("a base64 text holds NUL")
    return text

"""CloudEvents over HTTP: structured, batched and binary.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from router.errors import MalformedError, UnsupportedMedia
from router.model import Webhook
from router.sources.jsontext import check_text, decode_json

_REQUIRED = ("id", "source", "specversion", "type")
_NO_ATTRIBUTES = frozenset({"datacontenttype", "data", "data_base64"})
_ESCAPED = re.compile(r"\\(.)")


def decode_cloudevents(webhook: Webhook, media: str) -> Any:
    """One event, or the list of a batch, not yet checked (`fault` does). The mode comes from the media type.

    Raises `MalformedError`, or `UnsupportedMedia` for another event format than JSON.
    """
    if media == "application/cloudevents+json":
        event = decode_json(webhook.body)
        if not isinstance(event, dict):
            raise MalformedError("a structured CloudEvent is an object")
        return event
    if media == "application/cloudevents-batch+json":
        batch = decode_json(webhook.body)
        if not isinstance(batch, list):
            raise MalformedError("a batch of CloudEvents is a list")
        return batch
    if media.startswith("application/cloudevents"):
        raise UnsupportedMedia("CloudEvents are taken as JSON", "application/cloudevents+json")
    return _binary(webhook, media)


def fault(event: Any) -> str:
    """Why this is no CloudEvent; empty if it is one."""
    if not isinstance(event, Mapping):
        return "not an object"
    blank = [name for name in _REQUIRED if not isinstance(event.get(name), str) or not event[name].strip()]
    if blank:
        return f"no CloudEvent: {', '.join(blank)} missing"
    if event.get("data") is not None and event.get("data_base64") is not None:
        return "no CloudEvent: data and data_base64 are both there"
    return "" if event["specversion"] == "1.0" else "no CloudEvent of version 1.0"


def _binary(webhook: Webhook, media: str) -> dict[str, Any]:
    """Attributes from `ce-*` headers, the payload under `data` (`data_base64` if it is no text)."""
    event: dict[str, Any] = {
        name[3:]: _attribute(value) for name, value in webhook.headers.items() if name.startswith("ce-")
    }
    if not _NO_ATTRIBUTES.isdisjoint(event):
        raise MalformedError("ce-datacontenttype and ce-data do not exist: they are the Content-Type and the body")
    if media:
        event["datacontenttype"] = webhook.headers["content-type"]
    if not webhook.body:
        return event
    if media == "application/json" or media.endswith("+json"):
        event["data"] = decode_json(webhook.body)
        return event
    try:
        event["data"] = webhook.body.decode()
    except UnicodeDecodeError:
        event["data_base64"] = base64.b64encode(webhook.body).decode()
    check_text(event)
    return event


def _attribute(value: str) -> str:
    """Unquoted, then one round of percent-decoding (§3.1.3.2). Raises `MalformedError` if that is no UTF-8."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _ESCAPED.sub(r"\1", value[1:-1])
    try:
        text = unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        raise MalformedError("a CloudEvents header is not UTF-8") from None
    if "\0" in text:
        raise MalformedError("a CloudEvents header holds NUL")
    return text

"""The way back through an envelope: a decoded request as the bytes and headers in which its sender would post it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

from router.errors import ConfigError
from router.sources.jsontext import encode_json

#: body, and the headers that belong to its format
Encoded = tuple[bytes, dict[str, str]]

#: stands in no text that anybody sends
_BOUNDARY = "router-6d1f3c0a9be24a57"
#: characters of an attribute that stand for themselves: printable ASCII but space, quotes and percent (§3.1.3.2 of the
#: HTTP binding of CloudEvents)
_PLAIN = "!#$&'()*+,/:;<=>?@[\\]^`{|}"
_STRUCTURED = "application/cloudevents+json"
_BATCHED = "application/cloudevents-batch+json"


def encode(format_: str, body: Any, content_type: str = "") -> Encoded:
    """A decoded body in a format of `FORMATS`, with its `content-type`. The given one stays where the format allows it.

    A CloudEvent is binary where the content type is its payload's, else structured. Raises `ConfigError` for a body
    that the format cannot express. A token (`jwt`) is still to be made of the claims.
    """
    return _ENCODERS[format_](body, content_type)


def _json(body: Any, content_type: str) -> Encoded:
    return encode_json(body), {"content-type": content_type or "application/json"}


def _lines(body: Any, content_type: str) -> Encoded:
    elements = body if isinstance(body, list) else [body]
    return b"\n".join(map(encode_json, elements)), {"content-type": content_type or "application/x-ndjson"}


def _form(body: Any, _content_type: str) -> Encoded:
    return urlencode(_fields(body)).encode(), {"content-type": "application/x-www-form-urlencoded"}


def _multipart(body: Any, _content_type: str) -> Encoded:
    parts = []
    for name, text in _fields(body):
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        parts.append(f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{escaped}"\r\n\r\n{text}\r\n')
    end = f"--{_BOUNDARY}--\r\n"
    return ("".join(parts) + end).encode(), {"content-type": f"multipart/form-data; boundary={_BOUNDARY}"}


def _fields(body: Any) -> list[tuple[str, str]]:
    """Names and texts in order; a list is a repeated name."""
    if not isinstance(body, Mapping):
        raise ConfigError("a form is a map of names and texts")
    return [
        (name, _text(name, value))
        for name, values in body.items()
        for value in (values if isinstance(values, list) else [values])
    ]


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping | list):
        raise ConfigError(f"the field {name!r} of a form is text, or a list of texts")
    return "" if value is None else encode_json(value).decode()


def _jwt(body: Any, _content_type: str) -> Encoded:
    return encode_json(body), {"content-type": "application/jwt"}


def _cloudevents(body: Any, content_type: str) -> Encoded:
    if isinstance(body, list):
        return encode_json(body), {"content-type": _BATCHED}
    if not content_type or content_type.lower().startswith("application/cloudevents"):
        return encode_json(body), {"content-type": content_type or _STRUCTURED}
    if not isinstance(body, Mapping):
        raise ConfigError("a CloudEvent is an object")
    headers = {
        f"ce-{name}": _attribute(value)
        for name, value in body.items()
        if name not in {"data", "data_base64", "datacontenttype"} and value is not None
    }
    return _payload(body, content_type), {"content-type": content_type, **headers}


def _payload(event: Mapping[str, Any], content_type: str) -> bytes:
    media = content_type.partition(";")[0].strip().lower()
    data = event.get("data")
    if "data_base64" in event:
        try:
            return base64.b64decode(event["data_base64"], validate=True)
        except (ValueError, TypeError):
            raise ConfigError("data_base64 of a CloudEvent is base64") from None
    if media == "application/json" or media.endswith("+json") or not isinstance(data, str | None):
        return encode_json(data) if "data" in event else b""
    return (data or "").encode()


def _attribute(value: Any) -> str:
    text = value if isinstance(value, str) else encode_json(value).decode()
    return quote_from_bytes(text.encode(), safe=_PLAIN)


_ENCODERS: Mapping[str, Callable[[Any, str], Encoded]] = {
    "json": _json,
    "lines": _lines,
    "form": _form,
    "multipart": _multipart,
    "jwt": _jwt,
    "cloudevents": _cloudevents,
}

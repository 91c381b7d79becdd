"""What the tests of sources share: a clock, requests, sources and keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from router.errors import UpstreamError
from router.model import Instant, Webhook, to_us
from router.sources import PRESETS, Envelope, Given, Identity, Source

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SECRET = "a secret of more than enough bytes"
SECRET_BASE64 = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRET_HEX = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
URL = "https://router.example.com/webhooks/x"
BODY = b'{"type":"user.updated","data":{"id":"u1","email":"ann@corp.example"}}'

JSON = {"content-type": "application/json"}


def request(
    body: bytes = BODY,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    query: Mapping[str, Sequence[str]] | None = None,
    remote_addr: str = "192.0.2.1",
    at: datetime = NOW,
) -> Webhook:
    """A request as the web process hands it on: JSON unless the headers say otherwise."""
    return Webhook("x", method, {**JSON, **(headers or {})}, query or {}, body, at, remote_addr)


def a_source(
    verify: Mapping[str, Any] | None = None,
    *secrets: str | Mapping[str, Any],
    identity: Identity | None = None,
    **options: Any,
) -> Source:
    """A source with secrets as texts (or maps); `none` where no `verify` is given."""
    given: list[Any] = [Given(secret) if isinstance(secret, str) else secret for secret in secrets]
    return Source("x", verify=verify or {"scheme": "none"}, secrets=given, identity=identity or BY_NAME, **options)


def secret_for(preset: str) -> str:
    """A secret of the form that a preset's sender uses."""
    verify = PRESETS[preset]["verify"]
    if verify.get("scheme") == "standard-webhooks":
        return SECRET_BASE64
    if verify.get("scheme") == "basic":
        return f"router:{SECRET}"
    return SECRET_HEX if verify.get("key", {}).get("encoding") == "hex" else SECRET


def text_at(name: str) -> Callable[[Any, Webhook], str | None]:
    """Reads a text of an event's top level."""
    return lambda event, _webhook: event.get(name) if isinstance(event, dict) else None


def instant_at(name: str) -> Callable[[Any, Webhook], Instant | None]:
    """Reads seconds since 1970 of an event's top level."""

    def read(event: Any, _webhook: Webhook) -> Instant | None:
        seconds = event.get(name) if isinstance(event, dict) else None
        return None if seconds is None else Instant(seconds * 1_000_000)

    return read


BY_NAME = Identity(type=text_at("type"), id=text_at("id"), time=instant_at("at"), version=text_at("version"))
AT = to_us(NOW) // 1_000_000


def after(seconds: float) -> datetime:
    """So much later than NOW."""
    return NOW + timedelta(seconds=seconds)


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def envelope(format_: str = "json", **options: Any) -> Envelope:
    return Envelope(format=format_, **options)


class Upstream:
    """Stands for the network: serves bytes by URL and remembers what was asked."""

    def __init__(self, pages: Mapping[str, bytes]) -> None:
        self.pages = dict(pages)
        self.asked: list[tuple[str, frozenset[str], int]] = []

    def __call__(self, url: str, hosts: frozenset[str], max_bytes: int) -> bytes:
        self.asked.append((url, hosts, max_bytes))
        if url not in self.pages:
            raise UpstreamError("away")
        return self.pages[url]

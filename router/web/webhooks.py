"""`/webhooks/<source>`: from the request to stored events, in one fixed order, and the answer only after the commit.

Source, method, size, bytes, handshake, signature, handshake, envelope, store, answer. A sender that cannot be believed
gets 401 and learns nothing; trouble of ours is 503 with `Retry-After`, never a 4xx, as some senders drop an event
on any.
"""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from router.errors import (
    BrokenVerification,
    MalformedError,
    SignatureError,
    StoreError,
    UnknownCertificate,
    UnsupportedMedia,
    UpstreamError,
    WebhookError,
)
from router.http import Door
from router.model import Webhook
from router.settings import Settings
from router.sources import Answer, Source
from router.store.base import Store
from router.web.body import BodyReader, TooSlow
from router.web.peer import Peer, Proxies
from router.web.rates import Rates
from router.web.refusals import Buckets, Refusals

log = logging.getLogger(__name__)

_JSON = "application/json"
_ERRORS = {
    400: b'{"error":"unreadable"}',
    401: b'{"error":"not authentic"}',
    404: b'{"error":"no such source"}',
    405: b'{"error":"method"}',
    410: b'{"error":"gone"}',
    413: b'{"error":"too large"}',
    415: b'{"error":"media type"}',
    503: b'{"error":"try again"}',
}
_MAX_QUERY_FIELDS = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Rendered(NamedTuple):
    """An answer as bytes."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Webhooks:
    """Answers requests to `/webhooks/<source>`. Shared by all threads."""

    def __init__(
        self,
        sources: Callable[[], Mapping[str, Source]],
        store: Store,
        settings: Settings,
        *,
        removed: Callable[[], Collection[str]] = frozenset,
        door: Door | None = None,
    ) -> None:
        """`removed` gives the sources that are gone for good, `door` fetches key sets and certificates."""
        self._sources = sources
        self._removed = removed
        self._store = store
        self._door = door or Door(dev=settings.dev)
        threads = settings.web_threads
        self._bodies = BodyReader(at_once=max(threads * 5 // 6, 1), per_address=max(threads // 3, 1))
        self._proxies = Proxies(settings.trusted_proxies)
        self._refusals = Refusals(store)
        self._failures = Buckets(60, 1)
        self._delays = Buckets(10, 1)
        self._breaks = Buckets(1, 1 / 60)
        self._rates = Rates(settings.web_processes)
        #: monotonic, of the last event that could not be stored
        self.failed_at = float("-inf")

    def answer(self, name: str, environ: Mapping[str, Any]) -> Rendered:
        """Answer one request, given as WSGI has it, to the source `name`. Never raises."""
        answer = self._answer(name, environ)
        return answer._replace(body=b"") if environ["REQUEST_METHOD"] == "HEAD" else answer

    def _answer(self, name: str, environ: Mapping[str, Any]) -> Rendered:
        try:
            source = self._sources().get(name)
            if source is None:
                return _error(410 if name in self._removed() else 404)
            return self._receive(source, environ)
        except StoreError as error:
            self.failed_at = time.monotonic()
            log.warning("a webhook of %s was not stored: %s", name, error)
        except (UpstreamError, TooSlow) as error:
            self._log_delay(name, error)
        except Exception:  # one request: whatever is in it, the sender tries again and the others go on
            number = secrets.token_hex(4)
            log.exception("a webhook broke, error %s", number)
            text = json.dumps({"error": "try again", "id": number}).encode()
            return _answer(503, text, {"Retry-After": "60"})
        return _error(503, {"Retry-After": "5"})

    def _receive(self, source: Source, environ: Mapping[str, Any]) -> Rendered:
        peer = self._proxies.peer(environ)
        if self._failures.is_empty(peer.address, time.monotonic()):
            return _error(503, {"Retry-After": "30"})
        if source.rate is not None and (wait_s := self._rates.wait_s(source.name, source.rate, time.monotonic())):
            return _error(503, {"Retry-After": str(math.ceil(wait_s))})
        body = b""
        advice: Callable[[], str] | None = None
        try:
            if environ["REQUEST_METHOD"] == "POST":
                _refuse_coded(environ)
                body = self._bodies.read(environ, source.max_bytes, peer.address)
            webhook = _webhook(source, environ, peer, body)
            answer = source.handshake_before(webhook, self._fetch)
            if answer is not None:
                return _rendered(answer)
            if webhook.method != "POST":
                return _error(405, {"Allow": "POST"})
            advice = partial(source.advice, webhook, webhook.received_at)
            return _rendered(self._store_events(source, webhook))
        except SignatureError as error:
            if isinstance(error, BrokenVerification):
                self._log_broken(source.name, error)
            self._count_failure(peer)
            self._refusals.record(source.name, error, peer, environ, len(body), advice)
            return _error(401, {"WWW-Authenticate": source.challenge} if source.challenge else {})
        except WebhookError as error:
            self._refusals.record(source.name, error, peer, environ, len(body))
            return _refused(error)
        except UnknownCertificate:
            self._count_failure(peer)
            raise

    def _count_failure(self, peer: Peer) -> None:
        if peer.own:
            self._failures.take(peer.address, time.monotonic())

    def _log_broken(self, name: str, error: BrokenVerification) -> None:
        """Per source and kind of exception one line a minute: it looks like a bad signature, and is ours to mend."""
        cause = error.__cause__
        missed = self._breaks.take(f"{name} {type(cause).__name__}", time.monotonic())
        if missed is not None:
            more = f" (and {missed} before it)" if missed else ""
            log.error("verifying a webhook of %s broke%s", name, more, exc_info=cause)

    def _log_delay(self, name: str, error: Exception) -> None:
        """Per source ten lines at once, then one a second: strangers cause them too."""
        missed = self._delays.take(name, time.monotonic())
        if missed is not None:
            more = f" (and {missed} webhooks before it)" if missed else ""
            log.warning("a webhook of %s has to come again: %s%s", name, error, more)

    def _store_events(self, source: Source, webhook: Webhook) -> Answer:
        source.verify(webhook, webhook.received_at, self._fetch)
        answer = source.handshake_after(webhook, self._fetch)
        if answer is not None:
            return answer
        events = source.decode(webhook)
        if source.rate is not None:
            self._rates.take(source.name, source.rate, len(events), time.monotonic())
        if events:
            self._store.put_events(events)
            self._store.hint()
        return source.ack

    def _fetch(self, url: str, allowed_hosts: Collection[str], max_bytes: int) -> bytes:
        return self._door.get(url, allowed_hosts=allowed_hosts, max_bytes=max_bytes)


def _webhook(source: Source, environ: Mapping[str, Any], peer: Peer, body: bytes) -> Webhook:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    if not peer.proxied:
        for header in source.proxy_headers:
            headers.pop(header, None)
    query: Mapping[str, list[str]] = {}
    if environ.get("QUERY_STRING"):
        try:
            query = parse_qs(environ["QUERY_STRING"], keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS)
        except ValueError:
            raise MalformedError("too many query parameters") from None
        if any(_CONTROL.search(text) for name, values in query.items() for text in (name, *values)):
            raise MalformedError("a query parameter holds a control character")
    return Webhook(source.name, environ["REQUEST_METHOD"], headers, query, body, datetime.now(UTC), peer.address)


def _refuse_coded(environ: Mapping[str, Any]) -> None:
    """The server takes chunks apart, and hands on any other coding of the transfer as if it were none."""
    codings = {coding.strip().lower() for coding in environ.get("HTTP_TRANSFER_ENCODING", "").split(",")}
    if codings - {"", "chunked", "identity"}:
        raise MalformedError("the transfer is compressed")
    if environ.get("HTTP_CONTENT_ENCODING", "").strip().lower() not in {"", "identity"}:
        raise UnsupportedMedia("the body is compressed")


def _rendered(answer: Answer) -> Rendered:
    """The answer as a source declares it: text as it stands, a map or list as JSON, None as no body."""
    body = answer.body
    if body is None:
        return _answer(answer.status, b"", answer.headers, answer.type)
    if isinstance(body, str):
        return _answer(answer.status, body.encode(), answer.headers, answer.type or "text/plain; charset=utf-8")
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return _answer(answer.status, text, answer.headers, answer.type or _JSON)


def _error(status: int, headers: Mapping[str, str] | None = None) -> Rendered:
    return _answer(status, _ERRORS[status], headers or {})


def _refused(error: WebhookError) -> Rendered:
    if isinstance(error, UnsupportedMedia) and error.wanted:
        return _answer(error.status, json.dumps({"error": "media type", "wanted": error.wanted}).encode(), {})
    return _error(error.status)


def _answer(status: int, body: bytes, headers: Mapping[str, str], kind: str | None = _JSON) -> Rendered:
    sent = [*headers.items()]
    if status != 204:
        sent.append(("Content-Length", str(len(body))))
    if kind is not None:
        sent.append(("Content-Type", kind))
    return Rendered(status, sent, body)

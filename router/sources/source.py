"""A configured source: verifies a webhook, opens it, and gives the events in it. Pure: no clock, network or store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from router.errors import ConfigError, SignatureError
from router.model import Event, Webhook
from router.sources.base import Answer, Envelope, Identity
from router.sources.envelopes import FORMATS, Opener, Path
from router.sources.handshakes import Request, answer_after, answer_before, as_handshakes, check_handshakes
from router.sources.identification import Numbering, identify
from router.sources.schemes import AllOf, Scheme, build, guarded, problems
from router.sources.schemes.advice import MAX_BODY
from router.sources.schemes.base import AnySecret, Fetcher, Proof
from router.sources.schemes.credentials import Basic
from router.sources.schemes.network import Network

_NO_HANDSHAKES: tuple[Mapping[str, Any], ...] = ()


class Source:
    """One sender as configured. May be used by many threads at once."""

    def __init__(
        self,
        name: str,
        *,
        verify: Mapping[str, Any],
        secrets: Sequence[AnySecret] = (),
        identity: Identity,
        envelope: Envelope | None = None,
        handshakes: Sequence[Mapping[str, Any]] = _NO_HANDSHAKES,
        ack: Answer | None = None,
        keep_headers: Sequence[str] = (),
        keep_query: Sequence[str] = (),
        max_bytes: int = 1_048_576,
        rate: tuple[int, float] | None = None,
        max_age_s: float | None = None,
        redact: Sequence[Path] = (),
        url: str | None = None,
        network: Mapping[str, Any] | None = None,
    ) -> None:
        """`verify` is a scheme with its parameters, `all_of` or `any_of`; `secrets` holds `Secret`s and, for `basic`,
        maps of `user` and `password`. `network` is laid on top of `verify`.

        Raises `ConfigError` for what `problems` finds, and for a missing secret or URL.
        """
        self.name = name
        #: largest body
        self.max_bytes = max_bytes
        #: most verified events at once, and per second; None: no limit
        self.rate = rate
        #: what is answered once the events are stored
        self.ack = ack or Answer()
        self._scheme = _build(verify, secrets, url, network)
        #: value of `WWW-Authenticate` in a 401, if one is due
        self.challenge = "Basic" if any(isinstance(part, Basic) for part in _parts(self._scheme)) else None
        #: headers that only a trusted proxy may set: delete them from any other request
        self.proxy_headers = frozenset(
            part.header for part in _parts(self._scheme) if isinstance(part, Network) and part.header
        )
        self._identity = identity
        self._envelope = envelope or Envelope()
        if self._envelope.format not in FORMATS:
            raise ConfigError(f"format is one of {', '.join(FORMATS)}")
        self._opener = Opener(self._envelope, redact)
        self._handshakes = as_handshakes(list(handshakes))
        check_handshakes(self._handshakes)
        self._keep_headers = tuple(header.lower() for header in keep_headers)
        self._keep_query = tuple(keep_query)
        self._max_age = None if max_age_s is None else timedelta(seconds=max_age_s)

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    def secret_problems(self) -> list[str]:
        """Why configured secrets cannot be used now (unset, too short, wrong form); never with their text."""
        return list(self._scheme.secret_problems())

    def handshake_before(self, webhook: Webhook, fetch: Fetcher | None = None) -> Answer | None:
        """The answer to a probe that needs no verified body, for any method; None: this is no such probe.

        Raises `SignatureError` if the probe must show a credential and does not, `UpstreamError`.
        """
        if not self._handshakes:
            return None
        return answer_before(self._handshakes, Request(webhook, self._scheme, self.ack, fetch))

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None = None) -> None:
        """Returns if the request is genuine, else raises `SignatureError`, or `UpstreamError` if that cannot be known.

        `now` is aware. `fetch` gets key sets and certificates, for the schemes that need some.
        """
        guarded(self._scheme, webhook, now, fetch)

    def advice(self, webhook: Webhook, now: datetime) -> str:
        """For the operator, of a request that `verify` refused: with which settings it would be believed; empty if that
        is not known. It costs up to `MAX_TRIES` digests of the body, so it is not for every request."""
        if len(webhook.body) > MAX_BODY:
            return ""
        try:
            return self._scheme.advice(webhook, now)
        except SignatureError:  # what it needs cannot be read
            return ""

    def handshake_after(self, webhook: Webhook, fetch: Fetcher | None = None) -> Answer | None:
        """The answer to a verified request that carries no event (a challenge, a ping); None: it carries some.

        Raises `UpstreamError` if a confirmation cannot be sent, `SignatureError` if it may not be.
        """
        if not self._handshakes:
            return None
        return answer_after(self._handshakes, Request(webhook, self._scheme, self.ack, fetch))

    def decode(self, webhook: Webhook) -> list[Event]:
        """The events of a verified request, in order; unreadable elements of a batch have `error`.

        Raises `MalformedError`, `UnsupportedMedia` or `TooLarge`; `SignatureError` if the one event is older than
        `max_age`, which is how a replay looks.
        """
        elements = self._opener.open(webhook)
        numbering = Numbering(webhook)
        kept = (
            {name: webhook.headers[name] for name in self._keep_headers if name in webhook.headers},
            {name: webhook.query[name][0] for name in self._keep_query if webhook.query.get(name)},
        )
        events = [
            identify(element, index, numbering, self._identity, webhook, kept) for index, element in enumerate(elements)
        ]
        return events if self._max_age is None else [self._fresh(event, len(events)) for event in events]

    def open(self, event: Event) -> Any:
        """The decoded data of a stored event, as `decode` saw it. Raises `MalformedError` if it was unreadable."""
        return self._opener.reopen(event)

    def sign(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> dict[str, str]:
        """The headers that the sender would send with `body`. Raises `ConfigError` where only the sender can sign."""
        return self._scheme.sign(body, now=now, event_id=event_id, method=method)

    def prove(self, body: bytes, *, now: datetime, event_id: str, forged: bool = False) -> Proof:
        """What the sender would post with `body`, wherever its proof goes; `forged`: with keys that nobody has.

        Raises `ConfigError` where only the sender can, `UpstreamError` if a secret is not there.
        """
        scheme = self._scheme.forger() if forged else self._scheme
        return scheme.prove(body, now=now, event_id=event_id)

    @property
    def covers(self) -> frozenset[str]:
        """What cannot be changed without being noticed: `signature` (or what is shown instead), `body`, `time`."""
        return self._scheme.covers

    @property
    def proof(self) -> str:
        """How a request is proved, such as `hmac-sha256 in stripe-signature`."""
        return self._scheme.text

    def _fresh(self, event: Event, count: int) -> Event:
        if self._max_age is None or event.error or event.received_at - event.occurred_at <= self._max_age:
            return event
        if count == 1:
            raise SignatureError("the event is older than max_age")
        return replace(event, error="older than max_age")


def _build(
    verify: Mapping[str, Any], secrets: Sequence[AnySecret], url: str | None, network: Mapping[str, Any] | None
) -> Scheme:
    definitions = [verify]
    if network is not None:
        # the address is the cheaper check
        definitions.insert(0, {"scheme": "network", **network})
    for definition in definitions:
        for path, message, hint in problems(definition):
            raise ConfigError(f"{'.'.join(('verify', *path))}: {message}" + (f" ({hint})" if hint else ""))
    parts = [build(definition, secrets, url) for definition in definitions]
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _parts(scheme: Scheme) -> list[Scheme]:
    if isinstance(scheme, AllOf):
        return [leaf for part in scheme.parts for leaf in _parts(part)]
    return [scheme]

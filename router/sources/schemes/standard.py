"""`standard-webhooks`: HMAC (`v1`) and ed25519 (`v1a`) over `id.timestamp.body`.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from router.errors import ConfigError, SecretError, SignatureError
from router.model import Webhook
from router.sources.schemes.base import (
    AnySecret,
    Fetcher,
    Param,
    Proof,
    Scheme,
    as_list,
    check_age,
    exact_base64,
    header_bytes,
    one_header,
)
from router.sources.schemes.hmac_header import decode_base64, key_reader, versioned

_PUBLIC, _PRIVATE = "whpk_", "whsk_"
_FAMILIES = ("webhook", "svix")
_MEMBERS = ("id", "timestamp", "signature")


class StandardWebhooks(Scheme):
    """A secret `whsec_…` checks `v1` entries, a public key `whpk_…` checks `v1a` entries, and neither the other's."""

    name = "standard-webhooks"
    params: ClassVar[Mapping[str, Param]] = {
        "families": Param("list", choices=_FAMILIES),
        "tolerance": Param("seconds"),
        "key": Param("map", keys={"strip": Param("texts"), "split": Param()}),
    }

    def __init__(self, definition: Mapping[str, Any], secrets: Sequence[AnySecret], url: str | None = None) -> None:
        super().__init__(definition, secrets, url)
        self._families: list[str] = as_list(definition.get("families", ["webhook"]))
        self._tolerance_s: int = definition.get("tolerance", 300)
        settings = {"strip": ["v1,", "whsec_"], **definition.get("key", {}), "encoding": "base64"}
        self._read_keys = key_reader(settings)

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """The three headers come from one family: the first whose signature is there.

        No header of another one may stand beside them: an id that nobody signed would be as good as the signed one.
        """
        family = next((f for f in self._families if webhook.headers.get(f"{f}-signature")), None)
        if family is None:
            raise SignatureError("the signature header is missing")
        if any(f"{other}-{member}" in webhook.headers for other in _FAMILIES if other != family for member in _MEMBERS):
            raise SignatureError("headers of two families are mixed")
        timestamp = one_header(webhook, f"{family}-timestamp")
        event_id = one_header(webhook, f"{family}-id")
        check_age(timestamp, now, self._tolerance_s)
        if "." in event_id:
            raise SignatureError("a full stop in the id makes the signed text ambiguous")
        value = webhook.headers[f"{family}-signature"]
        text = b".".join((header_bytes(event_id), timestamp.encode(), webhook.body))
        digests = [header_bytes(candidate) for candidate in versioned(value, "v1")]
        signatures = versioned(value, "v1a")
        genuine = False
        for key in self.keys():
            if key.startswith(_PUBLIC.encode()):
                genuine |= any(_signed_by(key, candidate, text) for candidate in signatures)
                continue
            expected = base64.b64encode(hmac.digest(key, text, "sha256"))
            for candidate in digests:
                genuine |= hmac.compare_digest(expected, candidate)
        if not genuine:
            raise SignatureError("no signature matches")

    def sign(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> dict[str, str]:
        """As the sender would, in the first header family; only with a `whsec_` secret."""
        family, timestamp = self._families[0], str(int(now.timestamp()))
        key = self.keys()[0]
        if key.startswith(_PUBLIC.encode()):
            raise ConfigError("a public key verifies and cannot sign")
        digest = hmac.digest(key, b".".join((event_id.encode(), timestamp.encode(), body)), "sha256")
        return {
            f"{family}-id": event_id,
            f"{family}-timestamp": timestamp,
            f"{family}-signature": f"v1,{base64.b64encode(digest).decode()}",
        }

    def prove(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> Proof:
        """As `sign`; refuses an id that would make the signed text ambiguous."""
        if "." in event_id:
            raise ConfigError("the id has a full stop, which separates it from the time in the signed text")
        return super().prove(body, now=now, event_id=event_id, method=method)

    @property
    def covers(self) -> frozenset[str]:
        return frozenset({"signature", "body", "time"})

    @property
    def text(self) -> str:
        return f"{self.name} in " + " or ".join(f"{family}-signature" for family in self._families)

    def derive(self, text: str) -> list[bytes]:
        """HMAC keys as they are; a public key behind its prefix, so that it is never taken for an HMAC key."""
        if text.startswith(_PRIVATE):
            raise SecretError("whsk_ is the sender's private key: a receiver is given whpk_ or whsec_")
        if not text.startswith(_PUBLIC):
            return self._read_keys(text)
        try:
            raw = decode_base64(text.removeprefix(_PUBLIC))
            Ed25519PublicKey.from_public_bytes(raw)
        except ValueError:
            raise SecretError("a whpk_ secret is not an ed25519 public key in base64") from None
        return [_PUBLIC.encode() + raw]


def _signed_by(key: bytes, candidate: str, text: bytes) -> bool:
    try:
        signature = exact_base64(header_bytes(candidate))
        Ed25519PublicKey.from_public_bytes(key[len(_PUBLIC) :]).verify(signature, text)
    except (ValueError, InvalidSignature, SignatureError):
        return False
    return True

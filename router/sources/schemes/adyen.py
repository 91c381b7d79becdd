"""`adyen-item`: one HMAC in every item of a notification, over eight of its fields.

https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures

Everything else in an item, `additionalData` included, is unsigned: combine it with `basic`.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from router.errors import ConfigError, MalformedError, SecretError, SignatureError
from router.model import Webhook
from router.sources.jsontext import decode_json, encode_json
from router.sources.schemes.base import Fetcher, Param, Proof, Scheme

_FIELDS = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")


class AdyenItem(Scheme):
    """Every item must be genuine, or the request is refused."""

    name = "adyen-item"
    params: ClassVar[Mapping[str, Param]] = {}

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """No escaping of `:` in the signed text: the sender does not either."""
        items = _member(decode_json(webhook.body), "notificationItems")
        if not isinstance(items, list) or not items:
            raise SignatureError("there is no item")
        keys = self.keys()
        for entry in items:
            item = _member(entry, "NotificationRequestItem")
            given = _part(_member(_member(item, "additionalData"), "hmacSignature")).encode()
            text = _signed_text(item)
            genuine = False
            for key in keys:
                genuine |= hmac.compare_digest(base64.b64encode(hmac.digest(key, text, "sha256")), given)
            if not genuine:
                raise SignatureError("an item is not signed by a known key")

    def prove(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> Proof:
        """The body with a signature in each item."""
        key = self.keys()[0]
        try:
            document = decode_json(body)
            for entry in document["notificationItems"]:
                item = entry["NotificationRequestItem"]
                signature = base64.b64encode(hmac.digest(key, _signed_text(item), "sha256")).decode()
                item["additionalData"] = {**item.get("additionalData", {}), "hmacSignature": signature}
        except (MalformedError, SignatureError, KeyError, TypeError, AttributeError):
            raise ConfigError("the body has no .notificationItems[].NotificationRequestItem to sign") from None
        return Proof(encode_json(document))

    @property
    def seals(self) -> bool:
        return True

    @property
    def text(self) -> str:
        return "hmac-sha256 in each item"

    def derive(self, text: str) -> list[bytes]:
        """The key is shown, and kept, as hexadecimal digits."""
        try:
            return [bytes.fromhex(text)]
        except ValueError:
            raise SecretError("an Adyen HMAC key is hexadecimal text") from None


def _member(value: Any, name: str) -> Any:
    found = value.get(name) if isinstance(value, Mapping) else None
    if found is None:
        raise SignatureError(f"there is no {name}")
    return found


def _signed_text(item: Mapping[str, Any]) -> bytes:
    amount = item.get("amount") or {}
    if not isinstance(amount, Mapping):
        raise SignatureError("the amount is no object")
    parts = [item.get(name) for name in _FIELDS]
    parts += [amount.get("value"), amount.get("currency"), item.get("eventCode"), item.get("success")]
    return ":".join(_part(part) for part in parts).encode()


def _part(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise SignatureError("a signed field is neither text nor a whole number")

"""A genuine request for every preset, signed with secrets and keys of these tests; and what its proof covers."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import Adyen.util

from router.errors import SignatureError, UpstreamError
from router.model import Webhook
from router.sources import PRESETS, Given, Source, lay_over, sign
from router.sources.examples import examples_of
from tests.sources.given import NOW, SECRET, SECRET_HEX, URL, Upstream, request, secret_for
from tests.sources.test_certificates import CERT_URL, NOTIFICATION, PAYPAL, PAYPAL_URL, SNS, certificate, paypal_headers
from tests.sources.test_certificates import signed as signed_as_sns
from tests.sources.test_jwt import JWKS, NOW_S, token
from tests.sources.test_presets import body_of, source_of

#: what the proof of a sender leaves open → the presets; docs/sources.md says the same
UNCOVERED: Mapping[str, frozenset[str]] = {
    "the body": frozenset(
        {
            "auth0-events",
            "auth0-logs",
            "chargebee",
            "cloudevents",
            "eventbridge",
            "frontegg",
            "google-pubsub",
            "jotform",
        }
        | {"make", "n8n", "okta", "pipedream", "retool", "supabase-db", "zapier"}
    ),
    "a body with the same CRC-32": frozenset({"paypal"}),
    "all but eight fields of an item": frozenset({"adyen"}),
    "`MessageAttributes`, `UnsubscribeURL`": frozenset({"aws-sns"}),
    "the headers that name its type or id": frozenset({"github", "lemonsqueezy", "shopify", "woocommerce"}),
}


@dataclass(frozen=True)
class Genuine:
    """A source and a request that it accepts."""

    name: str
    source: Source
    webhook: Webhook
    #: headers and query parameters that hold the proof
    proof: tuple[str, ...]
    fetch: Upstream | None = None

    def accepts(self, webhook: Webhook) -> bool:
        """The verdict of the source."""
        try:
            self.source.verify(webhook, NOW, self.fetch)
        except (SignatureError, UpstreamError):
            return False
        return True

    def with_body(self, body: bytes) -> Webhook:
        return replace(self.webhook, body=body)

    def with_headers(self, **headers: str) -> Webhook:
        """Headers laid over the genuine ones, under scores for hyphens."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self.webhook, headers={**self.webhook.headers, **given})

    def meaning(self, webhook: Webhook) -> Any:
        """Everything that the proof of this sender covers, and the proof itself, read in our own way."""
        verify = PRESETS[self.name]["verify"]
        kind = verify.get("scheme", self.name)
        headers = tuple(webhook.headers.get(name) for name in self.proof)
        if kind == "sns":
            message = _json(webhook.body)
            names = ("Type", "MessageId", "TopicArn", "Message", "Subject", "Timestamp", "Signature", "SigningCertURL")
            return [message.get(name) for name in names] if isinstance(message, dict) else message
        if kind == "cert-signature":
            return headers, zlib.crc32(webhook.body)
        if kind == "adyen":
            return _with_any_case(headers[0]), _items(webhook.body)
        if kind in {"token", "basic"} or self.name in UNCOVERED["the body"]:
            return tuple(map(_with_any_case, headers)), tuple(webhook.query.get("token", ()))
        if self.name == "kinde":
            return webhook.body.strip()
        if kind == "jwt":
            return tuple(map(_with_any_case, headers)), webhook.body
        return webhook.method, headers, webhook.body


SCHEMES_OF_HTTP = {"basic", "bearer"}


def _with_any_case(value: str | None) -> str | None:
    """A header whose first word, an authentication scheme, may be in any case."""
    word, blank, rest = (value or "").partition(" ")
    return word.lower() + blank + rest if word.lower() in SCHEMES_OF_HTTP else value


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _items(body: bytes) -> Any:
    fields = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference", "eventCode", "success")
    try:
        items = [entry["NotificationRequestItem"] for entry in json.loads(body)["notificationItems"]]
        return [
            (
                [item.get(field) or "" for field in fields],
                item["amount"].get("value"),
                item["amount"].get("currency"),
                item["additionalData"]["hmacSignature"],
            )
            for item in items
        ]
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def genuine(name: str) -> Genuine:
    """The example of a preset, signed as its sender would."""
    found = _ODD.get(name, _simple)(name)
    found.source.verify(found.webhook, NOW, found.fetch)  # and what it fetches is known from now on
    return found


def _request(name: str, source: Source, proof: Mapping[str, str], body: bytes | None = None, **more: Any) -> Genuine:
    example, headers = body_of(name)
    webhook = request(example if body is None else body, {**headers, **proof})
    return Genuine(name, source, webhook, tuple(proof), **more)


def _simple(name: str) -> Genuine:
    """Those that `router send` can sign too."""
    verify = PRESETS[name]["verify"]
    proof = sign(verify, body_of(name)[0], secret_for(name), now=NOW, event_id="msg_1", url=URL)
    return _request(name, source_of(name, verify), proof)


def _jotform(name: str) -> Genuine:
    found = _request(name, source_of(name, PRESETS[name]["verify"]), {})
    return replace(found, webhook=replace(found.webhook, query={"token": [SECRET]}))


def _jwt(name: str) -> Genuine:
    """A token of a key that stands in the configuration instead of at a URL."""
    pins: dict[str, Any] = {"jwks": JWKS}
    claims: dict[str, Any] = {"iat": NOW_S, "exp": NOW_S + 300}
    if "needs" in PRESETS[name]["verify"]:
        pins["audience"] = claims["aud"] = URL
        claims["iss"] = "https://accounts.google.com"
    if name == "google-pubsub":
        pins["require_claims"] = {"email": "push@corp.example", "email_verified": True}
        claims |= pins["require_claims"]
    if name == "keycloak-phasetwo-jwt":
        pins["issuer"] = claims["iss"]
    given = {key: value for key, value in PRESETS[name]["verify"].items() if key not in {"jwks_url", "needs"}}
    verify = lay_over(given, pins)
    source = source_of(name, verify)
    if name == "kinde":
        return _request(name, source, {}, token({**claims, **example_body(name)}).encode())
    if "body_claim" in verify:
        digest = hashlib.sha256(body_of(name)[0]).digest()
        in_hex = verify["body_claim"]["encoding"] == "hex"
        claims[verify["body_claim"]["name"]] = digest.hex() if in_hex else base64.b64encode(digest).decode()
    text = token(claims)
    return _request(name, source, {verify["name"].lower(): f"{verify.get('auth_scheme', '')} {text}".strip()})


def _sns(name: str) -> Genuine:
    fetch = Upstream({CERT_URL: certificate("sns.amazonaws.com")})
    body = signed_as_sns({**NOTIFICATION, "Subject": "A subject", "MessageAttributes": {}})
    return _request(name, source_of(name, SNS), {}, body, fetch=fetch)


def _paypal(name: str) -> Genuine:
    fetch = Upstream({PAYPAL_URL: certificate("messageverificationcerts.paypal.com")})
    return _request(name, source_of(name, PAYPAL), paypal_headers(body_of(name)[0]), fetch=fetch)


def example_body(name: str) -> dict[str, Any]:
    """The decoded body of a preset's first shipped example."""
    body: dict[str, Any] = json.loads(examples_of(name)[0].data)["body"]
    return body


def adyen_body(*items: Mapping[str, Any]) -> bytes:
    """A notification whose items Adyen's library has signed."""
    entries = []
    for item in items:
        bare = {key: value for key, value in item.items() if key != "additionalData"}
        signature = Adyen.util.generate_notification_sig(bare, SECRET_HEX).decode()
        given = {**item.get("additionalData", {}), "hmacSignature": signature}
        entries.append({"NotificationRequestItem": {**item, "additionalData": given}})
    return json.dumps({"live": "false", "notificationItems": entries}).encode()


def _adyen(name: str) -> Genuine:
    (entry,) = example_body(name)["notificationItems"]
    basic = {"scheme": "basic", "secret": {"user": "adyen", "password": Given(SECRET)}}
    verify = {"all_of": [basic, {"scheme": "adyen-item", "secret": Given(SECRET_HEX)}]}
    proof = sign({"scheme": "basic"}, b"", f"adyen:{SECRET}", now=NOW)
    return _request(name, source_of(name, verify), proof, adyen_body(entry["NotificationRequestItem"]))


_ODD = {
    "jotform": _jotform,
    "adyen": _adyen,
    "aws-sns": _sns,
    "paypal": _paypal,
    **dict.fromkeys(("kinde", "fusionauth", "keycloak-phasetwo-jwt", "google-pubsub"), _jwt),
}

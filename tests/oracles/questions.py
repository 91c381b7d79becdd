"""What the senders' libraries are asked: genuine requests, made by us or by them, and spoiled ones."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from router.model import iso
from router.sources import PRESETS, sign

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
URL = "https://router.example.com/webhooks/here"
BODY = json.dumps(
    {"id": "evt_1", "type": "user.created", "created": 1_768_000_000, "data": {"name": "Zoë 😀", "n": 1}},
    ensure_ascii=False,
    separators=(",", ":"),
)
SECRET, OTHER = "not_a_secret_of_anybody_0123456789", "another_one_that_is_no_secret_0123"
ENCODED, ENCODED_OTHER = (
    "whsec_bm90IGEgc2VjcmV0LCAzMiBieXRlcyBsb25nISE=",
    "whsec_YW5vdGhlciBvbmUgdGhhdCBpcyBubyBzZWNyZXQhISE=",
)
HEX, HEX_OTHER = "0011223344556677" * 4, "8899AABBCCDDEEFF" * 4


@dataclass
class Question:
    """One request, and the time it is judged at."""

    name: str
    body: str
    #: in lower case; None: the library makes them
    headers: Mapping[str, str] | None
    at: datetime = NOW
    made_by: str = "router"
    method: str = "POST"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "at": iso(self.at),
            "made_by": self.made_by,
            "method": self.method,
            "headers": None if self.headers is None else dict(self.headers),
            "body": self.body,
        }


@dataclass
class Topic:
    """One sender as one library knows it."""

    #: registry and name, as in `npm:stripe`
    library: str
    preset: str
    secret: str
    questions: list[Question]
    #: laid over the preset's `verify`
    verify: Mapping[str, Any] = field(default_factory=dict)
    #: URL → what is there
    pages: Mapping[str, str] = field(default_factory=dict)


def ours(preset: str, secret: str, body: str = BODY, at: datetime = NOW, **changes: Any) -> dict[str, str]:
    """The headers as we make them."""
    verify = {**PRESETS[preset]["verify"], **changes}
    return sign(verify, body.encode(), secret, now=at, event_id="msg_1", url=URL)


def common(
    preset: str, secret: str, other: str, *, makes: bool, more: Mapping[str, str] | None = None
) -> list[Question]:
    """Genuine and spoiled requests of a sender with an HMAC. `more` are headers that its library wants besides."""
    good = ours(preset, secret)
    found = [
        Question("genuine", BODY, good),
        Question("a changed body", BODY.replace("evt_1", "evt_2"), good),
        Question("a blank behind the body", BODY + " ", good),
        Question("the same JSON, written in another way", json.dumps(json.loads(BODY)), good),
        Question("half of the body", BODY[:20], good),
        Question("no body", "", good),
        Question("another secret", BODY, ours(preset, other)),
        Question("no header", BODY, {}),
        *_headers(good),
        *_times(preset, secret, good),
        *_lists(preset, good),
        *WEAKER.get(preset, lambda _secret: [])(secret),
    ]
    if makes:
        found.append(Question("genuine, by the library", BODY, None, made_by="library"))
        found.append(Question("genuine, by the library, ASCII", '{"type":"ping"}', None, made_by="library"))
    for question in found:
        if question.headers is not None:
            question.headers = {**(more or {}), **question.headers}
    return found


def _headers(good: Mapping[str, str]) -> Iterator[Question]:
    for name, value in good.items():
        rest = {header: text for header, text in good.items() if header != name}
        yield Question(f"without {name}", BODY, rest)
        spoiled = {
            "blank": "",
            "cut": value[:-1],
            "junk behind": value + "!!!!",
            "other case": value.swapcase(),
            "twice": f"{value},{value}",
        }
        for what, text in spoiled.items():
            if text != value:
                yield Question(f"{what}: {name}", BODY, {**rest, name: text})


def _times(preset: str, secret: str, good: Mapping[str, str]) -> Iterator[Question]:
    tolerance = PRESETS[preset]["verify"].get("tolerance")
    if not tolerance:
        yield Question("a year later", BODY, good, NOW + timedelta(days=365))
        return
    for name, seconds in {
        "a second old": 1,
        "as old as allowed": tolerance,
        "stale": tolerance + 1,
        "a day old": 86_400,
    }.items():
        yield Question(name, BODY, good, NOW + timedelta(seconds=seconds))
    yield Question("ahead as far as allowed", BODY, good, NOW - timedelta(seconds=tolerance))
    yield Question("too far ahead", BODY, good, NOW - timedelta(seconds=tolerance + 2))
    later = ours(preset, secret, at=NOW + timedelta(seconds=1))
    for header in good if len(good) > 1 else ():
        if later[header] != good[header]:
            yield Question(f"of another second: {header}", BODY, {**good, header: later[header]})
    stamp = str(int(NOW.timestamp()))
    for name, text in {"a zero before the time": "0" + stamp, "a plus before the time": "+" + stamp}.items():
        yield Question(name, BODY, {header: value.replace(stamp, text) for header, value in good.items()})


def _lists(preset: str, good: Mapping[str, str]) -> Iterator[Question]:
    """Several signatures in one header, and other labels."""
    verify = PRESETS[preset]["verify"]
    parse = "versioned" if verify["scheme"] == "standard-webhooks" else verify.get("parse", "plain")
    if parse not in {"pairs", "versioned"}:
        return
    (header,) = (name for name in good if name.endswith("-signature"))
    separator = verify.get("pair_sep", ",") if parse == "pairs" else " "
    label, joint = (verify["sig_key"], "=") if parse == "pairs" else ("v1", ",")
    *before, genuine = good[header].split(separator)
    digest = genuine.removeprefix(label + joint)
    junk = f"{label}{joint}{'0' * len(digest)}"
    lists = {
        "another signature first": [*before, junk, genuine],
        "another signature last": [*before, genuine, junk],
        "a signature of another version beside it": [*before, genuine, f"v0{joint}{digest}"],
        "an entry without a label": [*before, genuine, "x"],
        "only a signature of version 0": [*before, f"v0{joint}{digest}"],
        "only a signature of version 1a": [*before, f"v1a{joint}{digest}"],
        "only a signature without a label": [*before, digest],
        "only a label in capitals": [*before, f"{label.upper()}{joint}{digest}"],
    }
    if before:
        lists["the signature before the time"] = [genuine, *before]
        lists["two times"] = [*before, before[0].replace("1", "2"), genuine]
        lists["no time"] = [genuine]
    for name, entries in lists.items():
        yield Question(name, BODY, {**good, header: separator.join(entries)})


def _mac(secret: str, text: str, algorithm: str) -> str:
    return hmac.digest(secret.encode(), text.encode(), algorithm).hex()


def _weaker_github(secret: str) -> list[Question]:
    sha1 = _mac(secret, BODY, "sha1")
    return [
        Question("SHA-1 in its own header", BODY, {"x-hub-signature": f"sha1={sha1}"}, made_by="hand"),
        Question("SHA-1 in the header of SHA-256", BODY, {"x-hub-signature-256": f"sha1={sha1}"}, made_by="hand"),
        Question("SHA-1 called SHA-256", BODY, {"x-hub-signature-256": f"sha256={sha1}"}, made_by="hand"),
        Question("SHA-512", BODY, {"x-hub-signature-256": f"sha512={_mac(secret, BODY, 'sha512')}"}, made_by="hand"),
    ]


def _weaker_hubspot(secret: str) -> list[Question]:
    stamp = {"x-hubspot-request-timestamp": str(int(NOW.timestamp() * 1000))}
    texts = {"1": secret + BODY, "2": f"{secret}POST{URL}{BODY}"}
    found = []
    for version, text in texts.items():
        digest = hashlib.sha256(text.encode()).hexdigest()
        found.append(
            Question(
                f"version {version} in its own header", BODY, {**stamp, "x-hubspot-signature": digest}, made_by="hand"
            )
        )
        found.append(
            Question(
                f"version {version} as version 3", BODY, {**stamp, "x-hubspot-signature-v3": digest}, made_by="hand"
            )
        )
    return found


def _weaker_slack(secret: str) -> list[Question]:
    stamp = str(int(NOW.timestamp()))
    values = {
        "version 1": f"v1={_mac(secret, f'v1:{stamp}:{BODY}', 'sha256')}",
        "a digest without the time": f"v0={_mac(secret, BODY, 'sha256')}",
        "SHA-1": f"v0={_mac(secret, f'v0:{stamp}:{BODY}', 'sha1')}",
    }
    headers = {"x-slack-request-timestamp": stamp}
    return [
        Question(name, BODY, {**headers, "x-slack-signature": value}, made_by="hand") for name, value in values.items()
    ]


WEAKER = {"github": _weaker_github, "hubspot": _weaker_hubspot, "slack": _weaker_slack}

SHOPIFY = {
    "x-shopify-topic": "customers/update",
    "x-shopify-shop-domain": "corp.myshopify.com",
    "x-shopify-api-version": "2026-07",
    "x-shopify-webhook-id": "b1",
}


def topics() -> list[Topic]:
    """The senders with an HMAC over the bytes of a request."""

    def plain(library: str, preset: str, *, makes: bool, more: Mapping[str, str] | None = None) -> Topic:
        return Topic(library, preset, SECRET, common(preset, SECRET, OTHER, makes=makes, more=more))

    def encoded(library: str, preset: str, *, makes: bool, before: str = "") -> Topic:
        secret, other = before + ENCODED, before + ENCODED_OTHER
        return Topic(library, preset, secret, common(preset, secret, other, makes=makes))

    return [
        plain("npm:@octokit/webhooks-methods", "github", makes=True),
        plain("npm:@shopify/shopify-api", "shopify", makes=False, more=SHOPIFY),
        plain("npm:@paddle/paddle-node-sdk", "paddle", makes=False),
        plain("npm:stripe", "stripe", makes=True),
        plain("npm:square", "square", makes=False),
        plain("npm:@hubspot/api-client", "hubspot", makes=True),
        plain("npm:@workos-inc/node", "workos", makes=True),
        plain("npm:@slack/bolt", "slack", makes=False),
        encoded("npm:@clerk/backend", "clerk", makes=False),
        encoded("npm:svix", "svix", makes=True),
        encoded("npm:svix", "stytch", makes=True),
        encoded("npm:standardwebhooks", "standard-webhooks", makes=True),
        encoded("npm:standardwebhooks", "supabase-auth", makes=True, before="v1,"),
        Topic("npm:@adyen/api-library", "adyen-platform", HEX, common("adyen-platform", HEX, HEX_OTHER, makes=True)),
    ]

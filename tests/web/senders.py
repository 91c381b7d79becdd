"""Senders whose official libraries sign or judge webhooks: the preset, secrets of the right form, how the library
speaks, and what a weaker request of that sender looks like."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import NamedTuple

import Adyen.util
import gidgethub
import standardwebhooks
import stripe
import svix
import workos.actions
import workos.webhooks
from gidgethub.sansio import validate_event
from hubspot.exceptions import InvalidSignatureTimestampError
from hubspot.utils.signature import Signature
from paddle_billing.Notifications import PaddleSignature, Secret, Verifier
from slack_sdk.signature import SignatureVerifier
from square.utils.webhooks_helper import verify_signature
from workos.webhooks._verification import verify_header

from router.sources import PRESETS, sign

URL = "https://router.example.com/webhooks/here"
BODY = json.dumps(
    {"id": "evt_1", "type": "user.created", "created": 1_768_000_000, "data": {"é": 1}}, ensure_ascii=False
)
TEXT = "not_a_secret_of_anybody_0123456789"
OTHER = "another_one_that_is_no_secret_0123"
ENCODED = "whsec_" + base64.b64encode(b"not a secret of svix, 32 bytes..").decode()
ENCODED_OTHER = "whsec_" + base64.b64encode(b"another one that is no secret...").decode()
HEX, HEX_OTHER = "0011223344556677" * 4, "8899AABBCCDDEEFF" * 4

#: names in lower case
Headers = dict[str, str]
#: the text of a body, a secret, the time → the headers
Sign = Callable[[str, str, datetime], Headers]
#: the text of a body, headers, a secret → whether the library accepts them now
Judge = Callable[[str, Headers, str], bool]


class Sender(NamedTuple):
    """One sender as its library has it."""

    preset: str
    library: str
    sign: Sign
    judge: Judge
    #: genuine headers, a body and its secret → headers that prove less; each must be refused
    weaker: Callable[[Headers, str, str], list[Headers]]
    secret: str = TEXT
    other: str = OTHER


def hex_mac(key: str, text: str, algorithm: str = "sha256") -> str:
    return hmac.digest(key.encode(), text.encode(), algorithm).hex()


def base64_mac(key: str, text: str, algorithm: str = "sha256") -> str:
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), algorithm)).decode()


def seconds(at: datetime) -> str:
    return str(int(at.timestamp()))


def by_ourselves(preset: str) -> Sign:
    """Where a library only judges."""
    verify = PRESETS[preset]["verify"]
    return lambda body, secret, at: sign(verify, body.encode(), secret, now=at, event_id="msg_1", url=URL)


def accepted(check: Callable[[], object], *refusals: type[Exception]) -> bool:
    """Whether a library's check neither says no nor raises one of its refusals."""
    with contextlib.suppress(*refusals):
        return check() is not False
    return False


STRIPE, CALENDLY = "stripe-signature", "calendly-webhook-signature"
WORKOS, PADDLE = "workos-signature", "paddle-signature"
SLACK = ("x-slack-signature", "x-slack-request-timestamp")
ZOOM = ("x-zm-signature", "x-zm-request-timestamp")


# --- a list of pairs: Stripe, Calendly, WorkOS, Paddle ----------------------------------------------------------------


def sign_as_stripe(header: str) -> Sign:
    def signed(body: str, secret: str, at: datetime) -> Headers:
        value = stripe.WebhookSignature.generate_signature_header(body, secret, timestamp=int(at.timestamp()))
        return {header: value}

    return signed


def judge_as_stripe(header: str, tolerance: int) -> Judge:
    return lambda body, headers, secret: accepted(
        lambda: stripe.WebhookSignature.verify_header(body, headers.get(header), secret, tolerance),
        stripe.SignatureVerificationError,
    )


def weaker_pairs(header: str, separator: str, label: str) -> Callable[[Headers, str, str], list[Headers]]:
    """Another label, none, an empty one; a SHA-1; a digest of the body alone; no time, an empty one."""

    def weaker(good: Headers, body: str, secret: str) -> list[Headers]:
        stamp, _, digest = good[header].partition(separator)
        digest = digest.strip().removeprefix(f"{label}=")
        values = [f"{stamp}{separator}{other}={digest}" for other in ("v0", "v1a", label.upper(), label + "1", "")]
        values += [digest, stamp, f"{stamp}{separator}{digest}", f"{stamp}{separator}{label}="]
        values += [f"{label}={digest}", f"{stamp.partition('=')[0]}={separator}{label}={digest}"]
        time = stamp.partition("=")[2]
        mark = ":" if label == "h1" else "."
        values += [f"{stamp}{separator}{label}={hex_mac(secret, f'{time}{mark}{body}', 'sha1')}"]
        values += [f"{stamp}{separator}{label}={hex_mac(secret, body)}"]
        return [{header: value} for value in values]

    return weaker


def sign_workos(body: str, secret: str, at: datetime) -> Headers:
    stamp = str(int(at.timestamp() * 1000))
    return {WORKOS: f"t={stamp}, v1={workos.actions._compute_signature(f'{stamp}.{body}', secret)}"}


def judge_workos(body: str, headers: Headers, secret: str) -> bool:
    def check() -> None:
        verify_header(event_body=body.encode(), event_signature=headers.get(WORKOS, ""), secret=secret)

    return accepted(check, ValueError)


def sign_paddle(body: str, secret: str, at: datetime) -> Headers:
    digest = PaddleSignature.calculate_hmac(secret, f"{seconds(at)}:{body}".encode()).hexdigest()
    return {PADDLE: f"ts={seconds(at)};h1={digest}"}


def judge_paddle(body: str, headers: Headers, secret: str) -> bool:
    request = SimpleNamespace(headers={"Paddle-Signature": headers.get(PADDLE)}, body=body.encode())
    return accepted(lambda: Verifier(300).verify(request, Secret(secret)), ValueError)


# --- Standard Webhooks ------------------------------------------------------------------------------------------------


def sign_standard(family: str, library: type[standardwebhooks.Webhook] | type[svix.Webhook], before: str = "") -> Sign:
    def signed(body: str, secret: str, at: datetime) -> Headers:
        value = library(secret.removeprefix(before)).sign("msg_1", at, body)
        return {f"{family}-id": "msg_1", f"{family}-timestamp": seconds(at), f"{family}-signature": value}

    return signed


def judge_standard(library: type[standardwebhooks.Webhook] | type[svix.Webhook], before: str = "") -> Judge:
    return lambda body, headers, secret: accepted(
        lambda: library(secret.removeprefix(before)).verify(body, headers),
        standardwebhooks.WebhookVerificationError,
        ValueError,
    )


def weaker_standard(family: str) -> Callable[[Headers, str, str], list[Headers]]:
    """Another label or none; the key as text; a digest of the body alone, or in digits; headers of no family."""

    def weaker(good: Headers, body: str, secret: str) -> list[Headers]:
        name = f"{family}-signature"
        digest = good[name].removeprefix("v1,")
        values = [f"{label},{digest}" for label in ("v0", "v1a", "v2", "V1", "")] + [digest, "v1,", "v1"]
        text = f"{good[f'{family}-id']}.{good[f'{family}-timestamp']}.{body}"
        values += [f"v1,{base64_mac(secret, text)}", f"v1,{base64_mac(secret, body)}", f"v1,{hex_mac(secret, text)}"]
        mixed = {("standard-" + key if key != name else key): value for key, value in good.items()}
        return [{**good, name: value} for value in values] + [mixed]

    return weaker


# --- a digest and a time, in two headers: Slack, Zoom, HubSpot --------------------------------------------------------


def sign_as_slack(signature: str, time: str) -> Sign:
    def signed(body: str, secret: str, at: datetime) -> Headers:
        value = SignatureVerifier(secret).generate_signature(timestamp=seconds(at), body=body)
        return {signature: str(value), time: seconds(at)}

    return signed


def judge_as_slack(signature: str, time: str) -> Judge:
    return lambda body, headers, secret: accepted(
        lambda: SignatureVerifier(secret).is_valid(body, headers.get(time), headers.get(signature)), ValueError
    )


def weaker_slack(signature: str, time: str) -> Callable[[Headers, str, str], list[Headers]]:
    """Another version, none, an empty digest, one without the time, a SHA-1."""

    def weaker(good: Headers, body: str, secret: str) -> list[Headers]:
        digest = good[signature].removeprefix("v0=")
        values = [f"v1={digest}", f"v0:{digest}", f"V0={digest}", f"sha256={digest}", digest, "v0=", "v0"]
        values += [f"v0={hex_mac(secret, body)}", f"v0={hex_mac(secret, f'v0:{good[time]}:{body}', 'sha1')}"]
        return [{**good, signature: value} for value in values]

    return weaker


V3, V3_TIME = "x-hubspot-signature-v3", "x-hubspot-request-timestamp"


def sign_hubspot(body: str, secret: str, at: datetime) -> Headers:
    stamp = str(int(at.timestamp() * 1000))
    return {V3: Signature.get_signature(secret, body, "v3", URL, "POST", stamp), V3_TIME: stamp}


def judge_hubspot(body: str, headers: Headers, secret: str) -> bool:
    def check() -> bool:
        return Signature.is_valid(headers.get(V3, ""), secret, body, URL, "POST", "v3", headers.get(V3_TIME))

    return accepted(check, InvalidSignatureTimestampError)


def weaker_hubspot(good: Headers, body: str, secret: str) -> list[Headers]:
    """Versions 1 and 2, which HubSpot sends beside version 3, alone or in its place; a digest of the body alone."""
    first = hashlib.sha256(f"{secret}{body}".encode()).hexdigest()
    second = hashlib.sha256(f"{secret}POST{URL}{body}".encode()).hexdigest()
    older = [{"x-hubspot-signature": value, V3_TIME: good[V3_TIME]} for value in (first, second)]
    return [*older, *({**good, V3: value} for value in (first, second, base64_mac(secret, body), ""))]


# --- a digest of the body: GitHub, Square, Adyen's platform -----------------------------------------------------------

HUB, SQUARE, ADYEN = "x-hub-signature-256", "x-square-hmacsha256-signature", "hmacsignature"


def judge_github(body: str, headers: Headers, secret: str) -> bool:
    def check() -> None:
        validate_event(body.encode(), signature=headers.get(HUB, ""), secret=secret)

    return accepted(check, gidgethub.ValidationFailure)


def weaker_github(good: Headers, body: str, secret: str) -> list[Headers]:
    """The SHA-1 in its own header, and in the other's; other prefixes."""
    digest, sha1 = good[HUB].removeprefix("sha256="), hex_mac(secret, body, "sha1")
    values = [f"sha1={sha1}", f"sha256={sha1}", f"sha1={digest}", f"sha512={digest}", f"SHA256={digest}", digest]
    return [{"x-hub-signature": f"sha1={sha1}"}, {"x-hub-signature": good[HUB]}, *({HUB: value} for value in values)]


def judge_square(body: str, headers: Headers, secret: str) -> bool:
    return verify_signature(
        request_body=body, signature_header=headers.get(SQUARE, ""), signature_key=secret, notification_url=URL
    )


def weaker_square(_good: Headers, body: str, secret: str) -> list[Headers]:
    """The SHA-1 in its own header, and in the other's; a digest without the URL, and with another one."""
    sha1 = base64_mac(secret, URL + body, "sha1")
    others = [sha1, base64_mac(secret, body), base64_mac(secret, f"{URL}/{body}"), hex_mac(secret, URL + body)]
    return [{"x-square-signature": sha1}, *({SQUARE: value} for value in others)]


def sign_adyen_platform(body: str, secret: str, _at: datetime) -> Headers:
    return {ADYEN: Adyen.util.generate_payload_sig(body.encode(), secret).decode()}


def judge_adyen_platform(body: str, headers: Headers, secret: str) -> bool:
    return Adyen.util.is_valid_hmac_payload(headers.get(ADYEN, ""), secret, body.encode())


def weaker_adyen(_good: Headers, body: str, secret: str) -> list[Headers]:
    """The key as text; SHA-1; hexadecimal digits; the protocol's own header instead."""
    key = bytes.fromhex(secret)
    sha1 = base64.b64encode(hmac.digest(key, body.encode(), "sha1")).decode()
    digits = hmac.digest(key, body.encode(), "sha256").hex()
    return [{ADYEN: value} for value in (base64_mac(secret, body), sha1, digits)] + [{"protocol": "HmacSHA256"}]


_SVIX, _STANDARD = svix.Webhook, standardwebhooks.Webhook


def _standard(preset: str, library: str, family: str, kind: type, before: str = "") -> Sender:
    secrets = (before + ENCODED, before + ENCODED_OTHER)
    return Sender(
        preset,
        library,
        sign_standard(family, kind, before),
        judge_standard(kind, before),
        weaker_standard(family),
        *secrets,
    )


#: the senders by an id for the tests
SENDERS: Mapping[str, Sender] = {
    f"{sender.preset}-{sender.library}": sender
    for sender in (
        Sender(
            "stripe", "stripe", sign_as_stripe(STRIPE), judge_as_stripe(STRIPE, 300), weaker_pairs(STRIPE, ",", "v1")
        ),
        Sender(
            "calendly",
            "stripe",
            sign_as_stripe(CALENDLY),
            judge_as_stripe(CALENDLY, 180),
            weaker_pairs(CALENDLY, ",", "v1"),
        ),
        Sender("workos", "workos", sign_workos, judge_workos, weaker_pairs(WORKOS, ", ", "v1")),
        Sender("paddle", "paddle", sign_paddle, judge_paddle, weaker_pairs(PADDLE, ";", "h1")),
        _standard("standard-webhooks", "standardwebhooks", "webhook", _STANDARD),
        _standard("supabase-auth", "standardwebhooks", "webhook", _STANDARD, "v1,"),
        _standard("svix", "svix", "svix", _SVIX),
        _standard("svix", "standardwebhooks", "webhook", _STANDARD),
        _standard("clerk", "svix", "svix", _SVIX),
        _standard("stytch", "svix", "svix", _SVIX),
        Sender("slack", "slack", sign_as_slack(*SLACK), judge_as_slack(*SLACK), weaker_slack(*SLACK)),
        Sender("zoom", "slack", sign_as_slack(*ZOOM), judge_as_slack(*ZOOM), weaker_slack(*ZOOM)),
        Sender("hubspot", "hubspot", sign_hubspot, judge_hubspot, weaker_hubspot),
        Sender("github", "gidgethub", by_ourselves("github"), judge_github, weaker_github),
        Sender("square", "square", by_ourselves("square"), judge_square, weaker_square),
        Sender("adyen-platform", "adyen", sign_adyen_platform, judge_adyen_platform, weaker_adyen, HEX, HEX_OTHER),
    )
}

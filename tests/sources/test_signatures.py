"""Senders that sign: genuine requests pass, everything else is refused."""

from __future__ import annotations

import base64
import hmac
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from router.errors import ConfigError, SignatureError, UpstreamError
from router.model import Webhook
from router.sources import PRESETS, SCHEMES, Source, sign
from tests.sources.given import (
    BODY,
    NOW,
    SECRET,
    SECRET_BASE64,
    URL,
    a_source,
    after,
    request,
    secret_for,
)

SIGNED = sorted(
    name for name, preset in PRESETS.items() if preset["verify"].get("scheme") in {"hmac", "standard-webhooks"}
)
TIMED = [
    name
    for name in SIGNED
    if PRESETS[name]["verify"]["scheme"] == "standard-webhooks" or "{timestamp}" in PRESETS[name]["verify"]["signed"]
]
OTHER = {
    SECRET: "another secret of enough bytes",
    SECRET_BASE64: "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY",
    secret_for("adyen-platform"): "00" * 32,
}


def from_preset(name: str, *secrets: str) -> Source:
    return a_source(PRESETS[name]["verify"], *(secrets or (secret_for(name),)), url=URL)


def signed_by(name: str, *, at: Any = NOW, secret: str | None = None, body: bytes = BODY) -> dict[str, str]:
    return sign(PRESETS[name]["verify"], body, secret or secret_for(name), now=at, event_id="msg_1", url=URL)


@pytest.mark.parametrize("preset", SIGNED)
class TestEveryPreset:
    def test_accepts_a_genuine_request(self, preset: str) -> None:
        from_preset(preset).verify(request(headers=signed_by(preset)), NOW)

    def test_refuses_a_changed_body(self, preset: str) -> None:
        with pytest.raises(SignatureError):
            from_preset(preset).verify(request(BODY + b" ", signed_by(preset)), NOW)

    def test_refuses_another_secret(self, preset: str) -> None:
        headers = signed_by(preset, secret=OTHER[secret_for(preset)])
        with pytest.raises(SignatureError):
            from_preset(preset).verify(request(headers=headers), NOW)

    def test_refuses_when_any_header_is_missing_or_blank(self, preset: str) -> None:
        headers = signed_by(preset)
        for name in headers:
            for damaged in ({k: v for k, v in headers.items() if k != name}, {**headers, name: ""}):
                with pytest.raises(SignatureError):
                    from_preset(preset).verify(request(headers=damaged), NOW)

    def test_accepts_both_secrets_while_they_rotate(self, preset: str) -> None:
        new, old = secret_for(preset), OTHER[secret_for(preset)]
        for secret in (new, old):
            from_preset(preset, new, old).verify(request(headers=signed_by(preset, secret=secret)), NOW)

    def test_refuses_the_header_twice(self, preset: str) -> None:
        headers = {name: f"{value},{value}" for name, value in signed_by(preset).items()}
        with pytest.raises(SignatureError):
            from_preset(preset).verify(request(headers=headers), NOW)


@pytest.mark.parametrize("preset", TIMED)
@pytest.mark.parametrize("direction", [1, -1])
def test_refuses_stale_and_early_timestamps(preset: str, direction: int) -> None:
    tolerance = PRESETS[preset]["verify"]["tolerance"]
    webhook = request(headers=signed_by(preset))
    from_preset(preset).verify(webhook, after(direction * (tolerance - 1)))
    with pytest.raises(SignatureError):
        from_preset(preset).verify(webhook, after(direction * (tolerance + 2)))


@pytest.mark.parametrize("preset", sorted(set(SIGNED) - set(TIMED)))
def test_without_a_signed_time_age_does_not_matter(preset: str) -> None:
    from_preset(preset).verify(request(headers=signed_by(preset)), after(86_400))


# --- several signatures, labels, families -------------------------------------------------------------------------


def test_any_of_several_signatures_may_match() -> None:
    stamp, digest = signed_by("stripe")["stripe-signature"].split(",")
    for value in (f"{stamp},v1={'0' * 64},{digest}", f"{stamp},{digest},v1=rubbish", f"{stamp}, {digest},nonsense"):
        from_preset("stripe").verify(request(headers={"stripe-signature": value}), NOW)


def test_recurly_sends_two_digests_after_a_new_key() -> None:
    stamp, digest = signed_by("recurly")["recurly-signature"].split(",")
    from_preset("recurly").verify(request(headers={"recurly-signature": f"{stamp},{'0' * 64},{digest}"}), NOW)


@pytest.mark.parametrize("label", ["v0", "v1a", "V1", "v11", ""])
def test_another_label_is_never_the_expected_one(label: str) -> None:
    stamp, digest = signed_by("stripe")["stripe-signature"].split(",")
    with pytest.raises(SignatureError):
        from_preset("stripe").verify(request(headers={"stripe-signature": f"{stamp},{label}{digest[2:]}"}), NOW)
    headers = signed_by("svix")
    value = headers["svix-signature"].replace("v1,", f"{label},")
    with pytest.raises(SignatureError):
        from_preset("svix").verify(request(headers={**headers, "svix-signature": value}), NOW)


def test_two_timestamps_are_refused() -> None:
    value = signed_by("stripe")["stripe-signature"]
    for twice in (f"{value},t=1", f"{value},t=", f"t=,{value}"):
        with pytest.raises(SignatureError):
            from_preset("stripe").verify(request(headers={"stripe-signature": twice}), NOW)


STAMP = str(int(NOW.timestamp()))


@pytest.mark.parametrize(
    "stamp",
    [
        *(f"{STAMP} ", f" {STAMP}", f"{STAMP}\n", f"+{STAMP}", f"{STAMP[0]}_{STAMP[1:]}", f"{STAMP}.0", "nan", ""),
        *("".join(chr(ord(digit) + 0xFEE0) for digit in STAMP), f"{STAMP:0>17}"),
    ],
)
def test_odd_spellings_of_a_time_are_refused_even_if_they_are_signed(stamp: str) -> None:
    digest = hmac.digest(SECRET.encode(), f"{stamp}.".encode() + BODY, "sha256").hex()
    headers = {"stripe-signature": f"t={stamp},v1={digest}", "x-sig": digest, "x-time": stamp}
    apart = {"scheme": "hmac", "header": "X-Sig", "ts_header": "X-Time", "signed": "{timestamp}.{body}"}
    for source in (from_preset("stripe"), a_source(apart, SECRET)):
        with pytest.raises(SignatureError):
            source.verify(request(headers=headers), NOW)


def test_a_weaker_algorithm_in_the_header_is_refused() -> None:
    weak = hmac.digest(SECRET.encode(), BODY, "sha1").hex()
    for headers in ({"x-hub-signature-256": f"sha1={weak}"}, {"x-hub-signature": f"sha1={weak}"}):
        with pytest.raises(SignatureError):
            from_preset("github").verify(request(headers=headers), NOW)


def test_header_families_are_not_mixed() -> None:
    headers = signed_by("svix")
    mixed = {
        "svix-signature": headers["svix-signature"],
        "webhook-id": headers["svix-id"],
        "webhook-timestamp": headers["svix-timestamp"],
    }
    with pytest.raises(SignatureError):
        from_preset("svix").verify(request(headers=mixed), NOW)
    with pytest.raises(SignatureError):
        from_preset("standard-webhooks").verify(request(headers=headers), NOW)


@pytest.mark.parametrize("member", ["id", "timestamp", "signature"])
@pytest.mark.parametrize(("family", "other"), [("svix", "webhook"), ("webhook", "svix")])
@pytest.mark.parametrize("preset", ["svix", "clerk", "stytch", "standard-webhooks", "supabase-auth"])
def test_no_header_of_another_family_stands_beside_the_signed_ones(
    preset: str, family: str, other: str, member: str
) -> None:
    families = PRESETS[preset]["verify"]["families"]
    headers = {name.replace(families[0], family): value for name, value in signed_by(preset).items()}
    if family in families:
        from_preset(preset).verify(request(headers=headers), NOW)
    for value in ("fresh", headers[f"{family}-{member}"], ""):
        with pytest.raises(SignatureError):
            from_preset(preset).verify(request(headers={**headers, f"{other}-{member}": value}), NOW)


@pytest.mark.parametrize("preset", ["svix", "standard-webhooks"])
def test_an_id_with_the_separator_is_refused(preset: str) -> None:
    verify = PRESETS[preset]["verify"]
    headers = sign(verify, BODY, SECRET_BASE64, now=NOW, event_id="msg.1")
    with pytest.raises(SignatureError):
        from_preset(preset).verify(request(headers=headers), NOW)


VERSIONED = {
    "scheme": "hmac",
    "header": "X-Signature",
    "parse": "versioned",
    "sig_key": "v1",
    "id_header": "X-Id",
    "ts_header": "X-Time",
    "signed": "{id}.{timestamp}.{body}",
    "encoding": "base64",
    "algorithm": "sha512",
}


def test_a_sender_of_ones_own_is_a_few_parameters() -> None:
    headers = sign(VERSIONED, BODY, SECRET, now=NOW, event_id="d-1")
    a_source(VERSIONED, SECRET).verify(request(headers=headers), NOW)
    for event_id in ("d-2", "d.1", "d-1,d-1"):
        with pytest.raises(SignatureError):
            a_source(VERSIONED, SECRET).verify(request(headers={**headers, "x-id": event_id}), NOW)
        odd = sign(VERSIONED, BODY, SECRET, now=NOW, event_id=event_id)
        if event_id != "d-2":
            with pytest.raises(SignatureError):
                a_source(VERSIONED, SECRET).verify(request(headers=odd), NOW)


def test_pairs_without_a_time_need_none() -> None:
    verify = {"scheme": "hmac", "header": "X-Sig", "parse": "pairs", "pair_sep": ";", "sig_key": "s"}
    digest = hmac.digest(SECRET.encode(), BODY, "sha256").hex()
    a_source(verify, SECRET).verify(request(headers={"x-sig": f"alg=1;s={digest}"}), NOW)


def test_an_id_at_the_end_of_the_signed_text_may_hold_anything() -> None:
    verify = {"scheme": "hmac", "header": "X-Sig", "id_header": "X-Id", "signed": "{body}.{id}"}
    headers = sign(verify, BODY, SECRET, now=NOW, event_id="d.1")
    a_source(verify, SECRET).verify(request(headers=headers), NOW)


def test_the_url_that_is_signed_is_the_configured_one() -> None:
    with pytest.raises(ConfigError, match="url"):
        a_source(PRESETS["square"]["verify"], SECRET)
    headers = sign(PRESETS["square"]["verify"], BODY, SECRET, now=NOW, url="https://elsewhere.example")
    with pytest.raises(SignatureError):
        from_preset("square").verify(request(headers=headers), NOW)


def test_the_method_that_is_signed_is_the_request_s() -> None:
    headers = signed_by("hubspot")
    with pytest.raises(SignatureError):
        from_preset("hubspot").verify(request(headers=headers, method="PUT"), NOW)


# --- secrets ------------------------------------------------------------------------------------------------------


def test_supabase_shows_several_secrets_in_one_text() -> None:
    both = f"v1,{SECRET_BASE64}|v1,{OTHER[SECRET_BASE64]}"
    for secret in (SECRET_BASE64, OTHER[SECRET_BASE64]):
        from_preset("supabase-auth", both).verify(request(headers=signed_by("supabase-auth", secret=secret)), NOW)


@pytest.mark.parametrize(
    ("preset", "secret"),
    [
        ("stripe", "short"),
        ("stripe", " "),
        ("svix", "whsec_"),
        ("svix", "whsec_not base64 at all!"),
        ("svix", f"{SECRET_BASE64}!!!!"),
        ("svix", "whsk_" + "A" * 44),
        ("svix", "whpk_AAAA"),
        ("adyen-platform", "no hexadecimal text here"),
    ],
)
def test_an_unusable_secret_is_our_trouble_and_never_a_yes(preset: str, secret: str) -> None:
    source = from_preset(preset, secret)
    headers = signed_by(preset)
    with pytest.raises(UpstreamError) as caught:
        source.verify(request(headers=headers), NOW)
    assert secret.strip()[:12] not in str(caught.value) or not secret.strip()
    assert len(source.secret_problems()) == 1


def test_usable_secrets_have_no_problem() -> None:
    assert from_preset("stripe").secret_problems() == []


# --- ed25519 ------------------------------------------------------------------------------------------------------

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
WHPK = "whpk_" + base64.b64encode(PUBLIC).decode()


def asymmetric(body: bytes = BODY, label: str = "v1a") -> Webhook:
    stamp = str(int(NOW.timestamp()))
    signature = PRIVATE.sign(b".".join((b"msg_1", stamp.encode(), body)))
    value = f"{label},{base64.b64encode(signature).decode()}"
    return request(BODY, {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": value})


def test_a_public_key_checks_ed25519_signatures() -> None:
    from_preset("standard-webhooks", WHPK).verify(asymmetric(), NOW)
    for damaged in (asymmetric(b"{}"), asymmetric(label="v1")):
        with pytest.raises(SignatureError):
            from_preset("standard-webhooks", WHPK).verify(damaged, NOW)


def test_an_ed25519_signature_has_one_spelling() -> None:
    value = asymmetric().headers["webhook-signature"]
    assert value.endswith("==")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    idle = value[:-3] + letters[letters.index(value[-3]) ^ 1] + "=="
    for other in (idle, value + "!", value[:-1]):
        with pytest.raises(SignatureError):
            from_preset("standard-webhooks", WHPK).verify(
                request(BODY, {**asymmetric().headers, "webhook-signature": other}), NOW
            )


@pytest.mark.parametrize("value", ["v1a,", "v1a,!!!!", "v1a,AAAA", "v1a"])
def test_rubbish_in_place_of_an_ed25519_signature_is_refused(value: str) -> None:
    headers = {**asymmetric().headers, "webhook-signature": value}
    with pytest.raises(SignatureError):
        from_preset("standard-webhooks", WHPK).verify(request(BODY, headers), NOW)


def test_a_public_key_is_never_an_hmac_key() -> None:
    stamp = str(int(NOW.timestamp()))
    text = b".".join((b"msg_1", stamp.encode(), BODY))
    for key in (PUBLIC, WHPK.encode(), b"whpk_" + PUBLIC):
        value = "v1," + base64.b64encode(hmac.digest(key, text, "sha256")).decode()
        headers = {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": value}
        with pytest.raises(SignatureError):
            from_preset("standard-webhooks", WHPK).verify(request(BODY, headers), NOW)


def test_public_key_and_secret_may_be_valid_at_once() -> None:
    source = from_preset("standard-webhooks", WHPK, SECRET_BASE64)
    source.verify(asymmetric(), NOW)
    source.verify(request(headers=signed_by("standard-webhooks")), NOW)


def test_a_public_key_cannot_sign() -> None:
    with pytest.raises(ConfigError, match="public key"):
        sign(PRESETS["svix"]["verify"], BODY, WHPK, now=NOW)


def test_the_clock_is_an_argument() -> None:
    webhook = request(headers=signed_by("stripe", at=NOW - timedelta(days=400)))
    from_preset("stripe").verify(webhook, NOW - timedelta(days=400))


def test_every_scheme_is_in_the_table_under_its_name() -> None:
    assert all(scheme.name == name for name, scheme in SCHEMES.items())

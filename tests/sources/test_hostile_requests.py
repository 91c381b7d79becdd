"""Whatever strangers send: verification refuses it, and never breaks."""

from __future__ import annotations

import base64
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import BrokenVerification, SignatureError
from router.model import Webhook
from router.sources import PRESETS, Given, Source, sign
from tests.sources.given import BODY, NOW, SECRET, SECRET_HEX, URL, a_source, request, secret_for
from tests.sources.test_signatures import SIGNED, VERSIONED, from_preset, signed_by

VALUES = [
    "",
    " ",
    ",",
    ";",
    "=",
    "t=",
    "t=,v1=",
    "v1",
    "v1,",
    "v1,,",
    "sha256=",
    "sha1=",
    "v0=",
    "\xff",
    "\xff\xfe",
    "sha256=\xff",
    "t=1,v1=\xff",
    "１２３",
    "nan",
    "inf",
    "-1",
    "+5",
    "1_000",
    "1e3",
    " 12 ",
    "0" * 17,
    "9" * 16,
    "Ā",
    "\udc80",
    "Bearer",
    "Bearer ",
    "Basic",
    "Basic !!!!",
    "Basic " + "=" * 8,
    "Basic dXNlcg==",
    "a.b.c",
    "..",
    "eyJhbGciOiJub25lIn0.e30.",
    "x" * 8192,
    ",".join(["v1=0"] * 1000),
    " ".join(["v1,0"] * 1000),
]

TOPIC = "arn:aws:sns:eu-north-1:111122223333:users"
#: every scheme whose proof is in headers, as a complete definition
SOURCES: dict[str, Source] = {
    **{name: from_preset(name) for name in SIGNED},
    "versioned": a_source(VERSIONED, SECRET),
    "token": a_source({"scheme": "token", "name": "Authorization", "auth_scheme": "Bearer"}, SECRET),
    "bare token": a_source({"scheme": "token", "name": "X-Token"}, SECRET),
    "query token": a_source({"scheme": "token", "in": "query", "name": "token"}, SECRET),
    "basic": a_source({"scheme": "basic"}, {"user": "user", "password": Given(SECRET)}),
    "jwt": a_source({"scheme": "jwt", "name": "X-Jwt", "algorithms": ["HS256"]}, SECRET),
    "jwt body": a_source({"scheme": "jwt", "location": "body", "algorithms": ["HS256"]}, SECRET),
    "adyen": a_source({"scheme": "adyen-item"}, SECRET_HEX),
    "sns": a_source({"scheme": "sns", "topics": [TOPIC]}),
    "paypal": a_source({"scheme": "cert-signature", "webhook_id": "WH1"}),
    "network": a_source({"scheme": "network", "ip_allow": "10.0.0.0/8"}),
}
HEADERS = sorted(
    {name for preset in SIGNED for name in sign(PRESETS[preset]["verify"], BODY, secret_for(preset), now=NOW, url=URL)}
    | {"authorization", "x-token", "x-jwt", "x-id", "x-time", "x-signature"}
    | {f"paypal-{name}" for name in ("transmission-id", "transmission-time", "transmission-sig", "cert-url")}
)


def refused(source: Source, webhook: Webhook) -> None:
    with pytest.raises(SignatureError) as caught:
        source.verify(webhook, NOW)
    assert not isinstance(caught.value, BrokenVerification), caught.value.__cause__


@pytest.mark.parametrize("name", SOURCES)
def test_hostile_values_are_refused_and_break_nothing(name: str) -> None:
    for value in VALUES:
        headers = dict.fromkeys(HEADERS, value)
        refused(SOURCES[name], request(headers=headers, query={"token": [value]}, remote_addr=value))


@pytest.mark.parametrize("preset", SIGNED)
@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_one_hostile_header_beside_good_ones_is_refused(preset: str, value: str) -> None:
    headers = signed_by(preset)
    for name in headers:
        refused(from_preset(preset), request(headers={**headers, name: value}))


@pytest.mark.parametrize("preset", [name for name in SIGNED if PRESETS[name]["verify"].get("encoding") != "base64"])
def test_upper_case_digits_are_refused(preset: str) -> None:
    if PRESETS[preset]["verify"]["scheme"] != "hmac":
        return
    header = PRESETS[preset]["verify"]["header"].lower()
    headers = signed_by(preset)
    start = max(headers[header].rfind("="), headers[header].rfind(","))
    value = headers[header][: start + 1] + headers[header][start + 1 :].upper()
    refused(from_preset(preset), request(headers={**headers, header: value}))


@pytest.mark.parametrize("tail", ["!!!!", "\n", "=", "==", "A"])
def test_base64_with_something_behind_it_is_refused(tail: str) -> None:
    for preset in ("shopify", "svix"):
        header = {"shopify": "x-shopify-hmac-sha256", "svix": "svix-signature"}[preset]
        headers = signed_by(preset)
        refused(from_preset(preset), request(headers={**headers, header: headers[header] + tail}))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"{}", b'"x"', b"\xff", b"[" * 100_000, b'{"notificationItems":[]}', b"1" * 5000),
        *(b'{"notificationItems":[{}]}', b'{"notificationItems":{"a":1}}', b'{"TopicArn":[]}'),
        *(b'{"notificationItems":[5]}', b'{"notificationItems":[{"NotificationRequestItem":5}]}'),
        b'{"notificationItems":[{"NotificationRequestItem":{"additionalData":{"hmacSignature":[]}}}]}',
        b'{"notificationItems":[{"NotificationRequestItem":{"amount":5,"additionalData":{"hmacSignature":"a"}}}]}',
        *(b"\xa0a.b.c", b"W10.e30.YQ", base64.urlsafe_b64encode(b"[" * 90_000).rstrip(b"=") + b".e30.YQ"),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_hostile_bodies_are_refused_where_the_proof_is_in_the_body(body: bytes) -> None:
    for name in ("adyen", "sns", "jwt body"):
        refused(SOURCES[name], request(body))


SNS = {
    "TopicArn": TOPIC,
    "SignatureVersion": "2",
    "Timestamp": NOW.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "SigningCertURL": "https://sns.eu-north-1.amazonaws.com/a.pem",
}


@pytest.mark.parametrize(
    "change",
    [
        *({name: 5} for name in SNS),
        *({"SigningCertURL": url} for url in ("https://[", "http://sns.eu-north-1.amazonaws.com/a.pem", "a b", "\xff")),
        *({"Timestamp": time} for time in ("2026-13-45T00:00:00Z", "2026-01-10T99:00:00Z", "")),
    ],
    ids=repr,
)
def test_a_hostile_notification_is_refused_before_its_certificate_is_asked_for(change: dict[str, object]) -> None:
    refused(SOURCES["sns"], request(json.dumps({**SNS, **change}).encode()))


@pytest.mark.parametrize("url", ["https://[", "https://api.paypal.com:99999/v1/notifications/certs/a", "a b"])
def test_a_hostile_place_of_a_certificate_is_refused(url: str) -> None:
    headers = {
        "paypal-transmission-id": "1",
        "paypal-transmission-time": NOW.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "paypal-transmission-sig": "YQ==",
        "paypal-auth-algo": "SHA256withRSA",
        "paypal-cert-url": url,
    }
    refused(SOURCES["paypal"], request(headers=headers))


@settings(max_examples=200)
@given(headers=st.dictionaries(st.sampled_from(HEADERS), st.text(max_size=60)), body=st.binary(max_size=60))
def test_no_random_request_is_accepted(headers: dict[str, str], body: bytes) -> None:
    for source in SOURCES.values():
        refused(source, request(body, headers, query={"token": list(headers.values())[:1]}))


def test_a_timestamp_that_is_not_a_number_cannot_pass_a_comparison() -> None:
    assert not abs(math.nan - 1) > 300  # why timestamps are digits before they are numbers
    refused(from_preset("stripe"), request(headers={"stripe-signature": "t=nan,v1=" + "0" * 64}))

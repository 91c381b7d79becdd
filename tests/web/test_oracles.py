"""The senders' own libraries sign; the web, configured with the presets of the example rules, accepts or refuses."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import standardwebhooks
import stripe
import svix

from router.ruleset import load
from router.settings import Settings
from router.store.store import open_store
from router.web import create_app
from tests.web.conftest import Site

STRIPE = "whsec_not_a_secret_of_stripe_0123456789"
ENCODED = "whsec_" + base64.b64encode(b"not a secret of svix, 32 bytes..").decode()
OTHER = "whsec_" + base64.b64encode(b"another one that is no secret...").decode()
RULES = {
    "stripe.yaml": b"source: {name: stripe, secret: $env.T_STRIPE}\nrules: {}\n",
    "clerk.yaml": b"source: {name: clerk, secret: $env.T_SVIX}\nrules: {}\n",
    "hooks.yaml": b"source: {name: hooks, preset: standard-webhooks, secret: $env.T_SVIX}\nrules: {}\n",
}
BODY = json.dumps(
    {"id": "evt_1", "type": "user.created", "created": 1_768_000_000, "data": {"é": 1}}, ensure_ascii=False
)


def sign_stripe(body: str, secret: str, at: datetime) -> dict[str, str]:
    header = stripe.WebhookSignature.generate_signature_header(body, secret, timestamp=int(at.timestamp()))
    return {"Stripe-Signature": header}


def sign_svix(body: str, secret: str, at: datetime) -> dict[str, str]:
    signature = svix.Webhook(secret).sign("msg_1", at, body)
    return {"svix-id": "msg_1", "svix-timestamp": str(int(at.timestamp())), "svix-signature": signature}


def sign_standard(body: str, secret: str, at: datetime) -> dict[str, str]:
    signature = standardwebhooks.Webhook(secret).sign("msg_1", at, body)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


Sign = Callable[[str, str, datetime], dict[str, str]]
SENDERS: list[Any] = [
    pytest.param("stripe", sign_stripe, STRIPE, "whsec_another_one_0123456789", id="stripe"),
    pytest.param("clerk", sign_svix, ENCODED, OTHER, id="svix"),
    pytest.param("hooks", sign_standard, ENCODED, OTHER, id="standardwebhooks"),
]


@pytest.fixture
def site(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("T_STRIPE", STRIPE)
    monkeypatch.setenv("T_SVIX", ENCODED)
    sources = dict(load(RULES, {}).sources)
    store = open_store(sqlite_url, role="web")
    yield Site(create_app(lambda: sources, store, Settings(database_url=sqlite_url)), store, sources)
    store.close()


def post(site: Site, source: str, body: str, headers: dict[str, str]) -> int:
    given = {"Content-Type": "application/json", **headers}
    return site.client.post(f"/webhooks/{source}", data=body.encode(), headers=given).status_code


@pytest.mark.parametrize(("source", "sign", "secret", "other"), SENDERS)
def test_what_the_official_library_signs_is_stored(
    site: Site, source: str, sign: Sign, secret: str, other: str
) -> None:
    assert post(site, source, BODY, sign(BODY, secret, datetime.now(UTC))) == 200
    (row,) = site.rows("events")
    assert bytes(row.body) == BODY.encode()


@pytest.mark.parametrize(("source", "sign", "secret", "other"), SENDERS)
def test_what_it_would_not_have_signed_is_refused(site: Site, source: str, sign: Sign, secret: str, other: str) -> None:
    now = datetime.now(UTC)
    good = sign(BODY, secret, now)
    refused = [
        (BODY + " ", good),
        (BODY, sign(BODY, other, now)),
        (BODY, sign(BODY, secret, now - timedelta(minutes=6))),
        (BODY, sign(BODY, secret, now + timedelta(minutes=6))),
        (BODY, {}),
    ]
    refused += [(BODY, {**good, name: ""}) for name in good]
    refused += [(BODY, {name: value for name, value in good.items() if name != gone}) for gone in good]
    assert [post(site, source, body, headers) for body, headers in refused] == [401] * len(refused)
    assert site.rows("events") == []


def test_a_time_that_is_not_the_signed_one_is_refused(site: Site) -> None:
    now = datetime.now(UTC)
    shifted = str(int(time.time()) + 1)
    assert post(site, "clerk", BODY, {**sign_svix(BODY, ENCODED, now), "svix-timestamp": shifted}) == 401
    assert post(site, "hooks", BODY, {**sign_standard(BODY, ENCODED, now), "webhook-id": "msg_2"}) == 401

"""Every preset with an example of its sender: verified, opened, identified, opened again."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest

from router.model import Event
from router.ruleset.identities import identity_of, key_path
from router.ruleset.language import compile_value
from router.sources import PRESETS, Envelope, Given, Source, lay_over, sign
from router.sources.envelopes import elements_at
from router.sources.examples import DIRECTORY, Example, examples_of
from tests.sources.given import NOW, SECRET, URL, as_bytes, request, secret_for
from tests.sources.test_envelopes import compact
from tests.sources.test_jwt import JWKS


def compiled(text: Any) -> Any:
    return compile_value(text, tables={}, allow=frozenset())


def envelope_of(preset: dict[str, Any]) -> Envelope:
    given = preset.get("envelope", {})
    return Envelope(
        format=given.get("format", "json"),
        events=elements_at(key_path(given["events"]) or ()) if "events" in given else None,
        parse_json=tuple(key_path(text) for text in given.get("parse_json", ())),  # type: ignore[misc]
        parse_base64=tuple(key_path(text) for text in given.get("parse_base64", ())),  # type: ignore[misc]
    )


def source_of(name: str, verify: Any = None) -> Source:
    preset: Any = PRESETS[name]
    identity = {part: compiled(text) for part, text in preset["identity"].items()}
    pair = {"user": "router", "password": Given(SECRET)}
    return Source(
        name,
        verify=verify or {"scheme": "none"},
        secrets=[Given(SECRET if verify is None else secret_for(name)), pair],
        identity=identity_of(identity, name, None, "UTC"),
        envelope=envelope_of(preset),
        url=URL,
    )


def example_of(name: str) -> Any:
    """The example that the table below is about."""
    (found,) = [one for one in examples_of(name) if one.type == slug(EXPECTED[name][0])]
    return json.loads(found.data)


def slug(kind: str) -> str:
    """A type as it stands in the name of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", kind)


def body_of(name: str, example: Any = None) -> tuple[bytes, dict[str, str]]:
    """The example as it comes over the wire."""
    example = example or example_of(name)
    headers = {"content-type": "application/json", **example.get("header", {})}
    format_ = PRESETS[name].get("envelope", {}).get("format", "json")
    if format_ == "jwt":
        return compact(as_bytes(example["body"])), {**headers, "content-type": "application/jwt"}
    if format_ == "multipart":
        parts = "".join(
            f'--b\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{text}\r\n'
            for key, text in example["body"].items()
        )
        return f"{parts}--b--\r\n".encode(), {**headers, "content-type": "multipart/form-data; boundary=b"}
    if format_ == "cloudevents" and headers["content-type"] == "application/json":
        event = example["body"]
        attributes = {f"ce-{key}": value for key, value in event.items() if key not in {"data", "datacontenttype"}}
        return as_bytes(event["data"]), {**headers, **attributes}
    return as_bytes(example["body"]), headers


JAN = "2026-01-10T00:00:00+00:00"
#: preset → type, id (None: made from the bytes), time (None: the receipt), version (a counter, a time or None)
EXPECTED: dict[str, tuple[str, str | None, str | None, int | str | None]] = {
    "stripe": ("customer.updated", "evt_1Qexample", "2026-01-09T23:06:40+00:00", None),
    "calendly": (
        "invitee.created",
        "invitee.created https://api.calendly.com/scheduled_events/E/invitees/I",
        JAN,
        JAN,
    ),
    "workos": ("dsync.user.created", "event_01EXAMPLE", JAN, JAN),
    "paddle": ("customer.created", "evt_01example0000000000000000a", "2026-01-10T00:00:00.123456+00:00", JAN),
    "recurly": ("updated_account_notification", None, None, None),
    "slack": ("user_change", "Ev1", "2026-01-09T23:06:40+00:00", 1768000000),
    "zoom": ("user.updated", None, "2026-01-09T23:06:40+00:00", None),
    "github": ("organization member_added", "g1", None, None),
    "intercom": ("contact.email.updated", "notif_1", "2026-01-09T23:06:40+00:00", 1768000000),
    "segment": ("identify", "m1", JAN, "2026-01-10T00:00:00.050000+00:00"),
    "lemonsqueezy": ("order_created", "order_created 1 2026-01-10T00:00:00.000000Z", JAN, None),
    "keycloak-phasetwo": ("access.UPDATE_EMAIL", "dddd-1", "2026-01-09T23:06:40+00:00", None),
    "keycloak-phasetwo-jwt": ("access.UPDATE_EMAIL", "dddd-1", "2026-01-09T23:06:40+00:00", None),
    "shopify": ("customers/update", "b1", JAN, "2026-01-10T00:00:00.123456+00:00"),
    "woocommerce": ("customer.updated", "d1 12 2026-01-10T00:00:00", JAN, None),
    "typeform": ("form_response", "01EXAMPLE", "2026-01-10T00:01:00+00:00", None),
    "tally": ("FORM_RESPONSE", "gggg-1", JAN, None),
    "adyen-platform": ("recurring.token.created", "EXAMPLE0EVENT001", JAN, None),
    "square": ("customer.updated", "11111111-2222-3333-4444-555555555555", JAN, 4),
    "hubspot": ("contact.propertyChange", "3 2 1 1768000000000", "2026-01-09T23:06:40+00:00", None),
    "standard-webhooks": ("contact.updated", "msg_1", JAN, None),
    "svix": ("contact.updated", "msg_1", JAN, None),
    "clerk": ("user.updated", "msg_1", "2026-01-09T23:06:40.123000+00:00", 1768000000100),
    "stytch": ("direct.user.update", "webhook-event-test-1", "2026-01-10T00:00:00.123456+00:00", None),
    "supabase-auth": ("before-user-created", "msg_1", "2026-01-10T00:00:00.123456+00:00", None),
    "chargebee": ("customer_changed", "ev_Example1", "2026-01-09T23:06:40+00:00", 1768000000123),
    "okta": ("user.account.update_profile", "bbbb-1", JAN, None),
    "auth0-logs": ("ss", "900000000000000000000000000000000000000000000001", JAN, None),
    "auth0-events": ("user.updated", "evt_0001", JAN, JAN),
    "supabase-db": ("UPDATE public.profiles", None, JAN, None),
    "eventbridge": ("aws.cognito-idp AWS API Call via CloudTrail", "iiii-1", JAN, None),
    "zapier": ("contact_updated", None, JAN, None),
    "make": ("contact_updated", None, JAN, None),
    "n8n": ("contact_updated", "run-101-item-0", JAN, None),
    "pipedream": ("contact_updated", "2N1ExampleTraceId", JAN, None),
    "retool": ("contact_updated", None, JAN, None),
    "jotform": ("form_submission", "5000000000000000001", None, None),
    "cloudevents": ("com.corp.user.updated", '"/crm" 1', JAN, None),
    "kinde": ("user.updated", "event_1", JAN, None),
    "fusionauth": ("user.update.complete", "ffff-1", "2026-01-09T23:06:40+00:00", 1768000000000),
    "frontegg": ("frontegg.user.created", None, None, None),
    "google-pubsub": ("user.created", "1", JAN, None),
    "aws-sns": ("PostConfirmation_ConfirmSignUp", "cccc-1", JAN, None),
    "paypal": ("BILLING.SUBSCRIPTION.ACTIVATED", "WH-EX-1", JAN, JAN),
    "adyen": ("AUTHORISATION true", "EXAMPLE0PSP00001 AUTHORISATION true", JAN, None),
}


def decoded(name: str) -> tuple[Source, Event]:
    source, (body, headers) = source_of(name), body_of(name)
    (event,) = source.decode(request(body, headers))
    return source, event


def test_every_preset_has_a_row() -> None:
    assert set(EXPECTED) == set(PRESETS)
    assert len(PRESETS) >= 40


#: what has no id of its own, so that the bytes make it; of some tools it is a field that the user maps
WITHOUT_ID = {"recurly", "zoom", "supabase-db", "frontegg", "zapier", "make", "retool"}
#: what does not say when it happened, as preset or as preset and type
WITHOUT_TIME = {
    "recurly",
    "github",
    "jotform",
    "frontegg",
    "woocommerce.customer.deleted",
    "supabase-db.DELETE-public.profiles",
}
EXAMPLES = [example for name in PRESETS for example in examples_of(name)]


def test_every_preset_has_an_example_and_every_example_a_preset() -> None:
    assert {example.preset for example in EXAMPLES} == set(PRESETS)
    assert sorted(example.path for example in EXAMPLES) == sorted(DIRECTORY.iterdir())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.path.stem)
def test_an_example_says_what_it_is(example: Example) -> None:
    document = json.loads(example.data)
    assert document.keys() <= {"header", "query", "body", "received_at"}
    body, headers = body_of(example.preset, document)
    events = source_of(example.preset).decode(request(body, headers))
    assert [slug(event.type) for event in events] == [example.type]
    (event,) = events
    assert event.weak_id == (example.preset in WITHOUT_ID)
    assert (event.occurred_at == NOW) == (not {example.preset, example.path.stem}.isdisjoint(WITHOUT_TIME))


@pytest.mark.parametrize("name", PRESETS)
def test_no_two_examples_are_the_same_event(name: str) -> None:
    found = [json.loads(example.data) for example in examples_of(name)]
    decoded_ = [source_of(name).decode(request(*body_of(name, document)))[0] for document in found]
    assert len({event.external_id for event in decoded_}) == len(decoded_)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_an_example_is_identified(name: str) -> None:
    kind, event_id, time, version = EXPECTED[name]
    _, event = decoded(name)
    assert event.type == kind
    assert (event.external_id, event.weak_id) == (event_id, False) if event_id else event.weak_id
    assert event.occurred_at == (datetime.fromisoformat(time) if time else NOW)
    if isinstance(version, str):
        version = int(datetime.fromisoformat(version).timestamp() * 1_000_000)
    assert event.object_version == (version or 0)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_stored_example_opens_to_what_its_rules_read(name: str) -> None:
    source, event = decoded(name)
    value = source.open(event)
    assert isinstance(value, dict)
    nested = {
        "aws-sns": ("Message", "userName"),
        "google-pubsub": ("message", "data", "uid"),
        "jotform": ("rawRequest", "q4_email"),
        "frontegg": ("user", "metadata"),
        "adyen": ("additionalData", "shopperReference"),
        "okta": ("actor", "id"),
        "auth0-logs": ("data", "user_id"),
    }
    for key in nested.get(name, ()):
        value = value[key]
    assert value is not None


@pytest.mark.parametrize("name", sorted(n for n, p in PRESETS.items() if p["verify"].get("scheme") != "jwt"))
def test_what_a_sender_would_send_is_accepted(name: str) -> None:
    verify = PRESETS[name]["verify"]
    if verify.get("scheme") in {None, "sns", "cert-signature"} or verify.get("in") == "query":
        pytest.skip("only the sender can sign this, or it is not in a header")
    body, headers = body_of(name)
    source = source_of(name, verify)
    proof = sign(verify, body, secret_for(name), now=NOW, event_id="msg_1", url=URL)
    source.verify(request(body, {**headers, **proof}), NOW)
    assert len(source.decode(request(body, {**headers, **proof}))) == 1


@pytest.mark.parametrize("family", ["svix", "webhook"])
@pytest.mark.parametrize("name", ["svix", "clerk", "stytch"])
def test_the_id_is_that_of_the_family_that_was_signed(name: str, family: str) -> None:
    body = b'{"type":"x"}'
    proof = sign(PRESETS[name]["verify"], body, secret_for(name), now=NOW, event_id="msg_7")
    headers = {header.replace("svix", family): value for header, value in proof.items()}
    source = source_of(name, PRESETS[name]["verify"])
    source.verify(request(body, headers), NOW)
    assert [event.external_id for event in source.decode(request(body, headers))] == ["msg_7"]


def test_a_token_of_kinde_is_one_event_whatever_its_unsigned_header_says() -> None:
    source, (body, headers) = source_of("kinde"), body_of("kinde")
    for header in ("event_1", "x1", "x2"):
        (event,) = source.decode(request(body, {**headers, "webhook-id": header}))
        assert event.external_id == "event_1"
    (event,) = source.decode(request(compact(b'{"type":"x"}'), {**headers, "webhook-id": "x3"}))
    assert event.external_id == "x3"


def test_no_two_pairs_of_source_and_id_are_one_cloudevent() -> None:
    source, names = source_of("cloudevents"), set()
    for pair in (("a b", "c"), ("a", "b c"), ('a" b', "c"), ("a", '" b c')):
        event = {"specversion": "1.0", "type": "t", "source": pair[0], "id": pair[1]}
        (found,) = source.decode(request(as_bytes(event), {"content-type": "application/cloudevents+json"}))
        names.add(found.external_id)
    assert len(names) == 4


def test_every_preset_cites_its_documents() -> None:
    assert all(preset["docs"].startswith("https://") for preset in PRESETS.values())


def test_presets_that_extend_keep_what_they_do_not_change() -> None:
    assert PRESETS["clerk"]["verify"] == PRESETS["svix"]["verify"]
    assert PRESETS["clerk"]["identity"]["id"] == PRESETS["svix"]["identity"]["id"]
    assert PRESETS["supabase-auth"]["verify"]["scheme"] == "standard-webhooks"
    assert PRESETS["keycloak-phasetwo-jwt"]["verify"]["scheme"] == "jwt"
    assert "header" not in PRESETS["keycloak-phasetwo-jwt"]["verify"]


def test_a_preset_may_be_given_keys_in_the_file() -> None:
    verify = lay_over(PRESETS["kinde"]["verify"], {"jwks": JWKS})
    assert source_of("kinde", verify).name == "kinde"

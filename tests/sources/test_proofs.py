"""What a sender posts, and which changes of it are noticed: the schemes keep what `covers` says, no more, no less."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from router.errors import ConfigError, SignatureError
from router.sources import PRESETS, Given, Source
from router.sources.schemes.base import Proof
from tests.sources.given import BY_NAME, NOW, SECRET, SECRET_BASE64, SECRET_HEX, URL, a_source, as_bytes, request
from tests.sources.test_adyen import ITEM, notification

PAIR = {"user": "router", "password": Given(SECRET)}
TOKEN = {"scheme": "token", "in": "header", "name": "X-Token"}
QUERY = {"scheme": "token", "in": "query", "name": "token"}
ADYEN = {"scheme": "adyen-item"}
BODY_TOKEN = {"scheme": "jwt", "location": "body", "algorithms": ["HS256"]}
BOUND = {
    "scheme": "jwt",
    "name": "X-Token",
    "algorithms": ["HS256"],
    "issuer": "them",
    "audience": ["us"],
    "body_claim": {"name": "digest", "encoding": "hex"},
}
TIMED = {"scheme": "hmac", "header": "X-Signature", "ts_header": "X-Time", "signed": "{timestamp}.{body}"}
MTLS = {"scheme": "network", "mtls_header": {"name": "X-Client", "value": ["CN=a"]}}
#: presets whose senders have a key that nobody else has
ONLY_SENDERS = ("kinde", "fusionauth", "google-pubsub", "keycloak-phasetwo-jwt", "aws-sns", "paypal")
PROVED = [
    *(pytest.param(PRESETS[name]["verify"], id=name) for name in PRESETS if name not in (*ONLY_SENDERS, "adyen")),
    pytest.param(QUERY, id="a token in the query"),
    pytest.param(BODY_TOKEN, id="a token as the body"),
    pytest.param(BOUND, id="a token with the body's digest"),
    pytest.param({"all_of": [TIMED, {"scheme": "basic"}]}, id="all of hmac and basic"),
    pytest.param({"all_of": [QUERY, TIMED, MTLS]}, id="all of query, hmac and network"),
    pytest.param({"any_of": [TOKEN, TIMED]}, id="any of token and hmac"),
    pytest.param({"all_of": [TIMED, BODY_TOKEN]}, id="all of hmac and a token as the body"),
    pytest.param({"all_of": [TIMED, {"all_of": [QUERY, BODY_TOKEN]}]}, id="all of hmac and all of query and body"),
    pytest.param({"all_of": [TIMED, {"any_of": [BODY_TOKEN, QUERY]}]}, id="all of hmac and any of body and query"),
    pytest.param({"all_of": [TIMED, {"any_of": [QUERY, BODY_TOKEN]}]}, id="all of hmac and any of query and body"),
]


def known(verify: dict[str, Any]) -> Source:
    encoded = verify.get("key", {}).get("encoding") == "hex"
    standard = verify.get("scheme") == "standard-webhooks"
    text = SECRET_HEX if encoded else SECRET_BASE64 if standard else SECRET
    return Source("x", verify=verify, secrets=[Given(text), PAIR], identity=BY_NAME, url=URL)


def proved(source: Source, body: bytes, at: datetime = NOW, *, forged: bool = False) -> Proof:
    return source.prove(body, now=at, event_id="msg_1", forged=forged)


def accepts(source: Source, proof: Proof, body: bytes | None = None) -> bool:
    query = {name: [value] for name, value in proof.query.items()}
    try:
        source.verify(request(proof.body if body is None else body, proof.headers, query=query), NOW)
    except SignatureError:
        return False
    return True


@pytest.mark.parametrize("verify", PROVED)
def test_what_is_proved_is_accepted_and_what_is_forged_is_not(verify: dict[str, Any]) -> None:
    source = known(verify)
    assert accepts(source, proved(source, b'{"id":"1"}'))
    assert not accepts(source, proved(source, b'{"id":"1"}', forged=True))


@pytest.mark.parametrize("verify", PROVED)
def test_a_changed_body_is_noticed_where_the_body_is_covered(verify: dict[str, Any]) -> None:
    source = known(verify)
    proof = proved(source, b'{"id":"1"}')
    other = (
        proof.body.replace(b".", b".e", 1) if source.covers == {"signature", "body"} and b"." in proof.body else b"{}"
    )
    assert accepts(source, proof, other) == ("body" not in source.covers)


@pytest.mark.parametrize("verify", PROVED)
def test_an_old_proof_is_noticed_where_the_time_is_covered(verify: dict[str, Any]) -> None:
    source = known(verify)
    assert accepts(source, proved(source, b"{}", NOW - timedelta(days=1))) == ("time" not in source.covers)


@pytest.mark.parametrize("name", ONLY_SENDERS)
def test_what_only_the_sender_can_make_is_refused(name: str) -> None:
    verify = {key: value for key, value in PRESETS[name]["verify"].items() if key != "needs"}
    needed = {"jwks_url": "https://keys.example/jwks", "topics": ["arn:aws:sns:r:1:t"], "webhook_id": "w"}
    takes = {"jwt": {"jwks_url"}, "sns": {"topics"}, "cert-signature": {"webhook_id"}}[verify["scheme"]]
    source = a_source({**{key: needed[key] for key in takes}, **verify})
    with pytest.raises(ConfigError, match="only the sender can"):
        proved(source, b"{}")


def test_a_part_that_changes_the_body_comes_before_one_that_signs_it() -> None:
    parts = [{**TIMED, "secret": Given(SECRET)}, {**ADYEN, "secret": Given(SECRET_HEX)}]
    source = a_source({"all_of": parts})
    proof = proved(source, notification(ITEM))
    assert b'"hmacSignature":"' in proof.body
    assert accepts(source, proof)
    assert not accepts(source, proved(source, notification(ITEM), forged=True))


def test_each_item_is_signed_and_the_rest_of_it_is_not() -> None:
    source = a_source(ADYEN, SECRET_HEX)
    bare = {key: value for key, value in ITEM.items() if key != "additionalData"}
    proof = proved(source, notification(bare, ITEM))
    assert accepts(source, proof)
    assert accepts(source, proof, proof.body.replace(b'"live":"false"', b'"live":"true"'))
    assert not accepts(source, proof, proof.body.replace(b"EUR", b"USD"))
    assert source.covers == {"signature"}
    for body in (b"{}", b"[]", as_bytes({"notificationItems": [{}]}), b'{"notificationItems": 1}'):
        with pytest.raises(ConfigError, match="notificationItems"):
            proved(source, body)


@pytest.mark.parametrize(("name", "event_id"), [("svix", "a.b"), ("standard-webhooks", "a.b")])
def test_an_id_that_makes_the_signed_text_ambiguous_is_refused(name: str, event_id: str) -> None:
    with pytest.raises(ConfigError, match="full stop"):
        known(PRESETS[name]["verify"]).prove(b"{}", now=NOW, event_id=event_id)


def test_an_id_with_what_separates_it_is_refused() -> None:
    verify = {**TIMED, "id_header": "X-Id", "signed": "{id}:{timestamp}:{body}"}
    with pytest.raises(ConfigError, match="':'"):
        known(verify).prove(b"{}", now=NOW, event_id="a:b")


@pytest.mark.parametrize(
    ("verify", "text"),
    [
        (PRESETS["stripe"]["verify"], "hmac-sha256 in stripe-signature"),
        (PRESETS["intercom"]["verify"], "hmac-sha1 in x-hub-signature"),
        (PRESETS["svix"]["verify"], "standard-webhooks in svix-signature or webhook-signature"),
        (PRESETS["okta"]["verify"], "token in authorization"),
        (QUERY, "token in ?token="),
        ({"scheme": "basic"}, "basic in authorization"),
        (PRESETS["frontegg"]["verify"], "jwt HS256 in x-webhook-secret"),
        (BODY_TOKEN, "jwt HS256 in the body"),
        ({"scheme": "sns", "topics": ["arn:aws:sns:r:1:t"]}, "sns, by certificate, in the body"),
        ({"scheme": "cert-signature", "webhook_id": "w"}, "cert-signature in paypal-transmission-sig"),
        ({"scheme": "none"}, "none"),
        ({"all_of": [{"scheme": "basic"}, TIMED]}, "basic in authorization and hmac-sha256 in x-signature"),
        ({"any_of": [TOKEN, TIMED]}, "token in x-token or hmac-sha256 in x-signature"),
    ],
)
def test_a_proof_has_a_name(verify: dict[str, Any], text: str) -> None:
    assert known(verify).proof == text


def test_nothing_proves_nothing() -> None:
    source = a_source()
    assert proved(source, b"{}") == Proof(b"{}")
    assert source.covers == frozenset()

"""Signed tokens: what must hold of keys, algorithm, times, parties and the digest of the body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from router.errors import ConfigError, SignatureError, TransportError, UpstreamError
from router.model import Webhook
from router.sources import PRESETS, Source, sign
from tests.sources.given import BODY, NOW, SECRET, Upstream, a_source, after, as_bytes, request

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

RSA_JWK = {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa", "use": "sig"}
EC_JWK = {**ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "kid": "ec"}
ED_JWK = {**OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True), "kid": "ed"}
JWKS = {"keys": [RSA_JWK, EC_JWK, ED_JWK]}
URL = "https://id.example.com/jwks"

HEADER = {"scheme": "jwt", "name": "Authorization", "auth_scheme": "Bearer", "algorithms": ["RS256"]}
BY_URL = {**HEADER, "jwks_url": URL}
BY_SECRET = {"scheme": "jwt", "name": "X-Jwt", "algorithms": ["HS256"]}
NOW_S = int(NOW.timestamp())


def token(claims: Any = None, key: Any = RSA, alg: str = "RS256", **headers: Any) -> str:
    given = {"iat": NOW_S, "exp": NOW_S + 300} if claims is None else claims
    return jwt.encode(given, key, alg, headers={"kid": "rsa", **headers})


def bearer(text: str) -> Webhook:
    return request(headers={"authorization": f"Bearer {text}"})


def refused(source: Source, webhook: Webhook, fetch: Any = None) -> None:
    with pytest.raises(SignatureError):
        source.verify(webhook, NOW, fetch)


def upstream() -> Upstream:
    return Upstream({URL: as_bytes(JWKS)})


@pytest.mark.parametrize(("kid", "key", "alg"), [("rsa", RSA, "RS256"), ("ec", EC, "ES256"), ("ed", ED, "EdDSA")])
def test_keys_of_every_kind_are_accepted(kid: str, key: Any, alg: str) -> None:
    verify = {**BY_URL, "algorithms": ["RS256", "ES256", "EdDSA"]}
    a_source(verify).verify(bearer(token(key=key, alg=alg, kid=kid)), NOW, upstream())


def test_keys_may_stand_in_the_file() -> None:
    for place in ({"jwks": JWKS}, {"pem": PEM}, {"pem": [EC_PEM, PEM]}):
        source = a_source({**HEADER, **place})
        source.verify(bearer(token()), NOW)
        refused(source, bearer(token(key=STRANGER)))
        refused(source, bearer(token(key=EC, alg="ES256", kid="ec")))
    refused(a_source({**HEADER, "jwks": JWKS}), bearer(token(kid="other")))


EC_PEM = EC.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize("place", [{"pem": "no key"}, {"jwks": {}}, {"jwks": {"keys": [{"kty": "oct", "kid": "a"}]}}])
def test_keys_in_the_file_must_be_usable(place: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        a_source({**HEADER, **place})


def test_another_key_another_body_another_algorithm_are_refused() -> None:
    source = a_source({**BY_URL, "algorithms": ["RS256", "ES256"]})
    head, payload, signature = token().split(".")
    other = base64.urlsafe_b64encode(b'{"exp":99999999999}').decode().rstrip("=")
    for text in (
        token(key=STRANGER),
        f"{head}.{other}.{signature}",
        f"{head}.{payload}.",
        f"{head}.{payload}",
        token(key=RSA, alg="RS512"),
        token(key=EC, alg="ES256", kid="rsa"),
        token(key=RSA, kid="ec"),
    ):
        refused(source, bearer(text), upstream())


def test_no_algorithm_is_no_signature() -> None:
    unsigned = jwt.encode({"exp": NOW_S + 300}, None, "none", headers={"kid": "rsa"})
    fetch = upstream()
    for verify in (BY_URL, {**HEADER, "pem": PEM}):
        refused(a_source(verify), bearer(unsigned), fetch)
    assert fetch.asked == []


def test_a_public_key_is_never_an_hmac_key() -> None:
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"rsa"}').rstrip(b"=")
    payload = base64.urlsafe_b64encode(b'{"exp":99999999999}').rstrip(b"=")
    signature = base64.urlsafe_b64encode(hmac.digest(PEM.encode(), head + b"." + payload, "sha256")).rstrip(b"=")
    forged = b".".join((head, payload, signature)).decode()
    for verify in (BY_URL, {**HEADER, "pem": PEM}, {**HEADER, "jwks": JWKS}):
        refused(a_source(verify), bearer(forged), upstream())


def test_what_a_token_points_at_is_ignored() -> None:
    own = RSAAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True)
    text = token(key=STRANGER, jku="https://evil.example/jwks", jwk=own, x5u="https://evil.example/x")
    fetch = upstream()
    refused(a_source(BY_URL), bearer(text), fetch)
    assert [asked[0] for asked in fetch.asked] == [URL]


def test_a_token_without_key_id_is_refused() -> None:
    fetch = upstream()
    refused(a_source(BY_URL), bearer(jwt.encode({}, RSA, "RS256")), fetch)
    assert fetch.asked == []


@pytest.mark.parametrize("headers", [{"crit": ["x"], "x": 1}, {"crit": ["b64"], "b64": False}, {"crit": []}])
def test_a_token_that_must_be_read_in_another_way_is_refused(headers: dict[str, Any]) -> None:
    """https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11"""
    head = base64.urlsafe_b64encode(as_bytes({"alg": "RS256", "kid": "rsa", **headers})).rstrip(b"=")
    payload = base64.urlsafe_b64encode(as_bytes({"exp": NOW_S + 300})).rstrip(b"=")
    text = head + b"." + payload
    signature = RSA.sign(text, padding.PKCS1v15(), SHA256())
    whole = (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()
    refused(a_source(BY_URL), bearer(whole), upstream())


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Bearer x", "Basic x"])
def test_a_header_without_token_is_refused(value: str) -> None:
    refused(a_source(BY_URL), request(headers={"authorization": value}))


@pytest.mark.parametrize("payload", [b"[]", b"5", b"\xff", b'{"a":1,"a":2}', b"no json"])
def test_claims_that_are_no_object_are_refused(payload: bytes) -> None:
    text = jwt.PyJWS().encode(payload, RSA, "RS256", headers={"kid": "rsa"})
    refused(a_source(BY_URL), bearer(text), upstream())


# --- claims -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({}, True),
        ({"exp": NOW_S + 1}, True),
        ({"exp": NOW_S - 59}, True),
        ({"exp": NOW_S - 60}, False),
        ({"exp": NOW_S + 0.5}, True),
        ({"exp": str(NOW_S + 300)}, False),
        ({"exp": True}, False),
        ({"exp": None}, False),
        ({"nbf": NOW_S + 60}, True),
        ({"nbf": NOW_S + 61}, False),
        ({"iat": NOW_S + 61}, False),
        ({"iat": NOW_S - 86_400}, True),
    ],
)
def test_times_hold_where_they_are_given(claims: dict[str, Any], good: bool) -> None:
    source = a_source({"scheme": "jwt", "name": "X-Jwt", "pem": PEM, "algorithms": ["RS256"]})
    # the signer would refuse some of these, so it is given bytes
    text = jwt.PyJWS().encode(as_bytes(claims), RSA, "RS256")
    webhook = request(headers={"x-jwt": text})
    if good:
        source.verify(webhook, NOW)
    else:
        refused(source, webhook)


PINNED = {
    **BY_URL,
    "issuer": ["https://a.example", "a.example"],
    "audience": "router",
    "require_claims": {"email": "push@a.example", "email_verified": True},
}
CLAIMS = {"iss": "a.example", "aud": "router", "email": "push@a.example", "email_verified": True}


def test_pinned_claims_hold_exactly() -> None:
    source = a_source(PINNED)
    source.verify(bearer(token(CLAIMS)), NOW, upstream())
    source.verify(bearer(token({**CLAIMS, "aud": ["other", "router"]})), NOW, upstream())


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://b.example"},
        {"iss": "a"},
        {"iss": ["a.example"]},
        {"iss": None},
        {"aud": "other"},
        {"aud": []},
        {"aud": None},
        {"aud": {"router": 1}},
        {"email": "mallory@a.example"},
        {"email": None},
        {"email_verified": 1},
        {"email_verified": "true"},
        {"email_verified": False},
    ],
)
def test_any_other_claim_is_refused(change: dict[str, Any]) -> None:
    text = jwt.PyJWS().encode(as_bytes({**CLAIMS, **change}), RSA, "RS256", headers={"kid": "rsa"})
    refused(a_source(PINNED), bearer(text), upstream())


@pytest.mark.parametrize("encoding", ["base64", "hex"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_digest_in_the_token_is_that_of_the_body(encoding: str, algorithm: str) -> None:
    digest = hashlib.new(algorithm, BODY).digest()
    text = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    verify = {**BY_URL, "body_claim": {"name": "digest", "algorithm": algorithm, "encoding": encoding}}
    source = a_source(verify)
    source.verify(bearer(token({"digest": text})), NOW, upstream())
    for claims in ({}, {"digest": None}, {"digest": ""}, {"digest": text[:-1]}, {"digest": "ü"}):
        refused(source, bearer(token(claims)), upstream())
    refused(source, request(BODY + b" ", {"authorization": "Bearer " + token({"digest": text})}), upstream())


def test_fusionauth_and_keycloak_bind_the_body() -> None:
    for name in ("fusionauth", "keycloak-phasetwo-jwt"):
        verify = PRESETS[name]["verify"]
        pinned = {"jwks_url": URL, "issuer": "https://kc.example", "audience": "router"}
        source = a_source({**verify, **pinned})
        claims = {"iss": "https://kc.example", "aud": "router"}
        text = token(claims)
        headers = {"authorization": f"Bearer {text}", "x-fusionauth-signature-jwt": text}
        refused(source, request(headers=headers), upstream())


def test_a_body_may_be_the_token() -> None:
    source = a_source({**PRESETS["kinde"]["verify"], "jwks_url": URL})
    claims = {"type": "user.updated", "event_id": "event_1"}
    source.verify(request(token(claims).encode() + b"\n", {"content-type": "application/jwt"}), NOW, upstream())
    for body in (b"", b"\xff", token(claims, key=STRANGER).encode()):
        refused(source, request(body), upstream())


# --- a secret -----------------------------------------------------------------------------------------------------


def test_a_secret_signs_and_verifies() -> None:
    verify = {**BY_SECRET, "issuer": ["me"], "audience": "you", "require_claims": {"a": 1}}
    verify["body_claim"] = {"name": "digest"}
    headers = sign(verify, BODY, SECRET, now=NOW)
    assert jwt.decode(
        headers["x-jwt"], SECRET, ["HS256"], audience="you", options={"verify_exp": False, "verify_iat": False}
    )
    source = a_source(verify, SECRET)
    source.verify(request(headers=headers), NOW)
    refused(source, request(b"{}", headers))
    refused(a_source(verify, SECRET[::-1]), request(headers=headers))
    with pytest.raises(SignatureError):
        source.verify(request(headers=headers), after(361))


def test_frontegg_sends_a_token_in_a_bare_header() -> None:
    verify = PRESETS["frontegg"]["verify"]
    text = jwt.encode({"iat": NOW_S}, SECRET, "HS256")
    a_source(verify, SECRET[::-1], SECRET).verify(request(headers={"x-webhook-secret": text}), NOW)


def test_a_bearer_token_is_signed_with_its_scheme() -> None:
    verify = {"scheme": "jwt", "name": "Authorization", "auth_scheme": "Bearer", "algorithms": ["HS256"]}
    headers = sign(verify, BODY, SECRET, now=NOW)
    assert headers["authorization"].startswith("Bearer ")
    a_source(verify, SECRET).verify(request(headers=headers), NOW)


# --- key sets at a URL --------------------------------------------------------------------------------------------


def test_a_key_set_is_asked_for_once_in_ten_minutes() -> None:
    source, fetch = a_source(BY_URL), upstream()
    text = bearer(token({}))
    for seconds in (0, 60, 599):
        source.verify(text, after(seconds), fetch)
    assert fetch.asked == [(URL, frozenset({"id.example.com"}), 65_536)]
    source.verify(text, after(601), fetch)
    assert len(fetch.asked) == 2


def test_an_unknown_key_id_is_looked_for_at_most_every_30_seconds() -> None:
    source, fetch = a_source(BY_URL), upstream()
    source.verify(bearer(token({})), NOW, fetch)
    for seconds in (1, 2, 29):
        with pytest.raises(SignatureError):
            source.verify(bearer(token({}, kid=f"k{seconds}")), after(seconds), fetch)
    assert len(fetch.asked) == 1
    fetch.pages[URL] = as_bytes({"keys": [RSA_JWK, {**RSA_JWK, "kid": "new"}]})
    source.verify(bearer(token({}, kid="new")), after(31), fetch)
    assert len(fetch.asked) == 2


def test_cached_keys_serve_on_while_the_key_set_is_away() -> None:
    source, fetch = a_source(BY_URL), upstream()
    source.verify(bearer(token({})), NOW, fetch)
    fetch.pages.clear()
    source.verify(bearer(token({})), after(3600), fetch)
    with pytest.raises(UpstreamError):
        source.verify(bearer(token({}, kid="new")), after(3600), fetch)
    assert len(fetch.asked) == 2


@pytest.mark.parametrize(
    "page",
    [
        *(None, b"", b"\xff", b"[]", b"{}", b'{"keys":[]}', b'{"keys":[5,{"kid":1}]}'),
        as_bytes({"keys": [{"kid": "a", "kty": "oct", "k": "AA"}, {**RSA_JWK, "use": "enc"}]}),
        as_bytes({"keys": [{"kid": "rsa", "kty": "RSA", "n": "!", "e": "AQAB"}]}),
    ],
)
def test_without_keys_nothing_is_refused_for_good(page: bytes | None) -> None:
    source, fetch = a_source(BY_URL), Upstream({} if page is None else {URL: page})
    for _ in range(3):
        with pytest.raises(UpstreamError):
            source.verify(bearer(token({})), NOW, fetch)
    assert len(fetch.asked) == 1, "a failure is not repeated for five seconds"
    with pytest.raises(UpstreamError):
        source.verify(bearer(token({})), after(6), fetch)
    assert len(fetch.asked) == 2


def test_a_transport_error_is_upstream_trouble() -> None:
    def fetch(_url: str, _hosts: frozenset[str], _most: int) -> bytes:
        raise TransportError("reset", sent=True)

    with pytest.raises(UpstreamError):
        a_source(BY_URL).verify(bearer(token({})), NOW, fetch)
    with pytest.raises(UpstreamError):
        a_source(BY_URL).verify(bearer(token({})), NOW)


def test_while_one_thread_looks_the_others_use_what_is_known() -> None:
    source = a_source(BY_URL)
    source.verify(bearer(token({})), NOW, upstream())
    looking, go_on = threading.Event(), threading.Event()
    seen: list[object] = []

    def slow(_url: str, _hosts: frozenset[str], _most: int) -> bytes:
        looking.set()
        go_on.wait(10)
        return as_bytes(JWKS)

    def verify() -> None:
        source.verify(bearer(token({})), after(700), slow)
        seen.append("verified")

    thread = threading.Thread(target=verify)
    thread.start()
    assert looking.wait(10)
    source.verify(bearer(token({})), after(700), slow)
    with pytest.raises(UpstreamError):
        source.verify(bearer(token({}, kid="new")), after(700), slow)
    go_on.set()
    thread.join(10)
    assert seen == ["verified"]


def test_while_nothing_is_known_few_wait_for_a_key_set_and_not_long() -> None:
    source = a_source(BY_URL)
    looking, go_on = threading.Event(), threading.Event()
    asked: list[str] = []
    seen: list[object] = []

    def slow(url: str, _hosts: frozenset[str], _most: int) -> bytes:
        asked.append(url)
        looking.set()
        go_on.wait(10)
        return as_bytes(JWKS)

    def verify() -> None:
        try:
            seen.append(source.verify(bearer(token({})), NOW, slow))
        except UpstreamError:
            seen.append(UpstreamError)

    def started(count: int) -> list[threading.Thread]:
        threads = [threading.Thread(target=verify) for _ in range(count)]
        for thread in threads:
            thread.start()
        return threads

    first = started(1)
    assert looking.wait(10)
    others = started(8)
    for thread in others:
        thread.join(3)
    assert seen == [UpstreamError] * 8, "two waited for a second, the others not at all"
    go_on.set()
    first[0].join(10)
    assert seen[8:] == [None]
    assert asked == [URL]


def test_who_waited_for_a_key_set_has_its_keys_and_its_gaps() -> None:
    source = a_source(BY_URL)
    looking, go_on = threading.Event(), threading.Event()

    def slow(_url: str, _hosts: frozenset[str], _most: int) -> bytes:
        looking.set()
        go_on.wait(10)
        return as_bytes(JWKS)

    thread = threading.Thread(target=lambda: source.verify(bearer(token({})), NOW, slow))
    thread.start()
    assert looking.wait(10)
    threading.Timer(0.2, go_on.set).start()
    with pytest.raises(SignatureError):
        source.verify(bearer(token({}, kid="none")), NOW, slow)
    source.verify(bearer(token({})), NOW, slow)
    thread.join(10)


def test_google_pins_issuer_audience_and_account() -> None:
    preset = PRESETS["google-pubsub"]["verify"]
    pins = {"audience": "https://r.example", "require_claims": {"email": "p@x.example", "email_verified": True}}
    source = a_source({**preset, **pins})
    claims = {
        "iss": "https://accounts.google.com",
        "aud": "https://r.example",
        "email": "p@x.example",
        "email_verified": True,
        "exp": NOW_S + 300,
    }
    fetch = Upstream({preset["jwks_url"]: as_bytes(JWKS)})
    source.verify(bearer(token(claims)), NOW, fetch)
    refused(source, bearer(token({**claims, "email": "mallory@x.example"})), fetch)
    with pytest.raises(SignatureError):
        source.verify(bearer(token(claims)), NOW + timedelta(seconds=400), fetch)


def test_json_of_a_key_set_is_strict() -> None:
    page = json.dumps(JWKS)[:-1].encode() + b',"keys":[]}'
    with pytest.raises(UpstreamError):
        a_source(BY_URL).verify(bearer(token({})), NOW, Upstream({URL: page}))

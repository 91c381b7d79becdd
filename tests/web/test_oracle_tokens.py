"""Tokens of Google's library against a key set that is fetched over TLS; Adyen's notifications; CloudEvents."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import Adyen.util
import google.auth.crypt
import google.auth.jwt
import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.auth import exceptions as google_errors
from google.oauth2 import id_token
from jwt.algorithms import RSAAlgorithm
from jwt.exceptions import PyJWTError

from router.http import Door
from router.ruleset import load
from router.settings import Settings
from router.store.store import open_store
from router.web import create_app
from tests.peers import Peer, peer, says
from tests.sources.test_adyen import ITEM
from tests.test_http import certificate, tls
from tests.web.conftest import Site
from tests.web.senders import HEX, HEX_OTHER, OTHER, TEXT

AUDIENCE, ACCOUNT = "https://router.example.com/webhooks/push", "push@corp.iam.gserviceaccount.example"
RULES: Mapping[str, Any] = {
    "push": {
        "preset": "google-pubsub",
        "verify": {"audience": AUDIENCE, "require_claims": {"email": ACCOUNT, "email_verified": True}},
    },
    "adyen": {
        "verify": {
            "all_of": [
                {"scheme": "basic", "secret": {"user": "adyen", "password": "$env.T_TEXT"}},
                {"scheme": "adyen-item", "secret": "$env.T_HEX"},
            ]
        }
    },
    "grid": {"preset": "cloudevents", "secret": "$env.T_TEXT"},
}

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
JWK = {**RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "one", "use": "sig", "alg": "RS256"}
JWKS = json.dumps({"keys": [JWK]}).encode()
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def key_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Path]]:
    """A key set behind TLS, and the authority of its certificate."""
    pem, key = certificate(tmp_path_factory.mktemp("keys"), ["127.0.0.1"])
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(JWKS), JWKS)
    with peer(says(answer), tls(pem, key)) as server:
        yield server, pem


@pytest.fixture
def site(sqlite_url: str, key_server: tuple[Peer, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("T_TEXT", TEXT)
    monkeypatch.setenv("T_HEX", HEX)
    server, authority = key_server
    server.requests.clear()
    rules = json.loads(json.dumps(RULES))
    rules["push"]["verify"]["jwks_url"] = f"{server.url}/oauth2/v3/certs"
    files = {
        f"{name}.yaml": json.dumps({"source": {"name": name, **own}, "rules": {}}).encode()
        for name, own in rules.items()
    }
    sources = dict(load(files, {}).sources)
    store, door = open_store(sqlite_url, role="web"), Door(ca_file=str(authority))
    yield Site(create_app(lambda: sources, store, Settings(database_url=sqlite_url), door=door), store, sources)
    door.close()
    store.close()


# --- Pub/Sub ----------------------------------------------------------------------------------------------------------

PUSH = json.dumps(
    {
        "message": {
            "attributes": {"eventType": "user.created"},
            "data": base64.b64encode(b'{"uid":"fb1"}').decode(),
            "messageId": "1",
            "publishTime": "2026-01-10T00:00:00.000Z",
        },
        "subscription": "projects/corp/subscriptions/router",
    }
).encode()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(datetime.now(UTC).timestamp())
    given = {"iss": "https://accounts.google.com", "aud": AUDIENCE, "email": ACCOUNT, "email_verified": True}
    whole = {**given, "iat": now, "exp": now + 3600, "sub": "1", "azp": "1", **changes}
    return {name: value for name, value in whole.items() if value is not ...}


def token(given: Mapping[str, Any] | None = None, key: rsa.RSAPrivateKey = KEY, kid: str = "one", **header: Any) -> str:
    """Signed by Google's library."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    signer = google.auth.crypt.RSASigner.from_string(pem, kid)
    signed = google.auth.jwt.encode(signer, given or claims(), header=header or None)
    return signed.decode() if isinstance(signed, bytes) else signed


def forged(algorithm: str, sign: Callable[[bytes], bytes]) -> str:
    """A token whose header says another algorithm than the configured one."""
    parts = [json.dumps({"alg": algorithm, "kid": "one", "typ": "JWT"}).encode(), json.dumps(claims()).encode()]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return (text + b"." + base64.urlsafe_b64encode(sign(text)).rstrip(b"=")).decode()


def push(site: Site, authorization: str | None) -> int:
    headers = {"content-type": "application/json"}
    if authorization is not None:
        headers["authorization"] = authorization
    return site.client.post("/webhooks/push", data=PUSH, headers=headers).status_code


def judge(text: str) -> bool:
    """The verdict of Google's library, which is given the same key set."""

    def transport(_url: str, **_options: Any) -> Any:
        return SimpleNamespace(status=200, data=JWKS)

    try:
        id_token.verify_oauth2_token(text, transport, AUDIENCE)
    except (ValueError, google_errors.GoogleAuthError, PyJWTError):
        return False
    return True


def test_a_token_of_google_s_library_is_accepted_and_its_key_set_fetched_once(
    site: Site, key_server: tuple[Peer, Path]
) -> None:
    assert judge(token())
    assert [push(site, f"Bearer {token()}") for _ in range(3)] == [200] * 3
    (row,) = site.rows("events")
    assert (row.external_id, row.type, row.repeats, bytes(row.body)) == ("1", "user.created", 2, PUSH)
    assert len(key_server[0].requests) == 1
    assert key_server[0].requests[0].startswith(b"GET /oauth2/v3/certs HTTP/1.1\r\n")


NOBODY: dict[str, Callable[[], str]] = {
    "another key": lambda: token(key=STRANGER),
    "no algorithm": lambda: forged("none", lambda _text: b""),
    "no algorithm, in capitals": lambda: forged("NONE", lambda _text: b""),
    "an HMAC with the public key": lambda: forged("HS256", lambda text: hmac.digest(PEM, text, "sha256")),
    "an HMAC with the modulus": lambda: forged("HS256", lambda text: hmac.digest(JWK["n"].encode(), text, "sha256")),
    "another algorithm's name": lambda: forged("RS512", lambda _text: base64.urlsafe_b64decode(_signature() + "==")),
    "a changed claim": lambda: _with_payload(token(), claims(email="mallory@corp.example")),
    "another audience": lambda: token(claims(aud="https://elsewhere.example")),
    "another issuer": lambda: token(claims(iss="https://accounts.google.com.evil.example")),
    "over": lambda: token(claims(exp=_in(-120), iat=_in(-3700))),
    "ahead": lambda: token(claims(iat=_in(600), exp=_in(4200))),
    "an unknown key": lambda: token(kid="two"),
    "a key in the header": lambda: token(
        key=STRANGER, kid="one", jwk=RSAAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True)
    ),
    "no signature": lambda: token().rpartition(".")[0] + ".",
    "two parts": lambda: token().rpartition(".")[0],
    "nothing": lambda: "",
}

#: what Google's library accepts: it knows who Google is, not which of its accounts may push
LAXER: dict[str, Callable[[], str]] = {
    "another account": lambda: token(claims(email="mallory@elsewhere.iam.gserviceaccount.example")),
    "no account": lambda: token(claims(email=...)),
    "an account that is not verified": lambda: token(claims(email_verified=False)),
    "an account that is verified in words": lambda: token(claims(email_verified="true")),
}


def _in(seconds: int) -> int:
    return int((datetime.now(UTC) + timedelta(seconds=seconds)).timestamp())


def _signature() -> str:
    return token().rpartition(".")[2]


def _with_payload(text: str, given: Mapping[str, Any]) -> str:
    head, _, signature = text.split(".")
    payload = base64.urlsafe_b64encode(json.dumps(given).encode()).rstrip(b"=").decode()
    return f"{head}.{payload}.{signature}"


@pytest.mark.parametrize("name", [*NOBODY, *LAXER])
def test_any_other_token_is_refused(site: Site, name: str) -> None:
    text = {**NOBODY, **LAXER}[name]()
    assert judge(text) == (name in LAXER)
    assert push(site, f"Bearer {text}") == 401
    assert site.rows("events") == []


@pytest.mark.parametrize("before", ["", "Basic ", "Bearer", "Bearer  ", "Token "])
def test_a_token_stands_behind_bearer(site: Site, before: str) -> None:
    assert push(site, before + token()) == 401
    assert push(site, None) == 401


# --- Adyen ------------------------------------------------------------------------------------------------------------


def adyen(*items: dict[str, Any], key: str = HEX) -> bytes:
    """A notification signed by Adyen's library."""
    entries = []
    for item in items:
        bare = {name: value for name, value in item.items() if name != "additionalData"}
        signature = Adyen.util.generate_notification_sig(bare, key).decode()
        entries.append({"NotificationRequestItem": {**bare, "additionalData": {"hmacSignature": signature}}})
    return json.dumps({"live": "false", "notificationItems": entries}).encode()


def notify(site: Site, body: bytes, user: str = "adyen", password: str = TEXT) -> tuple[int, bytes]:
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"content-type": "application/json", "authorization": f"Basic {credentials}"}
    answer = site.client.post("/webhooks/adyen", data=body, headers=headers)
    return answer.status_code, answer.data


def test_what_adyen_s_library_signs_is_stored_and_answered_as_adyen_wants(site: Site) -> None:
    body = adyen(ITEM, {**ITEM, "pspReference": "7914073381342285"})
    assert Adyen.util.is_valid_hmac_notification(json.loads(body), HEX)
    assert notify(site, body) == (200, b"[accepted]")
    assert len(site.rows("events")) == 2


def test_a_notification_that_adyen_s_library_did_not_sign_is_refused(site: Site) -> None:
    good = adyen(ITEM, ITEM)
    forged = [
        good.replace(b"1130", b"1131", 1),
        good[::-1].replace(b"0311", b"1311", 1)[::-1],
        adyen(ITEM, key=HEX_OTHER),
    ]
    answers = [notify(site, body)[0] for body in forged]
    answers += [notify(site, good, password=OTHER)[0], notify(site, good, user="adyen2")[0]]
    answers += [site.client.post("/webhooks/adyen", data=good).status_code]
    assert answers == [401] * 6
    assert site.rows("events") == []


# --- CloudEvents ------------------------------------------------------------------------------------------------------

DATA = {"email": "ann@corp.example", "name": "Zoë", "n": [1, 2.5, None, True]}
ATTRIBUTES: dict[str, Any] = {
    "id": 'id 1/%41"é€\\',
    "source": "/crm/контакты",
    "type": "com.corp.user.updated",
    "subject": 'Zoë 😀 "quoted" 100%',
    "time": datetime(2026, 1, 10, 0, 0, 0, 123456, tzinfo=UTC),
    "datacontenttype": "application/json",
    "sequence": "17",
}


def deliver(site: Site, message: HTTPMessage, authorization: str = f"Bearer {TEXT}") -> int:
    headers = {**message.headers, "authorization": authorization}
    return site.client.post("/webhooks/grid", data=message.body, headers=headers).status_code


@pytest.mark.parametrize("write", [to_binary_event, to_structured_event])
@pytest.mark.parametrize("data", [DATA, None])
def test_a_cloudevent_of_its_library_is_stored_as_it_was_meant(
    site: Site, write: Callable[[CloudEvent], HTTPMessage], data: Any
) -> None:
    message = write(CloudEvent(attributes=ATTRIBUTES, data=data))
    assert deliver(site, message) == 202
    (row,) = site.rows("events")
    stored = json.loads(row.body)
    assert stored.pop("data", None) == data
    assert stored == {**ATTRIBUTES, "time": "2026-01-10T00:00:00.123456Z", "specversion": "1.0"}
    assert (row.external_id, row.type) == (f'"{ATTRIBUTES["source"]}" {ATTRIBUTES["id"]}', ATTRIBUTES["type"])


@pytest.mark.parametrize("write", [to_binary_event, to_structured_event])
def test_a_cloudevent_without_its_token_is_refused(site: Site, write: Callable[[CloudEvent], HTTPMessage]) -> None:
    message = write(CloudEvent(attributes=ATTRIBUTES, data=DATA))
    assert [deliver(site, message, text) for text in ("", TEXT, f"Bearer {OTHER}", f"Basic {TEXT}")] == [401] * 4
    assert site.rows("events") == []

"""How secrets are compared: as bytes, in constant time, every candidate with every key, whatever matched before."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from router.sources import PRESETS, Given, Source, sign
from tests.sources.given import BODY, NOW, SECRET, SECRET_BASE64, SECRET_HEX, URL, a_source, request
from tests.sources.test_adyen import ITEM, notification

OTHERS = {SECRET: "another secret of enough bytes", SECRET_BASE64: "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"}
PAIR, OTHER_PAIR = ({"user": name, "password": Given(SECRET)} for name in ("router", "second"))
BASIC = {"scheme": "basic"}
MUTUAL = {"scheme": "network", "mtls_header": {"name": "X-C", "value": ["CN=a", "CN=b"]}}
DIGEST = {"scheme": "jwt", "name": "X-Jwt", "algorithms": ["HS256"], "body_claim": {"name": "digest"}}


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """The pairs that were compared, in order."""
    seen: list[tuple[Any, Any]] = []
    real = hmac.compare_digest

    def spy(known: Any, given: Any) -> bool:
        seen.append((known, given))
        return real(known, given)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    return seen


def signed(preset: str, secret: str) -> dict[str, str]:
    return sign(PRESETS[preset]["verify"], BODY, secret, now=NOW, event_id="msg_1", url=URL)


def two(preset: str, secret: str) -> Source:
    return a_source(PRESETS[preset]["verify"], secret, OTHERS[secret], url=URL)


@pytest.mark.parametrize(
    ("preset", "secret", "beside"),
    [
        ("stripe", SECRET, ",v1=00"),
        ("recurly", SECRET, ",00"),
        ("svix", SECRET_BASE64, " v1,AAAA"),
        ("standard-webhooks", SECRET_BASE64, " v1,AAAA"),
    ],
)
def test_each_of_two_signatures_is_compared_with_each_of_two_keys(
    preset: str, secret: str, beside: str, compared: list[tuple[Any, Any]]
) -> None:
    headers = signed(preset, secret)
    name = next(header for header in headers if header.endswith("-signature"))
    for value in (headers[name] + beside, headers[name]):
        compared.clear()
        two(preset, secret).verify(request(headers={**headers, name: value}), NOW)
        assert len(compared) == (4 if beside in value else 2)
        assert all(isinstance(one, bytes) for pair in compared for one in pair)


@pytest.mark.parametrize(
    ("source", "headers", "count"),
    [
        (two("github", SECRET), signed("github", SECRET), 2),
        (two("okta", SECRET), {"authorization": SECRET}, 2),
        (a_source(BASIC, PAIR, OTHER_PAIR), sign(BASIC, b"", f"router:{SECRET}", now=NOW), 4),
        (a_source(DIGEST, SECRET), sign(DIGEST, BODY, SECRET, now=NOW), 2),
        (a_source(MUTUAL), {"x-c": "CN=a"}, 2),
    ],
    ids=["hmac", "token", "basic", "jwt", "network"],
)
def test_the_first_match_ends_nothing(
    source: Source, headers: dict[str, str], count: int, compared: list[tuple[Any, Any]]
) -> None:
    """Of `jwt` PyJWT compares the signature and we the digest of the body; of `basic` user and password each count."""
    source.verify(request(headers=headers), NOW)
    assert len(compared) == count
    assert all(isinstance(one, bytes) for pair in compared for one in pair)


def test_every_item_of_adyen_is_compared_with_every_key(compared: list[tuple[Any, Any]]) -> None:
    source = a_source({"scheme": "adyen-item"}, SECRET_HEX, "00" * 32)
    source.verify(request(notification(ITEM, ITEM)), NOW)
    assert len(compared) == 4
    assert all(isinstance(one, bytes) for pair in compared for one in pair)


def test_the_token_of_hub_is_compared_as_bytes(
    compared: list[tuple[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TOKEN", SECRET)
    source = a_source(handshakes=[{"name": "hub", "verify_token": "$env.HUB_TOKEN"}])
    query = {"hub.mode": ["subscribe"], "hub.verify_token": ["é"], "hub.challenge": ["1"]}
    source.handshake_before(request(b"", {}, method="GET", query=query))
    assert compared == [(SECRET.encode(), "é".encode())]

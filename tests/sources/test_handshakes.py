"""Handshakes: their definitions, and when they keep out of the way. What they answer is in `transcripts/`."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from router.errors import ConfigError, UpstreamError
from router.settings import Secret
from router.sources import HANDSHAKES, PRESETS, Answer, Source, handshake_problems, sign
from router.sources.handshakes import as_handshakes
from tests.sources.given import NOW, SECRET, a_source, as_bytes, request


def with_handshake(*handshakes: Any, verify: Any = None, **options: Any) -> Source:
    return a_source(verify, SECRET, handshakes=handshakes, **options)


def both(source: Source, webhook: Any) -> tuple[Answer | None, Answer | None]:
    return source.handshake_before(webhook), source.handshake_after(webhook)


def test_without_a_handshake_nothing_is_answered() -> None:
    for method in ("GET", "POST", "OPTIONS", "HEAD"):
        assert both(a_source(), request(method=method, query={"challenge": ["x"]})) == (None, None)


@pytest.mark.parametrize("name", HANDSHAKES)
def test_an_ordinary_event_is_no_handshake(name: str) -> None:
    given = {"hub": {"verify_token": Secret("$env.HUB")}, "cloudevents-options": {"origins": ["a"]}}
    source = with_handshake({"name": name, **given.get(name, {})})
    assert both(source, request()) == (None, None)
    assert both(source, request(b"[]")) == (None, None)


# --- before verification ------------------------------------------------------------------------------------------


def test_hub_without_its_token_is_our_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUB_TOKEN", raising=False)
    with pytest.raises(UpstreamError):
        query = {"hub.mode": ["subscribe"], "hub.verify_token": [SECRET], "hub.challenge": ["1"]}
        source = with_handshake({"name": "hub", "verify_token": "$env.HUB_TOKEN"})
        source.handshake_before(request(b"", {}, method="GET", query=query))


@pytest.mark.parametrize("token", [{"user": "a"}, "literal", 5])
def test_a_verify_token_is_one_reference(token: Any) -> None:
    with pytest.raises(ConfigError):
        with_handshake({"name": "hub", "verify_token": token})


# --- after verification -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handshake", "webhook", "pinged"),
    [
        ("ping", request(b"{}", {"x-github-event": "ping"}), True),
        ("ping", request(b'{"topic":"ping"}'), True),
        ({"name": "ping", "key": "type", "value": "test"}, request(b'{"type":"test"}'), True),
        ({"name": "ping", "header": "X-Kind", "value": "test"}, request(b"{}", {"x-kind": "test"}), True),
        ({"name": "ping", "header": "X-Kind", "value": "test"}, request(b"{}", {"x-kind": "ping"}), False),
    ],
)
def test_a_ping_is_acknowledged_and_not_queued(handshake: Any, webhook: Any, pinged: bool) -> None:
    ack = Answer(204, None)
    source = a_source(handshakes=as_handshakes(handshake), ack=ack)
    assert source.handshake_after(webhook) == (ack if pinged else None)


OLD = "another secret of enough bytes"
ZOOM = PRESETS["zoom"]["verify"]
VALIDATION = as_bytes({"event": "endpoint.url_validation", "payload": {"plainToken": "abc"}})


def zoom_answer(source: Source, secret: str) -> str:
    """What a request signed with that secret is told."""
    webhook = request(VALIDATION, sign(ZOOM, VALIDATION, secret, now=NOW))
    source.verify(webhook, NOW)
    answer = source.handshake_after(webhook)
    assert answer is not None
    return str(answer.body["encryptedToken"])


@pytest.mark.parametrize("secret", [SECRET, OLD])
@pytest.mark.parametrize(
    "verify",
    [ZOOM, {"all_of": [{"scheme": "none"}, ZOOM]}, {"any_of": [{"scheme": "token", "name": "X-Token"}, ZOOM]}],
    ids=["alone", "all_of", "any_of"],
)
def test_zoom_gets_its_token_signed_as_it_has_signed_while_secrets_rotate(verify: Any, secret: str) -> None:
    source = a_source(verify, SECRET, OLD, handshakes=["zoom"], network={"ip_allow": "192.0.2.0/24"})
    assert zoom_answer(source, secret) == hmac.digest(secret.encode(), b"abc", "sha256").hex()


@pytest.mark.parametrize("network", [None, {"ip_allow": "192.0.2.0/24"}])
def test_zoom_gets_its_token_signed_with_the_first_secret_where_nothing_is_signed(network: Any) -> None:
    token = {"scheme": "token", "name": "X-Token"}
    source = a_source(token, SECRET, OLD, handshakes=["zoom"], network=network)
    answer = source.handshake_after(request(VALIDATION, {"x-token": OLD}))
    assert answer is not None
    assert answer.body["encryptedToken"] == hmac.digest(SECRET.encode(), b"abc", "sha256").hex()
    with pytest.raises(UpstreamError, match="secret"):
        a_source({"scheme": "none"}, handshakes=["zoom"]).handshake_after(request(VALIDATION))


# --- definitions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configured", "path", "message"),
    [
        ("oktaa", (), "a handshake is one of okta,"),
        (5, (), "a handshake is one of"),
        ({"verify_token": "x"}, (), "a handshake is one of"),
        (["okta", "nope"], ("1",), "a handshake is one of"),
        ("hub", ("name",), "handshake hub needs verify_token"),
        ({"name": "hub", "verify_token": Secret("$env.A"), "x": 1}, ("x",), "handshake hub has no key 'x'"),
        ([{"name": "cloudevents-options", "origins": "a"}], ("0", "origins"), "origins is a list"),
        ({"name": "ping", "form": ""}, ("form",), "form is text"),
    ],
)
def test_problems_of_handshakes(configured: Any, path: tuple[str, ...], message: str) -> None:
    (problem,) = handshake_problems(configured)
    assert problem[0] == path
    assert message in problem[1]
    with pytest.raises(ConfigError):
        a_source(handshakes=as_handshakes(configured))


@pytest.mark.parametrize("configured", ["none", None, [], ["none"], "zoom", ["okta", {"name": "ping"}]])
def test_good_handshakes_have_no_problem(configured: Any) -> None:
    assert handshake_problems(configured) == []


def test_none_is_no_handshake() -> None:
    assert as_handshakes("none") == as_handshakes(None) == []
    assert as_handshakes(["okta"]) == [{"name": "okta"}]
    assert NOW.tzinfo is not None

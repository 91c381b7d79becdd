"""Handshakes: how senders ask whether a URL is ours."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest

from router.errors import ConfigError, SignatureError, UpstreamError
from router.settings import Secret
from router.sources import HANDSHAKES, PRESETS, Answer, Given, Source, handshake_problems
from router.sources.handshakes import as_handshakes
from tests.sources.given import BODY, NOW, SECRET, Upstream, a_source, as_bytes, request
from tests.sources.test_certificates import CONFIRMATION, NOTIFICATION, SNS, signed

TOKEN = {"scheme": "token", "name": "Authorization"}


def with_handshake(*handshakes: Any, verify: Any = None, **options: Any) -> Source:
    return a_source(verify, SECRET, handshakes=handshakes, **options)


def both(source: Source, webhook: Any) -> tuple[Answer | None, Answer | None]:
    return source.handshake_before(webhook), source.handshake_after(webhook)


BAD_ECHOES = ["", "x" * 1025, "a\nb", "é", "\x00", "😀"]


def test_without_a_handshake_nothing_is_answered() -> None:
    for method in ("GET", "POST", "OPTIONS", "HEAD"):
        assert both(a_source(), request(method=method, query={"challenge": ["x"]})) == (None, None)


@pytest.mark.parametrize("name", HANDSHAKES)
def test_an_ordinary_event_is_no_handshake(name: str) -> None:
    given: dict[str, dict[str, Any]] = {
        "hub": {"verify_token": Given(SECRET)},
        "cloudevents-options": {"origins": ["a"]},
    }
    if name == "hub":
        given["hub"] = {"verify_token": Secret("$env.HUB")}
    source = with_handshake({"name": name, **given.get(name, {})})
    assert both(source, request()) == (None, None)
    assert both(source, request(b"[]")) == (None, None)


# --- before verification ------------------------------------------------------------------------------------------


def okta(challenge: str | None = "abc", token: str = SECRET, method: str = "GET") -> Any:
    headers = {"authorization": token, **({} if challenge is None else {"x-okta-verification-challenge": challenge})}
    return request(b"", headers, method=method)


def test_okta_gets_its_challenge_back_if_it_shows_the_token() -> None:
    source = with_handshake("okta", verify=TOKEN)
    answer = source.handshake_before(okta())
    assert answer is not None
    assert (answer.status, answer.body) == (200, {"verification": "abc"})
    with pytest.raises(SignatureError):
        source.handshake_before(okta(token="another"))
    assert source.handshake_before(okta(None)) is None
    assert source.handshake_before(okta(method="POST")) is None
    for challenge in BAD_ECHOES[1:]:
        assert source.handshake_before(okta(challenge)) == Answer(status=400, body=None)


def hub(token: str = SECRET, challenge: str = "123", mode: str = "subscribe", method: str = "GET") -> Any:
    query = {"hub.mode": [mode], "hub.verify_token": [token], "hub.challenge": [challenge]}
    return request(b"", {}, method=method, query=query)


def test_hub_echoes_only_to_who_knows_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TOKEN", SECRET)
    for token in ("$env.HUB_TOKEN", Secret("$env.HUB_TOKEN")):
        source = with_handshake({"name": "hub", "verify_token": token})
        answer = source.handshake_before(hub())
        assert answer is not None
        assert (answer.status, answer.body, answer.type) == (200, "123", "text/plain")
        assert answer.headers["x-content-type-options"] == "nosniff"
        for wrong in ("", "no", SECRET + "x", "é", "\udc80"):
            assert source.handshake_before(hub(wrong)) == Answer(status=403, body=None)
        assert source.handshake_before(hub(mode="unsubscribe")) is None
        assert source.handshake_before(hub(method="POST")) is None
        for challenge in BAD_ECHOES:
            assert source.handshake_before(hub(challenge=challenge)) == Answer(status=400, body=None)


def test_hub_without_its_token_is_our_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUB_TOKEN", raising=False)
    with pytest.raises(UpstreamError):
        with_handshake({"name": "hub", "verify_token": "$env.HUB_TOKEN"}).handshake_before(hub())


@pytest.mark.parametrize("token", [{"user": "a"}, "literal", 5])
def test_a_verify_token_is_one_reference(token: Any) -> None:
    with pytest.raises(ConfigError):
        with_handshake({"name": "hub", "verify_token": token})


@pytest.mark.parametrize("name", ["validationToken", "challenge"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_query_is_echoed_as_plain_text(name: str, method: str) -> None:
    source = with_handshake("query-echo")
    answer = source.handshake_before(request(b"", method=method, query={name: ["Validation: <b>x</b>"]}))
    assert answer is not None
    assert (answer.body, answer.type) == ("Validation: <b>x</b>", "text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert source.handshake_before(request(b"", method=method, query={name: ["a", "b"]})) is None
    assert source.handshake_before(request(b"", method="PUT", query={name: ["a"]})) is None
    for text in BAD_ECHOES:
        assert source.handshake_before(request(b"", method=method, query={name: [text]})) == Answer(400, None)


def test_an_allowed_origin_may_send_cloudevents() -> None:
    source = with_handshake({"name": "cloudevents-options", "origins": ["EventGrid.Azure.net"], "rate": "120"})

    def ask(origin: str | None, method: str = "OPTIONS") -> Answer | None:
        headers = {"webhook-request-callback": "https://evil.example"}
        return source.handshake_before(
            request(b"", {**headers, **({} if origin is None else {"webhook-request-origin": origin})}, method=method)
        )

    answer = ask("eventgrid.azure.net")
    assert answer is not None
    assert answer.headers == {
        "allow": "POST",
        "webhook-allowed-origin": "eventgrid.azure.net",
        "webhook-allowed-rate": "120",
    }
    assert [ask("evil.example"), ask(None), ask(""), ask("eventgrid.azure.net", "POST")] == [None] * 4
    free = with_handshake({"name": "cloudevents-options", "origins": ["a.example"]})
    answer = free.handshake_before(request(b"", {"webhook-request-origin": "a.example"}, method="OPTIONS"))
    assert answer is not None
    assert answer.headers["webhook-allowed-rate"] == "*"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_reachability_probe_gets_an_empty_200(method: str) -> None:
    assert with_handshake("head").handshake_before(request(b"", method=method)) == Answer(body=None)
    assert with_handshake("okta", "head").handshake_before(request(b"", method=method)) == Answer(body=None)


def test_woocommerce_greets_with_an_unsigned_form() -> None:
    source = with_handshake(PRESETS["woocommerce"]["handshake"], ack=Answer(200, "ok"))
    assert source.handshake_before(request(b"webhook_id=17", {})) == Answer(200, "ok")
    for body in (b"webhook_id=x", b"webhook_id=", b"webhook_id=1&a=2", b"a=1", b"", b"webhook_id=%ff", b"{}"):
        assert source.handshake_before(request(body, {})) is None
    assert source.handshake_before(request(b"webhook_id=" + b"1" * 64, {})) is None
    assert source.handshake_before(request(b"webhook_id=17", {}, method="PUT")) is None


# --- after verification -------------------------------------------------------------------------------------------


def test_a_challenge_in_the_body_is_answered() -> None:
    source = with_handshake("json-challenge")
    body = {"type": "url_verification", "challenge": "3eZbrw1a"}
    answer = source.handshake_after(request(as_bytes(body)))
    assert answer is not None
    assert (answer.status, answer.body) == (200, {"challenge": "3eZbrw1a"})
    assert source.handshake_before(request(as_bytes(body))) is None
    for challenge in (None, 5, "", "x" * 1025, "a\nb", "é"):
        assert source.handshake_after(request(as_bytes({**body, "challenge": challenge}))) == Answer(400, None)
    for other in ({"type": "event_callback", "text": "url_verification"}, ["url_verification"], "url_verification"):
        assert source.handshake_after(request(as_bytes(other))) is None
    assert source.handshake_after(request(b"url_verification, no JSON")) is None


def test_zoom_gets_its_token_back_signed() -> None:
    source = with_handshake("zoom", verify=PRESETS["zoom"]["verify"])
    body = {"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}}
    answer = source.handshake_after(request(as_bytes(body)))
    digest = hmac.digest(SECRET.encode(), b"qgg8vlvZRS6UYooatFL8Aw", "sha256").hex()
    assert answer is not None
    assert answer.body == {"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": digest}
    for payload in (None, [], {}, {"plainToken": 5}, {"plainToken": "a\nb"}):
        assert source.handshake_after(request(as_bytes({**body, "payload": payload}))) == Answer(400, None)
    assert source.handshake_after(request(as_bytes({"event": "user.updated", "x": "endpoint.url_validation"}))) is None


def test_sns_subscriptions_are_confirmed_by_a_visit() -> None:
    source = a_source(SNS, handshakes=["sns-confirm"])
    fetch = Upstream({CONFIRMATION["SubscribeURL"]: b"<ok/>"})
    assert source.handshake_after(request(signed(CONFIRMATION)), fetch) == Answer()
    assert fetch.asked == [(CONFIRMATION["SubscribeURL"], frozenset({"sns.eu-north-1.amazonaws.com"}), 65_536)]
    assert source.handshake_after(request(signed(NOTIFICATION)), fetch) is None
    goodbye = {**CONFIRMATION, "Type": "UnsubscribeConfirmation"}
    assert source.handshake_after(request(as_bytes(goodbye)), fetch) == Answer()
    assert len(fetch.asked) == 1
    with pytest.raises(UpstreamError):
        source.handshake_after(request(signed(CONFIRMATION)), Upstream({}))
    with pytest.raises(UpstreamError):
        source.handshake_after(request(signed(CONFIRMATION)))


@pytest.mark.parametrize("url", ["https://evil.example/", "http://sns.eu-north-1.amazonaws.com/", None, 5])
def test_a_confirmation_elsewhere_is_never_visited(url: Any) -> None:
    fetch = Upstream({})
    body = json.dumps({**CONFIRMATION, "SubscribeURL": url}).encode()
    with pytest.raises(SignatureError):
        a_source(SNS, handshakes=["sns-confirm"]).handshake_after(request(body), fetch)
    assert fetch.asked == []


@pytest.mark.parametrize(
    ("handshake", "webhook", "pinged"),
    [
        ("ping", request(b"{}", {"x-github-event": "ping"}), True),
        ("ping", request(b"{}", {"x-github-event": "push"}), False),
        ("ping", request(b'{"topic":"ping"}'), True),
        ("ping", request(b'{"topic":"contact.created","name":"ping"}'), False),
        ({"name": "ping", "key": "type", "value": "test"}, request(b'{"type":"test"}'), True),
        ({"name": "ping", "header": "X-Kind", "value": "test"}, request(b"{}", {"x-kind": "test"}), True),
        ({"name": "ping", "header": "X-Kind", "value": "test"}, request(b"{}", {"x-kind": "ping"}), False),
        (PRESETS["github"]["handshake"], request(BODY, {"x-github-event": "ping"}), True),
        (PRESETS["intercom"]["handshake"], request(b'{"topic":"ping","id":null}'), True),
    ],
)
def test_a_ping_is_acknowledged_and_not_queued(handshake: Any, webhook: Any, pinged: bool) -> None:
    ack = Answer(204, None)
    source = a_source(handshakes=as_handshakes(handshake), ack=ack)
    assert source.handshake_after(webhook) == (ack if pinged else None)


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

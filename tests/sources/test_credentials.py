"""Senders that show what they know: tokens, passwords, addresses, and nothing at all."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from router.errors import ConfigError, SignatureError, UpstreamError
from router.settings import Secret
from router.sources import Given, Source, sign
from tests.sources.given import BODY, BY_NAME, NOW, SECRET, a_source, request

OTHER = "another token of enough bytes"
BEARER = {"scheme": "token", "name": "Authorization", "auth_scheme": "Bearer"}
BARE = {"scheme": "token", "in": "header", "name": "X-Token", "auth_scheme": ""}
QUERY = {"scheme": "token", "in": "query", "name": "token"}


@pytest.mark.parametrize("value", [f"Bearer {SECRET}", f"bearer {SECRET}", f"BEARER {SECRET}"])
def test_the_authentication_scheme_is_compared_in_any_case(value: str) -> None:
    a_source(BEARER, SECRET).verify(request(headers={"authorization": value}), NOW)


@pytest.mark.parametrize(
    "value",
    [
        *("", "Bearer", SECRET, f"Basic {SECRET}", f"Bearer  {SECRET}", f"Bearer {SECRET} "),
        *(f"Bearer {SECRET[:-1]}", f"Bearer {OTHER}", f"Bearer {SECRET},Bearer {SECRET}"),
    ],
)
def test_any_other_header_is_refused(value: str) -> None:
    with pytest.raises(SignatureError):
        a_source(BEARER, SECRET).verify(request(headers={"authorization": value}), NOW)


def test_two_tokens_are_live_while_they_rotate() -> None:
    source = a_source(BARE, SECRET, OTHER)
    for token in (SECRET, OTHER):
        source.verify(request(headers={"x-token": token}), NOW)
    with pytest.raises(SignatureError):
        source.verify(request(headers={"x-token": SECRET + OTHER}), NOW)


def test_a_token_may_hold_any_characters() -> None:
    secret = "gehëim wörd of many bytes"
    header = secret.encode().decode("latin-1")
    a_source(BARE, secret).verify(request(headers={"x-token": header}), NOW)


@pytest.mark.parametrize("query", [{}, {"token": []}, {"token": [""]}, {"token": [OTHER]}, {"token": [SECRET, SECRET]}])
def test_a_query_token_comes_once_and_is_right(query: dict[str, list[str]]) -> None:
    source = a_source(QUERY, SECRET)
    source.verify(request(query={"token": [SECRET]}), NOW)
    with pytest.raises(SignatureError):
        source.verify(request(query=query), NOW)


def test_a_query_token_is_not_looked_for_in_a_header() -> None:
    with pytest.raises(SignatureError):
        a_source(QUERY, SECRET).verify(request(headers={"token": SECRET}), NOW)


@pytest.mark.parametrize("verify", [BEARER, BARE])
def test_we_send_what_we_accept(verify: dict[str, Any]) -> None:
    a_source(verify, SECRET).verify(request(headers=sign(verify, BODY, SECRET, now=NOW)), NOW)


def test_a_query_token_is_no_header() -> None:
    with pytest.raises(ConfigError, match="query"):
        sign(QUERY, BODY, SECRET, now=NOW)


# --- basic --------------------------------------------------------------------------------------------------------


def basic(text: str | bytes, word: str = "Basic") -> dict[str, str]:
    raw = text.encode() if isinstance(text, str) else text
    return {"authorization": f"{word} {base64.b64encode(raw).decode()}"}


PAIR = {"user": "router", "password": Given(SECRET)}


@pytest.mark.parametrize("word", ["Basic", "basic", "BASIC"])
def test_user_and_password_are_accepted(word: str) -> None:
    a_source({"scheme": "basic"}, PAIR).verify(request(headers=basic(f"router:{SECRET}", word)), NOW)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Basic"},
        {"authorization": "Basic !!!!"},
        {"authorization": f"Bearer {SECRET}"},
        basic("router"),
        basic(f"router:{SECRET}!"),
        basic(f"Router:{SECRET}"),
        basic(f":{SECRET}"),
        basic("router:"),
        basic(b"\xff:\xff"),
        {"authorization": basic(f"router:{SECRET}")["authorization"] + "!!!!"},
    ],
)
def test_any_other_credentials_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureError):
        a_source({"scheme": "basic"}, PAIR).verify(request(headers=headers), NOW)


def test_a_password_may_hold_colons_and_any_character() -> None:
    password = "pässword:with:colons"
    source = a_source({"scheme": "basic"}, {"user": "router", "password": Given(password)})
    source.verify(request(headers=basic(f"router:{password}")), NOW)


def test_both_pairs_are_live_while_they_rotate_and_are_not_mixed() -> None:
    other = {"user": "second", "password": Given(OTHER)}
    source = a_source({"scheme": "basic"}, PAIR, other)
    source.verify(request(headers=basic(f"second:{OTHER}")), NOW)
    with pytest.raises(SignatureError):
        source.verify(request(headers=basic(f"router:{OTHER}")), NOW)


def test_the_user_may_be_a_reference_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_USER", "router")
    monkeypatch.setenv("HOOK_PASSWORD", SECRET)
    for user in ("$env.HOOK_USER", Secret("$env.HOOK_USER")):
        source = a_source({"scheme": "basic"}, {"user": user, "password": "$env.HOOK_PASSWORD"})
        source.verify(request(headers=basic(f"router:{SECRET}")), NOW)


@pytest.mark.parametrize(
    "pair",
    [
        *({}, {"user": "router"}, {"password": Given(SECRET)}, {"user": "a:b", "password": Given(SECRET)}),
        *({"user": "router", "password": {}}, {"user": "router", "password": Given("")}),
    ],
)
def test_half_a_pair_is_our_trouble_and_never_a_yes(pair: dict[str, Any]) -> None:
    source = a_source({"scheme": "basic"}, pair)
    with pytest.raises(UpstreamError):
        source.verify(request(headers=basic(":")), NOW)
    assert source.secret_problems()


def test_a_password_in_the_file_is_refused() -> None:
    source = a_source({"scheme": "basic"}, {"user": "router", "password": SECRET})
    with pytest.raises(ConfigError, match=r"\$env"):
        source.sign(BODY, now=NOW, event_id="x")


def test_basic_asks_for_credentials() -> None:
    assert a_source({"scheme": "basic"}, PAIR).challenge == "Basic"
    assert a_source(BARE, SECRET).challenge is None


def test_we_send_the_pair_that_we_accept() -> None:
    source = a_source({"scheme": "basic"}, PAIR)
    source.verify(request(headers=source.sign(BODY, now=NOW, event_id="x")), NOW)
    source.verify(request(headers=sign({"scheme": "basic"}, BODY, f"router:{SECRET}", now=NOW)), NOW)


# --- secrets ------------------------------------------------------------------------------------------------------


def test_secrets_are_read_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("x", verify=BARE, secrets=[Secret("$env.HOOK_TOKEN")], identity=BY_NAME)
    webhook = request(headers={"x-token": SECRET})
    monkeypatch.delenv("HOOK_TOKEN", raising=False)
    with pytest.raises(UpstreamError, match="HOOK_TOKEN"):
        source.verify(webhook, NOW)
    monkeypatch.setenv("HOOK_TOKEN", SECRET)
    source.verify(webhook, NOW)
    assert source.secret_problems() == []


@pytest.mark.parametrize("value", ["", " ", "\n", "changeme", "fifteen bytes 1"])
def test_unset_blank_placeholder_and_short_secrets_are_never_a_yes(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_TOKEN", value)
    source = Source("x", verify=BARE, secrets=[Secret("$env.HOOK_TOKEN")], identity=BY_NAME)
    with pytest.raises(UpstreamError):
        source.verify(request(headers={"x-token": value or "-"}), NOW)
    (problem,) = source.secret_problems()
    assert "HOOK_TOKEN" in problem


def test_a_newline_behind_a_secret_is_not_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_TOKEN", SECRET + "\n")
    source = Source("x", verify=BARE, secrets=[Secret("$env.HOOK_TOKEN")], identity=BY_NAME)
    source.verify(request(headers={"x-token": SECRET}), NOW)


def test_a_pair_does_not_fit_a_token_nor_a_text_a_pair() -> None:
    for verify in ({**BARE, "secrets": [PAIR]}, {"scheme": "basic", "secret": Given(SECRET)}):
        assert a_source(verify).secret_problems()


@pytest.mark.parametrize("verify", [BARE, {"scheme": "basic"}])
def test_a_scheme_with_a_secret_needs_one(verify: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="needs a secret"):
        a_source(verify)


@pytest.mark.parametrize("secret", ["a literal", 5])
def test_a_literal_is_no_secret(secret: Any) -> None:
    with pytest.raises(ConfigError, match=r"\$env"):
        a_source({**BARE, "secret": secret})


def test_secrets_do_not_show() -> None:
    source = a_source(BARE, SECRET)
    assert SECRET not in repr(source) + repr(vars(source)) + repr(vars(source._scheme))


# --- network and none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"])
def test_an_allowed_address_passes(address: str) -> None:
    source = a_source({"scheme": "network", "ip_allow": ["192.0.2.0/24", "2001:db8::/32"]})
    source.verify(request(remote_addr=address), NOW)


@pytest.mark.parametrize("address", ["192.0.3.7", "", "192.0.2.7, 10.0.0.1", "::ffff:10.0.0.1", "2001:db9::1", "x"])
def test_any_other_address_is_refused(address: str) -> None:
    source = a_source({"scheme": "network", "ip_allow": ["192.0.2.0/24", "2001:db8::/32"]})
    with pytest.raises(SignatureError):
        source.verify(request(remote_addr=address), NOW)


MTLS = {"mtls_header": {"name": "X-Client-Subject", "value": ["CN=a", "CN=b"]}}


def test_the_header_of_a_proxy_names_the_client() -> None:
    source = a_source({"scheme": "network", **MTLS})
    assert source.proxy_headers == {"x-client-subject"}
    source.verify(request(headers={"x-client-subject": "CN=b"}), NOW)
    for value in ("CN=c", "", "CN=a,CN=b"):
        with pytest.raises(SignatureError):
            source.verify(request(headers={"x-client-subject": value}), NOW)


def test_network_lies_on_top_of_another_scheme() -> None:
    source = a_source(BARE, SECRET, network={"ip_allow": "192.0.2.0/24", **MTLS})
    headers = {**source.sign(BODY, now=NOW, event_id="x")}
    assert headers == {"x-token": SECRET, "x-client-subject": "CN=a"}
    source.verify(request(headers=headers), NOW)
    for webhook in (
        request(headers=headers, remote_addr="10.0.0.1"),
        request(headers={**headers, "x-token": OTHER}),
        request(headers={**headers, "x-client-subject": "CN=c"}),
    ):
        with pytest.raises(SignatureError):
            source.verify(webhook, NOW)


def test_an_address_cannot_be_signed() -> None:
    assert sign({"scheme": "network", "ip_allow": "10.0.0.0/8"}, BODY, SECRET, now=NOW) == {}


def test_without_verification_everything_passes() -> None:
    a_source({"scheme": "none"}).verify(request(b"\xff", {}), NOW)
    assert sign({"scheme": "none"}, BODY, "", now=NOW) == {}

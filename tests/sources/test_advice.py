"""What the operator is told of a refused signature: the setting with which it would match."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import SignatureError
from router.sources import Source, sign
from router.sources.schemes.advice import MAX_BODY, MAX_TRIES
from tests.sources.given import BODY, NOW, SECRET, SECRET_BASE64, SECRET_HEX, URL, a_source, after, request

PLAIN = {"scheme": "hmac", "header": "X-Sig"}
TIMED = {**PLAIN, "ts_header": "X-Time", "signed": "{timestamp}.{body}"}
PAIRS = {**PLAIN, "parse": "pairs", "signed": "{timestamp}.{body}"}


def signed(definition: Mapping[str, Any], secret: str = SECRET) -> dict[str, str]:
    """The headers of a sender that signs so."""
    return sign(definition, BODY, secret, now=NOW, event_id="e1", url=URL)


def advice(configured: Mapping[str, Any], headers: Mapping[str, str], *secrets: str, at: Any = NOW) -> str:
    """What is told of a request with these headers. It is refused."""
    source = a_source(configured, *(secrets or (SECRET,)), url=URL)
    webhook = request(headers={name.lower(): value for name, value in headers.items()})
    with pytest.raises(SignatureError):
        source.verify(webhook, at)
    return source.advice(webhook, at)


@pytest.mark.parametrize(
    ("configured", "sent", "told"),
    [
        (PLAIN, {**PLAIN, "encoding": "base64"}, "encoding: base64"),
        ({**PLAIN, "encoding": "base64"}, PLAIN, "encoding: hex"),
        (PLAIN, {**PLAIN, "prefix": "sha256="}, 'prefix: "sha256="'),
        ({**PLAIN, "prefix": "sha256="}, PLAIN, 'prefix: ""'),
        (PLAIN, {**PLAIN, "prefix": "v0="}, 'prefix: "v0="'),
        (PLAIN, {**PLAIN, "algorithm": "sha1"}, "algorithm: sha1"),
        ({**PLAIN, "algorithm": "sha1"}, {**PLAIN, "algorithm": "sha512"}, "algorithm: sha512"),
        (TIMED, {**TIMED, "signed": "{timestamp}:{body}"}, 'signed: "{timestamp}:{body}"'),
        (TIMED, {**TIMED, "signed": "v0:{timestamp}:{body}"}, 'signed: "v0:{timestamp}:{body}"'),
        (TIMED, {**TIMED, "signed": "{timestamp}{body}"}, 'signed: "{timestamp}{body}"'),
        (TIMED, {**TIMED, "ts_unit": "ms"}, "ts_unit: ms"),
        ({**TIMED, "ts_unit": "ms"}, TIMED, "ts_unit: s"),
        (PLAIN, TIMED, 'ts_header: x-time, signed: "{timestamp}.{body}"'),
        (
            {**TIMED, "id_header": "X-Id"},
            {**TIMED, "id_header": "X-Id", "signed": "{id}.{timestamp}.{body}"},
            'signed: "{id}.{timestamp}.{body}"',
        ),
        (PLAIN, PAIRS, 'parse: pairs, signed: "{timestamp}.{body}"'),
        (
            PLAIN,
            {**PAIRS, "pair_sep": ";", "ts_key": "ts", "sig_key": "h1"},
            'parse: pairs, pair_sep: ";", sig_key: h1, ts_key: ts, signed: "{timestamp}.{body}"',
        ),
        (TIMED, PAIRS, "parse: pairs, no ts_header"),
        (PAIRS, {**PAIRS, "parse": "positional"}, "parse: positional"),
        (PLAIN, {**PLAIN, "parse": "versioned"}, "parse: versioned"),
        (
            TIMED,
            {**TIMED, "prefix": "sha256=", "encoding": "base64", "signed": "{timestamp}:{body}"},
            'prefix: "sha256=", encoding: base64, signed: "{timestamp}:{body}"',
        ),
    ],
)
def test_the_setting_with_which_it_would_match_is_named(
    configured: Mapping[str, Any], sent: Mapping[str, Any], told: str
) -> None:
    assert advice(configured, signed(sent)) == f"it would match with {told}"
    assert advice(configured, signed(sent), "another secret of enough bytes", SECRET).endswith(told)


def test_of_a_body_that_is_signed_without_the_time_the_settings_that_must_go_are_named() -> None:
    headers = {**signed(PLAIN), "x-time": str(int(NOW.timestamp()))}
    assert advice(TIMED, headers) == 'it would match with signed: "{body}", no ts_header'


@pytest.mark.parametrize(
    ("secret", "key", "told"),
    [
        (SECRET_HEX, {"encoding": "hex"}, "{encoding: hex}"),
        (SECRET_BASE64.removeprefix("whsec_"), {"encoding": "base64"}, "{encoding: base64}"),
        (SECRET_BASE64, {"encoding": "base64", "strip": "whsec_"}, "{strip: whsec_, encoding: base64}"),
    ],
)
def test_another_reading_of_the_secret_is_named(secret: str, key: Mapping[str, Any], told: str) -> None:
    assert advice(PLAIN, signed({**PLAIN, "key": key}, secret), secret) == f"it would match with key: {told}"
    assert advice({**PLAIN, "key": key}, signed(PLAIN, secret), secret) == "it would match with key: {}"


def test_a_spelling_that_is_never_taken_is_told() -> None:
    (digest,) = signed(PLAIN).values()
    assert advice(PLAIN, {"x-sig": digest.upper()}) == "the digest is right, but hex in capitals is not taken"
    (digest,) = signed({**PLAIN, "encoding": "base64"}).values()
    assert advice({**PLAIN, "encoding": "base64"}, {"x-sig": digest.rstrip("=")}) == (
        "the digest is right, but base64 without padding, or with - and _, is not taken"
    )
    said = advice(PLAIN, {"x-sig": "sha256=" + digest.rstrip("=")})
    assert said.startswith('it would match with prefix: "sha256=", encoding: base64; the digest is right, but ')


def test_a_time_in_another_unit_is_told_whatever_the_signature_is() -> None:
    wrong = "another secret of enough bytes"
    milliseconds = signed({**TIMED, "ts_unit": "ms"}, wrong)
    assert advice(TIMED, milliseconds) == "the timestamp is in milliseconds: ts_unit: ms"
    assert advice({**TIMED, "ts_unit": "ms"}, signed(TIMED, wrong)) == "the timestamp is in seconds: ts_unit: s"
    assert advice(TIMED, signed(TIMED, wrong), at=after(86_400)) == "", "it is too old in any unit"


def test_a_genuine_request_that_comes_late_is_told_to_be_one() -> None:
    assert advice(TIMED, signed(TIMED), at=after(86_400)) == "the signature itself matches"
    for definition in (PLAIN, TIMED):
        source = a_source(definition, SECRET)
        assert source.advice(request(headers=signed(definition)), NOW) == "", "it was refused for something else"


@pytest.mark.parametrize("configured", [PLAIN, TIMED, PAIRS, {**TIMED, "id_header": "X-Id"}])
def test_of_another_secret_nothing_is_known(configured: Mapping[str, Any]) -> None:
    assert advice(configured, signed(configured, "another secret of enough bytes")) == ""


def test_no_advice_where_there_is_no_signature_or_the_body_is_long() -> None:
    assert advice(PLAIN, {}) == ""
    assert advice({"scheme": "token", "name": "X-Token"}, {"x-token": "x"}) == ""
    body = b"x" * (MAX_BODY + 1)
    sent = sign({**PLAIN, "encoding": "base64"}, body, SECRET, now=NOW, event_id="e1", url=URL)
    assert a_source(PLAIN, SECRET).advice(request(body, sent), NOW) == ""
    assert a_source(PLAIN, SECRET).advice(request(body[:-1], sent), NOW) == ""


def test_what_breaks_the_search_is_no_advice() -> None:
    source = a_source({**TIMED, "id_header": "X-Id"}, SECRET)
    assert source.advice(request(headers={**signed(TIMED), "x-id": "김"}), NOW) == ""


def test_parts_of_a_composition_are_asked() -> None:
    token = {"scheme": "token", "name": "X-Token"}
    for composition in ("any_of", "all_of"):
        said = advice({composition: [token, PLAIN]}, {**signed({**PLAIN, "prefix": "v0="}), "X-Token": "x"})
        assert said == 'it would match with prefix: "v0="'


def test_digests_are_few_and_as_many_whatever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    digest = hmac.digest
    monkeypatch.setattr(hmac, "digest", lambda key, text, algorithm: made.append(1) or digest(key, text, algorithm))
    secrets = [f"{number} secret of more than enough bytes" for number in range(9)]
    source = a_source(TIMED, *secrets, url=URL)
    counts = set()
    for secret in (secrets[0], SECRET):
        webhook = request(headers=signed({**TIMED, "signed": "{timestamp}:{body}"}, secret))
        made.clear()
        assert (source.advice(webhook, NOW) != "") == (secret in secrets)
        counts.add(len(made))
    assert len(counts) == 1
    many = ",".join(["0" * 40, "0" * 64, "0" * 128] * 100)
    made.clear()
    assert source.advice(request(headers={"x-sig": many, "x-time": "1767225600"}), NOW) == ""
    assert len(made) == MAX_TRIES


def hmac_sources() -> list[Source]:
    return [a_source(definition, SECRET, url=URL) for definition in (PLAIN, TIMED, PAIRS)]


TEXTS = st.one_of(
    st.text(max_size=200),
    st.from_regex(r"(t=[0-9]{10,13}[,;] ?)?(v1=|sha256=|v1,)?[0-9a-fA-F]{40,64}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9+/_-]{27,88}={0,2}", fullmatch=True),
)


@given(value=TEXTS, stamp=TEXTS, body=st.binary(max_size=50))
def test_whatever_a_stranger_sends_nothing_breaks_and_nothing_of_it_is_quoted(
    value: str, stamp: str, body: bytes
) -> None:
    for source in hmac_sources():
        said = source.advice(request(body, {"x-sig": value, "x-time": stamp}), NOW)
        assert said in {"", "the timestamp is in milliseconds: ts_unit: ms"}

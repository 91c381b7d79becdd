"""How `verify` definitions are checked and put together."""

from __future__ import annotations

from typing import Any

import pytest

from router.errors import BrokenVerification, ConfigError, SignatureError, UpstreamError
from router.settings import Secret
from router.sources import PRESETS, Given, Source, problems, secret_kinds, sign
from router.sources.presets import lay_over
from router.sources.schemes import is_open
from router.sources.schemes.hmac_header import Hmac
from tests.sources.given import BODY, BY_NAME, NOW, SECRET, SECRET_HEX, URL, a_source, envelope, request

HMAC = {"scheme": "hmac", "header": "X-Sig"}
TOKEN = {"scheme": "token", "name": "X-Token"}
IDS = {"id_header": "X-Id", "ts_header": "X-T"}
PAYPAL = {"scheme": "cert-signature", "webhook_id": "WH-1"}
JWT = {"scheme": "jwt", "name": "X-Jwt", "algorithms": ["HS256"]}


@pytest.mark.parametrize(
    ("verify", "path", "message", "hint"),
    [
        ({"scheme": "hmac", "parse": "pairs"}, ("scheme",), "hmac needs header", ""),
        ({"scheme": "hmca"}, ("scheme",), "scheme is one of hmac, standard-webhooks,", "did you mean 'hmac'?"),
        ({"scheme": "hmac-sha256"}, ("scheme",), "scheme is one of", "did you mean 'hmac'?"),
        ({"scheme": "jwt_rs256"}, ("scheme",), "scheme is one of", "did you mean 'jwt'?"),
        ({"scheme": "xyz"}, ("scheme",), "scheme is one of", ""),
        ({"scheme": ["hmac"]}, ("scheme",), "scheme is one of", ""),
        ({"header": "X"}, (), "scheme is one of", ""),
        ("hmac", (), "a map", ""),
        ({**HMAC, "hedaer": "x"}, ("hedaer",), "hmac has no key 'hedaer'", "did you mean 'header'?"),
        ({**HMAC, "signature_header": "x"}, ("signature_header",), "hmac has no key", "did you mean 'header'?"),
        ({**HMAC, "encoding_of": "x"}, ("encoding_of",), "hmac has no key", "did you mean 'encoding'?"),
        ({**HMAC, "zzz": "x"}, ("zzz",), "hmac has no key 'zzz'", ""),
        ({**HMAC, "parse": "pair"}, ("parse",), "parse is one of plain, pairs,", "did you mean 'pairs'?"),
        *(
            ({**HMAC, key: name}, (key,), f"{key} is the name of a header", "")
            for key in ("header", "ts_header", "id_header")
            for name in ("", 5, "X_Sig", "X Sig", "X-Sig:", "X-Sïg", "X-Sig\n")
        ),
        ({"scheme": "token", "name": "X_Token"}, ("name",), "name is the name of a header", ""),
        ({"scheme": "token", "in": "header", "name": "X Token"}, ("name",), "name is the name of a header", ""),
        ({**JWT, "name": "X_Jwt"}, ("name",), "name is the name of a header", ""),
        (
            {"scheme": "network", "mtls_header": {"name": "X_Client", "value": "a"}},
            ("mtls_header", "name"),
            "name is the name of a header",
            "",
        ),
        *(
            ({**HMAC, **IDS, "signed": f"{{{word}}}.{{body}}"}, ("signed",), f"signed has no hole {{{word}}}", hint)
            for word, hint in (("foo", ""), ("ts", ""), ("timestmp", "did you mean 'timestamp'?"), ("ID", ""))
        ),
        *(
            ({**HMAC, **IDS, "signed": text}, ("signed",), "nothing separates {id}", "as in {id}.{body}")
            for text in (
                "{timestamp}{id}{body}",
                "{timestamp}.{id}{body}",
                "{id}{timestamp}.{body}",
                "{timestamp}.{body}{id}",
            )
        ),
        (
            {**HMAC, "ts_header": "X-T", "signed": "v1.{body}"},
            ("signed",),
            "proves nothing",
            "add {timestamp} to signed",
        ),
        *(
            (
                {**JWT, "algorithms": ["RS256"], "jwks_url": url},
                ("jwks_url",),
                f"jwks_url is {fault}",
                "or write the keys under jwks or pem",
            )
            for url, fault in (
                ("https://", "an https URL"),
                ("https://u:p@a.example/jwks", "an https URL"),
                ("https://a.example:0/jwks", "an https URL"),
                ("http://localhost:8080/jwks", "an https URL"),
                ("https://a.example:8443/jwks", "asked on port 443 only"),
                ("https://10.0.0.5/jwks", "at a public host"),
                ("https://169.254.169.254/jwks", "at a public host"),
                ("https://[fd00::1]/jwks", "at a public host"),
                ("https://keycloak/jwks", "at a public host"),
                ("https://keycloak.internal/jwks", "at a public host"),
            )
        ),
        *(
            ({**PAYPAL, "cert_hosts": hosts}, ("cert_hosts",), "cert_hosts is a list of host names", "")
            for hosts in (
                [],
                ["http://x"],
                ["api.paypal.com:8443"],
                ["API.paypal.com"],
                ["api.paypal.com/x"],
                ["x"],
                [5],
                "a.b",
            )
        ),
        ({**HMAC, "tolerance": "5m"}, ("tolerance",), "whole number of seconds", ""),
        ({**HMAC, "tolerance": 0}, ("tolerance",), "whole number of seconds", ""),
        ({**HMAC, "tolerance": True}, ("tolerance",), "whole number of seconds", ""),
        ({**HMAC, "algorithm": "md5"}, ("algorithm",), "sha256, sha1, sha512", ""),
        ({**HMAC, "key": "base64"}, ("key",), "key is a map", ""),
        ({**HMAC, "key": {"encoding": "b64"}}, ("key", "encoding"), "utf8, base64, hex", "did you mean 'base64'?"),
        ({**HMAC, "key": {"strip": [5]}}, ("key", "strip"), "a text or a list of texts", ""),
        ({**HMAC, "signed": "{timestamp}.{body}"}, ("signed",), "nothing says where it is", "add ts_header"),
        ({**HMAC, "signed": "{id}.{body}"}, ("signed",), "nothing says where it is", "add id_header"),
        ({**HMAC, "signed": "{method}"}, ("signed",), "no {body}", ""),
        ({**HMAC, "signed": 5}, ("signed",), "signed is text", ""),
        ({**HMAC, "ts_header": "X-T"}, ("ts_header",), "proves nothing", "add {timestamp} to signed"),
        ({"scheme": "standard-webhooks", "families": ["svx"]}, ("families",), "webhook, svix", "did you mean"),
        ({**TOKEN, "in": "query", "auth_scheme": "Bearer"}, ("auth_scheme",), "for a header", ""),
        ({"scheme": "token", "in": "cookie"}, ("in",), "header, query", ""),
        ({"scheme": "basic", "user": "x"}, ("user",), "basic has no key 'user'", ""),
        ({**JWT, "algorithms": "HS256"}, ("algorithms",), "a list", ""),
        ({**JWT, "algorithms": ["none"]}, ("algorithms",), "one of HS256", ""),
        ({**JWT, "algorithms": ["RS256"]}, ("algorithms",), "a secret takes HS256", "give jwks_url, jwks or pem"),
        ({**JWT, "jwks_url": "https://a.example/jwks"}, ("algorithms",), "public keys take RS256", ""),
        (
            {**JWT, "algorithms": ["RS256"], "jwks_url": "http://a.example/jwks"},
            ("jwks_url",),
            "jwks_url is an https URL",
            "",
        ),
        (
            {**JWT, "algorithms": ["RS256"], "pem": "x", "jwks": {}},
            ("pem",),
            "jwks and pem are both given",
            "one of them",
        ),
        ({"scheme": "jwt", "algorithms": ["HS256"]}, ("scheme",), "needs name", ""),
        ({**JWT, "body_claim": {}}, ("body_claim",), "body_claim needs name", ""),
        ({"scheme": "sns"}, ("scheme",), "sns needs topics", ""),
        ({"scheme": "sns", "topics": []}, ("topics",), "topics is a list", ""),
        ({"scheme": "cert-signature"}, ("scheme",), "cert-signature needs webhook_id", ""),
        ({"scheme": "network"}, ("scheme",), "network needs ip_allow or mtls_header", ""),
        ({"scheme": "network", "ip_allow": "10.0.0.1/8"}, ("ip_allow",), "10.0.0.1/8 is no network", "as in"),
        ({"scheme": "network", "mtls_header": {"name": "x"}}, ("mtls_header",), "mtls_header needs value", ""),
        ({"all_of": []}, ("all_of",), "all_of is a list of definitions", ""),
        ({"all_of": [HMAC], "header": "x"}, ("header",), "does not stand beside all_of", ""),
        ({"any_of": [TOKEN, {"scheme": "hmac"}]}, ("any_of", "1", "scheme"), "hmac needs header", ""),
        ({"any_of": ["basic"]}, ("any_of", "0"), "a map", ""),
        (PRESETS["aws-sns"]["verify"], ("scheme",), "this sender needs topics under verify", "arn:aws:sns"),
    ],
)
def test_problems_name_the_key_and_the_mend(verify: Any, path: tuple[str, ...], message: str, hint: str) -> None:
    found_path, found_message, found_hint = problems(verify)[0]
    assert found_path == path
    assert message in found_message
    assert hint in found_hint
    assert not hint or found_hint
    if isinstance(verify, dict):
        with pytest.raises(ConfigError):
            a_source(verify, SECRET)


@pytest.mark.parametrize(
    "verify",
    [
        HMAC,
        TOKEN,
        {"scheme": "basic", "secret": {"user": "a", "password": "$env.B"}},
        {"scheme": "none"},
        {**JWT, "secrets": ["$env.A"]},
        {**JWT, "algorithms": ["ES256"], "jwks_url": "https://a.example/jwks", "leeway": 5, "require_claims": {"a": 1}},
        {**JWT, "algorithms": ["ES256"], "jwks_url": "https://a.example:443/jwks"},
        {**JWT, "algorithms": ["ES256"], "jwks_url": "https://93.184.215.14/jwks"},
        {**JWT, "algorithms": ["ES256"], "jwks_url": "https://localhost:8443/jwks"},
        {**HMAC, **IDS, "signed": "{id}.{timestamp}.{body}"},
        {**HMAC, **IDS, "signed": "{a-b}{timestamp}{body}:{id}"},
        {**HMAC, **IDS, "signed": "{timestamp}{body}{id}!"},
        {"scheme": "token", "in": "query", "name": "my_token"},
        {**PAYPAL, "cert_hosts": ["api.paypal.com", "api-m.sandbox.paypal.com"]},
        {"scheme": "network", "ip_allow": ["10.0.0.0/8", "::1"]},
        {"scheme": "adyen-item"},
        {"any_of": [HMAC, {"all_of": [TOKEN, {"scheme": "basic"}]}], "secrets": ["$env.A"]},
    ],
)
def test_a_good_definition_has_no_problem(verify: dict[str, Any]) -> None:
    assert problems(verify) == []


def test_every_preset_is_good_once_its_needs_are_met() -> None:
    keys = {name: {"jwks_url": "https://a.example"} for name in ("kinde", "fusionauth", "keycloak-phasetwo-jwt")}
    for name, preset in PRESETS.items():
        verify = {**preset["verify"], **preset["verify"].get("needs", {}), **keys.get(name, {})}
        assert problems(verify) == [], name


def test_another_scheme_takes_nothing_from_what_it_replaces() -> None:
    assert lay_over(HMAC, {"tolerance": 5}) == {**HMAC, "tolerance": 5}
    assert lay_over(HMAC, {"scheme": "hmac", "tolerance": 5}) == {**HMAC, "tolerance": 5}
    assert lay_over(HMAC, TOKEN) == TOKEN
    assert lay_over(HMAC, {"any_of": [TOKEN]}) == {"any_of": [TOKEN]}


@pytest.mark.parametrize(
    ("verify", "kinds"),
    [
        (HMAC, {"text"}),
        ({"scheme": "basic"}, {"basic"}),
        ({"scheme": "none"}, set()),
        (JWT, {"text"}),
        ({**JWT, "jwks_url": "https://a.example"}, set()),
        (PRESETS["adyen"]["verify"], {"text", "basic"}),
        ({"all_of": [{**TOKEN, "secret": "$env.A"}, {"scheme": "network"}]}, set()),
    ],
)
def test_what_secrets_a_definition_needs(verify: dict[str, Any], kinds: set[str]) -> None:
    assert secret_kinds(verify) == kinds


# --- composition --------------------------------------------------------------------------------------------------

SIGNED = sign(HMAC, BODY, SECRET, now=NOW)
SHOWN = {"x-token": SECRET}
BOTH = {"all_of": [HMAC, TOKEN]}
EITHER = {"any_of": [HMAC, TOKEN]}


def test_all_of_needs_every_part() -> None:
    source = a_source(BOTH, SECRET)
    source.verify(request(headers={**SIGNED, **SHOWN}), NOW)
    for headers in (SIGNED, SHOWN, {}):
        with pytest.raises(SignatureError):
            source.verify(request(headers=headers), NOW)


def test_any_of_needs_one_part() -> None:
    source = a_source(EITHER, SECRET)
    for headers in (SIGNED, SHOWN, {**SIGNED, "x-token": "no"}):
        source.verify(request(headers=headers), NOW)
    with pytest.raises(SignatureError):
        source.verify(request(headers={"x-sig": "no", "x-token": "no"}), NOW)


def test_any_of_goes_on_when_a_part_breaks_on_strange_bytes() -> None:
    source = a_source({"any_of": [{"scheme": "adyen-item"}, TOKEN]}, SECRET_HEX)
    source.verify(request(b"\xff", {"x-token": SECRET_HEX}), NOW)


def test_any_of_does_not_refuse_for_good_while_a_part_cannot_be_asked() -> None:
    away = {"scheme": "jwt", "location": "body", "algorithms": ["RS256"], "jwks_url": "https://a.example/jwks"}
    source = a_source({"any_of": [away, TOKEN]}, SECRET)
    token = b"eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AAAA"
    source.verify(request(token, SHOWN), NOW)
    with pytest.raises(UpstreamError):
        source.verify(request(token, {}), NOW)


def broken(*_given: Any) -> None:
    raise KeyError("canary")


def test_what_breaks_in_a_verification_is_a_refusal_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hmac, "verify", broken)
    with pytest.raises(BrokenVerification) as caught:
        a_source(HMAC, SECRET).verify(request(), NOW)
    assert str(caught.value) == "verification broke: KeyError"
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_part_that_broke_is_not_hidden_by_one_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hmac, "verify", broken)
    a_source(EITHER, SECRET).verify(request(headers=SHOWN), NOW)
    for parts in ([HMAC, TOKEN], [TOKEN, HMAC], [TOKEN, {"any_of": [HMAC]}]):
        with pytest.raises(BrokenVerification):
            a_source({"any_of": parts}, SECRET).verify(request(), NOW)
    away = {"scheme": "jwt", "location": "body", "algorithms": ["RS256"], "jwks_url": "https://a.example/jwks"}
    with pytest.raises(UpstreamError):
        a_source({"any_of": [away, HMAC]}, SECRET).verify(request(b"eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AAAA"), NOW)


def test_parts_have_secrets_of_their_own_or_share_those_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_TOKEN", "a token of its very own")
    parts = [{**TOKEN, "secret": "$env.OWN_TOKEN"}, HMAC, {"scheme": "basic"}]
    pair = {"user": "router", "password": Given("a password of enough bytes")}
    source = Source("x", verify={"all_of": parts}, secrets=[Given(SECRET), pair], identity=BY_NAME)
    headers = source.sign(BODY, now=NOW, event_id="x")
    assert headers["x-token"] == "a token of its very own"
    source.verify(request(headers=headers), NOW)
    assert source.secret_problems() == []
    assert source.challenge == "Basic"


def test_own_secrets_may_be_a_list() -> None:
    source = a_source({**TOKEN, "secrets": [Given(SECRET), Given(SECRET[::-1])]})
    source.verify(request(headers={"x-token": SECRET[::-1]}), NOW)


def test_a_part_without_a_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="user and password"):
        a_source(PRESETS["adyen"]["verify"], Secret("$env.A"))  # type: ignore[arg-type]


def test_any_of_signs_as_its_first_part() -> None:
    assert a_source(EITHER, SECRET).sign(BODY, now=NOW, event_id="x") == SIGNED


@pytest.mark.parametrize(
    "verify",
    [
        {"scheme": "adyen-item"},
        {"scheme": "sns", "topics": ["x"]},
        {"scheme": "cert-signature", "webhook_id": "x"},
        {**JWT, "location": "body"},
        {**JWT, "algorithms": ["RS256"], "jwks_url": "https://a.example"},
    ],
)
def test_what_only_the_sender_can_sign(verify: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="only the sender"):
        sign(verify, BODY, SECRET_HEX, now=NOW)


def test_a_bad_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="format"):
        a_source(envelope=envelope("xml"))


def test_an_error_of_a_definition_names_its_place() -> None:
    with pytest.raises(ConfigError, match=r"verify\.parse: .*\(did you mean 'pairs'\?\)"):
        a_source({**HMAC, "parse": "pair"}, SECRET)
    with pytest.raises(ConfigError, match="network"):
        a_source({"scheme": "none"}, network={}, url=URL)


NONE = {"scheme": "none"}


@pytest.mark.parametrize(
    ("definition", "is_it"),
    [
        (NONE, True),
        (HMAC, False),
        ({"any_of": [HMAC, NONE]}, True),
        ({"any_of": [HMAC, HMAC]}, False),
        ({"all_of": [HMAC, NONE]}, False),
        ({"all_of": [NONE, NONE]}, True),
        ({"any_of": [HMAC, {"all_of": [NONE, {"any_of": [NONE]}]}]}, True),
        ({"all_of": [NONE, {"any_of": [HMAC, {"all_of": [HMAC, NONE]}]}]}, False),
        ("none", False),
    ],
)
def test_a_definition_is_open_where_nothing_need_be_proved(definition: Any, is_it: bool) -> None:
    assert is_open(definition) is is_it

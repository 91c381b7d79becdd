"""The editor's schema: the example project fits it, and misspelt keys do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from router.ruleset import json_schema, load
from router.ruleset.tree import plain, read_yaml
from router.settings import read_rules
from router.sources import PRESETS
from tests.test_docs import BLOCKS
from tests.test_source_pages import block

RULES, SAMPLES = read_rules(Path(__file__).parents[2] / "rules")


def document(name: str, old: str = "", new: str = "") -> Any:
    text = RULES[name].decode()
    assert old in text
    node, problems = read_yaml(name, text.replace(old, new, 1).encode())
    assert node is not None
    assert not problems
    return plain(node)


@pytest.fixture(scope="module", params=["of a project", "of no project"])
def schema(request: pytest.FixtureRequest) -> jsonschema.Draft7Validator:
    made = json_schema(load(RULES, SAMPLES) if request.param == "of a project" else None)
    jsonschema.Draft7Validator.check_schema(made)
    return jsonschema.Draft7Validator(made)


@pytest.mark.parametrize("name", RULES)
def test_the_example_project_fits(schema: jsonschema.Draft7Validator, name: str) -> None:
    assert [error.message for error in schema.iter_errors(document(name))] == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("stripe.yaml", "rules:", "ruels:"),
        ("stripe.yaml", "    when:", "    wehn:"),
        ("stripe.yaml", "    user:", "    usr:"),
        ("stripe.yaml", "      - given:", "      - givn:"),
        ("stripe.yaml", "expect: skipped", "expect: skiped"),
        ("shopify.yaml", "      email: .email_marketing", "      emial: .email_marketing"),
        ("shopify.yaml", "region: US", "regoin: US"),
        ("acme.yaml", "  identity: {type: .kind", "  identity: {typ: .kind"),
        ("acme.yaml", "      add: .person", "      ad: .person"),
        ("acme.yaml", "secrets: [$env.ACME_SECRET,", "secrets: [hush,"),
        ("destinations.yaml", "seats: number", "seats: numbr"),
        ("destinations.yaml", "provider: moesif", "provider: mosif"),
        ("destinations.yaml", "dc: 1\n", "dc: 9\n"),
        ("destinations.yaml", "    debounce: 5s", "    debounse: 5s"),
        ("destinations.yaml", "    debounce: 5s", "    debounce: 5 seconds"),
        ("destinations.yaml", "    workspace:", "    worksapce:"),
        ("destinations.yaml", "clear: send-null         # not", "clear: send-nil          # not"),
        # what may not be empty or missing
        ("stripe.yaml", "to: [moengage, engagelab, channel, moesif]", "to: []"),
        ("stripe.yaml", "    to: [moengage, engagelab, channel]", "    to: []"),
        ("acme.yaml", "    tags:\n      add: .person.labels", "    tags: {}"),
        ("destinations.yaml", "    key: $env.MOENGAGE_DATA_KEY\n", ""),
        ("destinations.yaml", "    properties: [name, country, plan, seats, lifetime_value, created_at, tags]\n", ""),
        ("typeform.yaml", "region: KR", "region: KR, handshake: hubb"),
        ("typeform.yaml", "region: KR", "region: KR, handshake: [okta, {name: hubb}]"),
        ("typeform.yaml", "region: KR", "region: KR, handshake: hub"),
        ("typeform.yaml", "region: KR", "region: KR, handshake: {name: hub}"),
        ("typeform.yaml", "region: KR", "region: KR, handshake: {name: hub, secret: $env.S}"),
        ("typeform.yaml", "region: KR", "region: KR, handshake: {name: ping, kee: event}"),
    ],
)
def test_a_misspelt_word_is_flagged(schema: jsonschema.Draft7Validator, name: str, old: str, new: str) -> None:
    assert list(schema.iter_errors(document(name, old, new)))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("stripe.yaml", "      email: .data", "      emial: .data"),
        ("stripe.yaml", "to: [moengage, engagelab", "to: [moengage, engagelap"),
        ("stripe.yaml", "      moesif:\n", "      mosif:\n"),
        ("stripe.yaml", "        metadata:\n", "        metdata:\n"),
        ("auth0.yaml", "          moesif:\n", "          mosif:\n"),
        ("stripe.yaml", "    unset: [seats]", "    unset: [seat]"),
        ("stripe.yaml", "    unset: [seats]", "    unset: [tags]"),
        ("stripe.yaml", "      email: .data.object.email", "      email: [.data.object.email]"),
        ("stripe.yaml", "      id: .data.object.metadata.company_id", "      id: [.data.object.metadata.company_id]"),
        ("destinations.yaml", "rename: {plan:", "rename: {paln:"),
        ("destinations.yaml", "clear: keep              #", "drop: [consent.letter]    #"),
    ],
)
def test_a_projects_own_names_are_known(name: str, old: str, new: str) -> None:
    schema = jsonschema.Draft7Validator(json_schema(load(RULES, SAMPLES)))
    assert list(schema.iter_errors(document(name, old, new)))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("stripe.yaml", "    unset: [seats]", "    unset: [seats, company.plan]"),
        ("stripe.yaml", "      id: .data.object.metadata.company_id", "      size: .data.object.metadata.company_id"),
        ("stripe.yaml", "      id: .data.object.metadata.company_id", "      marks: [.data.object.id, b]"),
        ("stripe.yaml", "      email: .data.object.email", "      words: [.data.object.email, b]"),
        ("destinations.yaml", "rename: {plan:", "rename: {consent.email: mail, tags: t, company.size: s, plan:"),
        ("destinations.yaml", "clear: keep              #", "drop: [consent.email, tags, company.size, plan] #"),
        ("typeform.yaml", "region: KR", "region: KR, handshake: none"),
        ("typeform.yaml", "region: KR", "region: KR, handshake: [okta, {name: hub, verify_token: $env.S}]"),
        ("typeform.yaml", "region: KR", "region: KR, handshake: {name: ping, key: event, value: test}"),
    ],
)
def test_what_a_project_may_say_is_not_flagged(name: str, old: str, new: str) -> None:
    shared = RULES["destinations.yaml"].replace(
        b"  plan: text\n", b"  plan: text\n  words: list\n  company.marks: list\n", 1
    )
    project = load({**RULES, "destinations.yaml": shared}, SAMPLES)
    for schema in (json_schema(project), json_schema()):
        assert list(jsonschema.Draft7Validator(schema).iter_errors(document(name, old, new))) == []


# --- verification -------------------------------------------------------------------------------------------------

IDENTITY = "identity: {type: .kind, id: .id, time: .at}"
ANY = jsonschema.Draft7Validator(json_schema())


def errors_of(text: str) -> list[str]:
    node, problems = read_yaml("x.yaml", text.encode())
    assert node is not None
    assert not problems
    return [error.message for error in ANY.iter_errors({"to": "app", "rules": {}, **plain(node)})]


@pytest.mark.parametrize("text", [*BLOCKS, *(block(name, "Rule file", "yaml") for name in sorted(PRESETS))])
def test_the_sources_of_the_manual_fit(text: str) -> None:
    assert errors_of(text) == []


@pytest.mark.parametrize(
    ("source", "fits"),
    [
        ("name: shop, verify: {scheme: hmac, header: X-Signature}", True),
        ("name: shop, verify: {scheme: hmca, header: X-Signature}", False),
        ("name: shop, verify: {scheme: hmac, headers: X-Signature}", False),
        ("name: shop, verify: {scheme: hmac}", False),
        ("name: shop, verify: {scheme: hmac, header: X Signature}", False),
        ("name: shop, verify: {scheme: hmac, header: X-Signature, algorithm: md5}", False),
        ("name: shop, verify: {scheme: hmac, header: X-Signature, tolerance: 5m}", False),
        ("name: shop, verify: {scheme: hmac, header: X-Signature, key: {split: ','}}", True),
        ("name: shop, verify: {scheme: hmac, header: X-Signature, key: {spilt: ','}}", False),
        (
            "name: shop, verify: {scheme: jwt, name: Authorization, algorithms: [RS256], jwks_url: https://x.example}",
            True,
        ),
        (
            "name: shop, verify: {scheme: jwt, name: Authorization, algorithms: [RS255], jwks_url: https://x.example}",
            False,
        ),
        ("name: shop, verify: {any_of: [{scheme: token, name: X-Key, secret: $env.A}, {scheme: basic}]}", True),
        ("name: shop, verify: {any_of: [{scheme: token, nmae: X-Key, secret: $env.A}, {scheme: basic}]}", False),
        ("name: shop, verify: {any_off: [{scheme: basic}]}", False),
        ("name: shop, verify: {all_of: []}", False),
        ("name: shop, secret: {user: ann, password: $env.A}, verify: {scheme: basic}", True),
        ("name: shop, secret: {user: ann, password: hush}, verify: {scheme: basic}", False),
        ("name: shop", False),
        ("name: shop, removed: true", True),
        ("name: stripe", True),
        ("name: stripe, verify: {tolerance: 600}", True),
        ("name: stripe, verify: {tolerence: 600}", False),
        ("name: pay, preset: stripe, verify: {tolerance: 600}", True),
        ("name: stripe, preset: okta, verify: {tolerance: 600}", False),
        ("name: pay, preset: stripe, verify: {any_of: [{scheme: token, name: X-Key}]}", True),
        ("name: shop, verify: {scheme: none}, region: KR", True),
        ("name: shop, verify: {scheme: none}, region: kor", False),
        ("name: stripe, network: {mtls_header: {name: X-Client, value: [CN=a]}}", True),
        ("name: stripe, network: {mtls_header: 5}", False),
        ("name: stripe, network: {mtls_header: {name: X-Client}}", False),
    ],
)
def test_what_verify_takes_is_known(source: str, fits: bool) -> None:
    assert (errors_of(f"source: {{{source}, {IDENTITY}}}") == []) == fits

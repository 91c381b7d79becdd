"""Every check, with its exact place: each case under `broken/` is an edit of the example project."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from marshmallow import Schema, fields

import router
from router.errors import RuleError, RuleErrors
from router.providers import PROVIDERS
from router.ruleset import check, load
from router.settings import read_rules

HERE = Path(__file__).parent
RULES, SAMPLES = read_rules(HERE.parents[1] / "rules")
CASES: list[dict[str, Any]] = [
    {**case, "file": path.stem}
    for path in sorted((HERE / "broken").glob("*.yaml"))
    for case in yaml.safe_load(path.read_text("utf-8"))
]


def project_of(case: dict[str, Any]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The example project as the case changes it."""
    files, samples = dict(RULES), dict(SAMPLES)
    for name, edits in case.get("edit", {}).items():
        text = files[name].decode()
        for old, new in zip(edits[::2], edits[1::2], strict=True):
            assert old in text, f"{old!r} is not in {name}"
            text = text.replace(old, new, 1)
        files[name] = text.encode()
    for name, old in case.get("long", {}).items():
        text = files[name].decode()
        assert old in text, f"{old!r} is not in {name}"
        files[name] = text.replace(old, old + " else .data.object.name" * 25, 1).encode()
    for name, text in case.get("files", {}).items():
        files[name] = text.encode()
    if "huge" in case:
        files[case["huge"]] = b"source: {name: crm}\n# " + b"x" * 1_100_000
    for name, text in case.get("samples", {}).items():
        samples[name] = text.encode()
    for name in case.get("remove", ()):
        files.pop(name, None)
        samples.pop(name, None)
    return files, samples


def lines(problems: list[RuleError], files: dict[str, bytes]) -> list[str]:
    """Problems in the form of the cases."""
    rows = []
    for p in problems:
        line = files[p.file].decode().split("\n")[p.line - 1]
        underlined = line[p.column - 1 : p.column - 1 + p.length]
        assert len(underlined) == p.length, "the carets lie inside the line"
        hint = f" → {p.hint}" if p.hint else ""
        underlined = underlined if len(underlined) < 100 else f"{underlined[0]}…"
        rows.append(f"{p.file}:{p.line}:{p.column} ⟦{underlined}⟧ {p.severity}[{p.code}] {p.message}{hint}")
    return rows


def codes(case: dict[str, Any]) -> list[str]:
    """`error[…]` and `warning[…]` of each problem that is expected."""
    return re.findall(r"⟧ ((?:error|warning)\[[a-z-]+\])", case["problems"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['file']}: {case['about']}")
def test_each_mistake_is_found_at_its_place(case: dict[str, Any]) -> None:
    files, samples = project_of(case)
    unset = case.get("unset")
    fault = None if unset is None else lambda use: f"{use.secret} is not set" if str(use.secret) in unset else ""
    assert "\n".join(lines(check(files, samples, fault=fault), files)) == case["problems"].rstrip("\n")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['file']}: {case['about']}")
def test_errors_keep_a_project_from_starting_and_warnings_and_tests_do_not(case: dict[str, Any]) -> None:
    files, samples = project_of(case)
    fatal = [code for code in codes(case) if code.startswith("error[") and not code.startswith("error[test-")]
    if not fatal:
        assert load(files, samples, reveal=str).rules
        return
    with pytest.raises(RuleErrors) as caught:
        load(files, samples, reveal=str)
    assert {f"error[{p.code}]" for p in caught.value.problems if p.severity == "error"} >= set(fatal)


def settings_of(schema: Schema, *above: str) -> Iterator[tuple[str, ...]]:
    """The place of each setting of an account, those inside others too."""
    for name, field in schema.fields.items():
        yield (*above, name)
        if isinstance(field, fields.Nested):
            yield from settings_of(field.schema, *above, name)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("value", ["[1]", "{a: 1}", "7", "1.5", "true", "x y", "'7'", "[]", "{}"])
def test_a_setting_of_another_kind_is_refused_in_words_of_our_own(provider: str, value: str) -> None:
    for place in settings_of(PROVIDERS[provider].Account()):
        setting = value
        for name in reversed(place):
            setting = f"{{{name}: {setting}}}"
        text = f"destinations:\n  app: {{provider: {provider}, {setting[1:-1]}}}\n"
        for problem in check({"destinations.yaml": text.encode()}, {}, fault=None):
            assert not re.search(
                r"valid|nvalid|Field may|Missing data|Must be|Unknown field|Length", problem.message
            ), text


def test_the_example_project_has_no_problem() -> None:
    assert check(RULES, SAMPLES, fault=lambda use: "") == []


#: every code of the manual's table of checks but `drift`, which needs stored events
CODES = (HERE / "data" / "codes.txt").read_text("utf-8").split()


def test_there_are_at_least_sixty_cases_and_no_two_of_one_name() -> None:
    assert len(CASES) >= 60
    assert len({(case["file"], case["about"]) for case in CASES}) == len(CASES)


def test_the_codes_are_those_that_the_code_gives() -> None:
    """Every text that stands where a problem's code does."""
    found: set[str] = set()
    package = Path(router.__file__).parent
    for file in [*(package / "ruleset").glob("*.py"), *(package / "providers").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                texts = [
                    each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
                ]
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in {
                    "add",
                    "warn",
                    "problem",
                    "_complain",
                    "RuleError",
                    "LanguageError",
                    "_error",
                    "Problem",
                    "_Lack",
                }:
                    found |= {text for text in texts if re.fullmatch("[a-z]+(?:-[a-z]+)*", text)}
    assert {*CODES, "drift"} == found


@pytest.mark.parametrize("code", CODES)
def test_every_check_has_a_case(code: str) -> None:
    assert any(found.endswith(f"[{code}]") for case in CASES for found in codes(case))


RIGHT = """\
source:
  name: own
  verify: {scheme: token, in: header, name: X-T}
  secret: $env.OWN
  identity: {type: .kind, id: .id, time: .at}
to: crm
rules:
  r:
    when: a.b
    user: .who.id
    set: {name: NAME}
    tests: [{given: own.a.json, expect: {profile: {}}}]
"""
BODY = {
    "kind": "a.b",
    "id": "e1",
    "at": "2026-01-01T00:00:00Z",
    "who": {"id": "u1", "mail": "a@b.co", "tier": None},
    "data": {"x": 1},
    "body": {"y": 1},
    "name": "n",
    "lang": "en",
}


def told_of(old: str, new: str, *bodies: dict[str, Any]) -> list[str]:
    """What is told of the small source with this edit, but for its tests."""
    assert old in RIGHT
    files = {**RULES, "own.yaml": RIGHT.replace(old, new, 1).encode()}
    bodies = bodies or (BODY,)
    samples = {f"own.{n}.json": json.dumps({"body": body}).encode() for n, body in zip("abc", bodies, strict=False)}
    found = check(files, {**SAMPLES, **samples}, fault=None)
    return [f"{p.code}: {p.message}" for p in found if p.file == "own.yaml" and not p.code.startswith("test-")]


ORDINARY = """\
customer.updated
who.cares
Who.cares
data.csv
event.created
body.lotion
name...
name[1]
data.protection@acme.com
header.png
query.sql
v1.2
(Beta) accepts .pdf and .docx
(.NET Developer)
(optional) salary in $USD
not-for-profit e.V. (.org)
!important .class
"Sale" | 50% off
"Best of" | 2026
csv or .xlsx
if you need .pdf, then write us
*.data.acme.com
https://acme.com/.data.json
50 %{rabatt}
C#{lang
{% raw %}
{name, plural, one {# item}}
<style>a{data:red}</style>
(任意) .pdf のみ
Hi {.who.mail}, {{unsubscribe_url}}
Hi {.who.mail} | last chance
{.name} | text message
{.name} else where
Total ${.who.mail}
{.name} | 50% off
[{.name}]
who/cares
/who
/etc/mail
who->ever
plans[0]
plans[who]
=.5 percent
@.acme
all => none
who => else
50 %(gross)s
[[note]]
{other} words
{x y z}
{event}
{event.created}
{% if 1 %}
{% if you like %}
{other name}, {x|y}
coalesce(nothing)
Coalesce(.pdf)
{"a": {.name}}
f{.name}
`{.name}`
`${name
'{.name} and {"a"}
"""


@pytest.mark.parametrize("text", ORDINARY.splitlines())
def test_an_ordinary_text_is_no_slip(text: str) -> None:
    assert told_of("{name: NAME}", f"{{name: {json.dumps(text, ensure_ascii=False)}}}") == []


@pytest.mark.parametrize("entries", ["m: male, default: 5, f: female", "default: 5", "", "a: .NET, b: $5, 10:30: null"])
def test_an_ordinary_table_is_no_slip(entries: str) -> None:
    told = told_of("to: crm\n", f"to: crm\ntables: {{names: {{{entries}}}}}\n")
    assert told == ["unused: no rule uses this table"]


@pytest.mark.parametrize("kind", ["who", "order", "who.updated", r"\\{{who}}", "order.updated"])
def test_a_type_that_all_events_have_may_be_any_text(kind: str) -> None:
    assert not [each for each in told_of("type: .kind", f'type: "{kind}"') if each.startswith("text-or-path")]


@pytest.mark.parametrize("ending", ["skip", "fail"])
def test_values_that_end_the_rule_are_tried_too(ending: str) -> None:
    other = {**BODY, "who": {**BODY["who"], "id": {"a b": 1}}}
    missing = {**BODY, "who": {}}
    assert told_of("user: .who.id", f"user: .who.id else {ending}", other, missing) == [
        "kind-mismatch: no sample has a usable id here: object(1) is not an id"
    ]
    told = told_of("user: .who.id", f"user: .who.id | number else {ending}")
    assert told == ["kind-mismatch: no sample has a usable id here: text(2) is not a number"]
    assert told_of("user: .who.id", f"user: .who.id\n    if: .lang == 'en' else {ending}", BODY, missing) == []


@pytest.mark.parametrize("written", ["&a abc123", "&abc123 a", "*abc123", "!abc123 x", "!x abc123"])
def test_a_value_of_a_secret_is_repeated_by_no_message(written: str) -> None:
    files = {**RULES, "own.yaml": RIGHT.replace("secret: $env.OWN", f"secret: {written}").encode()}
    assert "abc123" not in "".join(f"{p.message} {p.hint}" for p in check(files, SAMPLES, fault=None))


def test_a_name_of_a_field_that_is_not_sent_is_free() -> None:
    text = RULES["destinations.yaml"].decode().replace("rename: {plan: subscription_plan}", "rename: {plan: gender}")
    assert not [
        p for p in check({**RULES, "destinations.yaml": text.encode()}, SAMPLES, fault=None) if p.code == "name-clash"
    ]


def test_a_long_run_in_when_costs_what_its_length_does() -> None:
    files, samples = project_of({"file": "own", "files": {}, "edit": {}})
    when = "customer" + " " * 300_000 + "x"
    text = files["stripe.yaml"].replace(b"when: customer.subscription.deleted", f'when: "{when}"'.encode())
    found = check({**files, "stripe.yaml": text}, samples, fault=None)
    assert "no-sample" in {problem.code for problem in found}

"""`explain` says what each value came from; `check` prints for people, programs and GitHub."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from router.cli.masking import masked
from router.errors import RuleError
from router.model import Change, EventState, Op, OpKind, Version
from router.ruleset import Checked, Project, TestRun, Trace, check_files, explain, load
from router.ruleset.explain import StepTrace
from router.ruleset.origins import Fact
from router.ruleset.project import CANNOT_ERASE
from router.ruleset.rendering import calls_of, likes_of, paths_of
from router.ruleset.report import report
from router.ruleset.samples import open_sample, read_sample
from router.ruleset.text import printable
from router.settings import Secret, read_rules

RULES, SAMPLES = read_rules(Path(__file__).parents[2] / "rules")


@pytest.fixture(scope="module")
def project() -> Project:
    return load(RULES, SAMPLES, reveal=str)


def traced(project: Project, name: str, change: Callable[[Any], object] = lambda body: None, **options: Any) -> Trace:
    document = json.loads(SAMPLES[name])
    change(document["body"])
    sample = read_sample(name, json.dumps(document).encode())
    (opened,) = open_sample(sample, project.sections[sample.source])
    return explain(project, opened.event, opened.value, **options)


def without_phone(body: Any) -> None:
    customer = body["data"]["object"]
    customer["phone"] = None
    customer["address"]["country"] = "Korea"


def test_each_value_shows_what_it_came_from(project: Project) -> None:
    text = traced(project, "stripe.customer.updated.json", without_phone).text("rules/")
    assert text.startswith(
        """\
customer.updated evt_1PzXyZ 2025-11-21T04:40:00Z → rule stripe/customer (rules/stripe.yaml:5)
  if               yes                       ← .data.object.livemode = yes
  user             "u_1001"                  ← .data.object.metadata.user_id = "u_1001"
  set.email        "jane.doe@example.com"    ← .data.object.email = " Jane.Doe@Example.COM "
  set.name         "Jane Doe"                ← .data.object.name = "Jane Doe"
  set.phone        clear                     ← .data.object.phone = nothing, else unset
  set.country      omitted                   ← .data.object.address.country = "Korea": \
text(5) is not a two-letter country code
"""
    )
    assert '\n  once.signup_source "stripe"                ← literal\n' in text
    assert '\n  ⇒ moengage       POST /v1/customer/$env.MOENGAGE_WORKSPACE {"type": "customer", "customer_id"' in text
    assert "\n     omitted       phone (clear: keep)\n" in text
    assert text.endswith("\nrouted to 4 destinations")


def test_what_a_long_value_was_made_of_stands_below_it_in_its_column(project: Project) -> None:
    def named(body: Any, name: str) -> None:
        body["data"]["object"]["name"] = name

    for name, between in (("x" * 23, " ← "), ("x" * 24, f"\n{' ' * 45}← ")):
        text = traced(project, "stripe.customer.updated.json", lambda body, name=name: named(body, name)).text()
        assert f'\n  set.name         "{name}"{between}.data.object.name = "{name}"\n' in text
        columns = {line.index("←") for line in text.splitlines() if line[:45].strip() and "←" in line}
        assert columns == {45}


def test_a_fallback_is_named(project: Project) -> None:
    def no_plan(body: Any) -> None:
        del body["data"]["object"]["metadata"]["plan"]

    text = traced(project, "stripe.customer.updated.json", no_plan).text()
    assert (
        '\n  set.plan         "free"                    ← .data.object.metadata.plan = nothing, else "free"\n' in text
    )


def test_a_rule_that_does_not_match_says_what_it_wants(project: Project) -> None:
    text = traced(project, "stripe.customer.updated.json").text()
    assert "→ not rule stripe/cancelled (stripe.yaml:50): when is customer.subscription.deleted" in text


def test_a_skipped_rule_says_why(project: Project) -> None:
    def test_mode(body: Any) -> None:
        body["data"]["object"]["livemode"] = False

    text = traced(project, "stripe.customer.updated.json", test_mode).text()
    assert "\n  if               no                        ← .data.object.livemode = no\n" in text
    assert "\n  skipped          if: .data.object.livemode is no\n" in text
    assert text.endswith("\nskipped: if: .data.object.livemode is no")


def test_a_failed_rule_says_why(project: Project) -> None:
    def no_primary(body: Any) -> None:
        body["data"]["primary_email_address_id"] = "idn_other"

    trace = traced(project, "clerk.user.created.json", no_primary)
    assert trace.state == EventState.FAILED
    assert trace.reason.startswith("clerk/user: set.email: ")
    assert trace.rules[0].calls == ()


def test_what_is_personal_is_shown_as_the_caller_says(project: Project) -> None:
    def show(field: str, value: Any) -> Any:
        return value if field in {"plan", "user", "if"} else "▒"

    text = traced(project, "stripe.customer.updated.json", show=show).text()
    for secret in ("jane.doe", "Jane", "1234", "Acme", "cus_QaXyZ123", "JANE"):
        assert secret not in text
    assert '"subscription_plan": "pro"' in text
    assert '\n  set.plan         "pro"                     ← .data.object.metadata.plan = "▒"\n' in text
    assert "u_1001" not in text, "whose profile it is belongs to no trait, whatever traits are called"


def test_masks_in_a_body_are_no_texts_and_what_the_api_wants_shows(project: Project) -> None:
    def show(field: str, value: Any) -> Any:
        return value if field == "plan" else masked(value)

    trace = traced(project, "stripe.customer.updated.json", show=show)
    text = trace.text()
    assert '{"type": "customer", "customer_id": ‹text(6)›, ' in text
    assert '"subscription_plan": "pro"' in text
    assert '"email": ‹j…@e….com›' in text
    assert '{"type": ‹text(4)›' not in text
    calls = trace.as_json()["rules"][0]["calls"]
    (moengage,) = (each["body"] for each in calls if each["destination"] == "moengage")
    assert (moengage["type"], moengage["customer_id"]) == ("customer", "text(6)")


def test_what_a_person_says_is_masked_though_it_is_like_a_word_of_the_api(project: Project) -> None:
    def named(body: Any) -> None:
        body["data"]["object"]["name"] = "customer"

    text = traced(project, "stripe.customer.updated.json", named, show=lambda field, value: masked(value)).text()
    assert '{"type": ‹text(8)›, ' in text
    assert '"customer"' not in text


def test_yes_no_and_nothing_are_themselves_in_a_masked_body() -> None:
    rule = "user: .who\nset: {email: .mail}\nconsent: {email: .yes}\nsend: {crm: {more: .all, no: .none else unset}}"
    (call,) = one_rule(rule, lambda field, value: masked(value), mail="a@x.io", all=[1, {"k": "v"}]).rules[0].calls
    assert call.body == {"a": {"email": "a…@x….io", "email_consent": True}, "more": "list(2)", "no": None}


@pytest.mark.parametrize(
    "rest",
    [
        "send: {crm: {'a.words': .mail, a: {words: gold}}}",
        "set: {words: gold}\nsend: {crm: {'a/words': .mail}}",
        "set: {words: gold}\nsend: {crm: {'a~1words': .mail}}",
    ],
)
def test_a_place_that_is_spelled_like_that_of_a_public_trait_is_not_public(rest: str) -> None:
    def show(field: str, value: Any) -> Any:
        return value if field == "words" else "▒"

    rule = f"user: .who\n{rest}"
    shown = json.dumps(one_rule(rule, show, mail="ann@example.com").as_json(), ensure_ascii=False)
    assert "ann@" in json.dumps(one_rule(rule, mail="ann@example.com").as_json())
    assert "ann@" not in shown
    assert "gold" in shown


@pytest.mark.parametrize("name", ["if", "name"])
def test_what_a_public_trait_is_made_from_is_not_public(name: str) -> None:
    def show(field: str, value: Any) -> Any:
        return value if field == name else "▒"

    said = steps(f"if: .a == 'x' or .n == 5\nuser: .who\nset: {{{name}: .a | trim}}", show)
    assert said == {
        "if": 'yes ← .a = "▒", .n = "▒": .n == 5 is yes',
        "user": '"▒" ← .who = "▒"',
        f"set.{name}": '"Ab" ← .a = "▒" | trim → "▒"',
    }


def test_settings_stay_references_whatever_the_project_can_reveal() -> None:
    project = load(RULES, SAMPLES, reveal=lambda secret: "s3cr3t")
    trace = traced(project, "acme.person.changed.json")
    assert "s3cr3t" not in trace.text() + json.dumps(trace.as_json())
    assert "$env.MOENGAGE_WORKSPACE" in trace.text()


def test_the_json_form_holds_the_same(project: Project) -> None:
    trace = traced(project, "typeform.form_response.json")
    document = json.loads(json.dumps(trace.as_json()))
    assert document["destinations"] == ["moengage", "channel"]
    assert document["rules"][0]["steps"][0] == {
        "label": "if",
        "value": "yes",
        "origin": '.form_response.form_id = "lT4Z3j"',
        "reads": [{"part": ".form_response.form_id", "value": '"lT4Z3j"', "made": []}],
    }
    assert document["rules"][0]["calls"][1]["body"]["unsubscribeEmail"] is True


def test_a_stored_event_is_opened_first(project: Project) -> None:
    body = json.dumps(json.loads(SAMPLES["stripe.customer.updated.json"])["body"]).encode()
    sample = project.samples["stripe.customer.updated.json"]
    (opened,) = open_sample(sample, project.sections["stripe"])
    assert explain(project, replace(opened.event, body=body, part=False)).state == "routed"
    broken = explain(project, replace(opened.event, body=b"{", part=False))
    assert (broken.state, broken.rules) == ("failed", ())


def test_an_id_is_shown_as_the_caller_says_in_paths_and_bodies(project: Project) -> None:
    def show(field: str, value: Any) -> Any:
        return value if field else "▒"

    text = traced(project, "stripe.customer.updated.json", show=show).text()
    assert "u_1001" not in text.replace(".metadata.user_id", "")
    assert "PUT /open/v5/users/@▒" in text


def test_an_event_that_asks_to_erase_says_which_rule() -> None:
    files = dict(RULES)
    files["stripe.yaml"] = b"""\
source: {name: stripe, secret: $env.STRIPE_WEBHOOK_SECRET, allow_erase: true}
rules:
  gone: {when: customer.updated, user: .data.object.metadata.user_id, erase: true}
"""
    trace = traced(load(files, SAMPLES), "stripe.customer.updated.json")
    assert trace.text().endswith(f"\nerased: stripe/gone asks for it: {CANNOT_ERASE}")


def test_beside_a_rule_that_erases_no_other_shows_calls_as_none_are_made() -> None:
    files = dict(RULES)
    files["stripe.yaml"] = b"""\
source: {name: stripe, secret: $env.STRIPE_WEBHOOK_SECRET, allow_erase: true}
rules:
  customer: {when: customer.updated, user: .data.object.metadata.user_id, to: crm, set: {email: .data.object.email}}
  none: {when: customer.updated, if: .data.object.livemode == false, user: .id, to: crm, set: {name: .id}}
  gone: {when: customer.updated, user: .data.object.metadata.user_id, erase: true}
"""
    trace = traced(load(files, SAMPLES), "stripe.customer.updated.json")
    assert [(rule.state, rule.calls) for rule in trace.rules] == [("dropped", ()), ("skipped", ()), ("changed", ())]
    text = trace.text()
    assert "⇒" not in text
    assert '\n  set.email        "jane.doe@example.com"' in text, "what it would have said still shows"
    assert text.count("\n  dropped          an event that asks to erase changes nothing\n") == 1


def test_tags_are_shown_as_what_is_done_to_them(project: Project) -> None:
    left = traced(project, "acme.person.left.json").text()
    assert '\n  tags             {"remove": ["customer"]}  ← literal\n' in left
    bought = traced(project, "shopify.customers-update.json").text()
    assert '\n  tags             ["vip", "wholesale"]      ← .tags = "vip, wholesale" | split(",") → [' in bought


SHOP = """\
source: {name: shop, preset: stripe, secret: $env.S, identity: {id: .id, type: .type, time: .at}}
to: crm
tables: {t: {x: X}}
rules:
  one:
    RULE
"""
CRM = b"""\
destinations: {crm: {provider: http, url: "https://crm.example.com/p/{user}", into: a, clear: send-null, tags: replace}}
traits: {words: list, if: text}
"""


def steps(rule: str, show: Any = None, **put: Any) -> dict[str, str]:
    """Label → what is shown behind it, of one rule for one event."""
    return {step.label: f"{step.value} ← {step.origin}" for step in traced_steps(rule, show, **put)}


def traced_steps(rule: str, show: Any = None, **put: Any) -> tuple[StepTrace, ...]:
    return one_rule(rule, show, **put).rules[0].steps


def one_rule(rule: str, show: Any = None, **put: Any) -> Trace:
    """What a rule makes of one event."""
    source = SHOP.replace("RULE", rule.replace("\n", "\n    "))
    body = {
        "id": "e",
        "type": "made",
        "at": 1763600000,
        "who": "u_1",
        "a": " Ab ",
        "n": 5,
        "yes": True,
        "no": False,
        **put,
    }
    project = load({"destinations.yaml": CRM, "shop.yaml": source.encode()}, {})
    (opened,) = open_sample(read_sample("shop.a.json", json.dumps({"body": body}).encode()), project.sections["shop"])
    return explain(project, opened.event, opened.value, show=show)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        # each function with what it made, and where nothing came out
        (".a | trim | lower", '"ab" ← .a = " Ab " | trim → "Ab" | lower → "ab"'),
        ('.a | map("t") | lower', 'omitted ← .a = " Ab " | map("t") → nothing: text(4) has no entry in table t'),
        (".none | trim | lower", "nothing ← .none = nothing"),
        ('.a | replace("A", .n else .none)', '"5b" ← .a = " Ab " | replace("A", .n else .none) → " 5b ", .n = 5'),
        ('.n | text | replace("5", .none else .a)',
         '"Ab" ← .n = 5 | text → "5" | replace("5", .none else .a) → " Ab ", .none = nothing, .a = " Ab "'),
        (".more | keys | first", '"p" ← .more = {"p": 1, "q": 2} | keys → ["p", "q"] | first → "p"'),
        # which value of a chain it was
        (".none else .a else .n", '"Ab" ← .none = nothing, .a = " Ab "'),
        (".none else 'x' else .n", "\"x\" ← .none = nothing, else 'x'"),
        (".none else '' else .a", '"Ab" ← .none = nothing, .a = " Ab "'),
        (".none else 'x' | upper", "\"X\" ← .none = nothing, 'x' | upper → \"X\""),
        (".none else unset", "clear ← .none = nothing, else unset"),
        (".none else skip", "skips ← .none = nothing, else skip"),
        (".none else .nope else fail", "fails ← .none = nothing, .nope = nothing, else fail"),
        # templates, and what reads nothing
        ('{.a}: {.none else "?"} {.n | text}',
         '"Ab : ? 5" ← .a = " Ab ", .none = nothing, else "?", .n = 5 | text → "5"'),
        ("{.a} {.none else skip} {.n}", 'skips ← .a = " Ab ", .none = nothing, else skip'),
        ("{.a} {.a}", '"Ab Ab" ← .a = " Ab "'),
        ("fix", '"fix" ← literal'),
        (".a[0]", "nothing ← .a[0] = nothing"),
        (".n == 5 and .yes", '"true" ← .n = 5, .yes = yes'),
    ],
)  # fmt: skip
def test_a_value_shows_its_way(value: str, shown: str) -> None:
    said = steps(f"user: .who\nset: {{name: {json.dumps(value)}, city: x}}", more={"p": 1, "q": 2})
    assert said["set.name"] == shown


@pytest.mark.parametrize(
    ("rest", "shown"),
    [
        ("set: {words: []}", {"set.words": "[] ← literal"}),
        ("tags: []", {"tags": "[] ← literal"}),
        (
            "send: {crm: {all: [], more: [{a: []}]}}",
            {"send.crm.all": "[] ← literal", "send.crm.more": '[{"a": []}] ← literal'},
        ),
        ("unset: [words]", {"unset.words": "clear ← unset"}),
    ],
)
def test_a_list_of_nothing_is_a_literal(rest: str, shown: dict[str, str]) -> None:
    said = steps(f"user: .who\n{rest}")
    assert {label: text for label, text in said.items() if label != "user"} == shown


def test_a_value_that_is_there_says_what_of_it_was_left_out() -> None:
    said = steps("user: .who\nset: {name: '.a | number else .n', city: x}")
    assert said["set.name"] == '"5" ← .a = " Ab " | number → nothing, .n = 5 (text(4) is not a number)'
    said = steps("user: .who\nset: {name: '.long[] | first'}", long=["x"] * 1_001)
    assert said["set.name"].endswith(" (list(1001) has more than 1,000 elements: the rest is ignored)")


@pytest.mark.parametrize(
    ("condition", "shown"),
    [
        (".yes", "yes ← .yes = yes"),
        (".n == 4", "no ← .n = 5"),
        (".n in [4, .none]", "no ← .n = 5, .none = nothing"),
        ("not .yes", "no ← .yes = yes"),
        (".none exists", "no ← .none = nothing"),
        ("(.none else .a) | trim == 'Ab'", 'yes ← .none = nothing, .a = " Ab " | trim → "Ab"'),
        ("'x' | upper == .a", 'no ← \'x\' | upper → "X", .a = " Ab "'),
        ("true", "yes ← true"),
        ("1 == 2", "no ← 1 == 2"),
        (".none else skip", "skips ← .none = nothing, else skip"),
        # the part that decided, of and: the first no, else what is unknown
        (".yes and .n == 5", "yes ← .yes = yes, .n = 5"),
        (".yes and .n == 4 and .a == 'x'", "no ← .yes = yes, .n = 5: .n == 4 is no"),
        (".none and .n and .yes", "unknown ← .none = nothing, .n = 5, .yes = yes: .none is unknown, .n is unknown"),
        (".none and .no", "no ← .none = nothing, .no = no: .no is no"),
        # of or: the first yes, else what is unknown
        (".no or .n == 5 or .yes", "yes ← .no = no, .n = 5: .n == 5 is yes"),
        (".no or .n == 4", "no ← .no = no, .n = 5"),
        (".no or .none", "unknown ← .no = no, .none = nothing: .none is unknown"),
        # inside each other
        ("(.no or .n == 4) and .yes", "no ← .no = no, .n = 5: .no or .n == 4 is no"),
        ("(.yes and .none) or .no", "unknown ← .yes = yes, .none = nothing, .no = no: .none is unknown"),
        ("(.yes and .n == 5) or .no", "yes ← .yes = yes, .n = 5: .yes and .n == 5 is yes"),
        ("not (.yes and .no)", "yes ← .yes = yes, .no = no"),
    ],
)
def test_a_condition_shows_what_decided_it(condition: str, shown: str) -> None:
    assert steps(f"if: {json.dumps(condition)}\nuser: .who\nset: {{city: x}}")["if"] == shown


def test_a_rule_that_ends_shows_where() -> None:
    said = steps("user: .none else skip\nset: {city: x}")
    assert said == {"user": "skips ← .none = nothing, else skip"}
    assert steps("user: .a\nset: {city: x}", a="guest") == {"user": 'fails ← .a = "guest"'}
    assert steps("user: .who\ntags: [.a, .none else skip, .n]\nset: {city: .n}") == {
        "user": '"u_1" ← .who = "u_1"',
        "set.city": '"5" ← .n = 5',
        "tags": 'skips ← .a = " Ab ", .none = nothing, else skip',
    }


def test_the_way_of_a_value_is_in_parts_too() -> None:
    rule = "user: .who\nset: {name: .none else .a | trim | lower, city: .none else skip}"
    (_, name, city) = traced_steps(rule)
    assert json.loads(json.dumps(asdict(name)))["reads"] == [
        {"part": ".none", "value": "nothing", "made": []},
        {"part": ".a", "value": '" Ab "', "made": [["trim", '"Ab"'], ["lower", '"ab"']]},
    ]
    assert [str(each) for each in city.reads] == [".none = nothing", "else skip"]
    masked = traced_steps(rule, lambda field, value: "▒")
    assert masked[1].reads[1] == Fact(".a", '"▒"', (("trim", '"▒"'), ("lower", '"▒"')))


@pytest.mark.parametrize("who", ["Ann@Example.com", "a/b c", "{user}"])
def test_a_path_is_shown_as_it_is_called(who: str) -> None:
    (call,) = one_rule("user: .who\nset: {city: x}", who=who).rules[0].calls
    assert call.call == f"POST /p/{quote(who, safe='')}"
    (masked,) = one_rule("user: .who\nset: {city: x}", lambda field, value: "j…@e….com", who=who).rules[0].calls
    assert masked.call == "POST /p/j…@e….com"


def test_a_sample_without_a_time_has_none() -> None:
    trace = one_rule("user: .who\nset: {created_at: $event.time, name: .a}", at=None)
    head, _, created, name, *_ = trace.text().splitlines()
    assert head == "made e at no time of its own → rule shop/one (shop.yaml:5)"
    assert created.endswith('← $event.time = "1970-01-01T00:00:00Z" (the sample has no time of its own)')
    assert name.endswith('← .a = " Ab "')
    assert trace.as_json()["occurred_at"] is None
    trace = one_rule("user: .who\nset: {created_at: $event.time, name: .a}")
    assert trace.as_json()["occurred_at"] == "2025-11-20T00:53:20Z"
    assert "no time" not in trace.text()


def test_only_the_id_itself_is_one_in_a_path() -> None:
    body = {"id": "e", "type": "made", "at": 1763600000, "who": "1", "a": "x"}
    files = {
        "destinations.yaml": CRM.replace(b"/p/{user}", b"/v1/p-{user}.json"),
        "shop.yaml": SHOP.replace("RULE", "user: .who\n    set: {city: .a}").encode(),
    }
    sample = read_sample("shop.a.json", json.dumps({"body": body}).encode())
    project = load(files, {})
    (opened,) = open_sample(sample, project.sections["shop"])
    shown = explain(project, opened.event, opened.value, show=lambda field, value: "▒")
    assert shown.rules[0].calls[0].call == "POST /v1/p-▒.json"


def test_of_a_body_that_only_just_fits_the_path_is_not_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    moengage = project.destinations["moengage"]
    change = Change("u-1", Version(0, 0, "e", 1, 0), "r", {"plan": Op(OpKind.SET, "pro")})
    (call,) = calls_of(moengage, change).calls
    assert paths_of([call], likes_of(moengage, change, [call])) == ("POST /v1/customer/$env.MOENGAGE_WORKSPACE",)
    monkeypatch.setattr(type(moengage.provider), "max_body_bytes", len(json.dumps(call.body)) + 5)
    assert len(calls_of(moengage, change).calls) == 1
    assert paths_of([call], likes_of(moengage, change, [call])) == ("POST",)


def test_what_a_sender_wrote_moves_no_cursor(project: Project) -> None:
    def hostile(body: Any) -> None:
        body["id"] = "evt_\x1b[2J\x9b\u202e"
        body["data"]["object"]["name"] = "Zoë\x7f김"

    trace = traced(project, "stripe.customer.updated.json", hostile)
    for line in trace.text().split("\n"):
        assert line.isprintable()
    assert "evt_\\u001b[2J\\u009b\\u202e" in trace.text()
    assert '"Zoë\\u007f김"' in trace.text()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë 김 ✓", "Zoë 김 ✓"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x7f\x9b\u202e\u2028", "\\u007f\\u009b\\u202e\\u2028"),
        ("\U000e0001\ud800", "\\udb40\\udc01\\ud800"),
    ],
)
def test_what_is_not_printable_is_escaped_as_in_json(text: str, shown: str) -> None:
    assert printable(text) == shown
    document = json.dumps({text: [text]}, ensure_ascii=False)
    assert json.loads(printable(document)) == {text: [text]}


def test_what_functions_make_is_masked_like_what_they_read() -> None:
    said = steps('user: .who\nset: {name: .a | trim | lower}\ntags: .a | split("b")', lambda field, value: "▒")
    assert said["set.name"] == '"▒" ← .a = "▒" | trim → "▒" | lower → "▒"'
    assert said["tags"] == '"▒" ← .a = "▒" | split("b") → "▒"'


def test_a_destination_that_gets_no_call_says_why() -> None:
    rule = b"""\
source: {name: stripe, secret: $env.STRIPE_WEBHOOK_SECRET}
to: [crm, moengage, channel]
rules:
  a:
    user: .data.object.metadata.user_id
    set: {plan: .data.object.metadata.plan}
    send:
      crm: {meta: .data.object.nothing}
"""
    shared = RULES["destinations.yaml"].replace(b"    into: attributes ", b"    #")
    rule += b"  b: {to: crm, user: .id, set: {plan: .id}, send: {crm: {meta: .data.object.id}}}\n"
    files = {**RULES, "stripe.yaml": rule, "destinations.yaml": shared}
    del files["acme.yaml"]

    def refused(body: Any) -> None:
        body["data"]["object"]["metadata"]["user_id"] = "dummy_seller_code"

    trace = traced(load(files, SAMPLES), "stripe.customer.updated.json", refused)
    crm, moengage, channel = trace.rules[0].calls
    assert (crm.call, crm.reason, crm.omitted) == (
        "",
        "no field for this destination",
        {"plan": "it has no place there"},
    )
    assert (moengage.call, moengage.reason) == ("", "moengage does not take this customer_id: strangers would share it")
    (call,) = trace.rules[1].calls
    assert (call.body, call.omitted) == ({"meta": "cus_QaXyZ123"}, {"plan": "it has no place there"})
    assert channel.call == "PUT /open/v5/users/@dummy_seller_code"
    assert (
        "\n  ⇒ crm            no field for this destination\n     omitted       plan (it has no place there)\n"
        in trace.text()
    )


# --- check's formats ---------------------------------------------------------------------------------------------

TYPO = {**RULES, "stripe.yaml": RULES["stripe.yaml"].replace(b".data.object.phone else unset", b".data.object.phnoe")}


def test_text_shows_the_line_and_points_at_the_place() -> None:
    checked = check_files(TYPO, SAMPLES)
    assert report(checked, TYPO, prefix="rules/") == (
        "rules/stripe.yaml:13:27: error[unknown-path] "
        "no sample of customer.created or customer.updated has 'phnoe' here\n"
        "   13 |       phone: .data.object.phnoe\n"
        "      |                           ^^^^^ did you mean 'phone'?\n"
        "7 rule files, 8 rules, 11 tests passed, 1 error, 0 warnings"
    )


def test_json_is_for_programs() -> None:
    checked = check_files(TYPO, SAMPLES)
    assert json.loads(report(checked, TYPO, "json", prefix="rules/")) == {
        "problems": [
            {
                "file": "rules/stripe.yaml",
                "line": 13,
                "column": 27,
                "length": 5,
                "severity": "error",
                "code": "unknown-path",
                "message": "no sample of customer.created or customer.updated has 'phnoe' here",
                "hint": "did you mean 'phone'?",
            }
        ],
        "errors": 1,
        "warnings": 0,
    }


def test_github_marks_the_line_of_the_pull_request() -> None:
    checked = check_files(TYPO, SAMPLES)
    assert report(checked, TYPO, "github", prefix="rules/") == (
        "::error file=rules/stripe.yaml,line=13,col=27,endColumn=32,title=unknown-path::"
        "no sample of customer.created or customer.updated has 'phnoe' here – did you mean 'phone'?"
    )


def test_github_escapes_what_would_end_the_command() -> None:
    problem = RuleError("a,b.yaml", 1, 1, 1, "yaml", "100 %\r\nnext")
    text = report(Checked((problem,), 1, 0, TestRun(())), {}, "github")
    assert text == "::error file=a%2Cb.yaml,line=1,col=1,endColumn=2,title=yaml::100 %25%0D%0Anext"


def test_a_secret_in_a_file_is_not_printed_whatever_its_line_is_shown_for() -> None:
    text = """\
destinations:
  crm: {provider: http, url: "https://crm.example.com", auth: {bearer: sk_live_김}, spede: 3}
"""
    files = {"destinations.yaml": text.encode()}
    checked = check_files(files, {})
    assert [p.code for p in checked.problems] == ["secret-literal", "unknown-key"]
    for form in ("text", "json", "github"):
        assert "sk_live" not in report(checked, files, form)
    assert report(checked, files).count("auth: {bearer: *********}, spede: 3}") == 2
    other = RuleError("destinations.yaml", 1, 1, 1, "syntax", "no")
    beyond = RuleError("destinations.yaml", 9, 1, 1, "syntax", "no", "mend it")
    lines = report(Checked((*checked.problems, other, beyond), 1, 0, TestRun(())), files).split("\n")
    assert "    1 | destinations:" in lines
    assert "destinations.yaml:9:1: error[syntax] no (mend it)" in lines


def test_what_is_not_printable_in_a_line_is_escaped() -> None:
    files = {"a.yaml": "a: \u202eb x\n".encode()}
    problem = RuleError("a.yaml", 1, 6, 1, "syntax", "no \x9b", "say \x7f")
    checked = Checked((problem,), 1, 0, TestRun(()))
    assert report(checked, files).split("\n")[:3] == [
        "a.yaml:1:6: error[syntax] no \\u009b",
        "    1 | a: \\u202eb x",
        "      |           ^ say \\u007f",
    ]
    assert report(checked, files, "json").isprintable()
    assert report(checked, files, "github").isprintable()


def test_carets_stand_under_wide_characters() -> None:
    files = {"a.yaml": "이름: 값 x\n".encode()}
    problem = RuleError("a.yaml", 1, 5, 1, "syntax", "no")
    lines = report(Checked((problem,), 1, 0, TestRun(())), files).split("\n")
    assert lines[2] == "      |       ^^"


def test_colour_is_only_on_request() -> None:
    checked = check_files(TYPO, SAMPLES)
    assert "\x1b" not in report(checked, TYPO)
    assert "\x1b[31merror[unknown-path]\x1b[0m" in report(checked, TYPO, colour=True)


def test_a_secret_is_never_resolved_by_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Secret) -> str:
        raise AssertionError(f"{self} was resolved")

    monkeypatch.setattr(Secret, "reveal", refuse)
    assert check_files(RULES, SAMPLES).errors == 0


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("secret: 2138791823791823", "secret: ****************"),
        ("verify: {scheme: hmac, secret: hunter2}", "verify: {scheme: hmac, secret: *******}"),
        ("secret: hunter2: hunter3", "secret: ******** *******"),
        ("secrets: [$env.X, 99887766]  # both", "secrets: [$env.X, ********]  # both"),
        ("secret: \"ab cd\"", "secret: \"** **\""),
        ("basic: {user: $env.A, password: 'it''s me'}", "basic: {user: $env.A, password: '**''* **'}"),
        ("set: {token: .a.b, key: $event.id}", "set: {token: .a.b, key: $event.id}"),
        ("my_secret: abc", "my_secret: ***"),
        ("Secret=abc", "Secret=***"),
        ("url: https://ann:abc@x.io/p?a=b&api_key=abc", "url: https://*******@x.io/p?a=b&api_key=***"),
        ("{url: 'https://x.io/p?u={user}&sig=abc', a: b}", "{url: 'https://x.io/p?u={user}&sig=***', a: b}"),
        ("path: p?sig=abc&q=ann@x.io", "path: p?sig=***&q=ann@x.io"),
        ("headers: {X-Api-Key: abc, X-Tenant: north}", "headers: {X-Api-Key: ***, X-Tenant: north}"),
        ("X-Tenant: token: abc", "X-Tenant: token: ***"),
        ("monkey: abc", "monkey: abc"),
    ],
)  # fmt: skip
def test_whatever_stands_under_a_key_for_secrets_is_not_printed(line: str, shown: str) -> None:
    problem = RuleError("a.yaml", 1, 1, 1, "yaml", "no")
    text = report(Checked((problem,), 1, 0, TestRun(())), {"a.yaml": line.encode()})
    assert text.split("\n")[1] == f"    1 | {shown}"


def test_of_a_long_line_the_part_round_the_place_is_shown() -> None:
    line = "x" * 100 + "here" + "y" * 100
    problem = RuleError("a.yaml", 1, 101, 4, "syntax", "no", "mend it")
    text = report(Checked((problem,), 1, 0, TestRun(())), {"a.yaml": line.encode()})
    shown, carets = text.split("\n")[1:3]
    assert shown == "    1 | …" + "x" * 60 + "here" + "y" * 60 + "…"
    assert carets == "      | " + " " * 61 + "^^^^ mend it"

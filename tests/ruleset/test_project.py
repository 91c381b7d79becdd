"""What a project makes of events: states, changes, what is left out and why."""

from __future__ import annotations

import gc
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from router.errors import MalformedError, RuleErrors, TooLarge
from router.model import Event, EventState, Instant, Op, OpKind, TagsOp, Version, Webhook
from router.profile.codec import dump_change, load_change
from router.ruleset import Note, Project, Routing, check, check_files, load
from router.ruleset.language import Context
from router.ruleset.rules import Rule
from router.ruleset.samples import SampleError, open_sample, read_sample
from router.settings import Secret

DESTINATIONS = """\
traits: {plan: text, seats: number, score: number, labels: list, backup_phone: phone}
destinations:
  moengage: {provider: moengage, dc: 1, workspace: $env.W, key: $env.K, once: drop, clear: keep, drop: [city]}
  engagelab:
    provider: engagelab
    key: $env.K
    secret: $env.S
    properties: [name, plan, tags]
    others: drop
    once: drop
    clear: keep
  channel: {provider: channel, key: $env.K, secret: $env.S, api_version: v5, clear: send-null, tags: drop}
  crm:
    provider: http
    url: https://crm.example.com/p/{user}
    method: PUT
    into: attributes
    once: set
    clear: send-null
    tags: replace
"""
SOURCE = (
    "source: {name: shop, preset: stripe, secret: $env.S, region: US, timezone: Asia/Seoul, keep: [$header.x-team]}\n"
)
TO_ALL = "to: [moengage, engagelab, channel, crm]\n"


def project_of(rules: str, to: str = TO_ALL, source: str = SOURCE, **options: Any) -> Project:
    indented = "".join(f"  {line}\n" for line in rules.strip("\n").split("\n"))
    files = {"destinations.yaml": DESTINATIONS.encode(), "shop.yaml": f"{source}{to}rules:\n{indented}".encode()}
    return load(files, {}, **options)


def event_of(body: Any, kind: str = "changed", **given: Any) -> Event:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Event("shop", "evt_1", kind, moment, moment, body=json.dumps(body).encode(), **given)


def route(rules: str, body: Any, kind: str = "changed", **options: Any) -> Routing:
    return project_of(rules, **options).route(event_of(body, kind))


def fields(routing: Routing, destination: str) -> dict[str, Any]:
    (change,) = [each.change for each in routing.planned if each.destination == destination]
    return dict(change.fields)


def omitted(routing: Routing, destination: str) -> dict[str, str]:
    (change,) = [each.change for each in routing.planned if each.destination == destination]
    return dict(change.omitted)


def only(rule: str, body: Any, destination: str = "channel") -> dict[str, Any]:
    return fields(route(rule, {"id": "u_1", **body}, to=f"to: {destination}\n"), destination)


# --- states ------------------------------------------------------------------------------------------------------


def test_a_matching_rule_plans_one_change_per_destination() -> None:
    routing = route("a: {user: .id, set: {name: .name}}", {"id": "u_1", "name": "Ann"})
    assert routing.state is EventState.ROUTED
    assert [each.destination for each in routing.planned] == ["moengage", "engagelab", "channel", "crm"]
    assert all(each.change.fields == {"name": Op(OpKind.SET, "Ann")} for each in routing.planned)


def test_the_version_holds_time_id_routing_place_and_rule() -> None:
    project = project_of("a: {user: .id, set: {name: .n}}\nb: {user: .id, set: {plan: .n}}", to="to: crm\n")
    event = event_of({"id": "u_1", "n": "x"}, object_version=7, routing=3)
    first, second = project.route(event).planned
    assert first.change.version == Version(1_767_225_600_000_000, 7, "evt_1", 3, 0, "shop/a")
    assert second.change.version > first.change.version
    assert first.change.revision == project.revision


@pytest.mark.parametrize(
    ("rule", "body", "state", "reason"),
    [
        ("a: {when: other.*, user: .id, set: {name: .n}}", {}, "skipped", "no rule is for this type of event"),
        ("a: {if: .live, user: .id, set: {name: .n}}", {"live": False}, "skipped", "if: .live is no"),
        ("a: {if: .live, user: .id, set: {name: .n}}", {}, "skipped", "if: .live is unknown"),
        ("a: {if: .live, user: .id, set: {name: .n}}", {"live": "true"}, "skipped", "if: .live is unknown"),
        ("a: {user: .id else skip, set: {name: .n}}", {}, "skipped", "user: .id is missing"),
        ("a: {user: .id else fail, set: {name: .n}}", {}, "failed", "shop/a: user: .id is missing"),
        ("a: {user: .id, set: {name: .n}}", {}, "failed", "shop/a: user: blank"),
        ("a: {user: .id, set: {name: .n else skip}}", {"id": "u"}, "skipped", "set.name: .n is missing"),
        ("a: {user: .id, set: {name: .n else fail}}", {"id": "u"}, "failed", "shop/a: set.name: .n is missing"),
    ],
)
def test_a_rule_that_does_not_go_on_says_why(rule: str, body: Any, state: str, reason: str) -> None:
    routing = route(rule, body)
    assert (routing.state, routing.reason, routing.planned) == (state, reason, ())


def test_the_first_reason_counts_when_all_rules_skip() -> None:
    rules = "a: {if: .x == 1, user: .id, set: {name: .n}}\nb: {if: .x == 2, user: .id, set: {name: .n}}"
    assert route(rules, {"id": "u", "x": 3}).reason == "if: .x == 1 is no"


def test_one_failed_rule_fails_the_event_and_the_others_are_planned() -> None:
    rules = "a: {user: .id, set: {name: .n else fail}}\nb: {user: .id, set: {plan: .p}}"
    routing = route(rules, {"id": "u", "p": "pro"}, to="to: crm\n")
    assert routing.state is EventState.FAILED
    assert [each.rule for each in routing.planned] == ["shop/b"]


def test_a_rule_that_breaks_fails_alone_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project = project_of("a: {user: .id, set: {name: .n}}\nb: {user: .id, set: {plan: .p}}", to="to: crm\n")

    def burst(context: Context) -> Any:
        raise ZeroDivisionError

    object.__setattr__(project.rules[0].steps[0].value, "run", burst)
    with caplog.at_level(logging.ERROR):
        routing = project.route(event_of({"id": "u", "p": "pro"}))
    assert (routing.state, routing.reason) == (EventState.FAILED, "shop/a: internal")
    assert [each.rule for each in routing.planned] == ["shop/b"]
    assert "rule shop/a (shop.yaml:4) broke" in caplog.text


def test_a_rule_whose_changes_cannot_be_made_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    project = project_of("a: {user: .id, set: {name: .n}}\nb: {user: .id, set: {plan: .p}}", to="to: crm\n")
    made = Rule.changes

    def changes(self: Rule, *rest: Any) -> Any:
        if self.name == "a":
            raise ZeroDivisionError
        return made(self, *rest)

    monkeypatch.setattr(Rule, "changes", changes)
    routing = project.route(event_of({"id": "u", "p": "pro"}))
    assert (routing.state, routing.reason) == (EventState.FAILED, "shop/a: internal")
    assert [each.rule for each in routing.planned] == ["shop/b"]


def test_an_event_that_could_not_be_read_fails() -> None:
    project = project_of("a: {user: .id, set: {name: .n}}")
    assert project.route(event_of({}, error="not an object")).reason == "not an object"
    assert project.route(Event("gone", "1", "t", *[datetime(2026, 1, 1, tzinfo=UTC)] * 2)).state is EventState.FAILED


def test_a_rule_may_ask_to_erase() -> None:
    source = SOURCE.replace("region", "allow_erase: true, region")
    rules = "gone: {when: deleted, user: .id, erase: true}\nall: {user: .id, set: {plan: .p}}"
    routing = route(rules, {"id": "u_1", "p": "pro"}, "deleted", source=source)
    assert (routing.state, routing.planned) == (EventState.ERASED, ())
    assert [tuple(each) for each in routing.erase] == [("shop/gone", "u_1")]


@pytest.mark.parametrize(
    ("pattern", "kind", "matches"),
    [
        ("*", "anything", True),
        ("user.*", "user.created", True),
        ("user.*", "user", False),
        ("*.created", "user.created", True),
        ("a.b", "aXb", False),
        ("User", "user", False),
        ("a*c", "abbc", True),
    ],
)
def test_a_star_stands_for_any_run_of_characters(pattern: str, kind: str, matches: bool) -> None:
    routing = route(f"a: {{when: '{pattern}', user: .id, set: {{name: .id}}}}", {"id": "u"}, kind)
    assert (routing.state is EventState.ROUTED) is matches


# --- who ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "profile"), [(" u_1 ", "u_1"), (42, "42"), (706405506930370084, "706405506930370084"), ("é", "é")]
)
def test_an_id_is_text_or_a_whole_number(given: Any, profile: str) -> None:
    routing = route("a: {user: .id, set: {plan: x}}", {"id": given})
    assert {each.change.profile for each in routing.planned} == {profile}


@pytest.mark.parametrize(
    "given", ["null", "NULL", "guest", "0", 0, "-1", "n/a", "User_Id", "a\x00b", "a\x07b", "é" * 129, 1.5]
)
def test_what_is_nobodys_id_fails(given: Any) -> None:
    assert route("a: {user: .id, set: {plan: x}}", {"id": given}).state is EventState.FAILED


@pytest.mark.parametrize("given", [True, ["u"], {"u": 1}])
def test_an_id_of_another_kind_fails(given: Any) -> None:
    assert route("a: {user: .id, set: {plan: x}}", {"id": given}).state is EventState.FAILED


# --- values ------------------------------------------------------------------------------------------------------


def test_blank_is_left_out_without_a_word_and_unusable_with_a_reason() -> None:
    rule = "a: {user: .id, set: {name: .n, country: .c, seats: .s, birthday: .b}}"
    routing = route(rule, {"id": "u", "n": " ", "c": "Norway", "s": "12", "b": None}, to="to: crm\n")
    assert fields(routing, "crm") == {"seats": Op(OpKind.SET, 12)}
    assert omitted(routing, "crm") == {"country": "text(6) is not a two-letter country code"}
    assert routing.notes == (Note("shop/a", "country", "text(6) is not a two-letter country code"),)


def test_a_note_of_a_function_is_the_reason() -> None:
    routing = route("a: {user: .id, set: {name: .n | lower, plan: x}}", {"id": "u", "n": True}, to="to: crm\n")
    assert omitted(routing, "crm") == {"name": "yes/no is not text"}


def test_a_note_beside_a_value_omits_nothing() -> None:
    routing = route("a: {user: .id, set: {name: .n | lower else .m}}", {"id": "u", "n": True, "m": "x"}, to="to: crm\n")
    assert fields(routing, "crm") == {"name": Op(OpKind.SET, "x")}
    assert omitted(routing, "crm") == {}


def test_a_note_is_not_the_reason_of_the_next_field() -> None:
    rule = "a: {user: .id, set: {name: .n | lower else .m, plan: .p}}"
    routing = route(rule, {"id": "u", "n": True, "m": "x"}, to="to: crm\n")
    assert omitted(routing, "crm") == {}


def test_region_and_zone_of_the_source_count() -> None:
    got = only("a: {user: .id, set: {phone: .p, created_at: .t}}", {"p": "(613) 555-0142", "t": "2026-01-01T09:00:00"})
    assert got["phone"].value == "+16135550142"
    assert got["created_at"].value == Instant(1_767_225_600_000_000)


def test_a_list_of_values_leaves_blanks_out() -> None:
    assert only("a: {user: .id, set: {labels: [.a, .b, x]}}", {"a": "1"})["labels"].value == ["1", "x"]
    assert "labels" not in only("a: {user: .id, set: {labels: [.a, .b], name: x}}", {})


@pytest.mark.parametrize(
    ("tags", "body", "operation"),
    [
        (".t", {"t": ["b", " a ", "", "b", 1]}, TagsOp(replace=("1", "a", "b"))),
        (".t", {"t": []}, TagsOp(replace=())),
        ("[]", {}, TagsOp(replace=())),
        ("[x, .t]", {"t": ["y", "z"]}, TagsOp(replace=("x", "y", "z"))),
        (".t else unset", {}, TagsOp(replace=())),
        ("{add: .t}", {"t": "a"}, TagsOp(add=("a",))),
        ("{add: .t, remove: [old]}", {}, TagsOp(remove=("old",))),
    ],
)
def test_tags_replace_or_edit(tags: str, body: Any, operation: TagsOp) -> None:
    assert only(f"a: {{user: .id, tags: {tags}}}", body, "moengage")["tags"] == operation


def test_tags_without_a_usable_one_say_nothing() -> None:
    routing = route("a: {user: .id, tags: .t, set: {plan: x}}", {"id": "u", "t": [True, {}]}, to="to: crm\n")
    assert "tags" not in fields(routing, "crm")
    assert omitted(routing, "crm") == {"tags": "object(0) is not a tag"}


@pytest.mark.parametrize("tags", [".t", "{add: .t}", "{remove: .t}", "['.t[]', .t]", "{add: [.t, x]}"])
def test_of_a_long_list_of_tags_only_the_first_count(tags: str) -> None:
    many = [f"t{number:04}" for number in range(5_000)]
    op = only(f"a: {{user: .id, tags: {tags}}}", {"id": "u", "t": many}, "moengage")["tags"]
    assert (op.replace or op.add or op.remove) == tuple(many[:1_000])
    few = ["a"] * 600 + ["b"] * 400
    op = only(f"a: {{user: .id, tags: {tags}}}", {"id": "u", "t": few}, "moengage")["tags"]
    assert {"a", "b"} <= set(op.replace or op.add or op.remove)


def test_a_reason_is_one_line_however_the_rule_is_written() -> None:
    rule = "a:\n  user: .id\n  if: |\n    .n == 1\n      and .m\n  set: {plan: x}\n"
    assert route(rule, {"id": "u", "n": 2, "m": True}).reason == "if: .n == 1 and .m is no"
    rule = "a:\n  user: |\n    .n\n      else .m\n      else skip\n  set: {plan: x}\n"
    assert route(rule, {"id": "u"}).reason == "user: .n else .m is missing"


def test_consent_and_company_have_fields_of_their_own() -> None:
    got = only("a: {user: .id, consent: {email: .e, sms: .s}, company: {id: .c, name: .d}}", {"e": 1, "c": 7})
    assert got == {"consent.email": Op(OpKind.SET, True), "company.id": Op(OpKind.SET, "7")}


def test_kept_headers_can_be_read() -> None:
    project = project_of("a: {user: .id, set: {plan: $header.x-team}}", to="to: crm\n")
    routing = project.route(event_of({"id": "u"}, headers={"x-team": "north"}))
    assert fields(routing, "crm") == {"plan": Op(OpKind.SET, "north")}


# --- what goes where ---------------------------------------------------------------------------------------------


def test_each_destination_gets_what_is_meant_for_it() -> None:
    rule = """\
a:
  user: .id
  set: {name: .n, city: .c, plan: .p else unset}
  once: {score: 1}
  unset: [seats]
  tags: {add: vip}
"""
    routing = route(rule, {"id": "u", "n": "Ann", "c": "Oslo"})
    name, city, clear = Op(OpKind.SET, "Ann"), Op(OpKind.SET, "Oslo"), Op(OpKind.UNSET)
    assert fields(routing, "moengage") == {"name": name, "tags": TagsOp(add=("vip",))}
    assert omitted(routing, "moengage") == {
        "city": "drop",
        "plan": "clear: keep",
        "score": "once: drop",
        "seats": "clear: keep",
    }
    assert fields(routing, "engagelab") == {"name": name, "plan": clear, "tags": TagsOp(add=("vip",))}
    assert omitted(routing, "engagelab") == {"city": "others: drop", "score": "others: drop", "seats": "others: drop"}
    assert fields(routing, "channel") == {
        "name": name,
        "city": city,
        "plan": clear,
        "score": Op(OpKind.ONCE, 1),
        "seats": clear,
    }
    assert omitted(routing, "channel") == {"tags": "tags: drop"}
    assert omitted(routing, "crm") == {}


def test_contacts_are_not_properties() -> None:
    assert list(only("a: {user: .id, set: {email: .e}}", {"e": "a@b.no"}, "engagelab")) == ["email"]


def test_a_change_without_a_field_is_planned_all_the_same() -> None:
    routing = route("a: {user: .id, set: {name: .n}}", {"id": "u"}, to="to: crm\n")
    assert routing.state is EventState.ROUTED
    assert fields(routing, "crm") == {}


def test_send_leaves_are_fields_of_their_destination_alone() -> None:
    rule = "a: {user: .id, set: {name: .n}, send: {crm: {ref: .r, meta: {a: .a, b: .b else unset, l: [.r, {x: .a}]}}}}"
    routing = route(rule, {"id": "u", "n": "Ann", "r": 7, "a": 1})
    assert fields(routing, "crm") == {
        "name": Op(OpKind.SET, "Ann"),
        "send:/ref": Op(OpKind.SET, 7),
        "send:/meta/a": Op(OpKind.SET, 1),
        "send:/meta/b": Op(OpKind.UNSET),
        "send:/meta/l": Op(OpKind.SET, [7, {"x": 1}]),
    }
    assert fields(routing, "moengage") == {"name": Op(OpKind.SET, "Ann")}


def test_a_leaf_at_the_place_of_a_trait_is_that_trait() -> None:
    rule = "a: {user: .id, set: {name: .n, country: .c}, send: {crm: {attributes: {name: .m, country: .k, x: .m}}}}"
    routing = route(rule, {"id": "u", "n": "Ann", "c": "Norway", "m": "Bea", "k": "Norway"})
    assert fields(routing, "crm") == {
        "name": Op(OpKind.SET, "Bea"),
        "country": Op(OpKind.SET, "Norway"),
        "send:/attributes/x": Op(OpKind.SET, "Bea"),
    }
    assert omitted(routing, "crm") == {}
    assert fields(routing, "channel") == {"name": Op(OpKind.SET, "Ann")}


def test_a_leaf_that_says_nothing_leaves_the_trait() -> None:
    rule = "a: {user: .id, set: {name: .n}, send: {crm: {attributes: {name: .m}}}}"
    assert fields(route(rule, {"id": "u", "n": "Ann"}), "crm") == {"name": Op(OpKind.SET, "Ann")}


def test_a_leaf_where_once_is_rendered_is_written_once() -> None:
    rule = "a: {user: .id, send: {channel: {profileOnce: {plan: .p}}}}"
    assert fields(route(rule, {"id": "u", "p": "pro"}, to="to: channel\n"), "channel") == {
        "plan": Op(OpKind.ONCE, "pro")
    }


def test_contacts_that_were_written_are_told_for_look_up() -> None:
    rule = "a: {user: .id, set: {email: .e, phone: .p, backup_phone: .b, name: .n}}"
    body = {"id": "u", "e": "A@B.no", "p": "+4755000000", "b": "+4755000001", "n": "x"}
    assert route(rule, body).contacts == ("a@b.no", "+4755000000", "+4755000001")
    assert route(rule, body, to="to: engagelab\n").contacts == ("a@b.no", "+4755000000")


def test_a_change_survives_json() -> None:
    rule = "a: {user: .id, set: {created_at: .t, plan: .p else unset}, tags: {add: x}, send: {crm: {o: .o}}}"
    project = project_of(rule, to="to: crm\n")
    (planned,) = project.route(event_of({"id": "u", "t": 1763600000, "o": {"a": [1, "$x"]}})).planned
    change = planned.change
    assert load_change(dump_change(change), change.profile, change.version) == change


def test_routing_again_gives_the_same_and_leaves_the_event_alone() -> None:
    project = project_of("a: {user: .id, set: {name: .n}, tags: .t}", to="to: crm\n")
    value = {"id": "u", "n": "Ann", "t": ["b", "a"]}
    before = json.dumps(value)
    event = event_of(value)
    assert project.route_value(event, value) == project.route_value(event, value)
    assert json.dumps(value) == before


# --- the project -------------------------------------------------------------------------------------------------


def test_the_revision_is_of_names_and_bytes() -> None:
    one = project_of("a: {user: .id, set: {name: .n}}")
    assert len(one.revision) == 12
    assert one.revision == project_of("a: {user: .id, set: {name: .n}}").revision
    assert one.revision != project_of("a: {user: .id, set: {name: .m}}").revision


def test_every_reference_is_known_with_its_place() -> None:
    uses = project_of("a: {user: .id, set: {name: .n}}").secrets()
    assert {(str(use.secret), use.owner, use.min_bytes) for use in uses} >= {
        ("$env.S", "source shop", 16),
        ("$env.W", "destination moengage", 1),
    }
    assert all(use.node.file in {"shop.yaml", "destinations.yaml"} for use in uses)


def test_destinations_have_their_settings() -> None:
    destinations = project_of("a: {user: .id, set: {name: .n}}").destinations
    assert destinations["moengage"].rate == (10_000, 10_000 / 60)
    assert destinations["crm"].rate is None
    assert destinations["moengage"].secrets == (Secret("$env.W"), Secret("$env.K"))
    assert destinations["channel"].timeout_s == 20.0


def test_the_sandbox_can_stand_in_for_every_destination() -> None:
    project = project_of("a: {user: .id, set: {name: .n}}", base_url=lambda name: f"http://127.0.0.1:8100/{name}")
    assert {d.base_url for d in project.destinations.values()} == {
        f"http://127.0.0.1:8100/{name}" for name in ("moengage", "engagelab", "channel", "crm")
    }


def test_a_project_loads_whole_or_not_at_all() -> None:
    with pytest.raises(RuleErrors) as caught:
        project_of("a: {user: .id, set: {nmae: .n, name: .n | lowr}}\nb: {when: x, sett: {}}")
    assert [p.code for p in caught.value.problems if p.severity == "error"] == [
        "unknown-trait",
        "unknown-function",
        "missing-key",
        "unknown-key",
    ]


def test_nothing_at_all_is_an_empty_project() -> None:
    project = load({}, {})
    assert (project.rules, dict(project.sources), dict(project.destinations)) == ((), {}, {})


def test_a_source_with_warnings_alone_is_in_use() -> None:
    source = SOURCE.replace("preset: stripe", "verify: {scheme: token, in: header, name: X-Token, auth_scheme: ''}")
    project = project_of("a: {user: .id, set: {name: .n}}", to="to: crm\n", source=source)
    assert project.route(event_of({"id": "u"})).state is EventState.ROUTED


def test_a_source_has_its_settings() -> None:
    source = SOURCE.replace("region", "rate: 50/s, retention: 7d, max_age: 1h, show: ['.data.plan', '.tags[]'], region")
    section = project_of("a: {user: .id, set: {name: .n}}", source=source).sections["shop"]
    assert (section.rate, section.retention_s) == ((50, 50.0), 604_800.0)
    assert section.show == (("data", "plan"), ("tags", None))
    assert (section.region, section.timezone) == ("US", "Asia/Seoul")


def identified(source: str, body: Any, *, received_at: str = "2026-01-01T00:00:00Z") -> list[Event]:
    """The events that a source with these keys finds in a request."""
    project = project_of("a: {user: .id, set: {name: .n}}", source=SOURCE.replace("region", f"{source}, region"))
    sample = read_sample("shop.a.json", json.dumps({"body": body, "received_at": received_at}).encode())
    return [opened.event for opened in open_sample(sample, project.sections["shop"])]


@pytest.mark.parametrize(
    ("given", "version"),
    [
        (7, 7),
        (" -12 ", -12),
        ("7a", 0),
        (True, 0),
        ([7], 0),
        ("2026-01-01T00:00:00Z", 1_767_225_600_000_000),
        (7.0, 7),
        ("7.0", 7),
        (1.5, 1),
        (-1.5, -2),
        ("1767225600.25", 1_767_225_600_250_000),
        (1767225600.0, 1_767_225_600_000_000),
    ],
)
def test_a_version_is_a_counter_or_a_time(given: Any, version: int) -> None:
    (event,) = identified("identity: {id: .id, type: .kind, time: .at, version: .v}", {"id": "e", "v": given})
    assert event.object_version == version


def test_parts_of_an_identity_that_cannot_be_used_are_blank() -> None:
    (event,) = identified("identity: {id: .id, type: .kind, time: .at}", {"id": {"a": 1}, "kind": ["x"], "at": "noon"})
    assert event.external_id.startswith("sha256:")
    assert event.type == "untyped"
    assert event.occurred_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_an_envelope_says_where_events_lie() -> None:
    envelope = "envelope: {events: .list}, identity: {id: .id, type: .kind, time: .at}"
    assert [event.external_id for event in identified(envelope, {"list": [{"id": "1"}, {"id": "2"}]})] == ["1", "2"]
    assert [event.external_id for event in identified(envelope, {"list": {"id": "1"}})] == ["1"]
    with pytest.raises(SampleError, match="no events where the envelope has them"):
        identified(envelope, {"lists": []})
    section = project_of(
        "a: {user: .id, set: {name: .n}}", source=SOURCE.replace("region", "envelope: lines, region")
    ).sections["shop"]
    assert section.envelope.format == "lines"


def test_every_element_where_an_envelope_has_its_events_is_one() -> None:
    envelope = "envelope: {events: '.list[]'}, identity: {id: .id, type: .kind, time: .at}"
    events = identified(envelope, {"list": [{"id": "1"}, None, 5, {"id": "2"}]})
    assert [event.error for event in events] == ["", "not an object", "not an object", ""]
    assert identified(envelope, {"list": []}) == []
    either = "envelope: {events: .list else .items}, identity: {id: .id, type: .kind, time: .at}"
    assert [event.external_id for event in identified(either, {"items": [{"id": "1"}]})] == ["1"]
    with pytest.raises(SampleError, match="no events where the envelope has them"):
        identified(either, {"others": []})


@pytest.mark.parametrize(
    ("more", "body", "expected"),
    [
        ("", {"id": "e", "who": {"mail": "a@x.io", "n": 1}}, [{"id": "e", "who": {"mail": None, "n": 1}}]),
        ("", [{"id": "e"}, {"id": "f", "who": {"mail": "a"}}], [{"id": "e"}, {"id": "f", "who": {"mail": None}}]),
        ("", {"id": "e", "list": [{"card": 1}, {}]}, [{"id": "e", "list": [{"card": None}, {}]}]),
        ("envelope: {parse_json: [.who]}, ", {"who": '{"mail": "a"}'}, [{"who": {"mail": None}}]),
        ("", ["x", {"id": "e", "who": {"mail": "a"}}], ["x", {"id": "e", "who": {"mail": None}}]),
    ],
)
def test_a_sample_is_redacted_as_the_store_is(more: str, body: Any, expected: list[Any]) -> None:
    source = SOURCE.replace("region", f"{more}redact: [.who.mail, '.list[].card'], identity: {{id: .id}}, region")
    project = project_of("a: {user: .id, set: {name: .n}}", source=source)
    opened = open_sample(read_sample("shop.a.json", json.dumps({"body": body}).encode()), project.sections["shop"])
    assert [each.value for each in opened] == expected


def test_an_identity_reads_what_is_redacted_later() -> None:
    (event,) = identified("redact: [.id], identity: {id: .id, type: .kind, time: .at}", {"id": "e-1"})
    assert (event.external_id, json.loads(event.body)) == ("e-1", {"id": None})


@pytest.mark.parametrize("redact", ["[.who, [.a], .a | trim]", "{a: .who}"])
def test_paths_to_redact_that_are_none_leave_a_sample_readable(redact: str) -> None:
    source = SOURCE.replace("region", f"redact: {redact}, region")
    files = {"shop.yaml": f"{source}rules:\n  a: {{user: .id, set: {{name: .n}}}}\n".encode()}
    checked = check_files(files, {"shop.a.json": b'{"body": {"who": "Ann"}}'})
    assert not any("shop.a.json" in problem.message for problem in checked.problems)


def test_a_sample_may_say_when_it_came() -> None:
    times = [
        identified("rate: 9/s", {}, received_at=text)[0].received_at
        for text in ("2026-01-01T12:00:00", "20260101T130000+0100")
    ]
    assert times == [datetime(2026, 1, 1, 12, tzinfo=UTC)] * 2


@pytest.mark.parametrize("text", ["1999-12-31T23:59:59Z", "2200-01-01T00:00:00Z"])
def test_a_sample_came_in_a_year_that_can_be(text: str) -> None:
    with pytest.raises(SampleError, match=r"received_at of samples/shop.a.json is not between 2000 and 2200"):
        identified("rate: 9/s", {}, received_at=text)


def test_a_file_has_at_most_500_rules() -> None:
    rules = "\n".join(f"r{n}: {{user: .id, set: {{name: .n}}}}" for n in range(502))
    with pytest.raises(RuleErrors) as caught:
        project_of(rules)
    (problem,) = [each for each in caught.value.problems if each.severity == "error"]
    assert (problem.line, problem.code, problem.message) == (504, "yaml-limit", "the file has more than 500 rules")


def test_a_signature_is_never_kept_even_if_identity_reads_it() -> None:
    source = SOURCE.replace("region", "identity: {id: $header.stripe-signature}, region")
    assert project_of("a: {user: .id, set: {name: .n}}", source=source).sections["shop"].kept == {"header.x-team"}


def test_a_reply_is_judged_by_success_if() -> None:
    text = DESTINATIONS.replace("    into: attributes\n", "    into: attributes\n    success_if: .ok == true\n")
    project = load({"destinations.yaml": text.encode()}, {}, reveal=str)
    predicate = project.destinations["crm"].provider.account["success_if"]
    assert [predicate(body) for body in ({"ok": True}, {"ok": False}, {}, {"ok": "yes"})] == [True, False, None, None]


def test_tags_to_add_and_remove_that_cannot_be_used_say_why() -> None:
    routing = route("a: {user: .id, tags: {add: .t}, set: {plan: x}}", {"id": "u", "t": True}, to="to: crm\n")
    assert omitted(routing, "crm") == {"tags": "yes/no is not a tag"}
    assert "tags" not in only("a: {user: .id, tags: {add: .t, remove: .r}, set: {plan: x}}", {"t": [" "]}, "moengage")


def test_a_leaf_that_cannot_be_cleared_is_left_out() -> None:
    text = DESTINATIONS.replace("clear: send-null\n    tags: replace", "clear: keep\n    tags: replace")
    rules = TO_ALL + "rules:\n  a: {user: .id, set: {name: .n}, send: {crm: {ref: .r else unset}}}\n"
    project = load({"destinations.yaml": text.encode(), "shop.yaml": (SOURCE + rules).encode()}, {})
    routing = project.route(event_of({"id": "u"}))
    assert (fields(routing, "crm"), omitted(routing, "crm")) == ({}, {"send:/ref": "clear: keep"})


def test_a_skip_in_a_leaf_ends_the_rule() -> None:
    rule = "a: {user: .id, set: {name: .n}, send: {crm: {ref: .r else skip, meta: .m else fail}}}"
    assert route(rule, {"id": "u"}).reason == "send.crm.ref: .r is missing"
    assert route(rule, {"id": "u", "r": 1}).reason == "shop/a: send.crm.meta: .m is missing"


def test_another_scheme_over_a_preset_takes_nothing_of_the_old_one() -> None:
    text = (
        b"source: {name: a, preset: auth0-events, verify: {scheme: basic}, secret: {user: $env.U, password: $env.P}}\n"
    )
    project = load({"a.yaml": text + b"rules: {}\n"}, {})
    assert "a" in project.sources
    assert {str(use.secret): use.min_bytes for use in project.secrets()} == {"$env.U": 1, "$env.P": 16}


def test_a_removed_source_needs_nothing_else_and_its_late_events_say_so() -> None:
    project = load({"old.yaml": b"source: {name: old, removed: true, preset: strpe}\nrules: {}\n"}, {})
    assert project.removed == {"old"}
    assert project.sources == {}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    routing = project.route(Event("old", "e1", "x", now, now, body=b"{}"))
    assert (routing.state, routing.reason) == (EventState.FAILED, "its source was removed")


def test_send_is_read_in_the_order_of_the_file_whatever_the_order_of_to() -> None:
    rule = "a: {user: .id, to: [channel, crm], send: {crm: {x: .r else fail}, channel: {profile: {y: .r else skip}}}}"
    assert route(rule, {"id": "u"}).reason == "shop/a: send.crm.x: .r is missing"


def test_a_leaf_that_would_clear_and_may_not_replaces_the_trait_all_the_same() -> None:
    text = DESTINATIONS.replace("clear: send-null\n    tags: replace", "clear: keep\n    tags: replace")
    rules = TO_ALL + "rules:\n  a: {user: .id, set: {plan: free}, send: {crm: {attributes: {plan: .p else unset}}}}\n"
    project = load({"destinations.yaml": text.encode(), "shop.yaml": (SOURCE + rules).encode()}, {})
    routing = project.route(event_of({"id": "u"}))
    assert (fields(routing, "crm"), omitted(routing, "crm")) == ({}, {"plan": "clear: keep"})
    assert fields(routing, "channel") == {"plan": Op(OpKind.SET, "free")}


@pytest.mark.parametrize("value", [".l", "[.l]", "[.l, .l]"])
def test_an_empty_list_of_tags_clears_them(value: str) -> None:
    assert only(f"a: {{user: .id, tags: {value}}}", {"l": []}, "crm") == {"tags": TagsOp(replace=())}
    assert only(f"a: {{user: .id, set: {{name: x}}, tags: {value}}}", {"l": [None]}, "crm").keys() == {"name"}


def test_a_file_without_content_is_refused() -> None:
    files = {"destinations.yaml": DESTINATIONS.encode(), "shop.yaml": b"# later\n"}
    with pytest.raises(RuleErrors) as refused:
        load(files, {})
    assert [(p.file, p.code, p.message) for p in refused.value.problems] == [
        ("shop.yaml", "missing-key", "shop.yaml is empty")
    ]


def test_destinations_without_content_are_not_said_to_be_needless() -> None:
    files = {"destinations.yaml": b"# later\n", "shop.yaml": (SOURCE + TO_ALL).encode()}
    assert [(p.file, p.message, p.hint) for p in check(files, {}, fault=None)] == [
        (
            "destinations.yaml",
            "destinations.yaml is empty",
            "write destinations: in it, the accounts that profiles are sent to",
        )
    ]


def test_a_sample_that_no_source_reads_is_told() -> None:
    rules = b"rules: {a: {user: .id, set: {name: .n}}}\n"
    files = {"destinations.yaml": DESTINATIONS.encode(), "shop.yaml": (SOURCE + TO_ALL).encode() + rules}
    found = check(files, {"shpo.a.json": b'{"body": {}}'}, fault=None)
    said = [(p.file, p.severity, p.message, p.hint) for p in found if p.file.startswith("samples/")]
    assert said == [
        (
            "samples/shpo.a.json",
            "warning",
            "no source is called shpo: a sample is <source>.<any>.json",
            "did you mean 'shop'?",
        )
    ]


# --- loading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [False, True])
def test_the_collector_waits_while_rules_are_read_and_goes_on_after(broken: bool) -> None:
    seen: list[bool] = []

    def base_url(_destination: str) -> None:
        seen.append(gc.isenabled())

    if broken:
        with pytest.raises(RuleErrors):
            project_of("person: {user: .id, sett: {}}", base_url=base_url)
    else:
        project_of("person: {user: .id, set: {plan: .plan}}", base_url=base_url)
    assert seen
    assert not any(seen)
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        project_of("person: {user: .id, set: {plan: .plan}}")
        assert not gc.isenabled()
    finally:
        gc.enable()


# --- choosing the events of a request ---------------------------------------------------------------------------------


def decoded(events: str, body: Any) -> list[Any]:
    """The events in a request whose envelope has them there."""
    source = SOURCE.replace("region: US", f"envelope: {{events: {json.dumps(events)}}}, region: US")
    opened = project_of("a: {user: .id, set: {name: .n}}", source=source).sources["shop"]
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    webhook = Webhook("shop", "POST", {"content-type": "application/json"}, {}, json.dumps(body).encode(), moment)
    return [opened.open(event) for event in opened.decode(webhook)]


A, B, OTHER = {"k": "x", "n": 1}, {"k": "x", "n": 2}, {"k": "y", "n": 3}


@pytest.mark.parametrize(
    ("events", "body", "found"),
    [
        ('.e[all .k == "x"]', {"e": [A, OTHER, B]}, [A, B]),
        ('.e[all .k == "x"]', {"e": [OTHER]}, []),
        ('.e[all .k == "x"]', {"e": []}, []),
        (".e[all .k == $.wanted]", {"wanted": "y", "e": [A, OTHER, B]}, [OTHER]),
        ('.e[all .k == "x"].of[]', {"e": [{"k": "x", "of": [A, B]}, {"k": "y", "of": [OTHER]}]}, [A, B]),
        ('.g[].e[all .k == "x"]', {"g": [{"e": [A]}, {}, {"e": [OTHER, B]}]}, [A, B]),
        ('.e[.k == "x"]', {"e": [OTHER, B, A]}, [B]),
        ('.e[.k == "x"]', {"e": [OTHER]}, []),
        ('.e[.k == "x"].of', {"e": [OTHER, {"k": "x", "of": [A, OTHER]}, {"k": "x", "of": [B]}]}, [A, OTHER]),
        (".e[-1]", {"e": [A, B]}, [B]),
        (".e[0].of", {"e": [{"of": [A, B]}]}, [A, B]),
        (".e", {"e": [A, B]}, [A, B]),
        (".e", {"e": A}, [A]),
        ("$.e[]", {"e": [A]}, [A]),
        (".e[] else .f[]", {"f": [A, B]}, [A, B]),
        (".e[] else .f[]", {"e": [], "f": [A, B]}, []),
        (".e[] else .", A, [A]),
    ],
)
def test_the_events_of_a_request_are_at_a_path(events: str, body: Any, found: list[Any]) -> None:
    assert decoded(events, body) == found


@pytest.mark.parametrize("body", [{}, {"e": None}, {"e": A}, {"e": "x"}])
def test_a_condition_without_a_list_finds_no_events(body: Any) -> None:
    with pytest.raises(MalformedError, match="where the envelope has them"):
        decoded('.e[all .k == "x"]', body)


def test_a_condition_loses_no_event() -> None:
    many = [{"k": "x", "n": number} for number in range(3_000)]
    assert decoded('.e[all .k == "x"]', {"e": many}) == many


@pytest.mark.parametrize(
    ("events", "body"),
    [
        (".e[all .t[all . == 1] exists]", {"e": [{"t": [0] * 1_001}]}),
        ("$.e[all .k in $.e[].k]", {"e": [{"k": number} for number in range(999)]}),
    ],
)
def test_a_choice_that_would_not_look_at_everything_is_refused(events: str, body: Any) -> None:
    with pytest.raises(TooLarge, match="too many steps"):
        decoded(events, body)


def test_identity_and_envelope_may_look_into_tables() -> None:
    source = (
        "tables: {kinds: {m: member, o: other}, flags: {y: true}}\n"
        "source:\n  name: shop\n  preset: stripe\n  secret: $env.S\n  region: US\n  timezone: Asia/Seoul\n"
        "  envelope: {events: '.e[all .live | map(\"flags\")]'}\n"
        "  identity: {id: .id, type: '.t | map(\"kinds\")', time: .at}\n"
    )
    rules = b"to: crm\nrules: {a: {user: .id, set: {name: .n}}}\n"
    files = {"destinations.yaml": DESTINATIONS.encode(), "shop.yaml": source.encode() + rules}
    elements = [{"id": "1", "t": "m", "live": "y"}, {"id": "2", "t": "m"}, {"id": "3", "t": "o", "live": "y"}]
    body = json.dumps({"body": {"e": elements}}).encode()
    project = load(files, {"shop.a.json": body})
    opened = open_sample(project.samples["shop.a.json"], project.sections["shop"])
    assert [(each.event.external_id, each.event.type) for each in opened] == [("1", "member"), ("3", "other")]
    assert [p.message for p in check(files, {"shop.a.json": body}, fault=None) if "table" in p.message] == []


# --- what lists lose --------------------------------------------------------------------------------------------------

MANY = [f"t{number:04}" for number in range(1_500)]
CUT = "list(1500) has more than 1,000 elements: the rest is ignored"


@pytest.mark.parametrize(
    ("rule", "body", "field", "reason"),
    [
        ("tags: .l", {"l": MANY}, "tags", CUT),
        ("tags: {add: .l}", {"l": MANY}, "tags", CUT),
        ("tags: {add: .l, remove: .u exists}", {"l": ["a"], "u": 1}, "tags", "yes/no is not a tag"),
        ("tags: {add: .u exists, remove: .l}", {"l": ["a"], "u": 1}, "tags", "yes/no is not a tag"),
        ("tags: .l", {"l": ["a", {"b": 1}]}, "tags", "object(1) is not a tag"),
        ("tags: [a, .o]", {"o": {"b": 1}}, "tags", "object(1) is not a tag"),
        ("set: {labels: '.l[] | lower'}", {"l": ["A", {"b": 1}]}, "labels", "object(1) is not text"),
        ("send: {crm: {list: '.l[] | lower'}}", {"l": ["A", {"b": 1}]}, "send:/list", "object(1) is not text"),
    ],
)
def test_elements_that_a_list_loses_are_written_down(rule: str, body: Any, field: str, reason: str) -> None:
    routing = route(f"a: {{user: .id, {rule}}}", {"id": "u", **body}, to="to: crm\n")
    (planned,) = routing.planned
    assert list(planned.change.fields) == [field]
    assert planned.change.omitted == {f"{field}[]": reason}
    assert routing.notes == (Note("shop/a", f"{field}[]", reason),)
    assert load_change(dump_change(planned.change), planned.change.profile, planned.change.version) == planned.change


def test_a_list_that_loses_nothing_says_nothing() -> None:
    routing = route("a: {user: .id, tags: .l, set: {labels: .l}}", {"id": "u", "l": ["a", None, " "]}, to="to: crm\n")
    assert routing.planned[0].change.omitted == {}


def test_where_all_tags_are_dropped_it_is_told_once() -> None:
    routing = route("a: {user: .id, set: {name: .n}, tags: {add: .l}}", {"id": "u", "n": "x", "l": MANY})
    (channel,) = [each.change for each in routing.planned if each.destination == "channel"]
    assert (list(channel.fields), channel.omitted) == (["name"], {"tags": "tags: drop"})


def test_a_leaf_that_gives_nothing_leaves_the_trait_and_is_told_by_its_own_name() -> None:
    rule = "a: {user: .id, set: {plan: .p}, send: {crm: {attributes: {plan: .q | number}}}}"
    routing = route(rule, {"id": "u", "p": "pro", "q": "many"}, to="to: crm\n")
    change = routing.planned[0].change
    assert change.fields == {"plan": Op(OpKind.SET, "pro")}
    assert change.omitted == {"send:/attributes/plan": "text(4) is not a number"}

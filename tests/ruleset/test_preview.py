"""Two projects over the same events: what comes out different is told by rule and field, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model import Event
from router.ruleset import Project, load
from router.ruleset.preview import FieldPreview, Preview, affected, preview, samples, stored
from router.settings import read_rules

AT = datetime(2026, 11, 7, tzinfo=UTC)
DESTINATIONS = """
traits: {plan: text, seats: number}
tables: {tiers: {a: gold, b: silver}}
destinations:
  app: {provider: http, method: PUT, url: "https://app.example.com/people/{user}", auth: {bearer: $env.T}, into: at,
        once: set, clear: send-null, tags: replace}
  moe: {provider: moengage, dc: 1, workspace: $env.W, key: $env.K, once: set, clear: keep}
"""
SOURCE = """
source: {name: crm, verify: {scheme: token, name: X-T}, secret: $env.S, identity: {type: .kind, id: .id, time: .at},
         allow_erase: true}
to: [app, moe]
rules:
  person:
    when: changed
    user: .user
    set: {email: .email, plan: .plan else "free", seats: .seats}
"""


def project(source: str = SOURCE, destinations: str = DESTINATIONS, **more: str) -> Project:
    files = {"destinations.yaml": destinations.encode(), "crm.yaml": source.encode()}
    return load(files | {f"{name}.yaml": text.encode() for name, text in more.items()}, {}, reveal=str)


def event(number: int, body: Mapping[str, Any], kind: str = "changed", source: str = "crm") -> tuple[str, Event]:
    data = json.dumps({"kind": kind, **body}).encode()
    return f"ev_{number}", Event(source, f"e{number}", kind, AT, AT, body=data, id=number)


EVENTS = [
    event(1, {"user": "u1", "email": "ann@example.com", "plan": "pro", "seats": 3}),
    event(2, {"user": "u2", "email": "bob@example.com"}),
    event(3, {"user": "u2", "email": "bob@example.com", "seats": 1}),
    event(4, {"user": None, "email": "x@example.com"}),
    event(5, {"user": "u3"}, "left"),
]


def compare(new: Project, old: Project | None = None, events: Any = EVENTS, *, clear: bool = False) -> Preview:
    old = old or project()
    return preview(old, new, stored(old, new, events), clear=clear)


def rows(found: Preview, destination: str = "app") -> list[tuple[str, str, int, str]]:
    return [
        (each.field, each.text, each.people, each.example)
        for rule in found.rules
        if rule.destination == destination
        for each in rule.fields
    ]


def test_equal_rules_make_equal_payloads() -> None:
    found = compare(project(SOURCE + "  # a comment\n"))
    assert found.states == {("routed", "routed"): 3, ("failed", "failed"): 1, ("skipped", "skipped"): 1}
    assert [(rule.title, rule.equal, rule.differs) for rule in found.rules] == [
        ("crm/person → app", 3, False),
        ("crm/person → moe", 3, False),
    ]
    assert list(found.lines())[-1] == "  every payload is equal"


def test_fields_are_told_with_people_and_an_example() -> None:
    found = compare(
        project(SOURCE.replace('.plan else "free"', ".plan").replace("seats: .seats", "seats: .seats, name: .email"))
    )
    assert rows(found) == [
        ("at.name", "added as text", 2, "ev_1"),
        ("at.plan", '"free" → omitted', 1, "ev_2"),
    ]
    (app, moe) = found.rules
    assert (app.equal, app.changed, app.added, app.gone) == (0, 3, 0, 0)
    assert [each.field for each in moe.fields] == ["attributes.name", "attributes.plan"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("plan: .plan", "plan: .plan | upper", [("at.plan", "text → other text", 1, "ev_1")]),
        ("seats: .seats", "", [("at.seats", "number → omitted", 2, "ev_1")]),
        ("seats: .seats", 'seats: .seats, name: "x"', [("at.name", 'added as "x"', 2, "ev_1")]),
        ('"free"', '"basic"', [("at.plan", '"free" → "basic"', 1, "ev_2")]),
        ("seats: .seats", "seats: .seats else 5", [("at.seats", "added as 5", 1, "ev_2")]),
        ("seats: .seats", "seats: .seats else unset", [("at.seats", "added as null", 1, "ev_2")]),
        ("plan: .plan", 'plan: .plan | map("tiers")', [("at.plan", 'text → "free"', 1, "ev_1")]),
        ("user: .user", "user: .email", [("user", "text → other text", 2, "ev_1")]),
    ],
)  # fmt: skip
def test_values_of_events_do_not_show_those_of_rules_do(old: str, new: str, expected: list[Any]) -> None:
    found = compare(project(SOURCE.replace(old, new)))
    assert rows(found) == expected
    assert not any(word in text for text in found.lines() for word in ("ann@", "bob@", "pro", "u1"))


def test_in_clear_values_show_and_long_ones_are_cut() -> None:
    found = compare(
        project(SOURCE.replace("email: .email", "email: .email, name: '{.email} {.email} {.email}'")), clear=True
    )
    assert rows(found)[0][1] == 'added as "ann@example.com ann@example.com ann@exa…'


def test_a_new_rule_adds_and_a_removed_one_is_gone() -> None:
    more = SOURCE + "  left:\n    when: left\n    to: app\n    user: .user\n    set: {plan: none}\n"
    added = compare(project(more))
    assert added.states[("skipped", "routed")] == 1
    (rule,) = (rule for rule in added.rules if rule.rule == "crm/left")
    assert (rule.destination, rule.added, rule.line) == ("app", 1, 10)
    gone = compare(project(), project(more))
    (rule,) = (rule for rule in gone.rules if rule.rule == "crm/left")
    assert (rule.gone, rule.added, rule.line) == (1, 0, 10)
    assert "1 gone" in "\n".join(gone.lines())


def test_a_renamed_field_is_one_omitted_and_one_added() -> None:
    found = compare(project(destinations=DESTINATIONS.replace("into: at,", "into: at, rename: {plan: tier},")))
    assert rows(found) == [
        ("at.plan", '"free" → omitted', 1, "ev_2"),
        ("at.plan", "text → omitted", 1, "ev_1"),
        ("at.tier", 'added as "free"', 1, "ev_2"),
        ("at.tier", "added as text", 1, "ev_1"),
    ]


def test_the_fields_of_objects_in_a_list_are_told_one_by_one() -> None:
    places = '[{platform: web, active: "true"}, {platform: iOS, active: "true"}]'
    sent = f"{SOURCE}    send: {{moe: {{attributes: {{platforms: {places}}}}}}}\n"
    found = compare(project(sent), project(sent.replace('iOS, active: "true"', 'iOS, active: "false"')), EVENTS[:1])
    assert [row[:2] for row in rows(found, "moe")] == [("attributes.platforms[1].active", '"false" → "true"')]


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("type: .kind", "type: .sort", True),
        ("time: .at", "time: .when", True),
        ("id: .id", "id: .id, version: .v", True),
        ("id: .id", "id: '.id'", False),
        ("email: .email", "email: .mail", False),
        ("name: crm", "name: crm, region: NO", False),
    ],
)
def test_another_identity_is_told_as_stored_events_keep_theirs(old: str, new: str, *, differs: bool) -> None:
    told = "  identity of crm differs: stored events keep their type, id and time; try it with --preview 0"
    other = project(SOURCE.replace(old, new))
    for one, two in ((other, project()), (project(), other)):
        found = compare(one, two)
        assert (told in found.lines()) is differs
        assert found.as_json()["identities"] == ["crm"] * differs
    assert compare(other, events=[]).identities == ()
    assert compare(project(erp=SOURCE.replace("name: crm", "name: erp")), events=EVENTS).identities == ()


def test_an_identity_is_not_told_of_samples() -> None:
    sample = {"crm.x.json": json.dumps({"body": {"user": "u1", "kind": "changed", "sort": "changed"}}).encode()}
    files = {"destinations.yaml": DESTINATIONS.encode(), "crm.yaml": SOURCE.encode()}
    old = load(files, sample, reveal=str)
    new = load({**files, "crm.yaml": SOURCE.replace("type: .kind", "type: .sort").encode()}, sample, reveal=str)
    found = preview(old, new, samples(old, new, ["crm"]), clear=True)
    assert (found.events, found.identities) == (1, ())


def test_keys_inside_a_value_of_an_event_do_not_show() -> None:
    send = f"{SOURCE}    send: {{app: {{prefs: .by, more: {{deep: [{{by: .by}}]}}}}}}\n"
    by = {"ann.secret@example.com": "yes", "Ann": {"x": 1, "deep": [{"y": 1}]}}
    events = [event(1, {"user": "u1", "by": by})]
    expected = [
        ("more.deep[0].by.*", "added as text", 1, "ev_1"),
        ("more.deep[0].by.*.*", "added as number", 1, "ev_1"),
        ("more.deep[0].by.*.deep[0].*", "added as number", 1, "ev_1"),
        ("prefs.*", "added as text", 1, "ev_1"),
        ("prefs.*.*", "added as number", 1, "ev_1"),
        ("prefs.*.deep[0].*", "added as number", 1, "ev_1"),
    ]
    assert rows(compare(project(send), events=events)) == expected
    gone = compare(project(), project(send), events)
    assert [row[0] for row in rows(gone)] == [row[0] for row in expected]
    assert "Ann" not in json.dumps(gone.as_json())
    shown = [row[0] for row in rows(compare(project(send), events=events, clear=True))]
    assert "prefs.ann.secret@example.com" in shown
    assert "prefs.Ann.deep[0].y" in shown


def test_each_key_of_a_value_is_compared_though_none_shows() -> None:
    send = f"{SOURCE}    send: {{app: {{prefs: .by}}}}\n"
    events = [event(1, {"user": "u1", "by": {"a": 1, "b": "x"}, "other": {"a": 1, "b": "y"}})]
    found = compare(project(send.replace(".by", ".other")), project(send), events)
    assert rows(found) == [("prefs.*", "text → other text", 1, "ev_1")]


def test_what_a_provider_refuses_is_told_with_its_reason() -> None:
    resolved = DESTINATIONS.replace("once: set, clear: keep", "identity_resolution: true, once: set, clear: keep")
    found = compare(project(destinations=resolved), events=[event(1, {"user": "u1", "seats": 1})])
    fields = {row[0] for row in rows(found, "moe")}
    assert fields == {"attributes.plan", "attributes.seats", "customer_id", "refused", "type"}
    (refused,) = (row for row in rows(found, "moe") if row[0] == "refused")
    assert refused[1].startswith('added as "')
    assert "identity resolution" in refused[1]


def test_erasing_is_told_too() -> None:
    more = SOURCE + "  gone:\n    when: left\n    user: .user\n    erase: true\n"
    found = compare(project(more))
    assert found.states[("skipped", "erased")] == 1
    (rule,) = (rule for rule in found.rules if rule.rule == "crm/gone")
    assert (rule.title, rule.added) == ("crm/gone erases", 1)


def test_a_source_that_one_of_them_lacks_is_unknown_there() -> None:
    other = SOURCE.replace("name: crm", "name: erp")
    found = compare(project(erp=other), events=[event(1, {"user": "u1"}, source="erp")])
    assert found.states == {("unknown", "routed"): 1}
    assert "was unknown" in next(iter(found.lines()))


def test_calls_are_named_where_there_are_several() -> None:
    tags = SOURCE.replace("set: {", "tags: {add: .add, remove: .remove}\n    set: {")
    swapped = SOURCE.replace("set: {", "tags: {add: .remove, remove: .add}\n    set: {")
    events = [event(1, {"user": "u1", "add": ["x"], "remove": ["y"]})]
    one = compare(project(tags.replace("seats: .seats", "seats: 1")), project(tags), events)
    assert [row[0] for row in rows(one, "moe")] == ["attributes.seats"]
    both = compare(project(swapped), project(tags), events)
    fields = [row[0] for row in rows(both, "moe")]
    assert len(fields) == len(set(fields)) == 2
    assert all(field.startswith("POST /v1/") for field in fields)


EXAMPLE = Path(__file__).parents[2] / "rules"


def test_samples_of_both_are_compared_by_name() -> None:
    files, given_samples = read_rules(EXAMPLE)
    old = load(files, given_samples, reveal=str)
    more = {name: data for name, data in given_samples.items() if "customer.updated" not in name}
    more["stripe.extra.json"] = given_samples["stripe.customer.updated.json"].replace(b"u_1001", b"u_7")
    new = load(files, more, reveal=str)
    cases = list(samples(old, new, ["stripe"]))
    assert [case.label for case in cases] == [
        "stripe.customer.subscription.deleted.json",
        "stripe.customer.updated.json",
        "stripe.extra.json",
    ]
    assert all(case.before == case.after for case in cases)
    assert list(samples(old, new, ["nobody"])) == []


def test_a_sample_that_one_cannot_open_is_unknown_there() -> None:
    sample = {"crm.x.json": json.dumps({"body": {"items": [{"user": "u1", "kind": "changed"}]}}).encode()}
    listed = SOURCE.replace("allow_erase", "envelope: {events: '.items[]'}, allow_erase")
    files = {"destinations.yaml": DESTINATIONS.encode()}
    old = load(files | {"crm.yaml": listed.encode()}, sample, reveal=str)
    new = load(files | {"crm.yaml": listed.replace(".items[]", ".things[]").encode()}, sample, reveal=str)
    (case,) = samples(old, new, ["crm"])
    assert case.before is not None
    assert case.after is None
    assert compare(new, old, []).events == 0


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, []),
        ({"crm.yaml": b"other"}, ["crm"]),
        ({"destinations.yaml": b"other"}, ["crm", "erp"]),
        ({"new.yaml": b"a source that neither has"}, []),
    ],
)
def test_a_changed_file_concerns_its_source(files: dict[str, bytes], expected: list[str]) -> None:
    both = project(erp=SOURCE.replace("name: crm", "name: erp"))
    old = {"crm.yaml": b"crm", "erp.yaml": b"erp", "destinations.yaml": b"destinations"}
    assert affected(old, {**old, **files}, (both, both)) == expected


bodies = st.fixed_dictionaries(
    {"user": st.sampled_from(["u1", "u2", None])},
    optional={
        "email": st.sampled_from(["a@b.co", "c@d.eu", "bad"]),
        "plan": st.text(max_size=3),
        "seats": st.integers(),
    },
)


@given(st.lists(bodies, max_size=8))
def test_the_sums_match(given_bodies: list[dict[str, Any]]) -> None:
    events = [event(n, body) for n, body in enumerate(given_bodies)]
    new = project(SOURCE.replace("email: .email", "email: .email else skip").replace("seats: .seats", "name: .plan"))
    old = project()
    found = compare(new, old, events)
    assert sum(found.states.values()) == found.events == len(events)
    routed = {
        name: sum(n for states, n in found.states.items() if states[place] == "routed")
        for place, name in enumerate(("before", "after"))
    }
    for rule in found.rules:
        assert rule.equal + rule.changed + rule.gone == routed["before"]
        assert rule.equal + rule.changed + rule.added == routed["after"]
        assert bool(rule.fields) == bool(rule.changed)
    assert json.loads(json.dumps(found.as_json()))["events"] == len(events)


def test_one_person_is_a_person() -> None:
    assert FieldPreview("a", "omitted", "text", 1, "e").whose == "1 person"
    assert FieldPreview("a", "text", "omitted", 1_200, "e").whose == "1,200 people"


def test_an_id_that_is_like_a_part_of_a_path_is_no_other_call() -> None:
    """Calls are told apart by their paths, where `{user}` stands for the id and nothing else."""
    deep = DESTINATIONS.replace("/people/{user}", "/v1/1/{user}.json")
    found = compare(
        project(SOURCE.replace(".plan else", ".tier else"), deep),
        project(SOURCE, deep),
        [event(n, {"user": who, "plan": "pro", "tier": "x"}) for n, who in enumerate(["1", "v1", "json"])],
    )
    (row,) = rows(found)
    assert (row[0], row[2]) == ("at.plan", 3)

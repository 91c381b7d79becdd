"""A field that stopped coming, or comes as something else, is worth a warning before anybody notices."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from router.ruleset import Project, load
from router.ruleset.drift import drift, unread
from router.ruleset.samples import open_sample
from router.ruleset.shapes import Count, History, days, each_event, shape_of
from router.settings import read_rules


@pytest.fixture(scope="module")
def project() -> Project:
    return load(*read_rules(Path(__file__).parents[2] / "rules"), reveal=str)


def payload(project: Project, **changes: Any) -> Any:
    """The sample, with other values at `data.object`; `...` takes one out."""
    (opened,) = open_sample(project.samples["stripe.customer.updated.json"], project.sections["stripe"])
    value = copy.deepcopy(opened.value)
    for name, given in changes.items():
        if given is ...:
            del value["data"]["object"][name]
        else:
            value["data"]["object"][name] = given
    return value


def history(project: Project, phones: str) -> History:
    """One event an hour from 6 November, 23 h: `1` has a phone, `0` has none, `n` has a number."""
    (opened,) = open_sample(project.samples["stripe.customer.updated.json"], project.sections["stripe"])
    start = datetime(2026, 11, 6, 23, tzinfo=UTC)
    given = {"1": "+821012345678", "0": None, "n": 821012345678}
    events = [
        (replace(opened.event, occurred_at=start + timedelta(hours=hour)), payload(project, phone=given[phone]))
        for hour, phone in enumerate(phones)
    ]
    return each_event(events[::-1])


def stored(project: Project, *phones: str) -> History:
    """The same by the day, as it is kept, from 6 November."""
    counts = [
        Count(20_763 + day, path, kind, 1)
        for day, each in enumerate(phones)
        for phone in each
        for path, kind in shape_of(payload(project, phone={"1": "+821012345678", "0": None, "n": 1}[phone]))
    ]
    return {("stripe", "customer.updated"): days(counts)}


def test_a_field_that_stopped_coming_is_told_with_its_place(project: Project) -> None:
    (found,) = drift(project, history(project, "1" * 24 + "0" + "0" * 30))
    assert (found.file, found.line, found.column, found.length) == ("stripe.yaml", 13, 27, 5)
    assert (found.code, found.severity) == ("drift", "warning")
    assert found.message == "phone came in 100 % of customer.updated until 7 Nov, since then in none"


@pytest.mark.parametrize(
    "phones",
    ["1" * 30, "0" * 30, "1" * 30 + "0" * 9, "0" * 30 + "1", "1000000000" * 4, ""],
    ids=["still comes", "never came", "too few to tell", "came back", "was rare", "no events"],
)
def test_what_may_be_chance_is_not(project: Project, phones: str) -> None:
    assert drift(project, history(project, phones)) == []


def test_the_share_counts_up_to_the_last_time(project: Project) -> None:
    (found,) = drift(project, history(project, "1" * 12 + "0" + "1" * 12 + "0" * 20))
    assert "came in 96 % of customer.updated until 7 Nov" in found.message


def test_what_is_kept_by_the_day_is_enough(project: Project) -> None:
    (found,) = drift(project, stored(project, "1" * 20, "1" * 10 + "0" * 10, "0" * 40))
    assert found.message == "phone came in 75 % of customer.updated until 7 Nov, since then in none"
    assert drift(project, stored(project, "1" * 20, "0" * 9)) == []


def test_the_earlier_history_is_believed(project: Project) -> None:
    exact = history(project, "1" * 25 + "0" * 30)
    (found,) = drift(project, exact, stored(project, "1" * 30, "", "", "0" * 30))
    assert "until 7 Nov" in found.message
    (found,) = drift(project, {}, stored(project, "1" * 30, "", "", "0" * 30))
    assert "until 6 Nov" in found.message


def test_a_kind_that_flipped_is_told(project: Project) -> None:
    (found,) = drift(project, history(project, "1" * 20 + "0" * 5 + "n" * 12))
    assert (found.line, found.column) == (13, 27)
    assert found.message == "phone was text in 100 % of customer.updated until 7 Nov, since then number"


@pytest.mark.parametrize("crowd", [{f"k{n}": 1 for n in range(61)}, {"before": {f"k{n}": 1 for n in range(59)}}])
def test_what_could_not_be_seen_is_not_gone(project: Project, crowd: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setattr("router.ruleset.shapes.MAX_PATHS", 60)
    (opened,) = open_sample(project.samples["stripe.customer.updated.json"], project.sections["stripe"])
    plain = payload(project)
    wide = {**crowd, **plain} if "before" in crowd else payload(project, **crowd)
    start = datetime(2026, 11, 6, 23, tzinfo=UTC)
    events = [
        (replace(opened.event, occurred_at=start + timedelta(hours=n)), plain if n < 20 else wide) for n in range(60)
    ]
    assert drift(project, each_event(events)) == []


def test_what_every_rule_reads_is_not_told(project: Project) -> None:
    counts = days([Count(1, "", "object", 3), Count(1, ".data.object.email", "text", 3)])
    assert unread(project, {("stripe", "customer.updated"): counts}) == []


def test_paths_without_events_are_no_reason_to_stop(project: Project) -> None:
    found = unread(project, {("stripe", "customer.updated"): days([Count(1, ".a", "text", 3)])})
    assert [(each.events, each.fields) for each in found] == [(0, {".a": 1.0})]


@pytest.mark.parametrize("phones", ["1" * 20 + "n" * 9, "1n" * 20, "n" + "1" * 20 + "n"])
def test_a_kind_that_varies_did_not_flip(project: Project, phones: str) -> None:
    assert drift(project, history(project, phones)) == []


def test_a_path_inside_a_bracket_and_one_after_it_are_looked_at() -> None:
    rules = {
        "destinations.yaml": b"destinations: {m: {provider: moesif, application_id: $env.M}}",
        "crm.yaml": b"source: {name: crm, verify: {scheme: none}, allow_unauthenticated: true}\nto: m\n"
        b"rules: {p: {user: .id, set: {email: '.mails[.id == $.main].mail'}}}\n",
    }
    project = load(rules, {}, reveal=str)
    good, bad = {"id": "u", "main": 1, "mails": [{"id": 1, "mail": "a@b.co"}]}, {"id": "u", "mails": [{"mail": 1}]}
    counts = [Count(day, *place, 20) for day, value in ((1, good), (2, bad)) for place in shape_of(value)]
    found = drift(project, {("crm", "x"): days(counts)})
    assert [each.message.partition(" of ")[0] for each in found] == [
        "id came in 100 %",
        "main came in 100 %",
        "mail was text in 100 %",
    ]


def test_fields_that_arrive_and_that_nobody_reads_are_listed(project: Project) -> None:
    values = [payload(project, extra="x", rare=1), payload(project, extra=3)]
    counts = [Count(1, *place, 1) for value in values for place in shape_of(value)]
    history = {("stripe", "customer.updated"): days(counts), ("gone", "x"): days(counts)}
    (found,) = unread(project, history)
    assert (found.source, found.type, found.events, found.wanted) == ("stripe", "customer.updated", 2, True)
    assert found.fields[".data.object.extra"] == 1
    assert found.fields[".data.object.rare"] == 0.5
    assert list(found.fields)[-1] == ".data.object.rare"
    assert not {".data.object.email", ".data.object.phone", ".id", ".created"} & found.fields.keys()


def test_a_type_that_no_rule_is_for_is_listed_whole(project: Project) -> None:
    counts = [Count(1, *place, 1) for place in shape_of({"id": "e", "a": {"b": 1}})]
    (found,) = unread(project, {("stripe", "charge.failed"): days(counts)})
    assert (found.wanted, found.fields) == (False, {".a.b": 1})


def test_what_is_inside_something_that_is_read_is_read(project: Project) -> None:
    rules = {
        "destinations.yaml": b"destinations: {m: {provider: moesif, application_id: $env.M}}",
        "crm.yaml": b"source: {name: crm, verify: {scheme: none}, allow_unauthenticated: true}\nto: m\n"
        b"rules: {p: {user: .id, tags: .tags, set: {name: '.all | json'}}}\n",
    }
    project = load(rules, {}, reveal=str)
    counts = [Count(1, *place, 1) for place in shape_of({"id": "u", "tags": ["a"], "all": {"x": {"y": 1}}, "ally": 1})]
    (found,) = unread(project, {("crm", "x"): days(counts)})
    assert list(found.fields) == [".ally"]

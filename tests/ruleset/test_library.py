"""The library of rule projects: each is right by itself, tested in every branch, and fits its sender and the others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from router.cli.webhooks import Overrides, compose
from router.errors import SignatureError
from router.model import EPOCH, EventState, Webhook
from router.ruleset import Project, check_files, load
from router.ruleset.checks_paths import leaves_of
from router.ruleset.language import ENDINGS, Compiled, is_blank, reader
from router.ruleset.loading import Draft, draft_of
from router.ruleset.nodes import Expression, Fallback
from router.ruleset.parser import parse
from router.ruleset.rules import Rule
from router.ruleset.samples import SampleEvent, open_sample
from router.ruleset.testcases import TestCase, changed
from router.ruleset.tree import plain, read_yaml
from router.settings import read_rules

RULES = Path(__file__).parents[2] / "rules"
LIBRARY = RULES / "library"
SENDERS = sorted(path.name for path in LIBRARY.iterdir() if path.is_dir())
SAMPLES = [(sender, path.name) for sender in SENDERS for path in sorted((LIBRARY / sender / "samples").iterdir())]
README = (LIBRARY / "README.md").read_text("utf-8")

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
FAKE = "fake-secret-of-a-test"
#: what the secret of a sender looks like where that is not any text
FORMS = {"clerk": "whsec_ZmFrZS1zZWNyZXQtb2YtYS10ZXN0"}


def files_of(sender: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    return read_rules(LIBRARY / sender)


def drafted(sender: str) -> Draft:
    return draft_of(*files_of(sender), reveal=str, base_url=lambda _name: None)


def loaded(sender: str) -> Project:
    return load(*files_of(sender), reveal=str)


def opened(project: Project, name: str) -> list[SampleEvent]:
    sample = project.samples[name]
    return open_sample(sample, project.sections[sample.source])


# --- right by itself -------------------------------------------------------------------------------------------------


def test_a_project_is_two_files_and_samples_named_after_its_sender() -> None:
    assert len(SENDERS) == 12
    for sender in SENDERS:
        rules, samples = files_of(sender)
        assert set(rules) == {"destinations.yaml", f"{sender}.yaml"}
        assert set(loaded(sender).sections) == {sender}
        assert samples
        assert all(name.startswith(f"{sender}.") for name in samples)


def test_the_working_example_does_not_read_the_library() -> None:
    rules, samples = read_rules(RULES)
    assert set(rules) == {path.name for path in RULES.glob("*.yaml")}
    assert set(samples) == {path.name for path in (RULES / "samples").glob("*.json")}


@pytest.mark.parametrize("sender", SENDERS)
def test_check_finds_nothing_and_every_test_passes(sender: str) -> None:
    checked = check_files(*files_of(sender), fault=lambda _use: "")
    assert [str(problem) for problem in checked.problems] == []
    assert checked.tests.failed == 0
    tested = {result.case.rule.id for result in checked.tests.results}
    assert tested == {rule.id for rule in loaded(sender).rules}


@pytest.mark.parametrize("sender", SENDERS)
def test_the_source_takes_its_verification_from_the_preset(sender: str) -> None:
    section = loaded(sender).sections[sender]
    assert section.preset["verify"]
    assert "verify" not in section.nodes


@pytest.mark.parametrize("sender", SENDERS)
def test_two_destinations_at_least_and_a_body_of_each_for_every_rule(sender: str) -> None:
    draft = drafted(sender)
    assert len(draft.entries) >= 2
    for _, rule in draft.rules():
        expected = {name for case in draft.cases if case.rule is rule for name in case.expected}
        assert rule.erase or rule.named <= expected, rule.id


# --- samples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sender", SENDERS)
def test_every_sample_is_identified_and_changes_a_profile_or_a_test_says_not(sender: str) -> None:
    project = loaded(sender)
    left_alone = {
        (case.given.text, case.event)
        for case in drafted(sender).cases
        if case.outcome in {"skipped", "unmatched"} and not case.puts and not case.takes
    }
    for name in project.samples:
        events = opened(project, name)
        assert events
        for index, each in enumerate(events):
            assert not each.event.error
            assert each.event.type != "untyped"
            assert not each.event.external_id.startswith("sha256:"), "an id of its own"
            state = project.route_value(each.event, each.value).state
            assert state in {EventState.ROUTED, EventState.ERASED} or (name, index) in left_alone, (name, index)


@pytest.mark.parametrize("sender", SENDERS)
def test_every_type_that_a_rule_names_has_a_sample(sender: str) -> None:
    project = loaded(sender)
    types = {each.event.type for name in project.samples for each in opened(project, name)}
    for rule in project.rules:
        for pattern in rule.when:
            regex = ".*".join(map(re.escape, pattern.split("*")))
            assert any(re.fullmatch(regex, type_) for type_ in types), f"{rule.id}: {pattern}"


@pytest.mark.parametrize(("sender", "name"), SAMPLES)
def test_people_in_samples_are_invented(sender: str, name: str) -> None:
    text = (LIBRARY / sender / "samples" / name).read_text("utf-8")
    hosts = {host.lower() for host in re.findall(r"[\w.+-]+@([\w.-]+)", text)}
    assert all(host.endswith((".example", "example.com")) for host in hosts), hosts


# --- every branch is reached by a test -------------------------------------------------------------------------------


HOLE = re.compile(r"\{([.$][^}]*)\}")


def choices(compiled: Compiled) -> Iterator[tuple[list[Expression], bool]]:
    """What stands between the `else` of a value, and whether a word ends it; of a template hole by hole."""
    if compiled.kind == "literal":
        return
    spans = [(0, len(compiled.text))]
    if compiled.kind == "template":
        spans = [match.span(1) for match in HOLE.finditer(compiled.text)]
    for start, end in spans:
        tree = parse(compiled.text, ENDINGS, start, end)
        yield (tree.root.items if isinstance(tree.root, Fallback) else [tree.root]), tree.ending is not None


def taken(project: Project, each: SampleEvent, options: list[Expression], tables: Mapping[str, Any]) -> int:
    """Which of the options gives the value; one more than the last if none does."""
    context = project.context(each.event, each.value)
    for index, option in enumerate(options):
        if not is_blank(reader(option, tables)(context, context.data)):
            return index
    return len(options)


@pytest.mark.parametrize("sender", SENDERS)
def test_every_branch_of_every_value_is_reached_by_a_test(sender: str) -> None:
    draft, project = drafted(sender), loaded(sender)
    for source, rule in draft.rules():
        tables = {name: table.entries for name, table in source.tables.items()}
        missing, conditions = set(), set()
        for leaf in leaves_of(rule):
            for options, ends in choices(leaf.compiled):
                if len(options) > 1 or ends:
                    missing |= {(leaf.compiled.text, index) for index in range(len(options) + ends)}
        for _, each in events_in_tests(draft, rule):
            if not rule.matches(each.event.type):
                continue
            if rule.condition is not None:
                goes_on = rule.condition.run(project.context(each.event, each.value)) is True
                conditions.add(goes_on)
                if not goes_on:
                    continue
            skipped = rule.evaluate(project.context(each.event, each.value)).state == "skipped"
            values = rule.user.leaves if skipped else (*rule.user.leaves, *leaves_of(rule))
            for leaf in values:
                for options, _ in choices(leaf.compiled):
                    missing.discard((leaf.compiled.text, taken(project, each, options, tables)))
        assert not missing, rule.id
        assert rule.condition is None or conditions == {True, False}, rule.id


def events_in_tests(draft: Draft, rule: Rule) -> Iterator[tuple[TestCase, SampleEvent]]:
    """The event of each test of a rule."""
    sections = {each.section.name: each.section for each in draft.sources}
    for case in draft.cases:
        if case.rule is rule:
            sample = changed(draft.samples[case.given.text], case)
            yield case, open_sample(sample, sections[sample.source])[case.event]


# --- as the sender sends it ------------------------------------------------------------------------------------------


def set_secrets(monkeypatch: pytest.MonkeyPatch, sender: str, secret: str) -> None:
    for name in re.findall(r"\$env\.([A-Z0-9_]+)", (LIBRARY / sender / f"{sender}.yaml").read_text("utf-8")):
        monkeypatch.setenv(name, secret)


def posted(project: Project, sender: str, name: str) -> Webhook:
    """The sample as its sender would post it, under a new id."""
    signed = compose(project, project.samples[name], Overrides(), NOW)
    headers = {key.lower(): value for key, value in signed.headers.items()}
    return Webhook(sender, "POST", headers, parse_qs(signed.query[1:]), signed.body, NOW)


@pytest.mark.parametrize(("sender", "name"), SAMPLES)
def test_a_signed_sample_is_accepted_and_identified(sender: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_secrets(monkeypatch, sender, FORMS.get(sender, FAKE))
    project = loaded(sender)
    source, webhook = project.sources[sender], posted(project, sender, name)
    source.verify(webhook, NOW)
    events = source.decode(webhook)
    # an event without a time of its own counts from its receipt
    asked = [
        (e.event.type, NOW if e.event.occurred_at == EPOCH else e.event.occurred_at) for e in opened(project, name)
    ]
    assert [(event.type, event.occurred_at) for event in events] == asked
    assert [event.weak_id for event in events] == [e.event.weak_id for e in opened(project, name)]


@pytest.mark.parametrize("sender", SENDERS)
def test_another_secret_is_refused(sender: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_secrets(monkeypatch, sender, FORMS.get(sender, FAKE))
    webhook = posted(loaded(sender), sender, next(iter(files_of(sender)[1])))
    set_secrets(monkeypatch, sender, "whsec_YW5vdGhlci1mYWtlLXNlY3JldC1vZi1hLXRlc3Q")
    with pytest.raises(SignatureError):
        loaded(sender).sources[sender].verify(webhook, NOW)


# --- side by side ----------------------------------------------------------------------------------------------------


def joined(a: Any, b: Any, place: str) -> Any:
    """Maps and lists joined; a value that stands in both must be one."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a | {key: joined(a[key], value, f"{place}.{key}") if key in a else value for key, value in b.items()}
    if isinstance(a, list) and isinstance(b, list):
        return a + [item for item in b if item not in a]
    assert a == b, place
    return a


def test_all_projects_fit_beside_each_other() -> None:
    rules: dict[str, bytes] = {}
    samples: dict[str, bytes] = {}
    shared: Any = {}
    for sender in SENDERS:
        files, own = files_of(sender)
        node, problems = read_yaml("destinations.yaml", files.pop("destinations.yaml"))
        assert node is not None
        assert not problems
        shared = joined(shared, plain(node), sender)
        rules |= files
        samples |= own
    rules["destinations.yaml"] = json.dumps(shared).encode()
    problems = check_files(rules, samples, fault=lambda _use: "").problems
    # joined lists of properties and drops change bodies, and nothing else
    assert {str(problem) for problem in problems if problem.code != "test-failed"} == set()


# --- the page about them ---------------------------------------------------------------------------------------------


def row_of(sender: str) -> str:
    """The row of a sender in the table."""
    return next(line for line in README.splitlines() if line.startswith(f"| [{sender}]({sender}/{sender}.yaml)"))


@pytest.mark.parametrize("sender", SENDERS)
def test_the_table_names_every_type_and_destination(sender: str) -> None:
    project, row = loaded(sender), row_of(sender)
    words = set(re.findall("`([^`]+)`", row))
    types = {pattern for rule in project.rules for pattern in rule.when}
    assert types <= words
    assert set(project.destinations) <= words


def test_the_table_has_no_other_rows() -> None:
    assert re.findall(r"^\| \[([a-z0-9]+)\]", README, re.MULTILINE) == SENDERS

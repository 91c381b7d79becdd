"""`check --preview`: what a change of the rules would do, before it is taken over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from router.dispatch.rules import Rules
from router.settings import read_settings
from router.store import shapes
from router.store.shapes import Place
from tests.cli.conftest import World, put


@pytest.fixture
def running(world: World) -> World:
    """The world, with its rules loaded by a process."""
    rules = Rules(read_settings(), role="worker", last=lambda: None)
    rules.start()
    rules.record_to(world.store)
    world.store.write(lambda tx: tx.exec_driver_sql("DELETE FROM shapes").rowcount)  # each test has its own
    return world


def edit(world: World, old: str, new: str) -> None:
    path = world.rules / "crm.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def shape(world: World, day: int, **kinds: int) -> None:
    """Count a day's events: `seats_number=20`; `events` is how many there were."""
    counts = {Place("crm", "changed", day, ".", "object"): kinds.pop("events")}
    for name, n in kinds.items():
        field, _, kind = name.partition("_")
        counts[Place("crm", "changed", day, f".{field}", kind)] = n
    world.store.write(lambda tx: shapes.add(tx, counts))


def test_it_tells_what_would_change_for_whom_and_shows_no_values(running: World) -> None:
    edit(running, "plan: .plan", 'plan: .plan | upper, city: "Oslo"')
    said = running.run("check", "--preview", "100", code=1)  # the rule's own test fails, which is another matter
    (title,) = (line for line in said.splitlines() if line.startswith("revision "))
    assert title.endswith("→ files on disk, last 4 events of crm")
    assert "  now routed                  3" in said
    assert "  crm/person → app             0 equal   3 changed   0 added   0 gone" in said
    words = " ".join(said.split())
    assert 'profile.city added as "Oslo" 2 people ev_' in words
    assert "profile.plan text → other text 2 people ev_" in words
    assert "TEAM" not in said
    assert said.splitlines()[-1].startswith("1 rule file changed, 1 rule, ")


def test_without_a_change_it_tells_of_drift_and_of_what_nobody_reads(running: World) -> None:
    shape(
        running, 20_000, events=40, seats_number=40, plan_text=40, extra_text=30, kind_text=40, id_text=40, at_text=40
    )
    shape(running, 20_001, events=30, plan_text=30, extra_text=30, kind_text=30, id_text=30, at_text=30)
    shape(running, 20_002, events=3, plan_number=3)
    said = running.run("check", "--preview", "10")
    assert "  no rule file differs" in said
    assert (
        "crm.yaml:11:47: warning[drift] seats came in 100 % of changed until 4 Oct, since then in none\n"
        "   11 |     set: {email: .email, plan: .plan, seats: .seats}\n"
        "      |                                               ^^^^^\n"
    ) in said
    assert "not read by any rule:\n  crm changed                        .extra 82 %" in said
    assert said.splitlines()[-1] == "0 rule files changed, 1 rule, 1 test passed, 0 errors, 3 warnings"


def test_a_kind_that_flipped_is_told_too(running: World) -> None:
    shape(running, 20_000, events=40, seats_number=40)
    shape(running, 20_001, events=40, seats_text=40)
    assert "seats was number in 100 % of changed until 4 Oct, since then text" in running.run("check", "--preview", "1")


def test_a_type_that_no_rule_is_for_is_listed(running: World) -> None:
    edit(running, "    user: .user", "    when: changed\n    user: .user")
    running.store.write(lambda tx: shapes.add(tx, {Place("crm", "left", 20_000, ".", "object"): 7}))
    assert "crm left                           no rule is for it, 7 seen" in running.run("check", "--preview", "1")


def test_the_samples_are_enough_where_there_is_no_store(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "main"
    shutil.copytree(world.rules, other)
    edit(world, "seats: .seats", "seats: .seats, name: .plan")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    said = world.run("check", "--preview", "0", "--against", str(other), code=1)
    assert f"{other} → files on disk, the samples of crm" in said
    assert '    profile.name   added as "a"       1 person   crm.changed.json' in said
    assert not (tmp_path / "none.db").exists()
    said = world.run("check", "--preview", "0", code=2)
    assert "2 rule files, 1 rule, " in said, "what the check itself found comes first"
    assert said.splitlines()[-1].startswith("error: no rules ran here yet")
    document, _, error = world.run("check", "--preview", "0", "--format", "json", code=2).partition("\n")
    assert (json.loads(document)["preview"], error[:7]) == (None, "error: ")
    assert "run `router migrate`" in world.run("check", "--preview", "9", "--against", str(other), code=2)


def test_the_events_of_other_sources_are_not_looked_at(running: World) -> None:
    text = (running.rules / "crm.yaml").read_text().replace("name: crm", "name: erp")
    (running.rules / "erp.yaml").write_text(text)
    said = running.run("check", "--preview", "100")
    assert "no events of erp" in said
    assert "every payload is equal" not in said


@pytest.mark.parametrize("count", ["1", "2", "600"])
def test_the_newest_events_count(running: World, count: str) -> None:
    for n in range(5, 5 + 510):
        put(running.store, n, user="u9", plan="x")
    edit(running, "plan: .plan", "plan: .plan | upper")
    said = running.run("check", "--preview", count, "--format", "json", code=1)
    assert json.loads(said)["preview"]["events"] == min(int(count), 514)


def test_json_and_github_carry_it(running: World) -> None:
    edit(running, "seats: .seats", "seats: .seats else 1")
    document = json.loads(running.run("check", "--preview", "9", "--format", "json", code=1))
    assert document["files_changed"] == 1
    assert document["errors"] == 1
    (rule,) = document["preview"]["rules"]
    assert (rule["rule"], rule["destination"], rule["changed"], rule["equal"]) == ("crm/person", "app", 2, 1)
    assert rule["fields"][0]["after"] == "1"
    said = running.run("check", "--preview", "9", "--format", "github", code=1)
    assert (
        "crm.yaml,line=9,title=preview::crm/person → app: 1 equal, 2 changed, 0 added, 0 gone; profile.seats added"
        in said
    )


def test_rules_with_errors_are_not_compared(running: World) -> None:
    edit(running, "plan: .plan", "plan: .plan | lowr")
    said = running.run("check", "--preview", "9", code=1)
    assert "unknown-function" in said
    assert "→ files on disk" not in said


def test_against_needs_a_number(world: World) -> None:
    assert "--against needs --preview N" in world.run("check", "--against", str(world.rules), code=2)


def test_an_event_that_cannot_be_opened_any_more_is_no_trouble(running: World) -> None:
    edit(running, "identity:", "envelope: {events: '.items[]'}\n  identity:")
    said = running.run("check", "--preview", "9", code=1)
    assert "now failed" in said


def test_errors_leave_no_preview_and_that_is_said(running: World) -> None:
    path = running.rules / "crm.yaml"
    path.write_text(path.read_text().replace("plan: .plan", "plna: .plan"))
    said = running.run("check", "--preview", "9", code=1)
    assert "\nno preview: mend the errors first\n2 rule files, 1 rule, " in said
    document = json.loads(running.run("check", "--preview", "9", "--format", "json", code=1))
    assert (document["errors"], document["preview"]) == (1, None)
    assert "preview" not in json.loads(running.run("check", "--format", "json", code=1))
    assert "no preview" not in running.run("check", code=1)

"""The commands, against a real store and the sandbox."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection

from router.cli.context import prefix_of, store_name
from router.cli.filters import FilterError, read_filter
from router.cli.main import main
from router.cli.masking import masked, shown
from router.cli.sandboxing import announce
from router.dispatch.rules import Rules, load_project
from router.dispatch.worker import Worker
from router.model import Event, Op, OpKind
from router.profile.codec import dump_registers, load_registers
from router.ruleset.project import CANNOT_ERASE
from router.settings import Settings, read_settings
from router.store import destinations, listing
from tests.cli.conftest import SAMPLE, SOURCE, World, put, settled
from tests.dispatch.conftest import wait


def first_id(text: str, prefix: str) -> str:
    found = re.search(rf"{prefix}_\w+", text)
    assert found, text
    return found[0]


def route(world: World) -> None:
    """Route and send what is there, by the rules as they are now."""
    settings = read_settings()
    worker = Worker(world.store, load_project(settings), settings, key=settings.key)
    worker.start()
    wait(lambda: settled(world.store))
    assert worker.stop()


def views(event: str, delivery: str, profile: str) -> list[list[str]]:
    """The commands that show what is stored of an event, a delivery and a person."""
    one = [["events", event], ["deliveries", delivery], ["explain", event], ["profile", profile]]
    return [["events"], ["deliveries"], *one]


# --- rules --------------------------------------------------------------------------------------------------------


def test_check_is_clean_and_says_what_it_looked_at(world: World) -> None:
    assert "2 rule files, 1 rule, 1 test passed, 0 errors" in world.run("check")


def test_check_points_at_the_mistake_and_ends_with_1(world: World) -> None:
    path = world.rules / "crm.yaml"
    path.write_text(path.read_text().replace("plan: .plan", "plna: .plan"))
    said = world.run("check", code=1)
    assert "crm.yaml:11:26: error[unknown-trait] unknown trait 'plna'" in said
    assert "did you mean 'plan'?" in said
    (problem,) = [
        p for p in json.loads(world.run("check", "--format", "json", code=1))["problems"] if p["severity"] == "error"
    ]
    assert (problem["line"], problem["column"], problem["code"]) == (11, 26, "unknown-trait")
    assert "::error file=" in world.run("check", "--format", "github", code=1)
    said = world.run("work", code=2).splitlines()
    assert said[0].startswith(f"{prefix_of(world.rules)}crm.yaml:11:26: error[unknown-trait]"), (
        "a worker does not start"
    )
    assert said[1:] == ["error: the rules are refused: 1 error; see `router check`"], "and tells no warnings"


def test_a_missing_secret_is_named_and_nothing_starts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APP_KEY")
    assert "$env.APP_KEY is not set" in world.run("work", code=2)
    assert "$env.APP_KEY is not set" in world.run("serve", code=2)
    assert "✕ $env.APP_KEY is not set" in world.run("doctor", code=1)
    assert "secret-unset" in world.run("check")


def test_tests_of_rules_run_and_a_failure_shows_the_difference(world: World) -> None:
    assert world.run("test").splitlines()[-1].startswith("1 passed, 0 failed; 1 of 1 rules, ")
    path = world.rules / "crm.yaml"
    path.write_text(path.read_text().replace("{plan: a}", "{plan: b}"))
    said = world.run("test", str(world.rules), "crm/person", code=1)
    assert '- app.profile.plan: "b"' in said
    assert '+ app.profile.plan: "a"' in said
    for word, hint in {
        "crm/persn": "did you mean 'crm/person'?",
        "person": "did you mean 'crm/person'?",
        "persno": "did you mean 'crm/person'?",
        "crn": "did you mean 'crm'?",
        "zzzz": "there are crm, crm/person",
    }.items():
        said = world.run("test", "crm/person", word, code=2)
        assert said == f"error: no rule, source or directory {word!r}; {hint}\n"
    path.write_text(path.read_text().partition("    tests:")[0])
    assert world.run("test", "crm/person", code=2) == "error: no tests of crm/person\n"
    path.write_text(SOURCE.replace("{plan: a}", "{plan: b}"))
    test, sums = map(json.loads, world.run("test", "--json", code=1).splitlines())
    assert (test["passed"], test["file"].endswith("rules/crm.yaml")) == (False, True)
    assert (sums["passed"], sums["failed"]) == (0, 1)


def test_what_tests_do_not_reach_fails_only_on_request(world: World) -> None:
    assert re.search(r"not reached by any test:\n  \S+crm.yaml:11:\d+ crm/person: \.\w+ never gave", world.run("test"))
    world.run("test", "--require-branches", code=1)
    *_, sums = map(json.loads, world.run("test", "--json", "--require-branches", code=1).splitlines())
    assert [each["line"] for each in sums["unreached"]] == [11, 11]
    path = world.rules / "crm.yaml"
    path.write_text(path.read_text().replace("email: .email, plan: .plan, seats: .seats", "plan: .plan"))
    assert "not reached" not in world.run("test", "--require-branches")


def test_explain_shows_a_file_in_clear_and_a_stored_event_masked(world: World) -> None:
    path = str(world.rules / "samples" / "crm.changed.json")
    assert 'set.plan         "a"' in world.run("explain", path)
    event = first_id(world.run("events", "state:routed", "--json").splitlines()[-1], "ev")
    said = world.run("explain", event)
    assert "ann@example.com" not in said
    assert "j…" in said or "a…@e….com" in said
    assert '"pro"' in said, "the trait is public"
    assert "ann@example.com" in world.run("explain", event, "--reveal", "ticket 7")
    with world.store.read() as tx:
        assert tx.exec_driver_sql("SELECT action, reason FROM audit").all() == [("reveal", "ticket 7")]
    assert json.loads(world.run("explain", path, "--json"))["state"] == "routed"


def test_nothing_that_came_with_an_event_moves_a_cursor(world: World) -> None:
    """Type, id, keys and values are the sender's, and a terminal obeys them if they are printed as they came."""
    bad = "\x1b[2J\x9b\x7f\u202e\u2028김"
    when = datetime.now(UTC)
    body = {
        "kind": f"k{bad}",
        "id": f"e{bad}",
        "at": when.isoformat(),
        "user": f"u\u202e{1}",
        "plan": bad,
        bad: {bad: 1},
    }
    event = Event("crm", f"e{bad}", f"k{bad}", when, when, body=json.dumps(body).encode())
    world.store.put_events([event])
    route(world)
    ev = first_id(world.run("events", "--limit", "1", "--json"), "ev")
    dl = first_id(world.run("deliveries", "--limit", "1", "--json"), "dl")
    who = "u\u202e1"
    other = world.rules.with_name("other")
    shutil.copytree(world.rules, other)
    (other / "crm.yaml").write_text(SOURCE.replace("plan: .plan", "plan: .kind"))
    for words in (
        *views(ev, dl, who),
        ["profile", who, "--timeline", "--reveal", "test"],
        ["sources"],
        ["sources", "crm"],
        ["check", "--preview", "10", "--against", str(other)],
    ):
        for form in ([], ["--json"]) if words[0] != "check" else ([], ["--format", "json"], ["--format", "github"]):
            result = world.runner.invoke(main, [*words, *form])
            assert all(line.isprintable() for line in result.output.split("\n")), words
            if words[0] in {"events", "explain"}:
                assert "\\u001b[2J\\u009b\\u007f\\u202e\\u2028김" in result.output
    assert json.loads(world.run("events", "--limit", "1", "--json"))["type"] == f"k{bad}"
    assert "error: nothing is known of \\u202e" in world.run("profile", "\u202e", code=1)
    (world.rules / "crm.yaml").write_text(SOURCE.replace("person:", '"\\u202e": {}\n  person:'), "utf-8")
    said = world.run("explain", ev, code=2)
    assert "'\\u202e' is not a name here" in said
    assert said.count("\n") > 1
    assert all(line.isprintable() for line in said.split("\n"))


def test_explain_reads_standard_input_and_says_what_is_missing(world: World) -> None:
    body = json.dumps({**SAMPLE["body"], "user": None})  # type: ignore[dict-item]
    assert "failed" in world.run("explain", "-", "--source", "crm", code=1, stdin=body)
    assert "--source" in world.run("explain", "-", code=2, stdin=body)
    for nothing in ("nothing.json", "samples/nothing.json"):
        said = world.run("explain", nothing, code=1)
        assert said == f"error: {nothing} is no file, and no event has this id, ours or its sender's\n"
    assert "not JSON" in world.run("explain", "-", "--source", "crm", code=2, stdin="{")
    assert "no source 'x'" in world.run("explain", "-", "--source", "x", code=2, stdin="{}")
    assert "no such event" in world.run("explain", "ev_0000000000001", code=1)


def test_explain_takes_samples_as_send_does(world: World) -> None:
    said = world.run("explain", str(world.rules / "samples" / "crm.changed.json"))
    assert world.run("explain", "crm/changed") == world.run("explain", "crm.changed.json") == said
    assert said == world.run("explain", "crm/changed", "--rules", str(world.rules))
    assert world.run("explain", "crm/chnaged", code=2) == (
        "error: no sample of crm for 'chnaged'; did you mean crm/changed?\n"
    )
    assert world.run("explain", "crn/changed", code=2) == "error: no source 'crn'; did you mean 'crm'?\n"
    assert world.run("explain", "crm", code=2) == "error: say which sample of crm; there is crm/changed\n"
    when = datetime(2026, 1, 1, tzinfo=UTC)
    body = json.dumps({"kind": "changed", "id": "crm/7", "at": when.isoformat(), "user": "u1"}).encode()
    world.store.put_events([Event("crm", "crm/7", "changed", when, datetime.now(UTC), body=body)])
    assert "changed crm/7 2026" in world.run("explain", "crm/7"), "an id may look like a sample"


def test_schema_is_written_where_the_files_name_it(world: World) -> None:
    assert json.loads(world.run("schema"))["$schema"].startswith("http://json-schema.org/draft-07")
    _, line = world.run("schema", "--write").splitlines()
    assert line.startswith("# yaml-language-server: $schema=")
    assert (world.rules / line.partition("=")[2]).exists()
    path = world.rules / "crm.yaml"
    path.write_text(f"{line}\n{path.read_text()}")
    assert "0 errors" in world.run("check")


# --- lists --------------------------------------------------------------------------------------------------------


def test_events_are_listed_newest_first_and_one_in_full(world: World) -> None:
    rows = [json.loads(line) for line in world.run("events", "--json").splitlines()]
    assert [(row["external_id"], row["state"]) for row in rows] == [
        ("e4", "routed"),
        ("e3", "failed"),
        ("e2", "routed"),
        ("e1", "routed"),
    ]
    assert "1 of 4   more: --cursor" in (page := world.run("events", "--limit", "1"))
    assert "e4" not in world.run("events", "--json", "--cursor", first_id(page.splitlines()[-1], "ev"))
    assert "user is blank" in world.run("events", "state:failed") or "user" in world.run("events", "state:failed")
    one = world.run("events", rows[3]["id"])
    assert "sender's id   e1" in one
    assert json.loads(world.run("events", rows[3]["id"], "--json"))["deliveries"][0]["state"] in {
        "delivered",
        "superseded",
    }
    assert "no such event" in world.run("events", "ev_0000000000001", code=1)


def test_an_event_is_found_by_its_senders_id_if_one_has_it(world: World) -> None:
    number = first_id(world.run("events", "external:e1"), "ev")
    assert world.run("events", "e1") == world.run("events", number)
    assert world.run("explain", "e1") == world.run("explain", number)
    when = datetime(2026, 1, 1, tzinfo=UTC)
    body = json.dumps({"kind": "changed", "id": "ev_1", "at": when.isoformat(), "user": "u1"}).encode()
    event = Event("crm", "ev_1", "changed", when, datetime.now(UTC), body=body)
    world.store.put_events([event, replace(event, source="erp", external_id="e1")])
    assert "sender's id   ev_1" in world.run("events", "ev_1"), "it looks like one of ours"
    for command in ("events", "explain"):
        said = world.run(command, "e1", code=2)
        assert said == "error: several senders gave an event the id e1: see router events external:e1\n"
        assert "error: no such event: 'ev_2' is not an id" in world.run(command, "ev_2", code=1)
    assert "'e9' is not key:value" in world.run("events", "e9", code=2)


def test_deliveries_are_listed_and_one_shows_its_calls(world: World) -> None:
    said = world.run("deliveries", "state:rejected destination:app")
    assert "u2" in said
    assert "u1" not in said
    (row,) = [json.loads(line) for line in world.run("deliveries", "profile:u2", "--json").splitlines()]
    assert (row["state"], row["tries"], row["masked"]) == ("rejected", 1, True)
    one = world.run("deliveries", row["id"], "--utc")
    assert "PUT /app/open/v5/users/@u2   400" in one
    assert "set text(4)" in one
    assert json.loads(world.run("deliveries", row["id"], "--json"))["attempts"][0]["status"] == 400
    assert "no such delivery" in world.run("deliveries", "dl_0000000000001", code=1)
    assert world.run("deliveries", "since:1h type:chan*", "--all").count("crm/person") == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sate:rejected", "no key 'sate'; did you mean 'state'?\n  sate:rejected\n  ^^^^"),
        ("state:rejectd", "no state 'rejectd'; did you mean 'rejected'?\n  state:rejectd\n        ^^^^^^^"),
        ("rejected", "'rejected' is not key:value\n  rejected\n  ^^^^^^^^"),
        ("since:soon", "'soon' is no time"),
        ("destination:chanel", "no destination 'chanel'"),
    ],
)
def test_a_filter_that_cannot_be_read_is_pointed_at(world: World, text: str, says: str) -> None:
    assert says in world.run("deliveries", text, code=2)


@pytest.mark.parametrize("command", ["events", "deliveries"])
def test_a_source_that_neither_rules_nor_store_know_is_refused(world: World, command: str) -> None:
    put(world.store, 9, user="u1")
    world.store.write(lambda tx: tx.exec_driver_sql("UPDATE events SET source = 'gone' WHERE external_id = 'e9'"))
    said = world.run(command, "source:crn", code=2)
    assert said == "error: no source 'crn'; did you mean 'crm'?\n  source:crn\n         ^^^\n"
    assert "no source 'other'" in world.run(command, "source:crm,other", code=2)
    assert "no source" not in world.run(command, "source:crm,gone source:cr*")
    (world.rules / "crm.yaml").write_text("source: {name: crm}\n")
    assert "no source" not in world.run(command, "source:crn"), "the store can be looked at while the rules are broken"


def test_filters_take_times_and_several_values() -> None:
    wanted = read_filter("state:a,b since:2026-01-01 before:2d", ["state"], {})
    assert wanted.values == {"state": ["a", "b"]}
    assert wanted.since == 1_767_225_600_000_000
    assert wanted.before is not None
    with pytest.raises(FilterError):
        read_filter("state:", listing.EVENT_KEYS, {})


# --- people -------------------------------------------------------------------------------------------------------


def test_profile_says_what_is_held_and_why_masked(world: World) -> None:
    said = world.run("profile", "u1")
    assert re.search(r'plan +"team" +✓ confirmed .* e4 ← crm/person', said)
    assert "a…@e….com" in said
    assert "ann@example.com" not in said
    assert world.run("profile", "Ann@Example.com") == said, "found by e-mail, too"
    assert "ann@example.com" in world.run("profile", "u1", "--reveal", "asked for it")
    assert "seats" not in world.run("profile", "u1", "--field", "plan")
    assert "200 delivered" in world.run("profile", "u1", "--timeline")
    found = json.loads(world.run("profile", "u1", "--json"))
    assert found["fields"]["plan"]["version"][2] == "e4"
    assert "nothing is known of nobody" in world.run("profile", "nobody", code=1)
    assert "▲ unsure" not in said
    assert "nothing is known" in world.run("profile", "u1", "--destination", "other", code=1)


def test_who_asks_for_an_id_that_is_not_quite_one_is_told_near_ones(world: World) -> None:
    for n, person in enumerate(["liftly-router-sample-1", "liftly-2"]):
        put(world.store, 10 + n, user=person)
    route(world)
    for command in ("profile", "verify"):
        said = world.run(command, "router-sample-1", code=1)
        assert said == "error: nothing is known of router-sample-1; did you mean liftly-router-sample-1?\n"
    assert world.run("profile", "liftly", code=1).endswith("did you mean liftly-2 or liftly-router-sample-1?\n")
    assert world.run("profile", "luftly-2", code=1).endswith("; did you mean liftly-2?\n")
    assert world.run("profile", "nobody", code=1) == "error: nothing is known of nobody\n"
    said = world.run("profile", "u1", "--destination", "other", code=1)
    assert said == "error: nothing is known of u1 at other; there is app\n"


def test_a_telephone_number_is_found_however_it_is_spaced_and_needs_its_countrys_code(world: World) -> None:
    (world.rules / "crm.yaml").write_text(SOURCE.replace("email: .email", "email: .email, phone: .phone"))
    put(world.store, 10, user="u9", phone="+4915123456789")
    route(world)
    for number in ("+4915123456789", "+49 (151) 234-567.89", "0049 151 23456789", " +49 151/23456789"):
        assert world.run("profile", number).startswith("u9\n"), number
    for number in ("0151 23456789", "15123456789"):
        said = world.run("profile", number, code=1)
        assert said.endswith("; numbers are written with the code of their country, as in +49…\n"), number
    assert world.run("profile", "+49 1", code=1) == "error: nothing is known of +49 1\n"


def test_of_a_field_that_is_not_there_profile_names_those_that_are(world: World) -> None:
    said = world.run("profile", "u1", "--field", "paln", code=1)
    assert said == "error: no field 'paln' is known of u1; did you mean 'plan'? There are email, plan, seats\n"
    said = world.run("profile", "u1", "--field", "nonsense", "--json", code=1)
    assert said == "error: no field 'nonsense' is known of u1; there are email, plan, seats\n"
    unsure = dump_registers({"tag:early": None, "tag:vip": None})
    world.store.write(lambda tx: tx.exec_driver_sql("UPDATE lanes SET unsure = ? WHERE profile = 'u1'", (unsure,)))
    rows = world.run("profile", "u1", "--field", "tags").splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["tag:text(5)", "tag:text(3)"]
    assert len(world.run("profile", "u1", "--field", "tag:vip").splitlines()) == 3


def test_tags_are_shown_when_they_are_revealed_and_masked_else(world: World) -> None:
    source = SOURCE.replace("set: {", "tags: .labels\n    set: {")
    (world.rules / "crm.yaml").write_text(source)
    destinations_file = world.rules / "destinations.yaml"
    destinations_file.write_text(destinations_file.read_text() + "    tags: replace\n")
    put(world.store, 11, user="u9", labels=["vip", "new"])
    put(world.store, 12, user="u8", labels=[], plan="pro")
    route(world)
    assert re.search(r"    tags +list\(2\) +✓", world.run("profile", "u9", "--field", "tags"))
    said = world.run("profile", "u9", "--field", "tags", "--reveal", "ticket 7")
    assert re.search(r'    tags +\["new", "vip"\] +✓ confirmed .* e11', said)
    assert re.search(r"    tag:vip +add +✓ confirmed", said)
    assert json.loads(world.run("profile", "u9", "--json"))["fields"]["tags"]["value"] == "list(2)"
    fields = json.loads(world.run("profile", "u9", "--json", "--reveal", "ticket 7"))["fields"]
    assert (fields["tags"]["value"], fields["tag:new"]["value"]) == ('["new", "vip"]', None)
    assert re.search(r"    tags +\[\] +✓", world.run("profile", "u8", "--reveal", "ticket 7"))


def tagged(world: World, *tags: str) -> None:
    """A lane that holds these tags."""

    def hold(tx: Connection) -> None:
        (text,) = tx.exec_driver_sql("SELECT registers FROM lanes WHERE profile = 'u1'").one()
        registers = load_registers(text)
        like = registers["plan"]
        more = {f"tag:{tag}": like._replace(op=Op(OpKind.ADD)) for tag in tags}
        text = dump_registers({**registers, **more})
        tx.exec_driver_sql("UPDATE lanes SET registers = ? WHERE profile = 'u1'", (text,))

    world.store.write(hold)


def test_tags_are_values_of_people_and_masked_in_the_names_of_fields(world: World) -> None:
    tagged(world, "hiv-clinic", "alice@example.com", "vip", "new")
    unsure = dump_registers({"tag:old": None, "tag:bob@example.com": None})
    world.store.write(lambda tx: tx.exec_driver_sql("UPDATE lanes SET unsure = ? WHERE profile = 'u1'", (unsure,)))
    clear = ("hiv-clinic", "alice", "vip", "new", "old", "bob")
    masks = ["tag:a…@e….com", "tag:b…@e….com", "tag:text(10)", "tag:text(3)", "tag:text(3)#2", "tag:text(3)#3"]
    said = world.run("profile", "u1")
    assert not [tag for tag in clear if tag in said]
    assert sorted(re.findall(r"(tag:\S+) +(?:add|unknown) +[✓▲]", said)) == masks
    found = json.loads(world.run("profile", "u1", "--json"))
    assert not [tag for tag in clear if tag in json.dumps(found)]
    assert sorted([*found["fields"], *found["refused"]]) == sorted([*masks, "email", "plan", "seats"])
    assert len(world.run("profile", "u1", "--field", "tags").splitlines()) == 8
    said = world.run("profile", "u1", "--field", "tag:alice@example.net", code=1)
    assert said.endswith(f"there are email, plan, seats, {', '.join(masks)}\n")
    revealed = world.run("profile", "u1", "--reveal", "asked for it")
    assert "tag:alice@example.com    add" in revealed
    assert "tag:bob@example.com" in revealed
    assert "tag:hiv-clinic" in world.run("profile", "u1", "--reveal", "asked for it", "--json")


def test_no_command_shows_a_tag_that_was_not_asked_for(world: World) -> None:
    (world.rules / "crm.yaml").write_text(SOURCE.replace("    tests:", "    tags: .tags\n    tests:"))
    put(world.store, 9, user="u9", plan="pro", tags=["hiv-clinic", "alice@example.com"])
    route(world)
    assert world.sandbox.held("app", "u9") is not None
    world.sandbox.edit("app", "u9", {"tags": ["other-tag"]})
    ev = first_id(world.run("events", "--limit", "1"), "ev")
    dl = first_id(world.run("deliveries", "--limit", "1"), "dl")
    for words in (
        *views(ev, dl, "u9"),
        ["profile", "u9", "--timeline"],
        ["profile", "u9", "--field", "tag:no"],
        ["verify", "u9"],
    ):
        for form in ([], ["--json"]):
            said = world.runner.invoke(main, [*words, *form]).output
            assert said
            assert not [tag for tag in ("hiv-clinic", "alice", "other-tag") if tag in said], words
    assert "tags: expected list(2), holds list(1)" in world.run("verify", "u9", code=1)


def test_one_tag_is_found_by_its_name_and_by_its_mask(world: World) -> None:
    tagged(world, "hiv-clinic", "vip", "new")
    mine = world.run("profile", "u1", "--field", "tag:hiv-clinic")
    assert mine == world.run("profile", "u1", "--field", "tag:text(10)")
    assert re.search(r"^    tag:text\(10\) +add +✓ confirmed", mine.splitlines()[-1])
    assert len(world.run("profile", "u1", "--field", "tag:text(3)#2").splitlines()) == 3
    world.store.write(lambda tx: tx.exec_driver_sql("INSERT INTO lanes (destination, profile) VALUES ('b', 'u1')"))
    assert "    tag:text(10)             nothing is known of it here\n" in world.run(
        "profile", "u1", "--field", "tag:hiv-clinic"
    )


def test_profile_names_the_fields_that_a_refused_change_may_have_written(world: World) -> None:
    unsure = dump_registers({"city": None, "plan": None})
    world.store.write(lambda tx: tx.exec_driver_sql("UPDATE lanes SET unsure = ? WHERE profile = 'u1'", (unsure,)))
    said = world.run("profile", "u1")
    assert re.search(r"city +unknown +▲ unsure   of a refused change: it may be written", said)
    assert re.search(r'plan +"team" +▲ unsure', said)
    assert json.loads(world.run("profile", "u1", "--json"))["refused"] == ["city"]
    assert json.loads(world.run("profile", "u1", "--json", "--field", "plan"))["refused"] == []


def test_people_can_be_looked_at_while_the_rules_are_broken(world: World) -> None:
    path = world.rules / "crm.yaml"
    whole = path.read_text()
    path.write_text(whole.replace("plan: .plan", "plna: .plan"))
    for command in ("profile", "verify"):
        assert "error: the rules are refused: 1 error" in world.run(command, "u1", code=2), "no rules ran here yet"
    path.write_text(whole)
    good = {command: world.run(command, "u1") for command in ("profile", "verify")}
    rules = Rules(read_settings(), role="worker", last=lambda: None)
    revision = rules.start().revision
    rules.record_to(world.store)
    path.write_text(whole.replace("plan: .plan", "plna: .plan"))
    notice = f"notice: the rules are refused, see `router check`; those that ran last are taken: {revision[:7]}\n"
    for command, said in good.items():
        for form in ([], ["--json"]):
            result = world.runner.invoke(main, [command, "u1", *form])
            assert (result.exit_code, result.stderr.startswith(notice)) == (0, True), result.output
            assert form or result.stdout == said
    shutil.rmtree(world.rules)
    assert world.run("profile", "u1") == notice + good["profile"]
    world.store.write(lambda tx: tx.exec_driver_sql('UPDATE revisions SET files = \'{"crm.yaml": "a: 1"}\''))
    assert world.run("profile", "u1", code=2).startswith("error: no rules directory at ")


def test_a_denied_destination_is_seen_everywhere(world: World) -> None:
    def deny(tx: Connection) -> None:
        later = world.store.now_us(tx) + 300_000_000
        destinations.set_state(tx, "app", "denied", "401: not authenticated", later)
        tx.exec_driver_sql("UPDATE deliveries SET state = 'pending', reason = '' WHERE profile = 'u2'")
        tx.exec_driver_sql("UPDATE lanes SET due_at = 1 WHERE profile = 'u2'")

    world.store.write(deny)
    says = "app is denied: 401: not authenticated, next try "
    assert says in world.run("deliveries", "state:pending")
    assert says in world.run("profile", "u2")
    assert says in world.run("deliveries", first_id(world.run("deliveries", "state:pending"), "dl"))
    assert "▲ app is denied: 401: not authenticated" in world.run("doctor")


def test_a_mistyped_id_is_an_error_without_a_traceback(world: World) -> None:
    for words in (["events", "ev_00"], ["deliveries", "dl_00"], ["explain", "ev_00"]):
        assert re.match(r"error: no such \w+: '\w+' is not an id: 13 digits follow ", world.run(*words, code=1))
    assert world.run("events", "--cursor", "zz", code=2).startswith("error: ")


def test_a_sample_in_the_wrong_shape_is_named(world: World) -> None:
    (world.rules / "samples" / "crm.other.json").write_text('{"kind": "other"}')
    assert "samples/crm.other.json:1:1: error[test-sample] samples/crm.other.json has no body" in world.run(
        "check", code=1
    )


def test_verify_reads_back_and_names_what_differs(world: World) -> None:
    assert "1 equal, 0 differs" in world.run("verify", "u1")
    world.sandbox.edit("app", "u1", {"profile": {"plan": "edited"}})
    said = world.run("verify", "u1", code=1)
    assert '    plan: expected "team", holds "edited"' in said
    world.sandbox.edit("app", "u1", {"profile": {"plan": None}})
    assert '    plan: expected "team", holds nothing' in world.run("verify", "u1", code=1)
    found = json.loads(world.run("verify", "u1", "--json", code=1).splitlines()[0])
    assert found["verdict"] == "differs"
    assert "nothing is known" in world.run("verify", "nobody", code=1)


# --- the rest -----------------------------------------------------------------------------------------------------


def test_doctor_finds_a_sound_installation(world: World) -> None:
    said = world.run("doctor")
    assert "✓ equal to the code" in said
    assert "✓ all 3 found" in said
    assert "0 ✕" in said
    assert all(json.loads(line)["verdict"] != "error" for line in world.run("doctor", "--json").splitlines()[:-1])


def test_doctor_tells_of_rules_that_ask_for_what_this_version_cannot_do(world: World) -> None:
    path = world.rules / "crm.yaml"
    text = path.read_text().replace("source:\n", "source:\n  allow_erase: true\n", 1)
    path.write_text(text + "  gone: {when: gone, user: .user, erase: true}\n")
    assert f"rules     ▲ crm/gone: {CANNOT_ERASE}" in world.run("doctor")


def test_doctor_counts_the_errors_and_says_what_runs_instead(world: World) -> None:
    rules = Rules(read_settings(), role="worker", last=lambda: None)
    rules.start()
    rules.record_to(world.store)
    path = world.rules / "crm.yaml"
    path.write_text(path.read_text().replace("plan: .plan", "plna: .plan"))
    assert f"rules     ✕ 1 error; {rules.project.revision[:7]} runs, loaded " in world.run("doctor", code=1)


def test_doctor_and_lists_say_that_there_is_no_store(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///new.db")
    says = f"there is no store sqlite:///{tmp_path}/new.db (from DATABASE_URL, default sqlite:///router.db, relative to"
    assert says in world.run("doctor", code=1)
    assert "run: router migrate" in world.run("doctor", code=1)
    assert says in world.run("events", code=2)
    assert world.run("explain", "crn/changed", code=2) == "error: no source 'crn'; did you mean 'crm'?\n"
    assert says.removesuffix(", relative to") in world.run("explain", "ev_0SA7AWBC4EGRQ", code=2)
    assert world.run("migrate", "--check", code=1) == "not up to date\n"
    assert "CREATE TABLE events" in world.run("migrate", "--sql")
    world.run("migrate")
    assert world.run("migrate", "--check") == "up to date\n"
    assert (tmp_path / "new.db").stat().st_mode & 0o077 == 0, "it holds personal data"
    (tmp_path / "bare.db").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/bare.db")
    assert f"error: the store sqlite:///{tmp_path}/bare.db has no tables" in world.run("events", code=2)
    with sqlite3.connect(tmp_path / "new.db") as store:
        store.execute("UPDATE alembic_version SET version_num = '0000'")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/new.db")
    assert "new.db are another version's: run `router migrate`" in world.run("events", code=2)
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.chdir(world.rules)
    for words in (["events"], ["send", "crm/changed", "--wait"], ["sources"]):
        said = world.run(*words, code=0 if words == ["sources"] else 2)
        assert (
            "by sourcing the file that `make run` or `demo --serve` printed; for a new store run `router migrate`"
            in said
        )


def test_a_store_is_named_without_credentials() -> None:
    settings = Settings(database_url="postgresql+psycopg://ann:pass@db.example.com/router?sslmode=require")
    assert store_name(settings) == "postgresql+psycopg://db.example.com/router"


def test_the_sandbox_can_be_asked_what_it_holds(world: World) -> None:
    found = json.loads(world.run("sandbox", "--held", "u1"))
    assert found["held"]["profile"]["plan"] == "team"
    said = world.run("sandbox", "--held", "nobody", code=1)
    assert said == f"no provider holds anything of nobody: asked app at {world.sandbox.url}\n"
    assert "no destination 'apq'; did you mean 'app'?" in world.run("sandbox", "apq", code=2)


def test_the_sandbox_says_how_its_variables_are_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my sandbox.env"
    announce({"A_KEY": "an odd 'one'"}, path)
    line = capsys.readouterr().err.partition(".env: ")[2]
    done = subprocess.run(["sh", "-c", f'{line.strip()}; echo "$A_KEY"'], capture_output=True, text=True, check=True)
    assert done.stdout == "an odd 'one'\n"


@pytest.mark.parametrize(
    ("value", "mask"),
    [
        (None, "null"),
        (True, "true"),
        (12, "number"),
        ("jane.doe@example.com", "j…@e….com"),
        ("+821012345678", "…78"),
        ("hello", "text(5)"),
        ("call me. jane@example.com. My word is hunter2", "text(45)"),
        ("Jane Doe <jane@x.org>, born 3.4.1980 in Seoul", "text(45)"),
        ("jane@example", "text(12)"),
        ("jane@example.secretword1", "text(24)"),
        ("+82", "text(3)"),
        ("+82101234567890123", "text(18)"),
        ([1, 2], "list(2)"),
        ({"a": 1}, "object(1)"),
    ],
)
def test_masks_tell_type_length_and_ends(value: object, mask: str) -> None:
    assert masked(value) == mask
    assert shown("f", value, reveal=False, public=[]) == mask
    assert shown("f", value, reveal=False, public=["f"]) == json.dumps(value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ROUTER_TIME_SCALE", "fast", "ROUTER_TIME_SCALE is 'fast'"),
        ("ROUTER_TIME_SCALE", "0", "between 0.001 and 100"),
        ("ROUTER_DEV", "maybe", "ROUTER_DEV is 'maybe'"),
        ("ROUTER_SANDBOX", "http://example.com", "on this machine"),
        ("DATABASE_URL", "mysql://x", "sqlite:/// or postgresql://"),
        ("ROUTER_RULES", "/nowhere", "no rules directory at /nowhere"),
        ("PORT", "http", "PORT is 'http'"),
        ("ROUTER_KEY", "short", "shorter than 32"),
    ],
)
def test_a_wrong_setting_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    assert says in world.run("profile", "nobody" if name == "ROUTER_KEY" else "u1", code=2)


def test_check_tells_a_short_secret_from_a_missing_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRM_SECRET")
    assert "$env.CRM_SECRET is not set, or blank" in world.run("check")
    monkeypatch.setenv("CRM_SECRET", "short")
    assert "$env.CRM_SECRET is shorter than 16 bytes" in world.run("check")

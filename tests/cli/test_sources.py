"""`sources`: who may send, and whether they do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router.cli.main import main
from router.store import refusals
from tests.cli.conftest import World


def refuse(world: World, reason: str, status: int, ago_h: int = 0) -> None:
    def write(tx):  # type: ignore[no-untyped-def]
        now = world.store.now_us(tx) - ago_h * 3_600_000_000
        detail = "no signature matches"
        return refusals.record(tx, "crm", now, status=status, reason=reason, detail=detail, address="192.0.2.7", size=9)

    world.store.write(write)


def test_sources_are_listed_with_what_they_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTER_URL", "https://router.example.com")
    (world.rules / "slack.yaml").write_text("source: {name: slack, secret: $env.NOT_SET}\nrules: {}\n")
    refuse(world, "signature", 401)
    refuse(world, "signature", 401)
    refuse(world, "malformed", 400)
    refuse(world, "too-large", 413, ago_h=25)
    header, crm, slack = world.run("sources").splitlines()
    assert header.split("   ")[0] == "NAME"
    for part in ("hmac-sha256 in x-signature", "✓ set", "changed", "   4   ", "1 malformed, 2 signature"):
        assert part in crm, part
    assert crm.endswith("https://router.example.com/webhooks/crm")
    assert "too-large" not in crm, "it was longer ago than 24 h"
    assert "json-challenge   ✕ missing" in slack
    assert "   0   " in slack


def test_one_source_in_full(world: World) -> None:
    refuse(world, "signature", 401)
    said = world.run("sources", "crm", "--utc")
    for line in (
        "  scheme       hmac-sha256 in x-signature",
        "  id           .id",
        "  version      none",
        "  ack          200 {}",
        "  rule         crm/person   when *",
        "  24 h         4 stored   refused 1 signature",
        "  sent         changed   4 of the last 4",
    ):
        assert line in said.splitlines(), line
    assert "401 signature   192.0.2.7   no signature matches" in said
    assert "   changed   ✓ routed" in said
    assert "no source 'crn'; did you mean 'crm'?" in world.run("sources", "crn", code=1)
    assert "there is crm\n" in world.run("sources", "zzzz", code=1)


def test_json_has_every_field_and_no_secret(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(world, "signature", 401)
    (listed,) = [json.loads(line) for line in world.run("sources", "--json").splitlines()]
    one = json.loads(world.run("sources", "crm", "--json"))
    assert one.keys() - listed.keys() == {"types", "refusals"}
    assert (one["events_24h"], one["refusals_24h"], one["types"]) == (4, {"signature": 1}, {"changed": 4})
    assert one["last_event"]["type"] == "changed"
    assert one["refusals"][0].keys() == {
        "id", "refused_at", "status", "reason", "detail", "size", "address", "user_agent",
    }  # fmt: skip
    assert one["identity"] == {"type": ".kind", "id": ".id", "time": ".at", "version": None}
    assert (one["secret"], one["secret_problems"]) == ("set", [])
    monkeypatch.setenv("CRM_SECRET", "short")
    problem = json.loads(world.run("sources", "crm", "--json"))
    assert problem["secret"] == "too short"
    assert problem["secret_problems"] == ["$env.CRM_SECRET is shorter than 16 bytes"]
    assert "hmac-sha256 in x-signature               ✕ too short" in world.run("sources")
    assert "error: $env.CRM_SECRET gives a key of fewer than 16 bytes" in world.run("send", "crm/changed", code=2)
    monkeypatch.delenv("CRM_SECRET")
    problem = json.loads(world.run("sources", "crm", "--json"))
    assert (problem["secret"], problem["secret_problems"]) == ("missing", ["$env.CRM_SECRET is not set, or blank"])
    monkeypatch.setenv("CRM_SECRET", "crm-secret-that-nobody-may-see")
    assert "that-nobody-may-see" not in world.run("sources", "crm", "--json") + world.run("sources")


def test_a_preset_is_shown_as_it_was_laid_over(world: World) -> None:
    (world.rules / "okta.yaml").write_text(
        "source: {name: okta, secret: $env.OKTA, identity: {version: .version}, keep: [$query.tenant]}\n"
        "to: app\nrules: {any: {when: [user.*, group.*], user: .id, set: {email: .email}}}\n"
    )
    (world.rules / "lines.yaml").write_text(
        "source: {name: logs, preset: auth0-logs, secret: $env.LOGS, envelope: lines, handshake: none}\nrules: {}\n"
    )
    one = json.loads(world.run("sources", "okta", "--json"))
    assert one["preset"] == "okta"
    assert one["identity"] == {"type": ".eventType", "id": ".uuid", "time": ".published", "version": ".version"}
    assert one["envelope"] == {"format": "json", "events": ".data.events[]"}
    assert one["handshakes"] == ["okta"]
    assert one["keep"] == ["$query.tenant"]
    assert one["rules"] == {"okta/any": ["user.*", "group.*"]}
    logs = json.loads(world.run("sources", "logs", "--json"))
    assert (logs["preset"], logs["envelope"], logs["handshakes"]) == ("auth0-logs", {"format": "lines"}, [])
    assert "last event   none yet" in world.run("sources", "logs")


def test_a_removed_source_is_shown_as_such_and_cannot_be_imitated(world: World) -> None:
    (world.rules / "gone.yaml").write_text("source: {name: stripe, removed: true}\nrules: {}\n")
    (world.rules / "samples" / "stripe.customer.updated.json").write_text('{"body": {"type": "customer.updated"}}')
    (line,) = [line for line in world.run("sources").splitlines() if line.startswith("stripe ")]
    assert "removed: answered 410   " in line
    assert "  scheme       removed: answered 410" in world.run("sources", "stripe").splitlines()
    one = json.loads(world.run("sources", "stripe", "--json"))
    assert (one["removed"], one["scheme"], one["secret"], one["ack"]) == (True, None, "none", None)
    assert "stripe" not in world.run("send", "--list")
    assert "no source 'stripe'" in world.run("send", "stripe/customer.updated", code=2)
    assert "no source" in world.run("send", "stripe.customer.updated.json", code=2)


def test_without_a_store_the_table_is_printed_with_a_notice(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    result = world.runner.invoke(main, ["sources"])
    assert result.exit_code == 0
    assert "hmac-sha256 in x-signature" in result.stdout
    assert "notice: there is no store sqlite:////" in result.stderr
    assert "router migrate" in result.stderr
    one = json.loads(world.runner.invoke(main, ["sources", "crm", "--json"]).stdout)
    assert (one["last_event"], one["events_24h"], one["refusals_24h"], one["types"]) == (None, None, None, None)
    assert not (tmp_path / "none.db").exists(), "looking makes nothing"


def test_broken_rules_are_an_error(world: World) -> None:
    (world.rules / "crm.yaml").write_text("source: {name: crm}\n")
    assert "missing-key" in world.run("sources", code=2)

"""Real processes: web and workers that are killed, and workers side by side on one database."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from router.cli.posting import post
from router.cli.stack import Stack
from router.cli.webhooks import Overrides, compose
from router.model import Event
from router.sandbox import Fault, FaultKind
from router.store import lanes, listing
from tests.dispatch.conftest import wait

DESTINATIONS = """
traits: {plan: text, seats: number}
destinations:
  app:
    provider: http
    method: PUT
    url: https://app.example.com/people/{user}
    auth: {bearer: $env.APP_TOKEN}
    into: attributes
    once: set
    clear: send-null
    tags: replace
"""
SOURCE = """
source:
  name: crm
  secret: $env.CRM_SECRET
  verify: {scheme: hmac, header: X-Signature}
  identity: {type: .kind, id: .id, time: .at}
to: app
rules:
  person:
    user: .user
    set: {email: .email, plan: .plan, seats: .seats}
    once: {job_title: .title}
    tags: {add: .add, remove: .remove}
"""
SAMPLE = {"body": {"kind": "changed", "id": "s1", "at": "2026-01-01T00:00:00Z", "user": "u1", "plan": "a"}}
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    directory = tmp_path / "rules"
    (directory / "samples").mkdir(parents=True)
    (directory / "destinations.yaml").write_text(DESTINATIONS)
    (directory / "crm.yaml").write_text(SOURCE)
    (directory / "samples" / "crm.changed.json").write_text(json.dumps(SAMPLE))
    return directory


def database(kind: str, request: pytest.FixtureRequest) -> str | None:
    return None if kind == "sqlite" else request.getfixturevalue("postgres_url")


def migrated(url: str | None) -> str | None:
    if url is not None:
        from router.store import migrations

        migrations.upgrade(url)
    return url


def workers_of(stack: Stack) -> list[int]:
    """Process ids of the workers that said they are ready, newest last."""
    return [int(pid) for pid in re.findall(r"worker (\d+) ready", stack.log.read_text("utf-8", "replace"))]


def send(stack: Stack, user: str, event_id: str, **body: Any) -> int:
    put = {f".{name}": value for name, value in body.items()}
    sample = stack.project.samples["crm.changed.json"]
    signed = compose(stack.project, sample, Overrides(put, user=user, id=event_id), datetime.now(UTC))
    return post(stack.door, stack.settings.url, signed)[0].status


def settled(stack: Stack) -> bool:
    with stack.store.read() as tx:
        return not listing.tally(tx)["events"].get("received") and not lanes.busy(tx)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_worker_killed_between_success_and_settling_costs_one_explained_call(
    kind: str, rules: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = migrated(database(kind, request))
    with Stack(rules, tmp_path, database_url=url, extra={"ROUTER_TIME_SCALE": "0.05"}) as stack:
        wait(lambda: len(workers_of(stack)) == 1)
        stack.sandbox.fault("app", Fault(FaultKind.HOLD))
        assert send(stack, "u1", "e1", plan="pro") == 200
        wait(lambda: any(call.applied for call in stack.sandbox.calls("app")))
        os.kill(workers_of(stack)[0], signal.SIGKILL)
        stack.sandbox.heal("app")
        wait(lambda: len(workers_of(stack)) == 2)
        wait(lambda: settled(stack), 30)
        calls = stack.sandbox.calls("app")
        assert len(calls) == 2
        assert len({call.headers["idempotency-key"] for call in calls}) == 1
        assert len({call.headers["router-attempt"] for call in calls}) == 2
        held = stack.sandbox.held("app", "u1")
        with stack.store.read() as tx:
            attempts = listing.attempts_of(tx, "app", "u1")
            (delivery,) = listing.list_deliveries(tx, listing.Wanted(), 10)
    assert held is not None
    assert held["attributes"]["plan"] == "pro"
    assert [(a.outcome, a.reason, bool(a.ambiguous)) for a in attempts] == [
        ("retry", "lease lapsed", True),
        ("delivered", "", False),
    ]
    assert attempts[0].token == calls[0].headers["router-attempt"].partition(".")[0]
    assert delivery.state == "delivered"


def test_a_webhook_that_was_answered_survives_a_killed_web(rules: Path, tmp_path: Path) -> None:
    with Stack(rules, tmp_path, extra={"ROUTER_TIME_SCALE": "0.1"}) as stack:
        stack.sandbox.fault("app", Fault(FaultKind.STATUS, 500))
        answered = [f"e{n}" for n in range(20) if send(stack, f"u{n}", f"e{n}", plan="a") == 200]
        assert stack.process is not None
        os.killpg(stack.process.pid, signal.SIGKILL)
        stack.process.wait()
        with stack.store.read() as tx:
            stored = {row.external_id for row in listing.list_events(tx, listing.Wanted(), None)}
        assert stored == set(answered)
        stack.sandbox.heal("app")
        stack.start()
        wait(lambda: settled(stack), 90)
        assert all(stack.sandbox.held("app", f"u{n}") for n in range(20))


def test_a_stop_ends_everything_in_time_with_exit_code_0(rules: Path, tmp_path: Path) -> None:
    with Stack(rules, tmp_path) as stack:
        assert send(stack, "u1", "e1", plan="a") == 200
        wait(lambda: settled(stack))
        workers = workers_of(stack)
        assert stack.stop() == 0
        for pid in workers:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def change(rng: random.Random, n: int) -> dict[str, Any]:
    """One change of one of 500 people, at a time of its own within a day, in any order."""
    body: dict[str, Any] = {"kind": "changed", "id": f"e{n:05}", "user": f"u{rng.randrange(500)}"}
    body["at"] = (START + timedelta(seconds=rng.randrange(86_400))).isoformat()
    for name, values in {"plan": ["a", "b", "c"], "seats": [1, 2, 3, 4], "email": [f"m{n}@example.com"]}.items():
        if rng.random() < 0.6:
            body[name] = rng.choice(values)
    if rng.random() < 0.3:
        body["add"] = rng.sample(["x", "y", "z"], 2)
    if rng.random() < 0.3:
        body["remove"] = [rng.choice(["x", "y", "z"])]
    return body


def final(bodies: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Everybody's newest state, the plain way: one change after the other, by time and id."""
    people: dict[str, dict[str, Any]] = defaultdict(dict)
    tags: dict[str, set[str]] = defaultdict(set)
    for body in sorted(bodies, key=lambda b: (b["at"], b["id"])):
        user = body["user"]
        people[user].update({k: body[k] for k in ("plan", "seats", "email") if k in body})
        if "add" in body or "remove" in body:
            added = set(body.get("add", ()))
            tags[user] = tags[user] - (set(body.get("remove", ())) - added) | added
            people[user]["tags"] = sorted(tags[user])
    return people


@pytest.mark.parametrize(("kind", "changes"), [("postgresql", 10_000), ("sqlite", 2_000)])
def test_two_workers_bring_everybody_to_the_newest_state_and_never_share_a_lane(
    kind: str, changes: int, rules: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rng = random.Random(7)
    bodies = [change(rng, n) for n in range(changes)]
    url = migrated(database(kind, request))
    with Stack(rules, tmp_path, workers=2, database_url=url) as stack:
        wait(lambda: len(workers_of(stack)) == 2, 30)
        for start in range(0, changes, 500):
            events = [
                Event("crm", b["id"], b["kind"], datetime.fromisoformat(b["at"]), START, body=json.dumps(b).encode())
                for b in bodies[start : start + 500]
            ]
            stack.store.put_events(events, timeout_s=30)
        wait(lambda: settled(stack), 120)
        people = final(bodies)
        for user, expected in people.items():
            held = stack.sandbox.held("app", user) or {"attributes": {}}
            assert held["attributes"] == expected, user
        calls = stack.sandbox.calls("app")
        with stack.store.read() as tx:
            workers = {row[0] for row in tx.exec_driver_sql("SELECT DISTINCT worker FROM attempts")}
            states = listing.tally(tx)
    assert len(workers) == 2, "both took part"
    assert states["events"] == {"routed": changes}
    assert set(states["deliveries"]) <= {"delivered", "unchanged", "superseded"}
    by_lane = defaultdict(list)
    for call in calls:
        by_lane[call.path].append((call.arrive_us, call.finish_us))
    for intervals in by_lane.values():
        for (_, finish), (arrive, _) in pairwise(sorted(intervals)):
            assert finish is not None
            assert finish <= arrive, "two calls for one person at a time"


def test_the_demo_converges_and_ends_by_itself() -> None:
    command = [sys.executable, "-m", "router", "demo", "--people", "5", "--events", "20"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "story      ✓ 18 of 18 copies are as the rules say" in run.stdout
    assert "crowd      ✓ 20 of 20 copies are as the rules say" in run.stdout
    assert "sandbox-not-a-secret" not in run.stdout + run.stderr

"""A small router with three people in it, and the commands to look at it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from router.cli.fakes import fake_environment, sandbox_destinations
from router.cli.main import main
from router.dispatch.rules import load_project
from router.dispatch.worker import Worker
from router.model import Event
from router.sandbox import Fault, FaultKind, Sandbox
from router.settings import Settings, read_settings
from router.store import lanes, listing
from router.store.base import Store
from router.store.store import open_store
from tests.dispatch.conftest import wait
from tests.processes.test_processes import SAMPLE

START = datetime(2026, 1, 1, tzinfo=UTC)
DESTINATIONS = """
traits: {plan: {type: text, public: true}, seats: number}
destinations:
  app:
    provider: channel
    api_version: v5
    key: $env.APP_KEY
    secret: $env.APP_SECRET
    clear: keep
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
    tests:
      - given: crm.changed.json
        expect:
          app: {profile: {plan: a}}
"""


@dataclass
class World:
    """What the commands look at."""

    store: Store
    sandbox: Sandbox
    rules: Path
    runner: CliRunner

    def run(self, *words: str, code: int = 0, stdin: str | None = None) -> str:
        """Run a command; its output. Fails if it ends with another code."""
        result: Result = self.runner.invoke(main, list(words), input=stdin)
        assert result.exit_code == code, result.output
        return result.output


def put(store: Store, n: int, **body: object) -> None:
    when = START + timedelta(minutes=n)
    data = {"kind": "changed", "id": f"e{n}", "at": when.isoformat(), **body}
    store.put_events([Event("crm", f"e{n}", "changed", when, datetime.now(UTC), body=json.dumps(data).encode())])


def settled(store: Store) -> bool:
    with store.read() as tx:
        return not listing.tally(tx)["events"].get("received") and not lanes.busy(tx)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> Iterator[World]:
    rules = tmp_path / "rules"
    (rules / "samples").mkdir(parents=True)
    (rules / "destinations.yaml").write_text(DESTINATIONS)
    (rules / "crm.yaml").write_text(SOURCE)
    (rules / "samples" / "crm.changed.json").write_text(json.dumps(SAMPLE))
    bare = load_project(Settings(rules=rules), reveal=str)
    for name, value in {
        **fake_environment(bare),
        "DATABASE_URL": sqlite_url,
        "ROUTER_RULES": str(rules),
        "ROUTER_KEY": "k" * 40,
        "ROUTER_DEV": "1",
        "ROUTER_TIME_SCALE": "0.05",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ROUTER_SANDBOX", raising=False)
    with Sandbox(sandbox_destinations(bare)) as sandbox:
        monkeypatch.setenv("ROUTER_SANDBOX", sandbox.url)
        store = open_store(sqlite_url)
        put(store, 1, user="u1", email="ann@example.com", plan="pro", seats=3)
        put(store, 2, user="u2", plan="free")
        put(store, 3, user=None, plan="free")
        put(store, 4, user="u1", plan="team")
        settings = read_settings()
        sandbox.fault("app", Fault(FaultKind.STATUS, 400, profile="u2"))
        worker = Worker(store, load_project(settings), settings, key=settings.key)
        worker.start()
        wait(lambda: settled(store))
        assert worker.stop()
        yield World(store, sandbox, rules, CliRunner())
        store.close()

"""A small project, a sandbox, and a worker's parts on a real store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from router.dispatch.routing import Router
from router.dispatch.sender import Sender
from router.dispatch.times import Times
from router.dispatch.worker import door_of
from router.http import Door
from router.model import Event
from router.ruleset import Project, load
from router.sandbox import Sandbox, SandboxDestination
from router.store import destinations
from router.store.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
DESTINATIONS = """
traits: {plan: text, seats: number, source: text}
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
  ma:
    provider: engagelab
    key: $env.MA_KEY
    secret: $env.MA_SECRET
    properties: [plan, seats, tags]
    others: drop
    once: drop
    clear: keep
  bulk:
    provider: moesif
    application_id: $env.BULK_ID
    management_token: $env.BULK_TOKEN
    batch: 10
    once: drop
    clear: keep
"""
SOURCE = """
source:
  name: crm
  secret: $env.CRM_SECRET
  verify: {scheme: token, in: header, name: X-Token}
  identity: {type: .kind, id: .id, time: .at}
to: [TO]
rules:
  person:
    user: .user
    set:
      email: .email
      plan: .plan
      seats: .seats
    once:
      source: .source
    tags: .tags
"""
SECRETS = {
    "APP_TOKEN": "sandbox-not-a-secret-app",
    "MA_KEY": "sandbox-not-a-secret-ma-key",
    "MA_SECRET": "sandbox-not-a-secret-ma-secret",
    "BULK_ID": "sandbox-not-a-secret-bulk-id",
    "BULK_TOKEN": "sandbox-not-a-secret-bulk-token",
    "CRM_SECRET": "sandbox-not-a-secret-crm",
}
ACCOUNTS = {
    "app": SandboxDestination(
        "app",
        "http",
        {"method": "PUT", "url": "https://app.example.com/people/{user}", "auth": {"bearer": SECRETS["APP_TOKEN"]}},
    ),
    "ma": SandboxDestination("ma", "engagelab", {"key": SECRETS["MA_KEY"], "secret": SECRETS["MA_SECRET"]}),
    "bulk": SandboxDestination(
        "bulk", "moesif", {"application_id": SECRETS["BULK_ID"], "management_token": SECRETS["BULK_TOKEN"]}
    ),
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(ACCOUNTS) as running:
        yield running


@dataclass
class Bench:
    """Steps a worker's parts one by one, and looks at what came of it."""

    store: Store
    sandbox: Sandbox
    project: Project
    door: Door
    times: Times
    sequence: int = 0
    senders: list[Sender] = field(default_factory=list)

    def put(self, user: str, at_s: float = 0, **body: Any) -> Event:
        """Store one event of `crm`, `at_s` seconds after the start."""
        self.sequence += 1
        when = START + timedelta(seconds=at_s)
        event_id = body.pop("id", f"e{self.sequence}")
        data = {"kind": "changed", "id": event_id, "at": when.isoformat(), "user": user, **body}
        event = Event("crm", event_id, "changed", when, when, body=json.dumps(data).encode())
        self.store.put_events([event])
        return event

    def route(self) -> set[str]:
        """Route everything there is."""
        router = Router(self.store, self.project, key="k" * 32, debounce_us={})
        woken: set[str] = set()
        while True:
            count, names = router.step()
            woken |= names
            if not count:
                return woken

    def sender(self, name: str, *, slots: int = 4, worker: str = "test:1") -> Sender:
        destination = self.project.destinations[name]
        sender = Sender(
            self.store, destination, door_of(self.door, destination), self.times, slots=slots, worker=worker
        )
        self.senders.append(sender)
        return sender

    def send(self, name: str, *, until: Callable[[], bool] | None = None, slots: int = 4) -> Sender:
        """Route, then run a sender until `until` (default: no delivery of it is pending), then stop it."""
        self.route()
        sender = self.sender(name, slots=slots)
        sender.start()
        wait(until or (lambda: "pending" not in self.states(name)))
        sender.stop()
        assert sender.join(10), "the sender did not stop"
        return sender

    def states(self, name: str) -> list[str]:
        """States of the destination's deliveries, in the order in which they were planned."""
        with self.store.read() as tx:
            rows = tx.exec_driver_sql(f"SELECT state FROM deliveries WHERE destination = '{name}' ORDER BY id").all()
        return [row[0] for row in rows]

    def rows(self, sql: str) -> list[Any]:
        with self.store.read() as tx:
            return list(tx.exec_driver_sql(sql).all())

    def calls(self, name: str) -> list[Any]:
        return self.sandbox.calls(name)


def wait(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Until something holds; the test fails if it never does."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def bench(
    store: Store, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Bench]:
    """`@pytest.mark.parametrize("to", …)`-free: events go to every destination named by a `to` fixture, else all."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    files = {"destinations.yaml": DESTINATIONS.encode(), "crm.yaml": SOURCE.replace("TO", "app, ma, bulk").encode()}
    project = load(files, {}, base_url=lambda name: f"{sandbox.url}/{name}")
    store.write(lambda tx: destinations.ensure(tx, project.destinations))
    door = Door(dev=True)
    made = Bench(store, sandbox, project, door, Times(0.05, probe_s=20))
    yield made
    for sender in made.senders:
        sender.stop()
    door.close()
    for sender in made.senders:
        sender.join(10)

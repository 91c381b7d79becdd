"""What a delivery costs: CPU of a whole worker (route, claim, fold, render, send, settle) beside a bare `Session.post`.

Run: `python -m tests.bench.bench_delivery [deliveries]`. Every delivery is a person of its own and one call, with as
many threads on both sides, to the same sink in a process of its own. Prints the median of three alternating runs.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection

import requests

from router.dispatch.worker import Worker
from router.model import Event
from router.ruleset import load
from router.sandbox import Sandbox
from router.settings import Settings
from router.store import lanes, listing, migrations
from router.store.base import Store
from router.store.store import open_store
from tests.dispatch.conftest import ACCOUNTS, SECRETS
from tests.postgres_server import PostgresServer

THREADS = 8
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
    concurrency: 8
"""
SOURCE = """
source:
  name: crm
  secret: $env.CRM_SECRET
  verify: {scheme: token, in: header, name: X-Token}
  identity: {type: .kind, id: .id, time: .at}
to: app
rules:
  person:
    user: .user
    set:
      email: .email
      plan: .plan
      seats: .seats
      first_name: .first
      last_name: .last
      name: "{.first} {.last}"
      city: .city
      country: .country
      language: .language
"""


def body(n: int) -> dict[str, object]:
    return {
        "kind": "changed",
        "id": f"e{n}",
        "at": "2026-01-01T00:00:00Z",
        "user": f"u{n}",
        "email": f"person{n}@example.com",
        "plan": "pro",
        "seats": n,
        "first": "Ada",
        "last": "Nord",
        "city": "Bergen",
        "country": "NO",
        "language": "nb",
    }


def serve_sink(pipe: Connection) -> None:
    with Sandbox(ACCOUNTS, keep=0) as sandbox:
        pipe.send(sandbox.url)
        pipe.recv()


@contextmanager
def sink() -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve_sink, args=(theirs,))
    process.start()
    try:
        yield str(ours.recv())
    finally:
        ours.send("end")
        process.join()


def bare(url: str, count: int) -> tuple[float, float]:
    """CPU and wall seconds of `count` plain calls, by 8 threads with a session each."""
    calls = [(f"{url}/app/people/b{n}", {"attributes": body(n)}) for n in range(count)]
    headers = {"Authorization": f"Bearer {SECRETS['APP_TOKEN']}"}

    def part(start: int) -> None:
        session = requests.Session()
        for target, data in calls[start::THREADS]:
            session.put(target, json=data, headers=headers, timeout=20).raise_for_status()

    cpu, wall = time.process_time(), time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(part, range(THREADS)))
    return time.process_time() - cpu, time.monotonic() - wall


def routed(url: str, database: str, count: int) -> tuple[float, float]:
    """CPU and wall seconds of a worker for `count` stored events."""
    migrations.upgrade(database)
    files = {"destinations.yaml": DESTINATIONS.encode(), "crm.yaml": SOURCE.encode()}
    project = load(files, {}, base_url=lambda name: f"{url}/{name}")
    store = open_store(database)
    now = datetime.now(UTC)
    events = [Event("crm", f"e{n}", "changed", now, now, body=json.dumps(body(n)).encode()) for n in range(count)]
    for start in range(0, count, 500):
        store.put_events(events[start : start + 500], timeout_s=30)
    worker = Worker(store, project, Settings(dev=True), key="k" * 32)
    cpu, wall = time.process_time(), time.monotonic()
    worker.start()
    while not finished(store):
        time.sleep(0.3)
    spent = time.process_time() - cpu, time.monotonic() - wall
    worker.stop()
    with store.read() as tx:
        assert listing.tally(tx)["deliveries"] == {"delivered": count}
    store.close()
    return spent


def finished(store: Store) -> bool:
    with store.read() as tx:
        waiting = tx.exec_driver_sql("SELECT 1 FROM events WHERE state = 'received' LIMIT 1").first()
        return waiting is None and not lanes.busy(tx)


def main(count: int) -> None:
    os.environ.update(SECRETS)
    with sink() as url, tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        server = PostgresServer.create()
        stack.callback(server.destroy)
        kinds: dict[str, Callable[[int], tuple[float, float]]] = {
            "bare Session.put": lambda n: bare(url, count),
            "worker, SQLite": lambda n: routed(url, f"sqlite:///{directory}/bench{n}.db", count),
            "worker, PostgreSQL": lambda n: routed(url, stack.enter_context(server.database()), count),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for n in range(3):
            for name, run in kinds.items():
                found[name].append(run(n))
    base = statistics.median(cpu for cpu, _ in found["bare Session.put"])
    for name, runs in found.items():
        cpu = statistics.median(cpu for cpu, _ in runs)
        wall = statistics.median(wall for _, wall in runs)
        print(f"{name:<20} {cpu / count * 1e6:7.0f} µs CPU   {count / wall:7.0f}/s   {cpu / base:.2f} ×")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)

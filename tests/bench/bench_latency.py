"""From an accepted webhook to the provider's receipt, on an idle router: web and worker as processes, debounce 0.

Run: `python -m tests.bench.bench_latency [webhooks]`. Webhooks are sent one at a time with pauses, each about another
person; the time runs from the moment the sender has its answer to the first byte at the provider. Prints p50 and p99.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from router.cli.posting import post
from router.cli.stack import Stack
from router.cli.webhooks import Overrides, compose
from router.store import migrations
from tests.postgres_server import PostgresServer
from tests.processes.test_processes import DESTINATIONS, SAMPLE, SOURCE


def latencies(directory: Path, database_url: str | None, count: int) -> list[float]:
    """Milliseconds of each webhook, sorted."""
    rules = directory / "rules"
    (rules / "samples").mkdir(parents=True)
    (rules / "destinations.yaml").write_text(DESTINATIONS)
    (rules / "crm.yaml").write_text(SOURCE)
    (rules / "samples" / "crm.changed.json").write_text(json.dumps(SAMPLE))
    rng = random.Random(1)
    answered: dict[str, int] = {}
    with Stack(rules, directory, database_url=database_url) as stack:
        sample = stack.project.samples["crm.changed.json"]
        for n in range(count + 20):
            signed = compose(stack.project, sample, Overrides(user=f"u{n}", id=f"e{n}"), datetime.now(UTC))
            reply, _ = post(stack.door, stack.settings.url, signed)
            answered[f"/people/u{n}"] = time.time_ns() // 1000
            assert reply.status == 200
            time.sleep(rng.uniform(0.25, 0.5))
        time.sleep(1)
        arrived = {call.path: call.arrive_us for call in stack.sandbox.calls("app")}
    assert len(arrived) == count + 20
    warm = list(answered)[20:]
    return sorted((arrived[path] - answered[path]) / 1000 for path in warm)


def report(name: str, found: list[float]) -> None:
    p50, p99 = found[len(found) // 2], found[min(int(len(found) * 0.99), len(found) - 1)]
    print(f"{name:<12} p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   {len(found)} webhooks")


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        report("SQLite", latencies(Path(directory), None, count))
    server = PostgresServer.create()
    try:
        with server.database() as url, tempfile.TemporaryDirectory() as directory:
            migrations.upgrade(url)
            report("PostgreSQL", latencies(Path(directory), url, count))
    finally:
        server.destroy()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 150)

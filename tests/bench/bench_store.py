"""What the store costs: CPU µs of this process, for each event put and each lane planned, claimed and settled.

.venv/bin/python -m tests.bench.bench_store [events] [lanes in a claim]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from router import model
from router.store import attempts, deliveries, events, ids, lanes
from router.store.migrations import upgrade
from router.store.rows import AttemptRow, NewDelivery, RoutedEvent, Settled, Settlement
from router.store.store import Store, open_store
from tests.postgres_server import PostgresServer

_BODY = b'{"type": "customer.updated", "data": "%s"}' % (b"x" * 2000)
_DESTINATION = "moengage"


def measure(what: str, count: int, work: Callable[[], None]) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"  {what:<42} {cpu / count * 1e6:7.0f} CPU µs   {count / wall:9,.0f}/s")


def make_events(count: int) -> list[model.Event]:
    now = datetime.now(UTC)
    return [
        model.Event("stripe", f"evt_{number}", "customer.updated", now, now, body=_BODY, headers={"a": "b"})
        for number in range(count)
    ]


def put_alone(store: Store, made: list[model.Event]) -> None:
    for event in made:
        store.put_events([event])


def put_from_threads(store: Store, made: list[model.Event], count: int) -> None:
    threads = [threading.Thread(target=put_alone, args=(store, made[part::count])) for part in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def plan(store: Store, batch: int) -> None:
    while True:
        with store.read() as tx:
            waiting = events.received(tx, batch)
        if not waiting:
            return
        routed = [
            RoutedEvent(
                number,
                routing,
                "routed",
                "",
                "9f31c2a",
                [NewDelivery("stripe/customer", _DESTINATION, f"u_{number}", "[1]", "{}", "pending", "")],
            )
            for number, routing, _ in waiting
        ]
        store.write(lambda tx, routed=routed: deliveries.plan(tx, routed, {}, store.now_us(tx)))


def send(store: Store, batch: int) -> None:
    """Claim, store the intent, settle and record, as a worker does, without the conversation between."""
    sequence = iter(range(1 << 60))
    while True:

        def claim(tx):
            now = store.now_us(tx)
            claimed = lanes.claim(tx, _DESTINATION, batch, 60_000_000, lambda: f"token{next(sequence)}", now)
            found = deliveries.pending(tx, _DESTINATION, [lane.profile for lane in claimed])
            lanes.intend(tx, [(_DESTINATION, lane.profile, lane.token, '{"email": 1}', "{}") for lane in claimed])
            return claimed, found

        claimed, found = store.write(claim)
        if not claimed:
            return
        now = time.time_ns() // 1000
        numbers = ids.many(now, len(claimed))
        settlements = [
            Settlement(
                _DESTINATION,
                lane.profile,
                lane.token,
                lane.arrivals,
                '{"email": ["set", "new@example.com", [1, 0, "evt_1", 1, 0, "stripe/customer"]]}',
                "{}",
                None,
                0,
                deliveries=[Settled(one.id, "delivered", "", number) for one in found[lane.profile]],
            )
            for lane, number in zip(claimed, numbers, strict=True)
        ]
        rows = [
            AttemptRow(
                number,
                _DESTINATION,
                lane.token,
                1,
                "upsert",
                "POST",
                "/v1/customer",
                '{"type": "customer"}',
                200,
                '{"status": "success"}',
                "delivered",
                "",
                False,
                "key",
                now,
                now,
                "worker-1",
                [(lane.profile, [one.id for one in found[lane.profile]], '{"email": 1}')],
            )
            for lane, number in zip(claimed, numbers, strict=True)
        ]

        def settle(tx, settlements=settlements, rows=rows):
            attempts.record(tx, rows)
            return lanes.settle(tx, settlements, store.now_us(tx))

        assert all(store.write(settle))


def run(name: str, url: str, count: int, batch: int) -> None:
    upgrade(url)
    store = open_store(url)
    print(name)
    measure("put, one caller", count // 4, lambda: put_alone(store, make_events(count)[: count // 4]))
    rest = make_events(count)[count // 4 :]
    measure("put, 32 callers", len(rest), lambda: put_from_threads(store, rest, 32))
    measure("receive and plan, batches of 100", count, lambda: plan(store, 100))
    measure(f"claim, settle and record, {batch} lanes at once", count, lambda: send(store, batch))
    store.close()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    with tempfile.TemporaryDirectory() as directory:
        run("SQLite", f"sqlite:///{Path(directory) / 'bench.db'}", count, batch)
    server = PostgresServer.create()
    try:
        with server.database() as url:
            run("PostgreSQL (without fsync)", url, count, batch)
    finally:
        server.destroy()


if __name__ == "__main__":
    main()

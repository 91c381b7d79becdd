"""Old bodies go, a slice at a time; what they were stays known, and young ones and those that wait stay whole."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from router.dispatch import retention
from router.dispatch.retention import SLICE_S, Retention
from router.dispatch.times import Times
from router.dispatch.worker import Worker
from router.model import Event, EventState
from router.settings import Settings
from router.store import events
from router.store.store import Store, open_store
from tests.dispatch.conftest import Bench, wait

DAY_US = 86_400_000_000
NOW = datetime.now(UTC)


def put(store: Store, name: str, age_days: float, *, state: str = "routed", source: str = "crm") -> None:
    """An event that was received so long ago."""
    event = Event(source, name, "changed", NOW, NOW, body=b'{"user": "u1"}', headers={"x": "1"}, query={"q": "1"})

    def write(tx: Any) -> None:
        now_us = store.now_us(tx)
        (row,) = events.prepare([event], int(now_us - age_days * DAY_US))
        events.insert(tx, [row])
        tx.exec_driver_sql(f"UPDATE events SET state = '{state}' WHERE id = {row.values['id']}")

    store.write(write)


def full(store: Store) -> list[str]:
    """Ids of the events whose bodies are there."""
    with store.read() as tx:
        rows = tx.exec_driver_sql("SELECT external_id FROM events WHERE length(body) > 0 ORDER BY external_id").all()
    return [row[0] for row in rows]


def run(retention_: Retention, start: float = 0.0) -> float:
    """Steps until there is nothing more to do for a while. Gives the time."""
    now = start
    while True:
        retention_.step(now)
        if retention_._next > now + SLICE_S:
            return retention_._next
        now = retention_._next


def test_bodies_go_at_their_source_s_age(store: Store) -> None:
    for name, age, source in (("a1", 40, "a"), ("a2", 20, "a"), ("b1", 40, "b"), ("b2", 2, "b"), ("c1", 400, "c")):
        put(store, name, age, source=source)
    run(Retention(store, {"a": 30 * 86_400, "b": 86_400}, Times()))
    assert full(store) == ["a2", "c1"], "of c nothing is said"
    with store.read() as tx:
        row = tx.exec_driver_sql("SELECT headers, query, state, type FROM events WHERE external_id = 'a1'").one()
        assert tuple(row) == ("{}", "{}", "routed", "changed")
        found = events.get(tx, next(r[0] for r in tx.exec_driver_sql("SELECT id FROM events WHERE external_id = 'a1'")))
    assert found is not None
    assert found.event.body == b""


@pytest.mark.parametrize(("state", "stays"), [("routed", []), ("skipped", []), ("failed", []), ("received", ["e"])])
def test_what_waits_to_be_routed_stays_whole(store: Store, state: str, stays: list[str]) -> None:
    put(store, "e", 40, state=state)
    run(Retention(store, {"crm": 86_400}, Times()))
    assert full(store) == stays


def test_it_goes_in_slices_and_on_from_where_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LOOKED_AT", 5)
    monkeypatch.setattr(retention, "SLICE", 2)
    for number in range(12):
        put(store, f"e{number:02}", 40 - number)
    work = Retention(store, {"crm": 86_400}, Times())
    sizes = []
    now = 0.0
    while True:
        before = len(full(store))
        work.step(now)
        sizes.append(before - len(full(store)))
        if work._next > now + SLICE_S:
            break
        work.step(now)  # not yet
        now = work._next
    assert full(store) == []
    assert sum(sizes) == 12
    assert max(sizes) == 2
    put(store, "late", 1.5)
    run(work, work._next)
    assert full(store) == []


def test_it_looks_again_after_a_while(store: Store) -> None:
    work = Retention(store, {"crm": 86_400}, Times())
    again = run(work)
    put(store, "e", 2)
    work.step(again - 1)
    assert full(store) == ["e"]
    run(work, again)
    assert full(store) == []


def test_an_event_without_its_body_cannot_be_routed_again_and_says_why(bench: Bench) -> None:
    bench.put("u1", plan="a")
    bench.route()
    (number,) = (row[0] for row in bench.rows("SELECT id FROM events"))
    bench.store.write(lambda tx: events.empty(tx, [number]))
    bench.store.write(lambda tx: events.route_again(tx, [number]))
    bench.route()
    assert bench.rows("SELECT state, reason FROM events") == [(EventState.FAILED, "its body is no longer kept")]


def test_a_worker_keeps_at_it(bench: Bench) -> None:
    put(bench.store, "old", 40)
    put(bench.store, "young", 2)
    worker = Worker(bench.store, bench.project, Settings(sandbox=bench.sandbox.url, dev=True, time_scale=1), key="k")
    worker.start()
    wait(lambda: full(bench.store) == ["young"])
    worker.stop()


def test_a_store_that_is_away_is_asked_again(store: Store) -> None:
    away = open_store("sqlite:////nowhere/router.db")
    work = Retention(away, {"crm": 1}, Times())
    work.step(0)
    with pytest.raises(Exception, match="store"):
        work.step(1)
    put(store, "e", 1)
    work._store = store
    run(work, 2)
    assert full(store) == []
    away.close()

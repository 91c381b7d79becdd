"""What is routed is counted, a share of it where there is much, and written down now and then."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from router.dispatch import shapes as dispatch_shapes
from router.dispatch.routing import Router
from router.dispatch.shapes import BURST, WRITE_S, Shapes
from router.dispatch.worker import Worker
from router.model import Event
from router.settings import Settings
from router.store import shapes
from router.store.store import Store, open_store
from tests.dispatch.conftest import Bench, wait

AT = datetime(2026, 11, 7, 12, tzinfo=UTC)
DAY = 20_764


def event(kind: str = "changed", **more: Any) -> Event:
    return Event("crm", "e1", kind, AT, AT, **more)


def counted(store: Store) -> dict[str, list[tuple[int, str, str, int]]]:
    with store.read() as tx:
        return {kind: sorted(rows) for kind, rows in shapes.of_source(tx, "crm").items()}


def test_what_was_seen_is_written_after_a_while(store: Store) -> None:
    seen = Shapes(store)
    seen.see(event(), {"plan": "a"}, 0)
    seen.see(event(), {"plan": None}, 0)
    start = seen._written_at
    seen.write(start + WRITE_S - 1)
    assert counted(store) == {}
    seen.write(start + WRITE_S)
    rows = [(DAY, ".", "object", 2), (DAY, ".plan", "blank", 1), (DAY, ".plan", "text", 1)]
    assert counted(store) == {"changed": rows}
    seen.write(start + 3 * WRITE_S)
    assert counted(store) == {"changed": rows}, "once"


def test_of_many_events_a_share_is_looked_at(store: Store) -> None:
    seen = Shapes(store)
    for n in range(BURST * 3):
        seen.see(event(), {}, n * 0.001)
    for _ in range(10):
        seen.see(event("other"), {}, 1)
    seen.see(event(), {}, 60)
    seen.write(0, at_once=True)
    assert counted(store) == {"changed": [(DAY, ".", "object", BURST + 1)], "other": [(DAY, ".", "object", 10)]}


def test_an_event_that_is_routed_again_was_counted(store: Store) -> None:
    seen = Shapes(store)
    seen.see(event(routing=2), {"a": 1}, 0)
    seen.write(0, at_once=True)
    assert counted(store) == {}


def test_types_and_paths_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_shapes, "MAX_TYPES", 2)
    monkeypatch.setattr(dispatch_shapes, "MAX_PLACES", 2)
    seen = Shapes(store)
    for kind in ("a", "b", "c"):
        seen.see(event(kind), {"x": 1}, 0)
    seen.write(0, at_once=True)
    assert counted(store) == {
        "a": [(DAY, ".", "object", 1), (DAY, ".x", "number", 1)],
        "b": [(DAY, ".", "object", 1), (DAY, ".", "part", 1)],
    }


def test_many_paths_are_written_in_slices_and_all_of_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_shapes, "SLICE", 7)
    seen = Shapes(store)
    seen.see(event(), {f"a{n}": n for n in range(40)}, 0)
    seen.write(0, at_once=True)
    assert len(counted(store)["changed"]) == 41


def test_how_many_events_there_were_is_written_last(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_shapes, "SLICE", 1)
    written: list[str] = []
    add = shapes.add
    monkeypatch.setattr(
        shapes, "add", lambda tx, counts: (written.extend(place.path for place in counts), add(tx, counts))
    )
    seen = Shapes(store)
    seen.see(event(), {"a": 1, "b": 2}, 0)
    seen.write(0, at_once=True)
    assert (sorted(written[:2]), written[2:]) == ([".a", ".b"], ["."])


def test_what_a_store_that_is_away_did_not_take_comes_later(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    away = open_store("sqlite:////nowhere/router.db")
    seen = Shapes(away)
    seen.see(event(), {}, 0)
    seen.write(0, at_once=True)
    assert "the shapes of 1 paths wait" in caplog.text
    seen._store = store
    seen.write(0, at_once=True)
    assert counted(store) == {"changed": [(DAY, ".", "object", 1)]}
    away.close()


def test_old_days_go_when_a_new_one_is_written(store: Store) -> None:
    store.write(lambda tx: shapes.add(tx, {shapes.Place("crm", "old", DAY - 61, ".", "object"): 1}))
    seen = Shapes(store)
    seen.see(event(), {}, 0)
    seen.write(0, at_once=True)
    assert list(counted(store)) == ["changed"]


def test_the_router_tells_of_payloads_it_could_read(bench: Bench) -> None:
    told: list[Any] = []
    router = Router(
        bench.store, bench.project, key="k", debounce_us={}, see=lambda event, payload: told.append(payload)
    )
    bench.put("u1", plan="a")
    bench.store.put_events([Event("crm", "bad", "changed", AT, AT, body=b"{")])
    router.step()
    assert [payload["plan"] for payload in told] == ["a"]


def test_a_worker_counts_and_writes_before_it_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put("u1", plan="a")
    worker = Worker(bench.store, bench.project, Settings(sandbox=bench.sandbox.url, dev=True), key="k")
    worker.start()

    def routed() -> bool:
        with bench.store.read() as tx:
            return tx.exec_driver_sql("SELECT count(*) FROM deliveries").scalar_one() > 0

    wait(routed)
    worker.stop()
    assert [row[1:] for row in counted(bench.store)["changed"] if row[1] == ".plan"] == [(".plan", "text", 1)]


def test_an_event_whose_shape_breaks_is_routed_all_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_payload: Any) -> Any:
        raise RuntimeError("no shape")

    monkeypatch.setattr(dispatch_shapes, "shape_of", broken)
    bench.put("u1", plan="a")
    worker = Worker(bench.store, bench.project, Settings(sandbox=bench.sandbox.url, dev=True), key="k")
    assert worker._router.step()[0] == 1
    with bench.store.read() as tx:
        assert tx.exec_driver_sql("SELECT state FROM events").scalar_one() == "routed"
    worker.stop()

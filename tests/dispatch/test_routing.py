"""Whatever is wrong with one event, the others of its batch are routed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from router.dispatch import routing
from router.dispatch.routing import Router
from router.errors import StoreError
from router.model import Change
from router.profile.codec import dump_change
from router.store import deliveries
from router.store.rows import RoutedEvent
from tests.dispatch.conftest import Bench


def states(bench: Bench) -> list[tuple[str, str, str]]:
    """Id from the sender, state and reason of each event."""
    rows = bench.rows("SELECT external_id, state, reason FROM events ORDER BY id")
    return [(row[0], row[1], row[2] or "") for row in rows]


def test_a_change_that_cannot_be_written_fails_its_event_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def dump(change: Change) -> str:
        if change.profile == "u2":
            raise TypeError("no JSON says this")
        return dump_change(change)

    monkeypatch.setattr(routing, "dump_change", dump)
    for user in ("u1", "u2", "u3"):
        bench.put(user, plan="pro")
    assert bench.route() == {"app", "ma", "bulk"}
    assert states(bench) == [("e1", "routed", ""), ("e2", "failed", "internal"), ("e3", "routed", "")]
    assert len(bench.states("app")) == 2


@pytest.mark.parametrize("error", [ValueError, StoreError])
def test_what_cannot_be_stored_fails_its_event_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    plan = deliveries.plan

    def broken(tx: Connection, routed: Sequence[RoutedEvent], *rest: Any) -> set[int]:
        if any(each.profile == "u2" for event in routed for each in event.deliveries):
            raise error("this cannot be stored")
        return plan(tx, routed, *rest)

    monkeypatch.setattr(deliveries, "plan", broken)
    for user in ("u1", "u2", "u3"):
        bench.put(user, plan="pro")
    if error is StoreError:
        with pytest.raises(StoreError):
            bench.route()
        assert [state for _, state, _ in states(bench)] == ["received"] * 3, "the store is away: nothing is lost"
        return
    assert bench.route() == {"app", "ma", "bulk"}
    assert states(bench) == [("e1", "routed", ""), ("e2", "failed", "internal"), ("e3", "routed", "")]


def test_a_store_that_goes_away_while_events_are_stored_one_by_one_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_tx: Connection, routed: Sequence[RoutedEvent], *_rest: Any) -> set[int]:
        raise StoreError("away") if len(routed) == 1 else ValueError("one of them")

    monkeypatch.setattr(deliveries, "plan", broken)
    bench.put("u1", plan="pro")
    bench.put("u2", plan="pro")
    router = Router(bench.store, bench.project, key="k" * 32, debounce_us={})
    with pytest.raises(StoreError):
        router.step()
    assert [state for _, state, _ in states(bench)] == ["received"] * 2

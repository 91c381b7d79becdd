"""Short ways to make what the tests of the store need."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from router import model
from router.store import deliveries, events, ids, lanes
from router.store.rows import AttemptRow, DeliveryRow, LaneRow, NewDelivery, RoutedEvent, Settled, Settlement
from router.store.store import Store

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
#: microseconds of that time, and of a minute
T0 = model.to_us(NOON)
MINUTE = 60_000_000
DESTINATION = "moengage"


def event(external_id: str = "evt_1", source: str = "stripe", at: timedelta = timedelta(0), **more: Any) -> model.Event:
    given = {"type": "customer.updated", "occurred_at": NOON + at, "received_at": NOON + at, "body": b'{"a": 1}'}
    return model.Event(source=source, external_id=external_id, **(given | more))


def delivery(profile: str = "u_1", destination: str = DESTINATION, rule: str = "stripe/customer") -> NewDelivery:
    return NewDelivery(rule, destination, profile, "[1]", "{}", "pending", "")


def routed(event_id: int, *made: NewDelivery, routing: int = 1, state: str = "routed") -> RoutedEvent:
    return RoutedEvent(event_id, routing, state, "", "9f31c2a", made)


def plan(store: Store, *found: RoutedEvent, debounce_us: int = 0, now: int = T0) -> set[int]:
    waits = {DESTINATION: debounce_us}
    return store.write(lambda tx: deliveries.plan(tx, found, waits, now))


def arrive(store: Store, profile: str, *, external_id: str = "", source: str = "stripe", now: int = T0) -> int:
    """Store and route one event with one delivery of this profile. Gives the event's id."""
    name = external_id or f"evt_{ids.new(T0)}"
    stored = store.put_events([event(name, source)])[0]
    plan(store, routed(stored.id, delivery(profile, rule=f"{source}/customer")), now=now)
    return stored.id


def claim(store: Store, limit: int = 10, *, now: int = T0, lease_us: int = MINUTE, token: str = "t") -> list[LaneRow]:
    tokens = iter(f"{token}{number}" for number in range(limit))
    return store.write(lambda tx: lanes.claim(tx, DESTINATION, limit, lease_us, lambda: next(tokens), now))


def settlement(lane: LaneRow, done: Sequence[DeliveryRow] = (), state: str = "delivered", **more: Any) -> Settlement:
    given = {"registers": '{"x": 1}', "unsure": "{}", "handle": None, "failures": 0}
    settled = [Settled(one.id, state, "", None) for one in done]
    return Settlement(
        lane.destination, lane.profile, lane.token, lane.arrivals, **(given | {"deliveries": settled} | more)
    )


def settle(store: Store, *given: Settlement, now: int = T0) -> list[bool]:
    return store.write(lambda tx: lanes.settle(tx, given, now))


def pending(store: Store, *profiles: str) -> dict[str, list[DeliveryRow]]:
    with store.read() as tx:
        return deliveries.pending(tx, DESTINATION, profiles)


def column(store: Store, sql: str) -> list[Any]:
    """The first column of a query."""
    with store.read() as tx:
        return list(tx.exec_driver_sql(sql).scalars())


def received(store: Store, limit: int = 100) -> list[str]:
    """The senders' ids of events that wait to be routed."""
    with store.read() as tx:
        return [found.external_id for _, _, found in events.received(tx, limit)]


def attempt(number: int, profile: str, **more: Any) -> AttemptRow:
    given = {
        "id": number,
        "destination": DESTINATION,
        "token": "t0",
        "number": 1,
        "step": "upsert",
        "method": "POST",
        "path": "/v1/customer",
        "request": "{}",
        "status": 200,
        "reply": "{}",
        "outcome": "delivered",
        "reason": "",
        "ambiguous": False,
        "key": "k",
        "started_at": T0,
        "ended_at": T0 + 5,
        "worker": "w1",
        "lanes": [(profile, [1, 2], "{}")],
    }
    return AttemptRow(**(given | more))

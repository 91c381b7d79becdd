"""Deliveries: planned with the lanes they wake, waiting for a claim."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, or_, select, update

from router.model import DeliveryState
from router.store import ids
from router.store.dialect import Each, both, fit
from router.store.rows import DeliveryRow, NewDelivery, RoutedEvent
from router.store.schema import deliveries, events, lanes, lookups

#: most deliveries of one lane that a claim folds at once
MOST = 500
#: rows of many lanes that are read in one go; beyond it each lane is asked by itself
_TOGETHER = 2_000

_PENDING = DeliveryState.PENDING.value
_Lane = tuple[str, str]

_ROUTE = (
    update(events)
    .where(events.c.id.in_(bindparam("events", expanding=True)))
    .where(events.c.state == "received", events.c.routing == bindparam("of_routing"))
    .values(state=bindparam("new_state"), reason=bindparam("new_reason"), revision=bindparam("new_revision"))
    .returning(events.c.id)
)
_WAKE = both(
    lanes,
    lambda insert: insert.on_conflict_do_update(
        index_elements=["destination", "profile"],
        set_={
            "arrivals": lanes.c.arrivals + insert.excluded.arrivals,
            "due_at": func.coalesce(lanes.c.due_at, insert.excluded.due_at),
            "source": insert.excluded.source,
            "queue": case((lanes.c.due_at.is_(None), insert.excluded.queue), else_=lanes.c.queue),
        },
    ).returning(lanes.c.destination, lanes.c.profile, lanes.c.arrivals),
)
_insert = Each.insert(
    deliveries,
    (
        "id",
        "event_id",
        "rule",
        "destination",
        "profile",
        "version",
        "change",
        "state",
        "reason",
        "arrival",
        "settled_at",
    ),
)
_LOOKUP = both(lookups, lambda insert: insert.on_conflict_do_nothing())
_OF_EVENTS = select(
    deliveries.c.id, deliveries.c.event_id, deliveries.c.rule, deliveries.c.destination, deliveries.c.state
).where(deliveries.c.event_id.in_(bindparam("events", expanding=True)))
_REUSE = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("delivery"))
    .values({name: bindparam(f"new_{name}") for name in ("profile", "version", "change", "state", "reason", "arrival")})
    .values(failed_at=None, attempt=None, settled_at=bindparam("new_settled_at"), actor="")
)
_CANCEL = (
    update(deliveries)
    .where(deliveries.c.id.in_(bindparam("deliveries", expanding=True)), deliveries.c.state == _PENDING)
    .values(
        state=DeliveryState.CANCELLED.value,
        reason=bindparam("new_reason"),
        actor=bindparam("new_actor"),
        settled_at=bindparam("now"),
    )
    .returning(deliveries.c.id)
)
#: not an `IN`, which no statement for many rows can have
_IS_OPEN = or_(deliveries.c.state == _PENDING, deliveries.c.state == DeliveryState.REJECTED.value)
_REOPEN = (
    select(deliveries.c.id, deliveries.c.rule, deliveries.c.destination, deliveries.c.profile)
    .where(deliveries.c.id.in_(bindparam("deliveries", expanding=True)))
    .where(_IS_OPEN)
    .order_by(deliveries.c.id)
)
_REOPENED = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("delivery"), _IS_OPEN)
    .values(
        state=_PENDING,
        reason="",
        failed_at=None,
        attempt=None,
        settled_at=None,
        actor="",
        #: one that waits already may be on the wire, and is settled by that call
        arrival=case((deliveries.c.state == _PENDING, deliveries.c.arrival), else_=bindparam("seen")),
    )
)
_DUE_NOW = (
    update(lanes)
    .where(lanes.c.destination == bindparam("at_destination"), lanes.c.profile == bindparam("of_profile"))
    .values(due_at=bindparam("now"))
)

_ROW = (
    deliveries.c.id,
    deliveries.c.event_id,
    deliveries.c.rule,
    deliveries.c.profile,
    deliveries.c.version,
    deliveries.c.change,
    deliveries.c.failed_at,
)
_OF_LANES = (
    select(*_ROW)
    .where(deliveries.c.state == _PENDING, deliveries.c.destination == bindparam("at_destination"))
    .where(deliveries.c.profile.in_(bindparam("profiles", expanding=True)))
    .order_by(deliveries.c.profile, deliveries.c.id)
    .limit(bindparam("most"))
)


def plan(tx: Connection, routed: Sequence[RoutedEvent], debounce_us: Mapping[str, int], now_us: int) -> set[int]:
    """Turn what routing found into deliveries and lanes that are due. Gives the ids of the events this call routed.

    An event that was routed meanwhile, or is to be routed once more than `routing` says, is left alone. Destinations
    that `debounce_us` does not name wait for nothing.
    """
    won = _mark_routed(tx, routed)
    mine = [event for event in routed if event.id in won]
    planned = [(event, new) for event in mine for new in event.deliveries]
    arrivals = _wake(tx, [new for _, new in planned if new.state == _PENDING], debounce_us, now_us)
    rows = [_values(event, new, arrivals.get((new.destination, new.profile), 0), now_us) for event, new in planned]
    old = [event.id for event in mine if event.routing > 1]
    if old:
        rows = _reuse(tx, old, rows, now_us)
    _insert(tx, [row | {"id": number} for row, number in zip(rows, ids.many(now_us, len(rows)), strict=True)])
    found = sorted({pair for event in mine for pair in event.lookups})
    if found:
        tx.execute(_LOOKUP[tx.dialect.name], [{"key": key, "profile": profile} for key, profile in found])
    return won


def _mark_routed(tx: Connection, routed: Sequence[RoutedEvent]) -> set[int]:
    """`received` → their new state. This update is the lock: of two that route an event, one gets its id."""
    alike: defaultdict[tuple[str, str, str, int], list[int]] = defaultdict(list)
    for event in routed:
        alike[event.state, event.reason, event.revision, event.routing].append(event.id)
    won: set[int] = set()
    for (state, reason, revision, routing), numbers in sorted(alike.items()):
        values = {
            "events": sorted(numbers),
            "of_routing": routing,
            "new_state": state,
            "new_reason": fit(reason),
            "new_revision": revision,
        }
        won.update(tx.execute(_ROUTE, values).scalars())
    return won


def _wake(
    tx: Connection, pending: Iterable[NewDelivery], debounce_us: Mapping[str, int], now_us: int
) -> dict[_Lane, int]:
    """Count arrivals at lanes and make idle ones due, in key order. Lane → its arrivals now."""
    sources = {(new.destination, new.profile): new.rule.partition("/")[0] for new in pending}
    if not sources:
        return {}
    counts = Counter((new.destination, new.profile) for new in pending)
    rows = [
        {
            "destination": destination,
            "profile": profile,
            "arrivals": counts[destination, profile],
            "due_at": now_us + debounce_us.get(destination, 0),
            "source": source,
            "queue": source,
        }
        for (destination, profile), source in sorted(sources.items())
    ]
    return {(row[0], row[1]): row[2] for row in tx.execute(_WAKE[tx.dialect.name], rows)}


def _values(event: RoutedEvent, new: NewDelivery, arrival: int, now_us: int) -> dict[str, Any]:
    return {
        "event_id": event.id,
        "rule": new.rule,
        "destination": new.destination,
        "profile": new.profile,
        "version": new.version,
        "change": new.change,
        "state": new.state,
        "reason": fit(new.reason),
        "arrival": arrival,
        "settled_at": None if new.state == _PENDING else now_us,
    }


def _reuse(tx: Connection, events_: Sequence[int], rows: Sequence[dict[str, Any]], now_us: int) -> list[dict[str, Any]]:
    """Give rows to the deliveries that are there already; cancel those that none is for. The rows that are left."""
    there = {(row.event_id, row.rule, row.destination): row for row in tx.execute(_OF_EVENTS, {"events": events_})}
    left, reused = [], []
    for row in rows:
        old = there.pop((row["event_id"], row["rule"], row["destination"]), None)
        if old is None:
            left.append(row)
        else:
            reused.append({"delivery": old.id} | {f"new_{name}": value for name, value in row.items()})
    if reused:
        tx.execute(_REUSE, sorted(reused, key=lambda row: row["delivery"]))
    cancel(tx, [row.id for row in there.values()], now_us, reason="its rules no longer make it")
    return left


def pending(tx: Connection, destination: str, profiles: Sequence[str]) -> dict[str, list[DeliveryRow]]:
    """Profile → its pending deliveries, oldest first, at most `MOST`. Profiles without any are left out."""
    if not profiles:
        return {}
    rows = tx.execute(_OF_LANES, {"at_destination": destination, "profiles": profiles, "most": _TOGETHER}).all()
    if len(rows) == _TOGETHER and len(profiles) > 1:
        rows = [row for profile in profiles for row in _of_lane(tx, destination, profile)]
    found: defaultdict[str, list[DeliveryRow]] = defaultdict(list)
    for row in rows:
        lane = found[row.profile]
        if len(lane) < MOST:
            lane.append(DeliveryRow(*row))
    return dict(found)


def _of_lane(tx: Connection, destination: str, profile: str) -> Sequence[Any]:
    return tx.execute(_OF_LANES, {"at_destination": destination, "profiles": [profile], "most": MOST}).all()


def cancel(tx: Connection, deliveries_: Sequence[int], now_us: int, *, reason: str, actor: str = "") -> list[int]:
    """Cancel those that are pending; a call that carries one already is not called back. Gives their ids."""
    if not deliveries_:
        return []
    values = {"deliveries": sorted(deliveries_), "new_reason": reason, "new_actor": actor, "now": now_us}
    return list(tx.execute(_CANCEL, values).scalars())


def reopen(tx: Connection, deliveries_: Sequence[int], now_us: int) -> list[int]:
    """Make dead letters pending once more, and pending ones due now. Gives the ids of those."""
    if not deliveries_:
        return []
    rows = tx.execute(_REOPEN, {"deliveries": sorted(deliveries_)}).all()
    woken = [NewDelivery(row.rule, row.destination, row.profile, "", "", _PENDING, "") for row in rows]
    arrivals = _wake(tx, woken, {}, now_us)
    if not arrivals:
        return []
    tx.execute(
        _DUE_NOW,
        [{"at_destination": place, "of_profile": who, "now": now_us} for place, who in sorted(arrivals)],
    )
    tx.execute(_REOPENED, [{"delivery": row.id, "seen": arrivals[row.destination, row.profile]} for row in rows])
    return [row.id for row in rows]

"""Lanes: claimed with a lease, settled by its token.

The lease is a column, on a clock that nobody sets. That it has lapsed is part of the claim's own condition: there is no
rescuer. A claim leaves `due_at` alone, so that it touches no index.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, Text, and_, bindparam, func, or_, select, tuple_, update
from sqlalchemy.types import TypeEngine

from router.model import DeliveryState
from router.store.dialect import AnyRow, Each, LeaseClock, fit, lease_clock
from router.store.rows import LaneRow, Settlement
from router.store.schema import deliveries, destinations, lanes

#: the longest wait there is, µs: a lane due later than that stands still because a clock was set back, and is due
LONGEST_WAIT_US = 25 * 3_600_000_000
#: the queue of lanes whose last try failed
RETRIES = "!"
#: the share of a claim that they get while others are due
_RETRY_SHARE = 0.2

_FREE: ColumnElement[bool] = or_(
    lanes.c.leased_until.is_(None),
    lanes.c.leased_until <= bindparam("lease_now"),
    lanes.c.lease_boot != bindparam("boot"),
)

_CLAIMABLE = (
    select(
        lanes.c.profile,
        lanes.c.registers,
        lanes.c.unsure,
        lanes.c.sending,
        lanes.c.provider_handle,
        lanes.c.arrivals,
        lanes.c.failures,
        lanes.c.lapses,
        lanes.c.token,
    )
    .where(lanes.c.destination == bindparam("at_destination"), _FREE)
    .order_by(lanes.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_DUE = _CLAIMABLE.where(lanes.c.due_at <= bindparam("now"))
_DUE_IN_QUEUE = _DUE.where(lanes.c.queue == bindparam("in_queue"))
_PARKED = _CLAIMABLE.where(lanes.c.due_at > bindparam("longest"))
_NEXT_QUEUE = select(func.min(lanes.c.queue)).where(
    lanes.c.destination == bindparam("at_destination"),
    lanes.c.due_at.is_not(None),
    lanes.c.queue > bindparam("after"),
)
_KEY = {"at_destination": Text(), "of_profile": Text()}
_HELD = _KEY | {"by_token": Text()}


def _is_lane(given: Any) -> ColumnElement[bool]:
    return and_(lanes.c.destination == given.at_destination, lanes.c.profile == given.of_profile)


def _is_held(given: Any) -> ColumnElement[bool]:
    return and_(_is_lane(given), lanes.c.token == given.by_token)


def _new(names: Sequence[str]) -> dict[str, TypeEngine[Any]]:
    """The parameters `new_<column>`."""
    return {f"new_{name}": lanes.c[name].type for name in names}


_lease = Each.update(
    _KEY | _new(("token", "leased_until", "lease_boot", "failures", "lapses")),
    lambda given: (
        update(lanes)
        .where(_is_lane(given))
        .values(
            token=given.new_token,
            leased_until=given.new_leased_until,
            lease_boot=given.new_lease_boot,
            failures=given.new_failures,
            lapses=given.new_lapses,
        )
    ),
)
_intend = Each.update(
    _HELD | _new(("sending", "unsure")),
    lambda given: update(lanes).where(_is_held(given)).values(sending=given.new_sending, unsure=given.new_unsure),
)
_HOLDERS = (
    select(
        lanes.c.destination,
        lanes.c.profile,
        lanes.c.token,
        lanes.c.arrivals,
        lanes.c.due_at,
        lanes.c.source,
        lanes.c.leased_until,
        lanes.c.lease_boot,
    )
    .where(tuple_(lanes.c.destination, lanes.c.profile).in_(bindparam("lanes", expanding=True)))
    .order_by(lanes.c.destination, lanes.c.profile)
    .with_for_update()
)
_SETTLED = (
    "registers",
    "unsure",
    "sending",
    "provider_handle",
    "due_at",
    "queue",
    "leased_until",
    "lease_boot",
    "token",
    "failures",
    "lapses",
)
_settle = Each.update(
    _HELD | _new(_SETTLED),
    lambda given: (
        update(lanes).where(_is_held(given)).values({name: getattr(given, f"new_{name}") for name in _SETTLED})
    ),
)
_UNDONE = ("sending", "leased_until", "token", "failures", "lapses")
_undo = Each.update(
    _HELD | _new(_UNDONE),
    lambda given: (
        update(lanes).where(_is_held(given)).values({name: getattr(given, f"new_{name}") for name in _UNDONE})
    ),
)
_CARRIED = _KEY | {"delivery": BigInteger(), "seen": BigInteger()}


def _is_carried(given: Any) -> ColumnElement[bool]:
    """Of a delivery planned anew since the claim, the conversation carried another change, or none."""
    return and_(
        deliveries.c.id == given.delivery,
        # within functions, so that only the primary key can serve: without statistics PostgreSQL would rather read
        # everything that is pending
        func.coalesce(deliveries.c.state, "") == DeliveryState.PENDING.value,
        func.coalesce(deliveries.c.destination, "") == given.at_destination,
        func.coalesce(deliveries.c.profile, "") == given.of_profile,
        deliveries.c.arrival <= given.seen,
    )


_finish = Each.update(
    _CARRIED | {"new_state": Text(), "new_reason": Text(), "by_attempt": BigInteger(), "now": BigInteger()},
    lambda given: (
        update(deliveries)
        .where(_is_carried(given))
        .values(state=given.new_state, reason=given.new_reason, attempt=given.by_attempt, settled_at=given.now)
    ),
)
_mark_failed = Each.update(
    _CARRIED | {"first_failed_at": BigInteger()},
    lambda given: (
        update(deliveries)
        .where(_is_carried(given), deliveries.c.failed_at.is_(None))
        .values(failed_at=given.first_failed_at)
    ),
)
_NEXT_DUE = select(
    select(lanes.c.due_at)
    .where(lanes.c.destination == destinations.c.name, lanes.c.due_at.is_not(None), _FREE)
    .order_by(lanes.c.due_at)
    .limit(1)
    .scalar_subquery()
).where(destinations.c.name.in_(bindparam("names", expanding=True)))
_BUSY = (
    select(lanes.c.destination, func.count(), func.count(lanes.c.token))
    .where(lanes.c.due_at.is_not(None))
    .group_by(lanes.c.destination)
)


class Busy(NamedTuple):
    """Lanes of a destination that are not idle."""

    #: due now or later, the leased ones included
    waiting: int
    #: with a lease, also a lapsed one
    leased: int


def claim(
    tx: Connection,
    destination: str,
    limit: int,
    lease_us: int,
    token: Callable[[], str],
    now_us: int,
    *,
    longest_wait_us: int = LONGEST_WAIT_US,
) -> list[LaneRow]:
    """Lease up to `limit` due lanes: oldest first, and the sources in turn if more are due. `token` is called for each.

    Counts as a try of each lane. Of a lane whose lease lapsed, `sending` and `lapsed_token` are the old holder's.
    """
    clock = lease_clock(tx, now_us)
    bounds = {"at_destination": destination, "lease_now": clock.us, "boot": clock.boot, "now": now_us}
    rows: Sequence[AnyRow] = tx.execute(_DUE, bounds | {"most": limit}).all()
    if len(rows) == limit:
        rows = _in_turn(tx, bounds, rows)
    else:
        parked = tx.execute(_PARKED, bounds | {"most": limit - len(rows), "longest": now_us + longest_wait_us}).all()
        rows = [*rows, *parked]
    claimed = [_claimed(destination, row, token()) for row in rows]
    _lease(tx, [_leased(lane, clock, lease_us) for lane in claimed])
    return claimed


def _in_turn(tx: Connection, bounds: Mapping[str, Any], oldest: Sequence[AnyRow]) -> Sequence[AnyRow]:
    """As many rows as `oldest` has: an equal share for each source, less for retries, the rest for the oldest."""
    queues = _queues(tx, bounds)
    if len(queues) == 1:
        return oldest
    limit = len(oldest)
    random.shuffle(queues)
    queues.sort(key=lambda queue: queue == RETRIES and random.random() > _RETRY_SHARE)
    share = -(-limit // len(queues))
    chosen: dict[str, AnyRow] = {}
    for queue in queues:
        most = min(limit - len(chosen), max(1, int(limit * _RETRY_SHARE)) if queue == RETRIES else share)
        if most > 0:
            rows = tx.execute(_DUE_IN_QUEUE, {**bounds, "in_queue": queue, "most": most})
            chosen.update((row.profile, row) for row in rows)
    for row in oldest:
        if len(chosen) < limit:
            chosen.setdefault(row.profile, row)
    return list(chosen.values())


def _queues(tx: Connection, bounds: Mapping[str, Any]) -> list[str]:
    """The queues of lanes that are not idle, each found by one step in the index."""
    queues = [""]
    place = bounds["at_destination"]
    while (found := tx.execute(_NEXT_QUEUE, {"at_destination": place, "after": queues[-1]}).scalar()) is not None:
        queues.append(found)
    return queues[1:]


def _claimed(destination: str, row: AnyRow, token: str) -> LaneRow:
    return LaneRow(
        destination=destination,
        profile=row.profile,
        registers=row.registers,
        unsure=row.unsure,
        sending=row.sending,
        handle=row.provider_handle,
        arrivals=row.arrivals,
        failures=row.failures + 1,
        lapses=row.lapses + (row.token is not None),
        token=token,
        lapsed_token=row.token,
    )


def _leased(lane: LaneRow, clock: LeaseClock, lease_us: int) -> dict[str, Any]:
    return {
        "at_destination": lane.destination,
        "of_profile": lane.profile,
        "new_token": lane.token,
        "new_leased_until": clock.us + lease_us,
        "new_lease_boot": clock.boot,
        "new_failures": lane.failures,
        "new_lapses": lane.lapses,
    }


def intend(tx: Connection, intents: Sequence[tuple[str, str, str, str | None, str]]) -> None:
    """Store `(destination, profile, token, sending, unsure)`: what is about to go out, and what may have gone out
    before and would else be forgotten with the old `sending`. In the claim's transaction."""
    names = ("at_destination", "of_profile", "by_token", "new_sending", "new_unsure")
    _intend(tx, [dict(zip(names, intent, strict=True)) for intent in intents])


def settle(tx: Connection, settlements: Sequence[Settlement], now_us: int) -> list[bool]:
    """Store what conversations did. False: the lease was lost, and nothing of that settlement was stored."""
    if not settlements:
        return []
    keys = sorted({(one.destination, one.profile) for one in settlements})
    found = {(row.destination, row.profile): row for row in tx.execute(_HOLDERS, {"lanes": keys})}
    holds = [_holds(found.get((one.destination, one.profile)), one) for one in settlements]
    kept = [one for one, held in zip(settlements, holds, strict=True) if held]
    _settle(tx, [_settled(found[one.destination, one.profile], one, now_us) for one in kept])
    done = [
        _carried(one, settled.id)
        | {"new_state": settled.state, "new_reason": fit(settled.reason), "by_attempt": settled.attempt, "now": now_us}
        for one in kept
        for settled in one.deliveries
    ]
    _finish(tx, done)
    failed = [_carried(one, number) | {"first_failed_at": one.failed_at} for one in kept for number in one.failed]
    _mark_failed(tx, failed)
    return holds


def _holds(row: AnyRow | None, settlement: Settlement) -> bool:
    return row is not None and row.token == settlement.token


def _settled(row: AnyRow, one: Settlement, now_us: int) -> dict[str, Any]:
    if one.keep:
        due_at = row.due_at
    elif one.due_at is None and row.arrivals != one.arrivals:
        due_at = now_us + one.debounce_us
    else:
        due_at = one.due_at
    return {
        "at_destination": one.destination,
        "of_profile": one.profile,
        "by_token": one.token,
        "new_registers": one.registers,
        "new_unsure": one.unsure,
        "new_sending": one.sending if one.keep else None,
        "new_provider_handle": one.handle,
        "new_due_at": due_at,
        "new_queue": RETRIES if one.failures else row.source,
        "new_leased_until": row.leased_until if one.keep else None,
        "new_lease_boot": row.lease_boot if one.keep else "",
        "new_token": one.token if one.keep else None,
        "new_failures": one.failures,
        "new_lapses": one.lapses,
    }


def _carried(one: Settlement, delivery: int) -> dict[str, Any]:
    return {
        "delivery": delivery,
        "at_destination": one.destination,
        "of_profile": one.profile,
        "seen": one.arrivals,
    }


def release(tx: Connection, claimed: Sequence[LaneRow]) -> None:
    """Undo claims of which nothing was sent: no try is counted, and what a lapsed holder left is there as before."""
    _undo(tx, [_undone(lane) for lane in claimed])


def _undone(lane: LaneRow) -> dict[str, Any]:
    lapsed = lane.lapsed_token is not None
    return {
        "at_destination": lane.destination,
        "of_profile": lane.profile,
        "by_token": lane.token,
        "new_sending": lane.sending if lapsed else None,
        "new_leased_until": 0 if lapsed else None,
        "new_token": lane.lapsed_token,
        "new_failures": lane.failures - 1,
        "new_lapses": lane.lapses - int(lapsed),
    }


def next_due(tx: Connection, names: Sequence[str], now_us: int) -> int | None:
    """When the next lane of these destinations can be claimed: a past time if one can be now. None: none waits.

    Lanes with a live lease are left out, destinations that `ensure` never saw too.
    """
    clock = lease_clock(tx, now_us)
    rows = tx.execute(_NEXT_DUE, {"names": names, "lease_now": clock.us, "boot": clock.boot}).scalars()
    return min((due for due in rows if due is not None), default=None)


def busy(tx: Connection) -> dict[str, Busy]:
    """Destination → how many of its lanes are not idle. Counts row by row: not for every second."""
    return {row[0]: Busy(row[1], row[2]) for row in tx.execute(_BUSY)}

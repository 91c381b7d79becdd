"""Destinations: whether they may be sent to, and at what rate, over all machines."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import floor
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, select, update

from router.store.dialect import AnyRow, both, now_us
from router.store.lanes import LONGEST_WAIT_US
from router.store.rows import Gate
from router.store.schema import destinations

RUNNING = "running"

_ENSURE = both(destinations, lambda insert: insert.on_conflict_do_nothing())
_NAMED: ColumnElement[bool] = destinations.c.name == bindparam("of_name")
#: what the bucket holds now, before it is capped; a clock that was set back gives nothing
_ELAPSED: ColumnElement[Any] = case(
    (bindparam("now") > destinations.c.drawn_at, bindparam("now") - destinations.c.drawn_at), else_=0
)
_REFILLED: ColumnElement[Any] = func.coalesce(
    destinations.c.tokens + _ELAPSED * bindparam("rate") / 1_000_000, bindparam("most")
)
_DRAW = (
    update(destinations)
    .where(_NAMED)
    .values(
        tokens=case((bindparam("most") > _REFILLED, _REFILLED), else_=bindparam("most")) - bindparam("drawn"),
        rate_per_s=bindparam("rate"),
        capacity=bindparam("most"),
        drawn_at=bindparam("now"),
    )
    .returning(destinations.c.tokens)
)
_HOLD = (
    update(destinations)
    .where(_NAMED, destinations.c.resume_at < bindparam("until"))
    .values(resume_at=bindparam("until"))
)
_STATE = (
    select(destinations.c.state, destinations.c.stopped_at, destinations.c.stopped_us).where(_NAMED).with_for_update()
)
_SET_STATE = (
    update(destinations)
    .where(_NAMED)
    .values({name: bindparam(f"new_{name}") for name in ("state", "reason", "resume_at", "stopped_at", "stopped_us")})
)
_ALL = select(destinations).order_by(destinations.c.name)


def ensure(tx: Connection, names: Iterable[str]) -> None:
    """See that there is a row for each name."""
    wanted = [{"name": name} for name in sorted(set(names))]
    if wanted:
        tx.execute(_ENSURE[tx.dialect.name], wanted)


def gates(tx: Connection, now_us: int) -> dict[str, Gate]:
    """Name → whether it may be sent to at this time."""
    return {row.name: _gate(row, now_us) for row in tx.execute(_ALL)}


def _gate(row: AnyRow, now_us: int) -> Gate:
    parked = row.resume_at > now_us + LONGEST_WAIT_US  # a clock was set back
    tokens = None
    if row.tokens is not None:
        refill = max(0, now_us - row.drawn_at) * row.rate_per_s / 1_000_000
        tokens = floor(min(row.capacity, row.tokens + refill))
    stopped_us = row.stopped_us + (0 if row.stopped_at is None else max(0, now_us - row.stopped_at))
    return Gate(row.name, row.state, row.reason, 0 if parked else row.resume_at, tokens, stopped_us)


def draw(tx: Connection, name: str, n: int, rate_per_s: float, capacity: float, now_us: int) -> float:
    """Take `n` tokens out of the bucket, below zero if need be. What it holds then; a full one holds `capacity`."""
    values = {"of_name": name, "drawn": n, "rate": float(rate_per_s), "most": float(capacity), "now": now_us}
    return float(tx.execute(_DRAW, values).scalar_one())


def hold(tx: Connection, name: str, resume_at: int) -> None:
    """Claim nothing before this time; an earlier one than is set already changes nothing."""
    tx.execute(_HOLD, {"of_name": name, "until": resume_at})


def set_state(
    tx: Connection,
    name: str,
    state: str,
    reason: str = "",
    resume_at: int = 0,
    *,
    only_from: Collection[str] | None = None,
) -> bool:
    """Move to a state. With `only_from`, only out of one of these: a breaker does not undo an operator's pause."""
    row = tx.execute(_STATE, {"of_name": name}).one_or_none()
    if row is None or (only_from is not None and row.state not in only_from):
        return False
    now = now_us(tx)
    stopped_at, stopped_us = row.stopped_at, row.stopped_us
    if state == RUNNING and stopped_at is not None:
        stopped_us += max(0, now - stopped_at)
        stopped_at = None
    elif state != RUNNING and stopped_at is None:
        stopped_at = now
    values = {
        "of_name": name,
        "new_state": state,
        "new_reason": reason,
        "new_resume_at": resume_at,
        "new_stopped_at": stopped_at,
        "new_stopped_us": stopped_us,
    }
    tx.execute(_SET_STATE, values)
    return True

"""Refusals: webhooks that were turned away at the door, with the reason and never the body."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select

from router.store import ids
from router.store.schema import refusals

_INSERT = insert(refusals)


class Refusal(NamedTuple):
    """One webhook that was turned away. `refused_at` is microseconds since 1970, `size` bytes."""

    id: int
    refused_at: int
    status: int
    reason: str
    detail: str
    size: int
    address: str
    user_agent: str


def record(
    tx: Connection,
    source: str,
    now_us: int,
    *,
    status: int,
    reason: str,
    detail: str = "",
    size: int = 0,
    address: str = "",
    user_agent: str = "",
) -> int:
    """Store one refusal; gives its id. `detail` holds no secret, body or profile; `size` is in bytes."""
    number = ids.new(now_us)
    values = {
        "id": number,
        "source": source,
        "refused_at": now_us,
        "status": status,
        "reason": reason,
        "detail": detail,
        "size": size,
        "address": address,
        "user_agent": user_agent,
    }
    tx.execute(_INSERT, [values])
    return number


def counts(tx: Connection, source: str, since_us: int) -> dict[str, int]:
    """Reason → rows since then. Of a flood only some are rows: the `detail` of the next says how many were left out."""
    mine = (refusals.c.source == source) & (refusals.c.id >= ids.floor(since_us))
    reason = refusals.c.reason
    query = select(reason, func.count()).where(mine).group_by(reason).order_by(reason)
    return {row[0]: row[1] for row in tx.execute(query)}


def newest(tx: Connection, source: str, limit: int) -> list[Refusal]:
    """The last refusals of a source, newest first."""
    query = select(*(refusals.c[name] for name in Refusal._fields)).where(refusals.c.source == source)
    return [Refusal._make(row) for row in tx.execute(query.order_by(refusals.c.id.desc()).limit(limit))]

"""Refusals: webhooks that were turned away at the door, with the reason and never the body."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from router.store import ids
from router.store.schema import refusals

_INSERT = insert(refusals)


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

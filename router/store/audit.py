"""The audit trail: who did what. Each row's hash covers the one before it, so that an edit shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from router.store import ids
from router.store.dialect import AnyRow
from router.store.schema import audit

_LAST = select(audit.c.id, audit.c.hash).order_by(audit.c.id.desc()).limit(1)
_LAST_OF = (
    select(audit.c.id, audit.c.action, audit.c.target)
    .where(audit.c.action.in_(bindparam("actions", expanding=True)))
    .order_by(audit.c.id.desc())
    .limit(1)
)
_INSERT = insert(audit)
_ALL = select(audit).order_by(audit.c.id)
#: of the advisory lock that lets one transaction at a time add a row
_LOCK = 7_201_604_311


def record(
    tx: Connection,
    now_us: int,
    *,
    actor: str,
    action: str,
    target: str,
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
) -> int:
    """Add a row at the end; gives its id. `detail` is JSON without personal values or secrets."""
    _lock(tx)
    last = tx.execute(_LAST).one_or_none()
    values = {
        "id": ids.new(now_us) if last is None else max(ids.new(now_us), last.id + 1),
        "acted_at": now_us,
        "actor": actor,
        "action": action,
        "target": target,
        "reason": reason,
        "detail": json.dumps(dict(detail or {}), sort_keys=True),
    }
    tx.execute(_INSERT, [values | {"hash": _hash(values, b"" if last is None else bytes(last.hash))}])
    return int(values["id"])


def record_change(
    tx: Connection, now_us: int, actions: Collection[str], *, actor: str, action: str, target: str, reason: str = ""
) -> int | None:
    """`record`, unless the last row of these actions says the same: for what several processes notice, each by itself.

    Gives the id of the row, None if there was no need of one.
    """
    _lock(tx)
    last = tx.execute(_LAST_OF, {"actions": sorted(actions)}).one_or_none()
    if last is not None and (last.action, last.target) == (action, target):
        return None
    return record(tx, now_us, actor=actor, action=action, target=target, reason=reason)


def _lock(tx: Connection) -> None:
    """One transaction at a time adds rows; on SQLite all that write are one at a time anyway."""
    if tx.dialect.name == "postgresql":
        tx.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def first_broken(tx: Connection) -> int | None:
    """The id of the first row that was edited, or that follows a missing one. None: the chain is whole."""
    before = b""
    for row in tx.execute(_ALL):
        if _hash(_values(row), before) != bytes(row.hash):
            return int(row.id)
        before = bytes(row.hash)
    return None


def _values(row: AnyRow) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "hash"}


def _hash(values: Mapping[str, Any], before: bytes) -> bytes:
    return hashlib.sha256(before + json.dumps(values, sort_keys=True).encode()).digest()

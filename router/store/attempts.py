"""Attempts: the record of each call, and of which lanes and deliveries it carried."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import Connection, insert

from router.store.rows import AttemptRow
from router.store.schema import attempt_lanes, attempts

_COLUMNS = tuple(field.name for field in fields(AttemptRow) if field.name != "lanes")
_INSERT = insert(attempts)
_INSERT_LANES = insert(attempt_lanes)


def record(tx: Connection, rows: Sequence[AttemptRow]) -> None:
    """Store attempts. What a provider said is made fit for a text column: no NUL, no half of a surrogate pair."""
    if not rows:
        return
    tx.execute(_INSERT, [{name: _fit(getattr(row, name)) for name in _COLUMNS} for row in rows])
    lanes = [
        {
            "destination": row.destination,
            "profile": profile,
            "attempt": row.id,
            "deliveries": json.dumps(list(carried)),
            "fields": versions,
        }
        for row in rows
        for profile, carried, versions in row.lanes
    ]
    if lanes:
        tx.execute(_INSERT_LANES, lanes)


def _fit(value: object) -> object:
    if isinstance(value, str) and not value.isprintable():
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return value

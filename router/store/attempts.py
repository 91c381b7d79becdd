"""Attempts: the record of each call, and of which lanes and deliveries it carried."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import Connection

from router.store.dialect import Each, fit
from router.store.rows import AttemptRow
from router.store.schema import attempt_lanes, attempts

_COLUMNS = tuple(field.name for field in fields(AttemptRow) if field.name != "lanes")
_insert = Each.insert(attempts, _COLUMNS, again=True)
_insert_lanes = Each.insert(attempt_lanes, ("destination", "profile", "attempt", "deliveries", "fields"), again=True)


def record(tx: Connection, rows: Sequence[AttemptRow]) -> None:
    """Store attempts; one that is stored already is left alone, as after a commit whose end was not seen.

    What a provider said is made fit for a text column: no NUL, no half of a surrogate pair.
    """
    _insert(tx, [{name: fit(getattr(row, name)) for name in _COLUMNS} for row in rows])
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
    _insert_lanes(tx, lanes)

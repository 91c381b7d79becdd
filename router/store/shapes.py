"""Shapes: how often each path of a type of event came, by the day. Names and kinds, never values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, select

from router.store.dialect import both, fit
from router.store.schema import shapes

#: days that are kept
KEEP_DAYS = 60


class Place(NamedTuple):
    """What is counted."""

    source: str
    type: str
    #: of receipt, days since 1970
    day: int
    path: str
    kind: str


_ADD = both(
    shapes,
    lambda insert: insert.on_conflict_do_update(
        index_elements=["source", "type", "day", "path", "kind"], set_={"n": shapes.c.n + insert.excluded.n}
    ),
)
_OF_SOURCE = (
    select(shapes.c.type, shapes.c.day, shapes.c.path, shapes.c.kind, shapes.c.n)
    .where(shapes.c.source == bindparam("of"))
    .order_by(shapes.c.type, shapes.c.day)
)
_FORGET = delete(shapes).where(shapes.c.day < bindparam("before"))


def add(tx: Connection, counts: Mapping[Place, int]) -> None:
    """Add to what is counted already."""
    # in one order, or two workers could wait for each other
    rows = [
        {**place._asdict(), "type": fit(place.type), "path": fit(place.path), "n": n}
        for place, n in sorted(counts.items())
    ]
    if rows:
        tx.execute(_ADD[tx.dialect.name], rows)


def forget(tx: Connection, today: int) -> None:
    """Leave out the days that are no longer kept."""
    tx.execute(_FORGET, {"before": today - KEEP_DAYS})


def of_source(tx: Connection, source: str) -> dict[str, list[tuple[int, str, str, int]]]:
    """Type of event → its counts as (day, path, kind, events)."""
    found: dict[str, list[tuple[int, str, str, int]]] = defaultdict(list)
    for row in tx.execute(_OF_SOURCE, {"of": source}):
        found[row.type].append((row.day, row.path, row.kind, row.n))
    return dict(found)

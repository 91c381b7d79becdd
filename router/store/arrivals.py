"""What a source has sent lately. Reads no further back than it has to."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from router.store import ids
from router.store.listing import ListedEvent
from router.store.schema import events

_EVENTS = select(*(events.c[name] for name in ListedEvent._fields))


def last(tx: Connection, source: str) -> ListedEvent | None:
    """The newest event of a source, None if it never sent one."""
    query = _EVENTS.where(events.c.source == source).order_by(events.c.id.desc()).limit(1)
    row = tx.execute(query).one_or_none()
    return None if row is None else ListedEvent._make(row)


def count(tx: Connection, source: str, since_us: int) -> int:
    """How many events of a source were stored since then."""
    mine = (events.c.source == source) & (events.c.id >= ids.floor(since_us))
    return int(tx.execute(select(func.count()).where(mine)).scalar_one())


def types(tx: Connection, source: str, most: int) -> dict[str, int]:
    """Type → how many of the newest `most` events of a source have it, the most frequent first."""
    newest = select(events.c.type).where(events.c.source == source).order_by(events.c.id.desc()).limit(most).subquery()
    number = func.count()
    query = select(newest.c.type, number).group_by(newest.c.type).order_by(number.desc(), newest.c.type)
    return {row[0]: row[1] for row in tx.execute(query)}

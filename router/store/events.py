"""Events: stored once per sender's id, waiting to be routed, found again."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, select, tuple_, update

from router import model
from router.model import EventState
from router.store import ids
from router.store.dialect import AnyRow, both
from router.store.rows import EventRow, Stored
from router.store.schema import events

#: how long an id made from the bytes is remembered, µs: the same bytes later are another event
WEAK_ID_US = 3_600_000_000

_INSERT = both(
    events,
    lambda insert: insert.on_conflict_do_nothing(index_elements=["source", "external_key"]).returning(events.c.id),
)
_KNOWN = select(
    events.c.id, events.c.source, events.c.external_key, events.c.body_hash, events.c.received_at, events.c.series
).where(tuple_(events.c.source, events.c.external_key).in_(bindparam("keys", expanding=True)))
_COUNT = (
    update(events)
    .where(events.c.id == bindparam("event"))
    .values(
        repeats=events.c.repeats + bindparam("more_repeats"), conflicts=events.c.conflicts + bindparam("more_conflicts")
    )
)
_SERIES = update(events).where(events.c.id == bindparam("event")).values(series=bindparam("newest"))

_EVENT = (
    events.c.id,
    events.c.routing,
    events.c.source,
    events.c.external_id,
    events.c.type,
    events.c.occurred_at,
    events.c.received_at,
    events.c.object_version,
    events.c.body,
    events.c.part,
    events.c.headers,
    events.c.query,
)
#: the second condition is what SQLite needs to see that the index of the first covers it
_IS_WAITING = and_(events.c.state == "received", events.c.state != "routed")
_OLDEST = select(*_EVENT).where(_IS_WAITING).order_by(events.c.id).limit(bindparam("most"))
_OLDEST_OF = (
    select(*_EVENT)
    .where(events.c.state == "received", events.c.source == bindparam("of"))
    .order_by(events.c.id)
    .limit(bindparam("most"))
)
_NEWEST_OF = (
    select(*_EVENT)
    .where(events.c.source == bindparam("of"), events.c.id < bindparam("below"), func.length(events.c.body) > 0)
    .order_by(events.c.id.desc())
    .limit(bindparam("most"))
)
_OLD = (
    select(events.c.id, (func.length(events.c.body) > 0).label("has_body"), events.c.state)
    .where(events.c.source == bindparam("of"), events.c.id > bindparam("after"), events.c.id < bindparam("before"))
    .order_by(events.c.id)
    .limit(bindparam("most"))
)
_EMPTY = (
    update(events)
    .where(events.c.id.in_(bindparam("events", expanding=True)), events.c.state != EventState.RECEIVED.value)
    .values(body=b"", headers="{}", query="{}")
)
_NEXT_SOURCE = select(func.min(events.c.source)).where(
    events.c.state == "received", events.c.source > bindparam("after")
)
_GET = select(*_EVENT, events.c.state, events.c.reason, events.c.revision, events.c.repeats, events.c.conflicts).where(
    events.c.id == bindparam("event")
)
_AGAIN = (
    update(events)
    .where(events.c.id.in_(bindparam("events", expanding=True)))
    .where(events.c.state.in_(["routed", "skipped", "failed"]))
    .values(state="received", reason="", routing=events.c.routing + 1)
    .returning(events.c.id)
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event made ready to be inserted. Keeps its id however often the insert is repeated."""

    values: dict[str, Any]
    weak: bool

    @property
    def key(self) -> tuple[str, bytes]:
        return self.values["source"], self.values["external_key"]


def prepare(new: Iterable[model.Event], now_us: int) -> list[NewEvent]:
    """The rows of events, with ids of this time. Does no I/O."""
    listed = list(new)
    return [_row(event, number) for event, number in zip(listed, ids.many(now_us, len(listed)), strict=True)]


def put(tx: Connection, new: Iterable[model.Event], now_us: int) -> list[Stored]:
    """Store events, each sender's id once: what became of each, in order."""
    return insert(tx, prepare(new, now_us))


def _row(event: model.Event, number: int) -> NewEvent:
    values = {
        "id": number,
        "source": event.source,
        "external_id": event.external_id,
        "external_key": external_key(event.external_id),
        "type": event.type,
        "occurred_at": model.to_us(event.occurred_at),
        "received_at": model.to_us(event.received_at),
        "object_version": event.object_version,
        "body": event.body,
        "body_hash": hashlib.sha256(event.body).digest(),
        "part": event.part,
        "headers": json.dumps(dict(event.headers)),
        "query": json.dumps({name: list(given) for name, given in event.query.items()}),
        "state": EventState.FAILED.value if event.error else EventState.RECEIVED.value,
        "reason": event.error,
    }
    return NewEvent(values, event.weak_id)


def external_key(external_id: str) -> bytes:
    """What stands for a sender's id in the index."""
    return hashlib.blake2b(external_id.encode(), digest_size=16).digest()


def insert(tx: Connection, rows: Sequence[NewEvent]) -> list[Stored]:
    """Insert rows: what became of each, in order. Repeating it after an unknown outcome gives the same answer."""
    if not rows:
        return []
    first: dict[tuple[str, bytes], NewEvent] = {}
    for row in rows:
        first.setdefault(row.key, row)
    batch = [first[key].values for key in sorted(first)]  # one order, or two batches could wait for each other
    new = set(tx.execute(_INSERT[tx.dialect.name], batch).scalars())
    if len(new) == len(rows):
        return [Stored(row.values["id"], True) for row in rows]
    return _with_repeats(tx, rows, new)


def _with_repeats(tx: Connection, rows: Sequence[NewEvent], new: set[int]) -> list[Stored]:
    keys = sorted({row.key for row in rows if row.values["id"] not in new})
    known = {(row.source, bytes(row.external_key)): row for row in tx.execute(_KNOWN, {"keys": keys})}
    repeats: defaultdict[int, int] = defaultdict(int)
    conflicts: defaultdict[int, int] = defaultdict(int)
    result = []
    for row in rows:
        number = row.values["id"]
        if number in new or known[row.key].id == number:
            result.append(Stored(number, True))
            continue
        found = _newest(tx, row, known[row.key]) if row.weak else known[row.key]
        if found is None or found.id == number:
            result.append(Stored(number, True))
            continue
        conflict = bytes(found.body_hash) != row.values["body_hash"]
        (conflicts if conflict else repeats)[found.id] += 1
        result.append(Stored(found.id, False, conflict))
    counts = [
        {"event": number, "more_repeats": repeats[number], "more_conflicts": conflicts[number]}
        for number in sorted(repeats.keys() | conflicts.keys())
    ]
    if counts:
        tx.execute(_COUNT, counts)
    return result


def _newest(tx: Connection, row: NewEvent, base: AnyRow) -> AnyRow | None:
    """The event that these bytes repeat. None: the last one is forgotten, and `row` was stored as `<id>~<n>`."""
    found: AnyRow | None = base
    number = base.series
    if number > 1:
        found = _named(tx, row, number)
    while found is not None:
        if row.values["received_at"] - found.received_at < WEAK_ID_US:
            return found
        number += 1
        name = f"{row.values['external_id']}~{number}"
        values = row.values | {"external_id": name, "external_key": external_key(name)}
        stored = tx.execute(_INSERT[tx.dialect.name], [values]).scalars().all()
        tx.execute(_SERIES, {"event": base.id, "newest": number})
        found = None if stored else _named(tx, row, number)
    return None


def _named(tx: Connection, row: NewEvent, number: int) -> AnyRow | None:
    name = f"{row.values['external_id']}~{number}"
    return tx.execute(_KNOWN, {"keys": [(row.values["source"], external_key(name))]}).one_or_none()


def received(tx: Connection, limit: int) -> list[tuple[int, int, model.Event]]:
    """`(id, routing, event)` of events that wait to be routed: oldest first, each source in turn if there are more."""
    rows = tx.execute(_OLDEST, {"most": limit}).all()
    if len(rows) == limit:
        sources = list(_sources(tx))
        if len(sources) > 1:
            rows = _in_turn(tx, sources, rows)
    return [(row.id, row.routing, _event(row)) for row in rows]


def _in_turn(tx: Connection, sources: Sequence[str], oldest: Sequence[AnyRow]) -> list[AnyRow]:
    """As many rows as `oldest` has: an equal share for each source, and what is left over for the oldest."""
    limit = len(oldest)
    share = -(-limit // len(sources))
    queues = [tx.execute(_OLDEST_OF, {"of": source, "most": share}).all() for source in sources]
    turns = (row for turn in range(share) for queue in queues for row in queue[turn : turn + 1])
    chosen = {row.id: row for row in islice(turns, limit)}
    for row in oldest:
        if len(chosen) < limit:
            chosen.setdefault(row.id, row)
    return list(chosen.values())


def _sources(tx: Connection) -> Iterator[str]:
    """The sources with events that wait, each found by one step in the index."""
    source = ""
    while (found := tx.execute(_NEXT_SOURCE, {"after": source}).scalar()) is not None:
        yield (source := found)


class Aged(NamedTuple):
    """A stretch of a source's old events."""

    #: those whose bodies are still kept; what waits to be routed is not among them
    full: Sequence[int]
    #: the last one that was looked at; None: there are no more
    last: int | None


def aged(tx: Connection, source: str, after: int, before: int, limit: int) -> Aged:
    """Looks at `limit` events of a source between two ids, oldest first."""
    rows = tx.execute(_OLD, {"of": source, "after": after, "before": before, "most": limit}).all()
    full = [row.id for row in rows if row.has_body and row.state != EventState.RECEIVED]
    return Aged(full, rows[-1].id if len(rows) == limit else None)


def empty(tx: Connection, events_: Sequence[int]) -> None:
    """Forget the bodies of events, and the headers and parameters that were kept. What they were stays known."""
    tx.execute(_EMPTY, {"events": sorted(events_)})


def newest(tx: Connection, source: str, limit: int, below: int | None = None) -> list[model.Event]:
    """The events of a source that came last, newest first, those whose bodies are kept; before `below`, our id."""
    rows = tx.execute(_NEWEST_OF, {"of": source, "below": 2**63 - 1 if below is None else below, "most": limit})
    return [_event(row) for row in rows]


def _event(row: AnyRow) -> model.Event:
    return model.Event(
        source=row.source,
        external_id=row.external_id,
        type=row.type,
        occurred_at=model.from_us(row.occurred_at),
        received_at=model.from_us(row.received_at),
        object_version=row.object_version,
        body=bytes(row.body),
        part=row.part,
        headers=json.loads(row.headers),
        query=json.loads(row.query),
        id=row.id,
        routing=row.routing,
    )


def get(tx: Connection, event: int) -> EventRow | None:
    """One event with its state, or None."""
    row = tx.execute(_GET, {"event": event}).one_or_none()
    if row is None:
        return None
    return EventRow(_event(row), EventState(row.state), row.reason, row.revision, row.repeats, row.conflicts)


def route_again(tx: Connection, events_: Sequence[int]) -> list[int]:
    """Have events routed once more, with the rules of then. Gives the ids of those that will be."""
    if not events_:
        return []
    return list(tx.execute(_AGAIN, {"events": sorted(events_)}).scalars())

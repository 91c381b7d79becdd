"""Questions that people ask: lists of events and deliveries, and one of them in full. Never on the hot path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Select, Text, cast, func, literal, select

from router.store.schema import attempt_lanes, attempts, deliveries, destinations, events, lanes


class ListedEvent(NamedTuple):
    """An event without its body. Times are microseconds since 1970."""

    id: int
    source: str
    external_id: str
    type: str
    occurred_at: int
    received_at: int
    state: str
    reason: str
    revision: str
    routing: int
    repeats: int
    conflicts: int


class ListedDelivery(NamedTuple):
    """A delivery with what is known of its event and its lane."""

    id: int
    event_id: int
    rule: str
    destination: str
    profile: str
    #: JSON
    version: str
    change: str
    state: str
    reason: str
    attempt: int | None
    settled_at: int | None
    source: str
    type: str
    received_at: int
    #: conversations that carried it
    tries: int
    #: when its lane is tried next, if it is pending
    due_at: int | None


class ListedLane(NamedTuple):
    """A person at one destination."""

    destination: str
    profile: str
    registers: str
    unsure: str
    sending: str | None
    provider_handle: str | None
    due_at: int | None
    leased_until: int | None
    failures: int


class ListedAttempt(NamedTuple):
    """One call, and the deliveries of this profile that it carried."""

    id: int
    destination: str
    token: str
    number: int
    step: str
    method: str
    path: str
    request: str
    status: int | None
    reply: str
    outcome: str
    reason: str
    ambiguous: bool
    started_at: int
    ended_at: int
    worker: str
    profile: str
    #: JSON lists
    deliveries: str
    fields: str


#: conversations that carried a delivery; ids have as many digits as they have, so the commas count
_TRIES = (
    select(func.count(func.distinct(attempts.c.token)))
    .select_from(attempt_lanes.join(attempts, attempts.c.id == attempt_lanes.c.attempt))
    .where(
        attempt_lanes.c.destination == deliveries.c.destination,
        attempt_lanes.c.profile == deliveries.c.profile,
        func.replace(func.replace(func.replace(attempt_lanes.c.deliveries, " ", ""), "[", ","), "]", ",").contains(
            literal(",") + cast(deliveries.c.id, Text) + literal(",")
        ),
    )
    .scalar_subquery()
)
_EVENTS = select(*(events.c[name] for name in ListedEvent._fields))
_DELIVERIES = select(
    *(deliveries.c[name] for name in ListedDelivery._fields[:11]),
    events.c.source,
    events.c.type,
    events.c.received_at,
    _TRIES,
    lanes.c.due_at,
).select_from(
    deliveries.join(events, events.c.id == deliveries.c.event_id).outerjoin(
        lanes, (lanes.c.destination == deliveries.c.destination) & (lanes.c.profile == deliveries.c.profile)
    )
)
_LANES = select(*(lanes.c[name] for name in ListedLane._fields))
_ATTEMPTS = select(
    *(attempts.c[name] for name in ListedAttempt._fields[:16]),
    attempt_lanes.c.profile,
    attempt_lanes.c.deliveries,
    attempt_lanes.c.fields,
).select_from(attempts.join(attempt_lanes, attempt_lanes.c.attempt == attempts.c.id))

#: filter key → column, for each list
EVENT_KEYS: Mapping[str, Column[Any]] = {
    "state": events.c.state,
    "source": events.c.source,
    "type": events.c.type,
    "external": events.c.external_id,
}
DELIVERY_KEYS: Mapping[str, Column[Any]] = {
    "state": deliveries.c.state,
    "destination": deliveries.c.destination,
    "rule": deliveries.c.rule,
    "profile": deliveries.c.profile,
    "source": events.c.source,
    "type": events.c.type,
}


class Wanted(NamedTuple):
    """What a list is restricted to."""

    #: key → values, any of which may match; a `*` at the end stands for anything
    values: Mapping[str, Sequence[str]] = {}
    #: received at or after, and before, microseconds
    since: int | None = None
    before: int | None = None
    #: ids below this one: the next page
    below: int | None = None


def list_events(tx: Connection, wanted: Wanted, limit: int | None) -> list[ListedEvent]:
    """Newest first. `limit` None: all."""
    query = _restricted(_EVENTS, wanted, EVENT_KEYS, events.c.id)
    return [ListedEvent._make(row) for row in tx.execute(query.order_by(events.c.id.desc()).limit(limit))]


def list_deliveries(tx: Connection, wanted: Wanted, limit: int | None) -> list[ListedDelivery]:
    """Newest first. `limit` None: all."""
    query = _restricted(_DELIVERIES, wanted, DELIVERY_KEYS, deliveries.c.id)
    return [ListedDelivery._make(row) for row in tx.execute(query.order_by(deliveries.c.id.desc()).limit(limit))]


def _restricted(
    query: Select[Any], wanted: Wanted, columns: Mapping[str, Column[Any]], number: Column[Any]
) -> Select[Any]:
    for key, values in wanted.values.items():
        query = query.where(_any_of(columns[key], values))
    if wanted.since is not None:
        query = query.where(events.c.received_at >= wanted.since)
    if wanted.before is not None:
        query = query.where(events.c.received_at < wanted.before)
    if wanted.below is not None:
        query = query.where(number < wanted.below)
    return query


def _any_of(column: Column[Any], values: Sequence[str]) -> ColumnElement[bool]:
    exact = [value for value in values if not value.endswith("*")]
    condition: ColumnElement[bool] = column.in_(exact)
    for value in values:
        if value.endswith("*"):
            condition = condition | column.startswith(value[:-1], autoescape=True)
    return condition


def count_deliveries(tx: Connection, wanted: Wanted) -> int:
    """How many deliveries a list would have, all pages together."""
    joined = select(func.count()).select_from(deliveries.join(events, events.c.id == deliveries.c.event_id))
    return int(tx.execute(_restricted(joined, wanted, DELIVERY_KEYS, deliveries.c.id)).scalar_one())


def count_events(tx: Connection, wanted: Wanted) -> int:
    """How many events a list would have, all pages together."""
    return int(
        tx.execute(_restricted(select(func.count()).select_from(events), wanted, EVENT_KEYS, events.c.id)).scalar_one()
    )


def event(tx: Connection, number: int) -> ListedEvent | None:
    """One event, None if there is none."""
    row = tx.execute(_EVENTS.where(events.c.id == number)).one_or_none()
    return None if row is None else ListedEvent._make(row)


def event_by_external_id(tx: Connection, source: str, external_id: str) -> ListedEvent | None:
    """One event by its sender's id, None if there is none."""
    query = _EVENTS.where(events.c.source == source, events.c.external_id == external_id)
    row = tx.execute(query.order_by(events.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else ListedEvent._make(row)


def events_with_external_id(tx: Connection, external_id: str, limit: int) -> list[int]:
    """The numbers of the events that some sender gave this id, newest first."""
    query = select(events.c.id).where(events.c.external_id == external_id)
    return list(tx.execute(query.order_by(events.c.id.desc()).limit(limit)).scalars())


def deliveries_of(tx: Connection, event_id: int) -> list[ListedDelivery]:
    """The deliveries of an event, in the order in which they were planned."""
    query = _DELIVERIES.where(deliveries.c.event_id == event_id).order_by(deliveries.c.id)
    return [ListedDelivery._make(row) for row in tx.execute(query)]


def delivery(tx: Connection, number: int) -> ListedDelivery | None:
    """One delivery, None if there is none."""
    row = tx.execute(_DELIVERIES.where(deliveries.c.id == number)).one_or_none()
    return None if row is None else ListedDelivery._make(row)


def lanes_of(tx: Connection, profile: str) -> list[ListedLane]:
    """A person's lanes, by destination."""
    query = _LANES.where(lanes.c.profile == profile).order_by(lanes.c.destination)
    return [ListedLane._make(row) for row in tx.execute(query)]


def latest_people(tx: Connection, limit: int) -> list[str]:
    """Whose profiles the newest `limit` deliveries change, newest first."""
    query = select(deliveries.c.profile).order_by(deliveries.c.id.desc()).limit(limit)
    return list(dict.fromkeys(tx.execute(query).scalars()))


def attempts_of(tx: Connection, destination: str, profile: str, limit: int = 1_000) -> list[ListedAttempt]:
    """The calls of a lane, oldest first; of very many the newest."""
    query = _ATTEMPTS.where(attempt_lanes.c.destination == destination, attempt_lanes.c.profile == profile).order_by(
        attempts.c.id.desc()
    )
    return [ListedAttempt._make(row) for row in tx.execute(query.limit(limit))][::-1]


class Stopped(NamedTuple):
    """A destination that nothing is sent to now."""

    #: `paused`, `denied`, `tripped`, or `running` if it only waits as it was told
    state: str
    reason: str
    #: when it is tried again; 0: not by itself
    resume_at: int


def stopped(tx: Connection, now_us: int) -> dict[str, Stopped]:
    """Destination → why nothing is sent to it now."""
    columns = destinations.c
    query = select(columns.name, columns.state, columns.reason, columns.resume_at)
    rows = tx.execute(query.where((columns.state != "running") | (columns.resume_at > now_us)).order_by(columns.name))
    return {row[0]: Stopped(*row[1:]) for row in rows}


def tally(tx: Connection) -> dict[str, dict[str, int]]:
    """State → number, for events and deliveries. Counts row by row."""
    return {
        "events": {row[0]: row[1] for row in tx.execute(select(events.c.state, func.count()).group_by(events.c.state))},
        "deliveries": {
            row[0]: row[1] for row in tx.execute(select(deliveries.c.state, func.count()).group_by(deliveries.c.state))
        },
    }


def repeats(tx: Connection) -> int:
    """How many webhooks brought an event that was known already."""
    return int(tx.execute(select(func.coalesce(func.sum(events.c.repeats + events.c.conflicts), 0))).scalar_one())

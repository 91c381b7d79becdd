"""The tables: the one definition of what is stored. The migrations are tested to equal it.

Every table is keyed by event or by profile. Times are whole microseconds since 1970 (UTC) of the database's clock
unless a column says otherwise. There are no foreign keys: rows are locked in one order (events, lanes, deliveries),
and nothing else may lock them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

metadata = MetaData()

#: 64 bits; on SQLite `INTEGER`, which makes a primary key the row id itself
_Number = BigInteger().with_variant(Integer(), "sqlite")
#: compared by code point on both databases
_Word = Text().with_variant(Text(collation="C"), "postgresql")


def _key(name: str) -> Column[int]:
    return Column(name, _Number, primary_key=True, autoincrement=False)


def _number(name: str, default: int | None = 0) -> Column[int]:
    return Column(name, _Number, nullable=False, server_default=None if default is None else text(str(default)))


def _word(name: str) -> Column[str]:
    return Column(name, _Word, nullable=False, server_default=text("''"))


events = Table(
    "events",
    metadata,
    _key("id"),
    Column("source", _Word, nullable=False),
    Column("external_id", _Word, nullable=False),
    #: digest of `external_id`: of one size however long the sender's ids are
    Column("external_key", LargeBinary, nullable=False),
    Column("type", _Word, nullable=False),
    #: the sender's clock
    _number("occurred_at", None),
    #: the web process's clock
    _number("received_at", None),
    _number("object_version"),
    Column("body", LargeBinary, nullable=False),
    #: SHA-256 of the body as received; stays when retention empties the body
    Column("body_hash", LargeBinary, nullable=False),
    #: the body is this event's part only
    Column("part", Boolean, nullable=False),
    #: JSON objects
    Column("headers", Text, nullable=False),
    Column("query", Text, nullable=False),
    #: of an id made from the bytes: the number of the newest `~2`, `~3` …
    Column("series", Integer, nullable=False, server_default=text("1")),
    Column("state", _Word, nullable=False),
    _word("reason"),
    #: of the rules that routed it
    _word("revision"),
    #: how often it has been routed, or is to be if it waits
    Column("routing", Integer, nullable=False, server_default=text("1")),
    #: how often it came again, with the same body and with another
    Column("repeats", Integer, nullable=False, server_default=text("0")),
    Column("conflicts", Integer, nullable=False, server_default=text("0")),
    postgresql_with={"autovacuum_vacuum_scale_factor": 0.02},
)

_waiting = events.c.state == "received"
_settled_otherwise = events.c.state != "routed"
Index("ux_events_external", events.c.external_key, events.c.source, unique=True)
Index("ix_events_source", events.c.source, events.c.id)
Index("ix_events_type", events.c.type, events.c.id)
Index(
    "ix_events_state",
    events.c.state,
    events.c.id,
    postgresql_where=_settled_otherwise,
    sqlite_where=_settled_otherwise,
)
Index(
    "ix_events_received",
    events.c.state,  # always the same, but without it SQLite prefers the index of all the source's events
    events.c.source,
    events.c.id,
    postgresql_where=_waiting,
    sqlite_where=_waiting,
)

deliveries = Table(
    "deliveries",
    metadata,
    _key("id"),
    Column("event_id", _Number, nullable=False),
    Column("rule", _Word, nullable=False),
    Column("destination", _Word, nullable=False),
    Column("profile", _Word, nullable=False),
    #: JSON of the version and of the change
    Column("version", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("state", _Word, nullable=False),
    _word("reason"),
    #: what the lane's `arrivals` was when this was planned: a claim that saw less knows another change, or none
    _number("arrival"),
    #: first failed call, on the destination's running clock (`Gate.stopped_us` taken off)
    Column("failed_at", _Number),
    #: the attempt that settled it
    Column("attempt", _Number),
    Column("settled_at", _Number),
    #: who settled it, if it was a person
    _word("actor"),
    postgresql_with={
        "fillfactor": 75,
        "autovacuum_vacuum_scale_factor": 0.02,
        "autovacuum_analyze_scale_factor": 0.02,
    },
)

_pending = deliveries.c.state == "pending"
Index("ux_deliveries_event", deliveries.c.event_id, deliveries.c.rule, deliveries.c.destination, unique=True)
Index("ix_deliveries_profile", deliveries.c.profile, deliveries.c.id)
Index("ix_deliveries_destination", deliveries.c.destination, deliveries.c.state, deliveries.c.id)
Index("ix_deliveries_state", deliveries.c.state, deliveries.c.id)
Index(
    "ix_deliveries_pending",
    deliveries.c.destination,
    deliveries.c.profile,
    deliveries.c.id,
    postgresql_where=_pending,
    sqlite_where=_pending,
)

lanes = Table(
    "lanes",
    metadata,
    Column("destination", _Word, primary_key=True),
    Column("profile", _Word, primary_key=True),
    #: JSON: what the provider is known to hold, and what it may hold
    Column("registers", Text, nullable=False, server_default=text("'{}'")),
    Column("unsure", Text, nullable=False, server_default=text("'{}'")),
    #: JSON: what may be on the wire
    Column("sending", Text),
    Column("provider_handle", Text),
    #: null: idle
    Column("due_at", _Number),
    #: source of the newest arrival; and what the lane queues with: that source, or `!` if its last try failed
    _word("source"),
    _word("queue"),
    _number("arrivals"),
    #: the lease, on the lease clock; `lease_boot` is the boot id of the machine on SQLite, else empty
    Column("leased_until", _Number),
    _word("lease_boot"),
    Column("token", _Word),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("lapses", Integer, nullable=False, server_default=text("0")),
    postgresql_with={
        "fillfactor": 75,
        "autovacuum_vacuum_scale_factor": 0.01,
        "autovacuum_vacuum_cost_delay": 0,
    },
)

_due = lanes.c.due_at.is_not(None)
Index("ix_lanes_due", lanes.c.destination, lanes.c.due_at, postgresql_where=_due, sqlite_where=_due)
Index(
    "ix_lanes_queue",
    lanes.c.destination,
    lanes.c.queue,
    lanes.c.due_at,
    postgresql_where=_due,
    sqlite_where=_due,
)
Index("ix_lanes_profile", lanes.c.profile)

attempts = Table(
    "attempts",
    metadata,
    _key("id"),
    Column("destination", _Word, nullable=False),
    Column("token", _Word, nullable=False),
    Column("number", Integer, nullable=False),
    Column("step", _Word, nullable=False),
    Column("method", _Word, nullable=False),
    Column("path", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("status", SmallInteger),
    Column("reply", Text, nullable=False),
    Column("outcome", _Word, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ambiguous", Boolean, nullable=False),
    Column("key", _Word, nullable=False),
    #: the worker's clock
    _number("started_at", None),
    _number("ended_at", None),
    Column("worker", _Word, nullable=False),
)
Index("ix_attempts_destination", attempts.c.destination, attempts.c.id)
Index("ix_attempts_token", attempts.c.token)

attempt_lanes = Table(
    "attempt_lanes",
    metadata,
    Column("destination", _Word, primary_key=True),
    Column("profile", _Word, primary_key=True),
    Column("attempt", _Number, primary_key=True, autoincrement=False),
    #: JSON list of ids
    Column("deliveries", Text, nullable=False),
    #: JSON: field → version
    Column("fields", Text, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_attempt_lanes_attempt", attempt_lanes.c.attempt)

lookups = Table(
    "lookups",
    metadata,
    #: keyed hash of an e-mail address or phone number
    Column("key", _Word, primary_key=True),
    Column("profile", _Word, primary_key=True),
    sqlite_with_rowid=False,
)
Index("ix_lookups_profile", lookups.c.profile)

destinations = Table(
    "destinations",
    metadata,
    Column("name", _Word, primary_key=True),
    #: `running`, `paused`, `denied` or `tripped`
    Column("state", _Word, nullable=False, server_default=text("'running'")),
    _word("reason"),
    _number("resume_at"),
    #: when it stopped running, null while it runs; and how long it stood still before, in all
    Column("stopped_at", _Number),
    _number("stopped_us"),
    #: the token bucket as it was at `drawn_at`; null: nothing was drawn, so no limit is known
    Column("tokens", Double),
    Column("rate_per_s", Double),
    Column("capacity", Double),
    _number("drawn_at"),
)

refusals = Table(
    "refusals",
    metadata,
    _key("id"),
    Column("source", _Word, nullable=False),
    _number("refused_at", None),
    Column("status", SmallInteger, nullable=False),
    #: a stable word
    Column("reason", _Word, nullable=False),
    #: a sentence without body or secret
    Column("detail", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("address", _Word, nullable=False),
    Column("user_agent", Text, nullable=False),
)
Index("ix_refusals_source", refusals.c.source, refusals.c.id)

audit = Table(
    "audit",
    metadata,
    _key("id"),
    _number("acted_at", None),
    Column("actor", _Word, nullable=False),
    Column("action", _Word, nullable=False),
    Column("target", _Word, nullable=False),
    Column("reason", Text, nullable=False),
    #: JSON
    Column("detail", Text, nullable=False),
    #: SHA-256 over this row and the hash of the one before
    Column("hash", LargeBinary, nullable=False),
)
Index("ix_audit_action", audit.c.action, audit.c.id)

revisions = Table(
    "revisions",
    metadata,
    #: of the project
    Column("revision", _Word, primary_key=True),
    #: JSON: name → text of every rule file; never a secret, as these are references
    Column("files", Text, nullable=False),
    #: when and by which process it was last loaded without an error
    _number("loaded_at", None),
    Column("loaded_by", _Word, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_revisions_loaded", revisions.c.loaded_at)

shapes = Table(
    "shapes",
    metadata,
    Column("source", _Word, primary_key=True),
    Column("type", _Word, primary_key=True),
    #: of the event's receipt, in days since 1970
    Column("day", Integer, primary_key=True, autoincrement=False),
    #: in the rule language, elements of a list as `[]`; `.` counts the events that were looked at
    Column("path", _Word, primary_key=True),
    #: `null`, `bool`, `number`, `text`, `list` or `object`; never a value
    Column("kind", _Word, primary_key=True),
    #: in how many events
    _number("n"),
    sqlite_with_rowid=False,
)

"""Query plans: what is done for every event or lane reads no more rows than it needs, however long the history is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy import event as listen

from router.store import arrivals, deliveries, destinations, events, lanes, refusals, sqlite
from router.store.postgres import make_engine
from router.store.store import Store, open_store
from tests.store.making import (
    DESTINATION,
    T0,
    arrive,
    claim,
    event,
    pending,
    plan,
    received,
    routed,
    settle,
    settlement,
)
from tests.store.making import delivery as made


def work(store: Store) -> None:
    """Everything that is done all the time, repeats, backlogs and reroutes included."""
    for number in range(12):
        arrive(store, f"u_{number}")
    arrive(store, "v", source="other")
    store.put_events([event("twice"), event("twice"), *(event(f"o{number}", "other") for number in range(9))])
    received(store, 5)
    number = store.put_events([event("again")])[0].id
    plan(store, routed(number, made()))
    store.write(lambda tx: events.route_again(tx, [number]))
    plan(store, routed(number, made(), routing=2))
    claimed = claim(store, 4)
    found = pending(store, *(lane.profile for lane in claimed))
    store.write(lambda tx: lanes.intend(tx, [(DESTINATION, lane.profile, lane.token, "{}", "{}") for lane in claimed]))
    settle(store, *(settlement(lane, found[lane.profile], failed=[5]) for lane in claimed[:2]))
    store.write(lambda tx: lanes.release(tx, claimed[2:]))
    store.write(lambda tx: destinations.ensure(tx, [DESTINATION]))
    store.write(lambda tx: deliveries.reopen(tx, [row.id for row in found[claimed[2].profile]], T0))
    with store.read() as tx:
        lanes.next_due(tx, [DESTINATION], T0)


def ask(store: Store) -> None:
    """What people ask about one source."""
    with store.read() as tx:
        arrivals.last(tx, "stripe")
        arrivals.count(tx, "stripe", T0)
        arrivals.types(tx, "stripe", 1_000)
        refusals.counts(tx, "stripe", T0)
        refusals.newest(tx, "stripe", 10)


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """Statement → parameters of all that is executed."""
    seen: dict[str, Any] = {}

    def keep(_connection: Any, _cursor: Any, statement: str, given: Any, _context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE", "INSERT")) and given:
            seen[statement] = given[0] if many and isinstance(given, list) else given

    listen.listen(Engine, "before_cursor_execute", keep)
    try:
        yield seen
    finally:
        listen.remove(Engine, "before_cursor_execute", keep)


def fill(store: Store, sql: str) -> None:
    store.write(lambda tx: tx.execute(text(sql)).rowcount, timeout_s=60)


def explained(statements: dict[str, Any], explain: Callable[[str, Any], str]) -> list[str]:
    return [f"{statement}\n{explain(statement, given)}" for statement, given in statements.items()]


def test_no_table_is_scanned_on_sqlite(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    with watched() as seen:
        work(store)
    connection = sqlite.connect(sqlite.path_of(sqlite_url), write=False)

    def explain(statement: str, given: Any) -> str:
        return "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", given))

    plans = explained({one: given for one, given in seen.items() if isinstance(given, tuple)}, explain)
    assert len(plans) > 15
    for found in plans:
        assert not any(f"SCAN {table}" in found for table in ("events", "lanes", "deliveries", "attempts")), found
    of_one_source = [found for found in plans if "ORDER BY events.id" in found and "events.source = ?" in found]
    assert len(of_one_source) == 1
    assert "ix_events_received" in of_one_source[0]
    connection.close()
    store.close()


def test_questions_about_a_source_read_what_is_its_own_on_sqlite(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    with watched() as seen:
        ask(store)
    connection = sqlite.connect(sqlite.path_of(sqlite_url), write=False)
    plans = [
        "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", given))
        for statement, given in seen.items()
        if isinstance(given, tuple)
    ]
    assert len(plans) == 5
    for found in plans:
        assert re.search(r"SEARCH (events|refusals) USING (COVERING )?INDEX ix_\w+_source \(source=\?", found), found
        assert "TEMP B-TREE FOR ORDER BY" not in found or "GROUP BY" in found, found
    connection.close()
    store.close()


_HISTORY = [
    """INSERT INTO events (id, source, external_id, external_key, type, occurred_at, received_at, body, body_hash,
    part, headers, query, state) SELECT n, 'stripe', 'h' || n, sha256(n::text::bytea), 't', n, n, '', '', false, '{}',
    '{}', 'routed' FROM generate_series(1, 30000) n""",
    """INSERT INTO lanes (destination, profile, arrivals, due_at, source, queue) SELECT 'moengage', 'h' || n, 1,
    CASE WHEN n % 3 = 0 THEN n END, 'stripe', 'stripe' FROM generate_series(1, 30000) n""",
    """INSERT INTO deliveries (id, event_id, rule, destination, profile, version, change, state) SELECT n, n, 'r',
    'moengage', 'h' || n, '[]', '{}', CASE WHEN n % 3 = 0 THEN 'pending' ELSE 'delivered' END
    FROM generate_series(1, 30000) n""",
    """INSERT INTO refusals (id, source, refused_at, status, reason, detail, size, address, user_agent) SELECT n,
    's' || n % 100, n, 401, 'signature', '', 1, '', '' FROM generate_series(1, 30000) n""",
]


@pytest.mark.slow
def test_no_table_is_scanned_on_postgresql(postgres_url: str) -> None:
    store = open_store(postgres_url)
    for sql in _HISTORY:
        fill(store, sql)
    engine = make_engine(postgres_url, pool=1, name="test")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    with watched() as seen:
        work(store)
        ask(store)
    with engine.connect() as connection:

        def explain(statement: str, given: Any) -> str:
            return "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", given))

        plans = explained({one: given for one, given in seen.items() if "set_config" not in one}, explain)
    assert len(plans) > 15
    for found in plans:
        assert not any(f"Seq Scan on {table}" in found for table in ("events", "lanes", "deliveries", "refusals")), (
            found
        )
    engine.dispose()
    store.close()

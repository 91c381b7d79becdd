"""A PostgreSQL that is down, frozen, or dies in the middle of something."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import make_url

from router.errors import StoreError
from router.store import destinations
from router.store.store import Store, open_store
from tests.postgres_server import PostgresServer, wait_for
from tests.store.making import column, event, received
from tests.store.proxy import LossyProxy


def uses(store: Store) -> list[Callable[[], object]]:
    def read() -> None:
        with store.read() as tx:
            store.now_us(tx)

    return [
        read,
        lambda: store.write(lambda tx: destinations.ensure(tx, ["a"])),
        lambda: store.put_events([event(f"evt_{time.monotonic_ns()}")]),
    ]


def assert_refused_quickly(store: Store) -> None:
    for use in uses(store):
        started = time.monotonic()
        with pytest.raises(StoreError):
            use()
        assert time.monotonic() - started < 5


def works(store: Store) -> bool:
    try:
        for use in uses(store):
            use()
    except StoreError:
        return False
    return True


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_down_is_a_store_error_until_it_is_back(own_postgres: PostgresServer, mode: str) -> None:
    with own_postgres.database() as url:
        store = open_store(url, role="web")
        assert store.put_events([event("kept")])[0].new
        assert works(store)
        own_postgres.stop(mode)
        assert_refused_quickly(store)
        own_postgres.start()
        wait_for(lambda: works(store))
        assert "kept" in received(store)
        store.close()


def test_a_frozen_server_frees_its_callers(own_postgres: PostgresServer) -> None:
    with own_postgres.database() as url:
        store = open_store(url, role="web")
        assert works(store)
        own_postgres.freeze()
        try:
            assert_refused_quickly(store)
        finally:
            own_postgres.thaw()
        wait_for(lambda: works(store))
        store.close()


def test_a_restart_between_two_transactions_is_not_noticed(own_postgres: PostgresServer) -> None:
    with own_postgres.database() as url:
        store = open_store(url, role="web")
        assert works(store)
        own_postgres.stop()
        own_postgres.start()
        for use in uses(store):
            use()
        store.close()


def test_a_put_waits_for_a_server_that_comes_back_in_time(own_postgres: PostgresServer) -> None:
    with own_postgres.database() as url:
        store = open_store(url, role="web")
        store.put_events([event("first")])
        own_postgres.stop()
        back = threading.Timer(0.3, own_postgres.start)
        back.start()
        assert store.put_events([event("second")])[0].new
        back.join()
        store.close()


def test_a_commit_without_an_answer_is_repeated_and_stores_once(own_postgres: PostgresServer) -> None:
    proxy = LossyProxy(own_postgres.directory)
    with own_postgres.database() as direct:
        url = make_url(direct).set(host="127.0.0.1", port=proxy.port, query={})
        store = open_store(url.render_as_string(hide_password=False), role="web")
        store.put_events([event("warm")])
        for number in range(10):
            proxy.lose = 1
            assert store.put_events([event(f"evt_{number}")])[0].new
        assert proxy.lost == 10
        assert column(store, "SELECT count(*) FROM events") == [11]
        assert column(store, "SELECT sum(repeats) FROM events") == [0]
        proxy.lose = 1
        with pytest.raises(StoreError):
            store.write(lambda tx: destinations.ensure(tx, ["unknown"]))
        store.close()
    proxy.close()


def test_a_killed_session_costs_at_most_its_own_transaction(postgres_url: str) -> None:
    store = open_store(postgres_url, role="web")
    assert works(store)
    plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as admin:
        for _ in range(5):
            admin.execute(
                "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert works(store)
    store.close()


def test_no_transaction_leaves_a_setting_behind(postgres_url: str) -> None:
    """Behind a pooler the session goes to somebody else."""
    store = open_store(postgres_url, role="web")
    assert column(store, "SELECT current_setting('statement_timeout')") == ["2s"]
    assert column(store, "SELECT current_setting('lock_timeout')") == ["2s"]
    assert column(store, "SELECT current_setting('idle_in_transaction_session_timeout')") == ["10s"]
    store.write(lambda tx: destinations.ensure(tx, ["a"]))
    with store._engine().connect() as raw:  # type: ignore[attr-defined]
        for name, value in (("statement_timeout", "0"), ("lock_timeout", "0"), ("transaction_read_only", "off")):
            assert raw.exec_driver_sql(f"SHOW {name}").scalar() == value
        assert raw.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0
    with pytest.raises(StoreError), store.read() as tx:
        destinations.ensure(tx, ["a"])
    store.close()

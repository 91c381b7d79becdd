"""Migrations: what they make is what the code describes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from router.errors import ConfigError, StoreError
from router.store import sqlite
from router.store.migrations import is_current, script, upgrade
from router.store.postgres import make_engine
from router.store.schema import metadata
from router.store.store import open_store
from tests.postgres_server import Databases
from tests.store.making import event

_CATALOG = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
o.collname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_collation o ON o.oid = a.attcollation
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
UNION ALL SELECT tablename, indexname, indexdef, false, '', '' FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT relname, 'options', array_to_string(reloptions, ','), false, '', ''
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
ORDER BY 1, 2, 3
"""


def described(engine: Engine) -> list[tuple[object, ...]]:
    query = _CATALOG if engine.dialect.name == "postgresql" else "SELECT type, tbl_name, name, sql FROM sqlite_master"
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(query))]
    flat = [tuple(" ".join(str(part).split()) for part in row) for row in rows]
    return sorted(row for row in flat if "alembic_version" not in " ".join(row))


def test_migrations_make_the_tables_of_the_code_on_sqlite(sqlite_url: str, tmp_path: Path) -> None:
    made = sqlite.make_engine(tmp_path / "made.db", write=True, create=True)
    with made.connect() as connection, connection.begin():
        metadata.create_all(connection)
    migrated = sqlite.make_engine(sqlite.path_of(sqlite_url), write=False)
    assert described(migrated) == described(made)
    assert len(described(made)) > 25
    migrated.dispose()


def test_migrations_make_the_tables_of_the_code_on_postgresql(postgres_url: str, postgres: Databases) -> None:

    with postgres.database("template1") as url:
        made = make_engine(url, pool=1, name="test")
        with made.connect() as connection, connection.begin():
            metadata.create_all(connection)
        migrated = make_engine(postgres_url, pool=1, name="test")
        assert described(migrated) == described(made)
        assert len(described(made)) > 100
        migrated.dispose()
        made.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new.db"
    else:
        with request.getfixturevalue("postgres").database("template1") as url:
            yield url


def test_an_empty_store_is_brought_up_and_stays_as_it_is(empty_url: str) -> None:
    upgrade(empty_url)
    assert is_current(empty_url)
    store = open_store(empty_url)
    assert store.put_events([event()])[0].new
    upgrade(empty_url)
    assert not store.put_events([event()])[0].new
    store.close()


def test_several_may_migrate_at_once(empty_url: str) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            upgrade(empty_url)
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert is_current(empty_url)


def test_a_store_of_another_version_is_not_current(store_url: str) -> None:
    assert is_current(store_url)
    store = open_store(store_url)
    store.write(lambda tx: tx.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'").rowcount)
    store.close()
    assert not is_current(store_url)


def test_an_empty_database_is_not_current(postgres: Databases) -> None:
    with postgres.database("template1") as url:
        assert not is_current(url)


def test_a_store_that_is_not_there_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        is_current(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(StoreError):
        upgrade(f"sqlite:///{tmp_path}/none/none.db")
    with pytest.raises(StoreError):
        is_current("postgresql+psycopg://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y"])
def test_refuses_a_database_that_several_processes_cannot_share(url: str) -> None:
    with pytest.raises(ConfigError):
        open_store(url)


@pytest.mark.parametrize("url", ["sqlite:///router.db", "postgresql+psycopg://host/db"])
def test_writes_the_sql_of_all_migrations(url: str) -> None:
    written = script(url)
    assert all(f"CREATE TABLE {name} " in written for name in metadata.tables)

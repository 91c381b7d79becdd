"""Brings the schema of a store up to date, with Alembic."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, exc

from router.store import postgres, sqlite
from router.store.dialect import trouble

_T = TypeVar("_T")

#: tries to get the locks that changing a table needs, each for at most 2 s: readers must not queue behind us
_TRIES = 15
#: of the advisory lock that lets one process at a time migrate
_LOCK = 7_201_604_312


def upgrade(url: str) -> None:
    """Create or change the tables. Does nothing if they are current. Raises `StoreError`."""
    with _engine(url, create=True) as engine:
        _patiently(lambda: _upgrade(engine))


def is_current(url: str) -> bool:
    """Whether the tables are those of this code; false for an empty database. Raises `StoreError`."""
    return revision(url) == _head()


def revision(url: str) -> str | None:
    """Which migration made the tables; None for an empty database. Raises `StoreError`."""
    with _engine(url, create=False) as engine:
        try:
            with engine.connect() as connection:
                return _revision(connection)
        except exc.SQLAlchemyError as error:
            raise trouble(error) from error


def script(url: str) -> str:
    """The SQL of all migrations for this kind of database; opens nothing."""
    config = _config()
    config.output_buffer = written = StringIO()
    config.set_main_option("sqlalchemy.url", url.partition(":")[0] + "://")
    command.upgrade(config, "head", sql=True)
    return written.getvalue()


def _upgrade(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _patiently(work: Callable[[], _T]) -> _T:
    for left in range(_TRIES - 1, -1, -1):
        try:
            return work()
        except exc.OperationalError as error:
            if not left or not _is_locked(error):
                raise trouble(error) from error
            time.sleep(random.uniform(0.2, 1.0))
        except (exc.SQLAlchemyError, OSError) as error:
            raise trouble(error) from error
    raise AssertionError


def _is_locked(error: exc.OperationalError) -> bool:
    """PostgreSQL's `lock_not_available` (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
    return getattr(error.orig, "sqlstate", None) == "55P03"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _engine(url: str, *, create: bool) -> Iterator[Engine]:
    """SQLite: under the lock file, so that no writer is in the middle of something."""
    if url.startswith("sqlite:"):
        path = sqlite.path_of(url)
        engine = sqlite.make_engine(path, write=create, create=create)
        lock = sqlite.LockFile(path)
    else:
        engine, lock = postgres.make_engine(url, pool=1, name="router-migrate"), None
    try:
        if lock is not None and create:
            with _store_errors(), lock.held():
                yield engine
        else:
            yield engine
    finally:
        engine.dispose()
        if lock is not None:
            lock.close()


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise trouble(error) from error

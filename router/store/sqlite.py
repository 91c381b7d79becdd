"""The store in one SQLite file: one writer thread per process, and a lock file between processes.

Settings and their reasons: https://www.sqlite.org/pragma.html, https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import fcntl
import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event, exc, make_url

from router import model
from router.errors import ConfigError, StoreError
from router.store import events
from router.store.base import STATEMENT_S, WRITE_S, Store
from router.store.dialect import Dialect, trouble
from router.store.hints import DataVersionHints, Hints
from router.store.rows import Stored
from router.store.writer import Job, Unit, Writer, put


def _driver() -> Any:
    """A SQLite of our own choice; Python's where there is no wheel for the platform."""
    try:
        return importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        return importlib.import_module("sqlite3")


driver = _driver()

T = TypeVar("T")

#: first versions of their branches without the WAL-reset race (https://www.sqlite.org/wal.html#walresetbug)
_FIXED = {44: (3, 44, 6), 50: (3, 50, 7)}
_FIXED_FROM = (3, 51, 3)
#: largest file that is checked whole at start, bytes
_QUICK_CHECK_BYTES = 1 << 30

_SETTINGS = (
    "PRAGMA busy_timeout=5000",
    "PRAGMA synchronous=FULL",
    "PRAGMA mmap_size=0",
    "PRAGMA wal_autocheckpoint=1000",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA secure_delete=ON",
    "PRAGMA cell_size_check=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA temp_store=MEMORY",
)


def version() -> tuple[int, ...]:
    """The SQLite library's version."""
    return tuple(driver.sqlite_version_info)


def wal_reset_safe(found: tuple[int, ...]) -> bool:
    """Whether this version is free of the WAL-reset race. The lock file keeps our own processes apart in any case."""
    return found >= _FIXED_FROM or found >= _FIXED.get(found[1], _FIXED_FROM)


def path_of(url: str) -> Path:
    """The file of a URL. Raises `ConfigError`: a store in memory would be another one in each process."""
    database = make_url(url).database
    if not database or database == ":memory:" or database.startswith("file:"):
        raise ConfigError("DATABASE_URL of SQLite names a file: sqlite:///router.db")
    return Path(database)


class _Clock:
    """Stops a statement that runs for too long, from inside SQLite."""

    def __init__(self) -> None:
        self.until = float("inf")

    def passed(self) -> int:
        return time.monotonic() > self.until


def connect(path: Path, *, write: bool, create: bool = False) -> Any:
    """A driver connection with our settings. Without `create` a missing file is an error: it is never made anew."""
    mode = "rwc" if create else "rw"
    if create:
        path.touch(0o600)  # it holds personal data; what exists keeps its mode
    connection = driver.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=5.0,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        if create:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        if write:
            connection.execute("PRAGMA journal_mode=WAL")
        for setting in _SETTINGS:
            connection.execute(setting)
        if not write:
            connection.execute("PRAGMA query_only=ON")
    except driver.Error:
        connection.close()
        raise
    return connection


def make_engine(path: Path, *, write: bool, create: bool = False) -> Engine:
    """An engine whose transactions are `BEGIN IMMEDIATE` (to write) or one consistent snapshot (to read)."""
    engine = create_engine(
        "sqlite+pysqlite://",
        module=driver,
        creator=lambda: connect(path, write=write, create=create),
        poolclass=NullPool if write else QueuePool,
        hide_parameters=True,
        **({} if write else {"pool_size": 8, "max_overflow": 32, "pool_timeout": 5.0, "pool_use_lifo": True}),
    )
    begin = "BEGIN IMMEDIATE" if write else "BEGIN"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        raw = connection.connection.driver_connection
        try:
            raw.execute(begin)  # type: ignore[union-attr]  # a checked-out connection has its driver's
        except driver.Error as error:
            raise exc.OperationalError(begin, None, error) from error

    @event.listens_for(engine, "connect")
    def _watch(raw: Any, record: Any) -> None:
        record.info["clock"] = clock = _Clock()
        raw.set_progress_handler(clock.passed, 50_000)

    return engine


class LockFile:
    """`<file>.lock`, held round each write transaction: waits in the kernel, in order, where SQLite would poll."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class _Transactions:
    """Runs units on the writer's connection, in its thread: all in one transaction, or if that breaks each alone."""

    def __init__(self, path: Path) -> None:
        self._engine = make_engine(path, write=True)
        self._lock = LockFile(path)
        self._connection: Connection | None = None

    def run(self, units: list[Unit]) -> None:
        try:
            with self._lock.held():
                for unit in self._together(units):
                    self._together([unit])
        except OSError as error:
            for unit in units:
                unit.fail(error)

    def close(self) -> None:
        self._drop()
        self._engine.dispose()
        self._lock.close()

    def _drop(self) -> None:
        """The next transaction opens the file anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _together(self, units: Sequence[Unit]) -> list[Unit]:
        """One transaction. Answers its units once it is durable, and returns those that must be run again, alone."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            results, again = _attempt(self._connection, units)
        except exc.SQLAlchemyError as error:  # after a failed flush to disk a connection must not go on
            self._drop()
            for unit in units:
                unit.fail(error)
            return []
        for unit, result in results:
            if isinstance(result, Exception):
                unit.fail(result)
            else:
                unit.succeed(result)
        return again


_Results = list[tuple[Unit, list[Any] | Exception]]


def _attempt(connection: Connection, units: Sequence[Unit]) -> tuple[_Results, list[Unit]]:
    """Run units and commit: what became of them, and which to run again alone. Raises if begin or commit fail."""
    raw: Any = connection.connection.driver_connection
    results: _Results = []
    broken: list[Unit] = []
    with connection.begin() as transaction:
        for unit in units:
            try:
                results.append((unit, _step(connection, raw, unit, shared=len(units) > 1)))
            except Exception as error:  # noqa: BLE001 - whatever a caller's work raises goes back to that caller
                if len(unit.jobs) > 1:
                    broken.append(unit)
                else:
                    results.append((unit, error))
                if not raw.in_transaction:  # SQLite gave up all of it: disk full, or an error of the disk
                    break
        if len(units) == 1 and (broken or isinstance(results[0][1], Exception)):
            transaction.rollback()
        elif not raw.in_transaction:
            transaction.rollback()
            results, broken = [], list(units)
    return results, [one for unit in broken for one in unit.alone()]


def _step(connection: Connection, raw: Any, unit: Unit, *, shared: bool) -> list[Any]:
    """Run one unit so that its failure undoes nothing of its neighbours."""
    if not shared:
        return unit.run(connection)
    raw.execute("SAVEPOINT unit")
    try:
        result = unit.run(connection)
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK TO unit")
            raw.execute("RELEASE unit")
        raise
    raw.execute("RELEASE unit")
    return result


class SqliteStore(Store):
    """See the module."""

    dialect: ClassVar[Dialect] = "sqlite"

    def __init__(self, url: str, role: str) -> None:
        self.path = path_of(url)
        self._statement_s = STATEMENT_S[role]
        self._guard = threading.Lock()
        self._readers: Engine | None = None
        self._transactions: _Transactions | None = None
        self._writer: Writer | None = None

    def write(self, work: Callable[[Connection], T], *, timeout_s: float = WRITE_S) -> T:
        return self._writing().submit(Job(time.monotonic() + timeout_s, work))

    def put_events(self, events_: Sequence[model.Event], *, timeout_s: float = WRITE_S) -> list[Stored]:
        return self._writing().submit(put(events.prepare(events_, time.time_ns() // 1000), timeout_s))

    def read(self) -> AbstractContextManager[Connection]:
        return self._read()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        try:
            with self._reading().connect() as connection:
                clock = connection.info["clock"]
                clock.until = time.monotonic() + self._statement_s
                try:
                    yield connection
                finally:
                    clock.until = float("inf")
        except exc.SQLAlchemyError as error:
            raise trouble(error) from error

    def hints(self) -> Hints:
        return DataVersionHints(lambda: connect(self.path, write=False), driver.Error)

    def hint(self) -> None:
        """Nothing to do: the counter that `hints` reads moves with each commit."""

    def check(self) -> None:
        """Raise `StoreError` if the file is missing, unreadable or corrupt. Reads all of it below 1 GB."""
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise trouble(error) from error
        with self.read() as tx:
            if size < _QUICK_CHECK_BYTES:
                answer = tx.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
                if answer != "ok":
                    raise StoreError(f"the file {self.path} is damaged: restore it from a backup ({answer})")

    def close(self) -> None:
        with self._guard:
            if self._writer is not None:
                self._writer.close()
            if self._transactions is not None:
                self._transactions.close()
            if self._readers is not None:
                self._readers.dispose()
            self._writer = self._transactions = self._readers = None

    def _writing(self) -> Writer:
        with self._guard:
            if self._writer is None:
                self._transactions = _Transactions(self.path)
                self._writer = Writer("store-writer", self._transactions.run)
            return self._writer

    def _reading(self) -> Engine:
        with self._guard:
            if self._readers is None:
                self._readers = make_engine(self.path, write=False)
            return self._readers

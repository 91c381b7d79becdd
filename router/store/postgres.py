"""The store in PostgreSQL: any number of machines, and nothing that a pooler in transaction mode would break.

No prepared statements, no settings or locks of a session: timeouts are local to each transaction.
https://www.pgbouncer.org/features.html, https://www.psycopg.org/psycopg3/docs/advanced/prepare.html
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url

from router import model
from router.store import events
from router.store.base import STATEMENT_S, WRITE_S, Store
from router.store.dialect import Dialect, trouble
from router.store.hints import Hints, ListenHints, Notifier
from router.store.rows import Stored
from router.store.writer import Unit, Writer, put

T = TypeVar("T")
_RV = TypeVar("_RV")

_LOCK_MS = 2_000
_IDLE_MS = 10_000
#: seconds beyond a statement's own time after which a server that says nothing is given up
_SILENCE_S = 1.0
#: seconds between two tries to reach the server within one put, plus or minus half
_RETRY_S = 0.2

_BEGIN = (
    "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true), "
    "set_config('idle_in_transaction_session_timeout', %s, true), set_config('transaction_read_only', %s, true)"
)

_CONNECT: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "prepare_threshold": None,
}


class BoundedConnection(psycopg.Connection[Any]):
    """Gives up a server that does not answer: a frozen one acknowledges packets for ever."""

    #: monotonic seconds
    deadline = float("inf")

    def wait(self, gen: PQGen[_RV], interval: float = 0.1, timeout: float | None = None) -> _RV:
        if self.deadline == float("inf"):
            return super().wait(gen, interval, timeout)
        left = max(0.2, self.deadline - time.monotonic())
        try:
            return super().wait(gen, interval, left if timeout is None else min(left, timeout))
        except psycopg.OperationalError:
            if time.monotonic() >= self.deadline:
                self.pgconn.finish()  # in the middle of an answer: of no use to anybody
            raise


def make_engine(url: str, *, pool: int, name: str) -> Engine:
    """An engine of our connections. Opens none yet."""
    engine = create_engine(
        make_url(url),
        pool_size=pool,
        max_overflow=pool,
        pool_timeout=WRITE_S,
        pool_recycle=1800,
        pool_use_lifo=True,
        use_native_hstore=False,
        hide_parameters=True,
        connect_args=_CONNECT | {"application_name": name},
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return BoundedConnection.connect(*args, **options)

    return engine


def open_direct(url: str) -> psycopg.Connection[Any]:
    """One autocommit connection outside the pool, for hints."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True, application_name="router-hints", **_CONNECT)


def begin(connection: Connection, statement_s: float, *, read_only: bool = False) -> None:
    """Start a transaction with its timeouts."""
    raw: Any = connection.connection.driver_connection
    raw.deadline = time.monotonic() + statement_s + _SILENCE_S
    values = (str(max(1, int(statement_s * 1000))), str(_LOCK_MS), str(_IDLE_MS), "on" if read_only else "off")
    connection.exec_driver_sql(_BEGIN, values)


class PostgresStore(Store):
    """See the module."""

    dialect: ClassVar[Dialect] = "postgresql"

    def __init__(self, url: str, role: str, listen_url: str) -> None:
        self._url = url
        self._listen_url = listen_url
        self._role = role
        self._statement_s = STATEMENT_S[role]
        self._guard = threading.Lock()
        self._pool: Engine | None = None
        self._puts: _Puts | None = None
        self._notifier: Notifier | None = None

    def write(self, work: Callable[[Connection], T], *, timeout_s: float = WRITE_S) -> T:
        with self._transaction(min(timeout_s, self._statement_s)) as connection:
            result = work(connection)
            connection.commit()
        return result

    def put_events(self, events_: Sequence[model.Event], *, timeout_s: float = WRITE_S) -> list[Stored]:
        with self._guard:
            if self._puts is None:
                self._puts = _Puts(make_engine(self._url, pool=1, name="router-events"))
        return self._puts.writer.submit(put(events.prepare(events_, time.time_ns() // 1000), timeout_s))

    def read(self) -> AbstractContextManager[Connection]:
        return self._transaction(self._statement_s, read_only=True)

    @contextmanager
    def _transaction(self, statement_s: float, *, read_only: bool = False) -> Iterator[Connection]:
        """A transaction that is rolled back unless the block commits it."""
        try:
            with self._begun(statement_s, read_only) as connection:
                yield connection
        except exc.SQLAlchemyError as error:
            hidden = isinstance(error, exc.DataError | exc.IntegrityError)
            raise trouble(error) from None if hidden else error

    def _begun(self, statement_s: float, read_only: bool) -> Connection:
        """A connection in a transaction: a new one, if a pooled one turns out to be dead before anything was done."""
        patience = time.monotonic() + _SILENCE_S
        while True:
            connection = self._engine().connect()
            try:
                begin(connection, statement_s, read_only=read_only)
            except exc.DBAPIError as error:
                connection.close()
                if not error.connection_invalidated or time.monotonic() > patience:
                    raise
            else:
                return connection

    def _engine(self) -> Engine:
        with self._guard:
            if self._pool is None:
                self._pool = make_engine(self._url, pool=8, name=f"router-{self._role}")
            return self._pool

    def hints(self) -> Hints:
        return ListenHints(lambda: open_direct(self._listen_url))

    def hint(self) -> None:
        with self._guard:
            if self._notifier is None:
                self._notifier = Notifier(lambda: open_direct(self._listen_url))
        self._notifier.hint()

    def check(self) -> None:
        """Raise `StoreError` if the database cannot be reached."""
        with self.read() as tx:
            tx.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        with self._guard:
            if self._puts is not None:
                self._puts.close()
            if self._notifier is not None:
                self._notifier.close()
            if self._pool is not None:
                self._pool.dispose()
            self._puts = self._notifier = self._pool = None


class _Puts:
    """Inserts events for everybody, on a connection of its own, so that busy workers cannot keep webhooks out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self.writer = Writer("store-events", self._run)

    def close(self) -> None:
        self.writer.close()
        self._drop()
        self._engine.dispose()

    def _run(self, units: list[Unit]) -> None:
        for unit in units:
            self._insert(unit)

    def _insert(self, unit: Unit) -> None:
        """Insert and commit. A lost connection, also at the commit, is repeated on a new one: the rows keep their ids,
        so the answer is the same. Anything else is tried for each caller alone."""
        while True:
            try:
                unit.succeed(self._transaction(unit))
            except exc.SQLAlchemyError as error:
                if self._lost(error):
                    if self._may_repeat(unit):
                        continue
                elif len(unit.jobs) > 1:
                    return self._run(unit.alone())
                unit.fail(error)
            except Exception as error:  # noqa: BLE001 - a value that cannot be encoded: its caller is told
                self._drop()
                if len(unit.jobs) > 1:
                    return self._run(unit.alone())
                unit.fail(error)
            return None

    def _transaction(self, unit: Unit) -> list[Any]:
        left = max(job.deadline for job in unit.jobs) - time.monotonic()
        if self._connection is None:
            self._connection = self._engine.connect()
        begin(self._connection, min(STATEMENT_S["web"], max(0.1, left)))
        results = unit.run(self._connection)
        self._connection.commit()
        return results

    def _lost(self, error: exc.SQLAlchemyError) -> bool:
        """Give the connection back, or up. Whether it was lost, or could not be made."""
        connection, self._connection = self._connection, None
        if connection is None:
            return True
        lost = isinstance(error, exc.DBAPIError) and error.connection_invalidated
        connection.close()
        return lost

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _may_repeat(self, unit: Unit) -> bool:
        """Wait a little; false once the last caller has been answered."""
        pause = _RETRY_S * random.uniform(0.5, 1.5)
        if time.monotonic() + pause >= max(job.deadline for job in unit.jobs):
            return False
        time.sleep(pause)
        return True

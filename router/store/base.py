"""What a store offers, whichever database is behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, TypeVar

from sqlalchemy import Connection

from router import model
from router.store import dialect
from router.store.hints import Hints
from router.store.rows import Stored

T = TypeVar("T")

#: seconds a statement may take, by role
STATEMENT_S = {"web": 2.0, "worker": 10.0, "cli": 60.0}
#: seconds a web process waits for a commit before it answers 503
WRITE_S = 4.0


class Store(ABC):
    """One database. Opens nothing before it is first used, so that a process may fork with it; safe between threads."""

    dialect: ClassVar[dialect.Dialect]

    @abstractmethod
    def write(self, work: Callable[[Connection], T], *, timeout_s: float = WRITE_S) -> T:
        """Run `work` in a write transaction and return its result once that is durable.

        `work` may be run more than once, and on SQLite runs in another thread: it only touches its connection and
        gives a result. Its exceptions come back after a rollback. Raises `StoreError` if the database is away or too
        slow; what was being written may then still come to be stored.
        """

    @abstractmethod
    def put_events(self, events: Sequence[model.Event], *, timeout_s: float = WRITE_S) -> list[Stored]:
        """Store events, together with those of other callers; returns once they are durable, in their order.

        Putting the same events again is safe. Raises `StoreError` as `write` does.
        """

    @abstractmethod
    def read(self) -> AbstractContextManager[Connection]:
        """A short read transaction. Raises `StoreError`, also for trouble inside the block."""

    def now_us(self, tx: Connection) -> int:
        """The database's clock, whole microseconds since 1970."""
        return dialect.now_us(tx)

    @abstractmethod
    def hints(self) -> Hints:
        """Wake-ups for one thread. The caller closes them."""

    @abstractmethod
    def hint(self) -> None:
        """Wake the other processes: there is something to route or to send. Never blocks, never fails."""

    @abstractmethod
    def close(self) -> None:
        """Finish what waits to be written, then close every connection and thread."""

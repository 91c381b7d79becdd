"""One thread that writes for everybody: callers hand it a job and wait for its answer until their deadline."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, exc

from router.errors import StoreError
from router.store import events
from router.store.dialect import trouble
from router.store.rows import Stored

T = TypeVar("T")

#: most jobs in one transaction, and about most bytes of event bodies
_GROUP = 512
_GROUP_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Job(Generic[T]):
    """Something to write. `run` may be called more than once, each time in a new transaction."""

    #: monotonic seconds
    deadline: float
    run: Callable[[Connection], T]
    answer: Future[T] = field(default_factory=Future)
    bytes: int = 0

    def wait(self) -> T:
        """The result. Raises what `run` raised, or `StoreError` when the deadline passes."""
        try:
            return self.answer.result(max(0.0, self.deadline - time.monotonic()))
        except (TimeoutError, CancelledError):
            self.answer.cancel()
            raise StoreError("the store did not answer in time") from None


@dataclass(frozen=True, slots=True, eq=False)
class Put(Job[list[Stored]]):
    """Events to store. Several are inserted as one."""

    rows: Sequence[events.NewEvent] = ()


def put(rows: Sequence[events.NewEvent], timeout_s: float) -> Put:
    """The job that inserts these rows; repeating it after an unknown outcome gives the same answer."""
    return Put(
        time.monotonic() + timeout_s,
        lambda tx: events.insert(tx, rows),
        bytes=sum(len(row.values["body"]) for row in rows),
        rows=rows,
    )


@dataclass(frozen=True, slots=True)
class Unit:
    """What is run, and fails, as one: a job, or several puts."""

    jobs: Sequence[Job[Any]]

    def run(self, tx: Connection) -> list[Any]:
        """One result for each job."""
        if len(self.jobs) == 1:
            result = self.jobs[0].run(tx)
            if not isinstance(self.jobs[0], Put) and time.monotonic() > self.jobs[0].deadline:
                # its caller was told that it failed: what it claimed would be nobody's
                raise StoreError("the store did not answer in time")
            return [result]
        stored = iter(events.insert(tx, [row for job in self.jobs if isinstance(job, Put) for row in job.rows]))
        return [list(islice(stored, len(job.rows))) for job in self.jobs if isinstance(job, Put)]

    def alone(self) -> list[Unit]:
        """The same, each job by itself."""
        return [Unit([job]) for job in self.jobs]

    def succeed(self, results: Sequence[Any]) -> None:
        for job, result in zip(self.jobs, results, strict=True):
            job.answer.set_result(result)

    def fail(self, error: BaseException) -> None:
        """The database's errors become ours on the way; a value it cannot hold is one of them."""
        if isinstance(error, exc.SQLAlchemyError | OSError):
            ours: BaseException = trouble(error)
            ours.__cause__ = None if isinstance(error, exc.DataError | exc.IntegrityError) else error
        elif isinstance(error, UnicodeError | OverflowError) and any(isinstance(job, Put) for job in self.jobs):
            ours = StoreError(f"the store cannot hold a value ({type(error).__name__})")
        else:
            ours = error
        for job in self.jobs:
            job.answer.set_exception(ours)


def units(jobs: Sequence[Job[Any]]) -> list[Unit]:
    """All puts as one unit, then the others in order."""
    puts = [job for job in jobs if isinstance(job, Put)]
    return ([Unit(puts)] if puts else []) + [Unit([job]) for job in jobs if not isinstance(job, Put)]


class Writer:
    """The thread. `run` gets what waits, as units that it must answer one and all."""

    def __init__(self, name: str, run: Callable[[list[Unit]], None]) -> None:
        self._run = run
        self._waiting: deque[Job[Any]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job[T]) -> T:
        """Have it run and wait for its answer."""
        with self._changed:
            if self._closed:
                raise StoreError("the store is closed")
            self._waiting.append(job)
            self._changed.notify()
        return job.wait()

    def close(self, timeout_s: float = 5.0) -> None:
        """Let what waits be written, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _loop(self) -> None:
        while jobs := self._take():
            wanted = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
            if wanted:
                self._run(units(wanted))

    def _take(self) -> list[Job[Any]]:
        """What waits, up to a group; none at the end."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            jobs: list[Job[Any]] = []
            size = 0
            while self._waiting and len(jobs) < _GROUP and size <= _GROUP_BYTES:
                jobs.append(self._waiting.popleft())
                size += jobs[-1].bytes
            return jobs

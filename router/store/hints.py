"""Wake-ups: how a worker learns that something was written. Only a hint, nothing depends on it."""

from __future__ import annotations

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import psycopg

#: PostgreSQL's channel
CHANNEL = "router_hint"
#: seconds between two looks at SQLite's counter, and between two notifications of one process
_LOOK_S = 0.02
_NOTIFY_S = 0.2
#: seconds before a lost connection is tried again, plus or minus half
_RETRY_S = 2.0


class Hints(ABC):
    """Wake-ups for one thread."""

    @abstractmethod
    def wait(self, timeout_s: float) -> bool:
        """True as soon as something was written since the last call, false when the time is over."""

    @abstractmethod
    def close(self) -> None:
        """End a `wait` in another thread, too."""


class DataVersionHints(Hints):
    """SQLite's counter of commits by other connections (https://www.sqlite.org/pragma.html#pragma_data_version)."""

    def __init__(self, connect: Callable[[], Any], error: type[Exception]) -> None:
        self._connect = connect
        self._error = error
        self._connection: Any = None
        self._seen: int | None = None
        self._closed = threading.Event()

    def wait(self, timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        while not self._closed.is_set():
            version = self._version()
            if version != self._seen:
                self._seen = version
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._closed.wait(min(_LOOK_S, left))
        return False

    def _version(self) -> int | None:
        """The counter; as last seen if the database is away."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except self._error:
            self._connection = None
            return self._seen

    def close(self) -> None:
        self._closed.set()


class ListenHints(Hints):
    """Notifications over one autocommit connection; none come through a pooler in transaction mode."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None
        self._retry_at = 0.0
        self._closed = threading.Event()

    def wait(self, timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        while not self._closed.is_set():
            left = until - time.monotonic()
            heard = self._listen(max(0.0, min(0.5, left)))
            if heard or left <= 0:
                return heard
        return False

    def _listen(self, timeout_s: float) -> bool:
        """True if something was heard, or if it may have been missed while there was no connection."""
        try:
            if self._connection is None:
                if time.monotonic() < self._retry_at:
                    self._closed.wait(timeout_s)
                    return False
                self._connection = self._connect()
                self._connection.execute(f"LISTEN {CHANNEL}")
                return True
            heard = list(self._connection.notifies(timeout=timeout_s, stop_after=1))
            return bool(heard)
        except psycopg.Error:
            self._drop()
            return False

    def _drop(self) -> None:
        self._retry_at = time.monotonic() + _RETRY_S * random.uniform(0.5, 1.5)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        self._closed.set()


class Notifier:
    """Sends hints from a thread of its own, at most five a second; the last one of a burst is always sent."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="hints", daemon=True)
        self._thread.start()

    def hint(self) -> None:
        self._wanted.set()

    def close(self) -> None:
        self._closed.set()
        self._wanted.set()
        self._thread.join(1.0)

    def _loop(self) -> None:
        while not self._closed.is_set():
            self._wanted.wait()
            self._wanted.clear()
            if not self._closed.is_set():
                self._send()
            self._closed.wait(_NOTIFY_S)
        if self._connection is not None:
            self._connection.close()

    def _send(self) -> None:
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.execute(f"NOTIFY {CHANNEL}")
        except psycopg.Error:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

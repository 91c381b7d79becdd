"""What differs between SQLite and PostgreSQL in one statement or value."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, cast

from sqlalchemy import Connection, Row, Table, exc
from sqlalchemy.dialects import postgresql, sqlite

from router.errors import StoreError

Dialect = Literal["sqlite", "postgresql"]
#: SQLAlchemy gives both databases' inserts the same methods, without a type of their own
Insert = postgresql.Insert
AnyRow = Row[*tuple[Any, ...]]
_T = TypeVar("_T")

_PG_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


def both(table: Table, build: Callable[[Insert], _T]) -> Mapping[str, _T]:
    """Dialect name → statement, for inserts with `ON CONFLICT`."""
    return {
        "postgresql": build(postgresql.insert(table)),
        "sqlite": build(cast("Insert", sqlite.insert(table))),
    }


def now_us(tx: Connection) -> int:
    """The database's clock, whole microseconds since 1970: PostgreSQL's own, on SQLite this machine's."""
    if tx.dialect.name == "postgresql":
        return int(tx.exec_driver_sql(_PG_NOW).scalar_one())
    return time.time_ns() // 1000


class LeaseClock(NamedTuple):
    """A clock that nobody sets: leases are compared on it."""

    #: another boot than that of the lease means that its holder is gone; empty on PostgreSQL
    boot: str
    us: int


def lease_clock(tx: Connection, now_us: int) -> LeaseClock:
    """PostgreSQL's clock (`now_us`), which all machines share; on SQLite the time since this machine started."""
    if tx.dialect.name == "postgresql":
        return LeaseClock("", now_us)
    return LeaseClock(_boot_id(), time.clock_gettime_ns(_BOOT_CLOCK) // 1000)


#: goes on while the machine sleeps; macOS has no such clock under this name
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@cache
def _boot_id() -> str:
    """Linux tells one boot from another (https://docs.kernel.org/admin-guide/sysctl/kernel.html#random)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return "unknown"


def trouble(error: exc.SQLAlchemyError | OSError) -> StoreError:
    """Ours for the database's error. Says what kind it was; values never show, as PostgreSQL quotes them."""
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        state = getattr(error.orig, "sqlstate", None)
        name = getattr(error.orig, "sqlite_errorname", None)
        kind = type(error.orig).__name__
        detail = f"{kind} {state or name}" if state or name else f"{kind}: {_first_line(error.orig)}"
        return StoreError(f"the store does not answer ({detail})")
    if isinstance(error, OSError):
        return StoreError(f"the store cannot be opened ({error.strerror or type(error).__name__})")
    return StoreError(f"the store does not answer ({type(error).__name__})")


def _first_line(error: BaseException) -> str:
    """The first line: PostgreSQL puts values into the lines after it."""
    return str(error).partition("\n")[0][:200]

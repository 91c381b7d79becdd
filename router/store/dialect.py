"""What differs between SQLite and PostgreSQL in one statement or value."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple, TypeVar
from typing import cast as typed

from sqlalchemy import (
    JSON,
    Connection,
    Insert,
    Row,
    Table,
    TableValuedAlias,
    Text,
    Update,
    bindparam,
    cast,
    column,
    exc,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from router.errors import StoreError

Dialect = Literal["sqlite", "postgresql"]
#: SQLAlchemy gives both databases' inserts the same methods, without a type of their own
Upsert = postgresql.Insert
AnyRow = Row[*tuple[Any, ...]]
_T = TypeVar("_T")

_PG_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


def both(table: Table, build: Callable[[Upsert], _T]) -> Mapping[str, _T]:
    """Dialect name → statement, for inserts with `ON CONFLICT`."""
    return {
        "postgresql": build(postgresql.insert(table)),
        "sqlite": build(typed("Upsert", sqlite.insert(table))),
    }


class Each:
    """One statement for many rows: on SQLite one after the other, on PostgreSQL at once, where a statement is dear.

    No binary values: the rows go to PostgreSQL as JSON.
    """

    def __init__(self, one: Update | Insert, at_once: Update | Insert) -> None:
        # compiled here, once: SQLAlchemy's own work on many parameters costs more than the rows do
        compiled = one.compile(dialect=sqlite.dialect())
        self._one = str(compiled)
        self._names: Sequence[str] = tuple(getattr(compiled, "positiontup", None) or ())
        #: parameters with a value of their own, such as a state that is compared with
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        self._at_once = at_once

    @classmethod
    def update(cls, types: Mapping[str, Any], build: Callable[[Any], Update]) -> Each:
        """`types` are the parameters of a row; `build` gets them by name and makes the statement."""
        one = SimpleNamespace(**{name: bindparam(name, type_=kind) for name, kind in types.items()})
        return cls(build(one), build(_given(types).c))

    @classmethod
    def insert(cls, table: Table, names: Sequence[str], *, again: bool = False) -> Each:
        """The columns of these names are the parameters of a row. `again`: a row that is there already is kept."""
        given = _given({name: table.c[name].type for name in names})
        one = sqlite.insert(table).values({name: bindparam(name) for name in names})
        many = postgresql.insert(table).from_select(list(names), select(given))
        return cls(one.on_conflict_do_nothing(), many.on_conflict_do_nothing()) if again else cls(one, many)

    def __call__(self, tx: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it; does nothing without rows."""
        if not rows:
            return
        if tx.dialect.name == "postgresql":
            tx.execute(self._at_once, {"rows": json.dumps(rows)})
        else:
            fixed = self._fixed
            values = [tuple([row[name] if name in row else fixed[name] for name in self._names]) for row in rows]
            tx.exec_driver_sql(self._one, values)


def fit(value: _T) -> _T:
    """Text that a text column takes: without NUL and halves of surrogate pairs. Anything else as it is."""
    if isinstance(value, str) and not value.isprintable():
        clean = value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
        return typed("_T", clean)
    return value


def _given(types: Mapping[str, Any]) -> TableValuedAlias:
    """The parameter `rows`, a JSON list of objects, as a table."""
    rows = func.json_to_recordset(cast(bindparam("rows", type_=Text()), JSON))
    given = rows.table_valued(*(column(name, kind) for name, kind in types.items()), name="given")
    return given.render_derived(with_types=True)


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

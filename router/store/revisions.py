"""Revisions: the rule files that ran, whole, so that a process can run them while those on the disk are broken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, select

from router.store.dialect import AnyRow, both
from router.store.schema import revisions

#: how long a revision is kept after it was last loaded, µs: as long as the events that it routed
KEEP_US = 90 * 24 * 3_600_000_000

_KEEP = both(
    revisions,
    lambda insert: insert.on_conflict_do_update(
        index_elements=["revision"],
        set_={"loaded_at": insert.excluded.loaded_at, "loaded_by": insert.excluded.loaded_by},
    ),
)
_FORGET = delete(revisions).where(revisions.c.loaded_at < bindparam("before"))
_ROW = select(revisions.c.revision, revisions.c.files, revisions.c.loaded_at, revisions.c.loaded_by)
_NEWEST = _ROW.order_by(revisions.c.loaded_at.desc(), revisions.c.revision).limit(1)
_GET = _ROW.where(revisions.c.revision == bindparam("wanted"))


class Kept(NamedTuple):
    """One set of rule files that loaded without an error."""

    revision: str
    #: name → bytes
    files: Mapping[str, bytes]
    #: when and by which process it was last loaded; microseconds since 1970
    loaded_at: int
    loaded_by: str


def keep(tx: Connection, revision: str, files: Mapping[str, bytes], now_us: int, loaded_by: str) -> None:
    """Remember that these files were loaded now; those that were not for long are forgotten."""
    values = {
        "revision": revision,
        "files": json.dumps({name: data.decode() for name, data in sorted(files.items())}),
        "loaded_at": now_us,
        "loaded_by": loaded_by,
    }
    tx.execute(_KEEP[tx.dialect.name], [values])
    tx.execute(_FORGET, {"before": now_us - KEEP_US})


def newest(tx: Connection) -> Kept | None:
    """The files that were loaded last, None if there are none."""
    return _kept(tx.execute(_NEWEST).one_or_none())


def get(tx: Connection, revision: str) -> Kept | None:
    """The files of one revision, None if they are not kept."""
    return _kept(tx.execute(_GET, {"wanted": revision}).one_or_none())


def _kept(row: AnyRow | None) -> Kept | None:
    if row is None:
        return None
    files = {name: text.encode() for name, text in json.loads(row.files).items()}
    return Kept(row.revision, files, row.loaded_at, row.loaded_by)

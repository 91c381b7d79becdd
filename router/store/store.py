"""Opens the store that a URL names."""

from __future__ import annotations

from router.errors import ConfigError
from router.store.base import STATEMENT_S, Store
from router.store.postgres import PostgresStore
from router.store.sqlite import SqliteStore

__all__ = ["Store", "open_store"]


def open_store(url: str, *, role: str = "worker", listen_url: str = "") -> Store:
    """The store of a SQLAlchemy URL (as in `Settings.database_url`). Opens nothing yet.

    `role` is `web`, `worker` or `cli`: how long a statement may take. `listen_url`: a direct URL for wake-ups where
    `url` goes through a pooler. Raises `ConfigError` for another database.
    """
    if role not in STATEMENT_S:
        raise ValueError(f"no role {role!r}")
    if url.startswith("sqlite:"):
        return SqliteStore(url, role)
    if url.startswith("postgresql+psycopg:"):
        return PostgresStore(url, role, listen_url or url)
    raise ConfigError("DATABASE_URL starts with sqlite:/// or postgresql://")

"""Fixtures for everybody: a store, on both databases.

`store` and `store_url` run a test once with SQLite and once with PostgreSQL. `TEST_DATABASE_URL` names a PostgreSQL
server to use instead of the one out of the wheel; databases are made and dropped there.

Generated examples are the same in each run, so that what passed here passes everywhere; `pytest
--hypothesis-profile=explore` draws others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from router.store.migrations import upgrade
from router.store.store import Store, open_store
from tests.postgres_server import Databases, PostgresServer, shared_databases

settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", settings.get_profile("explore"), derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """The server that all tests share."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with shared_databases(shared, os.environ.get("TEST_DATABASE_URL", "")) as databases:
        yield databases


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server of the test's own, to be stopped, crashed or frozen."""
    server = PostgresServer.create()
    yield server
    server.destroy()


@pytest.fixture
def postgres_url(postgres: Databases) -> Iterator[str]:
    """A fresh PostgreSQL database with all tables."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("template") / "router.db"
    upgrade(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
def sqlite_url(_sqlite_template: bytes, tmp_path: Path) -> str:
    """A fresh SQLite file with all tables."""
    path = tmp_path / "router.db"
    path.write_bytes(_sqlite_template)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh store with all tables: each test runs with both databases."""
    return request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param])


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A fresh store: each test runs with both databases."""
    opened = open_store(store_url)
    yield opened
    opened.close()

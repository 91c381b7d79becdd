"""Writing: grouped, each caller answered for itself, and nothing that was answered is lost."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from router.errors import LeaseLost, StoreError
from router.store import destinations
from router.store.sqlite import LockFile, path_of, wal_reset_safe
from router.store.store import Store, open_store
from tests.store.making import column, event, received


def names(store: Store) -> list[str]:
    return sorted(column(store, "SELECT name FROM destinations"))


def test_gives_back_the_result_of_the_work(store: Store) -> None:
    assert store.write(lambda tx: destinations.ensure(tx, ["a"]) or 42) == 42
    assert names(store) == ["a"]


def test_the_works_own_exception_comes_back_and_undoes_it(store: Store) -> None:
    def work(tx):
        destinations.ensure(tx, ["a"])
        raise LeaseLost("lost")

    with pytest.raises(LeaseLost):
        store.write(work)
    assert names(store) == []


def test_the_databases_exception_is_ours_and_shows_no_value(store: Store) -> None:
    store.put_events([event("evt_1")])
    statement = text("INSERT INTO destinations (name, state) VALUES ('canary', 'x'), ('canary', 'y')")
    with pytest.raises(StoreError) as caught:
        store.write(lambda tx: tx.execute(statement).rowcount)
    assert "canary" not in str(caught.value)
    assert not isinstance(caught.value.__cause__, Exception) or "canary" not in str(caught.value.__cause__)
    with pytest.raises(StoreError), store.read() as tx:
        tx.execute(text("SELECT canary"))


def test_one_that_fails_in_a_group_fails_alone(store: Store) -> None:
    """The first job holds the writer until all the others wait, so that those are one group."""
    entered, go = threading.Event(), threading.Event()
    answers: dict[int, object] = {}

    def hold(tx):
        entered.set()
        go.wait(5)

    def work(number: int) -> None:
        def write(tx):
            destinations.ensure(tx, [f"d{number}"])
            if number == 3:
                raise ValueError("mine")
            if number == 4:
                tx.execute(text("SELECT nonsense"))
            return number

        try:
            answers[number] = store.write(write)
        except (ValueError, StoreError) as error:
            answers[number] = type(error)

    threads = [threading.Thread(target=lambda: store.write(hold))]
    threads[0].start()
    entered.wait(5)
    threads += [threading.Thread(target=work, args=(number,)) for number in range(8)]
    threads += [
        threading.Thread(target=lambda number=number: store.put_events([event(f"evt_{number}")])) for number in range(4)
    ]
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.1)
    go.set()
    for thread in threads:
        thread.join()
    assert answers == {0: 0, 1: 1, 2: 2, 3: ValueError, 4: StoreError, 5: 5, 6: 6, 7: 7}
    assert names(store) == ["d0", "d1", "d2", "d5", "d6", "d7"]
    assert sorted(received(store)) == ["evt_0", "evt_1", "evt_2", "evt_3"]


def test_many_callers_share_a_commit(sqlite_url: str) -> None:
    """Counted in SQLite's own counter of commits, as another connection sees it."""
    store = open_store(sqlite_url)
    store.put_events([event("first")])
    watcher = sqlite3.connect(path_of(sqlite_url))
    before = watcher.execute("PRAGMA data_version").fetchone()
    entered, go = threading.Event(), threading.Event()
    holding = threading.Thread(target=lambda: store.write(lambda tx: entered.set() or go.wait(5)))
    holding.start()
    entered.wait(5)
    threads = [threading.Thread(target=store.put_events, args=([event(f"e{number}")],)) for number in range(30)]
    for thread in threads:
        thread.start()
    while store._writer is None or len(store._writer._waiting) < 30:  # type: ignore[attr-defined]
        time.sleep(0.001)
    versions = {before}
    go.set()
    while any(thread.is_alive() for thread in threads):
        versions.add(watcher.execute("PRAGMA data_version").fetchone())
    for thread in (holding, *threads):
        thread.join()
    versions.add(watcher.execute("PRAGMA data_version").fetchone())
    watcher.close()
    store.close()
    assert len(versions) <= 3


def test_a_caller_waits_no_longer_than_it_said(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    entered, go = threading.Event(), threading.Event()
    holding = threading.Thread(target=lambda: store.write(lambda tx: entered.set() or go.wait(10), timeout_s=10))
    holding.start()
    entered.wait(5)
    started = time.monotonic()
    with pytest.raises(StoreError):
        store.write(lambda tx: destinations.ensure(tx, ["late"]), timeout_s=0.2)
    assert time.monotonic() - started < 1
    go.set()
    holding.join()
    store.write(lambda tx: None)
    assert names(store) == []
    store.close()


def test_processes_take_turns_at_one_file(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    lock = LockFile(path_of(sqlite_url))
    with lock.held(), pytest.raises(StoreError):
        store.write(lambda tx: None, timeout_s=0.2)
    lock.close()
    store.write(lambda tx: None)
    store.close()


def test_a_closed_store_can_be_used_again(store: Store) -> None:
    store.write(lambda tx: destinations.ensure(tx, ["a"]))
    store.close()
    assert names(store) == ["a"]
    store.write(lambda tx: destinations.ensure(tx, ["b"]))
    assert names(store) == ["a", "b"]


def test_opens_nothing_before_it_is_used(tmp_path: Path) -> None:
    before = threading.active_count()
    store = open_store(f"sqlite:///{tmp_path}/none.db")
    other = open_store("postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert threading.active_count() == before
    assert list(tmp_path.iterdir()) == []
    store.close()
    other.close()


_PUT = """
import sys
from router.store.store import open_store
from tests.store.making import event
store = open_store(sys.argv[1])
for number in range(100000):
    store.put_events([event(f"evt_{number}", body=b"x" * 1000)])
    print(f"evt_{number}", flush=True)
"""


def test_what_was_answered_survives_kill_9(store: Store, store_url: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", _PUT, store_url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    answered = [process.stdout.readline().strip() for _ in range(150)]
    process.send_signal(signal.SIGKILL)
    answered += [line.strip() for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    assert set(answered) <= set(received(store, 100_000))
    assert store.put_events([event("after")])[0].new


def test_the_file_has_the_settings_that_keep_promises(sqlite_url: str) -> None:
    store = open_store(sqlite_url)

    def settings(tx):
        wanted = ("journal_mode", "synchronous", "secure_delete", "cell_size_check", "trusted_schema", "mmap_size")
        return {name: tx.exec_driver_sql(f"PRAGMA {name}").scalar() for name in (*wanted, "auto_vacuum")}

    expected = {
        "journal_mode": "wal",
        "synchronous": 2,
        "secure_delete": 1,
        "cell_size_check": 1,
        "trusted_schema": 0,
        "mmap_size": 0,
        "auto_vacuum": 2,
    }
    assert store.write(settings) == expected
    store.check()
    with pytest.raises(StoreError), store.read() as tx:
        tx.execute(text("DELETE FROM events"))
    store.close()


def test_a_missing_file_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/none.db")
    for use in (lambda: store.write(lambda tx: None), lambda: store.put_events([event()]), store.check):
        with pytest.raises(StoreError):
            use()
    assert not (tmp_path / "none.db").exists()
    store.close()


def test_a_damaged_file_is_refused(sqlite_url: str) -> None:
    path = path_of(sqlite_url)
    store = open_store(sqlite_url)
    store.put_events([event(f"evt_{number}", body=b"x" * 3000) for number in range(50)])
    store.close()
    damaged = bytearray(path.read_bytes())
    for place in range(4096 * 5, len(damaged), 4096):
        damaged[place : place + 200] = os.urandom(200)
    path.write_bytes(damaged)
    store = open_store(sqlite_url)
    with pytest.raises(StoreError):
        store.check()
    store.close()


_FULL = """
import resource, sys, time
from router.errors import StoreError
from router.store.store import open_store
from tests.store.making import event, received
store = open_store(sys.argv[1])
store.put_events([event("before")])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
refused = 0
for number in range(60):
    started = time.monotonic()
    try:
        store.put_events([event(f"evt_{number}", body=b"x" * 20_000)])
    except StoreError:
        refused += 1
        assert time.monotonic() - started < 5
assert refused > 30, refused
kept = received(store, 1000)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert store.put_events([event("after")])[0].new
assert set(received(store, 1000)) == {*kept, "after"}
store.check()
"""


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY, reason="limited already")
def test_a_full_disk_refuses_and_then_recovers(sqlite_url: str) -> None:
    subprocess.run([sys.executable, "-c", _FULL, sqlite_url], check=True, timeout=120)


def test_a_statement_that_runs_for_ever_is_stopped(store_url: str) -> None:
    store = open_store(store_url, role="web")
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    started = time.monotonic()
    with pytest.raises(StoreError), store.read() as tx:
        tx.execute(text(endless))
    assert time.monotonic() - started < 4
    assert received(store) == []
    store.close()


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 53, 4), True),
    ],
)
def test_knows_the_versions_with_the_wal_reset_race(version: tuple[int, ...], safe: bool) -> None:
    assert wal_reset_safe(version) is safe

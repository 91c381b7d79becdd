"""Hints: another process's writing wakes a worker."""

from __future__ import annotations

import threading
import time

from router.store.store import Store, open_store
from tests.postgres_server import PostgresServer, wait_for
from tests.store.making import event


def quiet(hints) -> None:
    """Let go by what was written before."""
    while hints.wait(0.3):
        pass


def test_a_put_elsewhere_wakes(store: Store, store_url: str) -> None:
    other = open_store(store_url)
    hints = store.hints()
    quiet(hints)
    assert not hints.wait(0.05)
    other.put_events([event()])
    other.hint()
    started = time.monotonic()
    assert hints.wait(5)
    assert time.monotonic() - started < 1
    hints.close()
    other.close()


def test_a_hint_right_after_another_is_late_but_not_lost(store: Store) -> None:
    hints = store.hints()
    quiet(hints)
    for number in range(4):
        store.put_events([event(f"evt_{number}")])
        store.hint()
        assert hints.wait(5)
    hints.close()


def test_a_burst_of_hints_becomes_few(store: Store) -> None:
    hints = store.hints()
    quiet(hints)
    store.put_events([event()])
    for _ in range(1000):
        store.hint()
    heard = 0
    while hints.wait(0.5):
        heard += 1
    assert 1 <= heard <= 3
    hints.close()


def test_closing_ends_a_wait(store: Store) -> None:
    hints = store.hints()
    quiet(hints)
    waiting = threading.Thread(target=hints.wait, args=(30,))
    waiting.start()
    hints.close()
    waiting.join(5)
    assert not waiting.is_alive()


def test_listening_survives_a_restart(own_postgres: PostgresServer) -> None:
    with own_postgres.database() as url:
        store = open_store(url)
        hints = store.hints()
        assert hints.wait(5)
        own_postgres.stop()
        assert not hints.wait(0.1)
        store.hint()
        own_postgres.start()
        wait_for(lambda: hints.wait(0.2))
        quiet(hints)
        store.hint()
        assert hints.wait(5)
        hints.close()
        store.close()

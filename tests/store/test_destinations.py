"""Destinations: gates and one token bucket for all machines."""

from __future__ import annotations

import threading

from router.store import destinations
from router.store.lanes import LONGEST_WAIT_US
from router.store.rows import Gate
from router.store.store import Store, open_store
from tests.store.making import T0

SECOND = 1_000_000


def ensure(store: Store, *names: str) -> None:
    store.write(lambda tx: destinations.ensure(tx, names))


def gate(store: Store, now: int = T0) -> Gate:
    with store.read() as tx:
        return destinations.gates(tx, now)["moesif"]


def draw(store: Store, n: int, now: int = T0) -> float:
    return store.write(lambda tx: destinations.draw(tx, "moesif", n, 10.0, 20.0, now))


def set_state(store: Store, state: str, **more: object) -> bool:
    return store.write(lambda tx: destinations.set_state(tx, "moesif", state, **more))  # type: ignore[arg-type]


def test_a_new_destination_runs_without_a_limit(store: Store) -> None:
    ensure(store, "moesif", "moengage")
    ensure(store, "moesif")
    assert gate(store) == Gate("moesif", "running", "", 0, None, 0)


def test_the_bucket_refills_with_time_up_to_its_size(store: Store) -> None:
    ensure(store, "moesif")
    assert draw(store, 5) == 15.0
    assert draw(store, 20) == -5.0
    assert gate(store).tokens == -5
    assert gate(store, T0 + SECOND).tokens == 5
    assert draw(store, 1, T0 + SECOND) == 4.0
    assert gate(store, T0 + 60 * SECOND).tokens == 20
    assert draw(store, 0, T0 + 60 * SECOND) == 20.0


def test_a_clock_set_back_fills_nothing(store: Store) -> None:
    ensure(store, "moesif")
    draw(store, 20, T0 + 60 * SECOND)
    assert draw(store, 0, T0) == 0.0


def test_two_machines_draw_from_one_bucket(store: Store, store_url: str) -> None:
    ensure(store, "moesif")
    other = open_store(store_url)
    start = threading.Barrier(4)

    def take(machine: Store) -> None:
        start.wait()
        for _ in range(25):
            draw(machine, 1)

    threads = [threading.Thread(target=take, args=(machine,)) for machine in (store, other) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert draw(store, 0) == 20.0 - 100


def test_a_hold_only_ever_moves_later(store: Store) -> None:
    ensure(store, "moesif")
    for until in (T0 + 5, T0 + 3):
        store.write(lambda tx, until=until: destinations.hold(tx, "moesif", until))
    assert gate(store).resume_at == T0 + 5


def test_a_hold_further_away_than_any_wait_is_none(store: Store) -> None:
    ensure(store, "moesif")
    store.write(lambda tx: destinations.hold(tx, "moesif", T0 + LONGEST_WAIT_US + 1))
    assert gate(store).resume_at == 0


def test_counts_how_long_a_destination_stood_still(store: Store) -> None:
    ensure(store, "moesif")
    assert set_state(store, "denied", reason="401")
    with store.read() as tx:
        now = store.now_us(tx)
    stopped = gate(store, now + 9 * SECOND)
    assert (stopped.state, stopped.reason) == ("denied", "401")
    assert stopped.stopped_us >= 9 * SECOND
    assert set_state(store, "paused", reason="jo")
    assert set_state(store, "running")
    first = gate(store, now + 9 * SECOND).stopped_us
    assert 0 < first < 9 * SECOND
    assert gate(store, now + 99 * SECOND).stopped_us == first


def test_a_breaker_does_not_undo_a_pause(store: Store) -> None:
    ensure(store, "moesif")
    set_state(store, "paused", reason="jo")
    assert not set_state(store, "tripped", only_from=["running", "tripped"])
    assert gate(store).state == "paused"
    assert set_state(store, "running", only_from=["paused"])
    assert not store.write(lambda tx: destinations.set_state(tx, "unheard-of", "paused"))

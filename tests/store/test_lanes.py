"""Lanes: one lease at a time, and only its holder settles."""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter

import pytest

from router.store import attempts, dialect, lanes
from router.store.lanes import LONGEST_WAIT_US, Busy
from router.store.rows import LaneRow
from router.store.store import Store, open_store
from tests.store.making import (
    DESTINATION,
    MINUTE,
    T0,
    arrive,
    attempt,
    claim,
    column,
    pending,
    settle,
    settlement,
)


def ensure(store: Store) -> None:
    from router.store import destinations

    store.write(lambda tx: destinations.ensure(tx, [DESTINATION]))


def next_due(store: Store, now: int = T0) -> int | None:
    with store.read() as tx:
        return lanes.next_due(tx, [DESTINATION], now)


def lapse(store: Store) -> None:
    """Move every lease into the past, on whichever clock it is."""
    store.write(lambda tx: tx.exec_driver_sql("UPDATE lanes SET leased_until = 1 WHERE leased_until > 1").rowcount)


def test_claims_what_is_due_oldest_first_and_once(store: Store) -> None:
    for number in (3, 1, 2, 9):
        arrive(store, f"u_{number}", now=T0 + number)
    claimed = claim(store, 2, now=T0 + 3)
    assert [lane.profile for lane in claimed] == ["u_1", "u_2"]
    assert claimed[0] == LaneRow(DESTINATION, "u_1", "{}", "{}", None, None, 1, 1, 0, "t0", None)
    assert [lane.profile for lane in claim(store, 5, now=T0 + 3)] == ["u_3"]
    assert claim(store, 5, now=T0 + 3) == []


def test_threads_never_hold_one_lane_together(store: Store) -> None:
    for number in range(60):
        arrive(store, f"u_{number}")
    claimed: list[str] = []

    def work(name: str) -> None:
        while found := claim(store, 4, token=name):
            claimed.extend(lane.profile for lane in found)

    threads = [threading.Thread(target=work, args=(f"thread{number}.",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(claimed) == dict.fromkeys((f"u_{number}" for number in range(60)), 1)


def _claim_all(url: str, name: str, start: object, found: object) -> None:
    store = open_store(url)
    start.wait()  # type: ignore[attr-defined]
    while claimed := claim(store, 3, token=name):
        found.put([lane.profile for lane in claimed])  # type: ignore[attr-defined]
    found.put(None)  # type: ignore[attr-defined]
    store.close()


def test_processes_never_hold_one_lane_together(store: Store, store_url: str) -> None:
    for number in range(90):
        arrive(store, f"u_{number}")
    fresh = multiprocessing.get_context("spawn")
    start, found = fresh.Barrier(2), fresh.Queue()
    workers = [fresh.Process(target=_claim_all, args=(store_url, f"p{number}.", start, found)) for number in range(2)]
    for worker in workers:
        worker.start()
    claimed: list[str] = []
    ended = 0
    while ended < 2:
        profiles = found.get(timeout=60)
        ended += profiles is None
        claimed.extend(profiles or ())
    for worker in workers:
        worker.join()
    assert Counter(claimed) == dict.fromkeys((f"u_{number}" for number in range(90)), 1)


def test_settling_stores_the_registers_and_frees_the_lane(store: Store) -> None:
    arrive(store, "u_1")
    lane = claim(store)[0]
    rows = pending(store, "u_1")["u_1"]
    store.write(lambda tx: lanes.intend(tx, [(DESTINATION, "u_1", lane.token, '{"email": 1}', "{}")]))
    assert column(store, "SELECT sending FROM lanes") == ['{"email": 1}']
    assert settle(store, settlement(lane, rows, handle="euid-7")) == [True]
    assert column(store, "SELECT state FROM deliveries") == ["delivered"]
    assert column(store, "SELECT settled_at FROM deliveries") == [T0]
    for empty in ("sending", "due_at", "leased_until", "token"):
        assert column(store, f"SELECT {empty} FROM lanes") == [None]
    arrive(store, "u_1")
    again = claim(store)[0]
    assert (again.registers, again.handle, again.failures, again.arrivals) == ('{"x": 1}', "euid-7", 1, 2)


def test_an_arrival_during_a_call_wakes_the_lane_again(store: Store) -> None:
    arrive(store, "u_1")
    lane = claim(store)[0]
    carried = pending(store, "u_1")["u_1"]
    arrive(store, "u_1")
    settle(store, settlement(lane, carried, debounce_us=7), now=T0 + 10)
    assert column(store, "SELECT due_at FROM lanes") == [T0 + 17]
    assert len(pending(store, "u_1")["u_1"]) == 1


def test_an_arrival_during_a_call_does_not_shorten_a_wait(store: Store) -> None:
    arrive(store, "u_1")
    lane = claim(store)[0]
    arrive(store, "u_1")
    settle(store, settlement(lane, failures=1, due_at=T0 + MINUTE))
    assert column(store, "SELECT due_at FROM lanes") == [T0 + MINUTE]


def test_a_lapsed_lease_is_taken_over_with_what_its_holder_may_have_sent(store: Store) -> None:
    arrive(store, "u_1")
    lost = claim(store, token="lost")[0]
    store.write(lambda tx: lanes.intend(tx, [(DESTINATION, "u_1", lost.token, '{"email": 1}', "{}")]))
    assert claim(store, token="early") == []
    lapse(store)
    taken = claim(store, token="new")[0]
    assert (taken.lapsed_token, taken.sending, taken.failures, taken.lapses) == ("lost0", '{"email": 1}', 2, 1)

    rows = pending(store, "u_1")["u_1"]
    assert settle(store, settlement(lost, rows, registers='{"late": 1}')) == [False]
    assert pending(store, "u_1")["u_1"] == rows
    store.write(lambda tx: lanes.intend(tx, [(DESTINATION, "u_1", lost.token, '{"late": 1}', "{}")]))
    assert column(store, "SELECT sending FROM lanes") == ['{"email": 1}']
    assert settle(store, settlement(taken, rows)) == [True]
    assert settle(store, settlement(taken, rows)) == [False]
    assert column(store, "SELECT registers FROM lanes") == ['{"x": 1}']
    assert column(store, "SELECT lapses FROM lanes") == [0]


def test_a_lease_lapses_by_itself_on_the_databases_clock(store: Store) -> None:
    arrive(store, "u_1")
    claim(store, lease_us=0)
    with store.read() as tx:
        now = store.now_us(tx)
    assert [lane.lapsed_token for lane in claim(store, now=now, token="new")] == ["t0"]


def test_a_clock_that_jumps_ahead_does_not_end_leases_of_this_machine(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    arrive(store, "u_1")
    claim(store)
    assert claim(store, now=T0 + 20 * MINUTE) == []
    store.close()


def test_another_boot_of_the_machine_ends_leases(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(sqlite_url)
    arrive(store, "u_1")
    claim(store)
    monkeypatch.setattr(dialect, "_boot_id", lambda: "another")
    assert [lane.lapsed_token for lane in claim(store, token="new")] == ["t0"]
    store.close()


def test_a_clock_set_back_does_not_park_work(store: Store) -> None:
    arrive(store, "u_1", now=T0 + LONGEST_WAIT_US + 1)
    arrive(store, "u_2", now=T0 + LONGEST_WAIT_US)
    assert [lane.profile for lane in claim(store)] == ["u_1"]


def test_settles_many_lanes_and_says_which_were_lost(store: Store) -> None:
    for number in range(4):
        arrive(store, f"u_{number}")
    claimed = claim(store)
    given = [settlement(lane, pending(store, lane.profile)[lane.profile]) for lane in claimed]
    lapse(store)
    claim(store, 1, token="other")
    assert sorted(settle(store, *given)) == [False, True, True, True]
    assert sorted(column(store, "SELECT state FROM deliveries")) == ["delivered"] * 3 + ["pending"]


def test_a_kept_lease_goes_on_with_its_next_intent(store: Store) -> None:
    arrive(store, "u_1")
    lane = claim(store)[0]
    until = column(store, "SELECT leased_until FROM lanes")
    assert settle(store, settlement(lane, keep=True, sending='{"half": 1}', failures=1)) == [True]
    assert column(store, "SELECT leased_until FROM lanes") == until
    assert column(store, "SELECT sending FROM lanes") == ['{"half": 1}']
    assert column(store, "SELECT due_at FROM lanes") == [T0]
    assert claim(store) == []
    assert settle(store, settlement(lane, pending(store, "u_1")["u_1"])) == [True]


def test_a_release_counts_no_try(store: Store) -> None:
    arrive(store, "u_1")
    lane = claim(store)[0]
    store.write(lambda tx: lanes.intend(tx, [(DESTINATION, "u_1", lane.token, "{}", "{}")]))
    store.write(lambda tx: lanes.release(tx, [lane]))
    assert claim(store) == [lane]


def test_a_release_leaves_a_lapsed_lease_as_it_was(store: Store) -> None:
    arrive(store, "u_1")
    lost = claim(store, token="lost")[0]
    store.write(lambda tx: lanes.intend(tx, [(DESTINATION, "u_1", lost.token, '{"email": 1}', "{}")]))
    lapse(store)
    first = claim(store, token="new")[0]
    store.write(lambda tx: lanes.intend(tx, [(DESTINATION, "u_1", first.token, '{"other": 1}', "{}")]))
    store.write(lambda tx: lanes.release(tx, [first]))
    assert claim(store, token="new") == [first]


def test_of_a_claim_lost_meanwhile_nothing_is_released(store: Store) -> None:
    arrive(store, "u_1")
    lost = claim(store)[0]
    lapse(store)
    taken = claim(store, token="new")[0]
    store.write(lambda tx: lanes.release(tx, [lost]))
    assert column(store, "SELECT token FROM lanes") == [taken.token]


def test_a_claim_takes_turns_between_sources(store: Store) -> None:
    for number in range(40):
        arrive(store, f"noisy_{number}", source="noisy", now=T0)
    for number in range(3):
        arrive(store, f"quiet_{number}", source="quiet", now=T0 + 1)
    found = [lane.profile for lane in claim(store, 8, now=T0 + 1)]
    assert len(found) == 8
    assert sum(name.startswith("quiet") for name in found) == 3


def test_failing_lanes_get_a_fifth_while_others_are_due(store: Store) -> None:
    for number in range(40):
        arrive(store, f"failing_{number}", now=T0)
    settle(store, *(settlement(lane, failures=1, due_at=T0) for lane in claim(store, 40)))
    for number in range(40):
        arrive(store, f"fresh_{number}", now=T0 + 1)
        arrive(store, f"other_{number}", source="other", now=T0 + 1)
    found = Counter(lane.profile.partition("_")[0] for lane in claim(store, 20, now=T0 + 1))
    assert found["failing"] <= 6
    assert found["fresh"] >= 7
    assert found["other"] >= 7


def test_failing_lanes_get_all_while_nothing_else_is_due(store: Store) -> None:
    for number in range(6):
        arrive(store, f"u_{number}", now=T0)
    settle(store, *(settlement(lane, failures=1, due_at=T0) for lane in claim(store, 6)))
    assert len(claim(store, 6)) == 6


def test_tells_when_the_next_lane_is_due(store: Store) -> None:
    ensure(store)
    assert next_due(store) is None
    arrive(store, "u_1", now=T0 + 5)
    arrive(store, "u_2", now=T0 + 3)
    assert next_due(store) == T0 + 3
    claim(store, 1, now=T0 + 3)
    assert next_due(store) == T0 + 5
    claim(store, 1, now=T0 + 5)
    assert next_due(store) is None
    lapse(store)
    with store.read() as tx:
        now = store.now_us(tx)
    assert next_due(store, now) == T0 + 3


def test_counts_lanes_that_are_not_idle(store: Store) -> None:
    for number in range(3):
        arrive(store, f"u_{number}")
    claim(store, 1)
    with store.read() as tx:
        assert lanes.busy(tx) == {DESTINATION: Busy(3, 1)}


def test_keeps_the_time_of_a_deliverys_first_failure(store: Store) -> None:
    arrive(store, "u_1")
    for now in (T0, T0 + MINUTE):
        lane = claim(store, now=now)[0]
        carried = [row.id for row in pending(store, "u_1")["u_1"]]
        settle(store, settlement(lane, failures=1, due_at=now, failed=carried, failed_at=now))
    assert [row.failed_at for row in pending(store, "u_1")["u_1"]] == [T0]


def test_records_attempts_and_what_they_carried(store: Store) -> None:
    hostile = "a\0b\ud800c\n"
    rows = [attempt(7, "u_1"), attempt(8, "u_2", status=None, reply=hostile, ambiguous=True)]
    store.write(lambda tx: attempts.record(tx, rows))
    assert column(store, "SELECT reply FROM attempts ORDER BY id") == ["{}", "a\ufffdb?c\n"]
    assert column(store, "SELECT deliveries FROM attempt_lanes ORDER BY attempt") == ["[1, 2]", "[1, 2]"]
    store.write(lambda tx: attempts.record(tx, []))


def test_a_reason_with_odd_characters_settles(store: Store) -> None:
    arrive(store, "u_1")
    lane = claim(store)[0]
    given = settlement(lane, pending(store, "u_1")["u_1"], state="rejected")
    odd = [given.deliveries[0]._replace(reason="no\0t \udfff ok")]
    assert settle(store, settlement(lane, deliveries=odd)) == [True]
    assert column(store, "SELECT reason FROM deliveries") == ["no\ufffdt ? ok"]

"""Refusals, the audit trail, and ids."""

from __future__ import annotations

import threading

import pytest

from router.store import audit, ids, refusals
from router.store.store import Store, open_store
from tests.store.making import T0, column


def test_records_a_refusal(store: Store) -> None:
    store.write(lambda tx: refusals.record(tx, "stripe", T0, status=401, reason="signature", size=12, address="::1"))
    assert column(store, "SELECT reason FROM refusals") == ["signature"]


def record(store: Store, target: str) -> int:
    return store.write(lambda tx: audit.record(tx, T0, actor="cli:jo", action="pause", target=target, detail={"n": 1}))


def first_broken(store: Store) -> int | None:
    with store.read() as tx:
        return audit.first_broken(tx)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE audit SET target = 'other' WHERE target = 't3'",
        "DELETE FROM audit WHERE target = 't2'",
        "UPDATE audit SET detail = '{}' WHERE target = 't3'",
    ],
)
def test_an_edited_audit_row_shows(store: Store, damage: str) -> None:
    numbers = [record(store, f"t{number}") for number in range(6)]
    assert first_broken(store) is None
    store.write(lambda tx: tx.exec_driver_sql(damage).rowcount)
    assert first_broken(store) == numbers[3]


def test_the_audit_chain_has_no_fork_whoever_writes(store: Store, store_url: str) -> None:
    other = open_store(store_url)
    start = threading.Barrier(4)

    def write(mine: Store) -> None:
        start.wait()
        for number in range(10):
            record(mine, f"t{number}")

    threads = [threading.Thread(target=write, args=(mine,)) for mine in (store, other) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert first_broken(store) is None
    assert column(store, "SELECT count(*) FROM audit") == [40]


def test_ids_grow_and_hold_their_time() -> None:
    made = [ids.new(T0), *ids.many(T0, 500), ids.new(T0 - 30_000_000), ids.new(T0 + 1000)]
    assert made == sorted(set(made))
    assert ids.floor(T0) <= made[0]
    later = ids.new(T0 + 86_400_000_000)
    assert ids.time_us(later) == T0 + 86_400_000_000
    assert ids.floor(T0 + 86_400_000_000) <= later < ids.floor(T0 + 86_400_001_000) < 1 << 63


def test_the_texts_of_ids_sort_as_they_do() -> None:
    numbers = [0, 1, 31, 32, 1 << 40, (1 << 63) - 1]
    texts = [ids.text(ids.EVENT, number) for number in numbers]
    assert texts == sorted(texts)
    assert [ids.number(ids.EVENT, text.lower()) for text in texts] == numbers
    assert texts[1] == "ev_0000000000001"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ev",
        "ev_",
        "dl_0000000000001",
        "ev_00000000000001",
        "ev_000000000000U",
        "ev_ZZZZZZZZZZZZZ",
        "ev_00000000000é1",
    ],
)
def test_refuses_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="is not an id"):
        ids.number(ids.EVENT, text)


def test_reads_an_id_as_people_write_it() -> None:
    assert ids.number(ids.EVENT, " EV_oooooooooooiL ") == 33


def test_ids_of_two_clocks_in_one_process_never_meet() -> None:
    made = [ids.new(T0 + step * 3_600_000_000) for _ in range(5000) for step in (0, 1)]
    assert len(set(made)) == len(made)

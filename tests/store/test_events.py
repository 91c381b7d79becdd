"""Events: one row for each of the sender's ids, whatever comes again."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from router import model
from router.errors import StoreError
from router.model import EventState
from router.store import events
from router.store.rows import Stored
from router.store.store import Store
from tests.store.making import column, event, plan, received, routed


def test_stores_an_event_as_it_came(store: Store) -> None:
    sent = event(
        body=b"\x00\xff raw", object_version=7, part=True, headers={"h": "ü"}, query={"q": ["1", "2"]}, type="x.y"
    )
    stored = store.put_events([sent])[0]
    with store.read() as tx:
        row = events.get(tx, stored.id)
        assert events.get(tx, stored.id + 1) is None
    assert row is not None
    assert row.state is EventState.RECEIVED
    assert (row.repeats, row.conflicts) == (0, 0)
    assert row.event == model.Event(
        source="stripe",
        external_id="evt_1",
        type="x.y",
        occurred_at=sent.occurred_at,
        received_at=sent.received_at,
        object_version=7,
        body=b"\x00\xff raw",
        part=True,
        headers={"h": "ü"},
        query={"q": ["1", "2"]},
        id=stored.id,
        routing=1,
    )


def test_knows_an_id_again(store: Store) -> None:
    first = store.put_events([event()])[0]
    again = store.put_events([event(), event("evt_2"), event()])
    assert again[0] == again[2] == Stored(first.id, False)
    assert again[1].new
    assert column(store, "SELECT repeats FROM events ORDER BY id") == [2, 0]


def test_an_id_of_another_source_is_another_event(store: Store) -> None:
    stored = store.put_events([event(source="stripe"), event(source="shopify")])
    assert [one.new for one in stored] == [True, True]


def test_the_first_body_stays_and_another_counts_as_conflict(store: Store) -> None:
    first = store.put_events([event(body=b"one"), event(body=b"two")])
    later = store.put_events([event(body=b"three"), event(body=b"one")])
    assert [(one.new, one.conflict) for one in first + later] == [
        (True, False),
        (False, True),
        (False, True),
        (False, False),
    ]
    with store.read() as tx:
        row = events.get(tx, first[0].id)
    assert row is not None
    assert (row.event.body, row.repeats, row.conflicts) == (b"one", 1, 2)


def test_an_id_of_any_length_is_known_again(store: Store) -> None:
    long = "x" * 100_000
    assert store.put_events([event(long), event(long + "y")])[1].new
    assert not store.put_events([event(long)])[0].new


def test_an_element_that_could_not_be_read_is_stored_as_failed(store: Store) -> None:
    stored = store.put_events([event(error="no id at .id")])[0]
    with store.read() as tx:
        row = events.get(tx, stored.id)
    assert row is not None
    assert (row.state, row.reason) == (EventState.FAILED, "no id at .id")
    assert received(store) == []


MINUTES = [
    pytest.param([0, 59], ["d"], id="within the hour it is the same event"),
    pytest.param([0, 60], ["d", "d~2"], id="after it another one"),
    pytest.param([0, 60, 61, 119, 121], ["d", "d~2", "d~3"], id="each is known for an hour"),
]


@pytest.mark.parametrize(("minutes", "stored"), MINUTES)
def test_an_id_made_from_the_bytes_is_known_for_an_hour(store: Store, minutes: list[int], stored: list[str]) -> None:
    for minute in minutes:
        store.put_events([event("d", at=timedelta(minutes=minute), weak_id=True)])
    assert column(store, "SELECT external_id FROM events ORDER BY received_at") == stored


def test_a_forgotten_id_is_numbered_past_what_retention_left(store: Store) -> None:
    for hour in (0, 2, 4):
        store.put_events([event("d", at=timedelta(hours=hour), weak_id=True)])
    store.write(lambda tx: tx.exec_driver_sql("DELETE FROM events WHERE external_id = 'd'").rowcount)
    for hour in (6, 8):
        assert store.put_events([event("d", at=timedelta(hours=hour), weak_id=True)])[0].new
    assert column(store, "SELECT external_id FROM events ORDER BY received_at") == ["d~2", "d~3", "d", "d~4"]


def test_repeating_an_insert_gives_the_same_answer(store: Store) -> None:
    store.put_events([event("d", weak_id=True)])
    later = timedelta(hours=2)
    rows = events.prepare([event(), event("evt_2"), event("d", at=later, weak_id=True)], 0)
    first = store.write(lambda tx: events.insert(tx, rows))
    assert store.write(lambda tx: events.insert(tx, rows)) == first
    assert [one.new for one in first] == [True, True, True]
    assert column(store, "SELECT repeats FROM events") == [0, 0, 0, 0]


def test_one_id_at_once_from_many_is_one_row(store: Store) -> None:
    results: list[Stored] = []
    start = threading.Barrier(20)

    def put() -> None:
        start.wait()
        results.extend(store.put_events([event()])[0] for _ in range(5))

    threads = [threading.Thread(target=put) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 100
    assert len({one.id for one in results}) == 1
    assert sum(one.new for one in results) == 1
    assert column(store, "SELECT repeats FROM events") == [99]


def test_a_value_that_no_column_holds_fails_its_caller_alone(store: Store) -> None:
    start = threading.Barrier(8)
    results: dict[int, object] = {}

    def put(number: int) -> None:
        poison = {"object_version": 1 << 70} if number == 3 else {}
        start.wait()
        try:
            results[number] = store.put_events([event(f"evt_{number}", **poison)])[0].new
        except StoreError as error:
            results[number] = error

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert isinstance(results.pop(3), StoreError)
    assert results == dict.fromkeys([0, 1, 2, 4, 5, 6, 7], True)
    assert store.put_events([event("after")])[0].new


def test_half_a_surrogate_pair_is_a_store_error(store: Store) -> None:
    with pytest.raises(StoreError):
        store.put_events([event(type="\ud800")])


def test_waiting_events_come_oldest_first(store: Store) -> None:
    names = [f"evt_{number}" for number in range(10)]
    for name in names:
        store.put_events([event(name)])
    assert received(store, 4) == names[:4]
    assert received(store) == names


def test_waiting_events_take_turns_between_sources(store: Store) -> None:
    store.put_events([event(f"noisy_{number}", "noisy") for number in range(50)])
    store.put_events([event(f"quiet_{number}", "quiet") for number in range(2)])
    store.put_events([event(f"other_{number}", "other") for number in range(20)])
    found = received(store, 12)
    assert len(found) == len(set(found)) == 12
    assert [name for name in found if name.startswith("quiet")] == ["quiet_0", "quiet_1"]
    assert [name for name in found if name.startswith("other")] == [f"other_{number}" for number in range(4)]


def test_an_event_that_was_routed_waits_no_more_until_it_is_to_be_routed_again(store: Store) -> None:
    one, other = (stored.id for stored in store.put_events([event("a"), event("b")]))
    assert store.write(lambda tx: events.route_again(tx, [one, other])) == []
    plan(store, routed(one))
    assert received(store) == ["b"]
    assert store.write(lambda tx: events.route_again(tx, [one, other])) == [one]
    with store.read() as tx:
        assert {(number, routing) for number, routing, _ in events.received(tx, 10)} == {(one, 2), (other, 1)}

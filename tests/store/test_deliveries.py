"""Planning: an event is routed once, and its lanes wake."""

from __future__ import annotations

import threading

from router.store import deliveries, events, lookups
from router.store.rows import RoutedEvent
from router.store.store import Store, open_store
from tests.store.making import (
    MINUTE,
    T0,
    arrive,
    claim,
    column,
    delivery,
    event,
    pending,
    plan,
    routed,
    settle,
    settlement,
)


def test_makes_deliveries_and_wakes_their_lanes(store: Store) -> None:
    stored = store.put_events([event()])[0]
    found = routed(stored.id, delivery("u_1"), delivery("u_2", rule="stripe/b"), delivery("u_1", rule="stripe/c"))
    assert plan(store, found, debounce_us=5) == {stored.id}
    assert {who: len(rows) for who, rows in pending(store, "u_1", "u_2", "u_3").items()} == {"u_1": 2, "u_2": 1}
    assert column(store, "SELECT arrivals FROM lanes ORDER BY profile") == [2, 1]
    assert column(store, "SELECT due_at FROM lanes") == [T0 + 5, T0 + 5]
    assert column(store, "SELECT state FROM events") == ["routed"]
    assert plan(store, found) == set()
    assert column(store, "SELECT arrivals FROM lanes ORDER BY profile") == [2, 1]


def test_new_arrivals_do_not_move_what_is_due(store: Store) -> None:
    arrive(store, "u_1", now=T0)
    arrive(store, "u_1", now=T0 + MINUTE)
    assert column(store, "SELECT due_at FROM lanes") == [T0]
    assert column(store, "SELECT arrivals FROM lanes") == [2]


def test_a_delivery_without_a_field_wakes_nothing(store: Store) -> None:
    stored = store.put_events([event()])[0]
    plan(store, routed(stored.id, delivery()._replace(state="unchanged", reason="no field")))
    assert column(store, "SELECT count(*) FROM lanes") == [0]
    assert column(store, "SELECT settled_at FROM deliveries") == [T0]


def test_of_two_routers_one_gets_each_event(store: Store, store_url: str) -> None:
    numbers = [one.id for one in store.put_events([event(f"evt_{number}") for number in range(60)])]
    other = open_store(store_url)
    won: list[set[int]] = []
    start = threading.Barrier(2)

    def route(mine: Store, order: list[int]) -> None:
        start.wait()
        for place in range(0, len(order), 10):
            batch = [routed(number, delivery(f"u_{number % 7}")) for number in order[place : place + 10]]
            won.append(plan(mine, *batch))

    threads = [threading.Thread(target=route, args=given) for given in ((store, numbers), (other, numbers[::-1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert sorted(number for numbers_ in won for number in numbers_) == numbers
    assert column(store, "SELECT count(*) FROM deliveries") == [60]
    assert column(store, "SELECT sum(arrivals) FROM lanes") == [60]


def test_the_result_of_an_earlier_routing_is_left_alone(store: Store) -> None:
    number = store.put_events([event()])[0].id
    plan(store, routed(number, delivery("u_1")))
    store.write(lambda tx: events.route_again(tx, [number]))
    assert plan(store, routed(number, delivery("u_2"), routing=1)) == set()
    assert plan(store, routed(number, delivery("u_2"), routing=2)) == {number}


def test_routing_again_reuses_rows_and_cancels_what_no_rule_makes(store: Store) -> None:
    number = store.put_events([event()])[0].id
    names = ["stripe/a", "stripe/b", "stripe/c"]
    plan(store, routed(number, *(delivery(f"u_{name[-1]}", rule=name) for name in names)))
    before = column(store, "SELECT id FROM deliveries ORDER BY rule")
    lane = next(lane for lane in claim(store) if lane.profile == "u_a")
    assert settle(store, settlement(lane, pending(store, "u_a")["u_a"])) == [True]

    store.write(lambda tx: events.route_again(tx, [number]))
    newer = [
        delivery("u_a", rule="stripe/a")._replace(change='{"new": 1}'),
        delivery("u_d", rule="stripe/d"),
        delivery("u_b2", rule="stripe/b"),
    ]
    assert plan(store, routed(number, *newer, routing=2)) == {number}
    after = column(store, "SELECT id FROM deliveries ORDER BY rule")
    assert after[:3] == before
    assert len(after) == 4
    assert column(store, "SELECT state FROM deliveries ORDER BY rule") == ["pending", "pending", "cancelled", "pending"]
    assert pending(store, "u_a")["u_a"][0].change == '{"new": 1}'
    assert column(store, "SELECT profile FROM deliveries WHERE rule = 'stripe/b'") == ["u_b2"]


def test_a_call_under_way_does_not_settle_what_was_routed_again_meanwhile(store: Store) -> None:
    number = arrive(store, "u_1")
    lane = claim(store)[0]
    carried = pending(store, "u_1")["u_1"]
    store.write(lambda tx: events.route_again(tx, [number]))
    plan(store, routed(number, delivery("u_1")._replace(version="[2]"), routing=2))
    assert settle(store, settlement(lane, carried)) == [True]
    assert [row.version for row in pending(store, "u_1")["u_1"]] == ["[2]"]
    assert column(store, "SELECT due_at FROM lanes") == [T0]


def test_a_hot_profile_is_read_in_portions_and_hides_nobody(store: Store) -> None:
    stored = []
    for portion in range(7):  # each well within the time that a write may take on a busy machine
        some = store.put_events([event(f"evt_{portion}_{number}") for number in range(300)])
        plan(store, *(routed(one.id, delivery("hot")) for one in some))
        stored += some
    (last,) = store.put_events([event("last")])
    plan(store, routed(last.id, delivery("zoe")))
    found = pending(store, "hot", "zoe")
    assert [row.event_id for row in found["hot"]] == [one.id for one in stored[: deliveries.MOST]]
    assert len(found["zoe"]) == 1


def test_an_address_finds_the_profiles_it_was_written_to(store: Store) -> None:
    one, two = (stored.id for stored in store.put_events([event("a"), event("b")]))
    key = lookups.key("k" * 32, " Jo@Example.com ")
    assert key == lookups.key("k" * 32, "jo@example.com") != lookups.key("j" * 32, "jo@example.com")
    for number, profile in ((one, "u_2"), (two, "u_1")):
        plan(store, RoutedEvent(number, 1, "routed", "", "r", (), [(key, profile), (key, "u_1")]))
    with store.read() as tx:
        assert lookups.find(tx, key) == ["u_1", "u_2"]
        assert lookups.find(tx, "other") == []


def test_cancels_what_is_pending(store: Store) -> None:
    arrive(store, "u_1")
    rows = pending(store, "u_1")["u_1"]
    numbers = [rows[0].id, rows[0].id + 1]
    cancel = lambda tx: deliveries.cancel(tx, numbers, T0, reason="not wanted", actor="cli:jo")  # noqa: E731
    assert store.write(cancel) == [rows[0].id]
    assert store.write(cancel) == []
    assert column(store, "SELECT actor FROM deliveries") == ["cli:jo"]
    lane = claim(store)[0]
    settle(store, settlement(lane, rows))
    assert column(store, "SELECT state FROM deliveries") == ["cancelled"]


def test_dead_letters_are_opened_again_and_due(store: Store) -> None:
    for profile in ("u_1", "u_1", "u_2"):
        arrive(store, profile)
    claimed = claim(store)
    rows = pending(store, "u_1", "u_2")
    numbers = sorted(row.id for lane in rows.values() for row in lane)
    settle(store, *(settlement(lane, rows[lane.profile], state="rejected") for lane in claimed))
    assert column(store, "SELECT due_at FROM lanes") == [None, None]
    later = T0 + MINUTE
    assert store.write(lambda tx: deliveries.reopen(tx, numbers, later)) == numbers
    assert pending(store, "u_1", "u_2") == rows
    claimed = claim(store, now=later)
    settle(store, *(settlement(lane, rows[lane.profile]) for lane in claimed), now=later)
    assert store.write(lambda tx: deliveries.reopen(tx, numbers, later)) == []
    assert column(store, "SELECT state FROM deliveries") == ["delivered"] * 3


def test_opening_what_is_on_the_wire_again_lets_that_call_settle_it(store: Store) -> None:
    arrive(store, "u_1")
    lane = claim(store)[0]
    rows = pending(store, "u_1")["u_1"]
    store.write(lambda tx: deliveries.reopen(tx, [rows[0].id], T0 + 5))
    settle(store, settlement(lane, rows))
    assert column(store, "SELECT state FROM deliveries") == ["delivered"]
    assert column(store, "SELECT due_at FROM lanes") == [T0]

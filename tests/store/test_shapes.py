"""Counts of paths add up, whoever writes them, and old days go."""

from __future__ import annotations

from router.store import shapes
from router.store.shapes import Place
from router.store.store import Store


def add(store: Store, **counts: int) -> None:
    """`day_path_kind=n` of one type."""
    given = {}
    for name, n in counts.items():
        day, path, kind = name.split("_")
        given[Place("stripe", "customer.updated", int(day[1:]), f".{path}", kind)] = n
    store.write(lambda tx: shapes.add(tx, given))


def read(store: Store, source: str = "stripe") -> dict[str, list[tuple[int, str, str, int]]]:
    with store.read() as tx:
        return {kind: sorted(rows) for kind, rows in shapes.of_source(tx, source).items()}


def test_counts_add_up(store: Store) -> None:
    add(store, d5_email_text=3, d5_seats_number=1)
    add(store, d5_email_text=2, d6_email_text=1)
    assert read(store) == {
        "customer.updated": [(5, ".email", "text", 5), (5, ".seats", "number", 1), (6, ".email", "text", 1)]
    }
    assert read(store, "other") == {}


def test_nothing_to_add_is_fine(store: Store) -> None:
    add(store)
    assert read(store) == {}


def test_old_days_are_forgotten(store: Store) -> None:
    add(store, d100_email_text=1, d101_email_text=1, d160_email_text=1)
    store.write(lambda tx: shapes.forget(tx, 161))
    assert [row[0] for row in read(store)["customer.updated"]] == [101, 160]


def test_odd_names_are_stored(store: Store) -> None:
    counts = {Place("a", "t\0\ud800", 1, '."\0"', "text"): 1}
    store.write(lambda tx: shapes.add(tx, counts))
    assert read(store, "a") == {"t\ufffd?": [(1, '."\ufffd"', "text", 1)]}

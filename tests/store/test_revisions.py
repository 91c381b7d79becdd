"""The rule files that ran are kept whole, and the audit says what was loaded."""

from __future__ import annotations

import pytest

from router.store import audit, revisions
from router.store.store import Store
from tests.store.making import T0, column

FILES = {"a.yaml": "source: {name: a}\n# Grüße\n".encode(), "b.yaml": b"source: {name: b}\n"}
DAY = 24 * 3_600_000_000


def keep(store: Store, revision: str, at: int, files: dict[str, bytes] = FILES) -> None:
    store.write(lambda tx: revisions.keep(tx, revision, files, at, "web host:1"))


def newest(store: Store) -> revisions.Kept | None:
    with store.read() as tx:
        return revisions.newest(tx)


def test_there_is_none_at_first(store: Store) -> None:
    assert newest(store) is None


def test_the_files_come_back_as_they_were(store: Store) -> None:
    keep(store, "aaa", T0)
    assert newest(store) == ("aaa", FILES, T0, "web host:1")


def test_the_newest_is_the_one_that_was_loaded_last(store: Store) -> None:
    keep(store, "aaa", T0)
    keep(store, "bbb", T0 + 1, {"b.yaml": b"other"})
    keep(store, "aaa", T0 + 2)
    found = newest(store)
    assert found is not None
    assert (found.revision, found.loaded_at) == ("aaa", T0 + 2)
    with store.read() as tx:
        other = revisions.get(tx, "bbb")
        assert other is not None
        assert other.files == {"b.yaml": b"other"}
        assert revisions.get(tx, "ccc") is None


def test_what_was_not_loaded_for_long_is_forgotten(store: Store) -> None:
    keep(store, "old", T0)
    keep(store, "new", T0 + 90 * DAY)
    assert column(store, "SELECT revision FROM revisions ORDER BY revision") == ["new", "old"]
    keep(store, "new", T0 + 90 * DAY + 1)
    assert column(store, "SELECT revision FROM revisions") == ["new"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["load a", "load a"], ["load a"]),
        (["load a", "refuse b", "refuse b", "load a"], ["load a", "refuse b", "load a"]),
        (["load a", "pause a", "load a"], ["load a", "pause a"]),
    ],
)
def test_what_many_processes_notice_is_written_once(store: Store, said: list[str], expected: list[str]) -> None:
    def write(action: str, target: str) -> None:
        family = {"load", "refuse"} if action != "pause" else {"pause"}
        store.write(lambda tx: audit.record_change(tx, T0, family, actor="w", action=action, target=target))

    for each in said:
        write(*each.split())
    assert column(store, "SELECT action || ' ' || target FROM audit ORDER BY id") == expected
    with store.read() as tx:
        assert audit.first_broken(tx) is None

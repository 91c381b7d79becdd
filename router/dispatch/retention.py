"""Retention: bodies of old events are emptied, a slice now and then, so that nobody waits for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from router.store import events, ids
from router.store.base import Store

if TYPE_CHECKING:
    from router.dispatch.times import Times

log = logging.getLogger(__name__)

#: seconds between two looks, and between two slices while there is something to do
LOOK_S, SLICE_S = 600.0, 0.5
#: events that are looked at, and emptied, at once
LOOKED_AT, SLICE = 2_000, 200


class Retention:
    """Walks through the events of each source, oldest first, up to the age at which bodies go. For one thread.

    A process begins at the oldest event; after that only what has aged meanwhile is looked at.
    """

    def __init__(self, store: Store, kept_s: Mapping[str, float], times: Times) -> None:
        """`kept_s` is how long each source's bodies are kept, in seconds."""
        self._store = store
        self._kept_us = {name: times.us(seconds) for name, seconds in kept_s.items()}
        #: source → the last event that was looked at
        self._after = dict.fromkeys(kept_s, 0)
        self._left: list[str] = []
        #: events of the source that is looked at whose bodies go
        self._full: list[int] = []
        self._next = 0.0

    def step(self, now: float) -> None:
        """Do one slice, if it is time. `now` is monotonic. Raises `StoreError`; then it is tried again later."""
        if now < self._next:
            return
        self._next = now + SLICE_S
        if self._full:
            slice_, rest = self._full[:SLICE], self._full[SLICE:]
            self._store.write(lambda tx: events.empty(tx, slice_))
            self._full = rest
        elif self._left:
            self._look(self._left[-1])
        else:
            self._left = sorted(self._kept_us, reverse=True)
        if not self._full and not self._left:
            self._next = now + LOOK_S

    def _look(self, source: str) -> None:
        with self._store.read() as tx:
            before = ids.floor(self._store.now_us(tx) - self._kept_us[source])
            found = events.aged(tx, source, self._after[source], before, LOOKED_AT)
        self._full = list(found.full)
        if found.last is None:
            self._left.pop()
            if found.full:
                self._after[source] = max(self._after[source], found.full[-1])
        else:
            self._after[source] = found.last

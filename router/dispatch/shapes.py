"""Looks at what is routed, now and then, and counts its shapes in the store: what a preview compares with."""

from __future__ import annotations

import logging
import time
from collections import Counter
from functools import partial
from typing import Any

from router.errors import StoreError
from router.model import Event
from router.ruleset.shapes import PART, WHOLE, day_of, shape_of
from router.store import shapes
from router.store.base import Store

log = logging.getLogger(__name__)

#: events of one type that are looked at: so many at once, then so many a second
BURST, PER_S = 50, 5
#: most types of events in one process, and most paths of all of them
MAX_TYPES, MAX_PLACES = 500, 30_000
#: seconds between two writes, and most rows of one transaction: webhooks wait for it
WRITE_S, SLICE = 10.0, 500


class Shapes:
    """Counts shapes. For one thread; what was counted since the last write is lost with the process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counts: Counter[shapes.Place] = Counter()
        #: (source, type) → tokens left and when they were counted (monotonic)
        self._tokens: dict[tuple[str, str], tuple[float, float]] = {}
        #: what this process counts: (source, type, path, kind)
        self._known: set[tuple[str, str, str, str]] = set()
        self._written_at = time.monotonic()
        self._today = 0

    def see(self, event: Event, payload: Any, now: float) -> None:
        """Count one event, unless there were many of its type; one that is routed again was counted. `now` is
        monotonic."""
        key = (event.source, event.type)
        if event.routing > 1 or not self._take(key, now):
            return
        day = day_of(event.received_at)
        seen = shape_of(payload)
        known = {place for place in seen if (*key, *place) in self._known or self._learn(*key, *place)}
        if known != seen:
            known.add((WHOLE, PART))
        for path, kind in known:
            self._counts[shapes.Place(*key, day, path, kind)] += 1

    def _learn(self, source: str, event_type: str, path: str, kind: str) -> bool:
        """Count a place from now on, unless there are too many."""
        if path != WHOLE and len(self._known) >= MAX_PLACES:
            return False
        self._known.add((source, event_type, path, kind))
        return True

    def _take(self, key: tuple[str, str], now: float) -> bool:
        if key not in self._tokens and len(self._tokens) >= MAX_TYPES:
            return False
        left, at = self._tokens.get(key, (float(BURST), now))
        left = min(BURST, left + (now - at) * PER_S)
        self._tokens[key] = (left - 1 if left >= 1 else left, now)
        return left >= 1

    def write(self, now: float, *, at_once: bool = False) -> None:
        """Write down what was counted, if it is time. A store that is away is asked again later."""
        if not self._counts or (now - self._written_at < WRITE_S and not at_once):
            return
        self._written_at = now
        today = max(place.day for place in self._counts)
        try:
            while self._counts:
                # how many events there were comes last: were this process to end now, no field would seem gone
                ordered = sorted(self._counts.items(), key=lambda one: one[0].path == WHOLE)
                counts = dict(ordered[:SLICE])
                self._store.write(partial(shapes.add, counts=counts))
                for place in counts:
                    del self._counts[place]
            if today > self._today:
                self._store.write(lambda tx: shapes.forget(tx, today))
                self._today = today
        except StoreError as error:
            log.warning("the shapes of %d paths wait: %s", len(self._counts), error)

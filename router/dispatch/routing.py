"""Route: stored events through the rules into deliveries and lanes.

Rules are evaluated outside any transaction. Planning is one transaction whose `received → routed` update is the lock,
so it does not matter how many workers route the same batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

from router.errors import StoreError
from router.model import DeliveryState, Event, EventState, Op
from router.profile.codec import dump_change, dump_version
from router.ruleset import Planned, Project, Routing
from router.store import deliveries, events, lookups
from router.store.base import Store
from router.store.rows import NewDelivery, RoutedEvent

log = logging.getLogger(__name__)

#: events of one batch; one transaction plans them all
BATCH = 200
NO_FIELD = "no field for this destination"


class Router:
    """Routes what the store has received. One per worker process."""

    def __init__(
        self,
        store: Store,
        project: Project,
        *,
        key: str,
        debounce_us: dict[str, int],
        see: Callable[[Event, Any], None] | None = None,
    ) -> None:
        """`key` keys the look-up hashes; `see` is told of each event and its payload."""
        self._store = store
        self._project = project
        self._key = key
        self._debounce_us = debounce_us
        self._see = see

    def step(self, limit: int = BATCH) -> tuple[int, set[str]]:
        """Route one batch. Gives how many events there were, and the destinations that have work now.

        Raises `StoreError`; nothing is lost then, the events stay `received`.
        """
        with self._store.read() as tx:
            batch = events.received(tx, limit)
        if not batch:
            return 0, set()
        routed = [self.evaluate(row_id, routing, event) for row_id, routing, event in batch]
        try:
            won = self._plan(routed)
        except StoreError:
            raise
        except Exception:  # one of them cannot be stored: it is found, and takes no other with it
            log.exception("a batch of routed events could not be stored, they are stored one by one")
            won = self._plan_singly(routed)
        woken = {
            delivery.destination
            for event in routed
            if event.id in won
            for delivery in event.deliveries
            if delivery.state == DeliveryState.PENDING
        }
        return len(batch), woken

    def _plan(self, routed: Sequence[RoutedEvent]) -> Collection[int]:
        """Store what was routed. Gives the events that nobody else had routed before."""
        return self._store.write(lambda tx: deliveries.plan(tx, routed, self._debounce_us, self._store.now_us(tx)))

    def _plan_singly(self, routed: Sequence[RoutedEvent]) -> Collection[int]:
        won: list[int] = []
        for event in routed:
            try:
                won += self._plan([event])
            except StoreError:
                raise
            except Exception:  # recorded; it would come first in every batch to come
                log.exception("what event %d became could not be stored", event.id)
                failed = RoutedEvent(event.id, event.routing, EventState.FAILED, "internal", event.revision)
                won += self._plan([failed])
        return won

    def evaluate(self, row_id: int, routing: int, event: Event) -> RoutedEvent:
        """What the rules say of one event. A fault in a rule or a source ends here, as the event's `failed`."""
        try:
            return self._routed(row_id, routing, event)
        except Exception:  # one event's routing: the fault is recorded, the others go on
            log.exception("routing event %d of source %s broke", row_id, event.source)
            return RoutedEvent(row_id, routing, EventState.FAILED, "internal", self._project.revision)

    def _routed(self, row_id: int, routing: int, event: Event) -> RoutedEvent:
        result = self._project.route(event, self._see)
        if result.erase:
            return RoutedEvent(row_id, routing, EventState.FAILED, result.reason, self._project.revision)
        return RoutedEvent(
            row_id,
            routing,
            result.state,
            result.reason,
            self._project.revision,
            [_delivery(planned) for planned in result.planned],
            sorted(self._lookups(result)),
        )

    def _lookups(self, result: Routing) -> set[tuple[str, str]]:
        """Keyed hashes of the addresses and numbers that were written, each with the profile it was written to."""
        return {
            (lookups.key(self._key, op.value), planned.change.profile)
            for planned in result.planned
            for op in planned.change.fields.values()
            if isinstance(op, Op) and isinstance(op.value, str) and op.value in result.contacts
        }


def _delivery(planned: Planned) -> NewDelivery:
    change = planned.change
    empty = not change.fields
    return NewDelivery(
        planned.rule,
        planned.destination,
        change.profile,
        dump_version(change.version),
        dump_change(change),
        DeliveryState.UNCHANGED if empty else DeliveryState.PENDING,
        NO_FIELD if empty else "",
    )

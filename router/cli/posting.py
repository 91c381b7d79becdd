"""Posting composed webhooks, and waiting for what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.cli.webhooks import Signed
from router.http import Door
from router.model import Call, Reply
from router.store import listing
from router.store.base import Store


def post(door: Door, url: str, signed: Signed) -> tuple[Reply, float]:
    """Post one webhook. Gives the answer and the milliseconds it took. Raises `TransportError`."""
    call = Call("POST", f"{url}/webhooks/{signed.source}{signed.query}", signed.body, headers=dict(signed.headers))
    started = time.monotonic()
    reply = door.send(call, session="send", timeout_s=30.0)
    return reply, (time.monotonic() - started) * 1000


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of one event: it, its deliveries, and whether all of it has ended."""

    event: Any
    deliveries: list[Any]
    #: destinations that nothing is sent to now
    stopped: Mapping[str, listing.Stopped]
    #: the event as it was stored before, if the webhook brought no new one
    before: listing.ListedEvent | None = None

    @property
    def people(self) -> list[str]:
        """Whose profiles it changed."""
        return list(dict.fromkeys(d.profile for d in self.deliveries))

    @property
    def repeat(self) -> str:
        """Whether the event was there already, in words; empty if it is new."""
        if self.before is None:
            return ""
        changed = self.event.conflicts > self.before.conflicts
        return "known already" + (", with another body" if changed else "")

    @property
    def ended(self) -> bool:
        return self.event.state != "received" and all(d.state != "pending" for d in self.deliveries)

    @property
    def good(self) -> bool:
        return self.event.state in {"routed", "skipped"} and all(d.state != "rejected" for d in self.deliveries)


def known(store: Store, source: str, external_ids: Sequence[str]) -> dict[str, listing.ListedEvent]:
    """The events that are stored, by their sender's ids."""
    with store.read() as tx:
        found = {external_id: listing.event_by_external_id(tx, source, external_id) for external_id in external_ids}
    return {external_id: event for external_id, event in found.items() if event is not None}


def follow(
    store: Store,
    source: str,
    external_ids: Sequence[str],
    timeout_s: float,
    before: Mapping[str, listing.ListedEvent],
) -> list[Ending]:
    """Look again and again until events and their deliveries have ended, or time is over. Those not stored are left
    out. `before` holds what was `known` before the webhook was posted."""
    end = time.monotonic() + timeout_s
    found: dict[str, Ending] = {}
    while True:
        with store.read() as tx:
            stopped = listing.stopped(tx, store.now_us(tx))
            for external_id in external_ids:
                if external_id in found and found[external_id].ended:
                    continue
                event = listing.event_by_external_id(tx, source, external_id)
                if event is not None:
                    deliveries = listing.deliveries_of(tx, event.id)
                    found[external_id] = Ending(event, deliveries, stopped, before.get(external_id))
        ended = sum(ending.ended for ending in found.values())
        if ended == len(external_ids) or time.monotonic() >= end:
            return [found[external_id] for external_id in external_ids if external_id in found]
        time.sleep(0.05)

"""The worker: one router thread and one sender per destination. Run one or many; they share nothing but the store.

`Crew` changes the rules of a process that runs: a new worker starts, the old one finishes what it has begun.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from router.dispatch.conversation import Send
from router.dispatch.retention import Retention
from router.dispatch.routing import Router
from router.dispatch.sender import Sender, pause_s
from router.dispatch.shapes import Shapes
from router.dispatch.times import Times
from router.errors import StoreError
from router.http import Door
from router.model import Call, Event, Reply
from router.settings import Settings
from router.store import destinations
from router.store.base import Store

if TYPE_CHECKING:
    from router.ruleset import Destination, Project

log = logging.getLogger(__name__)

#: calls at a time for one destination in one process
SLOTS = 8


class Worker:
    """Routes what the store receives and sends what is due, until it is stopped."""

    def __init__(
        self,
        store: Store,
        project: Project,
        settings: Settings,
        *,
        key: str,
        slots: int | None = None,
        only: Collection[str] = (),
    ) -> None:
        """`key` keys the look-up hashes. `slots` is calls at a time per destination where the destination does not
        say otherwise; `only` restricts sending to some destinations (routing is never restricted)."""
        self._store = store
        self._settings = settings
        self._times = Times(settings.time_scale)
        self._rng = random.Random()
        self._door = Door(dev=settings.dev or bool(settings.sandbox))
        self._stop = threading.Event()
        self._hints = store.hints()
        name = f"{socket.gethostname()}:{os.getpid()}"
        debounce_us = {d.name: self._times.us(d.debounce_s) for d in project.destinations.values()}
        self._names = list(project.destinations)
        self._shapes = Shapes(store)
        kept_s = {name: section.retention_s for name, section in project.sections.items()}
        self._retention = Retention(store, kept_s, self._times)
        self._router = Router(store, project, key=key, debounce_us=debounce_us, see=self._see)
        self.senders = {
            d.name: Sender(
                store,
                d,
                door_of(self._door, d),
                self._times,
                slots=d.concurrency or slots or SLOTS,
                worker=name,
                secrets=lambda d=d: _revealed(d),  # type: ignore[misc]  # mypy cannot infer a lambda's default
            )
            for d in project.destinations.values()
            if not only or d.name in only
        }
        self._thread = threading.Thread(target=self._route, name="router", daemon=True)

    def start(self) -> None:
        """Start the threads. Raises `StoreError` if the store is away."""
        self._store.write(lambda tx: destinations.ensure(tx, self._names), timeout_s=30.0)
        for sender in self.senders.values():
            sender.start()
        self._thread.start()

    def retire(self) -> None:
        """Claim nothing more and finish what is open, however long that takes; then close."""
        self._end()
        for sender in self.senders.values():
            sender.join(self._times.conversation_s + self._times.lease_s)
        self._door.close()

    def stop(self) -> bool:
        """Claim nothing more, finish what is open within 7 s, then cut it. True: everything was settled."""
        end = time.monotonic() + self._times.drain_s
        self._end()
        done = [sender.join(max(end - time.monotonic(), 0.0)) for sender in self.senders.values()]
        self._door.close()
        if not all(done):
            end = time.monotonic() + 0.8
            done = [sender.join(max(end - time.monotonic(), 0.0)) for sender in self.senders.values()]
        return all(done)

    def _end(self) -> None:
        """Route and claim nothing more."""
        self._stop.set()
        self._hints.close()
        for sender in self.senders.values():
            sender.stop()
        if self._thread.ident is not None:
            self._thread.join(1.0)

    def _keep_only_what_is_young(self) -> None:
        try:
            self._retention.step(time.monotonic())
        except StoreError as error:
            log.warning("old bodies are kept longer, the store is away: %s", error)

    def _see(self, event: Event, payload: Any) -> None:
        try:
            self._shapes.see(event, payload, time.monotonic())
        except Exception:  # a count less; the event is routed all the same
            log.exception("the shape of event %d was not counted", event.id)

    def _route(self) -> None:
        """Route batch after batch; without work wait for a hint, or look again after a while."""
        failures = 0
        while not self._stop.is_set():
            try:
                count, woken = self._router.step()
            except StoreError as error:
                failures += 1
                log.warning("routing waits: the store is away: %s", error)
                self._stop.wait(pause_s(failures))
                continue
            except Exception:  # a router that dies would stop everything without a word
                failures += 1
                log.exception("a routing batch broke")
                self._stop.wait(pause_s(failures))
                continue
            failures = 0
            for name in woken:
                if name in self.senders:
                    self.senders[name].wake()
            self._shapes.write(time.monotonic())
            self._keep_only_what_is_young()
            if not count:
                self._hints.wait(self._times.poll_s(busy=False, rng=self._rng))
        self._shapes.write(time.monotonic(), at_once=True)


class Crew:
    """The worker of the rules that run in this process, and those of older rules that finish what they have begun.

    Two workers of one process are as safe as those of two: leases keep their lanes apart.
    """

    def __init__(self, make: Callable[[Project], Worker]) -> None:
        self._make = make
        #: of the rules of the worker that runs; empty before the first
        self.revision = ""
        self._worker: Worker | None = None
        self._retiring: dict[Worker, threading.Thread] = {}

    def change(self, project: Project) -> None:
        """Have a worker of this project take over. Raises `StoreError`; then the old one goes on."""
        worker = self._make(project)
        worker.start()
        old, self._worker, self.revision = self._worker, worker, project.revision
        if old is not None:
            thread = threading.Thread(target=old.retire, name="retiring", daemon=True)
            self._retiring = {each: still for each, still in self._retiring.items() if still.is_alive()}
            self._retiring[old] = thread
            thread.start()

    def stop(self) -> bool:
        """Stop them all, at once. True: everything was settled."""
        workers = [each for each, thread in self._retiring.items() if thread.is_alive()]
        if self._worker is not None:
            workers.append(self._worker)
        with ThreadPoolExecutor(max(len(workers), 1)) as pool:
            return all(pool.map(Worker.stop, workers))


def door_of(door: Door, destination: Destination) -> Send:
    """The door to the network, as one destination may use it."""

    def send(call: Call, timeout_s: float, headers: dict[str, str]) -> Reply:
        return door.send(
            call,
            session=destination.name,
            timeout_s=timeout_s,
            networks=destination.networks,
            extra_headers=headers,
        )

    return send


def _revealed(destination: Destination) -> list[str]:
    """The destination's secret values, to be taken out of what providers echo."""
    return [secret.reveal() for secret in destination.provider.secrets() if secret.is_set()]

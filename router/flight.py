"""One call under way: what it may connect to, how far it came, and the two bounds in time that sockets lack.

requests and urllib3 bound each read, not the call, and do not bound DNS: hence one timer thread that shuts the socket
down, and a pool of threads for names.
"""

from __future__ import annotations

import heapq
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from router import addresses
from router.addresses import Address, Policy, Target
from router.errors import TransportError

#: seconds for DNS, and for connecting
CONNECT_S = 3.0

#: looks a host and port up: (host, port) → addresses as text
Lookup = Callable[[str, int], Sequence[str]]


class Wire(Protocol):
    """A connection, as far as its call is concerned."""

    flight: Flight | None
    #: None once it is closed
    sock: Any

    def shut(self) -> None:
        """End it, from any thread."""

    def drop(self) -> None:
        """Let go what is needed to end it."""


@dataclass(slots=True, eq=False)
class Flight:
    """One call under way: what it may connect to, when it must end, and how far it came."""

    target: Target
    policy: Policy
    resolver: Resolver
    #: for all of it, name to last byte
    timeout_s: float
    #: monotonic
    deadline: float = field(init=False)
    #: whether a byte of the request may have reached the peer
    sent: bool = False
    #: set by the watchdog: the call's time was over
    cut: bool = False
    #: set when the watchdog may touch it no more
    done: bool = False
    #: whether the connection can carry another call
    reusable: bool = False
    connection: Wire | None = None
    #: gives the connection back (true) or closes it
    release: Callable[[bool], None] | None = None

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.timeout_s

    def connect(self) -> socket.socket:
        """A connection to a checked address of the target, within `CONNECT_S` for DNS and as much for connecting."""
        addresses.check_name(self.target, self.policy)
        found = self._look_up()
        addresses.check(self.target, found, self.policy)
        end = min(time.monotonic() + CONNECT_S, self.deadline)
        for place, address in enumerate(found):
            share = (end - time.monotonic()) / (len(found) - place)
            try:
                return _connect(address, self.target.port, share)
            except OSError as error:
                failure = error
        raise failure

    def _look_up(self) -> list[Address]:
        address = addresses.literal(self.target.host)
        if address is not None:
            return [address]
        wait = min(CONNECT_S, self.deadline - time.monotonic())
        return self.resolver.look_up(self.target, wait)

    def shut(self) -> None:
        """End the call from another thread."""
        self.cut = True
        if self.connection is not None:
            self.connection.shut()

    def land(self) -> None:
        """Give the connection back, or close it."""
        if self.release is not None:
            self.release(self.reusable and not self.cut)
        connection = self.connection
        if connection is not None and connection.flight is self and connection.sock is None:
            connection.drop()
        self.release = self.connection = None


def _connect(address: Address, port: int, timeout_s: float) -> socket.socket:
    if timeout_s <= 0:
        raise TimeoutError
    wire = socket.create_connection((str(address), port), timeout=timeout_s)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if addresses.literal(wire.getpeername()[0]) != address:
        wire.close()
        raise ConnectionAbortedError
    return wire


class Watchdog:
    """One thread and a heap of deadlines: ends the calls whose time is over."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Flight]] = []
        self._live = 0
        self._count = 0
        self._running = False

    def start(self, flight: Flight) -> None:
        with self._changed:
            self._count += 1
            self._live += 1
            heapq.heappush(self._heap, (flight.deadline, self._count, flight))
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="deadlines", daemon=True).start()
            elif self._heap[0][2] is flight:
                self._changed.notify()

    def stop(self, flight: Flight) -> None:
        """After this the flight's connection is not touched any more."""
        with self._changed:
            flight.done = True
            self._live -= 1
            if len(self._heap) > 2 * self._live + 64:
                self._heap = [entry for entry in self._heap if not entry[2].done]
                heapq.heapify(self._heap)

    def close(self) -> None:
        """End every call and the thread."""
        with self._changed:
            for _, _, flight in self._heap:
                if not flight.done:
                    flight.shut()
            self._heap.clear()
            self._running = False
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while self._running:
                if not self._heap:
                    self._changed.wait()
                elif self._heap[0][2].done:
                    heapq.heappop(self._heap)
                elif (left := self._heap[0][0] - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    heapq.heappop(self._heap)[2].shut()


class Resolver:
    """DNS in at most eight threads, with a limit to waiting: `getaddrinfo` has none."""

    def __init__(self, lookup: Lookup, threads: int = 8) -> None:
        self._lookup = lookup
        self._spare = threads
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Target, Future[list[str]]]] = queue.SimpleQueue()
        #: look-ups that are under way: who asks for the same name waits for the same answer
        self._asked: dict[tuple[str, int], Future[list[str]]] = {}

    def look_up(self, target: Target, wait_s: float) -> list[Address]:
        """Every address of the target's host. Raises `TransportError` (not sent) where there is no answer in time."""
        key = (target.host, target.port)
        with self._lock:
            answer = self._asked.get(key)
            if answer is None:
                answer = self._asked[key] = Future()
                if self._spare:
                    self._spare -= 1
                    threading.Thread(target=self._work, name="dns", daemon=True).start()
                self._jobs.put((target, answer))
        try:
            texts = answer.result(max(0.0, wait_s))
        except TimeoutError:
            raise TransportError(f"{target.host}: no answer from DNS", sent=False) from None
        found = [addresses.literal(text.partition("%")[0]) for text in dict.fromkeys(texts)]
        return [address for address in found if address is not None]

    def _work(self) -> None:
        while True:
            target, answer = self._jobs.get()
            try:
                found = list(self._lookup(target.host, target.port))
            except (OSError, UnicodeError):
                found = []
            with self._lock:
                del self._asked[target.host, target.port]
            answer.set_result(found)


def resolve(host: str, port: int) -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]

"""The sandbox's HTTP server: one thread, one loop, thousands of calls a second, and faults down to the socket."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from router.sandbox.api import Answer, Request, json_answer
from router.sandbox.wire import Encoded, Head, WireError, encode, read_body, read_head


def now_us() -> int:
    """Whole microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(slots=True)
class RecordedCall:
    """One request that arrived whole, and what became of it. The log only grows."""

    #: place in the log, from 1
    number: int
    #: when its first byte was read, whole microseconds since 1970
    arrive_us: int
    destination: str
    #: of its TCP connection, from 1
    connection: int
    method: str
    #: the provider's own path with its query, undecoded
    path: str
    #: lower-case name → value
    headers: dict[str, str]
    #: as received
    body: bytes
    #: when the answer was handed over or given up; None: not yet
    finish_us: int | None = None
    #: of the answer, even if it never went out whole; None: none was made
    status: int | None = None
    #: when the API changed what it stores; None: it did not
    applied_us: int | None = None
    #: the fault that hit it
    fault: str | None = None
    #: whether the whole answer was handed to the system before the connection ended
    replied: bool = False

    @property
    def applied(self) -> bool:
        """Whether the call changed what is stored."""
        return self.applied_us is not None


class Handler(Protocol):
    """What answers requests. Its methods run on the server's thread."""

    def accept(self, connection: Connection, request: Request, arrive_us: int, keep_alive: bool) -> None:
        """Answer through the connection, now or later; `Connection.done` ends it."""

    def refuses(self, target: str) -> bool:
        """Whether the destination is down, so that not even the body is read."""


class Connection(asyncio.Protocol):
    """One client. Requests are answered one after the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = bytearray()
        self._head: Head | None = None
        self._arrive_us = 0
        self._busy = False
        self._writable = asyncio.Event()
        self._writable.set()
        self.transport: asyncio.Transport
        self.number = 0
        #: destination of the last request
        self.destination = ""
        self.local = False

    # --- asyncio ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)
        peer = transport.get_extra_info("peername")
        self.local = bool(peer) and peer[0] in ("127.0.0.1", "::1")
        self.number = self._server.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._server.left(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self._arrive_us = now_us()
        self._buffer += data
        self._advance()

    def _advance(self) -> None:
        if self._busy or self.transport.is_closing():
            return
        try:
            request = self._read()
        except WireError as error:
            self.write(encode(json_answer(error.status, {"error": str(error)}), keep_alive=False))
            self.transport.close()
            return
        if request is not None:
            head, self._head = self._head, None
            self._busy = True
            self._server.handler.accept(self, request, self._arrive_us, head is None or head.keep_alive)

    def _read(self) -> Request | None:
        if self._head is None:
            self._head = read_head(self._buffer)
            if self._head is None:
                return None
            if self._server.handler.refuses(self._head.target):
                self.reset()
                return None
            if self._head.headers.get("expect", "").lower() == "100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        found = read_body(self._buffer, self._head)
        if found is None:
            return None
        body, length = found
        del self._buffer[:length]
        return Request(self._head.method, self._head.target, self._head.headers, body)

    # --- for what answers ---------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether it waits for a request of which nothing has come."""
        return not self._busy and not self._buffer

    @property
    def open(self) -> bool:
        """Whether anything can still be written."""
        return not self.transport.is_closing()

    def write(self, encoded: Encoded) -> bool:
        """Write an answer. True if all of it is with the system; else `drained` waits for it."""
        if self.transport.is_closing():
            return False
        self.transport.write(encoded.head + encoded.body)
        return self.transport.get_write_buffer_size() == 0

    async def drained(self) -> bool:
        """Wait until all that was written is with the system. False if the connection ended before."""
        await self._writable.wait()
        return self.open

    async def send(self, data: bytes) -> bool:
        """Write and wait for room. False if the connection has ended."""
        if self.open:
            self.transport.write(data)
        return await self.drained()

    def close(self) -> None:
        """End it after what was written."""
        self.transport.close()

    def reset(self) -> None:
        """End it at once with a TCP reset; what was written and not sent is lost."""
        raw = self.transport.get_extra_info("socket")
        if raw is not None and self.open:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def done(self, keep_alive: bool) -> None:
        """The request is answered; go on with the next one, or close."""
        self._busy = False
        if not keep_alive:
            self.transport.close()
        elif self._buffer:
            self._arrive_us = now_us()
            self._server.later(0, self._advance)


class Server:
    """The listening socket, its connections and the loop. Everything but `call` runs on the loop's thread."""

    def __init__(self, handler: Handler, listener: socket.socket) -> None:
        self.handler = handler
        self.connections: set[Connection] = set()
        self._listener = listener
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()

    def run(self) -> None:
        """Serve until `stop`. The body of the server's thread."""
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        listening = await self._loop.create_server(lambda: Connection(self), sock=self._listener, backlog=1024)
        await self._stopping.wait()
        listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self.connections):
            connection.transport.abort()
        while self.connections:
            await asyncio.sleep(0)

    def stop(self) -> None:
        """Make `run` return. From any thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a function on the loop's thread and wait for what it gives. From any other thread."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside the requests; it is cancelled when the server stops."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def later(self, delay_s: float, function: Callable[[], object]) -> None:
        """Run a function after a while, unless the server stops before."""
        self._loop.call_later(delay_s, function)

    def joined(self, connection: Connection) -> int:
        """A new connection's number."""
        self._count += 1
        self.connections.add(connection)
        return self._count

    def left(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)


def unknown(names: list[str]) -> Answer:
    """The answer where no destination is."""
    return json_answer(404, {"error": "no such destination", "destinations": names})

"""The sandbox: local provider APIs on one port, a prefix per destination, with a log of calls and faults on request."""

from __future__ import annotations

import asyncio
import copy
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import unquote

from router.errors import ConfigError
from router.sandbox.api import Api, Clock, Request, SandboxDestination
from router.sandbox.breakage import Breakage
from router.sandbox.channel import Channel
from router.sandbox.control import CONTROL, Control
from router.sandbox.engagelab import EngageLab
from router.sandbox.fault import ArmedFault, Fault, FaultKind
from router.sandbox.http_api import HttpApi
from router.sandbox.moengage import MoEngage
from router.sandbox.moesif import Moesif
from router.sandbox.server import Connection, RecordedCall, Server, now_us, unknown
from router.sandbox.wire import encode

#: the word in `provider:` → its local API
APIS: Mapping[str, type[Api]] = {api.kind: api for api in (MoEngage, EngageLab, Channel, Moesif, HttpApi)}
_T = TypeVar("_T")


class FaultReport(NamedTuple):
    """A fault in force, and how often it has fired."""

    destination: str
    fault: Fault
    fired: int
    remaining_s: float | None


class Sandbox:
    """Local provider APIs at `url`. A context manager; safe to use from any thread.

    What is stored, the log and the faults outlive `stop`: `start` again serves the same on the same port. In between
    connections are refused, as by a host that is down.
    """

    def __init__(
        self,
        destinations: Mapping[str, SandboxDestination],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        keep: int | None = None,
        clock: Clock = time.time,
    ) -> None:
        """`port` 0 takes a free one. `keep`: how many calls the log holds, None: all. `clock` drives limits and times.

        Raises `ConfigError` for an unknown kind or a missing setting.
        """
        self._apis = {name: _api(destination, clock) for name, destination in destinations.items()}
        self._host = host
        self._port = port
        self._log: deque[RecordedCall] = deque(maxlen=keep)
        self._numbered = 0
        self._faults: dict[str, list[ArmedFault]] = {name: [] for name in destinations}
        #: destination → set when its faults are healed, then replaced
        self._healed = {name: asyncio.Event() for name in destinations}
        self._control = Control(self)
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    # --- life ---------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Scheme, host and port; `/<destination>` follows. Valid once it was started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def destinations(self) -> Sequence[str]:
        """The names that are served."""
        return list(self._apis)

    def start(self) -> Self:
        """Listen and serve on a thread of its own. Raises `ConfigError` if the port cannot be had."""
        if self._server is not None:
            return self
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listener = socket.create_server((self._host, self._port), family=family, backlog=1024)
        except OSError as error:
            raise ConfigError(f"sandbox: {self._host}:{self._port} cannot be had: {error.strerror}") from error
        self._port = listener.getsockname()[1]
        self._server = Server(self, listener)
        self._thread = threading.Thread(target=self._server.run, name="sandbox", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close every connection and end the thread. Calls that were to be applied late are not."""
        server, thread = self._server, self._thread
        if server is not None and thread is not None:
            server.stop()
            thread.join()
            self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- questions and orders -----------------------------------------------------------------------------------

    def calls(self, destination: str | None = None, *, since: int = 0) -> list[RecordedCall]:
        """The log, or one destination's part of it, beginning after the call with that number. Copies."""
        return self._ask(lambda: self.calls_now(destination, since))

    def held(self, destination: str, profile: str) -> dict[str, Any] | None:
        """The stored copy of one person in the vendor's own words, None if there is none.

        A person is found by the id the destination's calls carry (EngageLab: `user_id`; MoEngage with identity
        resolution: any identifier). Raises `ConfigError` for an unknown destination.
        """
        api = self._api_of(destination)
        return self._ask(lambda: copy.deepcopy(api.held(profile)))

    def edit(self, destination: str, profile: str, values: Mapping[str, Any]) -> bool:
        """Change a stored copy by hand, in the shape of `held`. False if there is no such person."""
        api = self._api_of(destination)
        return self._ask(lambda: api.edit(profile, copy.deepcopy(dict(values))))

    def fault(self, destination: str, fault: Fault) -> None:
        """Put a fault in force. Of several that match a call, the one that was set first fires."""
        self._api_of(destination)
        self._ask(lambda: self.arm_now(destination, fault))

    def heal(self, destination: str | None = None) -> None:
        """End all faults of one destination, or of all; answers that are held go out."""
        names = list(self._apis) if destination is None else [destination]
        for name in names:
            self._api_of(name)
        self._ask(lambda: self.heal_now(names))

    def faults(self) -> list[FaultReport]:
        """The faults in force."""
        return self._ask(self.faults_now)

    def _ask(self, function: Callable[[], _T]) -> _T:
        """Run on the server's thread, where all state lives; here, if that is where we are or none runs."""
        if self._server is None or threading.current_thread() is self._thread:
            return function()
        result: _T = self._server.call(function)
        return result

    def _api_of(self, destination: str) -> Api:
        if destination not in self._apis:
            raise ConfigError(f"sandbox: no destination {destination!r}; there are {', '.join(self._apis)}")
        return self._apis[destination]

    # --- on the server's thread ---------------------------------------------------------------------------------

    def calls_now(self, destination: str | None, since: int) -> list[RecordedCall]:
        """`calls`, on the server's thread."""
        return [replace(call) for call in self._log if call.number > since and destination in (None, call.destination)]

    def arm_now(self, destination: str, fault: Fault) -> None:
        """`fault`, on the server's thread."""
        self._faults[destination].append(ArmedFault(fault, time.monotonic))
        if fault.kind is FaultKind.DOWN and self._server is not None:
            for connection in list(self._server.connections):
                if connection.destination == destination and connection.idle:
                    connection.close()

    def heal_now(self, names: Sequence[str]) -> None:
        """`heal`, on the server's thread."""
        for name in names:
            self._faults[name] = []
            self._healed[name].set()
            self._healed[name] = asyncio.Event()

    def faults_now(self) -> list[FaultReport]:
        """`faults`, on the server's thread."""
        return [
            FaultReport(name, armed.fault, armed.fired, armed.remaining_s())
            for name, faults in self._faults.items()
            for armed in faults
            if not armed.over()
        ]

    def refuses(self, target: str) -> bool:
        """Whether the destination of a request is down altogether, before its body is read."""
        name, own = _split(target)
        if not self._faults.get(name):
            return False
        armed = self._faults[name][0]
        # one that looks for something in the body does not match yet, and is asked again when the body is there
        return armed.fault.kind is FaultKind.DOWN and armed.fires(Request("", own, {}, b""), self._apis[name])

    def accept(self, connection: Connection, request: Request, arrive_us: int, keep_alive: bool) -> None:
        """Answer one request. Called by the server."""
        name, own = _split(request.target)
        if name == CONTROL:
            connection.write(encode(self._control.answer(connection, replace(request, target=own))))
            connection.done(keep_alive)
            return
        api = self._apis.get(name)
        if api is None:
            connection.write(encode(unknown(list(self._apis))))
            connection.done(keep_alive)
            return
        request = replace(request, target=own)
        connection.destination = name
        call = self._record(name, connection, request, arrive_us)
        hit = self._fault_for(name, request, api)
        if hit is None:
            self._serve(api, connection, request, call, keep_alive)
        elif self._server is not None:
            broken = Breakage(self._server, hit, self._healed[name], api)
            self._server.spawn(broken.perform(connection, request, call, keep_alive))

    def _record(self, name: str, connection: Connection, request: Request, arrive_us: int) -> RecordedCall:
        self._numbered += 1
        call = RecordedCall(
            number=self._numbered,
            arrive_us=arrive_us,
            destination=name,
            connection=connection.number,
            method=request.method,
            path=request.target,
            headers=dict(request.headers),
            body=request.body,
        )
        self._log.append(call)
        return call

    def _fault_for(self, name: str, request: Request, api: Api) -> ArmedFault | None:
        if not self._faults[name]:
            return None
        self._faults[name] = [armed for armed in self._faults[name] if not armed.over()]
        return next((armed for armed in self._faults[name] if armed.fires(request, api)), None)

    def _serve(self, api: Api, connection: Connection, request: Request, call: RecordedCall, keep_alive: bool) -> None:
        answer = api.handle(request)
        call.status = answer.status
        if answer.applied:
            call.applied_us = now_us()
        call.replied = connection.write(encode(answer, keep_alive=keep_alive))
        call.finish_us = now_us()
        if call.replied or self._server is None:
            connection.done(keep_alive)
            return
        self._server.spawn(_finish(connection, call, keep_alive))


async def _finish(connection: Connection, call: RecordedCall, keep_alive: bool) -> None:
    """The end of an answer that did not fit into the socket at once."""
    call.replied = await connection.drained()
    call.finish_us = now_us()
    connection.done(keep_alive)


def _api(destination: SandboxDestination, clock: Clock) -> Api:
    api = APIS.get(destination.kind)
    if api is None:
        raise ConfigError(f"sandbox {destination.name}: no kind {destination.kind!r}; there are {', '.join(APIS)}")
    return api(destination, clock)


def _split(target: str) -> tuple[str, str]:
    """The destination in a path, decoded, and the provider's own path, untouched."""
    name, slash, rest = target[1:].partition("/")
    return unquote(name), slash + rest

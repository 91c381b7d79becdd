"""How each fault is carried out: what is answered, when the call takes effect, and what goes over the wire."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from functools import partial

from router.sandbox.api import Answer, Api, Request, json_answer
from router.sandbox.fault import ArmedFault, Fault, FaultKind
from router.sandbox.server import Connection, RecordedCall, Server, now_us
from router.sandbox.wire import Encoded, encode, encode_chunked

HUGE_BYTES = 1024 * 1024 * 1024
BOMB_BYTES = 256 * 1024 * 1024
#: where a redirect goes that does not say: a place no client should ever be led to
REDIRECT_TO = "http://169.254.169.254/latest/meta-data/"
_BLOCK = b"\0" * 65536


class Breakage:
    """One call that a fault has hit."""

    def __init__(self, server: Server, armed: ArmedFault, healed: asyncio.Event, api: Api) -> None:
        self._server = server
        self._armed = armed
        self._fault = armed.fault
        self._healed = healed
        self._api = api

    async def perform(self, connection: Connection, request: Request, call: RecordedCall, keep_alive: bool) -> None:
        """Carry the fault out from the request's last byte to the end of the answer or of the connection."""
        call.fault = self._fault.kind.value
        if self._fault.kind in (FaultKind.DOWN, FaultKind.RESET):
            if self._fault.applies:
                self._apply(request, call)
            connection.reset()
            call.finish_us = now_us()
            return
        answer = self._answer(request, call)
        call.status = answer.status
        if self._fault.kind in (FaultKind.LATENCY, FaultKind.HOLD):
            await self._wait(self._fault.delay_s if self._fault.kind is FaultKind.LATENCY else None)
        try:
            whole, goes_on = await self._write(connection, answer, keep_alive)
        finally:
            call.finish_us = now_us()
        call.replied = whole
        if goes_on:
            connection.done(keep_alive)
        else:
            connection.close()

    async def _wait(self, seconds: float | None) -> None:
        try:
            await asyncio.wait_for(self._healed.wait(), seconds)
        except TimeoutError:
            return

    # --- what is answered, and what is applied ------------------------------------------------------------------

    def _apply(self, request: Request, call: RecordedCall) -> Answer:
        answer = self._api.handle(request)
        if answer.applied:
            call.applied_us = now_us()
        return answer

    def _answer(self, request: Request, call: RecordedCall) -> Answer:
        fault = self._fault
        if fault.kind in (FaultKind.LATE, FaultKind.LAG):
            self._server.later(fault.delay_s, partial(self._apply, request, call))
            return self._api.rehearse(request)
        if fault.kind is FaultKind.FORGET:
            self._api.forget(self._api.profiles(request))
        made = self._made(request)
        if made is None:
            return self._apply(request, call) if fault.applies else self._api.rehearse(request)
        if fault.applies:
            self._apply(request, call)
        return made

    def _made(self, request: Request) -> Answer | None:
        """The answer that the fault makes by itself; None: the vendor's own."""
        make = _ANSWERS.get(self._fault.kind)
        if make is not None:
            return make(self._fault, request)
        if self._fault.kind is FaultKind.FAIL:
            return self._api.failure(200)
        if self._fault.kind is FaultKind.STATUS:
            remaining = self._armed.remaining_s()
            own = self._api.failure(self._fault.status, remaining if self._fault.status in (429, 503) else None)
            body = own.body if self._fault.body is None else self._fault.body
            if self._fault.status in (204, 304):
                body = b""
            headers = {**own.headers, **{name.lower(): value for name, value in self._fault.headers.items()}}
            return replace(own, body=body, headers=headers)
        return None

    # --- what goes over the wire --------------------------------------------------------------------------------

    async def _write(self, connection: Connection, answer: Answer, keep_alive: bool) -> tuple[bool, bool]:
        """Write the answer as the fault has it: whether it went out whole, whether the connection goes on."""
        kind = self._fault.kind
        if kind is FaultKind.HUGE or kind is FaultKind.BOMB:
            return await _pour(connection, kind is FaultKind.BOMB), False
        if kind in _PIECES:
            piece = _PIECES[kind](answer)
            sent = await connection.send(piece) if piece else True
            return sent and kind is FaultKind.UNFRAMED, False
        if kind is FaultKind.MANY_HEADERS:
            answer = replace(answer, headers={**answer.headers, **{f"x-more-{n}": "1" for n in range(150)}})
        if kind is FaultKind.BIG_HEADER:
            answer = replace(answer, headers={**answer.headers, "x-big": "x" * 70_000})
        encoded = encode(answer, keep_alive=keep_alive)
        if kind in (FaultKind.DRIP_STATUS, FaultKind.DRIP_HEADERS, FaultKind.DRIP_BODY):
            return await self._drip(connection, encoded), True
        return await connection.send(encoded.head + encoded.body), kind is not FaultKind.STALE

    async def _drip(self, connection: Connection, encoded: Encoded) -> bool:
        data = encoded.head + encoded.body
        status_line = encoded.head.index(b"\r\n") + 2
        starts = {FaultKind.DRIP_STATUS: 0, FaultKind.DRIP_HEADERS: status_line, FaultKind.DRIP_BODY: len(encoded.head)}
        start = starts[self._fault.kind]
        if start:
            await connection.send(data[:start])
        for place in range(start, len(data)):
            if not await connection.send(data[place : place + 1]):
                return False
            await self._wait(self._fault.delay_s)
        return connection.open


def _half(answer: Answer, *, framed: bool) -> bytes:
    encoded = encode(answer, framed=framed)
    return encoded.head + encoded.body[: len(encoded.body) // 2]


def _half_chunk(answer: Answer) -> bytes:
    encoded = encode_chunked(answer)
    return encoded.head + encoded.body[: len(encoded.body) // 2]


def _whole_unframed(answer: Answer) -> bytes:
    encoded = encode(answer, framed=False)
    return encoded.head + encoded.body


def _half_head(answer: Answer) -> bytes:
    head = encode(answer).head
    return head[: (head.index(b"\r\n") + len(head)) // 2]


#: what is written before the connection is closed
_PIECES: Mapping[FaultKind, Callable[[Answer], bytes]] = {
    FaultKind.CUT: lambda _answer: b"",
    FaultKind.LATE: lambda _answer: b"",
    FaultKind.CUT_STATUS: lambda answer: encode(answer).head[:11],
    FaultKind.CUT_HEADERS: _half_head,
    FaultKind.CUT_BODY: lambda answer: _half(answer, framed=True),
    FaultKind.CUT_CHUNK: _half_chunk,
    FaultKind.CONTINUE: lambda _answer: b"HTTP/1.1 100 Continue\r\n\r\n",
    FaultKind.UNFRAMED: _whole_unframed,
    FaultKind.UNFRAMED_CUT: lambda answer: _half(answer, framed=False),
}


def _redirect(fault: Fault, _request: Request) -> Answer:
    return Answer(fault.status or 302, b"", {"location": REDIRECT_TO, **fault.headers})


def _echo(_fault: Fault, request: Request) -> Answer:
    seen = {"headers": dict(request.headers), "body": request.body.decode("utf-8", "replace")}
    return json_answer(400, seen)


def _html(_fault: Fault, _request: Request) -> Answer:
    page = b"<!doctype html><title>Sign in</title><p>This network wants you to sign in first.</p>"
    return Answer(200, page, {"content-type": "text/html"})


_ANSWERS: Mapping[FaultKind, Callable[[Fault, Request], Answer]] = {
    FaultKind.REDIRECT: _redirect,
    FaultKind.ECHO: _echo,
    FaultKind.HTML: _html,
    FaultKind.EMPTY: lambda _fault, _request: Answer(200),
    FaultKind.HUGE: lambda _fault, _request: Answer(200),
    FaultKind.BOMB: lambda _fault, _request: Answer(200),
}


async def _pour(connection: Connection, packed: bool) -> bool:
    """Zeros without end, plain or as gzip, as fast as the client reads and no faster."""
    headers = {"content-type": "application/json"}
    if packed:
        headers["content-encoding"] = "gzip"
    else:
        headers["content-length"] = str(HUGE_BYTES)
    if not await connection.send(encode(Answer(200, b"", headers), framed=False).head):
        return False
    async for piece in _zeros(packed):
        if piece and not await connection.send(piece):
            return False
    return True


async def _zeros(packed: bool) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for _ in range((BOMB_BYTES if packed else HUGE_BYTES) // len(_BLOCK)):
        yield packer.compress(_BLOCK) if packed else _BLOCK
        await asyncio.sleep(0)
    if packed:
        yield packer.flush()

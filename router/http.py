"""The one door to the network: bounded, guarded, and exact about what was sent. The only importer of requests.

What requests alone does not give, and this module adds:

* a total deadline: `timeout=` is per read, so a peer that drips bytes holds a call for ever, and DNS is outside every
  timeout. One timer thread shuts the socket down and sets a flag, which is looked at before the status;
* completeness: a peer that closes after the status line looks like an answer without headers and body. Headers must end
  with their blank line, and a body must be read to the end of its `Content-Length` or chunks to be `framed`;
* the SSRF guard of `router.addresses`, at each new connection, on the address that is then connected to;
* nothing from the environment, no cookies, no redirects, no decompression, and no secret in an exception.
"""

from __future__ import annotations

import http.client
import json
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from router import __version__, addresses
from router.addresses import Policy
from router.errors import BuildError, TransportError, UpstreamError
from router.flight import Flight, Lookup, Resolver, Watchdog, resolve
from router.model import Call, Reply

#: most bytes of a reply's body, and of its head
MAX_REPLY_BYTES = 64 * 1024
#: one TLS record, and more than most requests: if the first write fails, no byte of the request can be read by the peer
_FIRST_WRITE = 16384

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[ -~]*")
_METHOD = re.compile(r"[A-Z]{1,16}")
_LENGTH = re.compile(r"[0-9]{1,18}")

#: urllib3 logs URLs, and URLs hold people's ids
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


#: how libraries say that an answer is broken; ValueError for what is no number where one must be
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)


class Door:
    """All HTTP of one process. Safe for many threads; opens no thread or connection before the first call."""

    def __init__(
        self, *, dev: bool = False, slots: int = 256, ca_file: str | None = None, lookup: Lookup | None = None
    ) -> None:
        """`slots` is the most idle connections kept per destination, `ca_file` adds certificate authorities (PEM),
        `dev` opens inner networks, `lookup` stands in for DNS."""
        self._dev = dev
        self._slots = slots
        self._ca_file = ca_file
        self._resolver = Resolver(lookup or resolve)
        self._watchdog = Watchdog()
        self._sessions: dict[tuple[str, Policy], _Session] = {}
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None

    def send(
        self,
        call: Call,
        *,
        session: str,
        timeout_s: float,
        networks: Sequence[str] = (),
        extra_headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one call and read its answer, whatever the status, within `timeout_s` in all.

        `session` names the destination: connections are shared within it only. `networks` are the inner ranges (CIDR)
        that its configuration opens. A reply larger than 64 KB comes cut and not `framed`.
        Raises `TransportError` where no full reply came, `BuildError` where the call cannot be put on the wire.
        """
        target = addresses.parse(call.url)
        headers = {**call.headers, **call.auth, **(extra_headers or {})}
        request = _prepare(call.method, call.url, headers, call.body)
        policy = Policy.of(networks, dev=self._dev)
        connections = self._session(session, policy)
        return self._exchange(connections, request, Flight(target, policy, self._resolver, timeout_s), MAX_REPLY_BYTES)

    def get(
        self, url: str, *, allowed_hosts: Collection[str], max_bytes: int = MAX_REPLY_BYTES, timeout_s: float = 5.0
    ) -> bytes:
        """Fetch a key set or certificate from one of `allowed_hosts`, by https on port 443 (or from this machine, if
        that is what `allowed_hosts` says). Raises `UpstreamError` unless it came whole, with status 200."""
        try:
            target = addresses.parse(url)
            if target.host not in allowed_hosts:
                raise UpstreamError(f"{target.host} is not a host this source may ask")
            if (target.scheme, target.port) != ("https", 443) and not target.is_loopback:
                raise UpstreamError(f"{target.host} is asked by https on port 443 only")
            request = _prepare("GET", url, {}, None)
            policy = Policy(dev=self._dev)
            connections = self._session("", policy)
            reply = self._exchange(connections, request, Flight(target, policy, self._resolver, timeout_s), max_bytes)
        except TransportError as error:
            raise UpstreamError(str(error)) from None
        if reply.status != 200 or not reply.framed:
            raise UpstreamError(f"{target.host} answered {reply.status}{'' if reply.framed else ', not in full'}")
        return reply.body

    def close(self) -> None:
        """Cut every open call (each raises `TransportError`) and close all connections. The door can be used again."""
        self._watchdog.close()
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            session.close()

    def _exchange(self, session: _Session, request: requests.PreparedRequest, flight: Flight, max_bytes: int) -> Reply:
        _current.flight = flight
        self._watchdog.start(flight)
        try:
            response = session.send(request, stream=True, timeout=flight.timeout_s, allow_redirects=False, proxies={})
            answer = cast(_Response, response.raw)
            reply = _read(answer, max_bytes)
            flight.reusable = reply.framed and not answer.will_close and reply.status >= 200
        except TransportError as error:
            if not flight.cut:
                raise
            raise _cut(flight) from error
        except _BROKEN as error:
            if flight.cut:
                raise _cut(flight) from None
            raise TransportError(f"{flight.target.host}: {_cause(error)}", sent=flight.sent) from None
        finally:
            self._watchdog.stop(flight)
            flight.land()
            del _current.flight
        if flight.cut:
            raise _cut(flight)
        return reply

    def _session(self, name: str, policy: Policy) -> _Session:
        session = self._sessions.get((name, policy))
        if session is None:
            with self._lock:
                if self._tls is None:
                    self._tls = ssl.create_default_context(cafile=requests.utils.DEFAULT_CA_BUNDLE_PATH)
                    self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
                    if self._ca_file:
                        self._tls.load_verify_locations(self._ca_file)
                session = self._sessions.setdefault((name, policy), _Session(self._slots, self._tls))
        return session


def _prepare(method: str, url: str, headers: Mapping[str, str], body: Any) -> requests.PreparedRequest:
    """The request as it goes out; nothing of it is escaped, sorted or merged again. Raises `BuildError`."""
    if not _METHOD.fullmatch(method):
        raise BuildError("the method is not a word in capitals")
    request = requests.PreparedRequest()
    request.method, request.url, request.hooks = method, url, {}
    request.headers = out = CaseInsensitiveDict(
        {"User-Agent": f"profile-router/{__version__}", "Accept": "application/json", "Accept-Encoding": "identity"}
    )
    if body is not None:
        request.body = _encode(body)
        out["Content-Type"] = "application/json"
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise BuildError(f"header {name!r} has characters that a header cannot carry")
        out[name] = value
    if request.body is not None:
        out["Content-Length"] = str(len(request.body))
    return request


def _encode(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    try:
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError):
        raise BuildError("the body cannot be written as JSON in UTF-8") from None


def _read(response: _Response, max_bytes: int) -> Reply:
    """The answer, of its body at most `max_bytes`. Raises where it ends too early."""
    framed = response.chunked or response.length is not None
    parts: list[bytes] = []
    room = max_bytes + 1
    while room and (part := response.read(room)):
        parts.append(part)
        room -= len(part)
    body = b"".join(parts)
    if len(body) > max_bytes:
        body, framed = body[:max_bytes], False
    elif response.length:
        raise http.client.IncompleteRead(b"", response.length)
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return Reply(response.status, headers, body, framed, time.time())


def _cut(flight: Flight) -> TransportError:
    return TransportError(f"{flight.target.host}: no full reply within {flight.timeout_s:g} s", sent=flight.sent)


def _cause(error: BaseException) -> str:
    """The class of the innermost exception: libraries' messages hold URLs, and those hold people's ids."""
    seen = {id(error)}
    while (inner := _inner(error)) is not None and id(inner) not in seen:
        error = inner
        seen.add(id(error))
    return type(error).__name__


def _inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    candidates = (reason, error.__cause__, error.__context__, *error.args)
    return next((each for each in candidates if isinstance(each, BaseException)), None)


class _Current(threading.local):
    """The call that this thread is making; urllib3 has no other way to hand it to a connection."""

    flight: Flight


_current = _Current()


class _Response(http.client.HTTPResponse):
    """An answer whose head and chunks must end properly, and whose head is bounded."""

    def begin(self) -> None:
        self.fp: Any = _Lines(self.fp)
        super().begin()
        self.fp.room = None
        if not all(_LENGTH.fullmatch(length) for length in self.headers.get_all("content-length", [])):
            self.length, self.will_close = None, True
        self.fp.chunked = bool(self.chunked)


class _Lines:
    """A response's stream that does not take the end of the stream for the end of a line."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        #: bytes left for the head; None: no limit any more
        self.room: int | None = MAX_REPLY_BYTES
        #: lines of the body are chunk sizes (or the end of a chunk, or trailers)
        self.chunked = False
        self.read = stream.read
        self.close = stream.close
        self.flush = stream.flush

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._stream.readline(limit)
        if not line.endswith(b"\n"):
            raise http.client.LineTooLong("line") if line and len(line) == limit else http.client.IncompleteRead(b"")
        if self.room is not None:
            self.room -= len(line)
            if self.room < 0:
                raise http.client.LineTooLong("head")
        elif self.chunked and line[:1] in b"-+":  # http.client takes a signed size for a size
            raise http.client.IncompleteRead(b"")
        return line


class _Wire(HTTPConnection):
    """A connection that knows its call: guarded when it opens, exact about the first byte, cut from outside."""

    response_class = _Response
    flight: Flight | None = None
    #: a second handle of the socket: it can be shut down during the TLS handshake and after `sock` was let go
    _handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        flight = self._board()
        wire = flight.connect()
        wire.settimeout(max(0.001, flight.deadline - time.monotonic()))
        self._handle = wire.dup()
        if flight.cut:
            self.shut()
        return wire

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._board()
        super().request(*args, **kwargs)

    def _board(self) -> Flight:
        flight = _current.flight
        self.flight = flight
        flight.connection = self
        return flight

    def send(self, data: Any) -> None:
        flight = self.flight
        if self.sock is None:
            self.connect()
        if flight is not None and not flight.sent and isinstance(data, bytes):
            count = self.sock.send(data[:_FIRST_WRITE])
            flight.sent = True
            data = data[count:]
            if not data:
                return
        super().send(data)

    def close(self) -> None:
        super().close()
        if self.flight is None or self.flight.done:
            self.drop()

    def drop(self) -> None:
        """Close the second handle."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def shut(self) -> None:
        handle = self._handle
        if handle is not None:
            try:
                handle.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # the peer has closed already


class _TlsWire(_Wire, HTTPSConnection):
    """The same over TLS; the certificate's name and SNI are the URL's."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Wire


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsWire


class _Adapter(HTTPAdapter):
    """Takes host and path from the call's target alone, and leaves reading to `_read`."""

    def __init__(self, slots: int, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__(pool_maxsize=slots)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **_kwargs: Any) -> None:
        self.poolmanager = urllib3.PoolManager(connections, maxsize=maxsize, block=block, ssl_context=self._tls)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def get_connection_with_tls_context(self, *_args: Any, **_kwargs: Any) -> HTTPConnectionPool:
        target = _current.flight.target
        pool: HTTPConnectionPool = self.poolmanager.connection_from_host(target.host, target.port, target.scheme)
        return pool

    def cert_verify(self, *_args: Any, **_kwargs: Any) -> None:
        """Nothing to do: the context always verifies."""

    def request_url(self, *_args: Any, **_kwargs: Any) -> str:
        return _current.flight.target.path

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        def release(reusable: bool) -> None:
            resp.release_conn() if reusable else resp.close()

        _current.flight.release = release
        response = requests.Response()
        response.request, response.raw = req, resp._original_response
        return response


class _Session(requests.Session):
    """One destination's connections. Keeps nothing between calls but these."""

    def __init__(self, slots: int, tls: ssl.SSLContext) -> None:
        super().__init__()
        self.trust_env = False
        self.adapters.clear()
        adapter = _Adapter(slots, tls)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

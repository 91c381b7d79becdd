"""gunicorn's threaded worker, made for senders that cannot be trusted: threads get whole requests, and shed late ones.

gthread (gunicorn 27.0) gives a connection to a thread at its first byte, and the thread waits for the rest: two dozen
connections that stop in the middle stop everything (https://github.com/benoitc/gunicorn/issues/3519). Here the main
thread's poller gathers each request, and a thread begins when it is whole; a connection whose answers are not read gets
no further thread, and one that has ended is waited for in the poller too.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from gunicorn.http.errors import ParseException
from gunicorn.workers import gthread

from router.web.body import GATHERED
from router.web.gathering import Coming
from router.web.wire import SHED, TOO_LONG, Gathered, refusal_of, unread_by

log = logging.getLogger(__name__)

#: seconds for a request to come whole, from its first byte
READ_S = 10.0
#: seconds for its first byte on a new connection
FIRST_BYTE_S = 15.0
#: the same two once this process is to stop
STOPPING_S = 2.0
#: seconds that a whole request waits for a thread before it is shed: with 4 s for the store it is answered within 5
PATIENCE_S = 1.0
#: bytes of all requests that are coming; beyond it the oldest is ended
MAX_GATHERED = 64 * 1024 * 1024
#: connections of one address
MAX_PER_ADDRESS = 64
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
#: seconds for a peer to close its side after the last answer, and most bytes of it that are thrown away meanwhile
LINGER_S, MAX_IGNORED = 0.5, 1024 * 1024
#: seconds for an answer to be taken
SEND_S = 3
#: seconds between two looks at what is late
LOOK_S = 0.2
#: bytes of answers that a peer may leave unread before its next request begins: the smallest buffer holds one more
MAX_UNREAD = 2_048
#: seconds for a body that nobody read to come to its end, so that its connection can be kept
DRAIN_S = 1.0

#: read in every drain, see `gthread.ThreadWorker._keepalive_after`
gthread.DEFAULT_WORKER_DATA_TIMEOUT = DRAIN_S

#: what `accept` raises when this process or this machine has no more of something (accept(2))
_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
#: what it raises when it makes no sense to go on
_NO_LISTENER = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK})


class Ending:
    """A connection that has had its last answer, until its peer has read it."""

    __slots__ = ("deadline", "left")

    def __init__(self) -> None:
        self.deadline = time.monotonic() + LINGER_S
        #: bytes that may still be thrown away
        self.left = MAX_IGNORED


class Worker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the module."""

    wsgi: Any
    #: whose connections are not counted: proxies bring those of many senders
    trusted: ClassVar[Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]] = LOOPBACK

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: connections whose request is coming, oldest first
        self._coming: dict[Any, Coming] = {}
        self._gathered = 0
        #: connections with a request that waits for answers to be read → until when
        self._unread: dict[Any, float] = {}
        self._endings: dict[Any, Ending] = {}
        #: connections in a thread whose request is all there
        self._whole: set[socket.socket] = set()
        self._open: Counter[str] = Counter()
        #: what happened to requests → how often since that was logged, and when it was (monotonic)
        self._happened: dict[str, tuple[int, float]] = {}
        self._looked_at = 0.0
        #: until when what is coming may still come (monotonic), once this process is to stop
        self._stop_by = float("inf")

    # --- in the main thread -------------------------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection; its first request is gathered."""
        try:
            peer, address = listener.accept()
        except OSError as error:
            if error.errno in _NO_LISTENER:
                raise
            if error.errno in _OUT_OF and not self._make_room(10):
                time.sleep(0.05)  # nothing is left to end here: others have it all
            return
        conn = gthread.TConn(self.cfg, peer, address, listener.getsockname())
        self.nr_conns += 1
        host = self._counted(conn)
        self._open[host] += 1
        if host and self._open[host] > MAX_PER_ADDRESS:
            self._end(conn)
            return
        self._begin(conn, FIRST_BYTE_S)

    def load_wsgi(self) -> None:
        """The application, told of each request whether its body is there."""
        super().load_wsgi()
        application = self.wsgi

        def call(environ: dict[str, Any], start_response: Any) -> Any:
            environ[GATHERED] = environ.get("gunicorn.socket") in self._whole
            return application(environ, start_response)

        self.wsgi = call

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """A kept connection brings its next request."""
        if conn in self.keepalived_conns:  # else it made room for another one a moment ago
            self._unwatch(conn)
            self.keepalived_conns.remove(conn)
            self._begin(conn, READ_S)

    def _begin(self, conn: Any, patience_s: float, data: bytes = b"") -> None:
        """Gather a request, of which `data` is there already."""
        self._coming[conn] = Coming(time.monotonic() + patience_s)
        self.poller.register(conn.sock, gthread.selectors.EVENT_READ, partial(self._gather, conn))
        if data:
            self._add(conn, data)
        else:
            self._gather(conn, conn.sock)

    def _gather(self, conn: Any, client: socket.socket) -> None:
        """Read what is there."""
        if conn not in self._coming:  # it was ended for another's sake a moment ago
            return
        try:
            data = client.recv(65_536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._leave(conn)
            self._end(conn)
        else:
            self._add(conn, data)

    def _add(self, conn: Any, data: bytes) -> None:
        """A request that is whole, or that its sender has ended, goes to a thread."""
        coming = self._coming[conn]
        if not coming.data and data:
            coming.deadline = time.monotonic() + READ_S
        before = len(coming.data)
        whole = coming.add(data)
        self._gathered += len(coming.data) - before
        if coming.waits and not whole:
            coming.waits = False
            with suppress(OSError):
                conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if coming.too_long:
            self._refuse(conn, TOO_LONG)
        elif whole or not data:
            self._leave(conn)
            if not coming.data:
                self._end(conn)
                return
            conn.request = bytes(coming.data)
            conn.is_whole = coming.whole or not data
            self._unread[conn] = time.monotonic() + READ_S
            self._hand_on(conn)
        elif self._gathered > MAX_GATHERED:
            self._drop(next(iter(self._coming)))

    def _hand_on(self, conn: Any) -> None:
        """Give a request to a thread, unless the thread would wait until its peer reads what it was answered before."""
        if unread_by(conn.sock) <= MAX_UNREAD:
            del self._unread[conn]
            conn.data_ready = True
            conn.whole_at = time.monotonic()
            self.enqueue_req(conn)

    def _leave(self, conn: Any) -> None:
        """The connection is no longer gathered."""
        self._gathered -= len(self._coming.pop(conn).data)
        self._unwatch(conn)

    def _unwatch(self, conn: Any) -> None:
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)

    def _drop(self, conn: Any) -> None:
        """End a request that does not become whole; who has sent a head is told to come again."""
        if self._coming[conn].body_at:
            self._tell("told %d requests to come again: they came too slowly")
            self._refuse(conn, SHED)
        else:
            self._leave(conn)
            self._end(conn)

    def _refuse(self, conn: Any, answer: bytes) -> None:
        """Answer what was not gathered, and end its connection."""
        self._leave(conn)
        with suppress(OSError):
            conn.sock.send(answer)
        self._wait_for_end(conn)

    def _wait_for_end(self, conn: Any) -> None:
        """End a connection once its peer has: a socket closed with unread bytes in it is reset, answer and all."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, gthread.selectors.EVENT_READ, partial(self._ignore, conn))
        except (OSError, ValueError, KeyError):  # it is gone
            self._end(conn)
            return
        self._endings[conn] = Ending()

    def _ignore(self, conn: Any, client: socket.socket) -> None:
        """Throw away what still comes."""
        ending = self._endings.get(conn)
        if ending is None:
            return
        try:
            data = client.recv(65_536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        ending.left -= len(data)
        if not data or ending.left < 0:
            self._stop_waiting(conn)

    def _stop_waiting(self, conn: Any) -> None:
        del self._endings[conn]
        self._unwatch(conn)
        self._end(conn)

    def _make_room(self, count: int) -> int:
        """End so many connections that nobody needs, else those that came first: how many there were."""
        before: int = self.nr_conns
        for conn in list(self._endings)[:count]:
            self._stop_waiting(conn)
        for _ in range(min(count - (before - self.nr_conns), len(self.keepalived_conns))):
            conn = self.keepalived_conns.popleft()
            self._unwatch(conn)
            self._end(conn)
        for conn in list(self._coming)[: count - (before - self.nr_conns)]:
            self._leave(conn)
            self._end(conn)
        return before - int(self.nr_conns)

    def _end(self, conn: Any) -> None:
        self.nr_conns -= 1
        self._forget(conn)
        conn.close()

    def murder_pending(self) -> None:
        """End what did not come in time; called at least every second. Where connections run out, some make room."""
        now = time.monotonic()
        if self.alive and now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        if not self.alive:
            self._stop_by = min(self._stop_by, now + STOPPING_S)
        for conn, coming in list(self._coming.items()):
            if now >= min(coming.deadline, self._stop_by) or (not self.alive and not coming.data):
                self._drop(conn)
        for conn, deadline in list(self._unread.items()):
            self._hand_on(conn)
            if conn in self._unread and now >= min(deadline, self._stop_by):
                del self._unread[conn]
                self._end(conn)
        for conn, ending in list(self._endings.items()):
            if now >= ending.deadline:
                self._stop_waiting(conn)
        if self.nr_conns >= self.worker_connections:
            self._make_room(self.worker_connections // 10)
        super().murder_pending()

    def finish_request(self, conn: Any, fs: Any) -> None:
        """The end of a request: its connection is idle, or the next request has begun to come, or it has ended."""
        if fs.cancelled() or fs.exception() is not None or not fs.result():
            self._wait_for_end(conn)
            return
        before = self.nr_conns
        super().finish_request(conn, fs)
        if self.nr_conns < before:
            self._forget(conn)
        elif conn.rest and conn in self.keepalived_conns:
            self.poller.unregister(conn.sock)
            self.keepalived_conns.remove(conn)
            self._begin(conn, READ_S, conn.rest)

    def murder_keepalived(self, force: bool = False) -> None:
        """The same for idle ones."""
        idle = list(self.keepalived_conns)
        super().murder_keepalived(force)
        for conn in idle[: len(idle) - len(self.keepalived_conns)]:
            self._forget(conn)

    def _counted(self, conn: Any) -> str:
        """The address that a connection counts for; empty if it counts for none."""
        try:
            address = ipaddress.ip_address(conn.client[0])
        except (ValueError, IndexError, TypeError):
            return ""
        address = getattr(address, "ipv4_mapped", None) or address
        if any(address in network for network in self.trusted):
            return ""
        return str(address)

    def _forget(self, conn: Any) -> None:
        host = self._counted(conn)
        self._open[host] -= 1
        if self._open[host] <= 0:
            del self._open[host]

    # --- in a thread --------------------------------------------------------------------------------------------------

    def handle(self, conn: Any) -> Any:
        """Serve one request that is whole; if the connection ends with it, end it here."""
        data, conn.request, conn.rest = conn.request, b"", b""
        if time.monotonic() - conn.whole_at > PATIENCE_S and not _is_probe(data):
            self._tell(f"told %d requests to come again: they had waited for more than {PATIENCE_S:g} s")
            conn.sock.setblocking(True)
            with suppress(OSError):
                conn.sock.sendall(SHED)
            keep: Any = False
        else:
            conn.init()
            parser = conn.parser
            if not isinstance(parser.unreader, Gathered):
                parser.unreader = Gathered(conn.sock)
            parser.unreader.data = data
            if conn.is_whole:
                self._whole.add(conn.sock)
            try:
                keep = super().handle(conn)
            finally:
                self._whole.discard(conn.sock)
            if keep:
                conn.rest = conn.parser.unreader.take_buffered()
        return keep

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer. One who does not read the answer gets no more of it."""
        try:
            return super().handle_request(req, conn)
        except BlockingIOError:
            self._tell(f"gave up %d answers that were not read within {SEND_S} s")
            return False

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer what is no request, and what broke in gunicorn: as everything else is answered, and never with 500."""
        if isinstance(exc, ParseException):
            self._tell("refused %d requests that were none, the last one as " + type(exc).__name__)
            answer = refusal_of(exc)
        else:
            log.error("a request broke", exc_info=exc)
            answer = SHED
        with suppress(OSError):
            client.sendall(answer)

    def _tell(self, what: str) -> None:
        """One line every ten seconds, not one for each. `what` has a place for how many."""
        now = time.monotonic()
        count, told_at = self._happened.get(what, (0, float("-inf")))
        if now - told_at < 10:
            self._happened[what] = (count + 1, told_at)
            return
        self._happened[what] = (0, now)
        log.warning(what, count + 1)


def _is_probe(data: bytes) -> bool:
    """Whether somebody asks if this process lives: that is answered, however late it is."""
    return data.startswith((b"GET /healthz ", b"GET /readyz "))

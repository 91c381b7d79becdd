"""gunicorn's threaded worker, made for senders that cannot be trusted: threads get whole requests, and shed late ones.

gthread (gunicorn 27.0) gives a connection to a thread at its first byte, and the thread waits for the rest: two dozen
connections that stop in the middle stop everything (https://github.com/benoitc/gunicorn/issues/3519). Here the main
thread's poller gathers each request, and a thread begins when it is whole.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import logging
import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from gunicorn.workers import gthread

from router.web.app import SECURITY_HEADERS
from router.web.gathering import Coming

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
#: seconds for a peer to close its side after the last answer
LINGER_S = 0.5
#: seconds for a body that nobody read to come to its end, so that its connection can be kept
DRAIN_S = 1.0

#: read in every drain, see `gthread.ThreadWorker._keepalive_after`
gthread.DEFAULT_WORKER_DATA_TIMEOUT = DRAIN_S


def _shed_answer() -> bytes:
    body = json.dumps({"error": "try again"}).encode()
    headers = [*SECURITY_HEADERS, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    lines = [f"{name}: {value}" for name, value in [*headers, ("Retry-After", "5"), ("Connection", "close")]]
    return ("HTTP/1.1 503 Service Unavailable\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode() + body


SHED = _shed_answer()


class Worker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the module."""

    #: whose connections are not counted: proxies bring those of many senders
    trusted: ClassVar[Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]] = LOOPBACK

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: connections whose request is coming, oldest first
        self._coming: dict[Any, Coming] = {}
        self._gathered = 0
        self._open: Counter[str] = Counter()
        self._shed = 0
        self._told_at = 0.0
        #: until when what is coming may still come (monotonic), once this process is to stop
        self._stop_by = float("inf")

    # --- in the main thread -------------------------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection; its first request is gathered."""
        try:
            peer, address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        conn = gthread.TConn(self.cfg, peer, address, listener.getsockname())
        self.nr_conns += 1
        host = self._counted(conn)
        self._open[host] += 1
        if host and self._open[host] > MAX_PER_ADDRESS:
            self._end(conn)
            return
        self._begin(conn, FIRST_BYTE_S)

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """A kept connection brings its next request."""
        self.poller.unregister(client)
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
            return
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
        if whole or not data:
            self._leave(conn)
            if not coming.data:
                self._end(conn)
                return
            conn.request = bytes(coming.data)
            conn.data_ready = True
            conn.whole_at = time.monotonic()
            self.enqueue_req(conn)
        elif self._gathered > MAX_GATHERED:
            self._drop(next(iter(self._coming)))

    def _leave(self, conn: Any) -> None:
        """The connection is no longer gathered."""
        self._gathered -= len(self._coming.pop(conn).data)
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)

    def _drop(self, conn: Any) -> None:
        """End a request that does not become whole; who has sent a head is told to come again."""
        has_head = bool(self._coming[conn].body_at)
        self._leave(conn)
        if has_head:
            self._count_shed("they came too slowly")
            with suppress(OSError):
                conn.sock.send(SHED)
        self._end(conn)

    def _end(self, conn: Any) -> None:
        self.nr_conns -= 1
        self._forget(conn)
        conn.close()

    def murder_pending(self) -> None:
        """End what did not come in time; called every second. Where connections run out, the oldest make room."""
        now = time.monotonic()
        if not self.alive:
            self._stop_by = min(self._stop_by, now + STOPPING_S)
        room = self.worker_connections // 10 if self.nr_conns >= self.worker_connections else 0
        for number, (conn, coming) in enumerate(list(self._coming.items())):
            late = now >= min(coming.deadline, self._stop_by)
            if late or number < room or (not self.alive and not coming.data):
                self._drop(conn)
        super().murder_pending()

    def finish_request(self, conn: Any, fs: Any) -> None:
        """The end of a request: its connection is idle, or the next request has begun to come, or it has ended."""
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
            self._count_shed(f"they had waited for more than {PATIENCE_S:g} s")
            conn.sock.setblocking(True)
            with suppress(OSError):
                conn.sock.sendall(SHED)
            keep: Any = False
        else:
            conn.init()
            conn.parser.unreader.unread(data)
            keep = super().handle(conn)
            if keep:
                conn.rest = conn.parser.unreader.take_buffered()
        if not keep:
            _linger(conn.sock, LINGER_S)
        return keep

    def _count_shed(self, why: str) -> None:
        """One line every ten seconds, not one for each."""
        self._shed += 1
        now = time.monotonic()
        if now - self._told_at >= 10:
            log.warning("told %d requests to come again: %s", self._shed, why)
            self._told_at, self._shed = now, 0


def _is_probe(data: bytes) -> bool:
    """Whether somebody asks if this process lives: that is answered, however late it is."""
    return data.startswith((b"GET /healthz ", b"GET /readyz "))


def _linger(connection: socket.socket, seconds: float) -> None:
    """Let the peer read the answer: a socket closed with unread bytes in it is reset.

    gunicorn would do this in its main thread, up to 2 s for each peer that does not close its side
    (`gthread.finish_request`, `util.close_graceful`); now it finds nothing to wait for.
    """
    until = time.monotonic() + seconds
    with suppress(OSError):  # the peer is gone, or silent to the end
        connection.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                break
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)

"""gunicorn's settings, and what must hold before it serves: rules, secrets and schema. Read by `gunicorn wsgi:app`.

Settings: https://docs.gunicorn.org/en/stable/settings.html
"""

import os
import signal
import socket
import struct
import time
from contextlib import suppress

from gunicorn.workers import gthread

import wsgi
from router.cli.context import guarded
from router.cli.serving import prepare
from router.logs import logging_config

workers = int(os.environ.get("WEB_CONCURRENCY", "1"))
threads = int(os.environ.get("WEB_THREADS", "24"))
#: seconds for the requests that are open at SIGTERM; platforms kill after ten
graceful_timeout = 8
keepalive = 15
#: it would open a socket file and a thread in the parent
control_socket_disable = True
forwarded_allow_ips = "127.0.0.1,::1"
limit_request_line = 4094
limit_request_fields = 100
limit_request_field_size = 8190
logconfig_dict = logging_config()
#: heartbeat files in memory: a slow disk must not look like a dead worker
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108  # gunicorn makes a private file in it

#: seconds a connection may be silent in the middle of a request; half a header would hold its thread for ever
SILENCE_S = 3
#: seconds for a peer to close its side after the last answer
LINGER_S = 0.5


#: seconds a thread waits for the first byte of a connection before the poller does; gunicorn's own five let two dozen
#: idle connections stop everything
gthread.DEFAULT_WORKER_DATA_TIMEOUT = 1.0


class Worker(gthread.ThreadWorker):
    """gthread whose last wait for a peer is not the whole worker's.

    gunicorn 27.0 lingers after `Connection: close` in its main thread, up to 2 s for each peer that does not close its
    side (`gthread.finish_request`, `util.close_graceful`): nobody else is accepted meanwhile. Here the request's own
    thread lingers, and the main thread finds nothing to wait for.
    """

    def handle(self, conn):
        """Serve one request; if the connection ends with it, end it here."""
        keep = super().handle(conn)
        if not keep:
            _linger(conn.sock, LINGER_S)
        return keep


def _linger(connection, seconds):
    """Let the peer read the answer: a socket closed with unread bytes in it is reset."""
    until = time.monotonic() + seconds
    with suppress(OSError):  # the peer is gone, or silent to the end
        connection.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                break
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)


worker_class = Worker


@guarded
def _prepare() -> None:
    prepare(wsgi.app.settings, wsgi.app.rules)


def on_starting(server):
    """In the parent, before any worker. What is wrong is printed and ends it with 2, or it would respawn for ever."""
    _prepare()


def when_ready(server):
    """Accepted connections inherit the listener's receive timeout (`man 7 socket`)."""
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", SILENCE_S, 0))


def on_reload(server):
    """SIGHUP: new workers get the new rules, or the last that ran if the new are refused."""
    wsgi.app.rules.reload()


def post_worker_init(worker):
    """In the worker: make the application before the first request, and say at SIGTERM that this process ends."""
    health = wsgi.app.flask().extensions["router.health"]
    stop = signal.getsignal(signal.SIGTERM)

    def drain(number, frame):
        health.draining = True
        stop(number, frame)

    signal.signal(signal.SIGTERM, drain)


def worker_exit(server, worker):
    """What waits to be written is written, and the connections are closed."""
    wsgi.app.close()

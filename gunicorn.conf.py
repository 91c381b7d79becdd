"""gunicorn's settings, and what must hold before it serves: rules, secrets and schema. Read by `gunicorn wsgi:app`.

Settings: https://docs.gunicorn.org/en/stable/settings.html
"""

import os
import resource
import signal
import socket
import struct

import wsgi
from router.cli.context import guarded
from router.cli.serving import prepare
from router.logs import logging_config
from router.web.peer import Proxies
from router.web.worker import LOOPBACK, SEND_S, Worker

#: files for the store, rules and calls, beside those of connections
SPARE_FILES = 200


def _connections() -> int:
    """As many as the limit of open files allows, which is raised if it may be; at most 1,000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_000 + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return 1_000 if soft == resource.RLIM_INFINITY else min(1_000, max(soft - SPARE_FILES, 50))


workers = int(os.environ.get("WEB_CONCURRENCY", "1"))
threads = int(os.environ.get("WEB_THREADS", "24"))
worker_connections = _connections()
#: seconds for the requests that are open at SIGTERM; platforms kill after ten
graceful_timeout = 8
keepalive = 15
#: it would open a socket file and a thread in the parent
control_socket_disable = True
forwarded_allow_ips = "127.0.0.1,::1"
#: no header of a request is its path
forwarder_headers = ""
limit_request_line = 4094
limit_request_fields = 100
limit_request_field_size = 8190
logconfig_dict = logging_config()
#: heartbeat files in memory: a slow disk must not look like a dead worker
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108  # gunicorn makes a private file in it

#: seconds a body that a thread reads may be silent
SILENCE_S = 3

worker_class = Worker


@guarded
def _prepare() -> None:
    prepare(wsgi.app.settings, wsgi.app.rules)
    Worker.trusted = (*LOOPBACK, *Proxies(wsgi.app.settings.trusted_proxies).networks)


def on_starting(server):
    """In the parent, before any worker. What is wrong is printed and ends it with 2, or it would respawn for ever."""
    _prepare()


def when_ready(server):
    """Accepted connections inherit the listener's timeouts (`man 7 socket`)."""
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", SILENCE_S, 0))
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_S, 0))


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

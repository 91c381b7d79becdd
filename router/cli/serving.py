"""`serve`, `work`, `migrate`: the processes that run."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import click

from router import settings as environment
from router.cli.context import (
    guarded,
    has_schema,
    last_rules,
    open_current_store,
    read_settings,
    require_schema,
    router_key,
    setup_logging,
    stop,
    store_name,
)
from router.dispatch.rules import LOOK_S, Rules, load_project, require_secrets
from router.dispatch.worker import Crew, Worker
from router.errors import ConfigError, StoreError
from router.nearest import suggestion
from router.settings import Settings
from router.store import migrations

#: the directory that holds `wsgi.py` and `gunicorn.conf.py`
ROOT = Path(__file__).resolve().parent.parent.parent


def prepare(settings: Settings, rules: Rules | None = None) -> None:
    """What must hold before anything is served: rules (these on the disk, else the last that ran), secrets and schema.

    Raises `ConfigError`, `RuleErrors`.
    """
    (rules or _rules(settings)).start()
    router_key(settings)
    if settings.database_url.startswith("sqlite:"):
        migrations.upgrade(settings.database_url)
    else:
        require_schema(settings)


def _rules(settings: Settings) -> Rules:
    return Rules(settings, role="worker", last=lambda: last_rules(settings))


@click.command()
@click.option(
    "--slots", type=click.IntRange(1, 256), help="Calls at a time per destination (default: the destination's)."
)
@click.option("--destination", "only", multiple=True, help="Send to these only. Repeat for several.")
@click.option("--dev", is_flag=True, help="Development: time scale, private destinations.")
@guarded
def work(slots: int | None, only: tuple[str, ...], dev: bool) -> None:
    """Route what the web has stored and send what is due. Run one or many."""
    _set_dev(dev)
    setup_logging()
    settings = read_settings()
    rules = _rules(settings)
    project = rules.start()
    unknown = set(only) - set(project.destinations)
    if unknown:
        name = sorted(unknown)[0]
        stop(f"no destination {name!r}; {suggestion(name, project.destinations)}")
    store = open_current_store(settings, "worker")
    key = router_key(settings)
    ended, again = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    signal.signal(signal.SIGHUP, lambda *_: again.set())
    crew = Crew(lambda project: Worker(store, project, settings, key=key, slots=slots, only=only))
    crew.change(project)
    rules.record_to(store)
    click.echo(f"worker {os.getpid()} ready", err=True)
    while not ended.wait(LOOK_S):
        _follow(rules, crew, again)
    if crew.stop():
        store.close()
    else:
        click.echo("some calls were cut: their lanes are taken up again when their lease lapses", err=True)
        os._exit(0)  # a call that will not end must not keep the process


def _follow(rules: Rules, crew: Crew, again: threading.Event) -> None:
    """Take the rules over when their directory has changed, or `again` says so."""
    if again.is_set():
        again.clear()
        rules.reload()
    else:
        rules.look()
    if rules.project.revision == crew.revision:
        return
    try:
        crew.change(rules.project)
    except StoreError as error:
        click.echo(f"the new rules wait, as the store is away: {error}", err=True)
    else:
        click.echo(f"worker {os.getpid()} runs the rules {crew.revision}", err=True)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, help="Port (default: $PORT or 8000).")
@click.option("--workers", type=click.IntRange(0, 64), default=1, show_default=True, help="Worker processes.")
@click.option("--slots", type=click.IntRange(1, 256), help="Calls at a time per destination and worker.")
@click.option("--dev", is_flag=True, help="Development: time scale, private destinations.")
@guarded
def serve(host: str, port: int | None, workers: int, slots: int | None, dev: bool) -> None:
    """Run web and workers together on one machine."""
    _set_dev(dev)
    if port is not None:
        os.environ["PORT"] = str(port)
    setup_logging()
    settings = read_settings()
    prepare(settings)
    _require_port(host, settings.port)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    web = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "-b", f"{host}:{settings.port}"]
    worker = [sys.executable, "-m", "router", "work", *(["--slots", str(slots)] if slots else [])]
    children = [Child("web", [*web, "wsgi:app"], environment)]
    children += [Child(f"worker {n + 1}", worker, environment) for n in range(workers)]
    click.echo(f"router on http://{host}:{settings.port}, {workers} worker(s), store {store_name(settings)}", err=True)
    sys.exit(supervise(children))


def _require_port(host: str, port: int) -> None:
    """Raise `ConfigError` if nothing can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise ConfigError(f"{host}:{port} cannot be had: {error.strerror}; choose another with --port") from None


@dataclass
class Child:
    """A process that is started again when it dies."""

    name: str
    command: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    #: not started again before this time (monotonic)
    not_before: float = 0.0
    failures: int = field(default=0)

    def keep_alive(self, now: float) -> None:
        """Start it if it is not running, at most once a second at first, then ever slower."""
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return
            if code == 0:  # it was asked to
                self.process, self.not_before = None, now
                return
            self.failures = 0 if now - self.started > 60 else self.failures + 1
            self.not_before = now + 2.0 ** min(self.failures, 5)
            click.echo(f"{self.name} ended with {code}: starting it again", err=True)
            self.process = None
        if now >= self.not_before:
            self.started = now
            self.process = subprocess.Popen(  # noqa: S603  # our own command
                self.command,
                env=self.environment,
                preexec_fn=_die_with_parent,  # no thread runs here
            )


def _die_with_parent() -> None:
    """Linux: a child is told to stop when this process dies, however it dies (`man 2 prctl`, PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def supervise(children: list[Child], patience_s: float = 9.0) -> int:
    """Keep the children running until SIGTERM or SIGINT, pass it on, and wait. 0 if all ended by themselves."""
    ended, again = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    signal.signal(signal.SIGHUP, lambda *_: again.set())
    while not ended.is_set():
        if again.is_set():
            again.clear()
            _reload(children)
        now = time.monotonic()
        for child in children:
            child.keep_alive(now)
        ended.wait(0.2)
    running = [child.process for child in children if child.process is not None and child.process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + patience_s
    killed = 0
    for process in running:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    return 1 if killed else 0


def _reload(children: list[Child]) -> None:
    """SIGHUP: web and workers take the new rules over; if they are refused, nothing changes."""
    try:
        require_secrets(load_project(environment.read_settings()))
    except ConfigError as error:
        click.echo(f"the rules are refused, the old ones stay:\n{error}", err=True)
        return
    click.echo("loading the rules again", err=True)
    for child in children:
        if child.process is not None and child.process.poll() is None:
            child.process.send_signal(signal.SIGHUP)


@click.command()
@click.option("--check", is_flag=True, help="Change nothing: exit 1 if the schema is not up to date.")
@click.option("--sql", is_flag=True, help="Print the SQL instead of running it.")
@guarded
def migrate(check: bool, sql: bool) -> None:
    """Bring the store's schema up to this version."""
    settings = read_settings()
    if check:
        current = has_schema(settings)
        click.echo("up to date" if current else "not up to date")
        sys.exit(0 if current else 1)
    if sql:
        click.echo(migrations.script(settings.database_url))
        return
    migrations.upgrade(settings.database_url)
    click.echo(f"schema up to date: {store_name(settings)}")


def _set_dev(dev: bool) -> None:
    if dev:
        os.environ["ROUTER_DEV"] = "1"

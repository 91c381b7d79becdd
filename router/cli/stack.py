"""A whole router on this machine, on free ports, against the sandbox: what the demo and the process tests run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from router import settings as environment
from router.cli.context import open_current_store
from router.cli.fakes import environment as variables
from router.cli.fakes import fake_environment, sandbox_destinations
from router.cli.serving import ROOT
from router.dispatch.rules import load_project
from router.errors import ConfigError, TransportError
from router.http import Door
from router.model import Call
from router.sandbox import Sandbox
from router.settings import Settings
from router.store.base import Store


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """Sandbox in this process, web and workers beside it. A context manager; nothing is left running after it."""

    def __init__(
        self,
        rules: Path,
        directory: Path,
        *,
        workers: int = 1,
        database_url: str | None = None,
        extra: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        """`directory` holds the store and the log. `extra` is added to the environment."""
        self.directory = directory
        self.workers = workers
        self.log = directory / "router.log"
        self.process: subprocess.Popen[bytes] | None = None
        port = port or free_port()
        self.environment = {
            "DATABASE_URL": database_url or f"sqlite:///{directory / 'router.db'}",
            "ROUTER_RULES": str(rules.resolve()),
            "ROUTER_KEY": "sandbox-not-a-secret-router-key-0123456789",
            "PORT": str(port),
            "ROUTER_URL": f"http://127.0.0.1:{port}",
            "ROUTER_DEV": "1",
            **(extra or {}),
        }
        bare = load_project(Settings(rules=rules), reveal=str)
        self.environment |= fake_environment(bare)
        with variables(self.environment):
            self.sandbox = Sandbox(sandbox_destinations(bare))
        self.door = Door(dev=True)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.enter_context(self.sandbox)
            self.environment["ROUTER_SANDBOX"] = self.sandbox.url
            opening.enter_context(variables(self.environment))
            opening.callback(self.door.close)
            self.settings = environment.read_settings()
            self.project = load_project(self.settings)
            opening.callback(self.stop)
            self.start()
            self.store: Store = open_current_store(self.settings)
            opening.callback(self.store.close)
            self._open = opening.pop_all()
        return self

    def start(self) -> None:
        """Start web and workers, and wait until webhooks can be stored. Raises `ConfigError` with the log's end."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  # our own command
                [sys.executable, "-m", "router", "serve", "--workers", str(self.workers)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            if self._is_ready():
                return
            time.sleep(0.05)
        raise ConfigError("the router did not start:\n" + self.log.read_text("utf-8", "replace")[-2000:])

    def _is_ready(self) -> bool:
        call = Call("GET", f"{self.settings.url}/readyz")
        try:
            return self.door.send(call, session="ready", timeout_s=2.0).status == 200
        except TransportError:
            return False

    def stop(self) -> int | None:
        """Stop web and workers as a platform does. Their exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(12)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            code = self.process.wait()
        self.process = None
        return code

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

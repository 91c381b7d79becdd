"""`gunicorn wsgi:app`: the web process. Importing this opens nothing; the application is made in the worker process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from flask import Flask

from router.cli.context import last_rules
from router.dispatch.rules import LOOK_S, Rules
from router.settings import Settings, read_settings
from router.store.base import Store
from router.store.store import open_store
from router.web import create_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


log = logging.getLogger(__name__)


class Web:
    """The WSGI application. Makes Flask's at the first request, or when told to, and so after every fork."""

    def __init__(self) -> None:
        self._flask: Flask | None = None
        self._store: Store | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()

    @cached_property
    def settings(self) -> Settings:
        """The environment. Raises `ConfigError`."""
        return read_settings()

    @cached_property
    def rules(self) -> Rules:
        """The rules of this process; a worker process inherits what its parent had loaded. Raises `ConfigError`."""
        return Rules(self.settings, role="web", last=lambda: last_rules(self.settings))

    def flask(self) -> Flask:
        """Flask's application of this process. Raises `ConfigError`."""
        with self._lock:
            if self._flask is None:
                self.rules.start()
                self._store = open_store(self.settings.database_url, role="web", listen_url=self.settings.listen_url)
                self.rules.record_to(self._store)
                self._flask = create_app(
                    self.rules.sources,
                    self._store,
                    self.settings,
                    warnings=self.rules.warnings,
                    revisions=self.rules.state,
                    removed=self.rules.removed,
                )
                threading.Thread(target=self._watch, name="rules", daemon=True).start()
            return self._flask

    def close(self) -> None:
        """Let what waits be written, and close the store of this process."""
        self._closed.set()
        if self._store is not None:
            self._store.close()

    def _watch(self) -> None:
        """Take the rules over when their directory changes."""
        while not self._closed.wait(LOOK_S):
            try:
                self.rules.look()
            except Exception:  # the thread goes on: the next change may be read
                log.exception("looking at the rules broke")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return (self._flask or self.flask())(environ, start_response)


app = Web()

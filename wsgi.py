"""`gunicorn wsgi:app`: the web process. Importing this opens nothing; the application is made in the worker process."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

from router.cli.context import load_project, require_secrets
from router.ruleset import Project
from router.settings import read_settings
from router.store.base import Store
from router.store.store import open_store
from router.web import Rules, create_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def load() -> Project:
    """The rules on the disk, with all their secrets. Raises `ConfigError`."""
    project = load_project(read_settings())
    require_secrets(project)
    return project


class Web:
    """The WSGI application. Makes Flask's at the first request, or when told to, and so after every fork."""

    def __init__(self) -> None:
        self.rules = Rules(load)
        self._flask: Flask | None = None
        self._store: Store | None = None
        self._lock = threading.Lock()

    def flask(self) -> Flask:
        """Flask's application of this process. Raises `ConfigError`."""
        with self._lock:
            if self._flask is None:
                settings = read_settings()
                self.rules.project()
                self._store = open_store(settings.database_url, role="web", listen_url=settings.listen_url)
                self._flask = create_app(self.rules.sources, self._store, settings, warnings=self.rules.warnings)
            return self._flask

    def close(self) -> None:
        """Let what waits be written, and close the store of this process."""
        if self._store is not None:
            self._store.close()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return (self._flask or self.flask())(environ, start_response)


app = Web()

"""`/healthz`: the process lives. `/readyz`: 503 only while webhooks cannot be stored; reason codes, nothing else."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flask import Response, jsonify
from sqlalchemy import literal, select

from router.errors import StoreError
from router.settings import Settings
from router.store import migrations
from router.store.base import Store

log = logging.getLogger(__name__)

#: seconds an answer of the store is good for
_FRESH_S = 1.0
_SCHEMA_FRESH_S = 15.0
#: seconds that an event which could not be stored makes us not ready
_FAILURE_S = 5.0
#: bytes that must be free beside an embedded store
_FREE_BYTES = 16 * 1024 * 1024


class Health:
    """Looks at the store when asked, at most once a second."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        warnings: Callable[[], Sequence[str]],
        revisions: Callable[[], Mapping[str, str]],
        failed_at: Callable[[], float],
    ) -> None:
        """`revisions` says which rules run; `failed_at` is when an event last could not be stored (monotonic)."""
        self._store = store
        self._url = settings.database_url
        self._warnings = warnings
        self._revisions = revisions
        self._failed_at = failed_at
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._schema_at = float("-inf")
        self._found: list[str] = []
        #: set at SIGTERM
        self.draining = False

    def alive(self) -> Response:
        """`/healthz`."""
        return Response("ok\n", content_type="text/plain")

    def ready(self) -> tuple[Response, int]:
        """`/readyz`."""
        reasons = self.reasons()
        body = jsonify(ready=not reasons, reasons=reasons, warnings=list(self._warnings()), **self._revisions())
        return body, 503 if reasons else 200

    def reasons(self) -> list[str]:
        """Why webhooks cannot be stored now: codes, none if they can."""
        now = time.monotonic()
        with self._lock:
            if now - self._looked_at >= _FRESH_S:
                self._found = self._look(now)
                self._looked_at = time.monotonic()
            found = list(self._found)
        if not found and now - self._failed_at() < _FAILURE_S:
            found = ["store_down"]
        return [*found, "draining"] if self.draining else found

    def _look(self, now: float) -> list[str]:
        try:
            if now - self._schema_at >= _SCHEMA_FRESH_S:
                if not migrations.is_current(self._url):
                    return ["schema_mismatch"]
                self._schema_at = now
            with self._store.read() as tx:
                tx.execute(select(literal(1)))
        except StoreError as error:
            log.warning("not ready: %s", error)
            return ["store_down"]
        return ["disk_full"] if self._is_full() else []

    def _is_full(self) -> bool:
        if not self._url.startswith("sqlite:///"):
            return False
        directory = Path(self._url.removeprefix("sqlite:///")).resolve().parent
        try:
            return shutil.disk_usage(directory).free < _FREE_BYTES
        except OSError:
            return True

"""What is done about refused webhooks: a row and a log line, but never so many that a stranger fills the store; and an
address that fails again and again is told to wait before its next signature is computed."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from router.errors import StoreError, WebhookError
from router.store import refusals
from router.store.base import Store
from router.web.peer import Peer

log = logging.getLogger(__name__)

_UNPRINTABLE = re.compile(r"[^ -~]")
_MAX_KEYS = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    #: how often it was empty since it last was not
    missed: int = 0


@dataclass(slots=True)
class Buckets:
    """A token bucket per key: `burst` at once, then `per_s` a second. Remembers the keys used last."""

    burst: float
    per_s: float
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: str, now: float) -> int | None:
        """Use one token: how many were refused since the last one, or None if there is none. `now` is monotonic."""
        with self._lock:
            bucket = self._refilled(key, now)
            if bucket.tokens < 1:
                bucket.missed += 1
                return None
            bucket.tokens -= 1
            missed, bucket.missed = bucket.missed, 0
            return missed

    def is_empty(self, key: str, now: float) -> bool:
        """Whether a key that was used has no token left."""
        if key not in self._buckets:
            return False
        with self._lock:
            return self._refilled(key, now).tokens < 1

    def _refilled(self, key: str, now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self.burst, now)
            if len(self._buckets) > _MAX_KEYS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
            bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.at) * self.per_s)
            bucket.at = now
        return bucket


class Refusals:
    """Records refusals: per source ten at once, then one a second; the next row says how many were left out. Of some it
    says more, which costs: for all sources together ten at once, then one a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows = Buckets(10, 1)
        self._searches = Buckets(10, 1)

    def _found(self, advice: Callable[[], str]) -> str:
        if self._searches.take("", time.monotonic()) is None:
            return ""
        try:
            return advice()
        except Exception:  # the request is refused already, and may be anything
            log.exception("what to advise on a refused webhook could not be found out")
            return ""

    def record(
        self,
        source: str,
        error: WebhookError,
        peer: Peer,
        environ: Mapping[str, Any],
        size: int,
        advice: Callable[[], str] | None = None,
    ) -> None:
        """`size` is the bytes that were read. `advice` finds out what the operator could do. Never raises for a store
        that is away, or for `advice`: the log has it."""
        missed = self._rows.take(source, time.monotonic())
        if missed is None:
            return
        more = "" if advice is None else self._found(advice)
        detail = "; ".join(filter(None, [str(error), more])) + (f" (and {missed} refusals before it)" if missed else "")
        log.warning("refused a webhook of %s with %d %s: %s", source, error.status, error.reason, detail)
        try:
            self._store.write(
                lambda tx: refusals.record(
                    tx,
                    source,
                    time.time_ns() // 1000,
                    status=error.status,
                    reason=error.reason,
                    detail=detail[:500],
                    size=size,
                    address=peer.address,
                    user_agent=_UNPRINTABLE.sub("?", environ.get("HTTP_USER_AGENT", ""))[:200],
                ),
                timeout_s=1.0,
            )
        except StoreError as trouble:
            log.warning("the refusal was not stored: %s", trouble)

"""Keys that live at a URL: key sets and certificates, cached with the limits that keep strangers from driving us.

A key set is kept for 10 minutes and served on while it cannot be had again; a key id that is not in it makes us look
again, at most every 30 seconds. The clock is an argument; fetching is the caller's.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from router.errors import MalformedError, SignatureError, TransportError, UpstreamError
from router.sources.jsontext import decode_json
from router.sources.schemes.base import Fetcher

MAX_BYTES = 65_536
FRESH = timedelta(minutes=10)
#: least time between two fetches because of an unknown key id
UNKNOWN_GAP = timedelta(seconds=30)
#: least time between two fetches after one that failed
FAILED_GAP = timedelta(seconds=5)

#: most fetches in a minute of certificates that are not known yet: strangers choose their URLs
STRANGE_A_MINUTE = 10

T = TypeVar("T")
V = TypeVar("V")


def fetch_bytes(fetch: Fetcher | None, url: str) -> bytes:
    """What is at `url`, from its own host only. Raises `UpstreamError`."""
    if fetch is None:
        raise UpstreamError("nothing here may fetch what verification needs")
    try:
        return fetch(url, frozenset({urlsplit(url).hostname or ""}), MAX_BYTES)
    except TransportError as error:
        raise UpstreamError(f"{urlsplit(url).hostname} cannot be reached") from error


class KeySet(Generic[T]):
    """The keys at one URL, by key id."""

    def __init__(self, url: str, read: Callable[[Mapping[str, Any]], T]) -> None:
        """`read` makes a key of one JWK; a `ValueError` leaves it out."""
        self._url = url
        self._read = read
        self._lock = threading.Lock()
        self._keys: dict[str, T] = {}
        self._fetched_at: datetime | None = None
        self._failed_at: datetime | None = None

    def key(self, key_id: str, now: datetime, fetch: Fetcher | None) -> T:
        """The key of that id. Raises `SignatureError` if there is none, `UpstreamError` if that cannot be known."""
        keys = self._keys
        if key_id in keys and self._fetched_at is not None and now - self._fetched_at < FRESH:
            return keys[key_id]
        # one thread looks; the others go on with what is known, and wait if nothing is
        looking = self._lock.acquire(blocking=not keys)
        if looking:
            try:
                self._refresh(key_id, now, fetch)
            finally:
                self._lock.release()
        if key_id in self._keys:
            return self._keys[key_id]
        if not looking or self._failed_at is not None:
            raise UpstreamError("the key set cannot be had now")
        raise SignatureError("no such key in the key set")

    def _refresh(self, key_id: str, now: datetime, fetch: Fetcher | None) -> None:
        since_fetch = None if self._fetched_at is None else now - self._fetched_at
        if since_fetch is not None and since_fetch < (FRESH if key_id in self._keys else UNKNOWN_GAP):
            return
        if self._failed_at is not None and now - self._failed_at < FAILED_GAP:
            return
        try:
            self._keys = self._parse(fetch_bytes(fetch, self._url))
        except UpstreamError:
            self._failed_at = now
        else:
            self._fetched_at, self._failed_at = now, None

    def _parse(self, raw: bytes) -> dict[str, T]:
        try:
            document = decode_json(raw)
        except MalformedError as error:
            raise UpstreamError("the key set is not JSON") from error
        keys = read_jwks(document, self._read)
        if not keys:
            raise UpstreamError("the key set holds no key that can be used")
        return keys


def read_jwks(document: Any, read: Callable[[Mapping[str, Any]], T]) -> dict[str, T]:
    """The usable signing keys of a JWKS (https://www.rfc-editor.org/rfc/rfc7517#section-5), by key id."""
    keys: dict[str, T] = {}
    entries = document.get("keys") if isinstance(document, Mapping) else None
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("kid"), str) or entry.get("use") == "enc":
            continue
        try:
            keys[entry["kid"]] = read(entry)
        except ValueError:
            continue
    return keys


class Certificates(Generic[T]):
    """Certificates by URL: the few that were used last, and which URLs failed just now."""

    _MOST = 16

    def __init__(self, read: Callable[[bytes], T]) -> None:
        """`read` makes a certificate of its bytes; a `ValueError` means that it is none."""
        self._read = read
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[T, datetime]] = OrderedDict()
        self._failed: OrderedDict[str, datetime] = OrderedDict()
        #: when certificates that were not known were asked for
        self._strange: deque[datetime] = deque(maxlen=STRANGE_A_MINUTE)

    def get(self, url: str, now: datetime, fetch: Fetcher | None) -> T:
        """The certificate at `url`, which the caller has checked. Raises `UpstreamError`."""
        with self._lock:
            known, failed_at = self._known.get(url), self._failed.get(url)
        if known is not None and now - known[1] < FRESH:
            return known[0]
        if (failed_at is None or now - failed_at >= FAILED_GAP) and (known is not None or self._may_ask(now)):
            try:
                certificate = self._read(fetch_bytes(fetch, url))
            except (UpstreamError, ValueError):
                self._remember(self._failed, url, now)
            else:
                self._remember(self._known, url, (certificate, now))
                return certificate
        if known is not None:
            return known[0]
        raise UpstreamError("the signing certificate cannot be had now")

    def _may_ask(self, now: datetime) -> bool:
        """Whether one more certificate that is not known may be asked for; it is counted."""
        with self._lock:
            if len(self._strange) == STRANGE_A_MINUTE and now - self._strange[0] < timedelta(minutes=1):
                return False
            self._strange.append(now)
            return True

    def _remember(self, store: OrderedDict[str, V], url: str, value: V) -> None:
        with self._lock:
            store[url] = value
            store.move_to_end(url)
            while len(store) > self._MOST:
                store.popitem(last=False)

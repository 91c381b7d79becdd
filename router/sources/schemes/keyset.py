"""Keys that live at a URL: key sets and certificates, cached with the limits that keep strangers from driving us.

What is known is kept for 10 minutes and served on while it cannot be had again; a key id that is not in a set makes us
look again, at most every 30 seconds. One thread looks, the others go on with what is known, and where nothing is few of
them wait, and not long: a fetch may hang, and threads are there for all sources. The clock is an argument; fetching is
the caller's.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from ipaddress import IPv6Network
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from router.addresses import is_public, literal
from router.errors import MalformedError, SignatureError, TransportError, UnknownCertificate, UpstreamError
from router.sources.jsontext import decode_json
from router.sources.schemes.base import Fetcher

MAX_BYTES = 65_536
FRESH = timedelta(minutes=10)
#: least time between two fetches because of an unknown key id
UNKNOWN_GAP = timedelta(seconds=30)
#: least time between two fetches after one that failed
FAILED_GAP = timedelta(seconds=5)

#: most threads that wait for one fetch, and how long
WAITERS, PATIENCE_S = 2, 1.0

#: most fetches in a minute of certificates that are not known yet, for one address and in all, and most at once:
#: strangers choose their URLs
OF_ONE_ADDRESS, STRANGE_A_MINUTE, STRANGE_AT_ONCE = 10, 60, 4

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


class _Flight:
    """A fetch under way."""

    def __init__(self) -> None:
        self._landed = threading.Event()
        self._places = threading.Semaphore(WAITERS)

    def land(self) -> None:
        self._landed.set()

    def wait(self) -> bool:
        """Whether it landed, after a wait that is short, and none where all places are taken."""
        return self._places.acquire(blocking=False) and self._landed.wait(PATIENCE_S)


class KeySet(Generic[T]):
    """The keys at one URL, by key id."""

    def __init__(self, url: str, read: Callable[[Mapping[str, Any]], T]) -> None:
        """`read` makes a key of one JWK; a `ValueError` leaves it out."""
        self._url = url
        self._read = read
        self._lock = threading.Lock()
        self._flight: _Flight | None = None
        self._keys: dict[str, T] = {}
        self._fetched_at: datetime | None = None
        self._failed_at: datetime | None = None

    def key(self, key_id: str, now: datetime, fetch: Fetcher | None) -> T:
        """The key of that id. Raises `SignatureError` if there is none, `UpstreamError` if that cannot be known."""
        with self._lock:
            flight, mine = self._flight, None
            if flight is None and self._is_due(key_id, now):
                mine = self._flight = _Flight()
        if mine is not None:
            self._look(mine, now, fetch)
        elif flight is not None and not self._keys and flight.wait():
            flight = None
        if key_id in self._keys:
            return self._keys[key_id]
        if flight is not None or self._failed_at is not None:
            raise UpstreamError("the key set cannot be had now")
        raise SignatureError("no such key in the key set")

    def _is_due(self, key_id: str, now: datetime) -> bool:
        if self._fetched_at is not None and now - self._fetched_at < (FRESH if key_id in self._keys else UNKNOWN_GAP):
            return False
        return self._failed_at is None or now - self._failed_at >= FAILED_GAP

    def _look(self, flight: _Flight, now: datetime, fetch: Fetcher | None) -> None:
        try:
            self._keys = self._parse(fetch_bytes(fetch, self._url))
        except UpstreamError:
            self._failed_at = now
        else:
            self._fetched_at, self._failed_at = now, None
        finally:
            self._flight = None
            flight.land()

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
    """Certificates by URL: the few that were used last, and which URLs failed just now.

    Those that have verified a request are kept apart: whatever else strangers name does not push them out.
    """

    _MOST = 16

    def __init__(self, read: Callable[[bytes], T]) -> None:
        """`read` makes a certificate of its bytes; a `ValueError` means that it is none."""
        self._read = read
        self._lock = threading.Lock()
        self._proved: OrderedDict[str, tuple[T, datetime]] = OrderedDict()
        self._known: OrderedDict[str, tuple[T, datetime]] = OrderedDict()
        self._failed: OrderedDict[str, datetime] = OrderedDict()
        self._flights: dict[str, _Flight] = {}
        self._strangers = _Strangers()

    def get(self, url: str, now: datetime, fetch: Fetcher | None, asker: str) -> T:
        """The certificate at `url`, which the caller has checked, for a request from `asker`.

        Raises `UnknownCertificate`.
        """
        with self._lock:
            known = self._at(url)
            if known is not None and now - known[1] < FRESH:
                return known[0]
            flight, mine = self._flights.get(url), None
            if flight is None and self._may_look(url, known is not None, now, asker):
                mine = self._flights[url] = _Flight()
        if mine is not None:
            self._look(mine, url, now, fetch)
        elif flight is not None and known is None:
            flight.wait()
        with self._lock:
            known = self._at(url)
        if known is None:
            raise UnknownCertificate("the signing certificate cannot be had now")
        return known[0]

    def prove(self, url: str) -> None:
        """The certificate at `url` has verified a request."""
        with self._lock:
            known = self._at(url)
            if known is not None:
                self._known.pop(url, None)
                self._remember(self._proved, url, known)

    def _at(self, url: str) -> tuple[T, datetime] | None:
        return self._proved.get(url) or self._known.get(url)

    def _may_look(self, url: str, is_known: bool, now: datetime, asker: str) -> bool:
        """Whether a fetch may begin; one of a certificate that is not known is counted."""
        failed_at = self._failed.get(url)
        if failed_at is not None and now - failed_at < FAILED_GAP:
            return False
        return is_known or (len(self._flights) < STRANGE_AT_ONCE and self._strangers.let_in(asker, now))

    def _look(self, flight: _Flight, url: str, now: datetime, fetch: Fetcher | None) -> None:
        try:
            certificate = self._read(fetch_bytes(fetch, url))
        except (UpstreamError, ValueError):
            with self._lock:
                self._remember(self._failed, url, now)
        else:
            with self._lock:
                self._remember(self._proved if url in self._proved else self._known, url, (certificate, now))
        finally:
            with self._lock:
                del self._flights[url]
            flight.land()

    def _remember(self, store: OrderedDict[str, V], url: str, value: V) -> None:
        store[url] = value
        store.move_to_end(url)
        while len(store) > self._MOST:
            store.popitem(last=False)


class _Strangers:
    """Who asked in the last minute for what is not known."""

    def __init__(self) -> None:
        self._asked: deque[tuple[datetime, str]] = deque(maxlen=STRANGE_A_MINUTE)

    def let_in(self, address: str, now: datetime) -> bool:
        """Whether one more may be asked for; it is counted."""
        who, before = _home(address), now - timedelta(minutes=1)
        recent = [one for at, one in self._asked if at > before]
        if len(recent) >= STRANGE_A_MINUTE or (who and recent.count(who) >= OF_ONE_ADDRESS):
            return False
        self._asked.append((now, who))
        return True


def _home(address: str) -> str:
    """What one stranger has: an address of IPv4, a network of IPv6. Empty for an address that may be everybody's."""
    found = literal(address)
    if found is None or not is_public(address):
        return ""
    mapped = getattr(found, "ipv4_mapped", None) or found
    return str(mapped) if mapped.version == 4 else str(IPv6Network((int(mapped), 64), strict=False))

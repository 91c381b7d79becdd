"""How many verified events a source may bring in a time: beyond that its sender is told to come again."""

from __future__ import annotations

import threading

#: (most at once, per second)
Rate = tuple[int, float]


class Rates:
    """A token bucket per source, one token an event. A request is let in while there is a whole token, however many
    events it brings; what it takes too much is missing later."""

    def __init__(self, processes: int = 1) -> None:
        """The web processes of this host share each rate evenly."""
        self._processes = max(processes, 1)
        #: source → tokens and when they were counted (monotonic)
        self._tokens: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, source: str, rate: Rate, now: float) -> float:
        """Seconds until the source may bring something; 0: now. `now` is monotonic."""
        most, per_s = self._share(rate)
        with self._lock:
            tokens = self._count(source, most, per_s, now)
        return 0.0 if tokens >= 1 else (1 - tokens) / per_s

    def take(self, source: str, rate: Rate, events: int, now: float) -> None:
        """The source has brought so many events."""
        most, per_s = self._share(rate)
        with self._lock:
            self._tokens[source] = (self._count(source, most, per_s, now) - events, now)

    def _share(self, rate: Rate) -> tuple[float, float]:
        most, per_s = rate
        return max(most / self._processes, 1.0), per_s / self._processes

    def _count(self, source: str, most: float, per_s: float, now: float) -> float:
        tokens, at = self._tokens.get(source, (most, now))
        return min(most, tokens + (now - at) * per_s)

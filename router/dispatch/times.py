"""Every wait of the dispatcher, in one place, under one scale."""

from __future__ import annotations

import random
from dataclasses import dataclass

#: upper bound of the wait before try 2, 3, …; later tries use the last one
RETRY_STEPS_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 10_800.0, 21_600.0, 43_200.0)


@dataclass(frozen=True, slots=True)
class Times:
    """Waits in seconds at scale 1; the methods give them scaled. Ratios hold at any scale."""

    scale: float = 1.0
    #: how long a claimed lane belongs to its worker
    lease_s: float = 60.0
    #: what is kept back of a lease for settling
    margin_s: float = 5.0
    #: longest conversation
    conversation_s: float = 45.0
    #: a delivery gives up this long after its first failed call
    give_up_s: float = 72 * 3600.0
    #: wait of a `denied` destination before one lane is tried
    probe_s: float = 300.0
    #: longest wait between two looks at the store without a hint
    idle_s: float = 2.0
    #: the same while there was work a moment ago, at least and at most
    busy_s: tuple[float, float] = (0.1, 0.25)
    #: a stop waits this long for open calls, then cuts them; not scaled, since the platform's patience is not
    drain_s: float = 7.0

    def us(self, seconds: float) -> int:
        """Scaled seconds as whole microseconds."""
        return int(seconds * self.scale * 1_000_000)

    def seconds(self, seconds: float) -> float:
        return seconds * self.scale

    def retry_us(self, failures: int, rng: random.Random) -> int:
        """Wait after the n-th failed try in a row: full jitter, uniform up to the step, at least one second."""
        step = RETRY_STEPS_S[min(max(failures, 1), len(RETRY_STEPS_S)) - 1]
        return self.us(rng.uniform(1.0, step))

    def poll_s(self, *, busy: bool, rng: random.Random) -> float:
        """How long to wait for a hint before looking anyway."""
        return self.seconds(rng.uniform(*self.busy_s) if busy else self.idle_s)

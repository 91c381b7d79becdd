"""What bodies made to hurt cost the web process: `python -m tests.bench.bench_hostile`.

Each goes through the real handler, in this process, over a fresh SQLite store. Prints the answer, the processor time of
the whole process (median of five) and the most memory taken, beside the size of the body. The goal for a source with
the default limit of 1 MiB is 50 ms; at 25 MiB the digest of the body alone takes more. No test fails by time:
`tests/web/test_hostile_bodies.py` checks what keeps these figures low.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import tracemalloc

from router.store.migrations import upgrade
from tests.web.hostile import ENVIRONMENT, MIB, SOURCES, Hostile, Target, bodies

GOAL_MS = 50


def cpu_ms(target: Target, hostile: Hostile) -> float:
    """Processor time of one request, the store's thread included."""
    took = []
    for _ in range(5):
        environ = hostile.environ()
        before = time.process_time()
        status, _ = target.call(environ)
        took.append((time.process_time() - before) * 1000)
        if status != hostile.status:
            raise SystemExit(f"status {status}")
    return statistics.median(took)


def peak_mib(target: Target, hostile: Hostile) -> float:
    """The most memory that one request takes beside its body."""
    environ = hostile.environ()
    tracemalloc.start()
    target.call(environ)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / MIB


def main() -> None:
    os.environ.update(ENVIRONMENT)
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/router.db"
        upgrade(url)
        target = Target(url)
        over = 0
        print(f"{'body':<62} {'source':<10} {'MiB':>6} {'answer':>6} {'CPU ms':>7} {'MiB used':>8}")
        for name, hostile in bodies().items():
            cost = cpu_ms(target, hostile)
            small = int(SOURCES[hostile.source].get("max_bytes", MIB)) == MIB
            over += small and cost > GOAL_MS
            note = "" if cost <= GOAL_MS else "  over 50 ms" if small else "  limit of 25 MiB"
            size, used = len(hostile.body) / MIB, peak_mib(target, hostile)
            print(f"{name:<62} {hostile.source:<10} {size:>6.2f} {hostile.status:>6} {cost:>7.1f} {used:>8.1f}{note}")
        target.close()
    print(f"{over} of the sources with 1 MiB are over {GOAL_MS} ms")


if __name__ == "__main__":
    main()

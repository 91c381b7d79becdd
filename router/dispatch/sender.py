"""Send: one pump per destination claims lanes, hands them to its slots, and settles what they bring back.

The pump is one thread with one transaction per turn: it settles everything that has finished and claims for every free
slot. Slots are threads that converse. A destination that hangs fills its own slots and nobody else's.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from router.dispatch.claims import Batch, Bucket, Claim, Lane, Pending, claim
from router.dispatch.conversation import Send, Talk, converse, new_handle
from router.dispatch.settling import Judge, Verdict, was_sent
from router.errors import StoreError
from router.model import Outcome, OutcomeKind
from router.profile.codec import idempotency_key
from router.store import attempts, destinations, lanes
from router.store.base import Store
from router.store.rows import LaneRow, Settled

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from router.dispatch.times import Times
    from router.ruleset import Destination

log = logging.getLogger(__name__)

#: lanes claimed ahead for each slot while conversations are short, so that one transaction settles and claims many
AHEAD = 4
#: seconds a conversation may take on average for that
SHORT_S = 0.5
#: seconds a finished conversation waits for others to be settled with
LINGER_S = 0.02


@dataclass(slots=True)
class Work:
    """One slot's work: a batch of lanes, and until when its lease holds (monotonic seconds, less the margin)."""

    batch: Batch
    deadline: float
    #: when it was claimed, monotonic seconds
    claimed: float
    #: calls so far, over all conversations under this lease
    calls: int = 0
    #: calls that the claim has drawn from the token bucket
    drawn: int = 1


class Sender:
    """Brings the lanes of one destination to their newest state."""

    def __init__(
        self,
        store: Store,
        destination: Destination,
        send: Send,
        times: Times,
        *,
        slots: int,
        worker: str,
        secrets: Callable[[], list[str]] = list,
        rng: random.Random | None = None,
    ) -> None:
        self.name = destination.name
        #: leases that another worker took over before they were settled
        self.lost = 0
        self._store = store
        self._destination = destination
        self._send = send
        self._times = times
        self._slots = slots
        self._worker = worker
        self._secrets = secrets
        self._rng = rng or random.Random()
        self._bucket = Bucket.of(destination)
        self._judge = Judge(destination, times, worker, self._rng)
        self._todo: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._wake = threading.Condition()
        self._woken = True
        self._looking = True
        self._stopping = False
        self._finished: list[Verdict] = []
        #: when the destination last told us to wait or to go away (monotonic): what was claimed before that goes back
        self._turned_away = 0.0
        #: lanes of claims of which it is not known whether they were committed: they are given back with the next one
        self._doubtful: list[LaneRow] = []
        #: something could not be settled: its lease lapses
        self._unsettled = False
        #: conversations claimed and not finished: in the slots, and waiting for one
        self._busy = 0
        self._average_s = SHORT_S
        self._more = False
        self._poll_s = 0.0
        self._denied = False
        self._pump = threading.Thread(target=self._run, name=f"pump-{self.name}", daemon=True)

    # --- from outside ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._pump.start()

    def wake(self) -> None:
        """There may be work: look now."""
        with self._wake:
            self._woken = True
            self._wake.notify()

    def stop(self) -> None:
        """Claim nothing more. Open conversations go on; `join` waits for them."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def join(self, timeout_s: float) -> bool:
        """Wait until everything open has ended. False: time ran out, or something of it could not be settled."""
        if self._pump.ident is not None:
            self._pump.join(timeout_s)
        return not self._pump.is_alive() and not self._unsettled

    # --- the pump -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while True:
            finished, ended = self._wait(failures)
            if ended:
                break
            try:
                self._turn(finished, may_claim=not self._stopping)
                failures = 0
            except StoreError as error:
                failures += 1
                log.warning("destination %s: the store is away: %s", self.name, error)
                with self._wake:
                    self._finished[:0] = finished  # settled when it is back, or their lease lapses
            except Exception:  # a pump that dies would stop its destination without a word
                failures += 1
                log.exception("destination %s: a turn broke", self.name)
                self._settle_singly(finished)
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join()

    def _wait(self, failures: int) -> tuple[list[Verdict], bool]:
        """Until there is something to do: work that ended, a hint, or time to look again. True at the end: nothing is
        open any more, and a stop was asked for."""
        with self._wake:
            if failures:
                self._wake.wait(self._times.seconds(pause_s(failures)))
            elif not self._wake.wait_for(self._is_due, LINGER_S if self._finished else self._poll_s):
                self._woken = not self._finished  # nothing happened for so long: look
            self._looking, self._woken = self._woken or self._more, False
            finished, self._finished = self._finished, []
            return finished, self._stopping and not finished and self._busy == 0

    def _is_due(self) -> bool:
        """Whether a turn is worth its transaction: much has finished, nothing is left to wait for, or there is work."""
        if self._stopping:
            return bool(self._finished) or self._busy == 0
        if len(self._finished) >= 2 * self._slots or (self._finished and self._busy == 0):
            return True
        room = self._room()
        return (room > 0 and self._woken) or (room >= 2 * self._slots and self._more)

    def _room(self) -> int:
        """Conversations that may be claimed now."""
        ahead = AHEAD if self._average_s < SHORT_S else 1
        return self._slots * ahead - self._busy

    def _turn(self, finished: list[Verdict], *, may_claim: bool) -> None:
        """One transaction: settle what has finished, claim for the free slots."""
        free = max(self._room(), 0) if may_claim and (self._looking or finished) else 0
        if not finished and (not free or not self._has_due()):
            self._more = False
            return
        before = time.monotonic()
        taken = self._store.write(lambda tx: self._write(tx, finished, free))
        self._doubtful = []
        self.lost += taken.lost
        if taken.claim is None:
            return
        claimed = taken.claim
        self._denied = claimed.denied
        self._more = 0 < claimed.taken == claimed.wanted
        deadline = before + self._times.seconds(self._times.lease_s - self._times.margin_s)
        conversation = before + self._times.seconds(self._times.conversation_s)
        for batch in claimed.batches:
            self._start(Work(batch, min(deadline, conversation), before))
        if claimed.resume_at <= claimed.now_us:
            self._poll_s = self._times.poll_s(busy=True, rng=self._rng)
        else:
            self._poll_s = min(self._times.idle_s, (claimed.resume_at - claimed.now_us) / 1_000_000)

    def _has_due(self) -> bool:
        """A look without a write: whether a lane is due, and when to look again."""
        with self._store.read() as tx:
            now_us = self._store.now_us(tx)
            due = lanes.next_due(tx, [self.name], now_us)
        wait_s = self._times.poll_s(busy=False, rng=self._rng)
        if due is not None and due > now_us:
            wait_s = min(wait_s, (due - now_us) / 1_000_000)
        self._poll_s = wait_s
        return due is not None and due <= now_us

    @dataclass(slots=True)
    class _Written:
        claim: Claim | None
        lost: int

    def _write(self, tx: Connection, finished: list[Verdict], free: int) -> _Written:
        now_us = self._store.now_us(tx)
        doubtful = self._doubtful
        lanes.release(tx, doubtful)
        lost = self._settle(tx, Verdict.together(finished), now_us) if finished else 0
        taken = claim(tx, self._destination, free, self._times, now_us, self._worker) if free else None
        self._doubtful = [*doubtful, *(taken.rows if taken is not None else ())]
        return self._Written(taken, lost)

    def _settle_singly(self, finished: list[Verdict]) -> None:
        """Settle verdicts one by one, so that the one that cannot be stored takes no other with it."""
        for verdict in finished:
            try:
                self._store.write(partial(self._write_one, verdict))
            except Exception:  # recorded; its lanes' leases lapse
                self._unsettled = True
                log.exception("destination %s: an outcome could not be settled", self.name)

    def _write_one(self, verdict: Verdict, tx: Connection) -> int:
        return self._settle(tx, verdict, self._store.now_us(tx))

    # --- the slots ------------------------------------------------------------------------------------------------

    def _start(self, work: Work) -> None:
        with self._wake:
            self._busy += 1
            if len(self._threads) < min(self._busy, self._slots):
                thread = threading.Thread(target=self._slot, name=f"slot-{self.name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._todo.put(work)

    def _slot(self) -> None:
        while (work := self._todo.get()) is not None:
            verdict = Verdict()
            started = time.monotonic()
            try:
                if self._stopping or work.claimed <= self._turned_away:
                    for lane in work.batch:
                        verdict.add(*self._judge.released(lane, []))
                else:
                    self._process(work, verdict)
            except StoreError as error:
                log.warning("destination %s: an intent could not be stored: %s", self.name, error)
            except Exception:  # one conversation: its lease lapses, so nothing is lost
                log.exception("destination %s: a conversation broke", self.name)
            with self._wake:
                if verdict.hold_us or verdict.denied:
                    self._turned_away = time.monotonic()
                self._average_s += 0.1 * (time.monotonic() - started - self._average_s)
                self._busy -= 1
                self._finished.append(verdict)
                if len(self._finished) == 1 or self._is_due():
                    self._wake.notify()

    def _process(self, work: Work, verdict: Verdict) -> None:
        """Converse for a batch; halve it while it is refused as a whole."""
        parts = [work.batch]
        while parts:
            batch = parts.pop()
            talk = self._converse(batch, work, verdict)
            refused_whole = len(batch) > 1 and all(o.kind is OutcomeKind.REJECTED for o in talk.outcomes)
            if refused_whole and not talk.released:
                for lane, outcome in zip(batch, talk.outcomes, strict=True):
                    self._judge.mark_refused(lane, outcome)
                parts += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
                continue
            attempt = verdict.attempts[-1].id if talk.calls else None
            for lane, outcome in zip(batch, talk.outcomes, strict=True):
                lane.handle = new_handle(talk, outcome, lane.handle)
                self._conclude(lane, outcome, talk, attempt if was_sent(outcome) else None, work, verdict)

    def _conclude(
        self, lane: Lane, outcome: Outcome, talk: Talk, attempt: int | None, work: Work, verdict: Verdict
    ) -> None:
        self._judge.destination(verdict, outcome)
        if talk.released:
            verdict.add(*self._judge.released(lane, []))
        elif outcome.kind is OutcomeKind.DELIVERED:
            verdict.add(*self._judge.final(lane, self._judge.delivered(lane, attempt)))
        elif outcome.kind is not OutcomeKind.REJECTED:
            verdict.add(*self._judge.unfinished(lane, outcome, [], attempt))
        elif len(lane.pending) == 1:
            verdict.add(*self._judge.final(lane, self._judge.refused(lane, outcome, attempt)))
        else:
            self._judge.mark_refused(lane, outcome)
            self._split(lane, work, verdict)

    def _split(self, lane: Lane, work: Work, verdict: Verdict) -> None:
        """Find the delivery that was refused: newer half first, each half folded over the registers as they are by
        then. Each part's intent is stored before its call; the lease goes on meanwhile."""
        settled: list[Settled] = []
        lane.rest = _halves(lane.pending)
        while lane.rest:
            lane.refold(lane.rest.pop())
            if not lane.result.sending:
                settled += lane.advance(called=False, attempt=None)
                continue
            self._store_step(lane, settled, verdict)
            settled = []
            talk = self._converse([lane], work, verdict)
            (outcome,) = talk.outcomes
            attempt = verdict.attempts[-1].id if talk.calls else None
            lane.handle = new_handle(talk, outcome, lane.handle)
            self._judge.destination(verdict, outcome)
            if talk.released:
                verdict.add(*self._judge.released(lane, settled))
                return
            if outcome.kind is OutcomeKind.DELIVERED:
                settled += self._judge.delivered(lane, attempt)
            elif outcome.kind is not OutcomeKind.REJECTED:
                verdict.add(*self._judge.unfinished(lane, outcome, settled, attempt))
                return
            elif len(lane.pending) == 1:
                settled += self._judge.refused(lane, outcome, attempt)
            else:
                self._judge.mark_refused(lane, outcome)
                lane.rest += _halves(lane.pending)
        verdict.add(*self._judge.final(lane, settled))

    def _store_step(self, lane: Lane, settled: list[Settled], verdict: Verdict) -> None:
        """Write down what is known so far and what goes out next. Raises `StoreError` if the lease is lost."""
        step = Verdict([(self._judge.step(lane, settled), None)], verdict.attempts, further_calls=verdict.further_calls)
        lost = self._store.write(lambda tx: self._settle(tx, step, self._store.now_us(tx)))
        verdict.attempts, verdict.further_calls = [], 0
        if lost:
            raise StoreError("the lease is lost")

    def _converse(self, batch: Batch, work: Work, verdict: Verdict) -> Talk:
        provider = self._destination.provider
        deltas = [lane.result.delta(lane.row.profile, lane.handle) for lane in batch]
        carried = [(lane.row.profile, lane.result.sending) for lane in batch]
        talk = converse(
            provider.upsert(deltas[0]) if len(batch) == 1 else provider.upsert_many(deltas),
            self._send,
            lanes=len(batch),
            token=batch[0].row.token,
            first_number=work.calls + 1,
            key=lambda step: idempotency_key(self.name, step, carried),
            call_timeout_s=self._times.seconds(self._destination.timeout_s),
            deadline=work.deadline,
        )
        calls = len(talk.calls)
        work.calls += calls
        verdict.further_calls += max(calls - work.drawn, 0)
        work.drawn = max(work.drawn - calls, 0)
        verdict.attempts += self._judge.attempts(talk, batch, self._secrets())
        return talk

    def _settle(self, tx: Connection, verdict: Verdict, now_us: int) -> int:
        """Write a verdict. Gives how many leases were lost: what was done under them is recorded and discarded."""
        attempts.record(tx, verdict.attempts)
        rows = [s if wait is None else replace(s, due_at=now_us + wait) for s, wait in verdict.settlements]
        done = lanes.settle(tx, rows, now_us)
        if verdict.hold_us:
            destinations.hold(tx, self.name, now_us + verdict.hold_us)
        if verdict.denied or (verdict.succeeded and self._denied):
            self._set_state(tx, verdict, now_us)
        if verdict.further_calls and self._bucket is not None:
            self._bucket.draw(tx, verdict.further_calls, now_us)
        return done.count(False)

    def _set_state(self, tx: Connection, verdict: Verdict, now_us: int) -> None:
        """Deny the destination, or let it run again after its probe; what an operator paused stays paused."""
        if verdict.denied:
            log.warning("destination %s is denied, its queue is kept: %s", self.name, verdict.denied)
            probe_at = now_us + self._times.us(self._times.probe_s)
            destinations.set_state(tx, self.name, "denied", verdict.denied, probe_at, only_from=("running", "denied"))
        else:
            destinations.set_state(tx, self.name, "running", only_from=("denied",))


def pause_s(failures: int) -> float:
    """How long to wait after the n-th failure of the store in a row."""
    return min(0.05 * 2.0 ** min(failures, 7), 5.0)


def _halves(pending: list[Pending]) -> list[list[Pending]]:
    """Older half, newer half: the newer one is taken first."""
    ordered = sorted(pending, key=lambda item: item.change.version)
    middle = len(ordered) // 2
    return [ordered[:middle], ordered[middle:]]

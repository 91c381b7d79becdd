"""Settle: what a conversation's outcome does to a lane, its deliveries and its destination."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from router.dispatch.conversation import CallRecord, Talk, credentials, excerpt, path_of, reply_excerpt
from router.model import DeliveryState, Outcome, OutcomeKind
from router.profile.codec import dump_registers, field_versions
from router.store import ids
from router.store.rows import AttemptRow, Settled, Settlement

if TYPE_CHECKING:
    from router.dispatch.claims import Lane
    from router.dispatch.times import Times
    from router.ruleset import Destination


#: outcome of a call that was not the last of its conversation: what it meant, its provider kept to itself
ANSWERED = "answered"
#: a settlement and the wait before its lane is due again, in microseconds; None: it is idle
Row = tuple[Settlement, int | None]


@dataclass(slots=True)
class Verdict:
    """What is to be written after a conversation."""

    settlements: list[Row] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    #: the destination waits this many microseconds from now; 0: no
    hold_us: int = 0
    #: why the destination is denied; empty: it is not
    denied: str = ""
    #: a call succeeded: a denied destination runs again
    succeeded: bool = False
    #: calls of a conversation after its first, still to be drawn from the token bucket
    further_calls: int = 0

    def add(self, row: Settlement, wait_us: int | None = None) -> None:
        self.settlements.append((row, wait_us))

    @classmethod
    def together(cls, verdicts: Sequence[Verdict]) -> Verdict:
        """Several verdicts as one: what denies the destination counts more than a success beside it."""
        return cls(
            [row for verdict in verdicts for row in verdict.settlements],
            [attempt for verdict in verdicts for attempt in verdict.attempts],
            max(verdict.hold_us for verdict in verdicts),
            next((verdict.denied for verdict in verdicts if verdict.denied), ""),
            any(verdict.succeeded for verdict in verdicts),
            sum(verdict.further_calls for verdict in verdicts),
        )


def settlement(
    lane: Lane,
    settled: Sequence[Settled],
    *,
    failures: int,
    debounce_us: int = 0,
    lapses: int = 0,
    keep: bool = False,
    failed: Sequence[int] = (),
    failed_at: int = 0,
) -> Settlement:
    """The lane as it is now. `keep`: its lease goes on with the present intent."""
    return Settlement(
        destination=lane.row.destination,
        profile=lane.row.profile,
        token=lane.row.token,
        arrivals=lane.row.arrivals,
        registers=dump_registers(lane.registers),
        unsure=dump_registers(lane.unsure),
        handle=lane.handle,
        failures=failures,
        lapses=lapses,
        debounce_us=debounce_us,
        keep=keep,
        sending=dump_registers(lane.result.sending) if keep else None,
        deliveries=settled,
        failed=failed,
        failed_at=failed_at,
    )


def was_sent(outcome: Outcome) -> bool:
    """Whether a lane with this outcome was part of the call: a preflight's refusal was not."""
    return outcome.kind is not OutcomeKind.REJECTED or outcome.applied_maybe


class Judge:
    """Turns outcomes into what is written, for one destination."""

    def __init__(self, destination: Destination, times: Times, worker: str, rng: random.Random) -> None:
        self._destination = destination
        self._times = times
        self._worker = worker
        self._rng = rng
        self._debounce_us = times.us(destination.debounce_s)

    def attempts(self, talk: Talk, lanes: Sequence[Lane], secrets: Sequence[str]) -> list[AttemptRow]:
        """The record of each call. The last one carries the conversation's outcome; those before it were answered.

        A lane that preflight refused was not in the call.
        """
        there = [pair for pair in zip(lanes, talk.outcomes, strict=True) if was_sent(pair[1])]
        carried = [
            (lane.row.profile, [item.row.id for item in lane.pending], json.dumps(field_versions(lane.result.sending)))
            for lane, _ in there
        ]
        last = len(talk.calls) - 1
        outcome = there[0][1] if there else talk.outcomes[0]
        return [
            self._attempt(record, lanes[0].row.token, outcome if n == last else None, carried, secrets)
            for n, record in enumerate(talk.calls)
        ]

    def _attempt(
        self,
        record: CallRecord,
        token: str,
        outcome: Outcome | None,
        carried: list[tuple[str, list[int], str]],
        secrets: Sequence[str],
    ) -> AttemptRow:
        hidden = [*secrets, *credentials(record.call.auth)]
        return AttemptRow(
            id=ids.new(record.started_us),
            destination=self._destination.name,
            token=token,
            number=record.number,
            step=record.call.step,
            method=record.call.method,
            path=path_of(record.call.url),
            request=excerpt(record.call.body, hidden),
            status=record.reply.status if record.reply else None,
            reply=reply_excerpt(record.reply, hidden),
            outcome=outcome.kind if outcome else ANSWERED,
            reason=outcome.reason if outcome else "",
            ambiguous=outcome.ambiguous if outcome else False,
            key=record.key,
            started_at=record.started_us,
            ended_at=record.ended_us,
            worker=self._worker,
            lanes=carried,
        )

    def delivered(self, lane: Lane, attempt: int | None) -> list[Settled]:
        """The fold is confirmed."""
        return lane.advance(called=True, attempt=attempt)

    def final(self, lane: Lane, settled: Sequence[Settled]) -> Row:
        """The lane after everything that was folded has ended; due at once if more waits than was folded."""
        return settlement(lane, settled, debounce_us=self._debounce_us, failures=0), 0 if lane.left_out else None

    def step(self, lane: Lane, settled: Sequence[Settled]) -> Settlement:
        """The lane between two parts of a split: the lease goes on with the next intent."""
        return settlement(lane, settled, failures=lane.row.failures, lapses=lane.row.lapses, keep=True)

    def unfinished(self, lane: Lane, outcome: Outcome, settled: Sequence[Settled], attempt: int | None) -> Row:
        """The lane after a retry, a throttle or a denial: what was folded waits for the next try.

        A delivery gives up 72 h after its first failed call, on the destination's running clock.
        """
        if outcome.ambiguous or outcome.applied_maybe:
            lane.unsure = lane.result.failed_unsure(refused=False)
        if outcome.kind is not OutcomeKind.RETRY:
            return settlement(lane, settled, failures=max(lane.row.failures - 1, 0)), 0
        now_us = lane.running_us
        limit = self._times.us(self._times.give_up_s)
        old = [item for item in lane.pending if item.row.failed_at is not None and now_us - item.row.failed_at > limit]
        reason = f"gave up after {self._times.give_up_s / 3600:g} h: {outcome.reason}"
        given_up = [Settled(item.row.id, DeliveryState.REJECTED, reason, attempt) for item in old]
        failed = [item.row.id for item in lane.pending if item not in old]
        row = settlement(
            lane, [*settled, *given_up], failures=lane.row.failures if failed else 0, failed=failed, failed_at=now_us
        )
        waits = failed or lane.rest or lane.left_out
        return row, self._times.retry_us(lane.row.failures, self._rng) if waits else None

    def released(self, lane: Lane, settled: Sequence[Settled]) -> Row:
        """The lane when its next call may not go out: due in a second, no try burned."""
        failures = max(lane.row.failures - 1, 0)
        return settlement(lane, settled, failures=failures, lapses=lane.row.lapses), self._times.us(1)

    def refused(self, lane: Lane, outcome: Outcome, attempt: int | None) -> list[Settled]:
        """The one delivery of a refused fold becomes a dead letter. Its fields are unsure if a call went out."""
        if outcome.applied_maybe:
            lane.unsure = lane.result.failed_unsure(refused=True)
        return [Settled(item.row.id, DeliveryState.REJECTED, outcome.reason, attempt) for item in lane.pending]

    def mark_refused(self, lane: Lane, outcome: Outcome) -> None:
        """A fold of several deliveries was refused: its fields are unsure until one of them is confirmed."""
        if outcome.applied_maybe:
            lane.unsure = lane.result.failed_unsure(refused=True)

    def destination(self, verdict: Verdict, outcome: Outcome) -> None:
        """What an outcome means for the whole destination."""
        if outcome.kind is OutcomeKind.THROTTLED:
            told = outcome.wait_s  # the provider's own seconds: no scale of ours
            wait_us = self._times.us(self._destination.provider.throttle_s) if told is None else int(told * 1_000_000)
            verdict.hold_us = max(verdict.hold_us, wait_us)
        elif outcome.kind is OutcomeKind.DENIED:
            verdict.denied = outcome.reason or "denied"
        elif outcome.kind is OutcomeKind.DELIVERED:
            verdict.succeeded = True
            if outcome.wait_s is not None:  # accepted, and told to slow down
                verdict.hold_us = max(verdict.hold_us, int(outcome.wait_s * 1_000_000))

"""Claim: take due lanes, fold what is pending over their registers, and write down what is about to go out.

All of it is one transaction. A lane that needs no call is settled in it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from router.dispatch.settling import Row, settlement
from router.model import Change, DeliveryState, OutcomeKind
from router.profile import Fold, Register, fold, judge
from router.profile.codec import (
    dump_registers,
    field_versions,
    load_change,
    load_registers,
    load_unsure,
    load_version,
)
from router.store import attempts, deliveries, destinations, ids, lanes
from router.store.rows import AttemptRow, DeliveryRow, LaneRow, Settled

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from router.dispatch.times import Times
    from router.ruleset import Destination

#: leases in a row that lapse before a lane's deliveries are tried in halves
LAPSES = 3


@dataclass(frozen=True, slots=True)
class Pending:
    """One pending delivery and what it says."""

    row: DeliveryRow
    change: Change


@dataclass(slots=True)
class Lane:
    """A claimed lane with the fold that is about to be sent. Advances as parts of it are settled."""

    row: LaneRow
    registers: dict[str, Register]
    unsure: dict[str, Register | None]
    handle: str | None
    #: what `result` folds
    pending: list[Pending]
    result: Fold
    #: when it was claimed, on the clock that stands still while its destination does, microseconds
    running_us: int = 0
    #: it has deliveries that this claim did not fold: it stays due
    left_out: bool = False
    #: deliveries that wait for their turn while a refused change is split
    rest: list[list[Pending]] = field(default_factory=list)

    def refold(self, pending: list[Pending]) -> None:
        """Fold other deliveries over the registers as they are now."""
        self.pending = pending
        self.result = fold(self.registers, self.unsure, [item.change for item in pending])

    def advance(self, *, called: bool, attempt: int | None) -> list[Settled]:
        """The fold is confirmed: registers move, and each delivery of it gets its state."""
        settled = [
            Settled(item.row.id, state, "", attempt if state is DeliveryState.DELIVERED else None)
            for item in self.pending
            for state in (judge(item.change, self.result, called=called),)
        ]
        self.registers, self.unsure = self.result.registers(), self.result.settled_unsure()
        return settled


#: lanes that share one slot, one lease and one conversation
Batch = list[Lane]


@dataclass(slots=True)
class Claim:
    """What one look at a destination gave."""

    batches: list[Batch]
    #: how many lanes were asked for and taken; equal: there may be more
    wanted: int = 0
    taken: int = 0
    #: microseconds of the database's clock
    now_us: int = 0
    #: nothing may be claimed before this time; 0: no such wait
    resume_at: int = 0
    #: the destination is denied: what was claimed is its probe
    denied: bool = False
    #: every lane that was taken, to give back if the commit's end was not seen
    rows: Sequence[LaneRow] = ()


def claim(tx: Connection, destination: Destination, slots: int, times: Times, now_us: int, worker: str) -> Claim:
    """Claim due lanes for `slots` conversations, each of up to `destination.batch` lanes."""
    gate = destinations.gates(tx, now_us)[destination.name]
    result = Claim([], now_us=now_us, resume_at=gate.resume_at, denied=gate.state == "denied")
    if gate.state in {"paused", "tripped"} or gate.resume_at > now_us:
        return result
    batch = destination.batch
    if gate.state == "denied":
        slots = batch = 1
    bucket = Bucket.of(destination)
    if bucket is not None:
        slots = min(slots, int(bucket.capacity) if gate.tokens is None else gate.tokens)
        if slots <= 0:
            result.resume_at = now_us + int(1_000_000 / bucket.per_s)
            return result
    tokens = _Tokens(batch)
    result.wanted = slots * batch
    rows = lanes.claim(tx, destination.name, result.wanted, times.us(times.lease_s), tokens, now_us)
    result.taken, result.rows = len(rows), rows
    if rows and gate.state == "denied":
        destinations.set_state(tx, destination.name, "denied", gate.reason, now_us + times.us(times.probe_s))
    speaking, quiet = _fold_all(tx, destination, rows, now_us, worker)
    for lane in speaking:
        lane.running_us = now_us - gate.stopped_us
    lanes.settle(tx, [row if wait is None else replace(row, due_at=now_us + wait) for row, wait in quiet], now_us)
    lanes.intend(
        tx,
        [
            (
                lane.row.destination,
                lane.row.profile,
                lane.row.token,
                dump_registers(lane.result.sending),
                dump_registers(lane.unsure),
            )
            for lane in speaking
        ],
    )
    result.batches = _by_token(speaking)
    if bucket is not None and result.batches:
        bucket.draw(tx, len(result.batches), now_us)
    return result


@dataclass(frozen=True, slots=True)
class Bucket:
    """The token bucket of a destination with a rate: one token a call, at most one second's worth at once."""

    name: str
    per_s: float
    capacity: float

    @classmethod
    def of(cls, destination: Destination) -> Bucket | None:
        if destination.rate is None:
            return None
        _, per_s = destination.rate
        return cls(destination.name, per_s, max(1.0, per_s))

    def draw(self, tx: Connection, calls: int, now_us: int) -> None:
        destinations.draw(tx, self.name, calls, self.per_s, self.capacity, now_us)


class _Tokens:
    """A fencing token for each slot: the same one for `batch` lanes in a row."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._given = 0
        self._token = ""

    def __call__(self) -> str:
        if self._given % self._batch == 0:
            self._token = secrets.token_hex(8)
        self._given += 1
        return self._token


def _by_token(speaking: Sequence[Lane]) -> list[Batch]:
    batches: dict[str, Batch] = {}
    for lane in speaking:
        batches.setdefault(lane.row.token, []).append(lane)
    return list(batches.values())


def _fold_all(
    tx: Connection, destination: Destination, rows: Sequence[LaneRow], now_us: int, worker: str
) -> tuple[list[Lane], list[Row]]:
    """Fold each claimed lane: those with something to say, and the settlements of the others."""
    if not rows:
        return [], []
    waiting = deliveries.pending(tx, destination.name, [row.profile for row in rows])
    speaking: list[Lane] = []
    quiet: list[Row] = []
    lapsed: list[AttemptRow] = []
    for row in rows:
        lane, dead = _open(row, waiting.get(row.profile, ()), now_us, worker, lapsed)
        if lane.result.sending:
            speaking.append(lane)
        else:
            settled = dead + lane.advance(called=False, attempt=None)
            quiet.append((settlement(lane, settled, failures=0), 0 if lane.left_out else None))
    if lapsed:
        attempts.record(tx, lapsed)
    return speaking, quiet


def _open(
    row: LaneRow, waiting: Sequence[DeliveryRow], now_us: int, worker: str, lapsed: list[AttemptRow]
) -> tuple[Lane, list[Settled]]:
    """A claimed lane, folded. What a lapsed lease may have sent becomes unsure, and is recorded."""
    registers, unsure = load_registers(row.registers), load_unsure(row.unsure)
    if row.sending is not None and row.lapsed_token is not None:
        sent = load_registers(row.sending)
        unsure.update(sent)
        lapsed.append(_lapsed(row, sent, now_us, worker))
    pending = [Pending(item, load_change(item.change, item.profile, load_version(item.version))) for item in waiting]
    dead: list[Settled] = []
    waits = len(pending)
    if row.lapses >= LAPSES and pending:
        pending, dead = _suspects(pending, row.lapses)
    lane = Lane(row, registers, unsure, row.handle, pending, Fold(registers, unsure, {}, {}))
    lane.left_out = waits == deliveries.MOST or len(pending) + len(dead) < waits
    lane.refold(pending)
    return lane, dead


def _suspects(pending: list[Pending], lapses: int) -> tuple[list[Pending], list[Settled]]:
    """The newer half after three lapsed leases in a row, half of that after each further one. The last one left is
    the culprit: it becomes a dead letter, without another call."""
    newest = sorted(pending, key=lambda item: item.change.version, reverse=True)
    count = len(newest) >> (lapses - LAPSES + 1)
    if count:
        return newest[:count], []
    culprit = newest[0].row
    return [], [Settled(culprit.id, DeliveryState.REJECTED, f"crashed: {lapses} leases in a row lapsed", None)]


def _lapsed(row: LaneRow, sent: dict[str, Register], now_us: int, worker: str) -> AttemptRow:
    """The ambiguous attempt of a worker that did not come back."""
    return AttemptRow(
        id=ids.new(now_us),
        destination=row.destination,
        token=row.lapsed_token or "",
        number=0,
        step="",
        method="",
        path="",
        request="",
        status=None,
        reply="",
        outcome=OutcomeKind.RETRY,
        reason="lease lapsed",
        ambiguous=True,
        key="",
        started_at=now_us,
        ended_at=now_us,
        worker=worker,
        lanes=[(row.profile, [], str(field_versions(sent)))],
    )

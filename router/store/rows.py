"""What goes into the store and comes out: rows as frozen dataclasses. Times are whole microseconds since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from router.model import Event, EventState


class Stored(NamedTuple):
    """What became of one event that was put."""

    id: int
    #: false: the sender's id was known already
    new: bool
    #: not new, and the body is another one than the first
    conflict: bool = False


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it is stored."""

    event: Event
    state: EventState
    reason: str
    #: of the rules that routed it, empty if none did
    revision: str
    #: how often it came again, with the same body and with another
    repeats: int
    conflicts: int


class NewDelivery(NamedTuple):
    """A delivery as routing plans it. `state` is `pending`, or `unchanged` if it has no field."""

    rule: str
    destination: str
    profile: str
    #: JSON of the version
    version: str
    #: JSON of the change
    change: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class RoutedEvent:
    """What routing found out about one stored event."""

    id: int
    #: the routing this result is for; another one that finished first wins
    routing: int
    state: str
    reason: str
    revision: str
    deliveries: Sequence[NewDelivery] = ()
    #: keyed hashes of e-mail addresses and phone numbers it wrote → profile
    lookups: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane as claimed. The lease and its token are the caller's now."""

    destination: str
    profile: str
    #: JSON texts of `router.profile.codec`
    registers: str
    unsure: str
    #: what the holder before may have had on the wire; None if it settled
    sending: str | None
    handle: str | None
    arrivals: int
    #: claims in a row without a settled success, this one included
    failures: int
    #: leases in a row that lapsed
    lapses: int
    #: this claim's token
    token: str
    #: the token whose lease lapsed; None if the lane was free
    lapsed_token: str | None


class DeliveryRow(NamedTuple):
    """A pending delivery."""

    id: int
    event_id: int
    rule: str
    profile: str
    version: str
    change: str
    #: when its first call failed, on the destination's running clock (`now_us - Gate.stopped_us`); None: none did
    failed_at: int | None = None


class Settled(NamedTuple):
    """How one delivery ends."""

    id: int
    state: str
    reason: str
    #: None if no call was needed
    attempt: int | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one conversation did to one lane. Fenced by `token`."""

    destination: str
    profile: str
    token: str
    #: as seen at the claim
    arrivals: int
    registers: str
    unsure: str
    handle: str | None
    failures: int
    lapses: int = 0
    #: when to try again; None: idle, unless something arrived meanwhile
    due_at: int | None = None
    #: wait of new arrivals if the lane would be idle
    debounce_us: int = 0
    #: true: the lease goes on, with this intent; false: it ends
    keep: bool = False
    sending: str | None = None
    deliveries: Sequence[Settled] = ()
    #: deliveries that stay pending after a failed call; `failed_at` is kept for those that have none yet
    failed: Sequence[int] = ()
    #: on the destination's running clock (`now_us - Gate.stopped_us`)
    failed_at: int = 0


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """The record of one call, or of a lapsed lease. Excerpts hold no secret and at most 1 KB."""

    id: int
    destination: str
    token: str
    #: place in the conversation, from 1
    number: int
    step: str
    method: str
    #: without host and credentials
    path: str
    request: str
    #: None if no reply came
    status: int | None
    reply: str
    outcome: str
    reason: str
    ambiguous: bool
    key: str
    started_at: int
    ended_at: int
    worker: str
    #: (profile, ids of the deliveries it carried, JSON of the fields with their versions)
    lanes: Sequence[tuple[str, Sequence[int], str]] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a destination may be sent to now."""

    name: str
    #: `running`, `paused`, `denied` or `tripped`
    state: str
    reason: str
    #: nothing is claimed before this time; 0: now
    resume_at: int
    #: calls the token bucket allows now; None: no limit
    tokens: int | None
    #: how long it has been paused, denied or tripped in all, until now
    stopped_us: int = 0

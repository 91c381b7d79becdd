"""The nouns: frozen dataclasses, or tuples where each event makes many. No I/O; one per stage of a webhook's way:

`Webhook → Event → Change → Delivery → Call → Reply → Outcome → Attempt`
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def to_us(moment: datetime) -> int:
    """Whole microseconds since 1970 of an aware time, exactly (no float in between)."""
    return (moment - EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """The aware UTC time of whole microseconds since 1970."""
    return EPOCH + timedelta(microseconds=us)


@dataclass(frozen=True, slots=True, order=True)
class Instant:
    """A moment as a trait's value. Kept apart from `datetime` so that JSON can carry it as `{"$time": …}`."""

    #: whole microseconds since 1970, UTC
    us: int

    def __str__(self) -> str:
        """ISO 8601 in UTC, decimals only where there are some: `2025-11-20T00:53:20Z`."""
        return iso(from_us(self.us))


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with `Z`; microseconds only if there are some."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


# --- what comes in -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Webhook:
    """One raw request to `/webhooks/<source>`."""

    source: str
    method: str
    #: header name in lower case → value as received (gunicorn joins repeated headers with a comma)
    headers: Mapping[str, str]
    #: parameter name → values in order, decoded
    query: Mapping[str, Sequence[str]]
    #: bytes as received; signatures cover these
    body: bytes
    #: aware, UTC
    received_at: datetime
    #: the peer's address, or the client's behind a trusted proxy
    remote_addr: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One fact in a webhook. A request may carry many."""

    source: str
    #: the sender's id, de-duplication key within the source
    external_id: str
    type: str
    #: aware, UTC, whole microseconds; the event's or object's own time, at most 5 min after receipt
    occurred_at: datetime
    #: aware, UTC
    received_at: datetime
    #: the sender's own counter of the object, 0 where there is none
    object_version: int = 0
    #: the request's bytes as received, or (`part`) this event alone as JSON
    body: bytes = b""
    #: true if `body` is this event's part only, with the envelope already opened
    part: bool = False
    #: kept headers, lower case
    headers: Mapping[str, str] = field(default_factory=dict)
    #: kept query parameters
    query: Mapping[str, str] = field(default_factory=dict)
    #: why this element of a batch could not be read; such an event is stored as `failed`
    error: str = ""
    #: true if `external_id` was made from the bytes: remembered for 1 h only
    weak_id: bool = False
    #: our id (0 before it is stored)
    id: int = 0
    #: how often it has been routed, this time included; part of the version
    routing: int = 1


class EventState(StrEnum):
    """Where an event is. Every stored event is in exactly one."""

    #: stored, not yet routed
    RECEIVED = "received"
    #: its rules gave changes
    ROUTED = "routed"
    #: no rule wanted it; the reason says which condition
    SKIPPED = "skipped"
    #: a rule said fail, or broke; can be routed again
    FAILED = "failed"
    #: its person was erased
    ERASED = "erased"


class DeliveryState(StrEnum):
    """Where a delivery is. Every (event × rule × destination) is in exactly one."""

    #: waits for its lane
    PENDING = "pending"
    #: the provider accepted a call that carried it, or what of it was not held or superseded
    DELIVERED = "delivered"
    #: the provider already held every value that no newer event had written, one at least; no call was needed
    UNCHANGED = "unchanged"
    #: newer events had already written every field of it
    SUPERSEDED = "superseded"
    #: the provider or our preflight refused it, or retries ran out: the dead letters
    REJECTED = "rejected"
    #: an operator cancelled it
    CANCELLED = "cancelled"
    #: its person was erased
    ERASED = "erased"


# --- what it says ------------------------------------------------------------------------------------------------


class Version(NamedTuple):
    """When a change was true. Totally ordered by plain tuple comparison; text by code point.

    `(occurred_at, object version or 0, event id, routing)`, ties broken by `ordinal`, then rule id.
    """

    #: whole microseconds since 1970
    occurred_us: int
    #: the sender's counter, 0 where there is none
    object_version: int
    #: the sender's id of the event, never ours
    event: str
    #: how often the event had been routed
    routing: int
    #: position of the rule in its file
    ordinal: int = 0
    #: `<source>/<rule>`
    rule: str = ""


class OpKind(StrEnum):
    """What a change does to one field."""

    SET = "set"
    UNSET = "unset"
    #: only if the field was never written
    ONCE = "once"
    #: tags only: these and no others
    REPLACE = "replace"
    #: tags only
    ADD = "add"
    #: tags only
    REMOVE = "remove"


class Op(NamedTuple):
    """One operation on one field. A tuple, as a profile has many and each is made anew.

    `value` is JSON, an `Instant`, or None for `unset`. Of a `TagsOp` see there.
    """

    kind: OpKind
    value: Any = None


@dataclass(frozen=True, slots=True)
class TagsOp:
    """What a change does to the tags: `replace` (a tuple, also an empty one), or `add` and `remove`."""

    #: None: not replaced
    replace: tuple[str, ...] | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class Change(NamedTuple):
    """What one event says about one profile at one destination.

    `fields` maps a field to its operation, in the rule's order. A field is a trait, `company.x`, `consent.x`, `tags`
    (always a `TagsOp`) or `send:` + the JSON Pointer of a leaf of the provider's body.
    """

    profile: str
    version: Version
    revision: str
    fields: Mapping[str, Op | TagsOp]
    #: field → why it was left out
    omitted: Mapping[str, str] = _NOTHING


# --- what goes out -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TagsDelta:
    """What must be said about tags. All tuples are in code-point order."""

    #: the whole list, if it must be replaced (or if the provider knows nothing else)
    replace: tuple[str, ...] | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    #: every tag the lane holds once this is sent
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """What must be sent so that the provider's copy of one profile is the newest state."""

    profile: str
    #: field → operation (`set`, `unset` or `once`); tags are apart
    fields: Mapping[str, Op]
    tags: TagsDelta | None = None
    #: field → value of every field the lane holds once this is sent (consents, e-mail, …)
    held: Mapping[str, Any] = field(default_factory=dict)
    #: the provider's own id of the profile, if one is known
    provider_handle: str | None = None
    #: newest `occurred_at` among what is sent, whole microseconds since 1970
    occurred_us: int = 0


class Call(NamedTuple):
    """One HTTP request to a provider. Credentials are in `auth`, which never shows."""

    method: str
    #: absolute, path and query already escaped
    url: str
    #: JSON, or None for no body
    body: Any = None
    headers: Mapping[str, str] = _NOTHING
    #: headers that carry credentials: sent, never stored or shown
    auth: Mapping[str, str] = _NOTHING
    #: the step of the conversation, a stable word: `upsert`, `register`, `set`, …
    step: str = "upsert"
    #: false if it cannot change a person's data (a look-up, or one that only resolves an id)
    writes: bool = True
    #: the provider's handle as known when this call goes out; kept even if the call fails
    handle: str | None = None

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items() if name != "auth")
        return f"Call({shown})"


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer, whatever its status."""

    status: int
    #: lower-case names
    headers: Mapping[str, str]
    #: at most 64 KB
    body: bytes
    #: true if Content-Length or chunked framing was read to its end, or the status is 204.
    #: Without framing a peer that closed early looks the same: only a body contract makes it a success.
    framed: bool = True
    #: seconds since 1970 when it was read, for waits that the peer gives as a date; 0: unknown
    received_at: float = 0.0

    def json(self) -> Any:
        """The body as JSON, or None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class OutcomeKind(StrEnum):
    """What a conversation's end means."""

    DELIVERED = "delivered"
    RETRY = "retry"
    THROTTLED = "throttled"
    DENIED = "denied"
    REJECTED = "rejected"


#: `Outcome.handle` that makes the lane forget its handle
FORGET = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the replies of one conversation mean for one lane."""

    kind: OutcomeKind
    #: short, safe to show: no secret, body or profile
    reason: str = ""
    #: bytes went out and no full valid reply came: the provider may or may not have applied it
    ambiguous: bool = False
    #: seconds the provider asked us to wait, None if it did not say
    wait_s: float | None = None
    #: a new provider handle; `FORGET` drops the old one; None leaves it
    handle: str | None = None
    #: false if nothing of this conversation can have been applied (preflight, not sent)
    applied_maybe: bool = True


#: sans-I/O: yields calls, is sent replies, returns what they mean. A `TransportError` closes it.
Conversation = Generator[Call, Reply, Outcome]
#: one conversation for many lanes: one outcome each, in order
BatchConversation = Generator[Call, Reply, Sequence[Outcome]]


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What a provider says it holds of one profile, beside what we believe it holds.

    Both mappings are keyed by the router's field names (`tags` for the tags, a sorted list) and hold values as this
    provider renders them, so that they can be compared, but yes/no in the router's sense; a field that is absent there
    is absent from the mapping.
    """

    #: false: the provider does not know the profile
    found: bool
    expected: Mapping[str, Any] = field(default_factory=dict)
    actual: Mapping[str, Any] = field(default_factory=dict)
    #: why nothing could be read (`no handle`, `no management_token`, a status); empty if it could
    unreadable: str = ""

    def differences(self) -> list[str]:
        """The fields whose values differ, in the order of `expected`. Numbers are compared as numbers."""
        return [name for name, value in self.expected.items() if self.actual.get(name) != value]


#: reads one profile back; never creates anybody
ReadConversation = Generator[Call, Reply, ReadBack]

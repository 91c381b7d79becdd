"""What a reply means before anybody knows the provider: completeness, status, and how long to wait."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from router.model import Outcome, OutcomeKind, Reply

#: shortest and longest wait that a reply can ask for, seconds
MIN_WAIT_S, MAX_WAIT_S = 0.5, 3600.0
#: `x-ratelimit-reset` above this is a time, else a number of seconds
_EPOCH_FROM = 1e9
#: a reset that lies further in the past or future than this comes from another clock
_SKEW_S, _DAY_S = 60.0, 86400.0

_SECONDS = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_WRITTEN = frozenset({OutcomeKind.DELIVERED, OutcomeKind.RETRY, OutcomeKind.REJECTED})


@dataclass(frozen=True, slots=True)
class Advice:
    """What an error of a provider means, for the manual and for people who look at a failure."""

    meaning: str
    #: what to do about it; empty: nothing, the router does
    action: str = ""
    #: whether the same content can succeed later
    retry: bool = False
    #: the vendor's page
    url: str = ""


#: status → what it means with any API
STATUSES: Mapping[str, Advice] = MappingProxyType(
    {
        "400": Advice("the request is not valid", "compare the call with the vendor's documentation"),
        "401": Advice("not authenticated", "check the credentials of the destination"),
        "402": Advice("no active subscription", "settle the subscription with the vendor"),
        "403": Advice("not allowed", "check what the credentials may do, and the vendor's list of allowed addresses"),
        "404": Advice("nothing is at this address", "check the host, path and account settings of the destination"),
        "405": Advice("the method is not allowed here", "check the host and path of the destination"),
        "406": Advice("the answer would not be JSON", "check the host and path of the destination"),
        "407": Advice("a proxy wants credentials", "check the proxy in base_url"),
        "408": Advice("the provider waited too long for the request", retry=True),
        "409": Advice("in conflict with what is stored", "look at the reply"),
        "410": Advice("gone", "the vendor has retired this address: look for a newer router"),
        "413": Advice("too large", "send fewer or shorter values"),
        "415": Advice("the media type is not accepted", "check the host and path of the destination"),
        "422": Advice("the content is not accepted", "look at the reply for the field"),
        "425": Advice("too early", retry=True),
        "429": Advice("too many requests", "lower rate: of the destination if it happens often", retry=True),
        "500": Advice("the provider failed", retry=True),
        "502": Advice("a gateway failed, the provider may have applied the call", retry=True),
        "503": Advice("the provider is not available", retry=True),
        "504": Advice("a gateway waited too long, the provider may have applied the call", retry=True),
    }
)


class Wait(NamedTuple):
    """How long a reply asks us to wait."""

    #: clamped
    seconds: float
    #: the header that says so
    header: str


def judge_status(
    reply: Reply, statuses: Mapping[int, OutcomeKind] = MappingProxyType({}), errors: Mapping[str, Advice] = STATUSES
) -> Outcome:
    """The outcome that completeness and status alone give; `delivered` still has to satisfy the body contract.

    `statuses` is the provider's own table, which goes before the defaults; `errors` gives the words of the reason.
    """
    if not is_complete(reply):
        return unreadable(f"{reply.status}: the reply broke off")
    wait = told_wait(reply)
    kind = statuses.get(reply.status) or _kind(reply.status, told=wait is not None)
    if kind is OutcomeKind.DELIVERED:
        return Outcome(kind)
    reason = f"{reply.status}: {_meaning(reply.status, errors)}"
    if kind is OutcomeKind.THROTTLED:
        return throttled(reason, wait)
    ambiguous = kind is OutcomeKind.RETRY and reply.status in {502, 504}
    return Outcome(kind, reason, ambiguous=ambiguous, applied_maybe=kind in _WRITTEN)


def is_complete(reply: Reply) -> bool:
    """Whether the reply was read to its end. Without framing only a body that is whole JSON shows that."""
    return reply.framed or isinstance(reply.json(), (dict, list))


def unreadable(reason: str) -> Outcome:
    """Bytes went out and no valid reply came: the provider may or may not have applied the call."""
    return Outcome(OutcomeKind.RETRY, reason, ambiguous=True)


def throttled(reason: str, wait: Wait | None) -> Outcome:
    """The provider asks us to slow down."""
    if wait is not None:
        reason = f"{reason}, wait {wait.seconds:g} s by {wait.header}"
    return Outcome(OutcomeKind.THROTTLED, reason, wait_s=None if wait is None else wait.seconds, applied_maybe=False)


def after_write(outcome: Outcome) -> Outcome:
    """The outcome of a later call of a conversation whose earlier call wrote."""
    return outcome if outcome.applied_maybe else replace(outcome, applied_maybe=True)


def success(body: Any, status: int = 200) -> Reply:
    """A complete JSON reply, as a vendor documents it."""
    return Reply(status, {"content-type": "application/json"}, json.dumps(body).encode())


def told_wait(reply: Reply) -> Wait | None:
    """The wait that the headers ask for: `retry-after`, else `x-ratelimit-reset`. None: not said, or nonsense."""
    asked = _retry_after(reply)
    if asked is not None:
        return Wait(_clamp(asked), "retry-after")
    asked = _reset(reply)
    return None if asked is None else Wait(_clamp(asked), "x-ratelimit-reset")


def _retry_after(reply: Reply) -> float | None:
    text = reply.headers.get("retry-after", "").strip()
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return seconds - reply.received_at if reply.received_at else None


def _reset(reply: Reply) -> float | None:
    text = reply.headers.get("x-ratelimit-reset", "").strip()
    if not _SECONDS.fullmatch(text):
        return None
    value = float(text)
    if value <= _EPOCH_FROM:
        return value
    seconds = value - reply.received_at
    return seconds if -_SKEW_S <= seconds <= _DAY_S else None


def _clamp(seconds: float) -> float:
    return round(min(max(seconds, MIN_WAIT_S), MAX_WAIT_S), 3)


def _kind(status: int, *, told: bool) -> OutcomeKind:
    """The defaults for a status. An unknown one is tried again."""
    if 200 <= status < 300:
        return OutcomeKind.DELIVERED
    if 300 <= status < 400 or status in {401, 402, 403, 404, 407}:
        return OutcomeKind.DENIED
    if status == 429 or (status == 503 and told):
        return OutcomeKind.THROTTLED
    if 400 <= status < 500 and status not in {408, 425}:
        return OutcomeKind.REJECTED
    return OutcomeKind.RETRY


def _meaning(status: int, errors: Mapping[str, Advice]) -> str:
    advice = errors.get(str(status)) or STATUSES.get(str(status))
    if advice is not None:
        return advice.meaning
    return "a redirect, which is not followed" if 300 <= status < 400 else "a status that nobody documents"

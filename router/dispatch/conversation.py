"""Converse: run a provider's conversation over the network, recording each call.

A provider yields calls and is sent replies. Here the credentials go along, every call is numbered and keyed, and the
lease is watched: no byte goes out unless the time left exceeds the call's own deadline.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from router.errors import BuildError, SecretError, TransportError
from router.model import FORGET, Call, Outcome, OutcomeKind, Reply

#: bytes of a body that an attempt keeps
KEPT_BYTES = 1024
#: fields whose values are credentials of a person
_HIDDEN = ("session_token",)
#: outcomes that say that the last call was not looked at
_TURNED_AWAY = frozenset({OutcomeKind.THROTTLED, OutcomeKind.DENIED})


class Send(Protocol):
    """The one door to the network."""

    def __call__(self, call: Call, timeout_s: float, headers: dict[str, str]) -> Reply:
        """The complete reply. Raises `TransportError`."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What became of one call. Times are wall-clock microseconds, for reading, not for ordering."""

    number: int
    call: Call
    key: str
    reply: Reply | None
    #: why no reply came
    error: str
    sent: bool
    started_us: int
    ended_us: int


@dataclass(slots=True)
class Talk:
    """A conversation that has ended: one outcome for each lane, and its calls."""

    outcomes: Sequence[Outcome]
    calls: list[CallRecord] = field(default_factory=list)
    #: the provider's handle as the last call knew it; None: nothing new
    handle: str | None = None
    #: true if time ran out before the next call, with nothing else gone wrong
    released: bool = False


def converse(
    conversation: Generator[Call, Reply, Any],
    send: Send,
    *,
    lanes: int,
    token: str,
    first_number: int,
    key: Callable[[str], str],
    call_timeout_s: float,
    deadline: float,
) -> Talk:
    """Run one conversation to its end.

    `deadline` is monotonic time after which nothing may be on the wire. `key` gives the idempotency key of a step.
    Never raises for what a provider or the network does.
    """
    talk = Talk(outcomes=())
    wrote = wrote_before = False
    reply: Reply | None = None
    try:
        while True:
            call = conversation.send(reply)  # type: ignore[arg-type]  # None starts a generator
            talk.handle = call.handle or talk.handle
            if deadline - time.monotonic() <= call_timeout_s:
                conversation.close()
                talk.released = not wrote
                talk.outcomes = [_out_of_time(wrote)] * lanes
                return talk
            number = first_number + len(talk.calls)
            call_key = key(f"{call.step}.{len(talk.calls)}" if _repeats(talk.calls, call.step) else call.step)
            headers = {"Router-Attempt": f"{token}.{number}", "Idempotency-Key": call_key}
            started = time.time_ns() // 1000
            try:
                reply = send(call, call_timeout_s, headers)
            except TransportError as error:
                talk.calls.append(
                    CallRecord(number, call, call_key, None, str(error), error.sent, started, time.time_ns() // 1000)
                )
                conversation.close()
                talk.outcomes = [_not_answered(error, wrote=wrote, writes=call.writes)] * lanes
                return talk
            talk.calls.append(CallRecord(number, call, call_key, reply, "", True, started, time.time_ns() // 1000))
            wrote_before, wrote = wrote, wrote or call.writes
    except StopIteration as end:
        outcomes = [end.value] * lanes if isinstance(end.value, Outcome) else list(end.value)
        talk.outcomes = [
            _applied(outcome, wrote_before if outcome.kind in _TURNED_AWAY else wrote) for outcome in outcomes
        ]
    except SecretError as error:
        talk.outcomes = [Outcome(OutcomeKind.DENIED, str(error), applied_maybe=wrote)] * lanes
    except BuildError as error:
        talk.outcomes = [Outcome(OutcomeKind.REJECTED, str(error), applied_maybe=wrote)] * lanes
    return talk


def _repeats(calls: Sequence[CallRecord], step: str) -> bool:
    return any(record.call.step == step for record in calls)


def _out_of_time(wrote: bool) -> Outcome:
    return Outcome(OutcomeKind.RETRY, "no time left in the lease for another call", applied_maybe=wrote)


def _not_answered(error: TransportError, *, wrote: bool, writes: bool) -> Outcome:
    ambiguous = error.sent and writes
    return Outcome(OutcomeKind.RETRY, str(error), ambiguous=ambiguous, applied_maybe=ambiguous or wrote)


def _applied(outcome: Outcome, wrote: bool) -> Outcome:
    """Where no call wrote, nothing can have been applied, whatever the provider's judgement says."""
    return outcome if wrote else replace(outcome, ambiguous=False, applied_maybe=False)


def new_handle(talk: Talk, outcome: Outcome, old: str | None) -> str | None:
    """The lane's handle after a conversation: what the outcome says, else what the calls learnt, else as before."""
    if outcome.handle is not None:
        return None if outcome.handle == FORGET else outcome.handle
    return talk.handle or old


def excerpt(body: Any, secrets: Sequence[str] = ()) -> str:
    """A JSON body as an attempt keeps it: bounded, session tokens hidden, known secrets taken out."""
    if body is None:
        return ""
    if isinstance(body, dict) and any(name in body for name in _HIDDEN):
        body = {key: "***" if key in _HIDDEN else value for key, value in body.items()}
    elif isinstance(body, list):
        return "[" + ",".join(excerpt(item, secrets) for item in body)[: KEPT_BYTES - 2] + "]"
    return scrub(json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=str), secrets)[:KEPT_BYTES]


def reply_excerpt(reply: Reply | None, secrets: Sequence[str]) -> str:
    """A reply's text as an attempt keeps it: bounded, known secrets taken out."""
    if reply is None:
        return ""
    text = reply.body[: 4 * KEPT_BYTES].decode("utf-8", "replace").replace("\x00", "")
    return scrub(text, secrets)[:KEPT_BYTES]


def scrub(text: str, secrets: Sequence[str]) -> str:
    """The text without known secrets, also as base64, percent-encoded and as JSON writes them."""
    for secret in secrets:
        for form in _forms(secret):
            if form in text:
                text = text.replace(form, "***")
    return text


@lru_cache(maxsize=256)
def _forms(secret: str) -> tuple[str, ...]:
    encoded = base64.b64encode(secret.encode()).decode()
    return tuple(
        dict.fromkeys([secret, encoded, encoded.rstrip("="), quote(secret, safe=""), json.dumps(secret)[1:-1]])
    )


def credentials(auth: Mapping[str, str]) -> list[str]:
    """What a call's credential headers carry, without the scheme before it."""
    return [value.rpartition(" ")[2] for value in auth.values() if value]


def path_of(url: str) -> str:
    """Path and query of a URL: what an attempt keeps of it."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path

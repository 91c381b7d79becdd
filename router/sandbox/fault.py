"""Faults on request: what goes wrong, for which calls, how often. And their text form for the command line."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from router.errors import ConfigError
from router.nearest import closest
from router.sandbox.api import Api, Request


class FaultKind(StrEnum):
    """What goes wrong. `KINDS` says it in words."""

    STATUS = "status"
    FAIL = "fail"
    HTML = "html"
    EMPTY = "empty"
    REDIRECT = "redirect"
    ECHO = "echo"
    LATENCY = "latency"
    HOLD = "hold"
    LATE = "late"
    LAG = "lag"
    FORGET = "forget"
    DOWN = "down"
    RESET = "reset"
    CUT = "cut"
    CUT_STATUS = "cut-status"
    CUT_HEADERS = "cut-headers"
    CUT_BODY = "cut-body"
    CUT_CHUNK = "cut-chunk"
    CONTINUE = "continue"
    UNFRAMED = "unframed"
    UNFRAMED_CUT = "unframed-cut"
    DRIP_STATUS = "drip-status"
    DRIP_HEADERS = "drip-headers"
    DRIP_BODY = "drip-body"
    STALE = "stale"
    HUGE = "huge"
    BOMB = "bomb"
    MANY_HEADERS = "many-headers"
    BIG_HEADER = "big-header"


@dataclass(frozen=True, slots=True)
class Trait:
    """What a kind of fault does by itself."""

    says: str
    #: whether the call takes effect, unless the fault says otherwise
    applied: bool
    #: what `seconds` means for it; empty: nothing
    seconds: str = ""
    #: `seconds`, if the fault does not say
    default_s: float = 0.0


KINDS: Mapping[FaultKind, Trait] = {
    FaultKind.STATUS: Trait("answers with this status in the vendor's words, such as 429 or 503", False),
    FaultKind.FAIL: Trait("answers 200 with the vendor's failure body", False),
    FaultKind.HTML: Trait("answers 200 with a page of HTML", False),
    FaultKind.EMPTY: Trait("answers 200 with an empty body", False),
    FaultKind.REDIRECT: Trait("answers 302 (or the given 3xx) to another host", False),
    FaultKind.ECHO: Trait("answers 400 with the request's headers and body in the body", False),
    FaultKind.LATENCY: Trait("answers later", True, "wait", 1.0),
    FaultKind.HOLD: Trait("answers only when healed", True),
    FaultKind.LATE: Trait("closes without an answer, applies the call later", False, "until applied", 40.0),
    FaultKind.LAG: Trait("answers at once, applies the call later", False, "until applied", 5.0),
    FaultKind.FORGET: Trait("forgets the vendor's own ids of the people in the call, then answers", True),
    FaultKind.DOWN: Trait("closes kept connections and each new one without reading the request to its end", False),
    FaultKind.RESET: Trait("resets the connection instead of an answer", False),
    FaultKind.CUT: Trait("applies the call, closes without an answer", True),
    FaultKind.CUT_STATUS: Trait("closes inside the status line", True),
    FaultKind.CUT_HEADERS: Trait("closes inside the headers", True),
    FaultKind.CUT_BODY: Trait("closes in the middle of the body", True),
    FaultKind.CUT_CHUNK: Trait("closes inside a chunk of a chunked body", True),
    FaultKind.CONTINUE: Trait("sends 100 Continue, then closes", True),
    FaultKind.UNFRAMED: Trait("whole answer without Content-Length, ended by closing", True),
    FaultKind.UNFRAMED_CUT: Trait("half the body without Content-Length, then closes", True),
    FaultKind.DRIP_STATUS: Trait("sends the answer byte by byte", True, "between bytes", 0.3),
    FaultKind.DRIP_HEADERS: Trait("sends headers and body byte by byte", True, "between bytes", 0.3),
    FaultKind.DRIP_BODY: Trait("sends the body byte by byte", True, "between bytes", 0.3),
    FaultKind.STALE: Trait("answers, promises to keep the connection, closes it", True),
    FaultKind.HUGE: Trait("answers 200 with a body of 1 GB", False),
    FaultKind.BOMB: Trait("answers 200 with 256 MB of zeros as a small gzip body", False),
    FaultKind.MANY_HEADERS: Trait("the answer has 150 more headers", True),
    FaultKind.BIG_HEADER: Trait("the answer has a header of 70 KB", True),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One scripted fault of a destination. It fires on each call it matches, until it is used up or healed."""

    kind: FaultKind
    #: of `STATUS` and `REDIRECT`
    status: int = 0
    #: added to the answer of `STATUS` and `REDIRECT`, in place of the vendor's own of that name
    headers: Mapping[str, str] = field(default_factory=dict)
    #: in place of the vendor's own body of `STATUS`
    body: bytes | None = None
    #: see `Trait.seconds`; None: its default
    seconds: float | None = None
    #: whether the call takes effect; None: as the kind does by itself
    applied: bool | None = None
    #: only calls of this method
    method: str | None = None
    #: only calls in whose path (undecoded) this regular expression is found
    path: str | None = None
    #: only calls about this person
    profile: str | None = None
    #: only calls in whose body (decoded as UTF-8) this text stands
    contains: str | None = None
    #: how often it fires; None: without end
    count: int | None = None
    #: how long it lasts, in seconds from when it was set; None: until healed
    lasts_s: float | None = None
    #: how likely a matching call is hit
    probability: float = 1.0
    seed: int = 0

    @property
    def applies(self) -> bool:
        """Whether the call takes effect (at once; `late` and `lag` apply theirs later)."""
        return KINDS[self.kind].applied if self.applied is None else self.applied

    @property
    def delay_s(self) -> float:
        """`seconds`, or the kind's default."""
        return KINDS[self.kind].default_s if self.seconds is None else self.seconds


class ArmedFault:
    """A fault in force at one destination."""

    def __init__(self, fault: Fault, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self.fault = fault
        self.fired = 0
        self._clock = clock
        self._since = clock()
        self._dice = random.Random(fault.seed)
        self._path = re.compile(fault.path) if fault.path else None

    def remaining_s(self) -> float | None:
        """Seconds it still lasts; None: no end is set."""
        if self.fault.lasts_s is None:
            return None
        return self._since + self.fault.lasts_s - self._clock()

    def over(self) -> bool:
        """Whether it will never fire again."""
        remaining = self.remaining_s()
        used_up = self.fault.count is not None and self.fired >= self.fault.count
        return used_up or (remaining is not None and remaining <= 0)

    def fires(self, request: Request, api: Api) -> bool:
        """Whether it hits this call, which then counts."""
        fault = self.fault
        hit = (
            not self.over()
            and (fault.method is None or fault.method == request.method)
            and (self._path is None or self._path.search(request.target) is not None)
            and (fault.profile is None or fault.profile in api.profiles(request))
            and (fault.contains is None or fault.contains in request.body.decode("utf-8", "replace"))
            and (fault.probability >= 1 or self._dice.random() < fault.probability)
        )
        self.fired += hit
        return hit


_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)\Z")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_WORDS = {"applied": {"applied": True}, "unapplied": {"applied": False}}
_OPTIONS = ("method", "path", "profile", "contains", "seed", "to")
GRAMMAR = (
    "DESTINATION:WHAT[:SECONDS of it][:how long, 30s, or how often, 10][:how likely, 20%][:applied or unapplied]"
    "[:method=PUT][:path=REGEX][:profile=ID][:contains=TEXT][:seed=1]"
)


def parse_fault(text: str) -> tuple[str, Fault]:
    """Destination and fault of a text such as `channel:429:30s`, `moengage:latency:2s`, `moesif:503:10`, `crm:cut`.

    The first duration of a kind that has one (`latency`, `late`, `lag`, `drip-…`) is its own, the next says how long
    the fault lasts; a whole number says how often it fires. Raises `ConfigError` that lists what exists.
    """
    destination, *parts = _split(text)
    if not destination or not parts:
        raise ConfigError(f"fault {text!r}: write {GRAMMAR}; WHAT is a status, {_kinds()}")
    fault = _named(parts[0], text)
    own = bool(KINDS[fault.kind].seconds)
    for part in parts[1:]:
        given = _part(part, fault, text, own)
        own = own and "seconds" not in given
        fault = replace(fault, **given)
    if fault.path is not None:
        try:
            re.compile(fault.path)
        except re.error as error:
            raise ConfigError(f"fault {text!r}: path is no regular expression: {error}") from None
    return destination, fault


def _split(text: str) -> list[str]:
    """At colons. `\\:` stands for one inside a part; `to=`, which comes last, takes the rest as it is."""
    head, found, url = text.partition(":to=")
    parts = [part.replace("\\:", ":") for part in re.split(r"(?<!\\):", head)]
    return [*parts, f"to={url}"] if found else parts


def _named(word: str, text: str) -> Fault:
    if re.fullmatch(r"[1-9][0-9]{2}", word):
        status = int(word)
        return Fault(FaultKind.REDIRECT if status in (301, 302, 303, 307, 308) else FaultKind.STATUS, status=status)
    try:
        kind = FaultKind(word)
    except ValueError:
        near = closest(word, FaultKind, like=0.6)
        hint = f"; did you mean '{near}'?" if near else "."
        raise ConfigError(
            f"fault {text!r}: no fault {word!r}{hint} There are a status such as 503, {_kinds()}"
        ) from None
    if kind is FaultKind.STATUS:
        raise ConfigError(f"fault {text!r}: write the status itself, as in channel:503")
    return Fault(kind, status=302 if kind is FaultKind.REDIRECT else 0)


def _kinds() -> str:
    return ", ".join(kind for kind in FaultKind if kind is not FaultKind.STATUS)


def _part(part: str, fault: Fault, text: str, own_s: bool) -> dict[str, Any]:
    duration = _DURATION.match(part)
    if duration:
        seconds = float(duration[1]) * _UNITS[duration[2]]
        return {"seconds": seconds} if own_s else {"lasts_s": seconds}
    if re.fullmatch(r"[1-9][0-9]{0,8}", part):
        return {"count": int(part)}
    if re.fullmatch(r"(?:100|[1-9]?[0-9])%", part):
        return {"probability": int(part[:-1]) / 100}
    if part in _WORDS:
        return dict(_WORDS[part])
    name, equals, value = part.partition("=")
    if equals and name in _OPTIONS and value:
        if name == "to":
            return {"headers": {**fault.headers, "location": value}}
        if name == "seed" and not value.isdecimal():
            raise ConfigError(f"fault {text!r}: seed is a whole number")
        return {name: int(value) if name == "seed" else value}
    raise ConfigError(f"fault {text!r}: {part!r} is not understood; write {GRAMMAR}")

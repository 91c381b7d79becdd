"""What a local provider API is: a request in, an answer out, and state that can be read back. No socket here."""

from __future__ import annotations

import base64
import binascii
import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NoReturn

from router.errors import ConfigError

#: seconds since 1970, as `time.time`
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class SandboxDestination:
    """One destination to serve: which API, and the credentials it demands."""

    #: the first segment of every path
    name: str
    #: `moengage`, `engagelab`, `channel`, `moesif` or `http`
    kind: str
    #: the destination's account settings with secrets in clear, and what `docs/sandbox.md` lists beside them
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: calls (MoEngage: users) per window of the write endpoint; None: the vendor's own limit; 0: no limit
    limit: int | None = None
    #: length of the window in seconds; None: the vendor's own
    window_s: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came off the wire."""

    method: str
    #: the provider's own path with its query, undecoded
    target: str
    #: lower-case name → value; repeated headers are joined with a comma
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path without the query, undecoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the question mark, undecoded."""
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answers. `applied` says whether it changed what is stored."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    applied: bool = False


class Refusal(Exception):
    """Ends the handling of a request with an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Window:
    """A limit of calls per fixed window, as the vendors describe theirs. A limit of 0 is none."""

    def __init__(self, limit: int, window_s: float, clock: Clock) -> None:
        self.limit = limit
        self._window_s = window_s
        self._clock = clock
        self._number = -1
        self._used = 0

    def take(self, calls: int = 1) -> bool:
        """Whether that many calls still fit into the window that is open now. A refused one uses nothing."""
        self._roll()
        if self.limit and self._used + calls > self.limit:
            return False
        self._used += calls
        return True

    @property
    def remaining(self) -> int:
        """Calls left in the window that is open now."""
        self._roll()
        return max(0, self.limit - self._used)

    @property
    def resets_at(self) -> float:
        """When the next window opens, in seconds since 1970."""
        self._roll()
        return (self._number + 1) * self._window_s

    def wait_s(self) -> float:
        """Seconds until the next window opens."""
        return max(0.0, self.resets_at - self._clock())

    def _roll(self) -> None:
        number = int(self._clock() // self._window_s)
        if number != self._number:
            self._number, self._used = number, 0


class Api(ABC):
    """One vendor's API, for one destination. `handle` runs on the server's thread only, one request at a time."""

    kind: ClassVar[str]
    #: settings without which the API cannot tell friend from foe
    required: ClassVar[Sequence[str]] = ()
    #: everything that is stored, so that a request can be rehearsed and undone
    state: Any

    def __init__(self, destination: SandboxDestination, clock: Clock) -> None:
        """Raises `ConfigError` if a setting it demands is missing."""
        missing = [name for name in self.required if not destination.settings.get(name)]
        if missing:
            raise ConfigError(f"sandbox {destination.name}: {self.kind} needs the setting {' and '.join(missing)}")
        self.settings = destination.settings
        self.clock = clock

    @abstractmethod
    def respond(self, request: Request) -> Answer:
        """Authenticate, validate, apply. May raise `Refusal`."""

    @abstractmethod
    def held(self, profile: str) -> dict[str, Any] | None:
        """The stored copy of one person in the vendor's own words, None if there is none. Not a copy: do not change."""

    @abstractmethod
    def edit(self, profile: str, values: Mapping[str, Any]) -> bool:
        """Change the stored copy by hand, behind everybody's back. False if there is no such person."""

    @abstractmethod
    def profiles(self, request: Request) -> Sequence[str]:
        """The ids of the people a request is about, as far as it can be read."""

    @abstractmethod
    def failure(self, status: int, wait_s: float | None = None) -> Answer:
        """How the vendor words a failure of this status; `wait_s` goes where the vendor says how long to wait."""

    def forget(self, profiles: Sequence[str]) -> int:
        """Give the people new ids of the vendor's own, where calls carry such; the old ones are unknown from now on.
        How many got one."""
        return 0

    def handle(self, request: Request) -> Answer:
        """The whole answer to one request."""
        try:
            return self.respond(request)
        except Refusal as refusal:
            return refusal.answer

    def rehearse(self, request: Request) -> Answer:
        """The answer that `handle` would give, with nothing applied."""
        kept = copy.deepcopy(self.state)
        try:
            return replace(self.handle(request), applied=False)
        finally:
            self.state = kept


def json_answer(status: int, value: Any, headers: Mapping[str, str] | None = None, *, applied: bool = False) -> Answer:
    """An answer with a JSON body."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, body, {"content-type": "application/json", **(headers or {})}, applied)


def read_json(body: bytes) -> Any:
    """The body as JSON in the strict sense: UTF-8, and no NaN or Infinity. Raises `ValueError`."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def media_type(request: Request) -> str:
    """The media type in lower case without parameters; empty if the header is missing."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """User and password of HTTP Basic authentication; None if the header is missing or damaged."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number (a boolean is not)."""
    return isinstance(value, int | float) and not isinstance(value, bool)

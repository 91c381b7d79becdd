"""The calls that a change makes at an empty lane, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from router.errors import BuildError
from router.model import Call, Change
from router.profile import fold
from router.providers.drive import drive
from router.ruleset.destinations import Destination

#: stands for the id in a path
USER = "{user}"
#: an id that is in no path, and needs no escapes
_ANYBODY = "anybody-0f8e7d6c5b4a"


class Request(NamedTuple):
    """One call, without host and credentials."""

    method: str
    #: path and query, escaped
    path: str
    body: Any

    @property
    def text(self) -> str:
        """Method and path, as in `PUT /v2/people/u1`."""
        return f"{self.method} {self.path}"


class Rendered(NamedTuple):
    """What one change makes at one destination."""

    calls: tuple[Request, ...]
    #: why the provider cannot say it, or refuses it; empty if all is well
    fault: str = ""


def calls_of(destination: Destination, change: Change) -> Rendered:
    """The calls of one change at an empty lane, each answered with its documented success.

    The person is known to the provider: calls that only resolve an id are left out.
    """
    provider = destination.provider
    result = fold({}, {}, [change])
    if not result.sending:
        return Rendered(())
    delta = result.delta(change.profile, provider.example_handle)
    try:
        driven = drive(provider.upsert(delta), provider.example_reply)
    except BuildError as error:
        return Rendered((), str(error))
    return Rendered(tuple(_request(call) for call in driven.calls if call.writes))


def paths_of(calls: Sequence[Request], likes: Sequence[Request]) -> tuple[str, ...]:
    """Method and path of each of these calls, with `USER` where the id stands; `likes` is what `likes_of` gave."""
    return tuple(call.text.replace(_ANYBODY, USER) for call in likes) or tuple(call.method for call in calls)


def likes_of(destination: Destination, change: Change, calls: Sequence[Request]) -> tuple[Request, ...]:
    """For each of these calls of a change the one for another id; none if they are not as many."""
    found = calls_of(destination, _of_anybody(change)).calls
    # an id of another length may make a body too long
    return found if len(found) == len(calls) else ()


def _of_anybody(change: Change) -> Change:
    return Change(_ANYBODY, change.version, change.revision, change.fields, change.omitted)


def _request(call: Call) -> Request:
    parts = urlsplit(call.url)
    return Request(call.method, f"{parts.path}?{parts.query}" if parts.query else parts.path, call.body)

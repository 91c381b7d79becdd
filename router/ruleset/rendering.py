"""The calls that a change makes at an empty lane, without a network."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from router.errors import BuildError
from router.model import Call, Change
from router.profile import fold
from router.providers.drive import drive
from router.ruleset.destinations import Destination


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


def _request(call: Call) -> Request:
    parts = urlsplit(call.url)
    return Request(call.method, f"{parts.path}?{parts.query}" if parts.query else parts.path, call.body)

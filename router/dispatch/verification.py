"""Verify: ask a provider what it holds of a person, and lay it beside what we believe it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.dispatch.conversation import Send
from router.errors import BuildError, TransportError
from router.model import Delta, ReadBack, Reply, TagsDelta
from router.profile import Fold, Registers
from router.ruleset import Destination


@dataclass(frozen=True, slots=True)
class Copy:
    """One provider's copy of one person, read back."""

    destination: str
    profile: str
    read: ReadBack

    @property
    def verdict(self) -> str:
        """`equal`, `differs`, `unreadable`, or `nothing` where no value is known to compare."""
        if self.read.unreadable:
            return "unreadable"
        if not self.read.expected:
            return "nothing"
        if not self.read.found:
            return "differs"
        return "differs" if self.read.differences() else "equal"


def believed(registers: Registers, profile: str, handle: str | None) -> Delta:
    """What a lane's confirmed registers say the provider holds."""
    return Fold(registers, {}, {}, {}).delta(profile, handle)


def expected(profile: str, held: Mapping[str, Any], tags: tuple[str, ...] | None, handle: str | None) -> Delta:
    """The same from plain values: field → value, and the tags if they are known."""
    return Delta(profile, {}, None if tags is None else TagsDelta(held=tags), held, handle)


def read_back(destination: Destination, delta: Delta, send: Send) -> Copy:
    """Ask the provider. What cannot be read is an answer, not an error; nobody is created."""
    if not destination.provider.abilities.read:
        reason = f"{destination.provider.label} has no call to read a person back"
        return Copy(destination.name, delta.profile, ReadBack(False, unreadable=reason))
    conversation = destination.provider.read(delta)
    reply: Reply | None = None
    try:
        while True:
            call = conversation.send(reply)  # type: ignore[arg-type]  # None starts a generator
            reply = send(call, destination.timeout_s, {})
    except StopIteration as end:
        read: ReadBack = end.value
    except (TransportError, BuildError) as error:
        conversation.close()
        read = ReadBack(False, unreadable=str(error))
    return Copy(destination.name, delta.profile, read)

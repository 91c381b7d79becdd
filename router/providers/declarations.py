"""What providers and destinations declare: abilities, options, places, and problems with names and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.providers.render import Path


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a provider's API can do by itself."""

    #: set a value only if there is none
    once: bool = False
    #: remove a value (see also `Provider.clears`)
    clear: bool = False
    #: tricks a destination may choose for `clear`, such as `send-null`
    clear_tricks: tuple[str, ...] = ()
    #: add and remove single tags; replacing the whole list is always possible
    tags_edit: bool = False
    #: channels of consent it knows
    consent: frozenset[str] = frozenset({"email", "sms", "push"})
    #: most lanes in one call
    batch: int = 1
    #: attribute names must be known beforehand (`properties` of the destination)
    closed_names: bool = False
    #: a profile can be read back
    read: bool = True


@dataclass(frozen=True, slots=True)
class Options:
    """What a destination says beside the account settings (`destinations.yaml`)."""

    #: field → the provider's name
    rename: Mapping[str, str] = field(default_factory=dict)
    #: what to do where the ability is lacking: `set` or `drop`
    once: str | None = None
    #: `keep`, or one of `Abilities.clear_tricks`
    clear: str | None = None
    #: `replace` or `drop`
    tags: str | None = None
    #: IANA zone for providers whose times carry none
    timezone: str = "UTC"
    #: scheme, host and path prefix in place of every host of the provider; None: its own
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a name, leaf or body is not acceptable to a provider."""

    #: a code of the static checks: `provider-field`, `provider-type`, `reserved-name`, `send-overlap`
    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field stands in the body."""

    #: the way to the object it is a member of: one tuple for all members of an object, but for the leaves of `send`
    way: Path
    key: str
    #: a leaf of `send`
    leaf: bool

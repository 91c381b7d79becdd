"""What a provider is: declarations, and conversations without I/O.

A provider turns a `Delta` into calls and replies into an `Outcome`. It never opens a connection, reads the clock or the
settings, and keeps no state: two conversations of one provider may run at the same time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from marshmallow import Schema

from router.model import BatchConversation, Conversation, Delta, ReadConversation
from router.settings import Secret


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


class Provider(ABC):
    """One vendor's API, bound to one configured account of it."""

    #: the word in `provider:`
    name: ClassVar[str]
    #: the vendor's own spelling
    label: ClassVar[str]
    abilities: ClassVar[Abilities]
    #: account settings; secret fields carry `metadata={"secret": True}`
    Account: ClassVar[type[Schema]]
    #: field → the provider's own name, where it is not the field's with dots as underscores
    own_names: ClassVar[Mapping[str, str]] = {}
    #: calls per time unless the destination says otherwise, as in `10000/m`; None: no limit
    default_rate: ClassVar[str | None] = None
    #: seconds to wait after an ambiguous call before other values are sent
    settle_s: ClassVar[float] = 30.0
    #: seconds to wait when throttled without being told how long
    throttle_s: ClassVar[float] = 60.0
    #: the handle with which tests and `explain` answer a call that resolves an id
    example_handle: ClassVar[str | None] = None

    def __init__(
        self, account: Mapping[str, Any], options: Options, reveal: Callable[[Secret], str] = Secret.reveal
    ) -> None:
        """`account` is what `Account().load` gave, secrets as `Secret`. `reveal` turns a secret into text: the
        default resolves it, checks and traces pass `str`, which gives the reference."""
        self.account = account
        self.options = options
        self._reveal = reveal

    # --- declarations that depend on the destination's options --------------------------------------------------

    def name_of(self, field_name: str) -> str | None:
        """The provider's name of a trait, `company.x`, `consent.x` or `tags`, after `rename`. None: it has no place."""
        raise NotImplementedError

    def place(self, field_name: str) -> str | None:
        """The JSON Pointer of the body at which a field is rendered, such as `/attributes/email`. None: no place."""
        raise NotImplementedError

    def fixed_places(self) -> Mapping[str, str]:
        """Pointers that the router writes itself and that `send` may not touch → what to write instead
        (`/unsubscribeEmail` → `consent.email`)."""
        raise NotImplementedError

    def clears(self, field_name: str) -> bool:
        """Whether the API itself (no trick) can clear this field."""
        return self.abilities.clear

    def name_problem(self, name: str) -> Problem | None:
        """Why an attribute name (after `rename`) is refused by the vendor, if it is."""
        return None

    def leaf_problem(self, pointer: Sequence[str], value: Any = ...) -> Problem | None:
        """Why a leaf of `send` at this path is not in the body schema, or its literal value has the wrong type there.

        `value` is `...` where it is known only at run time.
        """
        raise NotImplementedError

    def id_problem(self, profile: str) -> Problem | None:
        """Why the vendor refuses this profile id, if it does."""
        return None

    # --- conversations ------------------------------------------------------------------------------------------

    @abstractmethod
    def upsert(self, delta: Delta) -> Conversation:
        """Bring one profile to the state of `delta`. Raises `BuildError` where preflight refuses."""

    def upsert_many(self, deltas: Sequence[Delta]) -> BatchConversation:
        """The same for many profiles in one call, one outcome each. Only if `abilities.batch > 1`."""
        raise NotImplementedError

    def read(self, delta: Delta) -> ReadConversation:
        """Read one profile back and lay it beside `delta.held` and `delta.tags.held`. Never creates anybody."""
        raise NotImplementedError

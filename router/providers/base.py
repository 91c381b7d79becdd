"""What a provider is: declarations, and conversations without I/O.

A provider turns a `Delta` into calls and replies into an `Outcome`. It never opens a connection, reads the clock or the
settings, and keeps no state: two conversations of one provider may run at the same time.

A vendor is mostly declarations: `into` and `fixed_paths` say where a field goes, `statuses` and `errors` what a reply
means, `Account` and `Body` what is accepted. What is odd about it is in its `upsert`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from marshmallow import INCLUDE, Schema

from router.errors import BuildError
from router.model import (
    BatchConversation,
    Call,
    Conversation,
    Delta,
    Instant,
    OpKind,
    Outcome,
    OutcomeKind,
    ReadBack,
    ReadConversation,
    Reply,
    TagsDelta,
)
from router.nearest import nearest
from router.providers.accounts import secrets_in
from router.providers.bodies import Attributes, Members, Piece, find_piece, schema_of
from router.providers.declarations import Abilities, Options, Place, Problem
from router.providers.judge import STATUSES, Advice, is_complete, judge_status
from router.providers.render import (
    Path,
    basic_auth,
    body_bytes,
    header_value,
    join_pointer,
    look,
    rendered,
    seconds_utc,
    segment,
    split_pointer,
)
from router.settings import Secret

__all__ = ["CONSENT", "SEND", "Abilities", "Options", "Problem", "Provider"]

#: what a leaf of `send` is called among the fields
SEND = "send:"
CONSENT = "consent."
_UNSET: Final = OpKind.UNSET
#: values that every provider takes as they are
_AS_IT_IS: Final = frozenset({str, int, float})


class Provider(ABC):
    """One vendor's API, bound to one configured account of it."""

    #: the word in `provider:`
    name: ClassVar[str]
    #: the vendor's own spelling
    label: ClassVar[str]
    abilities: ClassVar[Abilities]
    #: account settings; secret fields carry `metadata={"secret": True}`
    Account: ClassVar[type[Schema]]
    #: the body of a write; what it names may be sent
    Body: ClassVar[type[Schema]]
    #: field → the provider's own name, where it is not the field's with dots as underscores
    own_names: ClassVar[Mapping[str, str]] = {}
    #: place of every field that has none of its own
    into: Path = ()
    #: field → its place, where the name is not free
    fixed_paths: ClassVar[Mapping[str, Path]] = {}
    #: consents whose value says "may not send"
    inverted: ClassVar[frozenset[str]] = frozenset()
    #: status → outcome, where this API differs from the defaults
    statuses: ClassVar[Mapping[int, OutcomeKind]] = {}
    #: error code, type or status → what it means; a reason starts with one of them and a colon
    errors: ClassVar[Mapping[str, Advice]] = {}
    #: the vendor's documentation
    docs_url: ClassVar[str] = ""
    #: largest body, bytes of UTF-8; None: not known
    max_body_bytes: ClassVar[int | None] = None
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
        self._body = schema_of(self.Body)
        #: kind → field → its place, filled as fields come by
        self._places: dict[OpKind, dict[str, Place]] = {OpKind.SET: {}, OpKind.UNSET: {}, OpKind.ONCE: {}}
        self._ways: dict[Path, Path] = {}
        #: what `place` has found, for the fields that rules name
        self._pointers: dict[tuple[OpKind, str], str | None] = {}

    def secrets(self) -> list[Secret]:
        """Every reference in the account settings, however deep it stands: what must never be shown."""
        return secrets_in(self.account)

    # --- declarations that depend on the destination's options --------------------------------------------------

    def name_of(self, field_name: str) -> str | None:
        """The provider's name of a trait, `company.x`, `consent.x` or `tags`, after `rename`. None: it has no place."""
        path = self.path_of(field_name)
        return path[-1] if path else None

    def name_is_free(self, field_name: str) -> bool:
        """Whether `rename` can give the field another name."""
        return field_name not in self.fixed_paths

    def place(self, field_name: str, kind: OpKind = OpKind.SET) -> str | None:
        """The JSON Pointer of the body at which a field is rendered, such as `/attributes/email`. None: no place."""
        key = (kind, field_name)
        if key not in self._pointers:
            path = self.path_of(field_name, kind)
            self._pointers[key] = None if path is None else join_pointer(path)
        return self._pointers[key]

    def path_of(self, field_name: str, kind: OpKind = OpKind.SET) -> Path | None:
        """The keys of `place`; of a leaf of `send`, its own."""
        if field_name.startswith(SEND):
            return split_pointer(field_name[len(SEND) :])
        if field_name.startswith(CONSENT) and field_name[len(CONSENT) :] not in self.abilities.consent:
            return None
        fixed = self.fixed_paths.get(field_name)
        if fixed is not None:
            return fixed
        name = self.options.rename.get(field_name) or self.own_names.get(field_name)
        if name is None:
            is_consent = field_name.startswith(CONSENT)
            name = f"{field_name[len(CONSENT) :]}_consent" if is_consent else field_name.replace(".", "_")
        return (*self.into, name)

    def fixed_places(self) -> Mapping[str, str]:
        """Pointers that the router writes itself and that `send` may not touch → what to write instead
        (`/unsubscribeEmail` → `consent.email`), empty where there is nothing."""
        fields = ["tags", *(CONSENT + channel for channel in sorted(self.abilities.consent))]
        return {pointer: name for name in fields if (pointer := self.place(name)) is not None}

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
        fields = self._body.fields
        piece, depth = find_piece(fields, pointer)
        if piece is None:
            return Problem(
                "provider-field", f"{self.name} has no field '{pointer[depth - 1]}'", self._nearest(pointer[:depth])
            )
        place, rest = ".".join(pointer[:depth]), pointer[depth:]
        if not rest:
            fault = "" if value is ... else piece.fault(value)
        elif isinstance(piece, Attributes):
            place = f"{place}.{rest[0]}"
            if fault := piece.names(rest[0]):
                return Problem("reserved-name", f"{self.name} {fault}")
            inside = len(rest) > 1
            fault = "is not an object" if inside and not piece.deep else ""
            if not fault and not inside and value is not ...:
                fault = piece.values(rest[0], value)
        else:
            fault = f"is {piece.noun}"
        return Problem("provider-type", f"{self.name}.{place} {fault}") if fault else None

    def _nearest(self, path: Sequence[str]) -> str:
        """A hint for a name that is not known at the end of a path."""
        piece, _ = find_piece(self._body.fields, path[:-1])
        known = piece.members if isinstance(piece, Members) else self._body.fields
        fixed = self.fixed_places()
        names = [name for name in known if join_pointer((*path[:-1], name)) not in fixed]
        return nearest(path[-1], names, like=0.6)

    def names_nobody(self) -> bool:
        """Whether no call says whose profile it is, as the account is set."""
        return False

    def id_problem(self, profile: str) -> Problem | None:
        """Why the vendor refuses this profile id, if it does."""
        return None if profile else Problem("reserved-name", f"{self.name} takes no empty id")

    def advice(self, reason: str) -> Advice | None:
        """What the reason of an outcome means, from this provider's error table or that of all statuses."""
        code = reason.partition(":")[0]
        return self.errors.get(code) or STATUSES.get(code)

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

    @abstractmethod
    def example_reply(self, call: Call) -> Reply:
        """The documented success of a call, for tests, traces and `explain`."""

    # --- building -----------------------------------------------------------------------------------------------

    def placed(self, delta: Delta, cleared: Any) -> dict[Path, dict[str, Any]]:
        """What goes where: the way to an object of the body → its members, values as JSON, `cleared` for a field that
        is cleared.

        A leaf of `send` at the very place of a trait goes before it. Raises `BuildError` for what cannot be said.
        """
        found: dict[Path, dict[str, Any]] = {}
        leaves: list[tuple[Place, Any]] = []
        places = self._places
        way: Path | None = None
        members: dict[str, Any] = {}
        for name, (kind, value) in delta.fields.items():
            try:
                place = places[kind][name]
            except KeyError:
                place = self._find_place(name, kind)
            if type(value) not in _AS_IT_IS:
                if kind is not _UNSET:
                    value = self.value_of(name, value)
                elif self._may_clear(name):
                    value = cleared
                else:
                    continue
            if place.way is not way:
                if place.leaf:
                    leaves.append((place, value))
                    continue
                way = place.way
                members = found.setdefault(way, {})
            members[place.key] = value
        for place, value in leaves:
            found.setdefault(place.way, {})[place.key] = value
        return found

    def _find_place(self, field_name: str, kind: OpKind) -> Place:
        """The place of a field that came by for the first time. Raises `BuildError` if it has none."""
        path = self.path_of(field_name, kind)
        if path is None:
            raise BuildError(f"{self.name} has no place for {field_name}")
        leaf = field_name.startswith(SEND)
        way = path[:-1] if leaf else self._ways.setdefault(path[:-1], path[:-1])
        return self._places[kind].setdefault(field_name, Place(way, path[-1], leaf))

    def _may_clear(self, field_name: str) -> bool:
        if self.clears(field_name) or self.options.clear in self.abilities.clear_tricks:
            return True
        if self.options.clear == "keep":
            return False
        raise BuildError(f"{self.name} cannot clear {field_name}")

    def value_of(self, field_name: str, value: Any) -> Any:
        """A field's value as this provider takes it."""
        kind = type(value)
        if kind is bool:
            return value != (field_name in self.inverted)
        if kind is Instant:
            return self.moment(value)
        return rendered(value, self.moment)

    def moment(self, instant: Instant) -> Any:
        """A time as this provider takes it: ISO 8601 with `Z`, in whole seconds."""
        return seconds_utc(instant)

    def tag_list(self, tags: TagsDelta | None) -> list[str] | None:
        """The whole list to write, for providers that can do nothing else. None: nothing changed."""
        if tags is None or (tags.replace is None and not tags.add and not tags.remove):
            return None
        return list(tags.held if tags.replace is None else tags.replace)

    def preflight(self, body: Any, profile: str) -> None:
        """Raises `BuildError` if the vendor would refuse this body or id, or JSON cannot say it."""
        problem = self.id_problem(profile)
        if problem is not None:
            raise BuildError(problem.message)
        pieces = self._body.fields
        for name, value in body.items():
            piece = pieces.get(name)
            if piece is None and self._body.unknown != INCLUDE:
                raise BuildError(f"{self.name} has no field '{name}'")
            if isinstance(piece, Piece) and (fault := piece.fault(value)):
                raise BuildError(f"{self.name}.{name} {fault}")
        self.check_size(body)

    def check_size(self, body: Any) -> int:
        """The body's bytes. Raises `BuildError` if there are too many."""
        size = body_bytes(body)
        if self.max_body_bytes is not None and size > self.max_body_bytes:
            raise BuildError(f"the body has {size} bytes, {self.label} takes {self.max_body_bytes}")
        return size

    def url(self, host: str, path: str) -> str:
        """`path` (escaped, with its slash) at a host of the vendor, or at `base_url` in its place."""
        return (self.options.base_url or f"https://{host}").rstrip("/") + path

    def text(self, setting: str | Secret) -> str:
        """A setting as text, its secret resolved. Raises `SecretError`."""
        return self._reveal(setting) if isinstance(setting, Secret) else setting

    def header(self, setting: str | Secret, name: str) -> str:
        """A setting as a header's value. Raises `SecretError`, `BuildError`."""
        return header_value(self.text(setting), name)

    def basic(self, user: str | Secret, password: str | Secret) -> dict[str, str]:
        """The header of basic authentication. Raises `SecretError`, `BuildError`."""
        return {"Authorization": basic_auth(self.text(user), self.text(password))}

    def segment(self, setting: str | Secret, noun: str) -> str:
        """A setting as one segment of a path. In a trace the reference stays as it is written."""
        text = self.text(setting)
        return text if isinstance(setting, Secret) and text == str(setting) else segment(text, noun)

    # --- judging ------------------------------------------------------------------------------------------------

    def judge(self, reply: Reply) -> Outcome:
        """What completeness and status say; the body contract comes after."""
        return judge_status(reply, self.statuses, self.errors)

    # --- reading back -------------------------------------------------------------------------------------------

    def expected(self, delta: Delta) -> dict[str, Any]:
        """All that the lane holds, as this provider renders it, by field; yes/no in our sense."""
        held = {
            name: self._in_our_sense(name, self.value_of(name, value))
            for name, value in delta.held.items()
            if self.path_of(name)
        }
        return held if delta.tags is None else {**held, "tags": sorted(delta.tags.held)}

    def _in_our_sense(self, field_name: str, value: Any) -> Any:
        """A yes/no of the provider as the router means it: of a field that says the contrary, the contrary."""
        return not value if type(value) is bool and field_name in self.inverted else value

    def compared(self, delta: Delta, document: Any) -> ReadBack:
        """`expected` beside what a document of the write's shape holds at the same places."""
        expected = self.expected(delta)
        actual: dict[str, Any] = {}
        for name in expected:
            path = self.path_of(name)
            value = look(document, path) if path else None
            if value is not None:
                actual[name] = self._in_our_sense(name, value)
        if isinstance(actual.get("tags"), list):
            actual["tags"] = sorted(str(tag) for tag in actual["tags"])
        return ReadBack(True, expected, actual)

    def not_found(self, delta: Delta) -> ReadBack:
        """The provider does not know the profile."""
        return ReadBack(False, self.expected(delta))

    def unreadable(self, delta: Delta, reason: str) -> ReadBack:
        """Nothing could be read."""
        return ReadBack(False, self.expected(delta), {}, reason)

    def read_fault(self, reply: Reply) -> str:
        """Why a reply to a reading call is of no use, or nothing."""
        if not is_complete(reply):
            return "the reply broke off"
        if not 200 <= reply.status < 300:
            return f"status {reply.status}"
        return "" if isinstance(reply.json(), dict) else "the reply is not a JSON object"

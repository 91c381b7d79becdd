"""A rule at work: one event in, one change per destination out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from router.model import Change, Op, OpKind, TagsOp, Version
from router.providers.render import join_pointer
from router.ruleset.language import MISSING, UNSET, Context, FailRule, SkipRule, describe, is_blank
from router.ruleset.leaves import Value
from router.ruleset.matching import Types
from router.ruleset.text import text_of
from router.ruleset.tree import Node, Scalar
from router.ruleset.types import MAX_TRAIT_TEXT, Convert, Unusable, to_text
from router.ruleset.vocabulary import SEND

#: most bytes of a profile's id
MAX_ID_BYTES = 256
#: ids that are a sender's way to say nobody, in lower case
NOBODY = frozenset(
    {"null", "none", "nil", "nan", "undefined", "unknown", "guest", "anonymous", "true", "false", "na", "n/a"}
    | {"id", "uid", "userid", "user_id", "customer_id", "0", "-1", "-2"}
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_SET: Final = OpKind.SET
_ONCE: Final = OpKind.ONCE
#: makes a tuple of some class at half of what calling the class costs
_new: Final = tuple.__new__

#: the one operation that clears
UNSET_OP = Op(OpKind.UNSET)
_NO_TAGS = TagsOp(replace=())

#: a value that is not missing → its operation, or `MISSING`; raises `Unusable`
Make = Callable[[Any], Op | TagsOp | Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One field that a rule may write."""

    #: a trait, `company.x`, `consent.x` or `tags`; of a leaf of `send` also `send:` and its JSON Pointer
    field: str
    #: the section and key, as in `set.email`
    label: str
    #: where it stands
    key: Scalar
    value: Value
    kind: OpKind
    make: Make

    @property
    def may_clear(self) -> bool:
        """Whether it can give `unset`."""
        return self.kind is OpKind.UNSET or any("unset" in leaf.compiled.uses for leaf in self.value.leaves)


@dataclass(frozen=True, slots=True)
class SendStep(Step):
    """One leaf of `send.<destination>`."""

    #: the segments of its pointer
    path: tuple[str, ...]
    #: the keys on the way, one per segment
    keys: tuple[Scalar, ...]

    @property
    def pointer(self) -> str:
        """The field of its own that it is, whatever trait has its place."""
        return SEND + join_pointer(self.path)


#: told of every part of a rule: its label, what was written there, the raw value, and what became of it: an operation,
#: the profile, `MISSING`, the text of why it was left out, or the `SkipRule` or `FailRule` that ended the rule. The
#: context's notes are those of this part
Watch = Callable[[str, Value, Any, Any], None]


@dataclass(frozen=True, slots=True)
class Filter:
    """What of a rule goes to one destination."""

    destination: str
    #: field → why it never goes there
    gone: Mapping[str, str]
    #: field → why it does not go there when it is cleared
    gone_unset: Mapping[str, str]
    sends: tuple[SendStep, ...] = ()


class Planned(NamedTuple):
    """One change for one destination."""

    #: `<source>/<rule>`
    rule: str
    #: position of the rule in its file
    ordinal: int
    destination: str
    change: Change


Fields = dict[str, Op | TagsOp]
#: behind the name of a field among what was left out: not all of its elements
SOME: Final = "[]"


class Partly(NamedTuple):
    """An operation that lacks some elements."""

    made: TagsOp
    #: why; quotes no value
    reason: str


@dataclass(slots=True)
class Result:
    """What one rule says of one event."""

    #: `changed`, `skipped` or `failed`
    state: str
    reason: str = ""
    profile: str = ""
    fields: Fields = field(default_factory=dict)
    #: field → why it was left out
    omitted: dict[str, str] = field(default_factory=dict)
    #: destination → fields of its own, and why some of them were left out
    sends: dict[str, tuple[Fields, dict[str, str]]] = field(default_factory=dict)


@dataclass(slots=True)
class Rule:
    """One rule, compiled."""

    #: `<source>/<rule>`
    id: str
    #: position in its file, from 0
    ordinal: int
    #: where its name stands
    key: Scalar
    #: key → value, as written
    nodes: Mapping[str, Node]
    #: patterns of event types
    when: tuple[str, ...]
    condition: Value | None
    user: Value
    steps: tuple[Step, ...]
    #: the usable destinations, as written
    to: tuple[Scalar, ...]
    #: every destination that it names
    named: frozenset[str]
    #: whether all of it could be read
    sound: bool
    #: destination → leaves of its own
    sends: Mapping[str, tuple[SendStep, ...]]
    #: one per destination, in the order of `to`
    filters: tuple[Filter, ...] = ()
    erase: bool = False
    #: fields that hold an e-mail address or a phone number
    contacts: tuple[str, ...] = ()
    types: Types = field(init=False)

    def __post_init__(self) -> None:
        self.types = Types(self.when)

    @property
    def name(self) -> str:
        """Its name within the file."""
        return self.id.partition("/")[2]

    def matches(self, event_type: str) -> bool:
        """Whether `when` picks this type of event."""
        return self.types.matches(event_type)

    def evaluate(self, context: Context, watch: Watch | None = None) -> Result:
        """What the rule says of one event; `skip` and `fail` are results."""
        label, part, value = "if", self.condition, MISSING
        try:
            if part is not None and (reason := _refusal(part, context, watch)):
                return Result("skipped", reason)
            label, part = "user", self.user
            value = part.run(context)
            profile = profile_of(value)
        except (SkipRule, FailRule) as end:
            if watch is not None and part is not None:
                watch(label, part, value, end)
            return _ended(end, f"{label}: {end.reason}")
        if watch is not None:
            watch("user", self.user, value, profile)
        context.notes.clear()
        result = Result("changed", "", profile)
        try:
            _write(self.steps, context, result.fields, result.omitted, watch)
            for name in self.sends:  # in the order of the file
                each = next(each for each in self.filters if each.destination == name)
                own: tuple[Fields, dict[str, str]] = ({}, {})
                result.sends[name] = own
                _write(each.sends, context, *own, watch)
        except (SkipRule, FailRule) as end:
            return _ended(end, end.reason)
        return result

    def changes(self, result: Result, version: Version, revision: str) -> list[Planned]:
        """One change per destination, each with the fields that are meant for it. Where that is all it is the same."""
        whole = Change(result.profile, version, revision, result.fields, result.omitted)
        return [
            Planned(self.id, self.ordinal, each.destination, _meant_for(each, whole, result.sends))
            for each in self.filters
        ]


def _ended(end: SkipRule | FailRule, reason: str) -> Result:
    return Result("skipped" if isinstance(end, SkipRule) else "failed", reason)


def _refusal(condition: Value, context: Context, watch: Watch | None) -> str:
    """Why the condition is no clear yes; empty if it is."""
    value = condition.run(context)
    if watch is not None:
        watch("if", condition, value, value)
    context.notes.clear()
    if value is True:
        return ""
    return f"if: {' '.join(condition.text.split())} is {'no' if value is False else 'unknown'}"


def _write(
    steps: Iterable[Step], context: Context, fields: Fields, omitted: dict[str, str], watch: Watch | None
) -> None:
    """Lay what the steps give into `fields`, and why others gave nothing into `omitted`."""
    notes = context.notes
    made: Any
    for step in steps:
        try:
            value = step.value.run(context)
            made = value if value is MISSING else step.make(value)
        except Unusable as error:
            made = error.reason
        except (SkipRule, FailRule) as end:
            if watch is not None:
                watch(step.label, step.value, MISSING, end)
            raise type(end)(f"{step.label}: {end.reason}") from None
        if type(made) is Op:
            fields[step.field] = made
        else:
            if made is MISSING and notes:
                made = notes[0]
            elif type(made) is Partly:
                notes.append(made.reason)
                made = made.made
            if type(made) is str:
                omitted[step.field] = made
            elif made is not MISSING:
                fields[step.field] = made
        if watch is not None:
            watch(step.label, step.value, value, made)
        if notes:
            if type(made) is TagsOp or (type(made) is Op and type(made.value) is list):
                omitted[step.field + SOME] = notes[0]
            notes.clear()


def _meant_for(each: Filter, whole: Change, sends: Mapping[str, tuple[Fields, dict[str, str]]]) -> Change:
    """What of a change goes to one destination, and why the rest does not."""
    if not (each.gone or each.gone_unset or each.sends):
        return whole
    fields, omitted = dict(whole.fields), dict(whole.omitted)
    for name, why in each.gone.items():
        if fields.pop(name, None) is not None:
            omitted[name] = why
            if whole.omitted:
                omitted.pop(name + SOME, None)
    for name, why in each.gone_unset.items():
        if fields.get(name) is UNSET_OP:
            del fields[name]
            omitted[name] = why
    if each.sends:
        own, left_out = sends[each.destination]
        for name, why in left_out.items():
            # where a leaf gives nothing the trait at its place stays, and what is told is told of the leaf
            omitted[name if name not in fields else next(s.pointer for s in each.sends if s.field == name)] = why
        for name, op in own.items():
            reason = each.gone_unset.get(name) if op is UNSET_OP else None
            if reason is None:
                fields[name] = op
                omitted.pop(name, None)
            else:
                fields.pop(name, None)
                omitted[name] = reason
    return Change(whole.profile, whole.version, whole.revision, fields, omitted)


def profile_of(value: Any) -> str:
    """The id of a profile from what `user` gave. Raises `FailRule` where that is nobody's id."""
    if type(value) is int:
        value = str(value)
    if value is MISSING:
        raise FailRule("blank")
    if not isinstance(value, str):
        raise FailRule(f"{describe(value)} is not an id")
    profile = value.strip()
    if len(profile.encode()) > MAX_ID_BYTES:
        raise FailRule(f"longer than {MAX_ID_BYTES} bytes")
    if _CONTROL.search(profile):
        raise FailRule("holds control characters")
    if profile.lower() in NOBODY:
        raise FailRule("an id that stands for nobody")
    return profile


# --- from values to operations -----------------------------------------------------------------------------------


def make_set(convert: Convert) -> Make:
    """`set`: overwrite with the converted value, or clear."""

    def make(value: Any) -> Any:
        if value is UNSET:
            return UNSET_OP
        found = convert(value)
        return found if found is MISSING else _new(Op, (_SET, found))

    def make_text(value: Any) -> Any:
        """The short way for what most fields are."""
        if type(value) is str and len(value) <= MAX_TRAIT_TEXT:
            return _new(Op, (_SET, value.strip()))
        return make(value)

    return make_text if convert is to_text else make


def make_once(convert: Convert) -> Make:
    """`once`: the converted value, if there never was one."""

    def make(value: Any) -> Any:
        found = convert(value)
        return found if found is MISSING else Op(_ONCE, found)

    return make


def make_send(value: Any) -> Op:
    """A leaf of `send`: as it is, or clear."""
    return UNSET_OP if value is UNSET else _new(Op, (_SET, value))


def make_unset(_value: Any) -> Op:
    """`unset`: clear."""
    return UNSET_OP


def make_replace(value: Any) -> Any:
    """`tags`: these and no others."""
    if value is UNSET:
        return _NO_TAGS
    tags, bad = _tags(value)
    if not tags and bad is not None:
        raise bad
    if tags is None:
        return MISSING
    return TagsOp(replace=tags) if bad is None else Partly(TagsOp(replace=tags), bad.reason)


def make_edit(value: tuple[Any, Any]) -> Any:
    """`tags: {add, remove}`: the raw values of both."""
    (added, bad), (removed, bad_too) = (((), None) if part is MISSING else _tags(part) for part in value)
    fault = bad or bad_too
    if added or removed:
        made = TagsOp(add=added or (), remove=removed or ())
        return made if fault is None else Partly(made, fault.reason)
    if fault is not None:
        raise fault
    return MISSING


def _tags(value: Any) -> tuple[tuple[str, ...] | None, Unusable | None]:
    """Texts of tags in code-point order, blanks and repeats left out (None if there were some and none is left), and
    what could not be used."""
    items = value if isinstance(value, list) else [value]
    flat = [each for item in items for each in (item if isinstance(item, list) else (item,))]
    tags: set[str] = set()
    bad: Unusable | None = None
    for each in flat:
        try:
            tags.add(_tag(each))
        except Unusable as error:
            bad = error
    tags.discard("")
    return (tuple(sorted(tags)) if tags or not flat else None), bad


def _tag(value: Any) -> str:
    if is_blank(value):
        return ""
    if type(value) in {str, int, float}:
        return text_of(value).strip()
    raise Unusable(value, "is not a tag")

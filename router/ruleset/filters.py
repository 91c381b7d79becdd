"""What of a rule goes to which destination. Decided at load, so that an event costs a few look-ups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from router.model import OpKind
from router.ruleset.destinations import Destination
from router.ruleset.rules import Filter, SendStep, Step, make_once
from router.ruleset.vocabulary import SEND, Vocabulary

#: a trait that no vendor has a name of its own for: it lies where all others lie
_ORDINARY = "language"


@dataclass(frozen=True, slots=True)
class Target:
    """A destination, and where every field lies in its body."""

    destination: Destination
    #: JSON Pointer → trait or `company.x`, and whether it is set or set once there
    places: Mapping[str, tuple[str, OpKind]]
    #: pointers that the router writes and `send` may not touch → what to write instead
    fixed: Mapping[str, str]
    #: pointer of the object that holds ordinary traits; None: traits have no place here
    container: str | None

    def name_in_properties(self, field: str) -> str | None:
        """The name that `properties` must list for this field; None where the vendor has a place of its own for it."""
        if self.destination.properties is None or self.container is None:
            return None
        place = self.destination.provider.place(field)
        if place is None:
            return None
        parent, _, _ = place.rpartition("/")
        return self.destination.provider.name_of(field) if parent == self.container else None

    def is_unlisted(self, field: str) -> bool:
        """Whether `properties` lacks the name of this field."""
        name = self.name_in_properties(field)
        return name is not None and name not in (self.destination.properties or ())

    def can_clear(self, field: str) -> bool:
        """Whether the field can be cleared, by the API or a trick."""
        provider = self.destination.provider
        return provider.clears(field) or provider.options.clear in provider.abilities.clear_tricks


def target_of(destination: Destination, vocabulary: Vocabulary, company: Iterable[str]) -> Target:
    """`company` are the attributes of the company that any rule writes, as `company.x`."""
    provider = destination.provider
    places: dict[str, tuple[str, OpKind]] = {}
    for kind in (OpKind.SET, OpKind.ONCE) if provider.abilities.once else (OpKind.SET,):
        for field in [*vocabulary.traits, *company]:
            place = provider.place(field, kind)
            if place is not None:
                places.setdefault(place, (field, kind))
    ordinary = provider.place(_ORDINARY)
    container = None if ordinary is None else ordinary.rpartition("/")[0]
    return Target(destination, places, provider.fixed_places(), container)


def filter_of(target: Target, steps: Sequence[Step], sends: Sequence[SendStep]) -> Filter:
    """What of these steps goes to the target, and why the rest does not."""
    gone: dict[str, str] = {}
    gone_unset: dict[str, str] = {}
    for step in steps:
        reason = _why_gone(target, step)
        if reason:
            gone[step.field] = reason
        elif step.may_clear and step.field != "tags" and not target.can_clear(step.field):
            gone_unset[step.field] = "clear: keep"
    placed = tuple(_placed(target, step) for step in sends)
    gone_unset.update(
        {step.field: "clear: keep" for step in placed if step.may_clear and not target.can_clear(step.field)}
    )
    return Filter(target.destination.name, gone, gone_unset, placed)


def _why_gone(target: Target, step: Step) -> str:
    destination = target.destination
    abilities, options = destination.provider.abilities, destination.provider.options
    if step.field in destination.drop:
        return "drop"
    if destination.provider.place(step.field, step.kind) is None:
        return "it has no place there"
    if destination.others_drop and target.is_unlisted(step.field):
        return "others: drop"
    if step.kind is OpKind.ONCE and not abilities.once and options.once == "drop":
        return "once: drop"
    if step.kind is OpKind.ADD and not abilities.tags_edit and options.tags == "drop":
        return "tags: drop"
    if step.kind is OpKind.UNSET and not target.can_clear(step.field):
        return "clear: keep"
    return ""


def _placed(target: Target, step: SendStep) -> SendStep:
    """A leaf at the very place of a trait is that trait."""
    found = target.places.get(step.field.removeprefix(SEND))
    if found is None:
        return step
    field, kind = found
    return replace(step, field=field, kind=kind, make=make_once(_as_it_is) if kind is OpKind.ONCE else step.make)


def _as_it_is(value: Any) -> Any:
    return value

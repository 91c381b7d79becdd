"""A loaded project: sources, destinations, and rules that route events."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from router.errors import WebhookError
from router.model import Event, EventState, Op, Version, to_us
from router.ruleset.accounts import SecretUse
from router.ruleset.destinations import Destination
from router.ruleset.language import Context
from router.ruleset.matching import RulesByType
from router.ruleset.rules import Planned, Result, Rule
from router.ruleset.samples import Sample
from router.ruleset.source_file import SourceSection
from router.ruleset.vocabulary import Vocabulary
from router.sources.source import Source

log = logging.getLogger(__name__)

GONE = "its body is no longer kept"
#: what becomes of an event that asks to erase somebody
CANNOT_ERASE = "this version cannot erase, the profile is as it was"
UNMATCHED = "no rule is for this type of event"


class Note(NamedTuple):
    """A field that a rule left out."""

    rule: str
    field: str
    #: quotes no value
    reason: str


class Erasure(NamedTuple):
    """A profile that a rule asks to erase."""

    rule: str
    profile: str


class Routing(NamedTuple):
    """What the rules say of one event."""

    state: EventState
    #: why it was skipped or failed; quotes no value
    reason: str = ""
    planned: tuple[Planned, ...] = ()
    #: e-mail addresses and phone numbers that were written, for look-up
    contacts: tuple[str, ...] = ()
    #: what was left out
    notes: tuple[Note, ...] = ()
    #: profiles to erase, if the state is `erased`
    erase: tuple[Erasure, ...] = ()


class Project:
    """Everything that `load` made of the files. Immutable; shared between threads."""

    def __init__(
        self,
        revision: str,
        sections: Mapping[str, SourceSection],
        destinations: Mapping[str, Destination],
        rules: Mapping[str, Sequence[Rule]],
        vocabulary: Vocabulary,
        samples: Mapping[str, Sample],
        broken_samples: Mapping[str, str],
        secrets: Sequence[SecretUse],
        tables: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """`rules` are those of each source, in file order; `tables` the entries of each table."""
        #: 12 hex digits over names and bytes of the files
        self.revision = revision
        self.sections = sections
        self.sources: Mapping[str, Source] = {
            name: section.source for name, section in sections.items() if section.source is not None
        }
        #: names of senders that are gone for good
        self.removed = frozenset(name for name, section in sections.items() if section.removed)
        self.destinations = destinations
        self.rules: tuple[Rule, ...] = tuple(rule for each in rules.values() for rule in each)
        self.vocabulary = vocabulary
        self.samples = samples
        #: sample file → why it cannot be used
        self.broken_samples = broken_samples
        #: entries of every table
        self.tables = tuple(tables)
        self._secrets = tuple(secrets)
        self._rules = {source: RulesByType(each) for source, each in rules.items()}

    def secrets(self) -> tuple[SecretUse, ...]:
        """Every reference to a secret, with its place."""
        return self._secrets

    def rules_for(self, source: str, event_type: str) -> tuple[Rule, ...]:
        """The rules whose `when` picks this type, in file order."""
        rules = self._rules.get(source)
        return () if rules is None else rules.of(event_type)

    def open(self, event: Event) -> Any:
        """The decoded payload of a stored event. Raises `MalformedError`."""
        return self.sources[event.source].open(event)

    def context(self, event: Event, value: Any) -> Context:
        """What one rule may read of an event."""
        section = self.sections[event.source]
        return Context(value, event, event.headers, event.query, event.source, section.region, section.timezone, [])

    def route(self, event: Event, see: Callable[[Event, Any], None] | None = None) -> Routing:
        """What the rules say of one event. A rule that breaks fails the event, and no other rule.

        `see` is told of the event and its decoded payload.
        """
        if event.source not in self.sources:
            why = "its source was removed" if event.source in self.removed else "no source of this name in the rules"
            return Routing(EventState.FAILED, why)
        if event.error:
            return Routing(EventState.FAILED, event.error)
        if not event.body:
            return Routing(EventState.FAILED, GONE)
        try:
            value = self.open(event)
        except WebhookError as error:
            return Routing(EventState.FAILED, str(error))
        if see is not None:
            see(event, value)
        return self.route_value(event, value)

    def route_value(self, event: Event, value: Any) -> Routing:
        """`route` for a payload that is decoded already."""
        found = _Found()
        for rule in self.rules_for(event.source, event.type):
            try:
                result = rule.evaluate(self.context(event, value))
                if result.state == "changed" and not rule.erase:
                    self._plan(rule, result, event, found)
                    continue
            except Exception:  # one event's routing: the fault is recorded, the other rules go on
                key = rule.key
                log.exception("rule %s (%s:%d) broke on event %d", rule.id, key.file, key.line, event.id)
                result = Result("failed", "internal")
            if result.state == "changed":
                found.erase.append(Erasure(rule.id, result.profile))
            else:
                found.refused.append((rule.id, result))
        return found.routing()

    def version(self, rule: Rule, event: Event) -> Version:
        """The version that this rule's change of the event has."""
        return Version(
            to_us(event.occurred_at), event.object_version, event.external_id, event.routing, rule.ordinal, rule.id
        )

    def _plan(self, rule: Rule, result: Result, event: Event, found: _Found) -> None:
        planned = rule.changes(result, self.version(rule, event), self.revision)
        found.planned += planned
        for name in rule.contacts:
            op = result.fields.get(name)
            if type(op) is Op and type(op.value) is str and any(name in each.change.fields for each in planned):
                found.contacts[op.value] = None
        if result.omitted:
            found.notes += [Note(rule.id, name, reason) for name, reason in result.omitted.items()]
        for _, omitted in result.sends.values():
            found.notes += [Note(rule.id, name, reason) for name, reason in omitted.items()]


@dataclass(slots=True)
class _Found:
    """What the rules of one event have given so far."""

    planned: list[Planned] = field(default_factory=list)
    contacts: dict[str, None] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    erase: list[Erasure] = field(default_factory=list)
    refused: list[tuple[str, Result]] = field(default_factory=list)

    def routing(self) -> Routing:
        """The event's state, by what its rules gave."""
        if self.erase:
            names = ", ".join(dict.fromkeys(each.rule for each in self.erase))
            return Routing(EventState.ERASED, f"{names} asks for it: {CANNOT_ERASE}", erase=tuple(self.erase))
        failed = next((f"{rule}: {result.reason}" for rule, result in self.refused if result.state == "failed"), None)
        planned, contacts, notes = tuple(self.planned), tuple(self.contacts), tuple(self.notes)
        if failed is not None:
            return Routing(EventState.FAILED, failed, planned, contacts, notes)
        if planned:
            return Routing(EventState.ROUTED, "", planned, contacts, notes)
        return Routing(EventState.SKIPPED, self.refused[0][1].reason if self.refused else UNMATCHED)


def revision_of(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the names and bytes of the files, 12 hex digits."""
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        for part in (name.encode(), data):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()[:12]

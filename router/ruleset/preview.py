"""Preview: two projects over the same events, and which payloads come out different. Nothing is sent."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from router.model import Change, Event, OpKind
from router.profile.registers import same_value
from router.ruleset.checks_paths import leaves_of
from router.ruleset.destinations import Destination
from router.ruleset.language import MISSING, kind_of
from router.ruleset.lexer import tokenize, unquote
from router.ruleset.project import Project, Routing
from router.ruleset.rendering import calls_of, likes_of, paths_of
from router.ruleset.rules import Planned
from router.ruleset.samples import SampleError, open_sample
from router.ruleset.tree import ListNode, MapNode, Node

#: state of an event where one project has no such source
ABSENT = "unknown"
#: what a payload's place holds where it is not there
OMITTED = "omitted"
#: longest value that is shown
_MOST = 40
#: stands for a key inside a value of an event: it may be somebody's address or id
_ANY_KEY = "*"


class Case(NamedTuple):
    """One event, and what each project makes of it; None where one has no such source."""

    #: our id as printed, or the name of a sample
    label: str
    before: Routing | None
    after: Routing | None
    #: of a stored event, which is not identified again
    source: str = ""


@dataclass(frozen=True, slots=True)
class FieldPreview:
    """One way in which a place of a payload changes."""

    #: the place in the body, as in `profile.plan`; `user` is whose profile it is; `refused` why no call can be made
    field: str
    #: `omitted`, a literal of the rules, or a kind such as `text`
    before: str
    after: str
    people: int
    #: label of one such event
    example: str

    @property
    def whose(self) -> str:
        """As in `39 people`."""
        return f"{self.people:,} {'person' if self.people == 1 else 'people'}"

    @property
    def text(self) -> str:
        """As in `"free" → omitted`, `added as number`."""
        return f"added as {self.after}" if self.before == OMITTED else f"{self.before} → {self.after}"


@dataclass(frozen=True, slots=True)
class RulePreview:
    """What becomes of the payloads of one rule at one destination: how many of each, and the fields that change."""

    rule: str
    #: empty: the rule asks to erase
    destination: str
    #: where the rule stands; of one that is gone, where it stood
    file: str
    line: int
    equal: int
    changed: int
    added: int
    gone: int
    fields: tuple[FieldPreview, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether any payload does."""
        return bool(self.changed or self.added or self.gone)

    @property
    def title(self) -> str:
        """As in `stripe/customer → channel`."""
        return f"{self.rule} → {self.destination}" if self.destination else f"{self.rule} erases"


@dataclass(frozen=True, slots=True)
class Preview:
    """What two projects make of the same events."""

    before: str
    after: str
    events: int
    #: (state before, state now) → events
    states: Mapping[tuple[str, str], int]
    rules: tuple[RulePreview, ...]
    #: sources of stored events that these projects would identify otherwise
    identities: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For `--format json`."""
        states = [{"was": was, "now": now, "events": n} for (was, now), n in sorted(self.states.items())]
        rules = [asdict(rule) for rule in self.rules]
        found = {"before": self.before, "after": self.after, "events": self.events, "states": states, "rules": rules}
        return {**found, "identities": list(self.identities)}

    def lines(self) -> Iterator[str]:
        """As printed: a table of states, then every rule that makes something else, field by field."""
        yield from _table(self.states)
        if self.identities:
            kept = "stored events keep their type, id and time; try it with --preview 0"
            yield f"  identity of {', '.join(self.identities)} differs: {kept}"
        quiet = 0
        for rule in self.rules:
            if not rule.differs:
                quiet += 1
                continue
            yield f"  {rule.title:<28} {_counts(rule)}"
            width = max((len(each.field) for each in rule.fields), default=0)
            what = max((len(each.text) for each in rule.fields), default=0)
            for each in rule.fields:
                yield f"    {each.field:<{width}}   {each.text:<{what}}   {each.whose:>12}   {each.example}"
        if quiet and quiet == len(self.rules):
            yield "  every payload is equal"
        elif quiet:
            yield f"  {quiet} more, where every payload is equal"


def _counts(rule: RulePreview) -> str:
    return f"{rule.equal:,} equal   {rule.changed:,} changed   {rule.added:,} added   {rule.gone:,} gone"


def _table(states: Mapping[tuple[str, str], int]) -> Iterator[str]:
    columns = sorted({was for was, _ in states}, key=_ORDER.index)
    yield " " * 17 + "".join(f"{'was ' + was:>14}" for was in columns)
    for now in sorted({now for _, now in states}, key=_ORDER.index):
        yield f"  {'now ' + now:<15}" + "".join(f"{states.get((was, now), 0):>14,}" for was in columns)


_ORDER = ("routed", "skipped", "failed", "erased", ABSENT)


# --- the events ------------------------------------------------------------------------------------------------------


def stored(old: Project, new: Project, events: Iterable[tuple[str, Event]]) -> Iterator[Case]:
    """Recorded events, each with its label, through both projects."""
    for label, event in events:
        before, after = (p.route(event) if event.source in p.sources else None for p in (old, new))
        yield Case(label, before, after, event.source)


def samples(old: Project, new: Project, only: Iterable[str]) -> Iterator[Case]:
    """The samples of these sources, each opened as a project opens it; of two with one name the new one counts."""
    wanted = frozenset(only)
    for name, sample in sorted({**old.samples, **new.samples}.items()):
        if sample.source not in wanted:
            continue
        opened = []
        for project in (old, new):
            try:
                events = open_sample(sample, project.sections[sample.source])
                opened.append([project.route_value(one.event, one.value) for one in events])
            except (KeyError, SampleError):
                opened.append([])
        for index in range(max(map(len, opened))):
            before, after = (found[index] if index < len(found) else None for found in opened)
            yield Case(name, before, after)


def affected(old: Mapping[str, bytes], new: Mapping[str, bytes], projects: tuple[Project, Project]) -> list[str]:
    """The sources whose events may come out different: those of changed files, all if `destinations.yaml` changed."""
    changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
    sections = [section for project in projects for section in project.sections.values()]
    everything = "destinations.yaml" in changed
    return sorted({section.name for section in sections if everything or section.key.file in changed})


# --- the comparison --------------------------------------------------------------------------------------------------


def preview(old: Project, new: Project, cases: Iterable[Case], *, clear: bool) -> Preview:
    """Compare what both make of every case. `clear`: values and the keys in them are shown; else only those that stand
    in the rules."""
    comparison = _Comparison(old, new, clear=clear)
    for case in cases:
        comparison.add(case)
    return comparison.result()


class _Held(NamedTuple):
    """What a place of a payload holds."""

    value: Any
    #: the place as shown
    shown: str


#: names and indexes from the root of a body
_Path = tuple[str | int, ...]
#: a payload: (call, place in its body) → what is there
_Payload = Mapping[tuple[str, _Path], _Held]
_USER: tuple[str, _Path] = ("", ("user",))
_REFUSED: tuple[str, _Path] = ("", ("refused",))
_NOTHING = _Held(MISSING, "")
#: call, place, before and after, as shown
_Change = tuple[str, str, str, str]


@dataclass(slots=True)
class _Tally:
    """What is known of one rule at one destination."""

    counts: Counter[str] = field(default_factory=Counter)
    #: (call, place, before, after) → people
    people: dict[_Change, set[str]] = field(default_factory=lambda: defaultdict(set))
    examples: dict[_Change, str] = field(default_factory=dict)

    def fields(self) -> Iterator[FieldPreview]:
        """Every change, those of most people first. Which call it is stands before the place if there are several."""
        several = len({call for call, *_ in self.people if call}) > 1
        for change, people in sorted(self.people.items(), key=lambda one: (-len(one[1]), one[0])):
            call, place, before, after = change
            name = f"{call} {place}" if several and call else place
            yield FieldPreview(name, before, after, len(people), self.examples[change])


class _Comparison:
    def __init__(self, old: Project, new: Project, *, clear: bool) -> None:
        self._old = old
        self._new = new
        self._clear = clear
        self._literals = {text for project in (old, new) for text in _literals(project)}
        self._keys = frozenset(key for project in (old, new) for key in _keys(project))
        self._events = 0
        self._stored: set[str] = set()
        self._states: Counter[tuple[str, str]] = Counter()
        self._tallies: dict[tuple[str, str], _Tally] = defaultdict(_Tally)

    def add(self, case: Case) -> None:
        """Compare one event."""
        self._events += 1
        self._stored.add(case.source)
        self._states[_state(case.before), _state(case.after)] += 1
        before, after = self._payloads(self._old, case.before), self._payloads(self._new, case.after)
        for key in {**before, **after}:
            was, now = before.get(key), after.get(key)
            tally = self._tallies[key]
            if was is None or now is None:
                tally.counts["added" if was is None else "gone"] += 1
                continue
            changes = list(self._changes(was, now))
            tally.counts["changed" if changes else "equal"] += 1
            for change in changes:
                tally.people[change].add(now[_USER].value)
                tally.examples.setdefault(change, case.label)

    def _changes(self, was: _Payload, now: _Payload) -> Iterator[_Change]:
        for place in {**was, **now}:
            before, after = was.get(place, _NOTHING), now.get(place, _NOTHING)
            if not same_value(before.value, after.value):
                said = self._said(before.value), self._said(after.value)
                shown = before.shown or after.shown
                yield place[0], shown, said[0], f"other {said[1]}" if said[0] == said[1] else said[1]

    def _said(self, value: Any) -> str:
        if value is MISSING:
            return OMITTED
        text = json.dumps(value, ensure_ascii=False, default=str)
        if self._clear or value is None or isinstance(value, bool | _Reason) or text in self._literals:
            return text if len(text) <= _MOST else f"{text[:_MOST]}…"
        return kind_of(value)

    def _payloads(self, project: Project, routing: Routing | None) -> dict[tuple[str, str], _Payload]:
        """(rule, destination) → its payload, calls and all."""
        if routing is None:
            return {}
        found = {(each.rule, each.destination): self._payload(project, each) for each in routing.planned}
        return {**found, **{(each.rule, ""): {_USER: _Held(each.profile, "user")} for each in routing.erase}}

    def _payload(self, project: Project, planned: Planned) -> _Payload:
        profile = planned.change.profile
        destination = project.destinations[planned.destination]
        rendered = calls_of(destination, planned.change)
        payload: dict[tuple[str, _Path], _Held] = {_USER: _Held(profile, "user")}
        if rendered.fault:
            payload[_REFUSED] = _Held(_Reason(rendered.fault), "refused")
        fields = frozenset() if self._clear else _places(destination, planned.change)
        calls: Counter[str] = Counter()
        paths = paths_of(rendered.calls, likes_of(destination, planned.change, rendered.calls))
        for call, name in zip(rendered.calls, paths, strict=True):
            calls[name] += 1
            if calls[name] > 1:
                name = f"{name} ({calls[name]})"
            leaves = _leaves(call.body, (), "", fields, self._keys)
            payload.update({(name, place): held for place, held in leaves})
        return payload

    def result(self) -> Preview:
        """All of it, rules in the order of their files."""
        places = {rule.id: rule.key for project in (self._old, self._new) for rule in project.rules}
        order = {name: n for n, name in enumerate(places)}
        rules = [
            RulePreview(
                rule,
                destination,
                places[rule].file,
                places[rule].line,
                tally.counts["equal"],
                tally.counts["changed"],
                tally.counts["added"],
                tally.counts["gone"],
                tuple(tally.fields()),
            )
            for (rule, destination), tally in self._tallies.items()
        ]
        rules.sort(key=lambda one: (order[one.rule], one.destination))
        found = self._old.revision, self._new.revision, self._events, dict(self._states), tuple(rules)
        return Preview(*found, tuple(sorted(filter(self._is_other, self._stored))))

    def _is_other(self, source: str) -> bool:
        """Whether both know a source, and read the identity of its events in other ways."""
        sections = [project.sections[source] for project in (self._old, self._new) if source in project.sources]
        read = [{part: (v.text, v.literal) for part, v in each.identity_values.items()} for each in sections]
        return len(read) == 2 and read[0] != read[1]


def _state(routing: Routing | None) -> str:
    return ABSENT if routing is None else routing.state.value


class _Reason(str):
    """Why no call can be made: ours, so it shows."""


def _places(destination: Destination, change: Change) -> frozenset[_Path]:
    """Where the fields of a change lie in a body: what is further down came with their values."""
    kinds = (OpKind.SET, OpKind.ONCE)
    found = (destination.provider.path_of(name, kind) for name in change.fields for kind in kinds)
    return frozenset(path for path in found if path is not None)


def _leaves(
    value: Any, place: _Path, shown: str, fields: Collection[_Path], keys: Collection[str]
) -> Iterator[tuple[_Path, _Held]]:
    """Every place of a body with what it holds; a list of single values is one. Below the places of `fields` only
    these keys show."""
    if isinstance(value, dict) and value:
        inside = any(place[:n] in fields for n in range(1, len(place) + 1))
        for key, part in value.items():
            name = key if not inside or key in keys else _ANY_KEY
            yield from _leaves(part, (*place, key), f"{shown}.{name}" if shown else name, fields, keys)
    elif isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        for index, part in enumerate(value):
            yield from _leaves(part, (*place, index), f"{shown}[{index}]", fields, keys)
    else:
        yield place, _Held(value, shown)


def _keys(project: Project) -> Iterator[str]:
    """The keys that the rules themselves write into a body."""
    for rule in project.rules:
        for step in (step for each in rule.filters for step in each.sends):
            yield from step.path
            yield from _keys_in(step.value.node)


def _keys_in(node: Node) -> Iterator[str]:
    if isinstance(node, MapNode):
        for key, part in node.pairs:
            yield key.text
            yield from _keys_in(part)
    elif isinstance(node, ListNode):
        for part in node.items:
            yield from _keys_in(part)


def _literals(project: Project) -> Iterator[str]:
    """What the rules themselves say, as JSON: values, fallbacks, entries of tables."""
    found: list[Any] = [value for entries in project.tables for value in entries.values()]
    for rule in project.rules:
        for compiled in (leaf.compiled for leaf in leaves_of(rule)):
            if compiled.kind == "literal":
                found.append(compiled.literal)
            elif compiled.kind == "expression":
                tokens = tokenize(compiled.text, 0, len(compiled.text))
                found += [unquote(token.text) for token in tokens if token.kind == "string"]
                found += [json.loads(token.text) for token in tokens if token.kind == "number"]
    for value in found:
        yield json.dumps(value, ensure_ascii=False)

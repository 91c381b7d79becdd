"""Explain: what the rules make of one event, value by value, and the calls. Nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from router.errors import WebhookError
from router.model import Change, Event, Instant, Op, OpKind, TagsOp, iso
from router.providers.render import join_pointer
from router.ruleset.destinations import Destination
from router.ruleset.language import MISSING, Context, FailRule, SkipRule, is_blank
from router.ruleset.leaves import Value
from router.ruleset.origins import Fact, facts_of, origin_of
from router.ruleset.project import Project, Routing
from router.ruleset.rendering import USER, calls_of, likes_of, paths_of
from router.ruleset.rules import Result, Rule
from router.ruleset.samples import is_timeless
from router.ruleset.shape import listed
from router.ruleset.text import printable

#: shows a value: the trait or `company.x` that it became (empty for ids, and for what an event says), and the value →
#: the same, or a mask of it
Show = Callable[[str, Any], Any]

#: where what a value was made of begins
_COLUMN = 44
#: what a sample has that says of no time
_TIMELESS = "no time of its own"
#: why a rule's changes are not sent where another one erases
_DROPPED = "an event that asks to erase changes nothing"


class Mask(str):
    """What stands for a value in a body."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class StepTrace:
    """One part of a rule: what it gave, and from what."""

    #: as in `set.email`
    label: str
    #: as shown: JSON, `yes`, `no`, `clear`, `omitted` or `nothing`
    value: str
    #: as shown: what was read, and what was said of it
    origin: str
    #: what was read, part by part
    reads: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class CallTrace:
    """What one destination gets."""

    destination: str
    #: method and path, empty if there is no call
    call: str
    body: Any
    #: why there is no call; empty if there is one
    reason: str
    #: field → why it does not go there
    omitted: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """What one rule made of the event."""

    rule: str
    file: str
    line: int
    #: `changed`, `skipped`, `failed`, `unmatched`, or `dropped`: another rule of the event erases
    state: str
    reason: str
    steps: tuple[StepTrace, ...] = ()
    calls: tuple[CallTrace, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """What the rules made of one event."""

    source: str
    type: str
    id: str
    #: ISO 8601; None: a sample that says nothing of it
    occurred_at: str | None
    state: str
    reason: str
    #: the destinations that get something, in order
    destinations: tuple[str, ...]
    rules: tuple[RuleTrace, ...]

    def as_json(self) -> dict[str, Any]:
        """For `--json` and the API."""
        return asdict(self)

    def text(self, prefix: str = "") -> str:
        """As printed; `prefix` goes before the names of files."""
        return "\n".join(map(printable, [*self._lines(prefix), self.summary]))

    @property
    def summary(self) -> str:
        """The last line."""
        if self.state == "routed":
            count = len(self.destinations)
            return f"routed to {count} destination{'' if count == 1 else 's'}"
        return f"{self.state}: {self.reason}"

    def _lines(self, prefix: str) -> Iterator[str]:
        head = f"{self.type} {self.id} {self.occurred_at or f'at {_TIMELESS}'} →"
        for rule in self.rules:
            place = f"{rule.rule} ({prefix}{rule.file}:{rule.line})"
            if rule.state == "unmatched":
                yield f"{head} not rule {place}: {rule.reason}"
                continue
            yield f"{head} rule {place}"
            for step in rule.steps:
                yield from _columns(step)
            if rule.state != "changed":
                yield f"  {rule.state:<16} {rule.reason}"
            for call in rule.calls:
                shown = f"{call.call} {_written(call.body)}" if call.call else call.reason
                yield f"  ⇒ {call.destination:<14} {shown}"
                if call.omitted:
                    yield "     omitted       " + ", ".join(f"{name} ({why})" for name, why in call.omitted.items())


def _columns(step: StepTrace) -> Iterator[str]:
    """A part and its value, and from a column on where that is from; below a value that reaches into the column."""
    left = f"  {step.label:<16} {step.value}"
    if len(left) > _COLUMN:
        yield left
        left = ""
    yield f"{left:<{_COLUMN}} ← {step.origin}"


def explain(project: Project, event: Event, value: Any = MISSING, *, show: Show | None = None) -> Trace:
    """What the rules make of an event; `value` is its payload where that is decoded already.

    `show` masks what is personal; without it all is shown. References to secrets are never resolved.
    """
    shown = show or _clear
    if value is MISSING and event.source in project.sources and not event.error:
        try:
            value = project.open(event)
        except WebhookError as error:
            event = replace(event, error=str(error))
    readable = value is not MISSING and not event.error
    routing = project.route_value(event, value) if readable else project.route(event)
    erases = bool(routing.erase)
    rules = [_rule(project, each, event, value, shown, erases) for each in _all(project, event)] if readable else []
    return Trace(
        event.source,
        event.type,
        event.external_id,
        None if is_timeless(event) else iso(event.occurred_at),
        routing.state.value,
        routing.reason,
        _destinations(routing),
        tuple(rules),
    )


def _all(project: Project, event: Event) -> list[Rule]:
    return [rule for rule in project.rules if rule.id.partition("/")[0] == event.source]


def _destinations(routing: Routing) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.destination for each in routing.planned if each.change.fields))


def _clear(_field: str, value: Any) -> Any:
    return value


def _rule(project: Project, rule: Rule, event: Event, value: Any, show: Show, erases: bool) -> RuleTrace:
    key = rule.key
    if not rule.matches(event.type):
        return RuleTrace(rule.id, key.file, key.line, "unmatched", f"when is {listed(rule.when, 'or')}")
    context = project.context(event, value)
    recorder = _Recorder(rule, context, show)
    result = rule.evaluate(context, recorder.watch)
    calls: tuple[CallTrace, ...] = ()
    if result.state == "changed" and erases and not rule.erase:
        result = Result("dropped", _DROPPED)
    elif result.state == "changed" and not rule.erase:
        planned = rule.changes(result, project.version(rule, event), project.revision)
        calls = tuple(
            call
            for each in planned
            for call in _calls(rule, result, project.destinations[each.destination], each.change, show)
        )
    return RuleTrace(rule.id, key.file, key.line, result.state, result.reason, tuple(recorder.steps), calls)


class _Recorder:
    """Writes down what each part of a rule read and gave."""

    def __init__(self, rule: Rule, context: Context, show: Show) -> None:
        self.steps: list[StepTrace] = []
        self._context = context
        self._timeless = context.event is not None and is_timeless(context.event)
        self._show = show
        # two leaves of `send` may have one label: a dot in a key looks like one between keys
        steps = [*rule.steps, *(step for each in rule.filters for step in each.sends)]
        self._fields = {id(step.value): step.field for step in steps}

    def watch(self, label: str, value: Value, raw: Any, given: Any) -> None:
        """One part; see `rules.Watch`."""
        notes = list(self._context.notes)
        reads = facts_of(value, self._context, partial(self._shown, ""))
        origin = origin_of(value, self._context, reads, condition=label == "if")
        if isinstance(given, str) and label != "user":
            origin += f": {given}"
        elif notes:
            origin += f" ({'; '.join(notes)})"
        if self._timeless and _reads_time(value):
            origin += f" (the sample has {_TIMELESS})"
        field = self._fields.get(id(value), "")
        self.steps.append(StepTrace(label, self._given(label, field, given), origin, reads))

    def _given(self, label: str, field: str, given: Any) -> str:
        if isinstance(given, (SkipRule, FailRule)):
            return "skips" if isinstance(given, SkipRule) else "fails"
        if isinstance(given, Op):
            return "clear" if given.kind is OpKind.UNSET else self._shown(field, given.value)
        if isinstance(given, TagsOp):
            edit = {"add": list(given.add), "remove": list(given.remove)}
            whole = given.replace
            return self._shown(field, {k: v for k, v in edit.items() if v} if whole is None else list(whole))
        if label == "if":
            return self._shown(field, given) if isinstance(given, bool) else "unknown"
        if label == "user":
            return self._shown(field, given)
        return "omitted" if isinstance(given, str) else "nothing"

    def _shown(self, field: str, value: Any) -> str:
        if is_blank(value):
            return "nothing"
        if isinstance(value, bool):
            return "yes" if value else "no"
        return _dumps(self._show(field, value))


def _reads_time(value: Value) -> bool:
    paths = (path for leaf in value.leaves for path in leaf.compiled.all_paths())
    return any(path.base == "event" and path.name == "time" for path in paths)


# --- calls -------------------------------------------------------------------------------------------------------


def _calls(rule: Rule, result: Result, destination: Destination, change: Change, show: Show) -> Iterator[CallTrace]:
    provider = destination.provider
    # settings stay references, whatever the project was loaded with
    unrevealed = replace(destination, provider=type(provider)(provider.account, provider.options, str))
    rendered = calls_of(unrevealed, change)
    omitted = {name: why for name, why in change.omitted.items() if name not in result.omitted}
    if rendered.fault or not rendered.calls:
        reason = rendered.fault or "no field for this destination"
        yield CallTrace(destination.name, "", None, reason, omitted)
        return
    fields = _places(rule, destination)
    who = str(show("", change.profile))
    likes = likes_of(unrevealed, change, rendered.calls)
    paths = paths_of(rendered.calls, likes)
    said = _said(change)
    for index, (call, path) in enumerate(zip(rendered.calls, paths, strict=True)):
        body = _Body({**fields, **_ids(call.body, change.profile)}, said, show)
        like = likes[index].body if likes else None
        # a mask stands for the id as it is read; the id itself as it is sent
        shown = call.text if who == change.profile else path.replace(USER, who)
        masked = body.masked(call.body, like, "")
        yield CallTrace(destination.name, shown, masked, "", omitted if index == len(rendered.calls) - 1 else {})


def _places(rule: Rule, destination: Destination) -> dict[str, str]:
    """Pointer → the field that is rendered there."""
    sends = next((each.sends for each in rule.filters if each.destination == destination.name), ())
    places: dict[str, str] = {}
    for step in [*rule.steps, *sends]:
        place = destination.provider.place(step.field, step.kind)
        if place is not None:
            places[place] = step.field
    return places


def _ids(body: Any, profile: str) -> dict[str, str]:
    """Pointers at the top of a body that hold the profile's id."""
    members = body.items() if isinstance(body, dict) else ()
    return {join_pointer((key,)): "" for key, value in members if value == profile}


def _said(change: Change) -> frozenset[str]:
    """The texts and numbers that a change holds, as JSON."""
    pending: list[Any] = [change.profile]
    for op in change.fields.values():
        pending += [op.value] if isinstance(op, Op) else [*(op.replace or ()), *op.add, *op.remove]
    for value in pending:
        pending += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return frozenset(map(_dumps, pending))


@dataclass(frozen=True, slots=True)
class _Body:
    """How a body is shown."""

    #: pointer → the field that is rendered there
    fields: Mapping[str, str]
    #: what the change holds, as JSON
    said: frozenset[str]
    show: Show

    def masked(self, value: Any, like: Any, pointer: str) -> Any:
        """A part of a body with its values shown by the fields that they belong to; of none, by the empty name. What
        stands in `like` too, the same part for another person, and in no field is the provider's own."""
        if pointer in self.fields:
            return self._shown(self.fields[pointer], value)
        if isinstance(value, dict):
            others = like if isinstance(like, dict) else {}
            return {
                key: self.masked(part, others.get(key), pointer + join_pointer((key,))) for key, part in value.items()
            }
        if isinstance(value, list):
            return [self.masked(part, None, pointer) for part in value]
        return value if value == like and _dumps(value) not in self.said else self._shown("", value)

    def _shown(self, field: str, value: Any) -> Any:
        shown = self.show(field, value)
        if shown == value or (shown == _dumps(value) and (value is None or isinstance(value, bool))):
            return value
        return Mask(shown)


def _written(value: Any) -> str:
    """A body as JSON, with masks that are no texts of it."""
    if isinstance(value, Mask):
        return f"‹{value}›"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_dumps(key)}: {_written(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return _dumps(value)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Instant) else repr(value)

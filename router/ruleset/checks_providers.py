"""Checks of rules against the destinations they name: abilities, names, places and bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from router.model import Op, OpKind, TagsOp
from router.providers.render import join_pointer, split_pointer
from router.ruleset.filters import Target
from router.ruleset.keys import CONSENTS
from router.ruleset.language import MISSING, Context
from router.ruleset.loading import Draft
from router.ruleset.nodes import Ending
from router.ruleset.rules import Rule, SendStep, Step
from router.ruleset.shape import Findings, listed, one_of
from router.ruleset.tree import MapNode, Node, Scalar, plain
from router.ruleset.types import Unusable
from router.ruleset.vocabulary import CONSENT

#: fields that a destination lacks which are told one by one
_MANY = 5


class _Lack(NamedTuple):
    """What a destination cannot do, where no setting of it says what to do instead."""

    code: str
    message: str
    hint: str
    rule: Rule
    node: Scalar
    offset: int = 0
    length: int | None = None


def check_providers(draft: Draft) -> None:
    """Every check that the provider of a destination decides: abilities, names, places and bodies."""
    for name, target in draft.targets.items():
        _check_names(draft, name, target)
        if target.destination.provider.names_nobody():
            hint = "write {user} in url:, or say with user_at: where the id goes"
            draft.findings.warn(draft.entries[name].key, "setting", f"no call to {name} says whose profile it is", hint)
    unlisted: dict[str, list[Step]] = {}
    lacking: dict[tuple[str, str], list[_Lack]] = {}
    for _, rule in draft.rules():
        for filtered in rule.filters:
            target = draft.targets[filtered.destination]
            for step in rule.steps:
                if _lacks(target, step):
                    unlisted.setdefault(filtered.destination, []).append(step)
                else:
                    for lack in _check_step(step, rule, target, draft.findings):
                        lacking.setdefault((filtered.destination, lack.code), []).append(lack)
            fields: dict[str, SendStep] = {}
            for leaf in rule.sends.get(filtered.destination, ()):
                for lack in _check_leaf(leaf, rule, target, fields, draft.findings):
                    lacking.setdefault((filtered.destination, lack.code), []).append(lack)
        if rule.sound:
            _check_nothing(rule, draft.findings)
    for (name, _), lacks in lacking.items():
        _check_lacking(draft, name, lacks)
    for name, steps in unlisted.items():
        _check_unlisted(draft, name, steps)
    _check_nested(draft)


# --- traits, consents, tags --------------------------------------------------------------------------------------


def _check_literal(step: Step, target: Target, findings: Findings) -> None:
    """`provider-type` of what stands in the rule and that the provider refuses at its place."""
    leaves = step.value.leaves
    if not leaves or leaves[0].compiled.kind != "literal" or any(leaf.compiled.kind != "literal" for leaf in leaves):
        return
    provider = target.destination.provider
    try:
        made = step.make(step.value.run(Context({})))
    except Unusable:
        return
    path = provider.path_of(step.field, step.kind)
    if isinstance(made, Op):
        value = provider.value_of(step.field, made.value)
    elif isinstance(made, TagsOp) and made.replace is not None:
        value = list(made.replace)
    else:
        return
    problem = None if path is None else provider.leaf_problem(path, value)
    if problem is not None and problem.code == "provider-type":
        findings.add(step.value.node, problem.code, problem.message, problem.hint)


def _check_step(step: Step, rule: Rule, target: Target, findings: Findings) -> Iterator[_Lack]:
    destination = target.destination
    provider, name = destination.provider, destination.name
    abilities, options = provider.abilities, provider.options
    if step.field not in destination.drop:
        _check_literal(step, target, findings)
    plain = step.kind is OpKind.SET and not step.may_clear and not step.field.startswith(CONSENT)
    if plain or step.field in destination.drop:
        return
    channel = step.field.removeprefix(CONSENT)
    if step.field.startswith(CONSENT) and channel not in abilities.consent:
        hint = f"accept it with destinations.{name}.drop: [{step.field}]"
        findings.add(step.key, "consent", f"{name} has no {channel} consent", hint)
        return
    if provider.place(step.field, step.kind) is None:
        return
    if target.is_unlisted(step.field):
        return
    if step.kind is OpKind.ONCE and not abilities.once and options.once is None:
        hint = f"choose destinations.{name}.once: set or drop"
        yield _Lack("once", f"{name} cannot set a value only once", hint, rule, step.key)
    if step.kind is OpKind.ADD and not abilities.tags_edit and options.tags is None:
        hint = f"choose destinations.{name}.tags: replace or drop"
        yield _Lack("tags", f"{name} cannot add or remove single tags", hint, rule, step.key)
    if step.field != "tags" and step.may_clear:
        yield from _check_clear(step, rule, target)


def _check_lacking(draft: Draft, name: str, lacks: list[_Lack]) -> None:
    """What is lacking, where it is needed; if in several places, in one problem of the destination: one setting mends
    them all."""
    first, *others = lacks
    if not others:
        place, length = first.offset, first.length
        draft.findings.add(first.node, first.code, first.message, first.hint, offset=place, length=length)
        return
    rules = list(dict.fromkeys(each.rule.id for each in lacks))
    more = [f"{len(rules) - _MANY} more"] if len(rules) > _MANY else []
    noun = "rule" if len(rules) == 1 else "rules"
    message = f"{first.message}, which {noun} {listed([*rules[:_MANY], *more])} {'needs' if noun == 'rule' else 'need'}"
    draft.findings.add(draft.entries[name].key, first.code, message, first.hint)


def _lacks(target: Target, step: Step) -> bool:
    """Whether the destination refuses this field, as its name is not among the `properties`."""
    destination = target.destination
    return step.field not in destination.drop and not destination.others_drop and target.is_unlisted(step.field)


def _check_unlisted(draft: Draft, name: str, steps: list[Step]) -> None:
    """Fields whose names `properties` lacks: each where it stands, many in one problem of the destination."""
    provider = draft.targets[name].destination.provider
    if len(steps) <= _MANY:
        for step in steps:
            hint = f"extend destinations.{name}.properties, or choose others: drop"
            draft.findings.add(
                step.key, "provider-field", f"{name} has no field '{provider.name_of(step.field)}'", hint
            )
        return
    names = dict.fromkeys(str(provider.name_of(step.field)) for step in steps)
    message = f"rules write {len(names)} names that {name} lacks: {', '.join(names)}"
    node = draft.entries[name].nodes["properties"]
    draft.findings.add(node, "provider-field", message, "add those that the account has, or choose others: drop")


def _check_clear(step: Step, rule: Rule, target: Target) -> Iterator[_Lack]:
    provider, name = target.destination.provider, target.destination.name
    if provider.options.clear is not None or target.can_clear(step.field):
        return
    hint = f"choose destinations.{name}.clear: {one_of(('keep', *provider.abilities.clear_tricks))}"
    message = f"{name} cannot clear a value"
    ending = step.value.leaves[0].compiled.ending if step.value.leaves else None
    if ending is None:
        yield _Lack("clear", message, hint, rule, step.key)
    else:
        node = step.value.leaves[0].node
        yield _Lack("clear", message, hint, rule, node, ending.start, ending.end - ending.start)


def _check_nothing(rule: Rule, findings: Findings) -> None:
    if rule.to and not rule.steps and not rule.sends:
        findings.add(rule.key, "nothing-to-send", f"rule {rule.name} writes nothing", "say what under set:")
        return
    for name, filtered in zip(rule.to, rule.filters, strict=True):
        if filtered.sends or any(step.field not in filtered.gone for step in rule.steps):
            continue
        hint = f"take {name.text} out of to:, or write send.{name.text}"
        findings.add(name, "nothing-to-send", f"rule {rule.name} has no field for {name.text}", hint)


# --- leaves of send ----------------------------------------------------------------------------------------------


def _check_leaf(
    leaf: SendStep, rule: Rule, target: Target, fields: dict[str, SendStep], findings: Findings
) -> Iterator[_Lack]:
    """`fields` are the traits that the leaves before this one are, each with its leaf."""
    field, kind = target.places.get(join_pointer(leaf.path), ("", leaf.kind))
    if any(step.field == field and (step.kind is OpKind.ONCE) != (kind is OpKind.ONCE) for step in rule.steps):
        message = f"this is the trait {field}, which the rule writes too"
        findings.add(leaf.key, "send-overlap", message, f"write {field} under once: or under set:, not both")
        return
    if field and (other := fields.setdefault(field, leaf)) is not leaf:
        message = f"this is the trait {field}, and so is {'.'.join(other.path)}"
        findings.add(leaf.key, "send-overlap", message, "write one of them")
        return
    if kind is OpKind.ONCE and (ending := _unset_of(leaf)) is not None:
        start, length, hint = ending.start, ending.end - ending.start, f"{'.'.join(leaf.path)} is set once"
        findings.add(leaf.value.node, "syntax", "else unset has no meaning here", hint, offset=start, length=length)
        return
    if overlap := _overlap(leaf, target):
        depth, instead = overlap
        hint = f"write {instead}" if instead else ""
        findings.add(leaf.keys[depth], "send-overlap", "the router writes this place itself", hint)
        return
    provider = target.destination.provider
    problem = provider.leaf_problem(leaf.path, _literal(leaf))
    if problem is None:
        if leaf.may_clear:
            yield from _check_clear(leaf, rule, target)
        return
    if problem.code == "provider-type":
        findings.add(leaf.value.node, problem.code, problem.message, problem.hint)
        return
    heads = ((key, provider.leaf_problem(leaf.path[:depth])) for depth, key in enumerate(leaf.keys, 1))
    place = next((key for key, found in heads if found is not None and found.code == problem.code), leaf.key)
    findings.add(place, problem.code, problem.message, problem.hint)


def _unset_of(leaf: SendStep) -> Ending | None:
    endings = (each.compiled.ending for each in leaf.value.leaves)
    return next((ending for ending in endings if ending is not None and ending.word == "unset"), None)


def _check_nested(draft: Draft) -> None:
    """`send-overlap` of leaves of several rules that lie inside one another: one would take the place of the other, or
    not, by the order in which they are sent."""
    leaves: dict[str, dict[tuple[str, ...], Rule]] = {}
    for _, rule in draft.rules():
        for name in rule.sends:
            for leaf in rule.sends[name]:
                leaves.setdefault(name, {}).setdefault(leaf.path, rule)
    for _, rule in draft.rules():
        for name in rule.sends:
            told: set[tuple[str, ...]] = set()
            for leaf in rule.sends[name]:
                above = (leaf.path[:depth] for depth in range(1, len(leaf.path)))
                outer = next((path for path in above if path in leaves[name]), None)
                if outer is None or outer in told or join_pointer(outer) in draft.targets[name].places:
                    continue
                told.add(outer)
                place = ".".join(outer)
                message = f"rule {leaves[name][outer].id} writes {place} as a whole, and this rule what is inside it"
                hint = f"write {place} in both, or the places inside it"
                draft.findings.add(leaf.keys[len(outer) - 1], "send-overlap", message, hint)


def _overlap(leaf: SendStep, target: Target) -> tuple[int, str] | None:
    """How deep the overlap is, and what to write instead; None if there is none, or the leaf is a trait."""
    own = leaf.path
    places = {pointer: field for pointer, (field, _) in target.places.items()}
    if join_pointer(own) in places and join_pointer(own) not in target.fixed:
        return None
    for pointer, instead in {**places, **target.fixed}.items():
        path = split_pointer(pointer)
        shared = min(len(path), len(own))
        if path[:shared] == own[:shared]:
            above = len(own) < len(path)
            return shared - 1, "" if above else instead
    return None


def _literal(leaf: SendStep) -> Any:
    """The value of a leaf that no event can change, else `...`."""
    literals = [each.compiled.literal for each in leaf.value.leaves]
    if MISSING in literals or leaf.may_clear:
        return ...
    return literals[0] if isinstance(leaf.value.node, Scalar) else plain(leaf.value.node)


# --- names -------------------------------------------------------------------------------------------------------


def _check_names(draft: Draft, name: str, target: Target) -> None:
    """`reserved-name` and `name-clash`, of names that were given here or in `traits:`."""
    provider = target.destination.provider
    node = draft.entries[name].nodes.get("rename")
    renamed: Mapping[str, Node] = {key.text: value for key, value in node.pairs} if isinstance(node, MapNode) else {}
    fields = [*draft.vocabulary.traits, "tags", *(CONSENT + channel for channel in CONSENTS), "company.id"]
    fields += [field for field in ("company.name", *_company(draft)) if field not in fields]
    sent = {step.field for _, rule in draft.rules() if name in {to.text for to in rule.to} for step in rule.steps}
    at: dict[str, str] = {}
    named: list[tuple[str, str, Node]] = []
    across: list[str] = []
    for field in sorted(fields, key=lambda each: each in renamed):
        place = provider.place(field)
        if place is None or field in target.destination.drop:
            continue
        if field in renamed and not provider.name_is_free(field):
            draft.findings.add(renamed[field], "setting", f"{name}.rename cannot give {field} another name")
            continue
        if field in sent and _lies_across(place, target):
            across.append(field)
        spot = renamed.get(field) or _declared(draft, field)
        if spot is not None and (field in renamed or field in sent):
            named.append((field, place, spot))
        elif field in sent:
            at.setdefault(place, field)
    if across:
        where = draft.entries[name].nodes.get("user_at", draft.entries[name].key)
        message = f"at {name} {listed(sorted(across))} would lie where the profile id stands"
        draft.findings.add(where, "name-clash", message)
    for field, place, spot in named:
        problem = provider.name_problem(provider.name_of(field) or "")
        if problem is not None:
            hint = f"give it another name: destinations.{name}.rename: {{{field}: …}}"
            draft.findings.add(spot, "reserved-name", problem.message, problem.hint or hint)
        other = at.setdefault(place, field)
        if other != field:
            hint = f"give one of them another name in destinations.{name}.rename"
            draft.findings.add(spot, "name-clash", f"at {name} {field} and {other} would have one name", hint)


def _lies_across(place: str, target: Target) -> bool:
    """Whether a place is, holds, or lies inside the one at which the router writes the profile id."""
    ids = [pointer for pointer, what in target.fixed.items() if what == "user"]
    return any(f"{place}/".startswith(f"{each}/") or f"{each}/".startswith(f"{place}/") for each in ids)


def _declared(draft: Draft, field: str) -> Scalar | None:
    trait = draft.vocabulary.traits.get(field)
    return trait.key if trait is not None else None


def _company(draft: Draft) -> Iterator[str]:
    for _, rule in draft.rules():
        yield from (step.field for step in rule.steps if step.field.startswith("company."))

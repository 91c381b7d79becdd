"""Checks of the project as a whole: what is unused, untested, written twice, or not set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from router.model import OpKind
from router.ruleset.accounts import SecretUse
from router.ruleset.checks_paths import leaves_of
from router.ruleset.loading import Draft
from router.ruleset.rules import Rule, Step
from router.ruleset.shape import Findings, listed
from router.ruleset.tree import ListNode, MapNode, Node


def check_project(draft: Draft) -> None:
    """`unused`, `untested` and `two-writers`."""
    if draft.complete and not draft.findings.errors:  # else what cannot be read may use it
        _check_unused(draft)
    for each in draft.sources:
        for rule in each.rules:
            tests = rule.nodes.get("tests")
            if not rule.sound:
                continue  # what cannot be read may be its tests
            if not isinstance(tests, ListNode) or not tests.items:
                draft.findings.warn(rule.key, "untested", f"rule {rule.name} has no tests")
            elif all(_expects_nothing(item) for item in tests.items):
                hint = "name what a destination or the profile gets"
                draft.findings.warn(rule.key, "untested", f"the tests of rule {rule.name} expect nothing", hint)
        _check_writers([rule for rule in each.rules if rule.sound], draft.findings)


def _expects_nothing(test: Node) -> bool:
    expect = test.get("expect") if isinstance(test, MapNode) else None
    return isinstance(expect, MapNode) and not expect.pairs


def check_secrets(draft: Draft, fault: Callable[[SecretUse], str]) -> None:
    """`secret-unset`. `fault` says why a secret cannot be used."""
    for use in draft.secrets():
        if message := fault(use):
            draft.findings.warn(use.node, "secret-unset", message, "`serve` and `work` refuse to start so")


def _check_unused(draft: Draft) -> None:
    idle = [each for each in draft.sources if not each.rule_keys and not each.section.removed]
    for each in idle:
        place = each.node.key_node("rules") or each.section.key
        draft.findings.warn(place, "unused", f"{each.file} has no rules: what its source sends goes nowhere")
    if idle:
        return  # they may use it once they are written
    rules = [rule for _, rule in draft.rules()]
    fields = {step.field for rule in rules for step in rule.steps} | set(_mentioned(rules))
    fields |= {step.field for rule in rules for each in rule.filters for step in each.sends}
    tables = {name for rule in rules for leaf in leaves_of(rule) for name in leaf.compiled.tables}
    tables.update(name for each in draft.sources for name in each.section.tables)
    goals = {name.text for rule in rules for name in rule.to}
    for trait in draft.vocabulary.traits.values():
        if trait.key is not None and trait.name not in fields:
            draft.findings.warn(trait.key, "unused", "no rule uses this trait")
    known = {**draft.vocabulary.tables}
    for each in draft.sources:
        known.update(each.tables)
    for name, table in known.items():
        if name not in tables:
            draft.findings.warn(table.key, "unused", "no rule uses this table")
    for name, entry in draft.entries.items():
        if name not in goals:
            draft.findings.warn(entry.key, "unused", "no rule sends to this destination")


def _mentioned(rules: list[Rule]) -> Iterator[str]:
    """The traits that stand in a rule, whether or not their values could be read."""
    for rule in rules:
        for section in ("set", "once"):
            node = rule.nodes.get(section)
            yield from (key.text for key, _ in node.pairs) if isinstance(node, MapNode) else ()


def _check_writers(rules: Sequence[Rule], findings: Findings) -> None:
    """Warn of fields that two rules can write for one event: each later rule, with the nearest earlier one."""
    everything: set[tuple[str, str]] = set()
    writes = [_written(rule) for rule in rules]
    exact: dict[str, list[int]] = {}
    patterns: list[int] = []
    for number, later in enumerate(rules):
        types = later.types
        twice = writes[number] & everything
        before: Iterable[int] = range(number - 1, -1, -1)
        if not types.patterns:
            before = sorted(
                {*patterns, *(other for text in types.exact for other in exact.get(text, ()))}, reverse=True
            )
        for other in before:
            if not twice:
                break
            both = twice & writes[other]
            if both and types.meet(rules[other].types):
                _warn_writers(later, rules[other], both, findings)
                twice -= both
        everything |= writes[number]
        for text in types.exact:
            exact.setdefault(text, []).append(number)
        if types.patterns:
            patterns.append(number)


def _warn_writers(later: Rule, earlier: Rule, both: set[tuple[str, str]], findings: Findings) -> None:
    edits = {step.field for step in earlier.steps if step.kind is OpKind.ADD}
    for step in _steps(later):
        if step.kind is OpKind.ADD and step.field in edits:
            continue  # each tag has a version of its own
        names = [name.text for name in later.to if (name.text, step.field) in both]
        if names:
            message = f"{later.id} and {earlier.id} can both set {step.field} for {listed(names)} from one event"
            findings.warn(step.key, "two-writers", message, "the later one in the file wins")


def _steps(rule: Rule) -> Iterator[Step]:
    seen = set()
    for step in [*rule.steps, *(step for each in rule.filters for step in each.sends)]:
        if step.field not in seen:
            seen.add(step.field)
            yield step


def _written(rule: Rule) -> set[tuple[str, str]]:
    """Destination and field, for each field of a rule that can reach a destination."""
    return {
        (each.destination, step.field)
        for each in rule.filters
        for step in [*(step for step in rule.steps if step.field not in each.gone), *each.sends]
    }

"""Checks of the project as a whole: what is unused, untested, written twice, or not set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

from router.ruleset.checks_paths import leaves_of
from router.ruleset.loading import Draft
from router.ruleset.rules import Rule, Step
from router.ruleset.shape import listed
from router.ruleset.tree import MapNode
from router.settings import Secret


def check_project(draft: Draft) -> None:
    """`unused`, `untested` and `two-writers`."""
    if draft.complete:  # else a file that cannot be read may use it
        _check_unused(draft)
    for each in draft.sources:
        for rule in each.rules:
            if "tests" not in rule.nodes:
                draft.findings.warn(rule.key, "untested", f"rule {rule.name} has no tests")
        for earlier, later in combinations(each.rules, 2):
            if earlier.sound and later.sound and any(_meet(a, b) for a in earlier.when for b in later.when):
                _check_writers(earlier, later, draft)


def check_secrets(draft: Draft, is_set: Callable[[Secret], bool]) -> None:
    """`secret-unset`."""
    for use in draft.secrets():
        if not is_set(use.secret):
            message = "not set here, or empty, or a source secret under 16 bytes"
            draft.findings.warn(use.node, "secret-unset", message, "`serve` and `work` refuse to start so")


def _check_unused(draft: Draft) -> None:
    rules = [rule for _, rule in draft.rules()]
    fields = {step.field for rule in rules for step in rule.steps} | set(_mentioned(rules))
    fields |= {step.field for rule in rules for each in rule.filters for step in each.sends}
    tables = {name for rule in rules for leaf in leaves_of(rule) for name in leaf.compiled.tables}
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


def _check_writers(earlier: Rule, later: Rule, draft: Draft) -> None:
    """Warn of fields that both can write for one event."""
    for step in _steps(later):
        both = [
            name.text
            for name in later.to
            if step.field in _written(later, name.text) and step.field in _written(earlier, name.text)
        ]
        if both:
            message = f"{later.id} and {earlier.id} can both set {step.field} for {listed(both)} from one event"
            draft.findings.warn(step.key, "two-writers", message, "the later one in the file wins")


def _steps(rule: Rule) -> Iterator[Step]:
    seen = set()
    for step in [*rule.steps, *(step for each in rule.filters for step in each.sends)]:
        if step.field not in seen:
            seen.add(step.field)
            yield step


def _written(rule: Rule, destination: str) -> set[str]:
    """The fields of a rule that can reach a destination."""
    for each in rule.filters:
        if each.destination == destination:
            fields = {step.field for step in rule.steps if step.field not in each.gone}
            return fields | {step.field for step in each.sends}
    return set()


def _meet(a: str, b: str) -> bool:
    """Whether one text can match both patterns."""
    # reachable[j]: the part of `a` read so far can end where j characters of `b` are read
    reachable = [True] + [False] * len(b)
    for j, letter in enumerate(b):
        reachable[j + 1] = reachable[j] and letter == "*"
    for x in a:
        fresh = [reachable[0] and x == "*"]
        for j, y in enumerate(b):
            if x == "*" or y == "*":
                fresh.append(reachable[j + 1] or fresh[j])
            else:
                fresh.append(reachable[j] and x == y)
        reachable = fresh
    return reachable[-1]

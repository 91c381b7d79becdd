"""Checks of what rules make of the samples: values that never fit their trait, and conditions that are never yes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from router.ruleset.language import MISSING, UNSET, Context, FailRule, SkipRule, describe, kind_of
from router.ruleset.leaves import Value
from router.ruleset.loading import Draft
from router.ruleset.rules import Rule, Step
from router.ruleset.shape import Findings
from router.ruleset.source_file import SourceSection
from router.ruleset.types import Unusable


def check_values(draft: Draft) -> None:
    """`kind-mismatch`, where every sample that has a value has one that cannot be used. In a file with errors that may
    be because of them."""
    wrong = {problem.file for problem in draft.findings.problems if problem.severity == "error"}
    for each, rule in draft.rules():
        if each.file not in wrong and each.section.readable:
            _check_rule(rule, _contexts(draft, rule, each.section), draft.findings)


def _contexts(draft: Draft, rule: Rule, section: SourceSection) -> list[Context]:
    return [
        Context(
            *(found.value, found.event, found.event.headers, found.event.query),
            *(section.name, section.region, section.timezone),
        )
        for found in draft.events.get(section.name, ())
        if not found.event.error and rule.matches(found.event.type)
    ]


def _check_rule(rule: Rule, contexts: Sequence[Context], findings: Findings) -> None:
    condition = rule.condition
    if condition is not None and not isinstance(condition.literal, bool):
        given = list(_given(condition, contexts))
        if given and not any(isinstance(value, bool) for value in given):
            message = f"if is never yes: in every sample it is {describe(given[-1])}"
            hint = "write exists after it, or compare it" if kind_of(given[-1]) else ""
            findings.warn(condition.node, "kind-mismatch", message, hint)
    for step in (*rule.steps, *(leaf for leaves in rule.sends.values() for leaf in leaves)):
        if step.value.leaves and step.value.literal is MISSING:
            _check_step(step, contexts, findings)


def _check_step(step: Step, contexts: Sequence[Context], findings: Findings) -> None:
    reason = ""
    for value in _given(step.value, contexts):
        try:
            if value is UNSET or step.make(value) is not MISSING:
                return
        except Unusable as error:
            reason = error.reason
    if reason:
        message = f"{step.key.text} is left out of every sample: {reason}"
        findings.warn(step.value.node, "kind-mismatch", message)


def _given(value: Value, contexts: Sequence[Context]) -> Iterator[Any]:
    """What a value is for each sample that has one."""
    for context in contexts:
        try:
            found = value.run(context)
        except (SkipRule, FailRule):
            continue
        if found is not MISSING:
            yield found

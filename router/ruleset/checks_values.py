"""Checks of what rules make of the samples: values that are never used, nobody's ids, conditions that are never yes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from router.providers.base import Provider
from router.ruleset.identities import converters
from router.ruleset.language import MISSING, UNSET, Context, FailRule, SkipRule, describe, kind_of
from router.ruleset.leaves import Leaf
from router.ruleset.loading import Draft
from router.ruleset.rules import Rule, SendStep, profile_of
from router.ruleset.shape import Findings
from router.ruleset.slips import call_between
from router.ruleset.source_file import SourceSection
from router.ruleset.tree import MapNode
from router.ruleset.trial import never_known
from router.ruleset.types import Unusable

_ORDERED: Final = '"{.day | slice(-4)}-{.day | slice(3, 5)}-{.day | slice(0, 2)}"'
#: how a reason ends → what to do
_MENDS: Final = {
    "is not yes or no": 'translate it with a table, as in | map("flags")',
    "is not a two-letter country code": 'translate it with a table, as in | map("countries")',
    "is not a number": 'take out its digits, as in | extract("[0-9.]+"), or translate it with a table',
    "is not a date": f"a date is 1990-05-17; 17.05.1990 is put in order by {_ORDERED}",
    "number is not a time": 'milliseconds are read as they are, or with time("ms")',
    "is not a phone number": "without a country code it takes source.region, as in region: US",
}
#: keys that a hint names
_MANY: Final = 12
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LISTS: Final = "take one element, as in [0] or [.primary]"


def check_values(draft: Draft) -> None:
    """`kind-mismatch`, where every sample that has a value has one that cannot be used. In a file with errors that may
    be because of them."""
    wrong = {problem.file for problem in draft.findings.problems if problem.severity == "error"}
    for each in draft.sources:
        if each.file in wrong or not each.section.readable:
            continue
        _check_identity(each.section, _contexts(draft, each.section), draft.findings)
        for rule in each.rules:
            contexts = _contexts(draft, each.section, rule)
            _check_rule(rule, contexts, draft.findings)
            for name, leaves in rule.sends.items():
                for leaf in leaves:
                    _check_body(leaf, draft.targets[name].destination.provider, contexts, draft.findings)


def _contexts(draft: Draft, section: SourceSection, rule: Rule | None = None) -> list[Context]:
    """Those of the samples; of a rule, of the samples that it is for."""
    return [
        Context(
            *(found.value, found.event, found.event.headers, found.event.query),
            *(section.name, section.region, section.timezone),
        )
        for found in draft.events.get(section.name, ())
        if not found.event.error and (rule is None or rule.matches(found.event.type))
    ]


def _check_identity(section: SourceSection, contexts: Sequence[Context], findings: Findings) -> None:
    """What the file itself says of the identity: an unusable part is as good as none, and nobody would know."""
    node = section.nodes.get("identity")
    convert = converters(section.region, section.timezone)
    for key, written in node.pairs if isinstance(node, MapNode) else ():
        value = section.identity_values.get(key.text)
        if value is None or value.literal is not MISSING:
            continue
        if reason := _refused(value.run, convert[key.text], contexts):
            message = f"identity.{key.text} cannot be used in any sample: {reason}"
            findings.warn(written, "kind-mismatch", message, _keys(value.run, contexts))


def _check_rule(rule: Rule, contexts: Sequence[Context], findings: Findings) -> None:
    condition = rule.condition
    if condition is not None and condition.literal is False:
        findings.warn(condition.node, "unused", f"rule {rule.name} never runs")
    if condition is not None and not isinstance(condition.literal, bool):
        given = list(_given(condition.run, contexts))
        if given and not any(isinstance(value, bool) for value in given):
            message = f"if is never yes: in every sample it is {describe(given[-1])}"
            hint = "write exists after it, or compare it" if kind_of(given[-1]) else ""
            findings.warn(condition.node, "kind-mismatch", message, hint)
    if rule.user.literal is MISSING and (reason := _refused(rule.user.run, profile_of, contexts)):
        message = f"no sample has a usable id here: {reason}"
        findings.warn(rule.user.node, "kind-mismatch", message, _keys(rule.user.run, contexts))
    for step in (*rule.steps, *(leaf for leaves in rule.sends.values() for leaf in leaves)):
        if not step.value.leaves or step.value.literal is not MISSING:
            continue
        if any(_is_told(leaf) for leaf in step.value.leaves):
            continue  # and it is the reason why the value is refused
        if reason := _refused(step.value.run, step.make, contexts):
            mend = _LISTS if reason.startswith("list(") else next((_MENDS[e] for e in _MENDS if reason.endswith(e)), "")
            message = f"{step.label} is left out of every sample: {reason}"
            findings.warn(step.value.node, "kind-mismatch", message, mend)


def _check_body(leaf: SendStep, provider: Provider, contexts: Sequence[Context], findings: Findings) -> None:
    """Warn of a leaf of `send` whose value the provider refuses in every sample: it would refuse the whole change."""
    if not leaf.value.leaves or leaf.value.literal is not MISSING:
        return
    problem = None
    for value in _given(leaf.value.run, contexts):
        if value is UNSET:
            continue
        problem = provider.leaf_problem(leaf.path, provider.value_of(leaf.field, value))
        if problem is None:
            return
    if problem is not None and problem.code == "provider-type":
        message = f"in every sample {problem.message}: the change would be refused"
        findings.warn(leaf.value.node, "provider-type", message, problem.hint)


def _is_told(leaf: Leaf) -> bool:
    """Whether another check tells what is wrong with a value."""
    compiled = leaf.compiled
    if compiled.kind == "template" and call_between(compiled.text):
        return True
    return any(never_known(compare, compiled.text) for compare in compiled.comparisons)


def _refused(run: Callable[[Context], Any], convert: Callable[[Any], Any], contexts: Sequence[Context]) -> str:
    """Why no sample has a value that can be used; empty if one has, and if none has any."""
    reason = ""
    for context in contexts:
        try:
            value = run(context)
        except (SkipRule, FailRule):
            value = MISSING
        notes = context.notes[:1]
        context.notes.clear()
        if value is MISSING:
            reason = reason or "".join(notes)
            continue
        try:
            if value is UNSET or convert(value) is not MISSING:
                return ""
        except (Unusable, FailRule) as error:
            reason = error.reason
    return reason


def _keys(run: Callable[[Context], Any], contexts: Sequence[Context]) -> str:
    """Where the value is an object, a hint that names its keys: those that may be somebody's are not shown."""
    for value in _given(run, contexts):
        if isinstance(value, dict) and 0 < len(value) <= _MANY and all(map(_KEY.fullmatch, value)):
            return f"one of {', '.join(value)}"
    return ""


def _given(run: Callable[[Context], Any], contexts: Sequence[Context]) -> Iterator[Any]:
    """What a value is for each sample that has one."""
    for context in contexts:
        try:
            found = run(context)
        except (SkipRule, FailRule):
            continue
        finally:
            context.notes.clear()
        if found is not MISSING:
            yield found

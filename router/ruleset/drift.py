"""Drift: fields that used to come and do not any more. Looks at stored events: part of a preview, not of load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from router.errors import RuleError
from router.model import Event
from router.ruleset.checks_paths import leaves_of
from router.ruleset.language import is_blank
from router.ruleset.leaves import Leaf
from router.ruleset.loading import by_place
from router.ruleset.nodes import Path
from router.ruleset.project import Project
from router.ruleset.rules import Rule
from router.ruleset.tree import problem

#: fewest events in a row that lack a field before it is called gone
LEAST = 10
#: how likely such a run may be by chance
CHANCE = 0.001


def drift(project: Project, events: Iterable[tuple[Event, Any]]) -> list[RuleError]:
    """Warnings (`drift`) for paths of rules that were there and then in no event any more, by place.

    `events` are (event, decoded payload) in any order. Paths with conditions are not looked at.
    """
    by_type: dict[tuple[str, str], list[tuple[datetime, Any]]] = {}
    for event, value in events:
        by_type.setdefault((event.source, event.type), []).append((event.occurred_at, value))
    for seen in by_type.values():
        seen.sort(key=lambda one: one[0])
    return by_place([found for rule in project.rules for found in _of_rule(rule, by_type)])


def _of_rule(rule: Rule, by_type: Mapping[tuple[str, str], Sequence[tuple[datetime, Any]]]) -> Iterator[RuleError]:
    source = rule.id.partition("/")[0]
    for (sender, event_type), seen in by_type.items():
        if sender != source or not rule.matches(event_type):
            continue
        for leaf in leaves_of(rule):
            for path in leaf.compiled.paths:
                found = _gone(path, seen) if _is_plain(path) else None
                if found is not None:
                    yield _warning(leaf, path, event_type, *found)


def _is_plain(path: Path) -> bool:
    return path.base in {"dot", "root"} and bool(path.steps) and all(s.kind in {"key", "index"} for s in path.steps)


def _gone(path: Path, seen: Sequence[tuple[datetime, Any]]) -> tuple[float, datetime] | None:
    """In what share of the events the field came, and when last; None if it still does, or never did, or by chance."""
    there = [not is_blank(_read(path, value)) for _, value in seen]
    if True not in there:
        return None
    last = len(there) - 1 - there[::-1].index(True)
    lacking = len(there) - 1 - last
    share = sum(there) / (last + 1)
    if lacking < LEAST or (1 - share) ** lacking > CHANCE:
        return None
    return share, seen[last][0]


def _read(path: Path, value: Any) -> Any:
    try:
        for step in path.steps:
            value = value[step.value]
    except (LookupError, TypeError):
        return None
    return value


def _warning(leaf: Leaf, path: Path, event_type: str, share: float, until: datetime) -> RuleError:
    step = path.steps[-1]
    message = (
        f"{step.value} came in {share * 100:.0f} % of {event_type} until {until.day} {until:%b}, since then in none"
    )
    return problem(leaf.node, "drift", message, offset=step.start, length=step.end - step.start, severity="warning")

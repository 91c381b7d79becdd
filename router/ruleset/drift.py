"""Drift: fields that used to come and do not any more, and those that come as something else. Looks at what arrived:
part of a preview, not of load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from router.errors import RuleError
from router.ruleset.checks_paths import leaves_of
from router.ruleset.leaves import Leaf
from router.ruleset.loading import by_place
from router.ruleset.nodes import Step
from router.ruleset.project import Project
from router.ruleset.rules import Rule
from router.ruleset.shapes import ANY_KEY, WHOLE, History, Seen, paths_read, total, utc_day
from router.ruleset.tree import problem

#: fewest events in a row that lack a field before it is called gone
LEAST = 10
#: how likely such a run may be by chance
CHANCE = 0.001
#: kinds of a single value
_SCALARS = frozenset({"text", "number", "yes/no"})


def drift(project: Project, *histories: History) -> list[RuleError]:
    """Warnings (`drift`) by place for what rules read: paths that stopped coming, and kinds that flipped.

    Of several histories, an earlier one is believed where both tell of a place.
    """
    found: dict[tuple[str, int, int], RuleError] = {}
    for history in histories:
        for rule in project.rules:
            for warning in _of_rule(rule, history):
                found.setdefault((warning.file, warning.line, warning.column), warning)
    return by_place(list(found.values()))


def _of_rule(rule: Rule, history: History) -> Iterator[RuleError]:
    source = rule.id.partition("/")[0]
    read = [
        (leaf, text, step)
        for leaf in leaves_of(rule)
        for text, _, step in paths_read(leaf.compiled.paths)
        if step is not None and ANY_KEY not in text
    ]
    for (sender, event_type), stretches in history.items():
        if sender != source or not rule.matches(event_type):
            continue
        for leaf, text, step in read:
            says = _gone(text, stretches) or _flipped(text, stretches)
            if says:
                yield _warning(leaf, step, says.format(name=_name(text), type=event_type))


def _gone(path: str, stretches: Sequence[Seen]) -> str:
    """In what share of the events the path came, and until when; empty if it still does, never did, or by chance."""
    there = [seen.there(path) for seen in stretches]
    last = max((n for n, count in enumerate(there) if count), default=None)
    if last is None:
        return ""
    lacking = sum(seen.looked_for(path) for seen in stretches[last + 1 :])
    if _by_chance(sum(there), total_of(stretches[: last + 1]), lacking):
        return ""
    share = sum(there) / total_of(stretches[: last + 1])
    return f"{{name}} came in {share * 100:.0f} % of {{type}} until {utc_day(stretches[last])}, since then in none"


def _flipped(path: str, stretches: Sequence[Seen]) -> str:
    """Which kind it always was and until when, and what it is since then; empty if it did not change, or by chance."""
    for kind in sorted({kind for seen in stretches for kind in seen.kinds(path)}):
        of_kind = [seen.kinds(path).get(kind, 0) for seen in stretches]
        last = max(n for n, count in enumerate(of_kind) if count)
        before = sum(seen.there(path) for seen in stretches[: last + 1])
        after = sum(seen.there(path) for seen in stretches[last + 1 :])
        if _by_chance(sum(of_kind), before, after):
            continue
        now = sorted({each for seen in stretches[last + 1 :] for each in seen.kinds(path)})
        share = min(sum(of_kind) / before, 1)
        return (
            f"{{name}} was {kind} in {share * 100:.0f} % of {{type}} until {utc_day(stretches[last])}, "
            f"since then {' or '.join(now)}"
        )
    return ""


def _by_chance(had: int, of: int, lacking: int) -> bool:
    """Whether `lacking` events in a row without something are no wonder, where `had` of `of` had it."""
    return lacking < LEAST or (1 - min(had / of, 1)) ** lacking > CHANCE


def total_of(stretches: Sequence[Seen]) -> int:
    """How many events were looked at."""
    return sum(seen.events for seen in stretches)


def _name(path: str) -> str:
    return path.rpartition(".")[2].strip('"')


def _warning(leaf: Leaf, step: Step, says: str) -> RuleError:
    return problem(leaf.node, "drift", says, offset=step.start, length=step.end - step.start, severity="warning")


# --- what nobody reads -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unread:
    """What arrives of one type of event and no rule reads."""

    source: str
    type: str
    #: how many events were looked at
    events: int
    #: whether a rule is for this type at all
    wanted: bool
    #: path → in what share of the events it is there, the most frequent first; of single values and lists of them
    fields: dict[str, float]


def unread(project: Project, history: History) -> list[Unread]:
    """Fields that arrive and that neither a rule nor the source's identity reads, by source and type."""
    found = []
    for (source, event_type), stretches in sorted(history.items()):
        section = project.sections.get(source)
        if section is None:
            continue
        rules = project.rules_for(source, event_type)
        paths = [path for rule in rules for leaf in leaves_of(rule) for path in leaf.compiled.paths]
        read = {text for text, _, _ in paths_read([*paths, *section.identity_paths])}
        events, counts = total(stretches)
        left: Counter[str] = Counter()
        for (path, kind), count in counts.items():
            if kind in _SCALARS and path != WHOLE and not _is_read(path, read):
                left[path] += count
        by_share = sorted(left.items(), key=lambda one: (-one[1], one[0]))
        ordered = {path: min(n / max(events, 1), 1.0) for path, n in by_share}
        if ordered or not rules:
            found.append(Unread(source, event_type, events, bool(rules), ordered))
    return found


def _is_read(path: str, read: set[str]) -> bool:
    """Whether the path itself is read, or something that holds it."""
    return WHOLE in read or any(path == each or path.startswith((f"{each}.", f"{each}[")) for each in read)

"""Shapes: the paths and kinds of what arrives, never a value. Kept by the day, so that a change of a sender shows."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from router.model import EPOCH, Event
from router.ruleset.language import is_blank, kind_of
from router.ruleset.nodes import Path, Step

#: what is not looked at: deeper levels, later elements of a list, further paths of one event
MAX_DEPTH = 10
MAX_ELEMENTS = 20
MAX_PATHS = 500
#: an object with more keys has data for keys, such as ids: they are all written as `*`
MAX_KEYS = 60

#: the kind of null and of blank text
BLANK = "blank"
#: beside the kind of a list or an object: more is in it than was looked at; of a whole event: it has more paths
PART = "part"
#: kinds that are no kinds of values
_NO_VALUES = frozenset({BLANK, PART})
#: stands for an event itself, so that its count is that of the events that were looked at
WHOLE = "."
ANY_KEY = '."*"'

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
#: a key that looks like somebody's: an address, a number or a random id
_PERSONAL = re.compile(r"@|[0-9]{5,}|[0-9a-fA-F]{16,}|^.{65,}$", re.DOTALL)


class Count(NamedTuple):
    """In how many events of a day a path was of a kind."""

    #: of receipt, days since 1970
    day: int
    path: str
    kind: str
    events: int


@dataclass(slots=True)
class Seen:
    """What was seen of one type of event in one stretch of time."""

    since: datetime
    #: how many were looked at
    events: int = 0
    #: path → kind → in how many of them
    paths: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))

    def there(self, path: str) -> int:
        """In how many events the path was there, and not blank."""
        return min(self.events, sum(n for kind, n in self.kinds(path).items()))

    def kinds(self, path: str) -> dict[str, int]:
        """In how many events the path was of each kind, where it was not blank."""
        return {kind: n for kind, n in self.paths.get(path, {}).items() if kind not in _NO_VALUES}

    def looked_for(self, path: str) -> int:
        """In how many events the path would have been noticed. What holds it may have held more than was looked at."""
        around = [WHOLE, *(path[:n] for n in range(1, len(path)) if path[n] in ".[")]
        return max(self.events - max(self.paths.get(place, {}).get(PART, 0) for place in around), 0)


#: (source, event type) → what was seen, oldest first
History = Mapping[tuple[str, str], Sequence[Seen]]


def shape_of(value: Any) -> set[tuple[str, str]]:
    """Every path in a decoded payload with the kind of what is there: `yes/no`, `number`, `text`, `list`, `object` or
    `blank`, and `part` where not all of it was looked at. Paths are those of the rule language; elements of a list are
    `[]`."""
    found: set[tuple[str, str]] = set()
    _walk(value, "", 0, found)
    return found


def _walk(value: Any, path: str, depth: int, found: set[tuple[str, str]]) -> None:
    if len(found) >= MAX_PATHS:
        found.add((WHOLE, PART))
        return
    found.add((path or WHOLE, BLANK if is_blank(value) else kind_of(value)))
    if depth == MAX_DEPTH:
        return
    if isinstance(value, dict):
        crowd = len(value) > MAX_KEYS
        if crowd:
            found.add((path or WHOLE, PART))
        for key, part in value.items():
            _walk(part, path + (ANY_KEY if crowd or _PERSONAL.search(key) else key_text(key)), depth + 1, found)
    elif isinstance(value, list):
        if len(value) > MAX_ELEMENTS:
            found.add((path or WHOLE, PART))
        for part in value[:MAX_ELEMENTS]:
            _walk(part, f"{path or WHOLE}[]", depth + 1, found)


def key_text(key: str) -> str:
    """One step of a path, in quotes where the language needs them."""
    if _NAME.fullmatch(key):
        return f".{key}"
    escaped = key.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'."{escaped}"'


def day_of(moment: datetime) -> int:
    """The day of a time in UTC, counted from 1970."""
    return (moment - EPOCH).days


# --- history ---------------------------------------------------------------------------------------------------------


def days(counts: Iterable[Count]) -> list[Seen]:
    """What was seen of one type of event, by the day, oldest first."""
    found: dict[int, Seen] = {}
    for day, path, kind, events in counts:
        seen = found.setdefault(day, Seen(EPOCH + timedelta(days=day)))
        if path == WHOLE and kind != PART:
            seen.events += events
        seen.paths[path][kind] = seen.paths[path].get(kind, 0) + events
    return [found[day] for day in sorted(found)]


def each_event(events: Iterable[tuple[Event, Any]]) -> dict[tuple[str, str], list[Seen]]:
    """Every event as a stretch of its own; `events` are (event, decoded payload) in any order."""
    history: dict[tuple[str, str], list[Seen]] = defaultdict(list)
    for event, value in events:
        seen = Seen(event.occurred_at, 1)
        for path, kind in shape_of(value):
            seen.paths[path][kind] = 1
        history[event.source, event.type].append(seen)
    for stretch in history.values():
        stretch.sort(key=lambda seen: seen.since)
    return dict(history)


# --- what rules read -------------------------------------------------------------------------------------------------


def paths_read(paths: Collection[Path], at: str = "") -> Iterator[tuple[str, Path, Step | None]]:
    """Every path of the payload that is read, as a shape has it, with its last step; those inside brackets too.

    `at` is where `.` stands. Headers, parameters and the like are left out.
    """
    for path in paths:
        if path.base not in {"dot", "root"}:
            continue
        text = "" if path.base == "root" else at
        for step in path.steps:
            text = text + key_text(step.value) if step.kind == "key" else f"{text or WHOLE}[]"
            yield from paths_read(step.paths, text)
        yield text or WHOLE, path, path.steps[-1] if path.steps else None


def utc_day(seen: Seen) -> str:
    """The day a stretch began, as in `7 Nov`."""
    moment = seen.since.astimezone(UTC)
    return f"{moment.day} {moment:%b}"


def total(stretches: Iterable[Seen]) -> tuple[int, Counter[tuple[str, str]]]:
    """How many events were seen in all, and (path, kind) → in how many."""
    events, counts = 0, Counter[tuple[str, str]]()
    for seen in stretches:
        events += seen.events
        counts.update({(path, kind): n for path, kinds in seen.paths.items() for kind, n in kinds.items()})
    return events, counts

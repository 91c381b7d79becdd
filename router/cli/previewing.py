"""What `check --preview` adds: what other rules would have made of the same events, and what has changed in them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click

from router.cli.context import last_rules, open_current_store
from router.errors import ConfigError, MalformedError, RuleError, rules_in
from router.model import Event
from router.ruleset import Project, load
from router.ruleset.drift import Unread, drift, unread
from router.ruleset.preview import Case, Preview, RulePreview, affected, preview, samples, stored
from router.ruleset.report import escaped
from router.ruleset.shapes import Count, Seen, days, each_event
from router.ruleset.text import counted, printable
from router.settings import Settings, read_rules
from router.store import events, ids, shapes
from router.store.base import Store

#: events that are read in one go
_PAGE = 500
#: events of a source that drift is looked for in, one by one
_EXACT = 2_000
#: fields that nobody reads, in one line
_FIELDS = 8

_Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Impact:
    """What a preview found out."""

    #: what was compared over which events
    title: str
    #: rule files that differ
    changed: int
    #: None if no file differs
    preview: Preview | None
    drift: tuple[RuleError, ...] = ()
    unread: tuple[Unread, ...] = ()

    def text(self) -> str:
        """As printed after the problems."""
        lines = [self.title, *(self.preview.lines() if self.preview else ["  no rule file differs"])]
        if self.unread:
            lines += ["not read by any rule:", *(f"  {_unread(each)}" for each in self.unread)]
        return "\n".join(map(printable, lines))

    def github(self, prefix: str) -> list[str]:
        """A notice at each rule that makes other payloads."""
        rules = [rule for rule in self.preview.rules if rule.differs] if self.preview else []
        return [
            f"::notice file={prefix}{rule.file},line={rule.line},title=preview::{printable(escaped(_sentence(rule)))}"
            for rule in rules
        ]

    def as_json(self) -> dict[str, Any]:
        """For `--format json`."""
        made = self.preview.as_json() if self.preview else None
        return {
            "preview": None if made is None else {"title": self.title, **made},
            "files_changed": self.changed,
            "unread": [asdict(each) for each in self.unread],
        }


def impact(settings: Settings, files: _Files, sampled: _Files, count: int, against: Path | None) -> Impact:
    """Compare these rule files with those of a directory, else with those that were loaded last, over the last `count`
    events of each source that they concern; 0: over the samples. Raises `RuleErrors`, `ConfigError`, `StoreError`."""
    new = load(files, sampled, reveal=str)
    base, base_samples, name = _running(settings) if against is None else (*read_rules(against), str(against))
    with nullcontext() if against is None else rules_in(against):
        old = load(base, base_samples, reveal=str)
    changed = sum(base.get(each) != files.get(each) for each in {*base, *files})
    concerned = affected(base, files, (old, new))
    if count == 0:
        made = preview(old, new, samples(old, new, concerned), clear=True) if changed else None
        return Impact(_title(name, concerned, "the samples"), changed, made)
    with closing(open_current_store(settings)) as store:
        recorded = _Recorded(store, concerned or list(new.sections), count)
        made = preview(old, new, _progress(stored(old, new, recorded), recorded), clear=False) if changed else None
        exact = _Recorded(store, recorded.sources, min(count, _EXACT))
        found, left = _arrived(new, store, exact)
    seen = recorded.seen if changed else exact.seen
    over = f"last {counted(seen, 'event')}" if seen else "no events"
    return Impact(_title(name, concerned, over), changed, made, tuple(found), tuple(left))


def _running(settings: Settings) -> tuple[_Files, _Files, str]:
    kept = last_rules(settings)
    if kept is None:
        raise ConfigError("no rules ran here yet that these could be compared with: give --against DIRECTORY")
    return kept.files, {}, f"revision {kept.revision[:7]}"


def _title(base: str, sources: Sequence[str], over: str) -> str:
    return f"{base} → files on disk, {over}" + (f" of {', '.join(sources)}" if sources else "")


class _Recorded:
    """The last events of some sources, in pages: no cursor is left open while they are evaluated."""

    def __init__(self, store: Store, sources: Sequence[str], count: int) -> None:
        self.sources = sources
        self.count = count
        #: how many there were
        self.seen = 0
        self._store = store

    def __iter__(self) -> Iterator[tuple[str, Event]]:
        for source in self.sources:
            for event in islice(self._newest(source), self.count):
                self.seen += 1
                yield ids.text(ids.EVENT, event.id), event

    def _newest(self, source: str) -> Iterator[Event]:
        below = None
        while True:
            with self._store.read() as tx:
                page = events.newest(tx, source, min(_PAGE, self.count), below)
            yield from page
            if len(page) < min(_PAGE, self.count):
                return
            below = page[-1].id


def _progress(cases: Iterator[Case], recorded: _Recorded) -> Iterator[Case]:
    """The same, with a bar on a terminal."""
    most = recorded.count * len(recorded.sources)
    with click.progressbar(cases, most, "comparing", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        yield from bar


def _arrived(project: Project, store: Store, recorded: _Recorded) -> tuple[list[RuleError], list[Unread]]:
    """Drift, and what nobody reads: by the recorded events, and by the shapes that were kept for longer."""
    exact = each_event(_opened(project, recorded))
    kept: dict[tuple[str, str], Sequence[Seen]] = {}
    for source in project.sections:
        with store.read() as tx:
            found = shapes.of_source(tx, source)
        kept |= {(source, kind): days(Count(*row) for row in rows) for kind, rows in found.items()}
    return drift(project, exact, kept), unread(project, {**exact, **kept})


def _opened(project: Project, recorded: _Recorded) -> Iterator[tuple[Event, Any]]:
    for _, event in recorded:
        if event.source in project.sources:
            try:
                yield event, project.open(event)
            except MalformedError:
                continue


def _unread(each: Unread) -> str:
    head = f"{each.source} {each.type}".ljust(34)
    if not each.wanted:
        return f"{head} no rule is for it, {each.events:,} seen"
    fields = [f"{path} {share * 100:.0f} %" for path, share in islice(each.fields.items(), _FIELDS)]
    more = len(each.fields) - len(fields)
    return f"{head} {'  '.join(fields)}" + (f"  and {more} more" if more else "")


def _sentence(rule: RulePreview) -> str:
    counts = f"{rule.equal:,} equal, {rule.changed:,} changed, {rule.added:,} added, {rule.gone:,} gone"
    fields = [f"{each.field} {each.text} ({each.whose})" for each in rule.fields]
    return f"{rule.title}: {counts}" + "".join(f"; {each}" for each in fields)


def with_json(checked: str, found: Impact | None) -> str:
    """The JSON of `check` with that of the preview in it, null if errors kept it from being made."""
    more = {"preview": None} if found is None else found.as_json()
    return printable(json.dumps({**json.loads(checked), **more}, ensure_ascii=False))

"""What `send` changes in a sample by what it means: whose it is, which event it is, and when it happened."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from router.cli.opened import Opened, compiled
from router.errors import ConfigError
from router.ruleset import Project
from router.ruleset.nodes import Path
from router.ruleset.samples import Sample, SampleError, SampleEvent, open_sample
from router.ruleset.source_file import SourceSection
from router.ruleset.tree import MapNode, Scalar

#: from here on a number of an epoch is milliseconds
_MILLISECONDS = 10**11
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(Z|[+-][0-9:]+)?")
#: last name of a path that says which object or event it is
_NAMING = re.compile(r"(?i)(id|uri|reference)\Z")


def identity_text(section: SourceSection, part: str) -> str:
    """What `identity` reads a part from, as written; empty if nothing."""
    own = section.nodes.get("identity")
    node = own.get(part) if isinstance(own, MapNode) else None
    if isinstance(node, Scalar):
        return node.text
    return str(section.preset.get("identity", {}).get(part, ""))


def events_of(project: Project, sample: Sample) -> list[SampleEvent]:
    """The events in a sample; none if it cannot be opened."""
    try:
        return open_sample(sample, project.sections[sample.source])
    except SampleError:
        return []


# --- whose ------------------------------------------------------------------------------------------------------------


def put_user(opened: Opened, project: Project, sample: Sample, user: str) -> bool:
    """Write where the `user:` of each rule for the sample's events reads first; whether there is such a place."""
    paths = [found for found in _user_paths(project, sample) if (path := _first(opened, found)) is not None]
    for found in paths:
        path = _first(opened, found)
        if path is not None:
            opened.write(path, user)
    return bool(paths)


def _user_paths(project: Project, sample: Sample) -> Iterator[tuple[Path, ...]]:
    types = {found.event.type for found in events_of(project, sample)}
    for rule in {rule.id: rule for kind in types for rule in project.rules_for(sample.source, kind)}.values():
        for leaf in rule.user.leaves:
            yield leaf.compiled.paths


def _first(opened: Opened, paths: tuple[Path, ...]) -> Path | None:
    """The first path that reads something, else the first that can be written."""
    written = [path for path in paths if path.base in {"header", "query"} or path.steps]
    return next((path for path in written if opened.read(path) is not None), written[0] if written else None)


# --- which ------------------------------------------------------------------------------------------------------------


def put_id(opened: Opened, section: SourceSection, event_id: str, *, asked: bool) -> str:
    """Give the event another id, where `identity` reads it. A note if it is only a part of the id, else empty.

    Raises `ConfigError` if that cannot be and was `asked` for.
    """
    value = compiled(identity_text(section, "id"))
    paths = value.paths if value is not None else ()
    if value is None or not paths:
        if asked:
            raise ConfigError(
                f"events of {section.name} have no id: what tells them apart is the body; change it with --set"
            )
        return ""
    whole = value.is_expression
    path = _first(opened, paths) if whole else _naming(opened, paths)
    if path is None:
        return ""
    new = _like(opened.read(path), event_id)
    if new is None and asked:
        raise ConfigError(f"the id of {section.name} is a number at {path.text}: give --id digits")
    opened.write(path, secrets.randbelow(10**9) if new is None else new)
    return "" if whole or not asked else f"the id is made of several values: {event_id} stands at {path.text}"


def _naming(opened: Opened, paths: tuple[Path, ...]) -> Path | None:
    """Of the parts of an id the one that is made anew for each event: a header, else the last that names something."""
    headers = [path for path in paths if path.base == "header"]
    naming = [path for path in paths if path.steps and _NAMING.search(str(path.steps[-1].value))]
    return _first(opened, (*headers, *reversed(naming), *paths))


def _like(old: Any, event_id: str) -> str | int | None:
    """The id in the form of the old one; None if it has to be a number and is none."""
    if isinstance(old, int) and not isinstance(old, bool):
        return int(event_id) if event_id.isascii() and event_id.isdigit() else None
    if isinstance(old, str) and "://" in old:
        return f"{old.rpartition('/')[0]}/{event_id}"
    return event_id


# --- when -------------------------------------------------------------------------------------------------------------


def put_time(opened: Opened, section: SourceSection, at: datetime, *, asked: bool) -> None:
    """Move the event's time, in the form in which the sample has it, and the object's if that is a time too.

    Raises `ConfigError` if there is none and it was `asked` for.
    """
    moved = False
    for part in ("time", "version"):
        value = compiled(identity_text(section, part))
        for path in value.paths if value is not None else ():
            new = _moment_like(opened.read(path), at)
            if new is not None:
                opened.write(path, new)
                moved = True
                break
    if asked and not moved:
        raise ConfigError(
            f"this event of {section.name} has no time: it counts from its receipt, and --at cannot move that"
        )


def _moment_like(old: Any, at: datetime) -> str | int | None:
    if isinstance(old, str):
        text = old.strip()
        if text.isascii() and text.isdigit() and 9 <= len(text) <= 13:
            return str(_moment_like(int(text), at))
        match = _ISO.fullmatch(text)
        if match is None:
            return None
        zone = "Z" if match[1] else ""
        return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + zone
    if isinstance(old, int | float) and not isinstance(old, bool) and old > 10**8:
        return int(at.timestamp() * (1000 if old >= _MILLISECONDS else 1))
    return None

"""Composing the webhooks that `send` and `demo` post: a sample, changed here and there, signed as its sender would."""

from __future__ import annotations

import copy
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from shlex import quote as shell
from typing import Any
from urllib.parse import quote, urlencode

from router.errors import ConfigError
from router.ruleset import Project
from router.ruleset.samples import Sample, SampleError, SampleEvent, open_sample
from router.ruleset.source_file import SourceSection
from router.ruleset.tree import MapNode, Scalar

#: a path that can be written to: names and indexes only
_STEP = re.compile(r"""\.(?:"((?:[^"\\]|\\.)*)"|([A-Za-z_][A-Za-z0-9_-]*))|\[(-?[0-9]+)\]""")
_KEPT = re.compile(r"\$(header|query)\.([A-Za-z0-9_-]+)")
#: from here on a number of an epoch is milliseconds
_MILLISECONDS = 10**11


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is changed in a sample before it is signed."""

    #: path → JSON value
    put: Mapping[str, Any] = field(default_factory=dict)
    remove: Sequence[str] = ()
    #: whose profile; None: the sample's
    user: str | None = None
    #: the sender's id of the event; None: a new one
    id: str | None = None
    #: the event's own time; None: the sample's
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """One webhook, ready to be posted."""

    source: str
    body: bytes
    headers: Mapping[str, str]
    #: with a leading question mark, or empty
    query: str
    #: names of the headers that carry the signature
    signed_by: Sequence[str]


def find_sample(project: Project, word: str) -> Sample:
    """The sample of `SOURCE/TYPE`, or of a file's name. Raises `ConfigError` that lists what there is."""
    if word in project.samples:
        return project.samples[word]
    source, _, kind = word.partition("/")
    if source not in project.sections:
        raise ConfigError(f"no source {source!r}: there are {', '.join(project.sections)}")
    own = [sample for sample in project.samples.values() if sample.source == source]
    for sample in own:
        if sample.name == f"{source}.{kind}.json" or any(e.event.type == kind for e in events_of(project, sample)):
            return sample
    listed = ", ".join(label(project, sample) for sample in own) or "none: add rules/samples/" + source + ".<type>.json"
    raise ConfigError(f"no sample of {source} for {kind!r}: there are {listed}")


def label(project: Project, sample: Sample) -> str:
    """How `send` is told to take this sample."""
    events = events_of(project, sample)
    return f"{sample.source}/{events[0].event.type}" if events else sample.name


def events_of(project: Project, sample: Sample) -> list[SampleEvent]:
    """The events in a sample; none if it cannot be opened."""
    try:
        return open_sample(sample, project.sections[sample.source])
    except SampleError:
        return []


def compose(project: Project, sample: Sample, overrides: Overrides, now: datetime) -> Signed:
    """The sample, changed and signed. Raises `ConfigError` where a path cannot be written or a source cannot sign."""
    section = project.sections[sample.source]
    document = {"header": dict(sample.header), "query": dict(sample.query), "body": copy.deepcopy(sample.body)}
    if overrides.user is not None:
        for path in user_paths(project, sample):
            write(document, path, overrides.user)
    event_id = overrides.id or f"rt_{secrets.token_hex(8)}"
    own_id = identity_text(section, "id")
    if own_id and can_write(own_id):
        write(document, own_id, event_id)
    if overrides.at is not None:
        _write_time(document, section, overrides.at)
    for path, value in overrides.put.items():
        write(document, path, value)
    for path in overrides.remove:
        remove(document, path)
    body = json.dumps(document["body"], ensure_ascii=False, separators=(",", ":")).encode()
    source = project.sources[sample.source]
    signature = source.sign(body, now=now, event_id=event_id)
    headers = {"Content-Type": "application/json", **document["header"], **signature}
    query = urlencode(document["query"], quote_via=quote)
    return Signed(sample.source, body, headers, f"?{query}" if query else "", list(signature))


def identity_text(section: SourceSection, part: str) -> str:
    """The path that `identity` reads a part from, as written; empty if there is none."""
    own = section.nodes.get("identity")
    node = own.get(part) if isinstance(own, MapNode) else None
    if isinstance(node, Scalar):
        return node.text
    return str(section.preset.get("identity", {}).get(part, ""))


def user_paths(project: Project, sample: Sample) -> list[str]:
    """The first path that the `user:` of each matching rule reads."""
    found = []
    rules = {
        rule.id: rule for e in events_of(project, sample) for rule in project.rules_for(sample.source, e.event.type)
    }
    for rule in rules.values():
        node = rule.nodes["user"]
        match = re.search(r"[.$][^\s|{}]*", node.text) if isinstance(node, Scalar) else None
        if match and can_write(match[0]) and match[0] not in found:
            found.append(match[0])
    return found


def _write_time(document: dict[str, Any], section: SourceSection, at: datetime) -> None:
    """Move the event's time, in the form in which the sample has it, and the object's if that is a time too."""
    for part in ("time", "version"):
        path = identity_text(section, part)
        if not path or not can_write(path):
            continue
        old = read(document, path)
        if isinstance(old, str) and old.strip() and not old.isdigit():
            write(document, path, at.astimezone(UTC).isoformat().replace("+00:00", "Z"))
        elif isinstance(old, int) and old > 10**9:
            write(document, path, int(at.timestamp() * (1000 if old >= _MILLISECONDS else 1)))


# --- paths that can be written ------------------------------------------------------------------------------------


def can_write(path: str) -> bool:
    """Whether a path is names and indexes only."""
    return bool(_KEPT.fullmatch(path)) or bool(steps(path))


def steps(path: str) -> list[str | int]:
    """Keys and indexes of `.a."b c"[0]`; empty if it is anything else."""
    found: list[str | int] = []
    place = 0
    while place < len(path):
        match = _STEP.match(path, place)
        if match is None:
            return []
        quoted, name, index = match.groups()
        found.append(int(index) if index is not None else quoted if quoted is not None else name)
        place = match.end()
    return found


def _place(document: dict[str, Any], path: str) -> tuple[Any, list[str | int]]:
    kept = _KEPT.fullmatch(path)
    if kept:
        return document[kept[1]], [kept[2].lower() if kept[1] == "header" else kept[2]]
    found = steps(path)
    if not found:
        raise ConfigError(f"{path!r} is not a path of names and indexes, such as .data.object.email or $header.x-id")
    return document, ["body", *found]


def read(document: dict[str, Any], path: str) -> Any:
    """The value at a path, None if there is none."""
    node, keys = _place(document, path)
    for key in keys:
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def write(document: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a path; missing objects on the way are made. Raises `ConfigError`."""
    node, keys = _place(document, path)
    try:
        for key in keys[:-1]:
            if isinstance(node, dict) and not isinstance(node.get(key), (dict, list)):
                node[key] = {}
            node = node[key]
        node[keys[-1]] = value
    except (KeyError, IndexError, TypeError):
        raise ConfigError(f"the sample has no place {path}") from None


def remove(document: dict[str, Any], path: str) -> None:
    """Take a value out, if it is there."""
    node, keys = _place(document, path)
    for key in keys[:-1]:
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(node, dict):
        node.pop(keys[-1], None)
    elif isinstance(node, list) and isinstance(keys[-1], int) and -len(node) <= keys[-1] < len(node):
        del node[keys[-1]]


def value_of(text: str) -> Any:
    """JSON if it parses, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def curl(signed: Signed, url: str) -> str:
    """A command line that posts the same."""
    headers = " ".join(f"-H {shell(f'{name}: {value}')}" for name, value in signed.headers.items())
    return f"curl -X POST {shell(url)} {headers} --data-binary {shell(signed.body.decode())}"

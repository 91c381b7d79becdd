"""A sample opened as its source would open it, to be changed where rules look, and closed again."""

from __future__ import annotations

import base64
import copy
from collections.abc import Collection, Iterator
from typing import Any

from router.errors import ConfigError, MalformedError
from router.ruleset.language import Compiled, Context, LanguageError, compile_value, reader
from router.ruleset.misspellings import misspelled, nothing_at
from router.ruleset.nodes import Path, Step
from router.ruleset.samples import Sample
from router.ruleset.source_file import SourceSection
from router.sources.jsontext import decode_json, encode_json

#: where a value is: an object or list, and the key or index in it
Place = tuple[Any, Any]


class Opened:
    """One request, decoded, texts that hold JSON or base64 opened. Paths start at its events, as those of rules do."""

    def __init__(self, sample: Sample, section: SourceSection) -> None:
        self.header = dict(sample.header)
        self.query = dict(sample.query)
        self.body = copy.deepcopy(sample.body)
        self._section = section
        #: opened texts, and whether the text was base64 and the value in it JSON
        self._texts: list[tuple[Place, bool, bool]] = []
        if not isinstance(self.body, list):
            self._open(self.body)
        #: the events in it
        self.events: list[Any] = self._events()
        for event in self.events:
            if event is not self.body:
                self._open(event)

    def close(self) -> Any:
        """The body with its texts as they are sent."""
        for (node, key), is_base64, is_json in reversed(self._texts):
            raw = encode_json(node[key]) if is_json else str(node[key]).encode()
            node[key] = base64.b64encode(raw).decode() if is_base64 else raw.decode()
        self._texts.clear()
        return self.body

    def read(self, path: Path) -> Any:
        """The value at a path in the first event that has one, else None."""
        return next((node[key] for node, key in self.places(path)), None)

    def write(self, path: Path, value: Any) -> None:
        """Put a value at a path, in every event. Missing objects on the way are made. Raises `ConfigError`."""
        places = list(self.places(path, make=True))
        if not places:
            raise ConfigError(f"the sample has no place {path.text}")
        for node, key in places:
            node[key] = value

    def remove(self, path: Path) -> None:
        """Take out what is at a path. Raises `ConfigError` if nothing is."""
        places = list(self.places(path))
        if not places:
            hint = next((found for step, held in self._missing(path) if (found := nothing_at(step, held))), "")
            raise ConfigError(f"the sample has nothing at {path.text}" + (f": {hint}" if hint else ""))
        for node, key in reversed(places):
            del node[key]

    def require_known(self, path: Path, read: Collection[str]) -> None:
        """Raise `ConfigError` if a name in a path is none of the sample's and none that is `read`, but like one of the
        sample's: a test does not put such a name in either."""
        for step, held in self._missing(path):
            if fault := misspelled(step, held, read):
                raise ConfigError("; ".join(fault))

    def places(self, path: Path, *, make: bool = False) -> Iterator[Place]:
        """Where a path leads, in each event; with `make` also to a key that is not there yet."""
        if path.base in {"header", "query"}:
            held, name = (self.header, path.name.lower()) if path.base == "header" else (self.query, path.name)
            if make or name in held:
                yield held, name
            return
        for event in self.events if path.base in {"dot", "root"} and path.steps else ():
            yield from self._walk(event, path.steps, event, make)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _missing(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        """The first name in a path that no event has, and each object that lacks it."""
        if path.base in {"header", "query"}:
            held, name = (self.header, path.name.lower()) if path.base == "header" else (self.query, path.name)
            yield from [(name, held)] if name not in held else ()
            return
        met = [(event, event) for event in self.events]
        for step in path.steps:
            if step.kind == "key":
                objects = [node for node, _ in met if isinstance(node, dict)]
                if not any(step.value in node for node in objects):
                    yield from ((step.value, node) for node in objects)
                    return
            met = [
                (node[key], event) for node, event in met for key in self._keys(node, step, event) if _has(node, key)
            ]

    def _events(self) -> list[Any]:
        if self._section.envelope.events is not None:
            return [event for event in self._section.envelope.events(self.body) or [] if isinstance(event, dict | list)]
        return [one for one in self.body if isinstance(one, dict)] if isinstance(self.body, list) else [self.body]

    def _open(self, value: Any) -> None:
        envelope = self._section.envelope
        for steps, is_base64 in [
            *((steps, False) for steps in envelope.parse_json),
            *((steps, True) for steps in envelope.parse_base64),
        ]:
            node = value
            try:
                for step in steps[:-1]:
                    node = node[step]
                text = node[steps[-1]]
                if isinstance(text, str) and text.strip():
                    opened, is_json = _opened(text, is_base64=is_base64)
                    node[steps[-1]] = opened
                    self._texts.append(((node, steps[-1]), is_base64, is_json))
            except (LookupError, TypeError, ValueError, MalformedError):
                continue

    def _walk(self, node: Any, steps: tuple[Step, ...], event: Any, make: bool) -> Iterator[Place]:
        step, rest = steps[0], steps[1:]
        for key in self._keys(node, step, event):
            if not rest:
                if make or _has(node, key):
                    yield node, key
                continue
            if make and isinstance(node, dict) and not isinstance(node.get(key), dict | list):
                if rest[0].kind != "key":
                    continue
                node[key] = {}
            if _has(node, key):
                yield from self._walk(node[key], rest, event, make)

    def _keys(self, node: Any, step: Step, event: Any) -> Iterator[Any]:
        """The key, or the indexes, that a step of a path names in a node."""
        if step.kind == "key":
            if isinstance(node, dict):
                yield step.value
        elif isinstance(node, list):
            if step.kind == "index":
                if -len(node) <= step.value < len(node):
                    yield step.value
                return
            found = [index for index, one in enumerate(node) if self._holds(step, one, event)]
            yield from found[:1] if step.kind == "first" else found

    def _holds(self, step: Step, element: Any, event: Any) -> bool:
        if step.condition is None:
            return True
        context = Context(event, None, self.header, self.query, self._section.name)
        return reader(step.condition, {})(context, element) is True


def _has(node: Any, key: Any) -> bool:
    return key in node if isinstance(node, dict) else isinstance(node, list) and -len(node) <= key < len(node)


def _opened(text: str, *, is_base64: bool) -> tuple[Any, bool]:
    """What is in a text, and whether that is JSON."""
    if not is_base64:
        return decode_json(text.encode()), True
    raw = base64.b64decode(text, validate=True)
    try:
        return decode_json(raw), True
    except MalformedError:
        return raw.decode(), False


def compiled(text: str) -> Compiled | None:
    """A text of the rule language; None if it is none."""
    try:
        return compile_value(text, tables={}, allow=frozenset())
    except LanguageError:
        return None


def path_of(text: str) -> Path:
    """A path as somebody typed it. Raises `ConfigError` if the text is anything else."""
    value = compiled(text)
    path = value.paths[0] if value is not None and value.is_expression and len(value.paths) == 1 else None
    if path is None or path.end - path.start != len(text.strip()) or not (path.steps or path.name):
        raise ConfigError(f"{text!r} is not a path, such as .data.object.email or $header.x-id")
    return path

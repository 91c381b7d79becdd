"""Values of a source, which are read before there is an event: those of its identity, and where its events are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from router.ruleset.identities import events_of, key_path
from router.ruleset.keys import ENVELOPE
from router.ruleset.language import Compiled, LanguageError, compile_literal, compile_value
from router.ruleset.leaves import NOTHING
from router.ruleset.shape import Findings, text_of
from router.ruleset.tree import ListNode, MapNode, Node, Scalar, plain
from router.sources.base import Envelope

#: a path that lacks its dot
_WORDS = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\])*")


class SourceValues:
    """Compiles the values of one source."""

    def __init__(self, tables: Mapping[str, Mapping[str, Any]], findings: Findings) -> None:
        self._tables = tables
        self._findings = findings
        #: names of the tables that were looked into
        self.used: set[str] = set()

    def value(self, node: Node) -> Compiled | None:
        """A value of an identity. Problems are noted, and give None."""
        if not isinstance(node, Scalar):
            return None
        if not isinstance(node.value, str):
            return compile_literal(node.value)
        try:
            compiled = compile_value(node.value, tables=self._tables, allow=NOTHING)
        except LanguageError as error:
            place, length = error.column - 1, error.length
            self._findings.add(node, error.code, error.message, error.hint, offset=place, length=length)
            return None
        self.used |= compiled.tables
        for path in compiled.all_paths():
            if path.base == "event":
                message, hint = "$event is not known yet", "identity is what makes it"
                place, length = path.start, path.end - path.start
                self._findings.add(node, "unknown-variable", message, hint, offset=place, length=length)
                return None
        return compiled

    def envelope(self, key: Scalar, node: Node | None, preset: Mapping[str, Any]) -> Envelope:
        """The envelope under a key, laid over the preset's."""
        given = dict(_as_map(preset.get("envelope")))
        if isinstance(node, MapNode):
            given.update({name: plain(part) for name, part in self._findings.read(node, ENVELOPE, "envelope").items()})
        elif node is not None and self._findings.fits(key, node, ENVELOPE["format"]):
            given["format"] = text_of(node)
        events = given.get("events")
        return Envelope(
            format=str(given.get("format", "json")),
            events=None if events in {None, "."} else self._events(node, str(events)),
            parse_json=tuple(self._nested(node, "parse_json", given)),
            parse_base64=tuple(self._nested(node, "parse_base64", given)),
        )

    def _events(self, node: Node | None, text: str) -> Callable[[Any], list[Any] | None] | None:
        part = node.get("events") if isinstance(node, MapNode) else None
        compiled = compile_value(text, tables={}, allow=NOTHING) if part is None else self.value(part)
        if compiled is None:
            return None
        read = events_of(compiled)
        if read is None and part is not None:
            message = "events is a path to the events, as in .data.events[]"
            hint = f"to read the request write .{text}" if _WORDS.fullmatch(text) else ""
            self._findings.add(part, "wrong-shape", message, hint)
        return read

    def _nested(self, node: Node | None, name: str, given: Mapping[str, Any]) -> Iterator[tuple[str | int, ...]]:
        part = node.get(name) if isinstance(node, MapNode) else None
        for index, text in enumerate(given.get(name) or ()):
            path = key_path(str(text))
            if path is not None and None not in path:
                yield tuple(step for step in path if step is not None)
            elif isinstance(part, ListNode):
                message = f"{name} holds paths of names and indexes, as in .Message"
                self._findings.add(part.items[index], "syntax", message)


def _as_map(envelope: Any) -> Mapping[str, Any]:
    return {"format": envelope} if isinstance(envelope, str) else envelope or {}

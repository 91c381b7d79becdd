"""Puts other values in the place of some in a YAML text, and leaves all else as it is: comments, order, style."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import CollectionEndEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from router.profile.registers import same_value
from router.ruleset.tree import plain, read_yaml

#: columns beyond which a value that is written anew becomes a block
MAX_LINE = 100
_QUOTES = frozenset({"'", '"'})


@dataclass(slots=True)
class Span:
    """A value and where it stands. Offsets count characters; a block ends with its last line, comment included."""

    #: `scalar`, `map` or `list`
    kind: str
    #: line and column, from 1
    place: tuple[int, int]
    start: int
    end: int = 0
    #: the quote of a scalar; empty: plain or a block
    quote: str = ""
    #: of a map or list: between brackets
    flow: bool = True
    #: of a map
    pairs: list[tuple[Span, Span]] = field(default_factory=list)
    #: of a list
    items: list[Span] = field(default_factory=list)


def spans_of(text: str) -> Span:
    """The value in a text that is known to be good."""
    opened: list[Span] = [Span("list", (0, 0), 0)]
    keys: list[Span | None] = [None]
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, CollectionEndEvent):
            keys.pop()
            _close(opened.pop(), event, text)
        elif isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent):
            span = _opened(event, text)
            parent = opened[-1]
            if parent.kind == "list":
                parent.items.append(span)
            elif (key := keys[-1]) is None:
                keys[-1] = span
            else:
                keys[-1] = None
                parent.pairs.append((key, span))
            if span.kind != "scalar":
                opened.append(span)
                keys.append(None)
    return opened[0].items[0]


def _opened(event: Any, text: str) -> Span:
    mark, end = event.start_mark, event.end_mark.index
    place, start = (mark.line + 1, mark.column + 1), mark.index
    if not isinstance(event, ScalarEvent):
        kind = "map" if isinstance(event, MappingStartEvent) else "list"
        return Span(kind, place, start, end, flow=event.flow_style)
    # a block scalar's end is where the next thing stands
    end = start + len(text[start:end].rstrip())
    return Span("scalar", place, start, end, event.style if event.style in _QUOTES else "")


def _close(span: Span, event: Any, text: str) -> None:
    if span.flow:
        span.end = event.end_mark.index
        return
    last = span.items[-1] if span.items else span.pairs[-1][1]
    line_end = text.find("\n", last.end)
    rest = text[last.end : len(text) if line_end < 0 else line_end]
    span.end = last.end + (len(rest.rstrip()) if rest.lstrip().startswith("#") else 0)


class Rewriter:
    """Writes other values over those in one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def pair(self, key: Span, value: Span, old: Any, new: Any, *, flow: bool) -> str:
        """What stands from a key to the end of its value, with another value. `old` is the plain value as written;
        `flow` says that the pair stands between brackets."""
        written, is_block = self._value(value, old, new)
        if not flow and not is_block and _says_nothing(old) and "\n" not in self._text[value.start : value.end]:
            indent = key.place[1] - 1
            lines = _lines(self._text[key.start : key.end] + ":", new, indent)
            if len(lines) > 1 and indent + len(f"{lines[0]} {written}") > MAX_LINE:
                return (self._newline + " " * indent).join(lines)
        between = self._text[key.end : value.start]
        if "\n" in between and not is_block:
            between = ": "
        if not between[-1:].isspace():
            between += " "
        return self._text[key.start : key.end] + between + written

    def _value(self, span: Span, old: Any, new: Any) -> tuple[str, bool]:
        """A value as text, and whether it may stand in lines of its own only."""
        if same_value(old, new):
            return self._text[span.start : span.end], span.kind != "scalar" and not span.flow
        if isinstance(old, dict) and isinstance(new, dict) and new:
            return self._map(span, old, new), not span.flow
        if isinstance(old, list) and isinstance(new, list) and new:
            return self._list(span, old, new), not span.flow
        return _written(new, span.quote), False

    def _map(self, span: Span, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
        kept: list[tuple[Span, Span, str]] = []
        names = []
        for (key, value), name in zip(span.pairs, old, strict=True):
            names.append(name)
            if name in new:
                kept.append((key, value, self.pair(key, value, old[name], new[name], flow=span.flow)))
        added = {name: value for name, value in new.items() if name not in old}
        if len(kept) == len(span.pairs) and not added:
            return self._spliced(span, [(key.start, value.end, text) for key, value, text in kept])
        if span.flow:
            return "{" + ", ".join([*(text for *_, text in kept), *map(_pair, added, added.values())]) + "}"
        starts = [key.start for key, _ in span.pairs]
        parts = [(key.start, value.end, text) for key, value, text in kept]
        indent = span.place[1] - 1
        lines = [line for name, value in added.items() for line in _lines(f"{_key(name)}:", value, indent)]
        return self._block(span, starts, parts, lines)

    def _list(self, span: Span, old: list[Any], new: list[Any]) -> str:
        shared = list(zip(span.items, old, new, strict=False))
        parts = [(item.start, item.end, self._value(item, was, now)[0]) for item, was, now in shared]
        added = new[len(old) :]
        if len(old) == len(new):
            return self._spliced(span, parts)
        if span.flow:
            return "[" + ", ".join([*(text for *_, text in parts), *map(_written, added)]) + "]"
        starts = [self._sign(span, item) for item in span.items]
        signed = [
            (start, end, self._text[start:inner] + text)
            for start, (inner, end, text) in zip(starts, parts, strict=False)
        ]
        lines = [line for value in added for line in _lines("-", value, span.place[1] - 1)]
        return self._block(span, starts, signed, lines)

    def _sign(self, span: Span, item: Span) -> int:
        """Where the sign of an element stands: in the column of the list, on the element's line or above it."""
        column = span.place[1]
        line = self._text.rfind("\n", 0, item.start) + 1
        while "\n" in (before := self._text[line : line + column]) or before[-1] != "-":
            line = self._text.rfind("\n", 0, line - 1) + 1
        return line + column - 1

    def _spliced(self, span: Span, parts: list[tuple[int, int, str]]) -> str:
        """A value with some parts replaced, and what lies between them."""
        made, position = [], span.start
        for start, end, text in parts:
            made += [self._text[position:start], text]
            position = end
        return "".join([*made, self._text[position : span.end]])

    def _block(self, span: Span, starts: list[int], parts: list[tuple[int, int, str]], added: list[str]) -> str:
        """Lines of a block: those that stay, each with the comments after it, then new ones."""
        after = dict(zip(starts, [*starts[1:], span.end], strict=True))
        line = self._newline + " " * (span.start - self._text.rfind("\n", 0, span.start) - 1)
        made = ""
        for start, end, text in parts:
            between = self._text[end : after[start]]
            if "\n" in between:
                between = between[: between.rfind("\n")].removesuffix("\r")
            made += (line if made else "") + text + between
        return line.join([made, *added] if made else added)


def _says_nothing(old: Any) -> bool:
    """Whether no part of a value can stay as it is written: a scalar, or maps and lists without any."""
    return not isinstance(old, (dict, list)) or all(
        isinstance(part, (dict, list)) and _says_nothing(part)
        for part in (old.values() if isinstance(old, dict) else old)
    )


# --- values as YAML ----------------------------------------------------------------------------------------------


def _written(value: Any, quote: str = "") -> str:
    """A value in one line; text in this quote if it may stand so."""
    if isinstance(value, dict):
        return "{" + ", ".join(map(_pair, value, value.values())) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    if quote == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return value if not quote and _is_itself(value, f"[{value}, {value}]", [value, value]) else _quoted(value)


def _pair(name: str, value: Any) -> str:
    return f"{_key(name)}: {_written(value)}"


def _lines(head: str, value: Any, indent: int) -> list[str]:
    """A value behind `head`, a key with its colon or the sign of an element: one line, or a block where that would be
    too long. `indent` is that of the first line; the others have what goes beyond it."""
    line = f"{head} {_written(value)}"
    if indent + len(line) <= MAX_LINE or not (value and isinstance(value, (dict, list))):
        return [line]
    pairs = value.items() if isinstance(value, dict) else ()
    parts = [part for name, inner in pairs for part in _lines(f"{_key(name)}:", inner, indent + 2)]
    parts += [part for inner in value if isinstance(value, list) for part in _lines("-", inner, indent + 2)]
    if head == "-":
        head, parts = f"- {parts[0]}", parts[1:]
    return [head, *(f"  {part}" for part in parts)]


def _key(name: str) -> str:
    return name if _is_itself(name, f"{{{name}: 1}}", {name: 1}) else _quoted(name)


def _is_itself(text: str, written: str, value: Any) -> bool:
    """Whether a text without quotes is read as that text."""
    node, problems = read_yaml("", written.encode())
    return text.isprintable() and not problems and node is not None and plain(node) == value


def _quoted(text: str) -> str:
    """https://yaml.org/spec/1.1/#id872840 (escapes)"""
    return '"' + "".join(_escaped(text)) + '"'


def _escaped(text: str) -> Iterator[str]:
    for sign in text:
        if sign in '"\\':
            yield "\\" + sign
        elif sign.isprintable():
            yield sign
        else:
            code = ord(sign)
            yield f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

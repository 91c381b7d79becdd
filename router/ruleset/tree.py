"""YAML to a tree that knows its places. PyYAML's C parser gives the events, the rest is ours."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.events import AliasEvent, CollectionEndEvent, DocumentStartEvent, MappingStartEvent, ScalarEvent
from yaml.events import SequenceStartEvent as ListStartEvent

from router.errors import RuleError
from router.ruleset.secret_keys import is_secret_key
from router.ruleset.yaml_errors import Bracket, Quoted, place_after, yaml_problem

MAX_BYTES: Final = 1_048_576
MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 20

_STYLES: Final = {None: "plain", "": "plain", "'": "single", '"': "double", "|": "literal", ">": "folded"}
_WORDS: Final[dict[str, bool | None]] = {"": None, "null": None, "true": True, "false": False}
#: the text of a key that is none
_REFUSED: Final = "\0"
_NUMBER_BEGINS: Final = frozenset("-0123456789")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(slots=True)
class Node:
    """Something in a file. `line` and `column` count from 1, in characters; `length` is what carets underline."""

    file: str
    line: int
    column: int
    length: int


@dataclass(slots=True)
class Scalar(Node):
    """A leaf, or a key."""

    value: bool | int | float | str | None
    #: without quotes and escapes
    text: str
    #: `plain`, `single`, `double`, `literal` (`|`) or `folded` (`>`)
    style: str


@dataclass(slots=True)
class ListNode(Node):
    items: list[Node]


@dataclass(slots=True)
class MapNode(Node):
    #: in order; keys are text and unique
    pairs: list[tuple[Scalar, Node]]
    #: whether a merge key stands in it, which is left out
    merges: bool = False

    def get(self, key: str) -> Node | None:
        """The value of a key, if it is there."""
        return next((value for name, value in self.pairs if name.text == key), None)

    def key_node(self, key: str) -> Scalar | None:
        """The key itself, for its place."""
        return next((name for name, _ in self.pairs if name.text == key), None)


def read_yaml(file: str, data: bytes) -> tuple[Node | None, list[RuleError]]:
    """The tree of one file and its problems (`yaml`, `yaml-duplicate`, `yaml-feature`, `yaml-limit`). Never raises.

    None for an empty file, and for one that is no YAML or too large: that gives one problem only. Duplicate keys and
    merge keys are left out; an alias, anchor or tag leaves the text as written, a tag such as `!.active` what it means.
    """
    if len(data) > MAX_BYTES:
        return None, [RuleError(file, 1, 1, 1, "yaml-limit", "the file is larger than 1 MB")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = place_after(data[: error.start])
        return None, [RuleError(file, line, column, 1, "yaml", "the file is not UTF-8 text")]
    builder = _Builder(file)
    try:
        for event in iter(yaml.CSafeLoader(text).get_event, None):
            if not builder.add(event):
                return None, builder.problems[-1:]
    except yaml.YAMLError as error:
        return None, [yaml_problem(file, text, error, builder.brackets, builder.quoted)]
    return builder.root, builder.problems


def _negated(event: Any) -> str:
    """The path of a tag such as `!.active`, which is the `not` of another language; else empty."""
    return event.tag[1:] if event.tag is not None and event.tag[:2] in {"!.", "!$"} else ""


def _names_variable(event: Any) -> bool:
    """Whether a tag such as `!env NAME` was meant as `$env.NAME`."""
    return event.tag in {"!env", "!ENV", "!Env", "!env_var"} and re.fullmatch(r"[A-Za-z_]\w*", event.value) is not None


def _bracket_of(event: Any) -> Bracket | None:
    """The bracket that begins a list or map. One key and its value inside `[…]` are a map without any."""
    if not event.flow_style or event.start_mark.index == event.end_mark.index:
        return None
    return Bracket("[" if type(event) is ListStartEvent else "{", event.end_mark.line + 1, event.end_mark.column)


class _Builder:
    """Events to nodes, without recursion."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.problems: list[RuleError] = []
        #: the last text in quotes
        self.quoted: Quoted | None = None
        self._open: list[ListNode | MapNode] = []
        #: of each: its bracket, if it has one
        self._signs: list[Bracket | None] = []
        #: of each open map: the key that waits for its value, and the lines of keys seen
        self._keys: list[Scalar | None] = []
        self._seen: list[dict[str, int]] = []
        self._nodes = 0
        self._documents = 0

    @property
    def brackets(self) -> list[Bracket]:
        """The brackets that are open."""
        return [sign for sign in self._signs if sign is not None]

    def add(self, event: Any) -> bool:
        """Take one event; false if the rest of the file is not worth reading."""
        kind = type(event)
        if kind is ScalarEvent:
            if event.anchor is not None or event.tag is not None:
                self._reject_features(event, event.value)
                # what is meant, so that nothing else is told
                if negated := _negated(event):
                    event.value = f"{negated} | not {event.value}".strip()
                elif _names_variable(event):
                    event.value = f"$env.{event.value}"
            return self._place(self._scalar(event), event)
        if kind is ListStartEvent or kind is MappingStartEvent:
            self._reject_features(event, "…")
            node = (ListNode if kind is ListStartEvent else MapNode)(*self._spot(event), [])
            if len(self._open) == MAX_DEPTH:
                return self._stop(event, f"nested deeper than {MAX_DEPTH}")
            if not self._place(node, event):
                return False
            self._open.append(node)
            self._signs.append(_bracket_of(event))
            self._keys.append(None)
            self._seen.append({})
        elif isinstance(event, CollectionEndEvent):
            self._close(event)
        elif kind is AliasEvent:
            text = f"*{event.anchor}"
            key = self._keys[-1] if self._keys else None
            if key is None or key.text != _REFUSED:  # what follows `<<` is told there
                hint = f'for the text write "{self._shown(text)}"'
                self._complain(event, "yaml-feature", "YAML aliases are not used here", hint)
            return self._place(Scalar(*self._spot(event), text, text, "plain"), event)
        elif kind is DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                self._complain(
                    event, "yaml-feature", "a file holds one document", "put the second one into its own file"
                )
                return False
        return True

    def _spot(self, event: Any) -> tuple[str, int, int, int]:
        start, end = event.start_mark, event.end_mark
        line, column = start.line, start.column
        length = end.column - column if end.line == line else 1
        return self.file, line + 1, column + 1, length if length > 0 else 1

    def _complain(self, event: Any, code: str, message: str, hint: str = "") -> None:
        self.problems.append(RuleError(*self._spot(event), code, message, hint))

    def _stop(self, event: Any, message: str) -> bool:
        self._complain(event, "yaml-limit", message)
        return False

    def _shown(self, text: str) -> str:
        """A text as hints repeat it: none that may be a secret."""
        key = self._keys[-1] if self._keys else None
        return "…" if key is not None and is_secret_key(key.text) else text

    def _reject_features(self, event: Any, text: str) -> None:
        if event.anchor is not None:
            written = self._shown(f"&{event.anchor} {text}".strip())
            self._complain(event, "yaml-feature", "YAML anchors are not used here", f'for the text write "{written}"')
        if event.tag is not None:
            negated, text = _negated(event), self._shown(text)
            mend = f"write: not {' '.join(f'{negated} {text}'.split())}; as a value: {negated} | not"
            hint = mend if negated else "for the text put it in quotes"
            if type(event) is ScalarEvent and _names_variable(event):
                hint = f"write $env.{'NAME' if text == '…' else text}"
            self._complain(event, "yaml-feature", "YAML tags are not used here", hint)

    def _scalar(self, event: Any) -> Scalar:
        spot, text, style = self._spot(event), event.value, _STYLES[event.style]
        if style in {"literal", "folded"}:
            # the place of a block scalar is its indicator
            return Scalar(*spot[:3], 1, text.removesuffix("\n"), text.removesuffix("\n"), style)
        if style != "plain":
            start, end = event.start_mark, event.end_mark
            self.quoted = Quoted(start.line, start.column, end.line, end.column)
            return Scalar(*spot, text, text, style)
        if text in _WORDS:
            # nothing stands after the sign that asks for it: that one is the place
            column = spot[2] if text else max(1, spot[2] - 1)
            return Scalar(*spot[:2], column, spot[3], _WORDS[text], text, style)
        if text[0] not in _NUMBER_BEGINS or (match := _NUMBER.fullmatch(text)) is None:
            return Scalar(*spot, text, text, style)
        whole = match.group(1) is None and match.group(2) is None
        value: Any = text
        if whole and len(text) <= 20 and -(2**63) <= int(text) < 2**63:
            value = int(text)
        elif not whole and math.isfinite(float(text)):
            value = float(text)
        elif not self._awaits_key():
            self._complain(event, "yaml-limit", "the number is out of range", "put it in quotes to make it text")
        return Scalar(*spot, value, text, style)

    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1], MapNode) and self._keys[-1] is None

    def _place(self, node: Node, event: Any) -> bool:
        """Hang a node into what is open; false if there are too many."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            return self._stop(event, f"the file has more than {MAX_NODES:,} keys and values")
        if not self._open:
            self.root = node
        elif isinstance(parent := self._open[-1], ListNode):
            parent.items.append(node)
        elif (key := self._keys[-1]) is not None:
            self._keys[-1] = None
            if key.text not in self._seen[-1]:
                self._seen[-1][key.text] = key.line
                parent.pairs.append((key, node))
        else:
            self._keys[-1] = self._key(node, event)
        return True

    def _key(self, node: Node, event: Any) -> Scalar:
        if not isinstance(node, Scalar):
            self._complain(event, "yaml-feature", "a key is text here, no list or map")
            return self._refused(node)
        if node.text == "<<" and node.style == "plain":
            self._complain(event, "yaml-feature", "YAML merge keys are not used here", "write the keys out")
            parent = self._open[-1]
            assert isinstance(parent, MapNode)
            parent.merges = True
            return self._refused(node)
        if node.text in self._seen[-1]:
            line = self._seen[-1][node.text]
            self._complain(event, "yaml-duplicate", f"duplicate key {node.text!r}", f"first used on line {line}")
        node.value = node.text
        return node

    def _refused(self, node: Node) -> Scalar:
        """Stands for a key that is none: its value is left out."""
        self._seen[-1][_REFUSED] = node.line
        return Scalar(node.file, node.line, node.column, node.length, None, _REFUSED, "plain")

    def _close(self, event: Any) -> None:
        node = self._open.pop()
        self._signs.pop()
        self._keys.pop()
        self._seen.pop()
        if event.end_mark.line + 1 == node.line:
            node.length = max(1, event.end_mark.column + 1 - node.column)


def problem(
    node: Node,
    code: str,
    message: str,
    hint: str = "",
    *,
    offset: int = 0,
    length: int | None = None,
    severity: str = "error",
) -> RuleError:
    """A problem at a node, or `offset` characters into a scalar's text."""
    column, underlined = spot(node, offset, length)
    return RuleError(node.file, node.line, column, underlined, code, message, hint, severity)


def spot(node: Node, offset: int = 0, length: int | None = None) -> tuple[int, int]:
    """Column and length of a node, or of `length` characters from `offset` of a scalar's text. Inside block scalars,
    text over several lines and double-quoted text with escapes it is the node's start."""
    column, underlined = node.column, node.length
    if isinstance(node, Scalar) and (offset or length is not None):
        quotes = {"single": 1, "double": 1}.get(node.style, 0)
        doubled = node.text.count("'") if node.style == "single" else 0
        if len(node.text) + 2 * quotes + doubled == node.length:
            before, inside = node.text[:offset], node.text[offset : offset + (length or 1)]
            extra = (lambda part: part.count("'")) if doubled else (lambda part: 0)
            column += quotes + offset + extra(before)
            underlined = max(1, length if length is not None else 1) + extra(inside)
    return column, underlined


def plain(node: Node) -> Any:
    """The tree as ordinary Python values."""
    if isinstance(node, MapNode):
        return {key.text: plain(value) for key, value in node.pairs}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else None

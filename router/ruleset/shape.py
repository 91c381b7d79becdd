"""Reads nodes against the tables of keys, and collects every problem on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping

from router.errors import RuleError
from router.nearest import closest, nearest
from router.ruleset.keys import DURATION, KINDS, RATE, Key
from router.ruleset.other_keys import called, key_hint, synonym
from router.ruleset.secret_keys import shown_key
from router.ruleset.tree import ListNode, MapNode, Node, Scalar, problem

#: what is only known once every name is
_OF_ALL = frozenset({"unused", "nothing-to-send"})
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def kind_of(node: Node) -> str:
    """What a node is, as in `…, not a list`."""
    if isinstance(node, MapNode):
        return "a map"
    if isinstance(node, ListNode):
        return "a list"
    assert isinstance(node, Scalar)
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return "yes/no"
    return "text" if isinstance(node.value, str) else "a number"


def is_empty(node: Node) -> bool:
    """Whether nothing, or only white space, was written."""
    return isinstance(node, Scalar) and (node.value is None or (isinstance(node.value, str) and not node.value.strip()))


def text_of(node: Node | None) -> str | None:
    """The text of a scalar that is text."""
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else None


def seconds_of(text: str) -> float | None:
    """Seconds of a duration such as `500ms`, or None."""
    match = re.fullmatch(DURATION, text.strip())
    return float(match[1]) * _SECONDS[match[2]] if match else None


def rate_of(text: str) -> tuple[int, float] | None:
    """`(most at once, per second)` of a rate such as `500/m`, or None."""
    match = re.fullmatch(RATE, text.strip())
    return (int(match[1]), int(match[1]) / _SECONDS[match[2]]) if match and int(match[1]) else None


class Findings:
    """The problems found so far."""

    def __init__(self) -> None:
        self.problems: list[RuleError] = []
        #: code → names that are declared, but so that nothing could be made of them; None: any name may be one. That
        #: they are not known is told where they are declared
        self.unread: Mapping[str, frozenset[str] | None] = {}
        #: the first problem that is not told, as any name may be declared
        self.first_unread: RuleError | None = None
        #: files that use such names
        self.waiting: set[str] = set()
        #: file, line and column of values that YAML's limits refuse: nothing else is told of them
        self.refused: set[tuple[str, int, int]] = set()

    def add(
        self,
        node: Node,
        code: str,
        message: str,
        hint: str = "",
        *,
        offset: int = 0,
        length: int | None = None,
        severity: str = "error",
    ) -> None:
        """One more problem at a node, or `offset` characters into it."""
        if (node.file, node.line, node.column) in self.refused:
            return
        if code in self.unread and isinstance(node, Scalar):
            name = node.text[offset : None if length is None else offset + length].strip("\"'")
            unread = self.unread[code]
            if unread is None or name in unread:
                self.waiting.add(node.file)
                if unread is None and self.first_unread is None:
                    self.first_unread = problem(node, code, message, hint, offset=offset, length=length)
                return
        if (self.waiting and code in _OF_ALL) or (code == "test-expect" and node.file in self.waiting):
            return
        self.problems.append(problem(node, code, message, hint, offset=offset, length=length, severity=severity))

    def warn(
        self, node: Node, code: str, message: str, hint: str = "", *, offset: int = 0, length: int | None = None
    ) -> None:
        """The same as a warning."""
        self.add(node, code, message, hint, offset=offset, length=length, severity="warning")

    def has(self, node: Node, code: str) -> bool:
        """Whether there is such a problem at the start of a node."""
        place = (node.file, node.line, node.column)
        return any(each.code == code and (each.file, each.line, each.column) == place for each in self.problems)

    def has_within(self, node: Node, codes: Collection[str]) -> bool:
        """Whether there is such a problem at a node, or inside it."""
        places = range(node.column, node.column + node.length)
        return any(
            each.code in codes and (each.file, each.line) == (node.file, node.line) and each.column in places
            for each in self.problems
        )

    def meant(self, node: MapNode, name: str, table: Collection[str]) -> Scalar | None:
        """The key that is probably this one misspelt, if this one is not there: it is in no `table`, and this is the
        nearest name in it."""
        if node.get(name) is not None:
            return None
        for key, _ in node.pairs:
            if key.text not in table and _meant(key.text, table, node) == name:
                return key
        return None

    def lacks(self, node: MapNode, name: str, table: Collection[str]) -> bool:
        """Whether a key is not there, not even misspelt or in another map that is merged, which is told already."""
        return node.get(name) is None and not node.merges and self.meant(node, name, table) is None

    @property
    def errors(self) -> int:
        """How many of them are errors."""
        return sum(problem.severity == "error" for problem in self.problems)

    def is_map(self, node: Node | None, name: str, noun: str = "a map") -> MapNode | None:
        """The node if it is a map; else it is a problem."""
        if isinstance(node, MapNode):
            return node
        if node is not None:
            self.add(node, "wrong-shape", f"{name} is {noun}, not {kind_of(node)}")
        return None

    def map_at(self, key: Scalar, node: Node, noun: str) -> MapNode | None:
        """The value of a key if it is a map; else it is a problem."""
        if is_empty(node):
            self.add(key, "empty-value", f"{key.text} has no value")
            return None
        return self.is_map(node, key.text, noun)

    def read(
        self,
        node: MapNode,
        table: Mapping[str, Key],
        where: str,
        misplaced: Callable[[Scalar, Node], str] = lambda _key, _value: "",
    ) -> dict[str, Node]:
        """The values of a map that are as the table says. `where` is as in `in rule customer`; `misplaced` says where
        else a key belongs that is not in the table."""
        found: dict[str, Node] = {}
        for key, value in node.pairs:
            row = table.get(key.text)
            if row is None:
                self.unknown_key(key, table, where, _meant(key.text, table, node), misplaced(key, value))
            elif self.fits(key, value, row):
                found[key.text] = value
        return found

    def unknown_key(
        self, key: Scalar, table: Collection[str], where: str, meant: str = "", misplaced: str = ""
    ) -> None:
        """A key that the table does not have: the one that was meant, or where it belongs, if that is known."""
        hint = misplaced or synonym(key.text, table) or (f"did you mean {meant!r}?" if meant else "")
        hint = hint or key_hint(key.text, table)
        self.add(key, "unknown-key", f"unknown key '{shown_key(key.text)}' in {where}", hint)

    def unknown_destination(self, name: Scalar, known: Collection[str]) -> None:
        """A name that no destination has; several in a text were meant as a list."""
        parts = re.split(r",\s*|\s+(?:and\s+)?", name.text.strip())
        is_list = len(parts) > 1 and all(part in known for part in parts)
        hint = f"write [{', '.join(parts)}]" if is_list else nearest(name.text, known)
        self.add(name, "unknown-destination", f"no destination '{name.text}'", hint)

    def fits(self, key: Scalar, value: Node, row: Key) -> bool:
        """Whether a value has the shape of its row; if not, it is a problem."""
        if is_empty(value) and row.kind != "any":
            self.add(key, "empty-value", f"{key.text} has no value")
            return False
        noun = row.noun or KINDS[row.kind]
        if not _has_shape(row.kind, value):
            hint = _as_shape(row.kind, value) or (f"write {one_of(row.choices)}" if row.choices else "")
            self.add(value, "wrong-shape", f"{key.text} is {noun}, not {kind_of(value)}", hint)
            return False
        text = text_of(value)
        if text is None:
            return True
        wrong = (row.kind == "duration" and seconds_of(text) is None) or (row.kind == "rate" and rate_of(text) is None)
        if wrong:
            self.add(value, "unknown-value", f"{key.text} is {noun}")
        elif row.choices and text not in row.choices:
            self.add(value, "unknown-value", f"{key.text} is {one_of(row.choices)}", near(text, row.choices))
            return False
        return not wrong

    def texts(self, node: Node | None, name: str) -> list[Scalar]:
        """The scalars of a text or list of texts. Elements of another shape are problems."""
        if node is None:
            return []
        items = node.items if isinstance(node, ListNode) else [node]
        good: list[Scalar] = []
        for item in items:
            if is_empty(item):
                self.add(item, "empty-value", f"{name} has an element without a value")
            elif isinstance(item, Scalar) and isinstance(item.value, str):
                good.append(item)
            else:
                self.add(item, "wrong-shape", f"{name} is a list of texts, not {kind_of(item)}")
        return good

    def named(self, key: Scalar, pattern: str) -> bool:
        """Whether a key is a name by `pattern`; if not, it is a problem."""
        if re.fullmatch(pattern, key.text):
            return True
        meant = mended(key.text, pattern)
        self.add(key, "bad-name", f"'{key.text}' is not a name here", f"did you mean '{meant}'?" if meant else "")
        return False


def _meant(word: str, table: Collection[str], node: MapNode) -> str:
    """The name of a table that a key of a map is probably misspelt or called elsewhere; empty if there is none."""
    names = (name for name in called(word) if name in table and node.get(name) is None)
    return next(names, "") or closest(word, table)


def _has_shape(kind: str, node: Node) -> bool:
    if kind == "any":
        return True
    if kind == "map":
        return isinstance(node, MapNode)
    if kind == "list":
        return isinstance(node, ListNode)
    if kind in {"texts", "references"}:
        return (
            isinstance(node, (ListNode, MapNode))
            if kind == "references" and not isinstance(node, Scalar)
            else (isinstance(node, ListNode) or text_of(node) is not None)
        )
    if not isinstance(node, Scalar):
        return False
    if kind == "bool":
        return isinstance(node.value, bool)
    if kind == "whole":
        return isinstance(node.value, int) and not isinstance(node.value, bool)
    return kind == "scalar" or isinstance(node.value, str)


def _as_shape(kind: str, node: Node) -> str:
    """How to give a value the shape of its row, where that is only a matter of brackets or quotes."""
    if not isinstance(node, Scalar):
        return ""
    if kind == "list" and text_of(node) is not None:
        return f"write [{node.text}]"
    if kind == "bool" and node.text.lower() in {"true", "false"}:
        return f"write {node.text.lower()}, without quotes"
    if kind == "whole" and re.fullmatch("-?[0-9]{1,18}", node.text):
        return f"write {node.text}, without quotes"
    return ""


def as_text(node: Node) -> str:
    """How to make a number or yes/no the text it looks like."""
    return f'write "{node.text}"' if isinstance(node, Scalar) else ""


def mended(text: str, pattern: str) -> str | None:
    """The nearest name that fits the pattern: lower case, with odd characters as underscores."""
    lowered = text.strip().lower()
    for filler in ("-", "_"):
        candidate = re.sub(r"[^a-z0-9_-]+", filler, lowered).strip("-_")
        if re.fullmatch(pattern, candidate):
            return candidate
    candidate = lowered.replace("-", "_").strip("_")
    return candidate if re.fullmatch(pattern, candidate) else None


def near(word: str, allowed: Iterable[str]) -> str:
    """A hint with the nearest allowed word; empty if none is near, since the message lists them all."""
    hint = nearest(word, allowed)
    return hint if hint.startswith("did you mean") else ""


def one_of(words: Iterable[str]) -> str:
    """`a, b or c`."""
    return listed(words, "or")


def listed(words: Iterable[str], joint: str = "and") -> str:
    """`a, b and c`."""
    *head, last = words
    return f"{', '.join(head)} {joint} {last}" if head else last

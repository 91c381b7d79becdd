"""Values of a rule: scalars, lists and (under `send`) maps of nodes, compiled to closures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.ruleset.language import (
    MISSING,
    Compiled,
    Context,
    LanguageError,
    compile_literal,
    compile_value,
    is_blank,
)
from router.ruleset.parser import UNSET_ELSEWHERE
from router.ruleset.shape import Findings, is_empty, kind_of
from router.ruleset.tree import ListNode, MapNode, Node, Scalar

Run = Callable[[Context], Any]

#: no word may end a value
NOTHING: frozenset[str] = frozenset()
#: words that may end a value
SKIP_FAIL = frozenset({"skip", "fail"})
UNSET_SKIP_FAIL = frozenset({"unset", "skip", "fail"})
#: how texts begin that no expression begins with, such as a price
_TEXT: Final = re.compile(r"""[.$][^A-Za-z_"\[]""")
_AS_TEXT: Final = "for the text begin it with \\"
_UNSET_IN_LIST: Final = "it clears a whole value, no element of a list: one that is blank is left out by itself"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One scalar of a value, for the checks."""

    node: Scalar
    compiled: Compiled


@dataclass(frozen=True, slots=True)
class Value:
    """A compiled value: what it gives for an event, and where it came from."""

    node: Node
    #: the value, `MISSING` or `UNSET`; raises `SkipRule`, `FailRule`
    run: Run
    leaves: tuple[Leaf, ...]

    @property
    def literal(self) -> Any:
        """The value if it is a scalar that no event can change, else `MISSING`."""
        return self.leaves[0].compiled.literal if isinstance(self.node, Scalar) else MISSING

    @property
    def text(self) -> str:
        """As written, for traces."""
        return self.leaves[0].compiled.text if len(self.leaves) == 1 else f"{len(self.leaves)} values"


class Values:
    """Compiles the values of one file."""

    def __init__(self, tables: Mapping[str, Mapping[str, Any]], findings: Findings) -> None:
        self._tables = tables
        self._findings = findings

    def scalar(
        self,
        key: Scalar,
        node: Node,
        *,
        allow: frozenset[str] = NOTHING,
        expression: bool = False,
        element: bool = False,
    ) -> Value | None:
        """A scalar as a value, or as an `element` of a list. Problems are noted, and give None."""
        name = key.text
        if says_nothing(node):
            self._findings.add(key, "empty-value", f"{name} has no value")
            return None
        if not isinstance(node, Scalar):
            hint = 'put it in quotes, as in "{.id}": a { begins a map' if _is_hole(node) else ""
            self._findings.add(node, "wrong-shape", f"{name} is a value, not {kind_of(node)}", hint)
            return None
        leaf = self._leaf(node, allow, expression=expression, element=element)
        return None if leaf is None else Value(node, leaf.compiled.run, (leaf,))

    def scalar_or_list(self, key: Scalar, node: Node, *, allow: frozenset[str] = NOTHING) -> Value | None:
        """A scalar or a list of scalars."""
        if isinstance(node, ListNode):
            return self._list(key, node, nested=False)
        return self.scalar(key, node, allow=allow)

    def body(self, key: Scalar, node: Node, *, allow: frozenset[str] = UNSET_SKIP_FAIL) -> Value | None:
        """A leaf of `send`: a scalar, an empty map, or a list that may hold lists and maps."""
        if isinstance(node, ListNode):
            return self._list(key, node, nested=True)
        if isinstance(node, MapNode):
            return self._map(node)
        return self.scalar(key, node, allow=allow)

    def _list(self, key: Scalar, node: ListNode, *, nested: bool) -> Value | None:
        parts = [self._item(key, item, nested=nested) for item in node.items]
        good = [part for part in parts if part is not None]
        if len(good) < len(parts):
            return None
        return Value(node, _list_of([part.run for part in good]), tuple(leaf for part in good for leaf in part.leaves))

    def _map(self, node: MapNode) -> Value | None:
        parts = [(key.text, self._element(key, value, nested=True)) for key, value in node.pairs]
        good = {name: part for name, part in parts if part is not None}
        if len(good) < len(parts):
            return None
        runs = {name: part.run for name, part in good.items()}
        return Value(node, _map_of(runs), tuple(leaf for part in good.values() for leaf in part.leaves))

    def _item(self, key: Scalar, node: Node, *, nested: bool) -> Value | None:
        """An element, whose place is its own if it has no value."""
        if says_nothing(node):
            self._findings.add(node, "empty-value", f"{key.text} has an element without a value")
            return None
        return self._element(key, node, nested=nested)

    def _element(self, key: Scalar, node: Node, *, nested: bool) -> Value | None:
        if nested and isinstance(node, ListNode):
            return self._list(key, node, nested=True)
        if nested and isinstance(node, MapNode):
            return self._map(node)
        return self.scalar(key, node, allow=SKIP_FAIL, element=True)

    def _leaf(self, node: Scalar, allow: frozenset[str], *, expression: bool, element: bool) -> Leaf | None:
        if not isinstance(node.value, str) and not expression:
            return Leaf(node, compile_literal(node.value))
        text = node.value if isinstance(node.value, str) else node.text
        try:
            compiled = compile_value(text, tables=self._tables, allow=allow, expression=expression)
        except LanguageError as error:
            hint = error.hint or (_AS_TEXT if _TEXT.match(text) and not expression else "")
            if hint == UNSET_ELSEWHERE and element:
                hint = _UNSET_IN_LIST
            self._findings.add(node, error.code, error.message, hint, offset=error.column - 1, length=error.length)
            return None
        return Leaf(node, compiled)


def says_nothing(node: Node) -> bool:
    """Whether a value is nothing, also as text behind a backslash."""
    text = node.value if isinstance(node, Scalar) else None
    return is_empty(node) or (isinstance(text, str) and text[0] == "\\" and is_blank(text[1:]))


def _is_hole(node: Node) -> bool:
    """Whether a map was probably a template: `{.id}` is YAML's map of one key without a value."""
    return isinstance(node, MapNode) and any(is_empty(value) and key.text[:1] in ".$" for key, value in node.pairs)


def _list_of(runs: list[Run]) -> Run:
    """The elements that are not blank; missing if there were some and none is left."""

    def run(context: Context) -> Any:
        found = [value for each in runs if not is_blank(value := each(context))]
        return MISSING if runs and not found else found

    return run


def _map_of(runs: Mapping[str, Run]) -> Run:
    def run(context: Context) -> Any:
        found = {name: value for name, each in runs.items() if not is_blank(value := each(context))}
        return found if found or not runs else MISSING

    return run

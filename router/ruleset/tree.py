"""YAML to a tree that knows its places. PyYAML's C parser gives the events, the rest is ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from router.errors import RuleError


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

    value: None | bool | int | float | str
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

    def get(self, key: str) -> Node | None:
        """The value of a key, if it is there."""
        return next((value for name, value in self.pairs if name.text == key), None)

    def key_node(self, key: str) -> Scalar | None:
        """The key itself, for its place."""
        return next((name for name, _ in self.pairs if name.text == key), None)


def read_yaml(file: str, data: bytes) -> tuple[Node | None, list[RuleError]]:
    """The tree of one file and its problems (`yaml`, `yaml-duplicate`, `yaml-feature`, `yaml-limit`). Never raises.

    None for an empty file, and for one that is no YAML or too large: that gives one problem only. A duplicate key is left
    out; an alias, anchor or tag leaves the text as written.
    """
    raise NotImplementedError


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
    """A problem at a node, or `offset` characters into a scalar's text. Inside block scalars, text over several lines and
    double-quoted text with escapes it is the node's start."""
    raise NotImplementedError


def plain(node: Node) -> Any:
    """The tree as ordinary Python values."""
    raise NotImplementedError


def nearest(word: str, allowed: Iterable[str]) -> str:
    """A hint: `did you mean 'x'?`, else the allowed names if at most twelve, else nothing."""
    raise NotImplementedError

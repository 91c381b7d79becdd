"""What each part of a value gave for one event, in the order in which the parts are read. For people who look on: the
value itself is made without it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from router.ruleset import nodes
from router.ruleset.language import Compiled, Context, is_blank, reader


@dataclass(slots=True)
class Part:
    """One part that was read. What lies inside brackets belongs to its path."""

    node: nodes.Expression | nodes.Call
    #: None where it is missing or unknown; of a call what it made
    value: Any
    #: the parts of it that were read: not those after the one that decides
    parts: list[Part]


@dataclass(slots=True)
class Followed:
    """One expression that was read."""

    tree: nodes.Tree
    root: Part

    @property
    def ended(self) -> str:
        """The word at the end of the expression, if it came to that; else empty."""
        return self.tree.ending.word if self.tree.ending is not None and is_blank(self.root.value) else ""


def follow(compiled: Compiled, context: Context) -> list[Followed]:
    """The expressions of a value (of a template one per hole) up to the one that ends the rule. Leaves no notes."""
    follower = _Follower(compiled, replace(context, notes=[]))
    found: list[Followed] = []
    for tree in compiled.trees:
        found.append(Followed(tree, follower.part(tree.root)))
        if found[-1].ended in {"skip", "fail"}:
            break
    return found


class _Follower:
    """Reads one value part by part, each by itself."""

    def __init__(self, compiled: Compiled, context: Context) -> None:
        self._tables = compiled.entries
        self._context = context

    def part(self, node: nodes.Expression) -> Part:
        return Part(node, self._value(node), self._inside(node))

    def _value(self, node: nodes.Expression) -> Any:
        return reader(node, self._tables)(self._context, self._context.data)

    def _inside(self, node: nodes.Expression) -> list[Part]:
        match node:
            case nodes.Fallback():
                return self._until(node.items, lambda value: not is_blank(value))
            case nodes.And():
                return self._until(node.items, lambda value: value is False)
            case nodes.Or():
                return self._until(node.items, lambda value: value is True)
            case nodes.Pipe():
                return self._calls(node)
            case _:
                return [self.part(each) for each in children(node)]

    def _until(self, items: Iterable[nodes.Expression], decides: Any) -> list[Part]:
        found: list[Part] = []
        for item in items:
            found.append(self.part(item))
            if decides(found[-1].value):
                break
        return found

    def _calls(self, node: nodes.Pipe) -> list[Part]:
        """The value and what each function made of it, up to the one that made nothing."""
        found = [self.part(node.value)]
        for count, call in enumerate(node.calls, 1):
            if is_blank(found[-1].value):
                break
            so_far = replace(node, calls=node.calls[:count])
            found.append(Part(call, self._value(so_far), [self.part(each) for each in call.arguments]))
        return found


def children(node: nodes.Expression) -> list[nodes.Expression]:
    """The parts of an expression, outside brackets, as written."""
    match node:
        case nodes.Fallback() | nodes.And() | nodes.Or() | nodes.ListOf():
            return node.items
        case nodes.Not() | nodes.Exists():
            return [node.item]
        case nodes.Compare():
            return [node.left, node.right]
        case nodes.Pipe():
            return [node.value, *(each for call in node.calls for each in call.arguments)]
        case _:
            return []

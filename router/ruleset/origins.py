"""What a value came from, in words: each path with what it read, each function with what it made, and what decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from router.ruleset import nodes
from router.ruleset.language import Context, is_blank
from router.ruleset.leaves import Leaf, Value
from router.ruleset.parts import Followed, Part, follow

_WORDS = {True: "yes", False: "no"}


def origin_of(value: Value, context: Context, show: Callable[[Any], str], *, condition: bool = False) -> str:
    """As in `.a = nothing, .b = " X " | trim → "X" | lower → "x"`; of a condition with the parts that decided it.

    `show` writes a value of the event.
    """
    if not value.leaves:
        return "unset"
    if all(leaf.compiled.kind == "literal" for leaf in value.leaves):
        return "literal"
    facts: dict[str, None] = {}
    decided: list[str] = []
    for leaf in value.leaves:
        followed = follow(leaf.compiled, context)
        for each in followed:
            facts.update(dict.fromkeys(_told(leaf, each, show)))
            if condition:
                decided += [f"{_written(leaf, part)} is {_word(part)}" for part in _deciding(each.root)]
        if followed and followed[-1].ended in {"skip", "fail"}:
            break
    return ": ".join(filter(None, [", ".join(facts) or value.text, ", ".join(decided)]))


def _told(leaf: Leaf, followed: Followed, show: Callable[[Any], str]) -> Iterator[str]:
    yield from _facts(leaf, followed.root, show)
    if followed.ended:
        yield f"else {followed.ended}"


def _facts(leaf: Leaf, part: Part, show: Callable[[Any], str]) -> Iterator[str]:
    match part.node:
        case nodes.Path(text=text):
            yield f"{text} = {show(part.value)}"
        case nodes.Pipe():
            yield from _chain(leaf, part, show)
        case nodes.Fallback():
            for number, arm in enumerate(part.parts):
                told = list(_facts(leaf, arm, show))
                if number and not told and not is_blank(arm.value):
                    told = [f"else {_written(leaf, arm)}"]
                yield from told
        case _:
            for each in part.parts:
                yield from _facts(leaf, each, show)


def _chain(leaf: Leaf, part: Part, show: Callable[[Any], str]) -> Iterator[str]:
    """A value, what each function made of it, and what their arguments read."""
    first, *calls = part.parts
    *before, head = list(_facts(leaf, first, show)) or [_written(leaf, first)]
    yield from before
    yield head + "".join(f" | {_written(leaf, call)} → {show(call.value)}" for call in calls)
    for call in calls:
        for argument in call.parts:
            yield from _facts(leaf, argument, show)


def _deciding(part: Part) -> list[Part]:
    """The parts of an `and` that is not yes, or of an `or` that is not no, which made it so; of anything else none."""
    match part.node:
        case nodes.And() if part.value is not True:
            wanted = part.value
        case nodes.Or() if part.value is not False:
            wanted = part.value
        case _:
            return []
    found = [
        each for each in part.parts if each.value is wanted or (wanted is None and not isinstance(each.value, bool))
    ]
    return [inner for each in found for inner in (_deciding(each) or [each])]


def _word(part: Part) -> str:
    return _WORDS[part.value] if isinstance(part.value, bool) else "unknown"


def _written(leaf: Leaf, part: Part) -> str:
    """A part as it stands in the rule, in one line."""
    node = part.node
    end = node.close if isinstance(node, nodes.Call) else node.end
    return " ".join(leaf.compiled.text[node.start : end].split())

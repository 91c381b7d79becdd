"""What a value came from, in words: each path with what it read, each function with what it made, and what decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from router.ruleset import nodes
from router.ruleset.language import Context, is_blank
from router.ruleset.leaves import Leaf, Value
from router.ruleset.parts import Followed, Part, follow
from router.ruleset.tree import Scalar

_WORDS = {True: "yes", False: "no"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a value came from."""

    #: a path or another part as written, or what was said of it, as in `else skip`
    part: str
    #: as shown: what was read there; None where nothing is read
    value: str | None = None
    #: each function as written, and as shown what it made
    made: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        head = self.part if self.value is None else f"{self.part} = {self.value}"
        return head + "".join(f" | {call} → {value}" for call, value in self.made)


def facts_of(value: Value, context: Context, show: Callable[[Any], str]) -> tuple[Fact, ...]:
    """What a value came from, part by part; `show` writes a value of the event."""
    facts: dict[Fact, None] = {}
    for leaf, followed in _followed(value, context):
        facts.update(dict.fromkeys(_told(leaf, followed, show)))
    return tuple(facts)


def origin_of(value: Value, context: Context, facts: Iterable[Fact], *, condition: bool = False) -> str:
    """As in `.a = nothing, .b = " X " | trim → "X" | lower → "x"`; of a condition with the parts that decided it."""
    if not value.leaves and isinstance(value.node, Scalar):
        return "unset"
    if all(leaf.compiled.kind == "literal" for leaf in value.leaves):
        return "literal"
    decided: list[str] = []
    for leaf, followed in _followed(value, context) if condition else ():
        decided += [f"{_written(leaf, part)} is {_word(part)}" for part in _deciding(followed.root)]
    return ": ".join(filter(None, [", ".join(map(str, facts)) or value.text, ", ".join(decided)]))


def _followed(value: Value, context: Context) -> Iterator[tuple[Leaf, Followed]]:
    """Every expression that was read, up to the one that ended the rule."""
    for leaf in value.leaves:
        for each in follow(leaf.compiled, context):
            yield leaf, each
            if each.ended in {"skip", "fail"}:
                return


def _told(leaf: Leaf, followed: Followed, show: Callable[[Any], str]) -> Iterator[Fact]:
    yield from _facts(leaf, followed.root, show)
    if followed.ended:
        yield Fact(f"else {followed.ended}")


def _facts(leaf: Leaf, part: Part, show: Callable[[Any], str]) -> Iterator[Fact]:
    match part.node:
        case nodes.Path(text=text):
            yield Fact(text, show(part.value))
        case nodes.Pipe():
            yield from _chain(leaf, part, show)
        case nodes.Fallback():
            for number, arm in enumerate(part.parts):
                told = list(_facts(leaf, arm, show))
                if number and not told and not is_blank(arm.value):
                    told = [Fact(f"else {_written(leaf, arm)}")]
                yield from told
        case _:
            for each in part.parts:
                yield from _facts(leaf, each, show)


def _chain(leaf: Leaf, part: Part, show: Callable[[Any], str]) -> Iterator[Fact]:
    """A value, what each function made of it, and what their arguments read."""
    first, *calls = part.parts
    *before, head = list(_facts(leaf, first, show)) or [Fact(_written(leaf, first))]
    yield from before
    made = tuple((_written(leaf, call), show(call.value)) for call in calls)
    yield Fact(head.part, head.value, head.made + made)
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

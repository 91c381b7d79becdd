"""What the inline tests reached: which rules ran, and which branches of their values were taken.

Branches are those of `if` (yes, no), of each `else` chain (every value, and the word at its end), of `and` and `or`
(every part that decides), and of each other value that reads the event (that it gave something). Conditions in brackets
and literals have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from router.ruleset import nodes
from router.ruleset.language import Context, is_blank
from router.ruleset.leaves import Leaf, Value
from router.ruleset.parts import Followed, Part, children, follow
from router.ruleset.rules import Rule, Watch
from router.ruleset.tree import spot

#: characters of a rule that a line shows
_MAX_SHOWN = 60

#: the identity of a tree or node, and which of its branches
_Key = tuple[int, int | str]


@dataclass(frozen=True, slots=True)
class Unreached:
    """A rule, or a branch of one, that no test reached."""

    #: `<source>/<rule>`
    rule: str
    file: str
    line: int
    column: int
    length: int
    #: as in `else "free" was never taken`
    message: str


@dataclass(frozen=True, slots=True)
class Reached:
    """What a run of tests reached of the rules it was about."""

    rules: int
    branches: int
    #: how many of them were reached
    rules_reached: int
    branches_reached: int
    #: rule by rule, by place; of a rule that never ran only that, and behind an `if` that was never yes nothing
    unreached: tuple[Unreached, ...]

    @property
    def summary(self) -> str:
        """`9 of 9 rules, 41 of 47 branches reached`."""
        return (
            f"{self.rules_reached} of {self.rules} rules, {self.branches_reached} of {self.branches} branches reached"
        )

    def lines(self, prefix: str) -> Iterator[str]:
        """As printed; `prefix` goes before the names of files."""
        places = [f"{prefix}{each.file}:{each.line}:{each.column}" for each in self.unreached]
        width = max(map(len, places), default=0)
        if places:
            yield "not reached by any test:"
        for place, each in zip(places, self.unreached, strict=True):
            yield f"  {place:<{width}} {each.rule}: {each.message}"

    def as_json(self, prefix: str) -> dict[str, Any]:
        """For `--json`."""
        return {
            "rules": {"reached": self.rules_reached, "total": self.rules},
            "branches": {"reached": self.branches_reached, "total": self.branches},
            "unreached": [{**asdict(each), "file": prefix + each.file} for each in self.unreached],
        }


class _Branch(NamedTuple):
    """One branch, with its place in the text of a value."""

    key: _Key
    start: int
    end: int
    message: str
    leaf: Leaf
    #: the leaf is the rule's condition
    condition: bool


class Recorder:
    """Writes down what is reached of some rules while tests run."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        self._ran: set[str] = set()
        #: rules that came to their `user`
        self._went_on: set[str] = set()
        self._taken: set[_Key] = set()

    def watch(self, rule: Rule, context: Context) -> Watch:
        """What to evaluate a rule with."""
        self._ran.add(rule.id)

        def watch(label: str, value: Value, raw: Any, given: Any) -> None:
            if label != "if":
                self._went_on.add(rule.id)
            for leaf in value.leaves:
                followed = follow(leaf.compiled, context)
                for each in followed:
                    self._take(each, condition=label == "if")
                if followed and followed[-1].ended in {"skip", "fail"}:
                    break

        return watch

    def reached(self) -> Reached:
        """What was reached so far."""
        branches = taken = 0
        unreached: list[Unreached] = []
        for rule in self._rules:
            own = list(_branches(rule))
            missed = [branch for branch in own if branch.key not in self._taken]
            branches += len(own)
            taken += len(own) - len(missed)
            unreached += self._worth_telling(rule, missed)
        ran = sum(rule.id in self._ran for rule in self._rules)
        return Reached(len(self._rules), branches, ran, taken, tuple(unreached))

    def _worth_telling(self, rule: Rule, missed: list[_Branch]) -> list[Unreached]:
        """What of a rule to tell, by place: what lies behind something that was never reached goes without saying."""
        if rule.id not in self._ran:
            key = rule.key
            return [Unreached(rule.id, key.file, key.line, key.column, key.length, "never ran")]
        told = [branch for branch in missed if branch.condition or rule.id in self._went_on]
        return sorted((_unreached(rule, branch) for branch in told), key=lambda each: (each.line, each.column))

    def _take(self, followed: Followed, *, condition: bool) -> None:
        tree, root = followed.tree, followed.root
        if followed.ended:
            self._taken.add((id(tree), "ending"))
        elif not is_blank(root.value):
            self._taken.add((id(tree), "value"))
        if condition and not followed.ended:
            self._taken.add((id(tree), "yes" if root.value is True else "no"))
        self._take_part(root)

    def _take_part(self, part: Part) -> None:
        node, own = part.node, id(part.node)
        match node:
            case nodes.Fallback() if not is_blank(part.value):
                self._taken.add((own, len(part.parts) - 1))
            case nodes.And():
                first = next((n for n, each in enumerate(part.parts) if each.value is not True), "whole")
                self._taken.add((own, first))
            case nodes.Or():
                self._taken.add((own, len(part.parts) - 1 if part.value is True else "whole"))
        for each in part.parts:
            self._take_part(each)


# --- which branches there are ------------------------------------------------------------------------------------


def _branches(rule: Rule) -> Iterator[_Branch]:
    """Every branch of a rule."""
    values = [rule.user, *(step.value for step in rule.steps)]
    values += [step.value for each in rule.filters for step in each.sends]
    if rule.condition is not None:
        values.insert(0, rule.condition)
    for value in values:
        for leaf in value.leaves:
            for tree in leaf.compiled.trees:
                if any(path.base != "source" for path in tree.paths):
                    yield from _Brancher(leaf, condition=value is rule.condition).of_tree(tree)


class _Brancher:
    """Finds the branches of one scalar."""

    def __init__(self, leaf: Leaf, *, condition: bool) -> None:
        self._leaf = leaf
        self._text = leaf.compiled.text
        self._condition = condition

    def of_tree(self, tree: nodes.Tree) -> Iterator[_Branch]:
        root, ending = tree.root, tree.ending
        if self._condition:
            whole = {nodes.And: ("yes",), nodes.Or: ("no",)}.get(type(root), ("yes", "no"))
            for word in whole:
                yield self._branch((id(tree), word), root, f"if was never {word}")
        if ending is not None:
            if not isinstance(root, nodes.Fallback):
                yield self._branch((id(tree), "value"), root, f"{self._shown(root)} was never taken")
            yield self._branch((id(tree), "ending"), ending, f"else {ending.word} was never taken")
        elif not self._condition and not isinstance(root, nodes.Fallback | nodes.And | nodes.Or):
            yield self._branch((id(tree), "value"), root, f"{self._shown(root)} never gave a value")
        yield from self._of_node(root, whole=not self._condition)

    def _of_node(self, node: nodes.Expression, *, whole: bool = True) -> Iterator[_Branch]:
        """The branches of a part and of those in it; without `whole` another branch says it if an `and` is never yes,
        or an `or` never no."""
        match node:
            case nodes.Fallback():
                for number, item in enumerate(node.items):
                    word = "else " if number else ""
                    yield self._branch((id(node), number), item, f"{word}{self._shown(item)} was never taken")
            case nodes.And() | nodes.Or():
                word, other = ("yes", "no") if isinstance(node, nodes.And) else ("no", "yes")
                if whole:
                    yield self._branch((id(node), "whole"), node, f"{self._shown(node)} was never {word}")
                for number, item in enumerate(node.items):
                    yield self._branch((id(node), number), item, f"{self._shown(item)} was never the first {other}")
        for part in children(node):
            says_it = isinstance(node, nodes.And | nodes.Or) and isinstance(part, nodes.And | nodes.Or)
            yield from self._of_node(part, whole=not says_it)

    def _branch(self, key: _Key, node: nodes.Expression | nodes.Ending, message: str) -> _Branch:
        return _Branch(key, node.start, node.end, message, self._leaf, self._condition)

    def _shown(self, node: nodes.Expression) -> str:
        """A part of the value as written, in one line."""
        written = " ".join(self._text[node.start : node.end].split())
        return written if len(written) <= _MAX_SHOWN else f"{written[: _MAX_SHOWN - 1]}…"


def _unreached(rule: Rule, branch: _Branch) -> Unreached:
    node = branch.leaf.node
    column, length = spot(node, branch.start, branch.end - branch.start)
    return Unreached(rule.id, node.file, node.line, column, length, branch.message)

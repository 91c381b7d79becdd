"""Trying the paths and conditions of a value on the events of samples: what leads nowhere, what is never known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from router.nearest import closest, nearest
from router.ruleset.comparison import ORDERS
from router.ruleset.compile import Compiler
from router.ruleset.functions import NAMES, Tables
from router.ruleset.language import reader
from router.ruleset.leaves import NOTHING, Leaf
from router.ruleset.lexer import LanguageError
from router.ruleset.nodes import And, Compare, Exists, Expression, Fallback, ListOf, Literal, Not, Or, Path, Pipe, Step
from router.ruleset.parser import parse
from router.ruleset.parts import children
from router.ruleset.samples import SampleEvent
from router.ruleset.shape import Findings
from router.ruleset.synonyms import ours
from router.ruleset.values import MAX_ELEMENTS, MAX_STEPS, Context, Exhausted, describe, is_blank, kind_of

#: a value met on a path, and the event it is in
Met = tuple[SampleEvent, Any]

#: how like a name that is unknown one of the samples must be
_LIKE: Final = 0.7
#: elements of a list that conditions are tried on
_MANY: Final = 100
_DIGITS: Final = re.compile(r"\d+")
#: kinds that have no order, and what to do
_UNORDERED: Final = frozenset({"yes/no", "list", "object"})
_OPPOSITES: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
#: functions of lists alone
_OF_LISTS: Final = frozenset({"count", "first", "join", "last", "unique"})
_NO_ORDER: Final = {"yes/no": "compare it with == or !=", "list": "how many there are is: | count"}


class Trial:
    """Tries values on some events, and notes what is odd."""

    def __init__(
        self,
        findings: Findings,
        events: Sequence[SampleEvent],
        of: str,
        tables: Tables,
        *,
        lenient: bool,
        only_near: bool = False,
    ) -> None:
        """`of` is whose samples they are, as in `no sample of stripe`. `lenient`: what they lack may be there all the
        same, so it is no error; `only_near`: and it is only told if it is like something that they have."""
        self._findings = findings
        self._roots: list[Met] = [(found, found.value) for found in events]
        self._of = of
        self._tables = tables
        self._lenient = lenient
        self._only_near = only_near
        #: steps that the conditions of the present value may still take, on all events
        self._steps = MAX_STEPS

    def leaf(self, leaf: Leaf) -> None:
        """Try everything in a value that reads the event. Conditions that take too long are tried no further."""
        if not leaf.compiled.trees:
            return
        self._steps = MAX_STEPS
        for path in leaf.compiled.paths:
            self.follow(leaf, path, self._roots)
        for compare in leaf.compiled.comparisons:
            if fault := never_known(compare, leaf.compiled.text):
                self._odd(leaf, compare, *fault)
            else:
                self._compare(leaf, compare, self._roots)
        for compare in _inner_comparisons(leaf):
            if fault := never_known(compare, leaf.compiled.text):
                self._odd(leaf, compare, *fault)
        for tree in leaf.compiled.trees:
            self._conditions(leaf, operands(tree.root), self._roots)

    # --- paths --------------------------------------------------------------------------------------------------

    def follow(self, leaf: Leaf, path: Path, current: Sequence[Met]) -> None:
        """Try every step of a path; `current` is where `.` stands."""
        if path.base not in {"dot", "root"}:
            return
        met: Sequence[Met] = current if path.base == "dot" else self._roots
        for step in path.steps:
            met = [(found, value) for found, value in met if value is not None]
            if not met:
                return
            met = self._step(leaf, path, step, met)

    def _step(self, leaf: Leaf, path: Path, step: Step, met: Sequence[Met]) -> list[Met]:
        if step.kind == "key":
            objects = [(found, value) for found, value in met if isinstance(value, dict)]
            names = {name for _, value in objects for name in value}
            if step.value in names:
                return [(found, value[step.value]) for found, value in objects if step.value in value]
            if names:
                self._unknown(leaf, path, step, names)
            elif not objects:
                hint = "this is a list: write [] or [0] before it" if isinstance(met[0][1], list) else ""
                function = ours(str(step.value))
                fits = isinstance(met[0][1], list) or function not in _OF_LISTS
                if function in NAMES and fits and step is path.steps[-1]:
                    hint = f"functions come after |: {leaf.compiled.text[path.start : step.start - 1]} | {function}"
                self._report(leaf, step, f"has '{step.value}' here", hint, severity="warning")
            return []
        lists = [(found, value) for found, value in met if isinstance(value, list)]
        if not lists:
            self._report(leaf, step, "has a list here", "", severity="warning")
            return []
        elements = [(found, item) for found, value in lists for item in value[:MAX_ELEMENTS]]
        for inner in step.paths:
            self.follow(leaf, inner, elements)
        if step.condition is not None:
            some = [(found, item) for found, value in lists for item in value[:_MANY]]
            for compare in step.comparisons:
                if never_known(compare, leaf.compiled.text) is None:
                    self._compare(leaf, compare, some)
            self._conditions(leaf, [(step.condition, False), *operands(step.condition)], some)
        if step.kind != "index":
            return elements
        return [(found, value[step.value]) for found, value in lists if -len(value) <= step.value < len(value)]

    def _unknown(self, leaf: Leaf, path: Path, step: Step, names: Iterable[str]) -> None:
        known = sorted(names)
        near = closest(step.value, known, like=_LIKE)  # makes it an error
        hint = nearest(step.value, known, like=_LIKE)
        if near or not self._only_near:
            other = _DIGITS.sub("", near) == _DIGITS.sub("", step.value)  # `address2` is no slip of `address1`
            fatal = near and not other and not self._lenient and not _may_miss(leaf, path)
            severity = "error" if fatal else "warning"
            self._report(leaf, step, f"has '{step.value}' here", hint, severity=severity)

    def _report(self, leaf: Leaf, step: Step, what: str, hint: str, *, severity: str) -> None:
        self._findings.add(
            leaf.node,
            "unknown-path",
            f"no sample of {self._of} {what}",
            hint,
            offset=step.start,
            length=step.end - step.start,
            severity=severity,
        )

    # --- conditions ---------------------------------------------------------------------------------------------

    def _compare(self, leaf: Leaf, compare: Compare, current: Sequence[Met]) -> None:
        """Warn where no sample has two sides that can be compared."""
        left, right = self._sides(compare.left, current), self._sides(compare.right, current)
        if left is None or right is None:
            return
        many = compare.operator == "in"
        if many and right and not any(isinstance(value, list) for value in right):
            message = f"in every sample the right side is {describe(right[-1])}, no list"
            self._odd(leaf, compare, message, _mend_in(leaf, compare, kind_of(right[-1])))
            return
        lefts = {kind_of(value) for value in left} - {""}
        rights = {kind_of(part) for value in right for part in (value if many and isinstance(value, list) else [value])}
        rights.discard("")
        if compare.operator in ORDERS and lefts and rights and lefts | rights <= _UNORDERED:
            kind = " or ".join(sorted(lefts))
            self._odd(leaf, compare, f"in every sample this is {kind}: that has no order", _NO_ORDER.get(kind, ""))
            return
        if len(lefts) != 1 or not rights or lefts & rights or (many and not all(isinstance(v, list) for v in right)):
            return
        kinds = (lefts.pop(), " or ".join(sorted(rights)))
        each = "the elements are" if many else "the right is"
        message = f"in every sample the left side is {kinds[0]}, {each} {kinds[1]}"
        self._odd(leaf, compare, message, _mend(leaf, compare, kinds))

    def _odd(self, leaf: Leaf, compare: Compare, message: str, hint: str) -> None:
        place = {"offset": compare.at, "length": len(compare.operator)}
        self._findings.warn(leaf.node, "kind-mismatch", message, hint, **place)

    def _conditions(self, leaf: Leaf, parts: Iterable[tuple[Expression, bool]], current: Sequence[Met]) -> None:
        """Warn of parts that ought to be yes or no, and are something else in every sample that has them."""
        for part, in_or in parts:
            found = self._sides(part, current)
            if found and not any(isinstance(value, bool) for value in found):
                self._findings.warn(
                    leaf.node,
                    "kind-mismatch",
                    f"this is never yes or no: in every sample it is {describe(found[-1])}",
                    "write exists after it, or compare it" + ("; a default is written: else" if in_or else ""),
                    offset=part.start,
                    length=part.end - part.start,
                )

    def _sides(self, side: Expression, current: Sequence[Met]) -> list[Any] | None:
        """What a part of a value is wherever it is not blank; None if the steps run out."""
        if isinstance(side, Literal):
            return [side.value]
        if isinstance(side, ListOf) and all(isinstance(item, Literal) for item in side.items):
            return [[item.value for item in side.items if isinstance(item, Literal)]]
        if not self._steps:
            return None
        read = Compiler(self._tables).reader(side)
        results = []
        for found, value in current:
            event = found.event
            context = Context(found.value, event, event.headers, event.query, event.source, steps=self._steps)
            try:
                context.take(1)
                result = read(context, value)
            except Exhausted:
                self._steps = 0
                return None
            self._steps = context.steps
            if not is_blank(result):
                results.append(result)
        return results


def operands(node: Expression) -> Iterator[tuple[Expression, bool]]:
    """The parts of an expression, outside brackets, that `not`, `and` and `or` take for a yes or a no, and whether that
    is `or`."""
    for part in children(node):
        if isinstance(node, Not | And | Or):
            yield part, isinstance(node, Or)
        yield from operands(part)


def never_known(compare: Compare, text: str) -> tuple[str, str] | None:
    """Why a comparison is unknown whatever the event is, and a hint; None if it is not. `text` is the whole value."""
    operator = compare.operator
    for side, other in ((compare.left, compare.right), (compare.right, compare.left)):
        if isinstance(side, Literal) and is_blank(side.value):
            path = _written(other, text)
            mend = {"==": f"write not {path} exists", "!=": f"write {path} exists"}.get(operator, "")
            return "this is never known: empty text is as good as missing", mend
        kind = "list" if isinstance(side, ListOf) else kind_of(side.value) if isinstance(side, Literal) else ""
        if operator in ORDERS and kind in _UNORDERED:
            return f"this is never known: {kind} has no order", _NO_ORDER.get(kind, "")
    if operator == "in" and isinstance(compare.right, Literal):
        left, right = _written(compare.left, text), _written(compare.right, text)
        message = f"this is never known: behind in stands a list, not {kind_of(compare.right.value)}"
        return message, f"write {left} == {right}, or a list: [{right}]"
    if (negated := _negated(compare.right)) is not None:
        left, right, opposite = _written(compare.left, text), _written(negated, text), _OPPOSITES.get(operator)
        mend = _write(f"{left} {opposite} {right}" if opposite else f"not {left} {operator} {right}")
        return f"this is never known: | binds tighter than {operator}", mend
    return None


def _negated(side: Expression) -> Expression | None:
    """What stands in front of a `not` behind `|` that has no opposite itself, as in `"gold" | not`."""
    if not isinstance(side, Pipe) or [call.name for call in side.calls] != ["not"] or any(_paths(side.value)):
        return None
    return side.value if reader(side, {})(Context(None), None) is None else None


def _inner_comparisons(leaf: Leaf) -> Iterator[Compare]:
    """Those inside brackets."""
    if "[" in leaf.compiled.text:
        for path in leaf.compiled.all_paths():
            for step in path.steps:
                yield from step.comparisons


def _written(side: Expression, text: str) -> str:
    """A side of a comparison as written, with the parentheses that it needs."""
    written = text[side.start : side.end]
    return written if isinstance(side, Path | Pipe | Literal | ListOf) else f"({written})"


def _may_miss(leaf: Leaf, path: Path) -> bool:
    """Whether the value says what to do where a path of it gives nothing: `exists` asks for that, or `else` follows."""
    starts: set[int] = set()
    asked: set[str] = set()
    for tree in leaf.compiled.trees:
        if tree.ending is not None and tree.ending.word != "fail":
            starts.update(each.start for each in _paths(tree.root))
        for part in _parts(tree.root):
            if isinstance(part, Exists):
                asked.update(each.text for each in _paths(part.item))
            elif isinstance(part, Fallback):
                starts.update(each.start for item in part.items[:-1] for each in _paths(item))
    return path.start in starts or path.text in asked


def _parts(node: Expression) -> Iterator[Expression]:
    """A part of an expression and all in it, also inside brackets."""
    yield node
    inside = [step.condition for step in node.steps if step.condition] if isinstance(node, Path) else children(node)
    for part in inside:
        yield from _parts(part)


def _paths(node: Expression) -> Iterator[Path]:
    """The paths of a part, outside brackets."""
    if isinstance(node, Path):
        yield node
    for part in children(node):
        yield from _paths(part)


def _write(expression: str) -> str:
    """The hint to write something else; empty if that would be refused too."""
    try:
        parse(expression, NOTHING, 0, len(expression))
    except LanguageError:
        return ""
    return f"write {expression}"


def _mend_in(leaf: Leaf, compare: Compare, kind: str) -> str:
    """What to write instead of `in`, where the right side is of this kind."""
    left, right = (_written(side, leaf.compiled.text) for side in (compare.left, compare.right))
    if kind == "text":
        return _write(f"{right} | contains({left})")
    return _write(f"{left} in {right} | keys" if kind == "object" else f"{left} == {right}")


def _mend(leaf: Leaf, compare: Compare, kinds: tuple[str, str]) -> str:
    """What to write instead, where that is known. `kinds` are those of the two sides."""
    left, right = (_written(side, leaf.compiled.text) for side in (compare.left, compare.right))
    operator = compare.operator
    if kinds[0] == "list" and operator in {"==", "!="}:
        return _write(f"{'not ' * (operator == '!=')}{right} in {left}")
    if kinds[1] == "list" and operator in {"==", "!="}:
        return _write(f"{'not ' * (operator == '!=')}{left} in {right}")
    if kinds == ("list", "number") and operator in ORDERS:
        return _write(f"{left} | count {operator} {right}")
    if kinds == ("time", "text") and isinstance(compare.right, Literal):
        return f"write {operator} ({right} | time)"
    if not isinstance(compare.left, Path) or not isinstance(compare.right, Literal):
        is_path = isinstance(compare.left, Path)
        return _write(f"{left} | time {operator} {right}") if is_path and kinds == ("text", "time") else ""
    path, value = compare.left.text, compare.right.value
    if kinds[0] == "yes/no" and operator in {"==", "!="} and value in {"true", "false"}:
        return _write(path if (value == "true") == (operator == "==") else f"not {path}")
    if kinds[0] == "number" and isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        return _write(f"{path} {operator} {value}")
    if kinds[0] == "text" and isinstance(value, bool):
        return _write(f"{path} | bool {operator} {str(value).lower()}")
    return _write(f"{path} | number {operator} {value}") if kinds[0] == "text" else ""

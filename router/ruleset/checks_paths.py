"""Checks against samples: paths that lead nowhere, comparisons that never hold, text that was meant as a path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from router.errors import RuleError
from router.ruleset.language import Context, describe, is_blank, kind_of, reader
from router.ruleset.leaves import Leaf
from router.ruleset.loading import Draft, SourceFile
from router.ruleset.nodes import And, Compare, Expression, ListOf, Literal, Not, Or, Path, Step
from router.ruleset.parts import children
from router.ruleset.rules import Rule
from router.ruleset.samples import SampleError, SampleEvent, open_sample, read_sample
from router.ruleset.shape import Findings
from router.ruleset.slips import slip
from router.ruleset.tree import nearest
from router.sources.examples import examples_of

#: a value met on a path, and the event it is in
Met = tuple[SampleEvent, Any]


def check_paths(draft: Draft) -> None:
    """`unknown-path`, `kind-mismatch`, `no-sample`, `header-not-kept`, `text-or-path` and `constant-user`."""
    for each, rule in draft.rules():
        if each.section.readable:
            _Checker(draft, each, rule).check()


def leaves_of(rule: Rule) -> Iterator[Leaf]:
    """Every scalar value of a rule."""
    values = [rule.condition, rule.user, *(step.value for step in rule.steps)]
    values += [leaf.value for sends in rule.sends.values() for leaf in sends]
    for value in values:
        if value is not None:
            yield from value.leaves


class _Checker:
    """Checks one rule against the samples of its types."""

    def __init__(self, draft: Draft, each: SourceFile, rule: Rule) -> None:
        self.findings: Findings = draft.findings
        self.rule = rule
        self.section = each.section
        self.tables = {name: table.entries for name, table in each.tables.items()}
        events = [found for found in draft.events.get(each.section.name, ()) if not found.event.error]
        self.top_keys = {key for found in events if isinstance(found.value, dict) for key in found.value}
        self.events = [found for found in events if rule.matches(found.event.type)]
        #: the samples are the vendor's, so what they lack may be there all the same
        self.builtin = False
        self.types = " or ".join(rule.when) if rule.when != ("*",) else each.section.name

    def check(self) -> None:
        if not self.events:
            self._no_sample()
            self.events = [found for found in self._examples() if self.rule.matches(found.event.type)]
            self.builtin = True
        for leaf in leaves_of(self.rule):
            if leaf.compiled.kind == "literal":
                self._literal(leaf)
            for path in leaf.compiled.all_paths():
                self._kept(leaf, path)
            roots: list[Met] = [(found, found.value) for found in self.events]
            for path in leaf.compiled.paths:
                self._follow(leaf, path, roots)
            for compare in leaf.compiled.comparisons:
                self._compare(leaf, compare, roots)
            for tree in leaf.compiled.trees:
                self._conditions(leaf, operands(tree.root), roots)
        self._constant_user()

    # --- samples ------------------------------------------------------------------------------------------------

    def _no_sample(self) -> None:
        place = self.rule.nodes.get("when", self.rule.key)
        first = self.rule.when[0].replace("/", "-").replace("*", "any")
        self.findings.warn(
            place,
            "no-sample",
            f"no sample of {self.types}: its paths are not checked",
            f"add samples/{self.section.name}.{first}.json",
        )

    def _examples(self) -> Iterator[SampleEvent]:
        """The events of the preset's examples, as this source opens them."""
        for example in examples_of(self.section.preset_name):
            with suppress(SampleError):
                yield from open_sample(read_sample(example.path.name, example.data), self.section)

    # --- paths --------------------------------------------------------------------------------------------------

    def _follow(self, leaf: Leaf, path: Path, current: Sequence[Met]) -> None:
        """Try every step of a path; `current` is where `.` stands."""
        if path.base not in {"dot", "root"}:
            return
        met = list(current) if path.base == "dot" else [(found, found.value) for found in self.events]
        for step in path.steps:
            met = [(found, value) for found, value in met if value is not None]
            if not met:
                return
            met = self._step(leaf, step, met)

    def _step(self, leaf: Leaf, step: Step, met: list[Met]) -> list[Met]:
        if step.kind == "key":
            objects = [(found, value) for found, value in met if isinstance(value, dict)]
            names = {name for _, value in objects for name in value}
            if step.value in names:
                return [(found, value[step.value]) for found, value in objects if step.value in value]
            if names:
                self._unknown(leaf, step, names)
            elif not objects:
                hint = "this is a list: write [] or [0] before it" if isinstance(met[0][1], list) else ""
                self._report(leaf, step, f"has '{step.value}' here", hint, severity="warning")
            return []
        lists = [(found, value) for found, value in met if isinstance(value, list)]
        if not lists:
            self._report(leaf, step, "has a list here", "", severity="warning")
            return []
        elements = [(found, item) for found, value in lists for item in value]
        for path in step.paths:
            self._follow(leaf, path, elements)
        for compare in step.comparisons:
            self._compare(leaf, compare, elements)
        if step.condition is not None:
            self._conditions(leaf, [step.condition, *operands(step.condition)], elements)
        if step.kind != "index":
            return elements
        return [(found, value[step.value]) for found, value in lists if -len(value) <= step.value < len(value)]

    def _unknown(self, leaf: Leaf, step: Step, names: Iterable[str]) -> None:
        hint = nearest(step.value, sorted(names))
        near = hint.startswith("did you mean") and not self.builtin
        self._report(leaf, step, f"has '{step.value}' here", hint, severity="error" if near else "warning")

    def _report(self, leaf: Leaf, step: Step, what: str, hint: str, *, severity: str) -> None:
        self.findings.add(
            leaf.node,
            "unknown-path",
            f"no sample of {self.types} {what}",
            hint,
            offset=step.start,
            length=step.end - step.start,
            severity=severity,
        )

    def _kept(self, leaf: Leaf, path: Path) -> None:
        if path.base not in {"header", "query"} or f"{path.base}.{path.name}" in self.section.kept:
            return
        known = [name.partition(".")[2] for name in self.section.kept if name.startswith(path.base)]
        close = difflib.get_close_matches(path.name, known, 1, 0.6)
        what = "header" if path.base == "header" else "parameter"
        add = "add it to source.keep"
        self.findings.add(
            leaf.node,
            "header-not-kept",
            f"this {what} is not kept with the event",
            f"did you mean ${path.base}.{close[0]}? Else {add}" if close else add,
            offset=path.start,
            length=path.end - path.start,
        )

    # --- comparisons --------------------------------------------------------------------------------------------

    def _compare(self, leaf: Leaf, compare: Compare, current: Sequence[Met]) -> None:
        """Warn where the two sides are of different kinds in every sample that has both."""
        left = list(self._sides(compare.left, current))
        right = list(self._sides(compare.right, current))
        many = compare.operator == "in"
        lefts = {kind_of(value) for value in left} - {""}
        rights = {kind_of(part) for value in right for part in (value if many and isinstance(value, list) else [value])}
        rights.discard("")
        if len(lefts) != 1 or not rights or lefts & rights or (many and not all(isinstance(v, list) for v in right)):
            return
        kinds = (lefts.pop(), " or ".join(sorted(rights)))
        each = "the elements are" if many else "the right is"
        self.findings.warn(
            leaf.node,
            "kind-mismatch",
            f"in every sample the left side is {kinds[0]}, {each} {kinds[1]}",
            _mend(leaf, compare, kinds),
            offset=compare.at,
            length=len(compare.operator),
        )

    def _conditions(self, leaf: Leaf, parts: Iterable[Expression], current: Sequence[Met]) -> None:
        """Warn of parts that ought to be yes or no, and are something else in every sample that has them."""
        for part in parts:
            found = list(self._sides(part, current))
            if found and not any(isinstance(value, bool) for value in found):
                self.findings.warn(
                    leaf.node,
                    "kind-mismatch",
                    f"this is never yes or no: in every sample it is {describe(found[-1])}",
                    "write exists after it, or compare it",
                    offset=part.start,
                    length=part.end - part.start,
                )

    def _sides(self, side: Expression, current: Sequence[Met]) -> Iterator[Any]:
        if isinstance(side, Literal):
            yield side.value
            return
        if isinstance(side, ListOf) and all(isinstance(item, Literal) for item in side.items):
            yield [item.value for item in side.items if isinstance(item, Literal)]
            return
        read = reader(side, self.tables)
        for found, value in current:
            event = found.event
            context = Context(found.value, event, event.headers, event.query, event.source)
            result = read(context, value)
            if not is_blank(result):
                yield result

    # --- literals -----------------------------------------------------------------------------------------------

    def _literal(self, leaf: Leaf) -> None:
        text = leaf.compiled.literal
        if not isinstance(text, str) or leaf.compiled.text.startswith("\\"):
            return
        if hint := slip(text, self.top_keys):
            self._was_a_path(leaf, hint)

    def _was_a_path(self, leaf: Leaf, hint: str) -> None:
        self.findings.problems = [
            problem for problem in self.findings.problems if problem.code != "literal-type" or not _at(problem, leaf)
        ]
        self.findings.add(leaf.node, "text-or-path", "this would be sent as text", hint)

    def _constant_user(self) -> None:
        if not self.rule.user.leaves:
            return
        leaf = self.rule.user.leaves[0]
        reads = any(path.base != "source" for path in leaf.compiled.all_paths())
        if not reads and not any(p.code == "text-or-path" and _at(p, leaf) for p in self.findings.problems):
            message = "every event would change the same profile"
            self.findings.add(leaf.node, "constant-user", message, "a path starts with '.'")


def _at(problem: RuleError, leaf: Leaf) -> bool:
    return (problem.file, problem.line, problem.column) == (leaf.node.file, leaf.node.line, leaf.node.column)


def operands(node: Expression) -> Iterator[Expression]:
    """The parts of an expression, outside brackets, that `not`, `and` and `or` take for a yes or a no."""
    for part in children(node):
        if isinstance(node, Not | And | Or):
            yield part
        yield from operands(part)


def _mend(leaf: Leaf, compare: Compare, kinds: tuple[str, str]) -> str:
    """What to write instead, where that is known. `kinds` are those of the two sides."""
    sides = (compare.left, compare.right)
    left, right = (leaf.compiled.text[side.start : side.end] for side in sides)
    if kinds == ("time", "text") and isinstance(compare.right, Literal):
        return f"write {compare.operator} ({right} | time)"
    if not isinstance(compare.left, Path) or not isinstance(compare.right, Literal):
        is_path = isinstance(compare.left, Path)
        return f"write {left} | time {compare.operator} {right}" if is_path and kinds == ("text", "time") else ""
    path, value = compare.left.text, compare.right.value
    if kinds[0] == "yes/no" and compare.operator in {"==", "!="} and value in {"true", "false"}:
        return f"write {path}" if (value == "true") == (compare.operator == "==") else f"write not {path}"
    if kinds[0] == "number" and isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        return f"write {path} {compare.operator} {value}"
    if kinds[0] == "text" and isinstance(value, bool):
        return f"write {path} | bool {compare.operator} {str(value).lower()}"
    return f"write {path} | number {compare.operator} {value}" if kinds[0] == "text" else ""

"""Inline tests as written: which request they take, and what they do to it first."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from router.nearest import nearest
from router.ruleset.keys import OUTCOMES, PROFILE, TEST
from router.ruleset.language import LanguageError, compile_value
from router.ruleset.leaves import NOTHING
from router.ruleset.misspellings import misspelled, nothing_at
from router.ruleset.rules import Rule
from router.ruleset.samples import Sample
from router.ruleset.shape import Findings, kind_of, one_of, text_of
from router.ruleset.tree import ListNode, MapNode, Node, Scalar, plain

#: a path of names and indexes in the body; of a header or parameter, `header` or `query` and its name
Steps = tuple[str, tuple[str | int, ...]]

#: what of a request is text alone
_CARRIES = {"header": "a header", "query": "a parameter"}


@dataclass(frozen=True, slots=True)
class TestCase:
    """One inline test."""

    __test__ = False

    rule: Rule
    #: all of it
    body: MapNode
    #: its first key: where it stands
    key: Scalar
    about: str
    given: Scalar
    #: which of many events
    event: int
    #: what to put in: key, steps, value
    puts: tuple[tuple[Scalar, Steps, Any], ...]
    #: what to take out: scalar, steps
    takes: tuple[tuple[Scalar, Steps], ...]
    #: `skipped`, `failed`, `unmatched` or `erased`; or empty
    outcome: str
    because: str
    #: destination or `profile` → key, value
    expected: Mapping[str, tuple[Scalar, Any]]

    @property
    def title(self) -> str:
        """`about`, or else the sample's name."""
        return self.about or self.given.text

    def node_at(self, place: Sequence[str | int]) -> Node:
        """What stands at keys and indexes below the test, of a map or list its key; of what is not there the key that
        it is missing under."""
        node: Node = self.body
        key = self.key
        for step in place:
            found = _below(node, step)
            if found is None:
                return key
            key, node = found[0] or key, found[1]
        return node if isinstance(node, Scalar) and node.text else key


def _below(node: Node, step: str | int) -> tuple[Scalar | None, Node] | None:
    """The key, and what stands there; of a map in a list its first key. None: there is nothing."""
    if isinstance(node, MapNode):
        return next(((name, value) for name, value in node.pairs if name.text == step), None)
    if isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
        item = node.items[step]
        return item.pairs[0][0] if isinstance(item, MapNode) and item.pairs else None, item
    return None


class PathError(Exception):
    """A path of `with` or `without` that does not fit the sample. Has the place."""

    def __init__(self, node: Scalar, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.node = node
        self.message = message
        self.hint = hint


def read_tests(rule: Rule, findings: Findings, known: Collection[str]) -> list[TestCase]:
    """The tests of a rule that have the right shape. `known` are the names of destinations."""
    node = rule.nodes.get("tests")
    if not isinstance(node, ListNode):
        return []
    found = []
    for item in node.items:
        body = findings.is_map(item, "a test", "a map of given and expect")
        if body is not None:
            case = _test(rule, body, findings, known)
            if case is not None:
                found.append(case)
    return found


def _test(rule: Rule, body: MapNode, findings: Findings, known: Collection[str]) -> TestCase | None:
    before = findings.errors
    nodes = findings.read(body, TEST, f"a test of rule {rule.name}")
    key = body.pairs[0][0] if body.pairs else body
    for name in ("given", "expect"):
        if findings.lacks(body, name, TEST):
            findings.add(key, "missing-key", f"a test of rule {rule.name} has no {name}:")
    given, expect, event = nodes.get("given"), nodes.get("expect"), nodes.get("event")
    puts = tuple(_puts(nodes.get("with"), findings))
    takes = tuple(_takes(nodes.get("without"), findings))
    outcome, expected = _expectation(rule, expect, findings, known) if expect is not None else ("", {})
    because = text_of(nodes.get("because")) or ""
    index = event.value if isinstance(event, Scalar) and isinstance(event.value, int) else 0
    if index < 0 and event is not None:
        findings.add(event, "unknown-value", "event is counted from 0")
    if because and not outcome and expect is not None:
        findings.add(nodes["because"], "wrong-shape", f"because stands beside expect: {one_of(OUTCOMES)}")
    if findings.errors > before or not isinstance(given, Scalar) or not isinstance(key, Scalar):
        return None
    about = text_of(nodes.get("about")) or ""
    return TestCase(rule, body, key, about, given, index, puts, takes, outcome, because, expected)


def _expectation(
    rule: Rule, node: Node, findings: Findings, known: Collection[str]
) -> tuple[str, dict[str, tuple[Scalar, Any]]]:
    text = text_of(node)
    if text is not None:
        if text not in OUTCOMES:
            message = f"expect is {one_of(OUTCOMES)}, or a map"
            findings.add(node, "unknown-value", message, nearest(text, OUTCOMES))
        return text, {}
    if not isinstance(node, MapNode):
        findings.add(node, "wrong-shape", f"expect is an outcome or a map, not {kind_of(node)}")
        return "", {}
    names = sorted(rule.named) if rule.named <= {*known} else []  # else one of them is misspelled, which is told
    expected = {}
    for key, value in node.pairs:
        if key.text == "profile":
            if body := findings.map_at(key, value, "a map of user, set, once, …"):
                findings.read(body, PROFILE, "expect.profile")
        elif names and key.text not in names:
            message = f"the rule does not send to {key.text}"
            hint = f"it stands under profile: {{{key.text}: …}}" if key.text in PROFILE else nearest(key.text, names)
            findings.add(key, "test-expect", message, hint)
            continue
        expected[key.text] = (key, plain(value))
    return "", expected


# --- changing the request ----------------------------------------------------------------------------------------


def _puts(node: Node | None, findings: Findings) -> Iterator[tuple[Scalar, Steps, Any]]:
    for key, value in node.pairs if isinstance(node, MapNode) else ():
        steps = _steps(key, findings)
        if steps is None:
            continue
        part, (name, *_) = steps
        if part == "body" or (isinstance(value, Scalar) and isinstance(value.value, str)):
            yield key, steps, plain(value)
        else:
            message = f"{_CARRIES[part]} carries text: {name} is {kind_of(value)}"
            findings.add(value, "test-path", message, _mend(value))


def _mend(value: Node) -> str:
    """What to write where a header or parameter is no text."""
    if not isinstance(value, Scalar):
        return "write one text"
    if value.value is None:
        return "to take it out list it under without:"
    return f'put it in quotes: "{value.text}"'


def _takes(node: Node | None, findings: Findings) -> Iterator[tuple[Scalar, Steps]]:
    for item in findings.texts(node, "without"):
        steps = _steps(item, findings)
        if steps is not None:
            yield item, steps


def _steps(node: Scalar, findings: Findings) -> Steps | None:
    """What a path such as `.data.items[0].id` or `$header.x-name` names; None, and a problem, if it is no such path."""
    try:
        compiled = compile_value(node.text, tables={}, allow=NOTHING)
    except LanguageError as error:
        findings.add(node, "test-path", error.message, error.hint, offset=error.column - 1, length=error.length)
        return None
    path = compiled.paths[0] if len(compiled.paths) == 1 and compiled.is_expression else None
    if path is not None and path.end - path.start == len(node.text.strip()):
        if path.base in {"header", "query"} and not path.steps:
            return path.base, (path.name,)
        if path.base in {"dot", "root"} and path.steps and all(step.kind in {"key", "index"} for step in path.steps):
            return "body", tuple(step.value for step in path.steps)
    hint = "as in .data.items[0].id, .[0].id where the body is a list, or $header.x-id"
    findings.add(node, "test-path", "this is no path of names and indexes", hint)
    return None


def changed(sample: Sample, case: TestCase, read: Collection[str] = ()) -> Sample:
    """The sample with what the test puts in and takes out. A new name is no slip if it is one of those that are `read`.
    Raises `PathError`."""
    if not case.puts and not case.takes:
        return sample
    document = {"body": copy.deepcopy(sample.body), "header": dict(sample.header), "query": dict(sample.query)}
    for key, (part, steps), value in case.puts:
        _put(key, document, (part, *steps), value, read)
    for node, (part, steps) in case.takes:
        _take(node, document, (part, *steps))
    return replace(sample, body=document["body"], header=document["header"], query=document["query"])


def _put(node: Scalar, document: Any, steps: tuple[str | int, ...], value: Any, read: Collection[str]) -> None:
    """Put a value into a document, making missing parents on the way."""
    for step, following in zip(steps, (*steps[1:], None), strict=True):
        last = following is None
        if isinstance(step, int):
            if not isinstance(document, list):
                raise PathError(node, "this sample has no list here")
            if step < 0:
                step += len(document)
            if not 0 <= step <= len(document):
                raise PathError(node, f"the list in this sample has {len(document)} elements")
            if step == len(document):
                document.append(None)
        elif not isinstance(document, dict):
            raise PathError(node, "this sample has no object here")
        elif fault := misspelled(step, document, read):
            raise PathError(node, *fault)
        if last:
            document[step] = value
            return
        held = document[step] if isinstance(step, int) else document.get(step)
        if held is None:
            if isinstance(following, int):
                raise PathError(node, "this sample has no list here")
            held = document[step] = {}
        document = held


def _take(node: Scalar, document: Any, steps: tuple[str | int, ...]) -> None:
    try:
        for step in steps[:-1]:
            document = document[step]
        step = steps[-1]
        del document[step]
    except (KeyError, IndexError, TypeError):
        message = "this sample has nothing here to take out"
        raise PathError(node, message, nothing_at(step, document)) from None

"""Writes what came out of failing tests over what they expect. Pure: files in, files out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from router.profile.registers import same_value
from router.ruleset.rendering import Request
from router.ruleset.rewriting import Rewriter, Span, spans_of
from router.ruleset.testing import Seen, TestResult, TestRun, names_call
from router.ruleset.tree import plain, read_yaml

#: what is empty says as much as what is absent
_EMPTY: tuple[Any, ...] = ({}, [], None)


@dataclass(frozen=True, slots=True)
class Update:
    """What to write, and what cannot be written."""

    #: name → bytes, of the files that change
    files: Mapping[str, bytes]
    #: how many tests they bring up to date
    tests: int
    #: failing tests that stay as they are, and why
    refused: tuple[tuple[TestResult, str], ...]


class _Refused(Exception):
    """A test that cannot be brought up to date. The message says why."""


def update(files: Mapping[str, bytes], run: TestRun) -> Update:
    """The files with the values that failing tests of this run expect replaced by those that came out. Nothing else in
    the files changes."""
    edits: dict[str, list[_Edit]] = {}
    refused: list[tuple[TestResult, str]] = []
    for result in run.results:
        if result.passed:
            continue
        name = result.case.key.file
        try:
            edits.setdefault(name, []).extend(_edits_of(files[name], result))
        except _Refused as reason:
            refused.append((result, str(reason)))
    made = {name: _applied(files[name], own) for name, own in edits.items() if own}
    failing = sum(not result.passed for result in run.results)
    return Update(made, failing - len(refused), tuple(refused))


@dataclass(frozen=True, slots=True, order=True)
class _Edit:
    """A part of a text to replace; offsets count characters."""

    start: int
    end: int
    text: str


def _applied(data: bytes, edits: list[_Edit]) -> bytes:
    text = data.decode("utf-8-sig")
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return data[: len(data) - len(data.decode("utf-8-sig").encode())] + text.encode()


# --- what came out, in the words of the test ---------------------------------------------------------------------


def _wanted(result: TestResult) -> dict[str, Any]:
    """The values of `expect` and, where it changes, `because`. Raises `_Refused`."""
    case, seen = result.case, result.seen
    if seen is None:
        raise _Refused("it could not run")
    if seen.outcome != "changed":
        wanted: dict[str, Any] = {"expect": seen.outcome}
        if case.because not in seen.reason:
            if not seen.reason:
                raise _Refused(f"there is no reason for {seen.outcome}: take because out first")
            wanted["because"] = seen.reason
        return wanted
    if faults := [f"{name}: {rendered.fault}" for name, rendered in seen.rendered.items() if rendered.fault]:
        raise _Refused(f"no such body can be expected, {faults[0]}")
    if case.because:
        raise _Refused("it gives a change now, which has no reason: take because out first")
    if case.outcome:
        return {"expect": {"profile": dict(seen.change)}}
    return {"expect": {name: _part(name, expected, seen) for name, (_, expected) in case.expected.items()}}


def _part(name: str, expected: Any, seen: Seen) -> Any:
    if name == "profile":
        return {key: seen.change.get(key, expected.get(key)) for key in _profile_keys(expected, seen.change)}
    calls = seen.rendered[name].calls
    if not isinstance(expected, list) and len(calls) == 1:
        return _call(expected, calls[0])
    forms = expected if isinstance(expected, list) else [expected]
    return [_call(forms[n] if n < len(forms) else None, call) for n, call in enumerate(calls)]


def _profile_keys(expected: Mapping[str, Any], change: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in expected if key in change or (key != "tags" and expected[key] in _EMPTY))
    yield from (key for key in change if key not in expected)


def _call(form: Any, call: Request) -> Any:
    """One call, in the form of what was expected there."""
    if not names_call(form):
        return call.body
    return {key: call.text if key == "call" else call.body for key in form}


# --- where it goes -----------------------------------------------------------------------------------------------


def _edits_of(data: bytes, result: TestResult) -> list[_Edit]:
    """Raises `_Refused`, also if the file would then say anything else than wanted, or otherwise than before."""
    wanted = _wanted(result)
    text, before = data.decode("utf-8-sig"), _document(data)
    tests, written = _tests(spans_of(text), before, result.case.rule.name)
    key = result.case.key
    index = next(n for n, each in enumerate(tests) if each.pairs and each.pairs[0][0].place == (key.line, key.column))
    test, rewriter = written[index], Rewriter(text)
    edits = [
        _Edit(name.start, value.end, rewriter.pair(name, value, test[word], wanted[word], flow=tests[index].flow))
        for (name, value), word in zip(tests[index].pairs, test, strict=True)
        if word in wanted
    ]
    after = _document(_applied(data, edits))
    if after is None or not _is_only(after, before, (result.case.rule.name, index), wanted):
        raise _Refused("what came out cannot be written there")
    return edits


def _is_only(after: Any, before: Any, place: tuple[str, int], wanted: Mapping[str, Any]) -> bool:
    """Whether a file says what is wanted in one test, and all else as before, in the same order."""
    rule, index = place
    tests = after["rules"][rule]["tests"]
    is_so = all(same_value(tests[index].get(word), value) for word, value in wanted.items())
    tests[index] = before["rules"][rule]["tests"][index]
    return is_so and json.dumps(after) == json.dumps(before)


def _tests(span: Span, value: Any, rule: str) -> tuple[list[Span], Any]:
    """The tests of a rule: where they stand, and their plain values."""
    for name in ("rules", rule, "tests"):
        span = next(part for (_, part), key in zip(span.pairs, value, strict=True) if key == name)
        value = value[name]
    return span.items, value


def _document(data: bytes) -> Any:
    """The plain value of a file; None if it is no good."""
    node, problems = read_yaml("", data)
    return None if node is None or problems else plain(node)

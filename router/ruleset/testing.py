"""Runs inline tests: one rule, an empty lane, no network. A failure says which key differs, and what made it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from router.errors import RuleError
from router.model import Instant, Op, OpKind, TagsOp
from router.nearest import nearest
from router.providers.render import join_pointer
from router.ruleset.checks_paths import leaves_of
from router.ruleset.differences import Difference, Moment, Place, compare
from router.ruleset.language import MISSING
from router.ruleset.project import UNMATCHED, Project
from router.ruleset.reach import Reached, Recorder
from router.ruleset.rendering import Rendered, calls_of
from router.ruleset.rules import Filter, Result, Rule
from router.ruleset.samples import SampleError, SampleEvent, open_sample
from router.ruleset.source_file import SourceSection
from router.ruleset.testcases import PathError, TestCase, changed
from router.ruleset.text import counted
from router.ruleset.tree import problem
from router.ruleset.vocabulary import COMPANY, CONSENT


@dataclass(frozen=True, slots=True)
class Seen:
    """What came out of one rule for one event."""

    #: `changed`, `skipped`, `failed`, `unmatched` or `erased`
    outcome: str
    reason: str = ""
    #: in the words of `expect.profile`; empty without a change
    change: Mapping[str, Any] = field(default_factory=dict)
    #: destination → its calls
    rendered: Mapping[str, Rendered] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TestResult:
    """How one test went."""

    __test__ = False

    case: TestCase
    differences: tuple[Difference, ...] = ()
    #: what came out, if it could run
    seen: Seen | None = None
    #: why it could not run: a problem of the test itself
    fault: RuleError | None = None

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences and self.fault is None

    def as_json(self, prefix: str = "") -> dict[str, Any]:
        """For `--json`; `prefix` goes before the file's name."""
        key = self.case.key
        found = {"rule": self.case.rule.id, "test": self.case.title, "passed": self.passed}
        place = {"file": prefix + key.file, "line": key.line}
        return {**found, **place, "problems": [self.fault.message] if self.fault else list(map(str, self.differences))}

    def problem(self) -> RuleError | None:
        """The failure as a problem of the file."""
        if self.fault is not None or not self.differences:
            return self.fault
        more = len(self.differences) - 1
        hint = f"and {more} more: router test" if more else ""
        first = self.differences[0]
        return problem(self.case.node_at(first.place), "test-failed", str(first), hint)

    def text(self, prefix: str = "") -> str:
        """The failure as printed; `prefix` goes before the file's name."""
        key = self.case.key
        head = f"FAIL {prefix}{key.file}:{key.line} {self.case.rule.id}: {self.case.title}"
        if self.fault is not None:
            return f"{head}\n     {_told(self.fault)}"
        return "\n     ".join([head, *(line for each in self.differences for line in each.lines())])


@dataclass(frozen=True, slots=True)
class TestRun:
    """How all tests went."""

    __test__ = False

    results: tuple[TestResult, ...]
    #: tests that could not be read
    faults: tuple[RuleError, ...] = ()
    #: what they reached of the rules, if that was asked for
    reached: Reached | None = None

    @property
    def passed(self) -> int:
        """How many passed."""
        return sum(result.passed for result in self.results)

    @property
    def failed(self) -> int:
        """How many failed."""
        return len(self.results) - self.passed + len(self.faults)

    def text(self, prefix: str = "") -> str:
        """All failures, what was not reached, and a last line with the sums."""
        lines = [f"FAIL {prefix}{p.file}:{p.line} {_told(p)}" for p in self.faults]
        lines += [result.text(prefix) for result in self.results if not result.passed]
        sums = f"{self.passed} passed, {self.failed} failed"
        if self.reached is not None:
            lines += self.reached.lines(prefix)
            sums += f"; {self.reached.summary}"
        return "\n".join([*lines, sums])

    def as_json(self, prefix: str = "") -> Iterator[dict[str, Any]]:
        """For `--json`: an object a test, also of those that could not be read, and one with the sums."""
        for fault in self.faults:
            place = {"file": prefix + fault.file, "line": fault.line}
            yield {"rule": None, "test": None, "passed": False, **place, "problems": [fault.message]}
        for result in self.results:
            yield result.as_json(prefix)
        reached = self.reached.as_json(prefix) if self.reached else {}
        yield {"passed": self.passed, "failed": self.failed, **reached}


def _told(fault: RuleError) -> str:
    return f"{fault.message} ({fault.hint})" if fault.hint else fault.message


def run_cases(
    project: Project, cases: Sequence[TestCase], select: Collection[str] = (), *, reach: bool = False
) -> TestRun:
    """Run tests in order; `select` names rules (`stripe/customer`) or sources (`stripe`), nothing is all. With `reach`
    the run says what they reached of these rules."""

    def is_chosen(rule: Rule) -> bool:
        return not select or not {rule.id, rule.id.partition("/")[0]}.isdisjoint(select)

    recorder = Recorder(rule for rule in project.rules if is_chosen(rule)) if reach else None
    results = tuple(_run(project, case, recorder) for case in cases if is_chosen(case.rule))
    return TestRun(results, reached=recorder.reached() if recorder else None)


def _run(project: Project, case: TestCase, recorder: Recorder | None) -> TestResult:
    sample = project.samples.get(case.given.text)
    broken = project.broken_samples.get(case.given.text)
    if broken is not None:
        return TestResult(case, fault=problem(case.given, "test-sample", broken))
    if sample is None:
        hint = nearest(case.given.text, project.samples)
        return TestResult(case, fault=problem(case.given, "test-sample", "no such file in samples/", hint))
    section = project.sections[case.rule.id.partition("/")[0]]
    try:
        events = open_sample(changed(sample, case, names_read([case.rule], section)), section)
    except PathError as error:
        return TestResult(case, fault=problem(error.node, "test-path", error.message, error.hint))
    except SampleError as error:
        return TestResult(case, fault=problem(case.given, "test-sample", str(error)))
    if case.event >= len(events):
        message = f"this sample has {len(events)} event{'' if len(events) == 1 else 's'}"
        return TestResult(case, fault=problem(case.body.get("event") or case.given, "test-sample", message))
    seen = _see(project, case.rule, events[case.event], recorder)
    return TestResult(case, tuple(_differences(project, case, seen)), seen)


def names_read(rules: Iterable[Rule], section: SourceSection) -> set[str]:
    """The names of keys, headers and parameters that some rules and their source read."""
    leaves = [leaf for rule in rules for leaf in leaves_of(rule)]
    compiled = [*(leaf.compiled for leaf in leaves), *section.identity_values.values()]
    paths = [path for each in compiled for path in each.all_paths()]
    return {step.value for path in paths for step in path.steps if step.kind == "key"} | {path.name for path in paths}


def _see(project: Project, rule: Rule, opened: SampleEvent, recorder: Recorder | None) -> Seen:
    event = opened.event
    result = Result("unmatched", UNMATCHED)
    if event.error:
        result = Result("failed", event.error)
    elif rule.matches(event.type):
        context = project.context(event, opened.value)
        result = rule.evaluate(context, recorder.watch(rule, context) if recorder else None)
    if result.state != "changed":
        return Seen(result.state, result.reason)
    if rule.erase:
        return Seen("erased")
    planned = rule.changes(result, project.version(rule, event), project.revision)
    rendered = {each.destination: calls_of(project.destinations[each.destination], each.change) for each in planned}
    return Seen("changed", "", normal(_profile(rule, result)), rendered)


def _differences(project: Project, case: TestCase, seen: Seen) -> Iterator[Difference]:
    if case.outcome or seen.outcome != "changed":
        if seen.outcome != (case.outcome or "changed"):
            got = "a change" if seen.outcome == "changed" else f"{seen.outcome}: {seen.reason}".rstrip(": ")
            yield Difference("outcome", case.outcome or "a change", got, ("expect",), words=True)
        elif case.because not in seen.reason:
            yield Difference("because", case.because, seen.reason, ("because",))
        return
    if "profile" in case.expected:
        for each in compare("profile", ("expect", "profile"), normal(case.expected["profile"][1]), seen.change):
            # lists here are compared sorted
            place = tuple(step for step in each.place if isinstance(step, str))
            yield replace(each, place=place, origin=_profile_origin(case.rule, each.path))
    for name, rendered in seen.rendered.items():
        if rendered.fault:
            yield Difference(name, "a call", rendered.fault, ("expect", name), words=True)
        if name in case.expected:
            yield from _calls(project, case.rule, name, case.expected[name][1], rendered)


# --- calls -------------------------------------------------------------------------------------------------------


def _calls(project: Project, rule: Rule, name: str, expected: Any, rendered: Rendered) -> Iterator[Difference]:
    wanted = expected if isinstance(expected, list) else [expected]
    if len(wanted) != len(rendered.calls):
        expects, got = counted(len(wanted), "call"), counted(len(rendered.calls), "call")
        yield Difference(name, expects, got, ("expect", name), words=True)
    for index, call in enumerate(rendered.calls):
        path = f"{name}[{index}]" if isinstance(expected, list) else name
        place: Place = ("expect", name, index) if isinstance(expected, list) else ("expect", name)
        if index >= len(wanted):
            yield Difference(path, MISSING, call.body, place)
            continue
        each = wanted[index]
        if names_call(each):
            if each["call"] != call.text:
                yield Difference(f"{path}.call", each["call"], call.text, (*place, "call"))
            if "body" not in each:
                continue
            each, place = each["body"], (*place, "body")
        for found in compare(path, place, each, call.body):
            yield replace(found, origin=_body_origin(project, rule, name, found.path[len(path) :]))


def names_call(expected: Any) -> bool:
    """Whether this is `{call: …, body: …}` in place of a body."""
    return isinstance(expected, dict) and "call" in expected and expected.keys() <= {"call", "body"}


def _body_origin(project: Project, rule: Rule, destination: str, path: str) -> str:
    """The value of the rule that is rendered at a path of the body."""
    provider = project.destinations[destination].provider
    sends = next((each.sends for each in rule.filters if each.destination == destination), ())
    places = [(join_pointer(step.path), step.value.text) for step in sends]
    for step in rule.steps:
        place = provider.place(step.field, step.kind)
        if place is not None:
            places.append((place, step.value.text))
    dotted = path.partition("[")[0]
    return next((text for place, text in places if dotted and place.replace("/", ".") == dotted), "")


# --- the change itself -------------------------------------------------------------------------------------------


def _profile(rule: Rule, result: Result) -> dict[str, Any]:
    """A change in the words of `expect.profile`."""
    change: dict[str, Any] = {"user": result.profile}
    for name, op in result.fields.items():
        if isinstance(op, TagsOp):
            edit = {"add": list(op.add), "remove": list(op.remove)}
            change["tags"] = edit if op.replace is None else list(op.replace)
        elif op.kind is OpKind.UNSET:
            change.setdefault("unset", []).append(name)
        elif name.startswith(CONSENT):
            change.setdefault("consent", {})[name[len(CONSENT) :]] = op.value
        elif name.startswith(COMPANY):
            change.setdefault("company", {})[name[len(COMPANY) :]] = _plain(op.value)
        else:
            change.setdefault(op.kind.value, {})[name] = _plain(op.value)
    for each in rule.filters:
        body = _send(each, result)
        if body:
            change.setdefault("send", {})[each.destination] = body
    return change


def _send(each: Filter, result: Result) -> dict[str, Any]:
    """The leaves of one destination as a body; a cleared one is null."""
    body: dict[str, Any] = {}
    for step in each.sends:
        op = result.sends[each.destination][0].get(step.field)
        if not isinstance(op, Op):
            continue
        place = body
        for name in step.path[:-1]:
            place = place.setdefault(name, {})
        place[step.path[-1]] = _plain(op.value)
    return body


def _profile_origin(rule: Rule, path: str) -> str:
    label = path.removeprefix("profile.")
    if label == "user":
        return rule.user.text
    steps = [*rule.steps, *(step for each in rule.filters for step in each.sends)]
    return next((step.value.text for step in steps if label.partition("[")[0] in {step.label, step.field}), "")


def _plain(value: Any) -> Any:
    if isinstance(value, Instant):
        return Moment(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def normal(change: Mapping[str, Any]) -> dict[str, Any]:
    """A change as it is compared. Absent means empty; but `tags: []` says that none is left. Tags and what is cleared
    have no order."""
    normal = {key: value for key, value in change.items() if key == "tags" or value not in ({}, [], None)}
    tags = normal.get("tags")
    if isinstance(tags, dict):
        normal["tags"] = {key: _sorted(value) for key, value in tags.items() if value}
    elif "tags" in normal:
        normal["tags"] = _sorted(tags)
    if "unset" in normal:
        normal["unset"] = _sorted(normal["unset"])
    return normal


def _sorted(value: Any) -> Any:
    return sorted(value, key=str) if isinstance(value, list) else value

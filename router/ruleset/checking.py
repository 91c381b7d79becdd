"""Every check in one run, the inline tests included."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from router.errors import RuleError
from router.nearest import nearest
from router.ruleset.accounts import SecretUse
from router.ruleset.checks_paths import check_paths
from router.ruleset.checks_project import check_project, check_secrets
from router.ruleset.checks_providers import check_providers
from router.ruleset.checks_source import check_sources
from router.ruleset.checks_values import check_values
from router.ruleset.collector import collector_waits
from router.ruleset.loading import Draft, by_place, draft_of, project_of
from router.ruleset.testing import TestRun, run_cases
from router.ruleset.tree import Scalar


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` found out."""

    #: errors and warnings by place, failures of tests included
    problems: tuple[RuleError, ...]
    files: int
    rules: int
    #: the tests of rules without errors
    tests: TestRun

    @property
    def errors(self) -> int:
        """How many problems are errors."""
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def warnings(self) -> int:
        """How many problems are warnings."""
        return len(self.problems) - self.errors


def run_checks(draft: Draft) -> None:
    """Every static check, into the draft's findings."""
    check_sources(draft)
    check_paths(draft)
    check_values(draft)
    check_providers(draft)
    check_project(draft)
    _check_samples(draft)


def _check_samples(draft: Draft) -> None:
    """A sample that cannot be read, unless a test that is given it says so already; and one of no source, if nothing is
    wrong that may be the reason."""
    given = {case.given.text for case in draft.cases}
    sources = {each.section.name for each in draft.sources}
    for name, sample in draft.samples.items():
        if (
            draft.complete
            and not draft.findings.errors
            and sample.source not in sources | draft.misread
            and name not in given
        ):
            hint = nearest(sample.source, sources)
            message = f"no source is called {sample.source}: a sample is <source>.<any>.json"
            problem = RuleError(f"samples/{name}", 1, 1, 1, "unused", message, hint, severity="warning")
            draft.findings.problems.append(problem)
    for name, reason in draft.broken_samples.items():
        if name not in given:
            hint = 'a sample is {"header": {…}, "body": …}' if reason.endswith("has no body") else ""
            draft.findings.problems.append(RuleError(f"samples/{name}", 1, 1, 1, "test-sample", reason, hint))


@collector_waits()
def check_files(
    files: Mapping[str, bytes], samples: Mapping[str, bytes], *, fault: Callable[[SecretUse], str] | None = None
) -> Checked:
    """Load, check, and run the tests of rules without errors. `fault` says why a secret cannot be used, None does not
    ask: no other one looks any up."""
    draft = draft_of(files, samples, reveal=str, base_url=lambda _name: None)
    run_checks(draft)
    if fault is not None:
        check_secrets(draft, fault)
    run = _run_tests(draft, files)
    problems = [*draft.findings.problems, *_failures(draft, run)]
    rules = sum(len(each.rule_keys) for each in draft.sources)
    return Checked(tuple(by_place(problems)), len(files), rules, run)


def _failures(draft: Draft, run: TestRun) -> Iterator[RuleError]:
    """What tests found; once of each sample that cannot be used, and of each source whose events have no type."""
    told: set[str] = set()
    for result in run.results:
        found = result.problem()
        if found is None:
            continue
        name, source = result.case.given.text, result.case.rule.id.partition("/")[0]
        if found.code == "test-sample" and name in draft.broken_samples:
            once = name
        elif source in draft.misread and result.seen is not None and result.seen.outcome == "unmatched":
            once = source
        else:
            yield found
            continue
        if once not in told:
            told.add(once)
            yield found


def _run_tests(draft: Draft, files: Mapping[str, bytes]) -> TestRun:
    """Run the tests of the rules without errors, if source and destinations have none either."""
    errors: dict[str, set[int]] = {}
    for problem in draft.findings.problems:
        if problem.severity == "error":
            errors.setdefault(problem.file, set()).add(problem.line)
    broken = _broken(draft.entry_keys, errors)
    usable = {entry.key.text for entry in draft.entries.values() if entry.key.line not in broken}
    sound: set[str] = set()
    for each in draft.sources:
        if each.section.source is not None:
            broken = _broken(each.rule_keys, errors)
            sound.update(rule.id for rule in each.rules if rule.named <= usable and rule.key.line not in broken)
    cases = [case for case in draft.cases if case.rule.id in sound]
    return run_cases(project_of(draft, files), cases)


def _broken(keys: Sequence[Scalar], errors: Mapping[str, Collection[int]]) -> set[int]:
    """The lines of those keys of one file that have an error between them and the next one. `errors` are the lines with
    errors of each file."""
    lines = sorted(key.line for key in keys)
    places = [bisect_right(lines, line) for line in errors.get(keys[0].file, ())] if keys else []
    return {lines[place - 1] for place in places if place}

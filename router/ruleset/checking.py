"""Every check in one run, the inline tests included."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from router.errors import RuleError
from router.ruleset.checks_paths import check_paths
from router.ruleset.checks_project import check_project, check_secrets
from router.ruleset.checks_providers import check_providers
from router.ruleset.loading import Draft, by_place, draft_of, project_of
from router.ruleset.testing import TestRun, run_cases
from router.ruleset.tree import Scalar
from router.settings import Secret


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
    check_paths(draft)
    check_providers(draft)
    check_project(draft)
    _check_samples(draft)


def _check_samples(draft: Draft) -> None:
    """A sample that cannot be read, unless a test that is given it says so already."""
    given = {case.given.text for case in draft.cases}
    for name, reason in draft.broken_samples.items():
        if name not in given:
            hint = 'a sample is {"header": {…}, "body": …}' if reason.endswith("has no body") else ""
            draft.findings.problems.append(RuleError(f"samples/{name}", 1, 1, 1, "test-sample", reason, hint))


def check_files(
    files: Mapping[str, bytes], samples: Mapping[str, bytes], *, is_set: Callable[[Secret], bool] | None = None
) -> Checked:
    """Load, check, and run the tests of rules without errors. No secret is resolved; `is_set` says whether one could
    be, None does not ask."""
    draft = draft_of(files, samples, reveal=str, base_url=lambda _name: None)
    run_checks(draft)
    if is_set is not None:
        check_secrets(draft, is_set)
    run = _run_tests(draft, files)
    problems = [*draft.findings.problems, *(found for result in run.results if (found := result.problem()))]
    rules = sum(len(each.rule_keys) for each in draft.sources)
    return Checked(tuple(by_place(problems)), len(files), rules, run)


def _run_tests(draft: Draft, files: Mapping[str, bytes]) -> TestRun:
    """Run the tests of the rules without errors, if source and destinations have none either."""
    usable = {entry.key.text for entry in draft.entries.values() if not _has_error(draft, entry.key, draft.entry_keys)}
    sound = {
        rule.id
        for each in draft.sources
        for rule in each.rules
        if each.section.source is not None and rule.named <= usable and not _has_error(draft, rule.key, each.rule_keys)
    }
    cases = [case for case in draft.cases if case.rule.id in sound]
    return run_cases(project_of(draft, files), cases)


def _has_error(draft: Draft, key: Scalar, keys: Sequence[Scalar]) -> bool:
    """Whether an error lies between a key and the next of `keys`."""
    after = min((other.line for other in keys if other.line > key.line), default=sys.maxsize)
    return any(
        problem.severity == "error" and problem.file == key.file and key.line <= problem.line < after
        for problem in draft.findings.problems
    )

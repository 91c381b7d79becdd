"""Rules: YAML files to a `Project` that turns events into changes. No I/O: names and bytes go in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from router.errors import RuleError
from router.ruleset.accounts import SecretUse
from router.ruleset.checking import Checked, check_files, run_checks
from router.ruleset.collector import collector_waits
from router.ruleset.destinations import Destination
from router.ruleset.explain import Trace, explain
from router.ruleset.loading import draft_of, project_of, raise_errors
from router.ruleset.project import Erasure, Note, Project, Routing, revision_of
from router.ruleset.rules import Planned
from router.ruleset.schema import json_schema
from router.ruleset.testing import TestResult, TestRun, run_cases
from router.ruleset.updating import Update, update
from router.settings import Secret

__all__ = [
    "Checked",
    "Destination",
    "Erasure",
    "Note",
    "Planned",
    "Project",
    "Routing",
    "SecretUse",
    "TestResult",
    "TestRun",
    "Trace",
    "Update",
    "check",
    "check_files",
    "explain",
    "json_schema",
    "load",
    "revision_of",
    "run_tests",
    "update",
]


def _no_url(_destination: str) -> None:
    return None


@collector_waits()
def load(
    files: Mapping[str, bytes],
    samples: Mapping[str, bytes],
    *,
    reveal: Callable[[Secret], str] = Secret.reveal,
    base_url: Callable[[str], str | None] = _no_url,
) -> Project:
    """The project in these files, name → bytes. Raises `RuleErrors` with every problem if there is an error.

    `reveal` is what providers resolve secrets with. `base_url(destination)` goes before the destination's own.
    """
    draft = draft_of(files, samples, reveal=reveal, base_url=base_url)
    run_checks(draft)
    raise_errors(draft.findings.problems)
    return project_of(draft, files)


def check(
    files: Mapping[str, bytes], samples: Mapping[str, bytes], *, fault: Callable[[SecretUse], str] | None
) -> list[RuleError]:
    """Every problem, by place: errors, warnings and failures of tests. `fault` says why a secret cannot be used; None
    does not ask."""
    return list(check_files(files, samples, fault=fault).problems)


@collector_waits()
def run_tests(files: Mapping[str, bytes], samples: Mapping[str, bytes], select: Collection[str] = ()) -> TestRun:
    """Run the inline tests of these rules (`stripe/customer`) or sources, or all, and say what they do not reach. No
    secret is resolved.

    Raises `RuleErrors` if the project has errors other than those of its tests.
    """
    draft = draft_of(files, samples, reveal=str, base_url=_no_url)
    run_checks(draft)
    raise_errors(draft.findings.problems)
    faults = tuple(problem for problem in draft.findings.problems if problem.code.startswith("test-"))
    return replace(run_cases(project_of(draft, files), draft.cases, select, reach=True), faults=faults)

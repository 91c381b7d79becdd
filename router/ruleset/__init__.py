"""Rules: YAML files to a `Project` that turns events into changes. No I/O: names and bytes go in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from router.errors import RuleError
from router.ruleset.accounts import SecretUse
from router.ruleset.destinations import Destination
from router.ruleset.loading import by_place, draft_of, project_of, raise_errors
from router.ruleset.project import Erasure, Note, Project, Routing
from router.ruleset.rules import Planned
from router.settings import Secret

__all__ = [
    "Destination",
    "Erasure",
    "Note",
    "Planned",
    "Project",
    "Routing",
    "SecretUse",
    "load",
]


def _no_url(_destination: str) -> None:
    return None


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
    raise_errors(draft.findings.problems)
    return project_of(draft, files)

"""A made-up environment for the sandbox: an obviously fake value for each secret of a project."""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from router.errors import ConfigError
from router.ruleset import Project
from router.sandbox import SandboxDestination, fake_credentials
from router.settings import Secret


def fake_environment(project: Project) -> dict[str, str]:
    """Variable → fake value, in the form that each source's scheme and each provider's API demands.

    Raises `ConfigError` for a secret in a file: only variables can be set.
    """
    made: dict[str, str] = {}
    for use in project.secrets():
        kind, _, name = use.secret.reference.partition(".")
        if kind != "$env":
            raise ConfigError(f"{use.secret} of {use.owner} is a file: the sandbox can only set variables")
        owner, _, owner_name = use.owner.partition(" ")
        vendor = project.destinations[owner_name].provider.name if owner == "destination" else owner_name
        made[name] = fake_credentials(vendor, name)
    for source_name, source in project.sources.items():
        own = [
            use.secret.reference.partition(".")[2] for use in project.secrets() if use.owner == f"source {source_name}"
        ]
        for form in _FORMS:
            with environment({**made, **{name: form(made[name]) for name in own}}):
                if not source.secret_problems():
                    made |= {name: form(made[name]) for name in own}
                    break
    return made


#: forms in which senders hand out their secrets
_FORMS = (
    str,
    lambda text: "whsec_" + base64.b64encode(text.encode()).decode(),
    lambda text: text.encode().hex(),
    lambda text: base64.b64encode(text.encode()).decode(),
)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with these values, for as long as it lasts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def sandbox_destinations(project: Project) -> dict[str, SandboxDestination]:
    """What the sandbox serves for each destination. The secrets are resolved now."""
    return {
        name: SandboxDestination(name, destination.provider.name, revealed(destination.provider.account))
        for name, destination in project.destinations.items()
    }


def revealed(value: Any) -> Any:
    """Account settings with their secrets in clear."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: revealed(item) for key, item in value.items() if not callable(item)}
    return value


def write_environment(path: Path, values: Mapping[str, str]) -> None:
    """A file of `export NAME=value` lines to source, readable by its owner only."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(values.items())]
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.writelines(lines)

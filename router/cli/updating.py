"""`test --update`: show what would be written into the rule files, ask, and write each file whole or not at all."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from router.cli.context import colour, stop
from router.errors import ConfigError
from router.ruleset import TestRun, update

_SIGNS = {"-": "✕", "+": "✓", "@": "◔"}


def update_tests(directory: Path, files: Mapping[str, bytes], run: TestRun, *, prefix: str, yes: bool) -> None:
    """Bring failing tests up to date, if the operator agrees. Ends the command if nothing may be written."""
    found = update(files, run)
    for name, data in found.files.items():
        for line in _diff(prefix + name, files[name], data):
            click.echo(colour(line, _SIGNS.get(line[:1], "")))
    for result, why in found.refused:
        key = result.case.key
        click.echo(f"stays {prefix}{key.file}:{key.line} {result.case.rule.id}: {result.case.title}\n     {why}")
    if not found.files:
        return
    if not yes:
        if not sys.stdin.isatty():
            stop("nothing is written without --yes")
        if not click.confirm("Continue?", prompt_suffix=" "):
            stop("nothing is written", 1)
    for name, data in found.files.items():
        _replace(directory / name, files[name], data)
    count = found.tests
    click.echo(f"{count} test{'' if count == 1 else 's'} brought up to date")


def _diff(name: str, old: bytes, new: bytes) -> Iterator[str]:
    before, after = (data.decode("utf-8-sig").splitlines() for data in (old, new))
    return difflib.unified_diff(before, after, name, name, n=2, lineterm="")


def _replace(path: Path, old: bytes, new: bytes) -> None:
    """Write a file whole or not at all, unless somebody else has written it meanwhile. Raises `ConfigError`."""
    path = path.resolve()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            try:
                os.fchmod(file.fileno(), path.stat().st_mode & 0o7777)
                file.write(new)
                file.flush()
                os.fsync(file.fileno())
                if path.read_bytes() != old:
                    raise ConfigError(f"{path} was changed meanwhile: it stays as it is")
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error

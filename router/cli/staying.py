"""`demo --serve`: a router that stays up, and says what becomes of its rules while somebody writes them."""

from __future__ import annotations

import logging
import shlex
import signal
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from router.cli.context import prefix_of, printable_lines
from router.cli.fakes import write_environment
from router.cli.overriding import events_of
from router.cli.samples import Choice, choices
from router.cli.stack import Stack
from router.cli.webhooks import Overrides, compose
from router.dispatch import rules as running
from router.dispatch.rules import LOOK_S, Rules
from router.errors import RouterError, SecretError
from router.model import EventState
from router.ruleset import Project
from router.settings import Settings


def stay(stack: Stack, directory: Path) -> int:
    """Say how to send a webhook, and wait for Ctrl-C. The exit code."""
    path = directory / "environment"
    write_environment(path, stack.environment)
    click.echo(f"webhooks   {stack.settings.url}/webhooks/<source>: {', '.join(stack.project.sources)}")
    click.echo(f"health     {stack.settings.url}/readyz")
    click.echo(f"send one   {how_to_send(stack.project, stack.settings.rules, path)}")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    watched = WatchedRules(stack.settings)
    click.echo("Ctrl-C stops.")
    while not ended.wait(LOOK_S):
        if stack.process is None or stack.process.poll() is not None:
            click.echo(f"the router ended by itself, see {stack.log}", err=True)
            return 1
        watched.look()
    click.echo(f"\nstopped    exit {stack.stop()}")
    return 0


# --- what to send -----------------------------------------------------------------------------------------------------


def how_to_send(project: Project, rules: Path, environment: Path) -> str:
    """The line to copy that sends a sample of these rules, or where a sample is missing."""
    sample = first_sample(project, rules)
    if sample is None:
        source = next(iter(project.sources), "SOURCE")
        return (
            f"needs a sample: record a request as {prefix_of(rules)}samples/{source}.<type>.json (docs/rules.md, Tests)"
        )
    line = shlex.join([sys.executable, "-m", "router", "send", sample.name, "--wait"])
    return f"copy this line into another terminal:\n\n  . {shlex.quote(str(environment))} && {line}\n"


def first_sample(project: Project, rules: Path) -> Choice | None:
    """The sample that shows most: one that goes somewhere, rather of the project's own. None: there is none to send."""
    known = [choice for choice in choices(project, rules) if _can_be_sent(project, choice)]
    return min(known, key=lambda choice: (not _is_routed(project, choice), choice.shipped), default=None)


def _can_be_sent(project: Project, choice: Choice) -> bool:
    try:
        compose(project, choice.sample, Overrides(), datetime.now(UTC))
    except RouterError:
        return False
    return True


def _is_routed(project: Project, choice: Choice) -> bool:
    events = events_of(project, choice.sample)
    return any(project.route_value(one.event, one.value).state is EventState.ROUTED for one in events)


# --- rules that change ------------------------------------------------------------------------------------------------


class WatchedRules:
    """The rules on the disk, looked at as web and worker do, for those who sit at the terminal."""

    def __init__(self, settings: Settings) -> None:
        """`settings` are those that the router runs with."""
        logging.getLogger(running.__name__).addHandler(logging.NullHandler())  # it is told in other words
        self._rules = Rules(replace(settings, rules=Path(prefix_of(settings.rules))), role="demo", last=lambda: None)
        self._rules.start()
        self._told = ""

    def look(self) -> None:
        """Tell of rules that are refused, and of those that run now. To be called every `LOOK_S` seconds."""
        changed = self._rules.look()
        told, self._told = self._told, self._rules.refusal
        revision = self._rules.project.revision
        if self._told and self._told != told:
            click.echo(f"rules      refused, {revision} runs on:\n{printable_lines(self._told)}", err=True)
            if isinstance(self._rules.refused, SecretError):
                click.echo("a secret that is new gets its made-up value when this is started again", err=True)
        elif changed or (told and not self._told):
            click.echo(f"rules      {revision} runs", err=True)

"""The commands, together."""

from __future__ import annotations

import click

from router import __version__
from router.cli.demo import demo
from router.cli.doctor import doctor
from router.cli.lists import deliveries, events
from router.cli.profiles import profile, verify
from router.cli.rules import check, explain, schema, test
from router.cli.sandboxing import sandbox
from router.cli.sending import send
from router.cli.serving import migrate, serve, work
from router.cli.sources import sources


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="router")
def main() -> None:
    """Brings each provider's copy of a person to the state that webhooks describe."""


COMMANDS = (
    serve,
    work,
    migrate,
    check,
    test,
    explain,
    schema,
    send,
    sources,
    events,
    deliveries,
    profile,
    verify,
    doctor,
    sandbox,
    demo,
)
for command in COMMANDS:
    main.add_command(command)

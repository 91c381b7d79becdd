"""The command line: `python -m router COMMAND`. One module per noun."""

from __future__ import annotations

import click

from router import __version__
from router.cli.demo import demo
from router.cli.serving import migrate, serve, work


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="router")
def main() -> None:
    """Brings each provider's copy of a person to the state that webhooks describe."""


for command in (serve, work, migrate, demo):
    main.add_command(command)

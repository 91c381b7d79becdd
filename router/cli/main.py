"""The commands, together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Final

import click

from router import __version__

#: command → its module
_PLACES: Final = {
    "serve": "serving",
    "work": "serving",
    "migrate": "serving",
    "check": "rules",
    "test": "rules",
    "explain": "rules",
    "schema": "rules",
    "send": "sending",
    "sources": "sources",
    "events": "lists",
    "deliveries": "lists",
    "profile": "profiles",
    "verify": "profiles",
    "doctor": "doctor",
    "sandbox": "sandboxing",
    "demo": "demo",
}


class _Commands(Mapping[str, click.Command]):
    """The commands by name. Each is loaded when it is asked for, so that `check` does not wait for the others."""

    def __getitem__(self, name: str) -> click.Command:
        command = getattr(import_module(f"router.cli.{_PLACES[name]}"), name)
        assert isinstance(command, click.Command)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


@click.group(commands=_Commands(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="router")
def main() -> None:
    """Brings each provider's copy of a person to the state that webhooks describe."""

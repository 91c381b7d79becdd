"""`sandbox`: the provider APIs of the configured destinations, locally."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import threading
import urllib.parse
from pathlib import Path

import click

from router.cli.context import guarded, json_line, read_settings, stop
from router.cli.fakes import environment, fake_environment, sandbox_destinations, write_environment
from router.dispatch.rules import load_project
from router.errors import ConfigError, TransportError
from router.http import Door
from router.model import Call
from router.nearest import suggestion
from router.ruleset.text import printable
from router.sandbox import Sandbox, parse_fault


@click.command()
@click.argument("destinations", nargs=-1)
@click.option("--port", type=int, default=8100, show_default=True, help="0 takes a free one.")
@click.option(
    "--fault", "faults", multiple=True, metavar="channel:429:30s", help="What goes wrong. Repeat for several."
)
@click.option(
    "--env", "env_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the variables to a file."
)
@click.option("--held", metavar="PROFILE", help="Ask a running sandbox what it holds of a person, and end.")
@guarded
def sandbox(
    destinations: tuple[str, ...], port: int, faults: tuple[str, ...], env_file: Path | None, held: str | None
) -> None:
    """Serve local versions of the providers' APIs, with fake credentials. For tests and trying things out."""
    settings = read_settings()
    project = load_project(settings, reveal=str)
    names = list(destinations or project.destinations)
    unknown = [name for name in names if name not in project.destinations]
    if unknown:
        stop(f"no destination {unknown[0]!r}; {suggestion(unknown[0], project.destinations)}")
    if held is not None:
        sys.exit(_ask(settings.sandbox or f"http://127.0.0.1:{port}", names, held))
    values = fake_environment(project)
    with environment(values):
        served = {name: api for name, api in sandbox_destinations(project).items() if name in names}
    with Sandbox(served, port=port, keep=10_000) as running:
        for text in faults:
            running.fault(*parse_fault(text))
        announce({"ROUTER_SANDBOX": running.url, **values}, env_file)
        for name in names:
            click.echo(f"{running.url}/{name}   {served[name].kind}", err=True)
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        ended.wait()


def announce(values: dict[str, str], env_file: Path | None) -> None:
    """Write the variables to a file and say how to set them, or print them."""
    if env_file is not None:
        write_environment(env_file, values)
        click.echo(f"variables in {env_file}: . {shlex.quote(str(env_file.resolve()))}", err=True)
        return
    for name, value in values.items():
        click.echo(f"export {name}={value}")


def _ask(url: str, names: list[str], profile: str) -> int:
    """What a running sandbox holds of a person, as JSON lines. 1: nothing anywhere."""
    door, found = Door(dev=True), 0
    try:
        for name in names:
            path = f"/_sandbox/held/{name}/{urllib.parse.quote(profile, safe='')}"
            reply = door.send(Call("GET", url + path), session="sandbox", timeout_s=5)
            if reply.status == 200:
                found += 1
                json_line({"destination": name, "held": json.loads(reply.body)})
    except TransportError as error:
        raise ConfigError(f"no sandbox answers at {url}: {error}") from error
    finally:
        door.close()
    if not found:
        click.echo(f"no provider holds anything of {printable(profile)}: asked {', '.join(names)} at {url}", err=True)
    return 0 if found else 1

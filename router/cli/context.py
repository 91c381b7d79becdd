"""What commands share: opening the store and the rules, printing, and ending with the right code."""

from __future__ import annotations

import functools
import getpass
import json
import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from sqlalchemy import make_url
from sqlalchemy.util import immutabledict

from router import settings as environment
from router.errors import ConfigError, RouterError, RuleErrors, StoreError
from router.logs import JsonFormatter
from router.model import from_us
from router.ruleset.text import counted, printable
from router.settings import DEFAULT_URL, Settings
from router.store import ids, listing, revisions, sqlite
from router.store.listing import ListedDelivery, Stopped
from router.store.revisions import Kept
from router.store.store import Store, open_store

F = TypeVar("F", bound=Callable[..., Any])

#: glyph and word of each state, the same everywhere
GLYPHS = {
    "pending": "◔",
    "delivered": "✓",
    "unchanged": "=",
    "superseded": "»",
    "rejected": "✕",
    "cancelled": "–",
    "erased": "∅",
    "received": "◔",
    "routed": "✓",
    "skipped": "–",
    "failed": "✕",
}
_COLOURS = {"✓": "green", "✕": "red", "▲": "yellow", "◔": "cyan"}


def read_settings() -> Settings:
    """The settings, or exit 2 with the variable's name."""
    try:
        return environment.read_settings()
    except ConfigError as error:
        stop(str(error))


def stop(message: str, code: int = 2) -> NoReturn:
    """End with an error on stderr."""
    click.echo(f"error: {printable_lines(message)}", err=True)
    sys.exit(code)


def printable_lines(text: str) -> str:
    """A text of several lines that no terminal obeys."""
    return "\n".join(map(printable, text.split("\n")))


def prefix_of(directory: Path) -> str:
    """What goes before a file's name in messages: the directory, relative to the current one if it is inside of it or
    was given so."""
    path = os.path.relpath(directory)
    return f"{directory if directory.is_absolute() and path.startswith(os.pardir) else path}/"


def guarded(command: F) -> F:
    """A command whose errors are one line on stderr: exit 2, no answer; 1 is the command's own business."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except RuleErrors as error:
            errors = [problem for problem in error.problems if problem.severity == "error"]
            prefix = "" if error.directory is None else prefix_of(error.directory)
            click.echo("\n".join(printable(f"{prefix}{each}") for each in errors), err=True)
            stop(f"the rules are refused: {counted(len(errors), 'error')}; see `router check`")
        except StoreError as error:
            stop(f"the store cannot be used: {error}; see `router doctor`")
        except RouterError as error:
            stop(str(error))

    return run  # type: ignore[return-value]  # the wrapper has the command's own signature


def router_key(settings: Settings) -> str:
    """The key of look-up hashes: `ROUTER_KEY`, or for an embedded store one kept beside the database (0600)."""
    if settings.key:
        if len(settings.key) < 32:
            raise ConfigError("ROUTER_KEY is shorter than 32 characters")
        return settings.key
    if not settings.database_url.startswith("sqlite:"):
        raise ConfigError("ROUTER_KEY is not set: several machines need the same one, 32 characters or more")
    path = Path(settings.database_url.partition(":///")[2] + ".key")
    try:
        if not path.exists():
            _keep_new_key(path)
        return path.read_text("ascii").strip()
    except OSError as error:
        raise ConfigError(f"no key can be kept at {path}: {error.strerror}; set ROUTER_KEY") from error


def _keep_new_key(path: Path) -> None:
    """Write a new key, whole or not at all, unless another process was first."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32) + "\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def has_schema(settings: Settings) -> bool:
    """Whether the store is there and its tables are this version's. Raises `StoreError`."""
    return not schema_lack(settings)


def require_schema(settings: Settings) -> None:
    """Raise `ConfigError` unless the store has this version's tables."""
    if lack := schema_lack(settings):
        raise ConfigError(f"{lack}: {schema_mend(settings)}")


def schema_mend(settings: Settings) -> str:
    """What to do about a store that is not there, or has not this version's tables."""
    if settings.database_url != DEFAULT_URL:
        return "run `router migrate` (`serve` does for SQLite)"
    return (
        "where a router runs set its variables in this terminal too, as by sourcing the file that `make run` or "
        "`demo --serve` printed; for a new store run `router migrate` (`serve` does for SQLite)"
    )


def schema_lack(settings: Settings) -> str:
    """What of the store is missing, or of another version; empty if nothing is. Raises `StoreError`."""
    url, name = settings.database_url, store_name(settings)
    if url.startswith("sqlite:") and not sqlite.path_of(url).exists():
        place = "" if sqlite.path_of(url).is_absolute() else ", relative to the current directory"
        return f"there is no store {name} (from DATABASE_URL, default {DEFAULT_URL}{place})"
    from router.store import migrations

    if migrations.is_current(url):
        return ""
    if migrations.revision(url) is None:
        return f"the store {name} has no tables (it is from DATABASE_URL)"
    return f"the tables of the store {name} are another version's"


def store_name(settings: Settings) -> str:
    """The store's URL without credentials; that of a file from the root."""
    if settings.database_url.startswith("sqlite:"):
        return f"sqlite:///{sqlite.path_of(settings.database_url).absolute()}"
    return (
        make_url(settings.database_url)._replace(username=None, password=None, query=immutabledict()).render_as_string()
    )


def open_current_store(settings: Settings, role: str = "cli") -> Store:
    """The store, if its schema is the code's. Raises `ConfigError`, `StoreError`."""
    require_schema(settings)
    return open_store(settings.database_url, role=role)


def last_rules(settings: Settings) -> Kept | None:
    """The rule files that were loaded last, by whichever process; None if the store has none. Raises `StoreError`."""
    if not has_schema(settings):
        return None
    with closing(open_store(settings.database_url, role="cli")) as store, store.read() as tx:
        return revisions.newest(tx)


def id_of(prefix: str, text: str) -> int:
    """The number of an id as printed. Raises `ConfigError`."""
    try:
        return ids.number(prefix, text)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def number_of(prefix: str, noun: str, text: str) -> int:
    """The same of something that is asked for: what only looks like an id of ours is nobody's, exit 1."""
    try:
        return ids.number(prefix, text)
    except ValueError as error:
        stop(f"no such {noun}: {error}", 1)


def event_number(store: Store, text: str) -> int | None:
    """The number of the event with this id, else of the one that has it from its sender; None if there is none.

    What only looks like an id of ours ends with exit 1. Raises `ConfigError` if several senders gave it.
    """
    is_ours = text.startswith(f"{ids.EVENT}_")
    if is_ours:
        with suppress(ValueError):
            return ids.number(ids.EVENT, text)
    with store.read() as tx:
        found = listing.events_with_external_id(tx, text, 2)
    if len(found) > 1:
        raise ConfigError(f"several senders gave an event the id {text}: see router events external:{text}")
    if is_ours and not found:
        return number_of(ids.EVENT, "event", text)
    return found[0] if found else None


def actor() -> str:
    """Who is acting, for the audit."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"


def setup_logging() -> None:
    """Warnings and worse to stderr, as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


# --- printing -------------------------------------------------------------------------------------------------------


def state(word: str) -> str:
    """Glyph and word, coloured on a terminal."""
    glyph = GLYPHS.get(word, "▲")
    return colour(f"{glyph} {word}", glyph)


def colour(text: str, glyph: str) -> str:
    if "NO_COLOR" in os.environ or not sys.stdout.isatty() or glyph not in _COLOURS:
        return text
    return click.style(text, fg=_COLOURS[glyph])


def local_time(us: int | None, *, utc: bool = False) -> str:
    """`HH:MM:SS` today, else with the date."""
    if us is None:
        return ""
    moment = from_us(us) if utc else from_us(us).astimezone()
    today = datetime.now(UTC if utc else None).astimezone(UTC if utc else None).date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M:%S")


def waiting(destination: str, due_at: int | None, stopped: Mapping[str, Stopped], *, utc: bool = False) -> str:
    """Why something at a destination waits, and until when; empty if nothing of it waits."""
    found = stopped.get(destination)
    again = max(found.resume_at if found else 0, due_at or 0)
    tried = f"next try {local_time(again, utc=utc)}" if again else ""
    if found is None:
        return tried
    says = "it waits as it was told" if found.state == "running" else f"{destination} is {found.state}"
    return ", ".join(part for part in (printable(f"{says}: {found.reason}".rstrip(": ")), tried) if part)


def have_several_rules(deliveries: Iterable[ListedDelivery]) -> bool:
    """Whether the deliveries of an event are told apart by their rules."""
    return len({delivery.rule for delivery in deliveries}) > 1


def json_line(value: Any) -> None:
    """One object on stdout."""
    click.echo(printable(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as their content. Colour codes do not count."""
    rows = [list(row) for row in rows]
    widths = [max(len(click.unstyle(row[n])) for row in [list(header), *rows]) for n in range(len(header))]
    for row in [list(header), *rows]:
        cells = [cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row, widths, strict=True)]
        click.echo("   ".join(cells).rstrip())

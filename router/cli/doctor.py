"""`doctor`: is this installation sound. One line a finding: what, verdict, the figure behind it, what to do."""

from __future__ import annotations

import shutil
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from sqlalchemy import Connection

from router.cli.context import (
    colour,
    guarded,
    json_line,
    last_rules,
    local_time,
    read_settings,
    schema_lack,
)
from router.dispatch.rules import load_project
from router.errors import ConfigError, RuleErrors, StoreError
from router.ruleset import Project, check_files
from router.ruleset.project import CANNOT_ERASE
from router.ruleset.text import counted, printable
from router.settings import Secret, Settings, read_rules
from router.store import audit, listing, sqlite
from router.store.revisions import Kept
from router.store.store import open_store


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    area: str
    #: `✓`, `▲` or `✕`
    glyph: str
    says: str
    #: what to do
    mend: str = ""


@click.command()
@click.option("--strict", is_flag=True, help="A ▲ counts as ✕.")
@click.option("--json", "as_json", is_flag=True)
@guarded
def doctor(strict: bool, as_json: bool) -> None:
    """Look at the store, the schema, the rules and the secrets. Exit 1: something is wrong."""
    settings = read_settings()
    findings = [*_store(settings), *_rules(settings)]
    for finding in findings:
        if as_json:
            verdict = {"✓": "ok", "▲": "warning", "✕": "error"}[finding.glyph]
            json_line({"area": finding.area, "verdict": verdict, "says": finding.says, "mend": finding.mend})
        else:
            mend = f"   {finding.mend}" if finding.mend else ""
            click.echo(f"{finding.area:<9} {colour(finding.glyph, finding.glyph)} {printable(finding.says)}{mend}")
    bad = sum(finding.glyph == "✕" for finding in findings)
    odd = sum(finding.glyph == "▲" for finding in findings)
    if bad or odd:
        click.echo(f"{bad} ✕  {odd} ▲", err=as_json)
    sys.exit(1 if bad or (strict and odd) else 0)


# --- store ------------------------------------------------------------------------------------------------------------


def _store(settings: Settings) -> Iterator[Finding]:
    try:
        if lack := schema_lack(settings):
            yield Finding("schema", "✕", lack, "run: router migrate")
            return
        yield Finding("schema", "✓", "equal to the code")
        if settings.database_url.startswith("sqlite:"):
            yield from _sqlite(settings)
        else:
            yield from _postgres(settings)
        yield from _contents(settings)
    except StoreError as error:
        yield Finding("store", "✕", str(error), "is the database running, and DATABASE_URL right?")


def _sqlite(settings: Settings) -> Iterator[Finding]:
    path = sqlite.path_of(settings.database_url)
    version = ".".join(map(str, sqlite.version()))
    if sqlite.wal_reset_safe(sqlite.version()):
        yield Finding("store", "✓", f"SQLite {version}, WAL, synchronous FULL, {_size(path)}")
    else:
        yield Finding("store", "▲", f"SQLite {version} can lose commits with several processes", "install pysqlite3")
    free = shutil.disk_usage(path.parent).free
    yield Finding("store", "✓" if free > 2**30 else "▲", f"{free / 2**30:.1f} GB free")
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        yield Finding("store", "▲", f"{path} can be read by others", f"chmod 600 {path}")


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:.1f} MB"


#: setting → what it must be for a commit to survive a power cut
_DURABLE = {
    "synchronous_commit": ("on", "remote_apply", "remote_write", "local"),
    "fsync": ("on",),
    "full_page_writes": ("on",),
}


def _postgres(settings: Settings) -> Iterator[Finding]:
    store = open_store(settings.database_url, role="cli")
    try:
        with store.read() as tx:
            version = tx.exec_driver_sql("SHOW server_version").scalar_one()
            yield Finding("store", "✓", f"PostgreSQL {version}")
            for name, allowed in _DURABLE.items():
                value = tx.exec_driver_sql(f"SHOW {name}").scalar_one()
                if value not in allowed:
                    yield Finding("store", "✕", f"{name} is {value}", "answered webhooks can be lost: set it on")
            skew_ms = (store.now_us(tx) - time.time_ns() // 1000) / 1000
            good = abs(skew_ms) < 2000
            yield Finding(
                "store", "✓" if good else "▲", f"clock differs by {skew_ms:.0f} ms", "" if good else "use NTP"
            )
    finally:
        store.close()


def _contents(settings: Settings) -> Iterator[Finding]:
    store = open_store(settings.database_url, role="cli")
    try:
        started = time.monotonic()
        for _ in range(20):
            store.write(_touch, timeout_s=10)
        rate = 20 / (time.monotonic() - started)
        yield Finding("store", "✓" if rate > 50 else "▲", f"{rate:,.0f} commits/s, one after the other")
        with store.read() as tx:
            broken = audit.first_broken(tx)
            stopped = listing.stopped(tx, store.now_us(tx))
        yield (
            Finding("audit", "✓", "chain unbroken")
            if broken is None
            else Finding("audit", "✕", f"chain broken at row {broken}", "somebody changed the audit")
        )
        for name, found in stopped.items():
            again = f"tried again {local_time(found.resume_at)}" if found.resume_at else ""
            yield Finding("sending", "▲", f"{name} is {found.state}: {found.reason}".rstrip(": "), again)
    finally:
        store.close()


def _touch(tx: Connection) -> None:
    """A write that changes nothing but must be made durable."""
    tx.exec_driver_sql("UPDATE destinations SET reason = reason WHERE name = (SELECT min(name) FROM destinations)")


# --- rules ------------------------------------------------------------------------------------------------------------


def _rules(settings: Settings) -> Iterator[Finding]:
    try:
        files, samples = read_rules(settings.rules)
        problems = check_files(files, samples, fault=None).problems
        project = load_project(settings, reveal=str)
    except RuleErrors as error:
        errors = sum(problem.severity == "error" for problem in error.problems)
        yield Finding("rules", "✕", f"{counted(errors, 'error')}{_instead(settings)}", "run: router check")
        return
    except ConfigError as error:
        yield Finding("rules", "✕", f"{error}{_instead(settings)}")
        return
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    says = f"{project.revision[:7]}: {counted(len(files), 'file')}, {counted(len(project.rules), 'rule')}"
    if errors or warnings:
        yield Finding(
            "rules",
            "✕" if errors else "▲",
            f"{says}, {counted(errors, 'error')}, {counted(warnings, 'warning')}",
            "run: router check",
        )
    else:
        yield Finding("rules", "✓", says)
    kept = _last(settings)
    if kept is not None and kept.revision != project.revision:
        says = f"{kept.revision[:7]} was loaded last, {local_time(kept.loaded_at)}, not what is on the disk"
        yield Finding("rules", "▲", says, "does the router run, with this directory?")
    if erasing := [rule.id for rule in project.rules if rule.erase]:
        yield Finding("rules", "▲", f"{', '.join(erasing)}: {CANNOT_ERASE}", "see: router events state:failed")
    yield from _secrets(project)


def _last(settings: Settings) -> Kept | None:
    """The rules that were loaded last; what is wrong with the store is another finding."""
    try:
        return last_rules(settings)
    except StoreError:
        return None


def _instead(settings: Settings) -> str:
    """What runs while the rules on the disk are refused."""
    kept = _last(settings)
    return "" if kept is None else f"; {kept.revision[:7]} runs, loaded {local_time(kept.loaded_at)}"


def _secrets(project: Project) -> Iterator[Finding]:
    uses = {use.secret.reference: use for use in project.secrets()}
    missing = []
    for reference, use in uses.items():
        if fault := use.fault():
            missing.append(Finding("secrets", "✕", fault, f"{use.owner} needs it"))
        if _others_may_read(use.secret):
            missing.append(Finding("secrets", "▲", f"{reference} can be read by others", "chmod 600"))
    yield from missing or [Finding("secrets", "✓", f"all {len(uses)} found")]


def _others_may_read(secret: Secret) -> bool:
    kind, _, name = secret.reference.partition(".")
    return kind == "$file" and Path(name).exists() and bool(Path(name).stat().st_mode & stat.S_IROTH)

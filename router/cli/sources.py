"""`sources`: who may send, how each is believed, and whether they do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import click

from router.cli.context import (
    colour,
    guarded,
    json_line,
    local_time,
    read_settings,
    schema_lack,
    schema_mend,
    state,
    stop,
    table,
)
from router.cli.overriding import identity_text
from router.dispatch.rules import load_project
from router.model import from_us, iso
from router.nearest import suggestion
from router.ruleset import Project
from router.ruleset.identities import PARTS
from router.ruleset.source_file import SourceSection
from router.ruleset.text import printable
from router.ruleset.tree import plain
from router.settings import Settings
from router.sources import Source
from router.sources.handshakes import as_handshakes
from router.store import arrivals, ids, refusals
from router.store.base import Store
from router.store.listing import ListedEvent
from router.store.refusals import Refusal
from router.store.store import open_store

_DAY_US = timedelta(days=1) // timedelta(microseconds=1)
#: newest events whose types are counted, and newest refusals that are shown, of one source
_TYPES, _REFUSALS = 1_000, 10
#: in place of a scheme
_REMOVED = "removed: answered 410"


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the store knows of a source; of the last 24 hours where it is a number."""

    last: ListedEvent | None
    events: int
    #: reason → number
    refused: Mapping[str, int]
    #: of the newest events: type → number
    types: Mapping[str, int]
    refusals: tuple[Refusal, ...]


@click.command()
@click.argument("name", required=False)
@click.option("--utc", is_flag=True, help="Times in UTC.")
@click.option("--json", "as_json", is_flag=True, help="One object a source.")
@guarded
def sources(name: str | None, utc: bool, as_json: bool) -> None:
    """Sources with their URL, scheme, last event and refusals; or one in full. Exit 1: there is no such source."""
    settings = read_settings()
    project = load_project(settings, reveal=str)
    if name is not None and name not in project.sections:
        stop(f"no source {name!r}; {suggestion(name, project.sections)}", 1)
    wanted = [name] if name is not None else list(project.sections)
    traffic = _traffic(settings, wanted, full=name is not None)
    rows = [_as_json(settings, project, one, traffic.get(one), full=name is not None) for one in wanted]
    if as_json:
        for row in rows:
            json_line(row)
    elif name is None:
        _print_table(rows, traffic, utc=utc)
    else:
        _print_one(rows[0], traffic.get(name), utc=utc)


def _traffic(settings: Settings, names: list[str], *, full: bool) -> dict[str, Traffic]:
    """What the store says of these sources; nothing, and a notice, where there is none yet."""
    if lack := schema_lack(settings):
        click.echo(
            f"notice: {printable(f'{lack}: {schema_mend(settings)}')}; no events and refusals are shown", err=True
        )
        return {}
    with closing(open_store(settings.database_url, role="cli")) as store:
        return {name: _traffic_of(store, name, full=full) for name in names}


def _traffic_of(store: Store, name: str, *, full: bool) -> Traffic:
    with store.read() as tx:
        since = store.now_us(tx) - _DAY_US
        return Traffic(
            arrivals.last(tx, name),
            arrivals.count(tx, name, since),
            refusals.counts(tx, name, since),
            arrivals.types(tx, name, _TYPES) if full else {},
            tuple(refusals.newest(tx, name, _REFUSALS)) if full else (),
        )


# --- as data ----------------------------------------------------------------------------------------------------------


def _as_json(settings: Settings, project: Project, name: str, traffic: Traffic | None, *, full: bool) -> dict[str, Any]:
    section, source = project.sections[name], project.sources.get(name)
    state, problems = _secret_state(section, source)
    row: dict[str, Any] = {
        "name": name,
        "url": f"{settings.url}/webhooks/{name}",
        "preset": section.preset_name or None,
        "removed": source is None,
        "scheme": source.proof if source else None,
        "handshakes": [entry["name"] for entry in as_handshakes(_written(section, "handshake"))],
        "secret": state,
        "secret_problems": problems,
        "identity": {part: identity_text(section, part) or None for part in PARTS},
        "envelope": _envelope(section),
        "ack": {"status": source.ack.status, "body": source.ack.body} if source else None,
        "keep": sorted(f"${kept}" for kept in section.kept),
        "rules": {rule.id: list(rule.when) for rule in project.rules if rule.id.startswith(f"{name}/")},
        "last_event": _event(traffic.last) if traffic and traffic.last else None,
        "events_24h": traffic.events if traffic else None,
        "refusals_24h": dict(traffic.refused) if traffic else None,
    }
    if full:
        row["types"] = dict(traffic.types) if traffic else None
        row["refusals"] = [_refusal(each) for each in traffic.refusals] if traffic else None
    return row


def _secret_state(section: SourceSection, source: Source | None) -> tuple[str, list[str]]:
    """`set`, `missing`, `too short`, `unusable` or `none`, and why secrets cannot be used; never with their text."""
    if not section.secrets:
        return "none", []
    faults = [fault for use in section.secrets if (fault := use.fault())]
    if faults:
        return "too short" if all(use.secret.is_set() for use in section.secrets) else "missing", faults
    unusable = source.secret_problems() if source else []
    return "unusable" if unusable else "set", unusable


def _written(section: SourceSection, key: str) -> Any:
    """What the rule file says under a key, else the preset."""
    node = section.nodes.get(key)
    return section.preset.get(key) if node is None else plain(node)


def _envelope(section: SourceSection) -> dict[str, Any]:
    given = [section.preset.get("envelope") or {}, _written(section, "envelope") or {}]
    texts: dict[str, Any] = {"format": "json"}
    for one in given:
        texts |= {"format": one} if isinstance(one, str) else one
    return texts


def _event(event: ListedEvent) -> dict[str, Any]:
    return {
        "id": ids.text(ids.EVENT, event.id),
        "type": event.type,
        "received_at": iso(from_us(event.received_at)),
        "state": event.state,
    }


def _refusal(refusal: Refusal) -> dict[str, Any]:
    known = refusal._asdict()
    return {**known, "id": ids.text(ids.REFUSAL, refusal.id), "refused_at": iso(from_us(refusal.refused_at))}


# --- for people -------------------------------------------------------------------------------------------------------


def _print_table(rows: list[dict[str, Any]], traffic: Mapping[str, Traffic], *, utc: bool) -> None:
    cells = []
    for row in rows:
        known = traffic.get(row["name"])
        last = known.last if known else None
        cells.append(
            [
                row["name"],
                row["scheme"] or _REMOVED,
                ", ".join(row["handshakes"]),
                _secret(row),
                local_time(last.received_at, utc=utc) if last else "",
                printable(last.type) if last else "",
                str(known.events) if known else "",
                _counts(known.refused) if known else "",
                row["url"],
            ]
        )
    table(["NAME", "SCHEME", "HANDSHAKE", "SECRET", "LAST EVENT", "TYPE", "24 H", "REFUSED 24 H", "URL"], cells)


def _print_one(row: dict[str, Any], traffic: Traffic | None, *, utc: bool) -> None:
    click.echo(row["name"] + (f"   preset {row['preset']}" if row["preset"] else ""))
    for label, text in (*_settings(row), *(_figures(traffic, utc=utc) if traffic else ())):
        click.echo(f"  {label:<12} {text}".rstrip())


def _settings(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "url", row["url"]
    if row["removed"]:
        yield "scheme", _REMOVED
        return
    yield "scheme", row["scheme"]
    yield "secret", "   ".join((_secret(row), *row["secret_problems"]))
    yield "handshake", ", ".join(row["handshakes"]) or "none"
    yield "envelope", "   ".join(f"{key} {_text(value)}" for key, value in row["envelope"].items())
    for part, text in row["identity"].items():
        yield part, text or "none"
    yield "ack", f"{row['ack']['status']} {_text(row['ack']['body'])}"
    yield "keep", ", ".join(row["keep"]) or "nothing"
    for rule, types in row["rules"].items():
        yield "rule", f"{rule}   when {', '.join(types)}"


def _figures(traffic: Traffic, *, utc: bool) -> Iterator[tuple[str, str]]:
    last = traffic.last
    if last is None:
        yield "last event", "none yet"
    else:
        at = local_time(last.received_at, utc=utc)
        yield "last event", f"{at}   {ids.text(ids.EVENT, last.id)}   {printable(last.type)}   {state(last.state)}"
    yield "24 h", f"{traffic.events} stored   refused {_counts(traffic.refused)}"
    for kind, number in traffic.types.items():
        yield "sent", f"{printable(kind)}   {number} of the last {sum(traffic.types.values())}"
    for each in traffic.refusals:
        at = local_time(each.refused_at, utc=utc)
        yield "refused", f"{at}   {each.status} {each.reason}   {each.address}   {printable(each.detail)}"


def _secret(row: dict[str, Any]) -> str:
    word = row["secret"]
    return {"set": "✓ set", "none": "none"}.get(word) or colour(f"✕ {word}", "✕")


def _counts(refused: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in refused.items()) or "0"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

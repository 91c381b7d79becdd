"""`events` and `deliveries`: lists, or one in full."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import click

from router.cli.context import (
    event_number,
    guarded,
    have_several_rules,
    id_of,
    json_line,
    local_time,
    number_of,
    open_current_store,
    read_settings,
    state,
    stop,
    table,
    waiting,
)
from router.cli.filters import FilterError, read_filter
from router.cli.masking import masked
from router.dispatch.rules import load_project
from router.errors import ConfigError
from router.model import DeliveryState, EventState, from_us, iso
from router.profile.codec import decode_value
from router.ruleset import Project
from router.ruleset.text import counted, printable
from router.store import arrivals, ids, listing
from router.store.base import Store
from router.store.listing import ListedAttempt, ListedDelivery, ListedEvent, Wanted


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="JSON lines."),
        click.option("--utc", is_flag=True, help="Times in UTC."),
        click.option("--all", "everything", is_flag=True, help="Every page."),
        click.option("--cursor", help="Where the last page ended."),
        click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True),
        click.argument("wanted", metavar="[FILTER or ID]", default=""),
    ):
        command = option(command)
    return command


@click.command()
@_options
@guarded
def events(wanted: str, limit: int, cursor: str | None, everything: bool, utc: bool, as_json: bool) -> None:
    """Events, newest first; or one in full, by an id. Keys: state source type external since before."""
    settings = read_settings()
    known = {"state": [s.value for s in EventState]}
    below = id_of(ids.EVENT, cursor) if cursor else None
    try:
        filter_ = read_filter(wanted, listing.EVENT_KEYS, known, below)
    except FilterError as error:
        store = open_current_store(settings)
        number = event_number(store, wanted)
        if number is None:
            raise error from None
        _one_event(store, number, utc=utc, as_json=as_json)
        return
    store = open_current_store(settings)
    if "source" in filter_.values:
        with contextlib.suppress(ConfigError):  # the store can be looked at while the rules are broken
            known["source"] = _sources(store, load_project(settings, reveal=str), filter_)
        read_filter(wanted, listing.EVENT_KEYS, known)
    with store.read() as tx:
        rows = listing.list_events(tx, filter_, None if everything else limit)
        total = listing.count_events(tx, filter_)
    if as_json:
        for row in rows:
            json_line(_event_json(row))
        return
    table(
        ["RECEIVED", "ID", "SOURCE", "TYPE", "STATE", "REASON"],
        [
            [
                local_time(row.received_at, utc=utc),
                ids.text(ids.EVENT, row.id),
                row.source,
                printable(row.type),
                state(row.state),
                printable(row.reason),
            ]
            for row in rows
        ],
    )
    _more(len(rows), total, ids.text(ids.EVENT, rows[-1].id) if rows else "")


@click.command()
@_options
@guarded
def deliveries(wanted: str, limit: int, cursor: str | None, everything: bool, utc: bool, as_json: bool) -> None:
    """Deliveries, newest first; or one in full. Keys: state destination rule profile source type since before."""
    settings = read_settings()
    if wanted.startswith(f"{ids.DELIVERY}_"):
        number = number_of(ids.DELIVERY, "delivery", wanted)
        _one_delivery(open_current_store(settings), number, utc=utc, as_json=as_json)
        return
    known = {"state": [s.value for s in DeliveryState]}
    below = id_of(ids.DELIVERY, cursor) if cursor else None
    filter_ = read_filter(wanted, listing.DELIVERY_KEYS, known, below)
    store = open_current_store(settings)
    with contextlib.suppress(ConfigError):  # the store can be looked at while the rules are broken
        project = load_project(settings, reveal=str)
        known |= {"destination": list(project.destinations), "source": _sources(store, project, filter_)}
    read_filter(wanted, listing.DELIVERY_KEYS, known)
    with store.read() as tx:
        rows = listing.list_deliveries(tx, filter_, None if everything else limit)
        total = listing.count_deliveries(tx, filter_)
        stopped = listing.stopped(tx, store.now_us(tx))
    if as_json:
        for row in rows:
            json_line(_delivery_json(row))
        return
    table(
        ["RECEIVED", "ID", "PERSON", "DESTINATION", "RULE", "STATE", "TRIES", "REASON"],
        [
            [
                local_time(row.received_at, utc=utc),
                ids.text(ids.DELIVERY, row.id),
                printable(row.profile),
                row.destination,
                row.rule,
                state(row.state),
                str(row.tries),
                printable(row.reason)
                or (waiting(row.destination, row.due_at, stopped, utc=utc) if row.state == "pending" else ""),
            ]
            for row in rows
        ],
    )
    _more(len(rows), total, ids.text(ids.DELIVERY, rows[-1].id) if rows else "")


def _sources(store: Store, project: Project, filter_: Wanted) -> list[str]:
    """The sources of the rules, and those of the filter that sent something once."""
    with store.read() as tx:
        return [*project.sections, *(name for name in filter_.values.get("source", ()) if arrivals.last(tx, name))]


def _more(shown: int, total: int, last: str) -> None:
    if shown < total:
        click.echo(f"{shown} of {total}   more: --cursor {last}")


def _one_event(store: Store, number: int, *, utc: bool, as_json: bool) -> None:
    with store.read() as tx:
        row = listing.event(tx, number)
        own = listing.deliveries_of(tx, number)
    if row is None:
        stop("no such event", 1)
    if as_json:
        json_line({**_event_json(row), "deliveries": [_delivery_json(delivery) for delivery in own]})
        return
    kind, sent_as, reason = (printable(text) for text in (row.type, row.external_id, row.reason))
    click.echo(f"{ids.text(ids.EVENT, row.id)}   {row.source}   {kind}   {state(row.state)}   {reason}".rstrip())
    click.echo(
        f"  sender's id   {sent_as}   came {counted(row.repeats + 1, 'time')}, {row.conflicts} with another body"
    )
    click.echo(
        f"  occurred      {local_time(row.occurred_at, utc=utc)}   received {local_time(row.received_at, utc=utc)}"
    )
    click.echo(f"  routed        {counted(row.routing, 'time')}, last by rules {row.revision or '-'}")
    named = have_several_rules(own)
    for delivery in own:
        number_text = ids.text(ids.DELIVERY, delivery.id)
        rule = f"{delivery.rule}   " if named else ""
        outcome = f"{state(delivery.state)}   {printable(delivery.reason)}".rstrip()
        click.echo(f"  {number_text}   {delivery.destination}   {rule}{outcome}")


def _one_delivery(store: Store, number: int, *, utc: bool, as_json: bool) -> None:
    with store.read() as tx:
        row = listing.delivery(tx, number)
        stopped = listing.stopped(tx, store.now_us(tx))
        tried: Sequence[ListedAttempt] = ()
        if row is not None:
            calls = listing.attempts_of(tx, row.destination, row.profile)
            tried = [call for call in calls if number in json.loads(call.deliveries)]
    if row is None:
        stop("no such delivery", 1)
    if as_json:
        json_line({**_delivery_json(row), "attempts": [_attempt_json(attempt) for attempt in tried]})
        return
    head = f"{ids.text(ids.DELIVERY, row.id)}   {printable(row.profile)} at {row.destination}"
    click.echo(f"{head}   {state(row.state)}   {printable(row.reason)}".rstrip())
    click.echo(f"  event   {ids.text(ids.EVENT, row.event_id)}   {row.source} {printable(row.type)}   rule {row.rule}")
    change = json.loads(row.change)
    for name, op in change["fields"].items():
        click.echo(f"  {name:<24} {_op(op)}")
    for name, reason in change["omitted"].items():
        click.echo(f"  {name:<24} omitted: {printable(reason)}")
    for attempt in tried:
        status = "no reply" if attempt.status is None else str(attempt.status)
        flag = " (ambiguous)" if attempt.ambiguous else ""
        took = (attempt.ended_at - attempt.started_at) / 1e6
        path, why = printable(attempt.path), printable(attempt.reason)
        click.echo(
            f"  {local_time(attempt.started_at, utc=utc)}   {attempt.method} {path}   {status} in {took:.2f} s"
            f"   {attempt.outcome}{flag}   {why}".rstrip()
        )
    if row.state == DeliveryState.PENDING:
        click.echo(f"  {waiting(row.destination, row.due_at, stopped, utc=utc)}")
    if not tried and row.state not in {DeliveryState.PENDING}:
        click.echo("  no call was needed")


def _op(op: dict[str, Any]) -> str:
    if "unset" in op:
        return "clear"
    if "set" in op or "once" in op:
        ((kind, value),) = op.items()
        return f"{kind} {masked(decode_value(value))}"
    return ", ".join(f"{kind} {len(tags)}" for kind, tags in op.items())


def _event_json(row: ListedEvent) -> dict[str, Any]:
    found = row._asdict()
    found |= {
        "id": ids.text(ids.EVENT, row.id),
        "occurred_at": _iso(row.occurred_at),
        "received_at": _iso(row.received_at),
    }
    return found


def _delivery_json(row: ListedDelivery) -> dict[str, Any]:
    occurred, counter, external, routing, *_ = json.loads(row.version)
    return {
        "id": ids.text(ids.DELIVERY, row.id),
        "event": ids.text(ids.EVENT, row.event_id),
        "profile": row.profile,
        "destination": row.destination,
        "rule": row.rule,
        "source": row.source,
        "type": row.type,
        "state": row.state,
        "reason": row.reason,
        "tries": row.tries,
        "received_at": _iso(row.received_at),
        "settled_at": _iso(row.settled_at),
        "version": [_iso(occurred), counter, external, routing],
        "next_try_at": _iso(row.due_at) if row.state == DeliveryState.PENDING else None,
        "masked": True,
    }


def _attempt_json(row: ListedAttempt) -> dict[str, Any]:
    return {
        "id": ids.text(ids.ATTEMPT, row.id),
        "token": f"{row.token}.{row.number}",
        "step": row.step,
        "method": row.method,
        "path": row.path,
        "status": row.status,
        "outcome": row.outcome,
        "reason": row.reason,
        "ambiguous": bool(row.ambiguous),
        "started_at": _iso(row.started_at),
        "ended_at": _iso(row.ended_at),
        "worker": row.worker,
    }


def _iso(us: int | None) -> str | None:
    return None if us is None else iso(from_us(us))

"""`send`: a sample webhook, proved as its sender would, and posted."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import click

from router.cli.context import (
    guarded,
    have_several_rules,
    json_line,
    open_current_store,
    read_settings,
    state,
    stop,
    table,
    waiting,
)
from router.cli.curl import curl
from router.cli.posting import Ending, follow, known, post
from router.cli.samples import Choice, choices, find, given
from router.cli.webhooks import NotImitable, Overrides, Signed, compose, value_of
from router.dispatch.rules import load_project
from router.errors import ConfigError, MalformedError, TransportError, WebhookError
from router.http import Door
from router.model import Webhook
from router.nearest import suggestion
from router.ruleset import Project
from router.ruleset.samples import Sample
from router.ruleset.text import printable
from router.sources.jsontext import decode_json
from router.store import ids
from router.store.base import Store
from router.store.listing import ListedEvent

DEFAULT_USER = "router-sample-1"
#: refusals of a source that is not there, of which nothing is recorded
_UNRECORDED = (404, 410)
#: events of one webhook that are printed
MAX_SHOWN = 20
#: a path up to the first `=` that is in no bracket and no quotes
_ASSIGNMENT = re.compile(r"""((?:\[(?:[^\]"]|"[^"]*")*\]|"[^"]*"|[^="\[])+)=""")
_AGO = re.compile(r"-([0-9]{1,9})(s|m|h|d)\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command()
@click.argument("what", metavar="SOURCE/TYPE, FILE or -", required=False)
@click.option("--source", "source_name", help="Source of a file or of standard input.")
@click.option(
    "--set", "puts", multiple=True, metavar="PATH=VALUE", help="Put a value in (JSON if it parses, else text)."
)
@click.option("--remove", "removes", multiple=True, metavar="PATH", help="Take a value out.")
@click.option("--edit", is_flag=True, help="Edit the body in $EDITOR first.")
@click.option("--user", help=f"Whose profile: fills the path that user: reads (default: {DEFAULT_USER}).")
@click.option("--id", "event_id", help="The sender's id of the event (default: a new one).")
@click.option("--at", help="The event's own time: ISO 8601, or -1d ago (default: now).")
@click.option("--count", type=click.IntRange(1, 100_000), default=1, show_default=True, help="How many.")
@click.option("--rate", type=click.FloatRange(0.01), help="How many a second.")
@click.option("--people", type=click.IntRange(1), help="Spread them over so many people.")
@click.option("--to", "url", help="Where the router is (default: ROUTER_URL).")
@click.option(
    "--tamper",
    type=click.Choice(["signature", "body", "time"]),
    help="Spoil it. Exit 1 if it is accepted.",
)
@click.option("--print", "print_only", is_flag=True, help="Print a curl command, post nothing.")
@click.option("--list", "list_only", is_flag=True, help="List the samples: the project's, and shipped ones.")
@click.option("--wait", "wait_s", is_flag=False, flag_value="30s", metavar="30s", help="Wait for what becomes of it.")
@click.option("--json", "as_json", is_flag=True, help="One object per webhook.")
@guarded
def send(
    what: str | None,
    source_name: str | None,
    puts: tuple[str, ...],
    removes: tuple[str, ...],
    edit: bool,
    user: str | None,
    event_id: str | None,
    at: str | None,
    count: int,
    rate: float | None,
    people: int | None,
    url: str | None,
    tamper: str | None,
    print_only: bool,
    list_only: bool,
    wait_s: str | None,
    as_json: bool,
) -> None:
    """Prove a sample webhook as its sender would, and post it."""
    settings = read_settings()
    project = load_project(settings)
    if list_only or what is None:
        _list(choices(project, settings.rules), as_json=as_json)
        if what is None and not list_only:
            stop("say which: one of the above, a file, or - for standard input")
        return
    choice = _choice(project, settings.rules, what, source_name)
    sample = _edited(choice.sample) if edit else choice.sample
    asked = _asked(user=user, id=event_id, at=at)
    puts_by_path = dict(assignment(text) for text in puts)
    overrides = Overrides(puts_by_path, removes, user or DEFAULT_USER, event_id, _time(at), asked)
    patience_s = 0.0 if wait_s is None else _seconds(wait_s)
    base = url or settings.url
    store = None if wait_s is None else open_current_store(settings)
    door, good = Door(dev=True), True
    try:
        for n in range(count):
            one = overrides if people is None else replace(overrides, user=f"{overrides.user}-{n % people + 1}")
            signed = _signed(project, replace(choice, sample=sample), one, tamper)
            for note in signed.notes if n == 0 else ():
                click.echo(f"note: {note}", err=True)
            if print_only:
                uses = project.sections[signed.source].secrets
                click.echo(curl(signed, f"{base}/webhooks/{signed.source}", [use.secret for use in uses]))
                continue
            accepted = _post(door, base, project, signed, store, patience_s, as_json, tamper)
            good = _as_hoped(project, signed, accepted, tamper) and good
            if rate and n + 1 < count:
                time.sleep(1 / rate)
    except TransportError as error:
        stop(f"{base} cannot be reached: {error}")
    finally:
        door.close()
        if store is not None:
            store.close()
    sys.exit(0 if good else 1)


def _list(known: list[Choice], *, as_json: bool) -> None:
    if as_json:
        for choice in known:
            row = {"name": choice.name, "source": choice.sample.source, "type": choice.type}
            json_line({**row, "path": str(choice.path), "shipped": choice.shipped})
        return
    table(["SAMPLE", "FROM"], [[choice.name, "shipped" if choice.shipped else str(choice.path)] for choice in known])


def _choice(project: Project, directory: Path, what: str, source_name: str | None) -> Choice:
    if what != "-" and not (what.endswith(".json") and Path(what).is_file()):
        return find(project, directory, what)
    sample = given(what, source_name)
    if sample.source not in project.sources:
        raise ConfigError(f"no source {sample.source!r} (give --source); {suggestion(sample.source, project.sources)}")
    return Choice(f"{sample.source}/{what}", sample, Path(what), shipped=False)


def _asked(**options: str | None) -> frozenset[str]:
    """Which of these options were given. Raises `ConfigError` for one without a value."""
    asked = {name: text for name, text in options.items() if text is not None}
    for name, text in asked.items():
        if not text.strip():
            raise ConfigError(f"--{name} is blank: give a value or leave it out; to put nothing in, --set PATH=null")
    return frozenset(asked)


def _edited(sample: Sample) -> Sample:
    text = click.edit(json.dumps(sample.body, indent=1, ensure_ascii=False), extension=".json")
    try:
        return sample if text is None else replace(sample, body=decode_json(text.encode()))
    except MalformedError as error:
        raise ConfigError(f"what you edited: {str(error).replace('the body', 'it', 1)}") from None


def assignment(text: str) -> tuple[str, object]:
    """Path and value of `PATH=VALUE`; headers and parameters are always text. Raises `ConfigError`."""
    match = _ASSIGNMENT.match(text)
    if match is None:
        raise ConfigError(f"--set {text!r}: write PATH=VALUE, such as .data.object.email=new@example.com")
    path, value = match[1].strip(), text[match.end() :]
    return path, value if path.startswith(("$header", "$query")) else value_of(value)


def _time(text: str | None) -> datetime:
    now = datetime.now(UTC)
    if text is None:
        return now
    try:
        if match := _AGO.match(text):
            return now - timedelta(seconds=int(match[1]) * _UNITS[match[2]])
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        raise ConfigError(f"--at {text!r}: write a time such as 2026-01-31T09:00:00Z, or -1d, -2h") from None
    except OverflowError:
        raise ConfigError(f"--at {text!r}: no calendar goes that far") from None


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,6})(s|m|h)?", text)
    if match is None:
        raise ConfigError(f"--wait {text!r}: write 30s or 2m")
    return float(int(match[1]) * _UNITS[match[2] or "s"])


def _signed(project: Project, choice: Choice, overrides: Overrides, tamper: str | None) -> Signed:
    try:
        return compose(project, choice.sample, overrides, datetime.now(UTC), tamper=tamper)
    except NotImitable as error:
        raise ConfigError(
            f"{error}.\n  Let the sender post a test event, or see what the rules make of this one:\n"
            f"  router explain {choice.path} --source {choice.sample.source}"
        ) from None


def _as_hoped(project: Project, signed: Signed, accepted: bool, tamper: str | None) -> bool:
    """Whether the answer is the one that was wanted: yes, or no to what is spoilt and can be noticed."""
    if tamper is None:
        return accepted
    if tamper in project.sources[signed.source].covers:
        return not accepted
    click.echo(f"note: {signed.proof} does not cover the {tamper}: nobody can notice that it is another one", err=True)
    return False


def _post(
    door: Door,
    url: str,
    project: Project,
    signed: Signed,
    store: Store | None,
    patience_s: float,
    as_json: bool,
    tamper: str | None,
) -> bool:
    before: Mapping[str, ListedEvent] = {}
    if store is not None:
        with suppress(WebhookError):  # what cannot be read is refused
            before = known(store, signed.source, _external_ids(project, signed))
    reply, took_ms = post(door, url, signed)
    accepted = 200 <= reply.status < 300
    endings: list[Ending] | None = None
    good = accepted
    if accepted and store is not None:
        ids_ = _external_ids(project, signed)
        endings = follow(store, signed.source, ids_, patience_s, before)
        good = 0 < len(endings) == len(ids_) and all(ending.ended and ending.good for ending in endings)
    if as_json:
        json_line(_as_json(signed, reply.status, took_ms, endings))
    else:
        is_noticed = tamper is not None and tamper in project.sources[signed.source].covers
        _print(url, signed, reply.status, took_ms, endings or [], is_noticed=is_noticed)
    return good


def _external_ids(project: Project, signed: Signed) -> list[str]:
    """The sender's ids of the events in a webhook. Raises `WebhookError`."""
    headers = {name.lower(): value for name, value in signed.headers.items()}
    query = parse_qs(signed.query[1:], keep_blank_values=True)
    webhook = Webhook(signed.source, "POST", headers, query, signed.body, datetime.now(UTC))
    return list(dict.fromkeys(event.external_id for event in project.sources[signed.source].decode(webhook)))


def _remark(source: str, status: int, *, is_noticed: bool) -> str:
    """What is to be said of an answer. `is_noticed`: the webhook was spoilt where that must be noticed."""
    refused = 400 <= status < 500
    if is_noticed:
        return "   refused, as it should be" if refused else "   it should be refused"
    return f"   why: router sources {source}" if refused and status not in _UNRECORDED else ""


def _print(
    url: str, signed: Signed, status: int, took_ms: float, endings: list[Ending], *, is_noticed: bool = False
) -> None:
    click.echo(f"POST {url}/webhooks/{signed.source}   {signed.proof}   {len(signed.body):,} bytes")
    line = f"{status} in {took_ms:.0f} ms{_remark(signed.source, status, is_noticed=is_noticed)}"
    if len(endings) != 1:
        click.echo(f"{line}   {len(endings)} events" if endings else line)
    for ending in endings[:MAX_SHOWN]:
        _print_ending(ending, f"{line}   " if len(endings) == 1 else "")
    if len(endings) > MAX_SHOWN:
        click.echo(f"… and {len(endings) - MAX_SHOWN} more: router events source:{signed.source}")


def _print_ending(ending: Ending, before: str) -> None:
    reason = f" ({printable(ending.event.reason)})" if ending.event.reason else ""
    who = printable(", ".join(ending.people))
    people = f"   {'person' if len(ending.people) == 1 else 'people'} {who}" if who else ""
    repeat = f"   {ending.repeat}" if ending.repeat else ""
    click.echo(f"{before}{ids.text(ids.EVENT, ending.event.id)}{repeat}   {state(ending.event.state)}{reason}{people}")
    width = max((len(delivery.rule) for delivery in ending.deliveries), default=0)
    named = have_several_rules(ending.deliveries)
    for delivery in ending.deliveries:
        took = "" if delivery.settled_at is None else f"{(delivery.settled_at - delivery.received_at) / 1e6:.2f} s"
        reason = printable(delivery.reason)
        if delivery.settled_at is None:
            reason = waiting(delivery.destination, delivery.due_at, ending.stopped)
        rule = f"{delivery.rule:<{width}}   " if named else ""
        click.echo(f"  {delivery.destination:<12} {rule}{state(delivery.state)}   {took}   {reason}".rstrip())


def _as_json(signed: Signed, status: int, took_ms: float, endings: list[Ending] | None) -> dict[str, object]:
    found: dict[str, object] = {
        "source": signed.source,
        "proof": signed.proof,
        "status": status,
        "ms": round(took_ms, 1),
    }
    if endings is not None:
        found["events"] = [
            {
                "id": ids.text(ids.EVENT, ending.event.id),
                "state": ending.event.state,
                "reason": ending.event.reason,
                "known_already": ending.before is not None,
                "deliveries": [
                    {
                        "profile": delivery.profile,
                        "destination": delivery.destination,
                        "rule": delivery.rule,
                        "state": delivery.state,
                        "reason": delivery.reason,
                    }
                    for delivery in ending.deliveries
                ],
            }
            for ending in endings
        ]
    return found

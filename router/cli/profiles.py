"""`profile` and `verify`: what each provider holds of a person, and why."""

from __future__ import annotations

import difflib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import click

from router.cli.context import (
    actor,
    colour,
    guarded,
    json_line,
    last_rules,
    local_time,
    open_current_store,
    read_settings,
    router_key,
    stop,
    waiting,
)
from router.cli.masking import masked_names, shown
from router.dispatch.rules import load_files, load_project
from router.dispatch.verification import Copy, believed, read_back
from router.dispatch.worker import door_of
from router.errors import ConfigError
from router.http import Door
from router.model import OpKind, from_us, iso
from router.nearest import suggestion, there_are
from router.profile import TAG, TAGS, Register, tags_of
from router.profile.codec import load_registers, load_unsure
from router.ruleset import Project
from router.ruleset.text import printable
from router.settings import Settings
from router.store import audit, listing, lookups
from router.store.base import Store
from router.store.listing import ListedLane, Wanted

_GLYPHS = {"equal": "✓", "differs": "✕", "unreadable": "▲", "nothing": "–"}
#: deliveries among whose people a mistyped id is looked for
LATEST = 1_000
#: a telephone number as people write it, and the sign that a country's code follows
_NUMBER = re.compile(r"(\+|00)?([0-9(][0-9 ()./-]{4,}[0-9])")
#: field and value → what is printed
Show = Callable[[str, Any], str]


@click.command()
@click.argument("who", metavar="ID, E-MAIL or PHONE")
@click.option("--destination", help="This one only.")
@click.option("--field", "field_name", help="This field only.")
@click.option("--timeline", is_flag=True, help="Every delivery and call, oldest first.")
@click.option("--reveal", metavar="REASON", help="Show values; the reason is audited.")
@click.option("--utc", is_flag=True, help="Times in UTC.")
@click.option("--json", "as_json", is_flag=True)
@guarded
def profile(
    who: str,
    destination: str | None,
    field_name: str | None,
    timeline: bool,
    reveal: str | None,
    utc: bool,
    as_json: bool,
) -> None:
    """What each provider holds of a person, and which event and rule it came from."""
    settings = read_settings()
    project = _project(settings)
    store = open_current_store(settings)
    lanes = _find(store, settings, who, destination)
    names = masked_names(name for lane in lanes for name in _names(lane, None))
    if field_name is not None:
        field_name = _require_field(lanes[0].profile, names, field_name)
    if reveal:
        _audit(store, "reveal", lanes[0].profile, reveal)
        names = {name: name for name in names}
    public = _public(project)
    if as_json:
        for lane in lanes:
            json_line(_lane_json(lane, field_name, names, reveal=bool(reveal), public=public))
        return
    click.echo(printable(lanes[0].profile))
    with store.read() as tx:
        stopped = listing.stopped(tx, store.now_us(tx))
    for lane in lanes:
        waits = waiting(lane.destination, lane.due_at, stopped, utc=utc) if lane.due_at is not None else ""
        click.echo(f"  {lane.destination:<12} {colour(f'◔ pending, {waits}', '◔') if waits else ''}".rstrip())
        _print_lane(lane, field_name, names, reveal=bool(reveal), public=public, utc=utc)
        if timeline:
            _print_timeline(store, lane, utc=utc)


def _project(settings: Settings) -> Project:
    """The rules on the disk; while they are refused those that ran last, as `serve` does, which is told.

    Raises `ConfigError`, that of the disk, if there are none.
    """
    try:
        return load_project(settings)
    except ConfigError:
        kept = last_rules(settings)
        if kept is None:
            raise
        with suppress(ConfigError):
            project = load_files(settings, kept.files, {})
            says = f"the rules are refused, see `router check`; those that ran last are taken: {kept.revision[:7]}"
            click.echo(f"notice: {says}", err=True)
            return project
        raise


def _public(project: Project) -> frozenset[str]:
    """The traits that are shown to everybody."""
    return frozenset(name for name, trait in project.vocabulary.traits.items() if trait.public)


def _find(store: Store, settings: Settings, who: str, destination: str | None) -> list[ListedLane]:
    """A person's lanes, of one destination or all, by id, e-mail address or phone number. Nobody, or several people:
    they are listed, exit 1."""
    with store.read() as tx:
        lanes = listing.lanes_of(tx, who)
        people = [] if lanes else lookups.find(tx, lookups.key(router_key(settings), _written(who)))
        if len(people) > 1:
            click.echo("several people:\n  " + "\n  ".join(map(printable, people)))
            sys.exit(1)
        if people:
            lanes = listing.lanes_of(tx, people[0])
        near = [] if lanes else _near(who, listing.latest_people(tx, LATEST))
    wanted = [lane for lane in lanes if destination in (None, lane.destination)]
    if lanes and not wanted:
        stop(f"nothing is known of {who} at {destination}; {there_are([lane.destination for lane in lanes])}", 1)
    if not wanted:
        hint = "; numbers are written with the code of their country, as in +49…" if _is_national(who) else ""
        stop(f"nothing is known of {who}" + (f"; did you mean {' or '.join(near)}?" if near else hint), 1)
    return wanted


def _written(who: str) -> str:
    """A telephone number with a country's code as it is kept, `+4915123456789`; anything else as it is."""
    number = _NUMBER.fullmatch(who.strip())
    return f"+{re.sub('[^0-9]', '', number[2])}" if number and number[1] else who


def _is_national(who: str) -> bool:
    number = _NUMBER.fullmatch(who.strip())
    return number is not None and not number[1]


def _near(who: str, people: Sequence[str]) -> list[str]:
    """Up to three ids that begin or end with what was asked for, else those that are spelled almost so."""
    ends = [each for each in people if who and (each.startswith(who) or each.endswith(who))]
    return (ends or difflib.get_close_matches(who, people, 3, 0.8))[:3]


def _audit(store: Store, action: str, target: str, reason: str) -> None:
    store.write(
        lambda tx: audit.record(tx, store.now_us(tx), actor=actor(), action=action, target=target, reason=reason),
        timeout_s=10,
    )


def _print_lane(
    lane: ListedLane,
    field_name: str | None,
    names: Mapping[str, str],
    *,
    reveal: bool,
    public: frozenset[str],
    utc: bool,
) -> None:
    for name, register, state in _fields(lane, field_name):
        value = (
            "cleared" if register.kind is OpKind.UNSET else shown(name, register.value, reveal=reveal, public=public)
        )
        if name.startswith(TAG):
            value = register.kind.value
        elif name == TAGS:
            value = shown(name, _tags(lane), reveal=reveal, public=public)
        version = register.version
        origin = f"{local_time(version.occurred_us, utc=utc)} {printable(version.event)} ← {version.rule}"
        click.echo(f"    {printable(names[name]):<24} {value:<28} {colour(state, state[0])}   {origin}")
    if field_name is not None and not _names(lane, field_name):
        click.echo(f"    {printable(names.get(field_name, field_name)):<24} nothing is known of it here")
    for name in _refused(lane, field_name):
        says = f"{colour('▲ unsure', '▲')}   of a refused change: it may be written"
        click.echo(f"    {printable(names[name]):<24} {'unknown':<28} {says}")


def _tags(lane: ListedLane) -> list[str]:
    """The tags that are there, as far as is known and with those on their way."""
    return list(tags_of({name: register for name, register, _ in _fields(lane, TAGS)}))


def _refused(lane: ListedLane, field_name: str | None) -> list[str]:
    """The fields that nothing is known of but that a refused change had them, of which a part may have arrived."""
    known = {name for name, _, _ in _fields(lane, None)}
    return [name for name in load_unsure(lane.unsure) if name not in known and _is_asked_for(name, field_name)]


def _fields(lane: ListedLane, field_name: str | None) -> Iterator[tuple[str, Register, str]]:
    """Field, register, and what is known of it."""
    confirmed, unsure = load_registers(lane.registers), load_unsure(lane.unsure)
    going: Mapping[str, Register] = load_registers(lane.sending) if lane.sending else {}
    for name, register in {**confirmed, **{k: r for k, r in unsure.items() if r is not None}, **going}.items():
        if not _is_asked_for(name, field_name):
            continue
        if name in going:
            yield name, register, "◔ on its way"
        elif name in unsure:
            yield name, register, "▲ unsure"
        else:
            yield name, register, "✓ confirmed"


def _is_asked_for(name: str, field_name: str | None) -> bool:
    """Whether this field is meant; `tags` is every tag too."""
    return field_name in (None, name) or (field_name == TAGS and name.startswith(TAG))


def _names(lane: ListedLane, field_name: str | None) -> list[str]:
    return [*(name for name, _, _ in _fields(lane, field_name)), *_refused(lane, field_name)]


def _require_field(profile: str, names: Mapping[str, str], field_name: str) -> str:
    """The field that is meant by its name or its mask, of those of a person. If there is none: those there are, exit 1.
    What was not asked for is masked there even with `--reveal`, as nothing is audited yet."""
    if any(_is_asked_for(name, field_name) for name in names):
        return field_name
    meant = next((name for name, mask in names.items() if mask == field_name), None)
    if meant is None:
        hint = suggestion(field_name, list(names.values()), listed=True)
        stop(f"no field {field_name!r} is known of {profile}; {hint}", 1)
    return meant


def _lane_json(
    lane: ListedLane, field_name: str | None, names: Mapping[str, str], *, reveal: bool, public: frozenset[str]
) -> dict[str, Any]:
    return {
        "profile": lane.profile,
        "destination": lane.destination,
        "provider_handle": lane.provider_handle,
        "next_try_at": None if lane.due_at is None else iso(from_us(lane.due_at)),
        "failures": lane.failures,
        "masked": not reveal,
        "fields": {
            names[name]: {
                "operation": register.kind,
                "value": None if held is None else shown(name, held, reveal=reveal, public=public),
                "state": state[2:],
                "version": [iso(from_us(register.version.occurred_us)), *register.version[1:4]],
                "rule": register.version.rule,
                "revision": register.revision,
            }
            for name, register, state in _fields(lane, field_name)
            for held in [_tags(lane) if name == TAGS else register.value]
        },
        "refused": [names[name] for name in _refused(lane, field_name)],
    }


def _print_timeline(store: Store, lane: ListedLane, *, utc: bool) -> None:
    wanted = Wanted({"profile": [lane.profile], "destination": [lane.destination]})
    with store.read() as tx:
        deliveries = listing.list_deliveries(tx, wanted, 1_000)
        calls = listing.attempts_of(tx, lane.destination, lane.profile)
    planned = Counter(delivery.event_id for delivery in deliveries)
    lines = []
    for each in deliveries:
        rule = f" rule {each.rule}" if planned[each.event_id] > 1 else ""
        lines.append((each.received_at, f"received {each.source} {each.type}{rule} → {each.state} {each.reason}"))
    lines += [
        (c.started_at, f"{c.method} {c.path} {c.status or 'no reply'} {c.outcome} {c.reason}".strip()) for c in calls
    ]
    for at, line in sorted(lines):
        click.echo(f"      {local_time(at, utc=utc)}   {printable(line)}".rstrip())


# --- verify -----------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("who", metavar="PERSON")
@click.option("--destination", help="This one only.")
@click.option("--reveal", metavar="REASON", help="Show values; the reason is audited.")
@click.option("--json", "as_json", is_flag=True)
@guarded
def verify(who: str, destination: str | None, reveal: str | None, as_json: bool) -> None:
    """Read a person back from each provider and compare field by field. Changes nothing."""
    settings = read_settings()
    project = _project(settings)
    store = open_current_store(settings)
    lanes = _find(store, settings, who, destination)
    door = Door(dev=settings.dev or bool(settings.sandbox))
    try:
        copies = list(_read(project, door, lanes))
    finally:
        door.close()
    if reveal:
        _audit(store, "reveal", lanes[0].profile, reveal)
    show = partial(shown, reveal=bool(reveal), public=_public(project))
    for copy in copies:
        if as_json:
            json_line(_copy_json(copy, show))
        else:
            _print_copy(copy, show)
    counts = {verdict: sum(copy.verdict == verdict for copy in copies) for verdict in _GLYPHS}
    total = f"verify: {len(copies)} copies of 1 person: " + ", ".join(f"{n} {name}" for name, n in counts.items())
    click.echo(total, err=as_json)
    sys.exit(1 if counts["differs"] else 0)


def _read(project: Project, door: Door, lanes: list[ListedLane]) -> Iterator[Copy]:
    for lane in lanes:
        destination = project.destinations.get(lane.destination)
        if destination is not None:
            delta = believed(load_registers(lane.registers), lane.profile, lane.provider_handle)
            yield read_back(destination, delta, door_of(door, destination))


def _print_copy(copy: Copy, show: Show) -> None:
    glyph = _GLYPHS[copy.verdict]
    note = printable(copy.read.unreadable) or ("" if copy.read.found else "the provider has no such person")
    if copy.verdict == "nothing":
        note = "no value is confirmed there: nothing to compare"
    who = f"{printable(copy.profile)} at {copy.destination}"
    click.echo(f"{colour(f'{glyph} {copy.verdict}', glyph)}   {who}   {note}".rstrip())
    if copy.verdict == "differs":
        for name in copy.read.differences():
            have = show(name, copy.read.actual[name]) if name in copy.read.actual else "nothing"
            click.echo(f"    {printable(name)}: expected {show(name, copy.read.expected[name])}, holds {have}")


def _copy_json(copy: Copy, show: Show) -> dict[str, Any]:
    differs = copy.read.differences() if copy.verdict == "differs" else []
    return {
        "profile": copy.profile,
        "destination": copy.destination,
        "verdict": copy.verdict,
        "unreadable": copy.read.unreadable,
        "differences": {
            name: {"expected": show(name, copy.read.expected[name]), "holds": show(name, copy.read.actual.get(name))}
            for name in differs
        },
    }

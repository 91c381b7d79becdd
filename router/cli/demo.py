"""`demo`: sandbox, router and senders in one. It proves convergence, and ends by itself."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from router.cli.context import colour, guarded, read_settings, state, table
from router.cli.posting import post
from router.cli.samples import find
from router.cli.stack import Stack
from router.cli.staying import stay
from router.cli.webhooks import Overrides, Signed, compose
from router.dispatch.conversation import Send
from router.dispatch.rules import load_project
from router.dispatch.verification import Copy, expected, read_back
from router.dispatch.worker import door_of
from router.errors import ConfigError
from router.model import Change, Delta, Event, Op, OpKind, ReadBack, TagsDelta, TagsOp, Webhook
from router.ruleset import Destination
from router.sandbox import parse_fault
from router.settings import Settings
from router.store import lanes, listing
from router.store.listing import ListedDelivery, ListedEvent

#: the demo's clock runs faster, so that waits of seconds and minutes can be watched
TIME_SCALE = "0.2"


def _faults(people: int) -> list[str]:
    """What goes wrong while the crowd's webhooks come in, in the words of `sandbox --fault`."""
    return ["moengage:429:3s", f"channel:reset:{max(people // 2, 1)}", "engagelab:cut:2", "moesif:500:2"]


@dataclass(frozen=True, slots=True)
class Step:
    """One webhook of the story."""

    says: str
    sample: str
    overrides: Overrides = field(default_factory=Overrides)
    tamper: bool = False
    #: what the door must answer
    status: int = 200


def _story(now: datetime) -> list[Step]:
    """Six senders; one webhook twice, two in the wrong order, one forged."""
    paid = Overrides(id="evt_demo_1", at=now - timedelta(hours=3))
    team = {".data.object.metadata.plan": "team", ".data.object.name": "Jane Roe"}
    basic = {".data.object.metadata.plan": "basic", ".data.object.phone": None}
    return [
        Step("Stripe: a customer with plan pro", "stripe/customer.updated", paid),
        Step("the same webhook again", "stripe/customer.updated", paid),
        Step(
            "the customer renamed, on plan team",
            "stripe/customer.updated",
            Overrides(team, at=now - timedelta(hours=1)),
        ),
        Step(
            "an older update, late: plan basic",
            "stripe/customer.updated",
            Overrides(basic, at=now - timedelta(hours=2)),
        ),
        Step("forged: one byte changed", "stripe/customer.updated", tamper=True, status=401),
        Step("Auth0: a user signed up", "auth0/user.created", Overrides(id="evt_demo_auth0")),
        Step("Clerk: a user signed up", "clerk/user.created", Overrides(id="msg_demo_clerk")),
        Step("Shopify: a customer changed", "shopify/customers/update", Overrides(id="demo-shopify")),
        Step("Typeform: a form was filled in", "typeform/form_response", Overrides(id="demo-typeform")),
        Step("our own sender: a person changed", "acme/person.changed", Overrides(id="d-demo-1"), status=204),
        Step("our own sender: the person left", "acme/person.left", Overrides(id="d-demo-2"), status=204),
    ]


@dataclass
class Sent:
    """What was sent, and what must have come of it."""

    #: accepted events, without repeats
    events: dict[tuple[str, str], Event] = field(default_factory=dict)
    #: webhooks by the door's status
    answers: Counter[int] = field(default_factory=Counter)
    wrong_answers: list[str] = field(default_factory=list)
    slowest_ms: float = 0.0

    def note(self, stack: Stack, signed: Signed, status: int, wanted: int, took_ms: float, says: str) -> None:
        self.answers[status] += 1
        self.slowest_ms = max(self.slowest_ms, took_ms)
        if status != wanted:
            self.wrong_answers.append(f"{says}: answered {status}, not {wanted}")
        if status // 100 == 2:
            headers = {name.lower(): value for name, value in signed.headers.items()}
            webhook = Webhook(signed.source, "POST", headers, {}, signed.body, datetime.now(UTC))
            for event in stack.project.sources[signed.source].decode(webhook):
                self.events.setdefault((event.source, event.external_id), event)


@click.command()
@click.option("--people", type=click.IntRange(1, 10_000), default=40, show_default=True, help="People in the crowd.")
@click.option("--events", type=click.IntRange(0, 100_000), default=200, show_default=True, help="Webhooks about them.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed sends the same.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Other rules (default: ROUTER_RULES, else rules).",
)
@click.option("--keep", is_flag=True, help="Keep store and log under ./.router/demo.")
@click.option("--serve", is_flag=True, help="Stay up after a first webhook, until Ctrl-C.")
@guarded
def demo(people: int, events: int, seed: int, rules: Path | None, keep: bool, serve: bool) -> None:
    """Run everything on this machine: no account, no network."""
    rules = rules or read_settings().rules
    if not serve:
        _require_story(rules)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that nothing is left running
    kept = Path(".router/demo")
    if keep or serve:
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        sys.exit(_run(rules, kept.resolve(), people, events, seed, serve))
    with tempfile.TemporaryDirectory(prefix="router-demo-") as name:
        sys.exit(_run(rules, Path(name), people, events, seed, serve))


def _require_story(rules: Path) -> None:
    """Raise `ConfigError` unless these rules have the samples that the story and the crowd are made of."""
    project = load_project(Settings(rules=rules), reveal=str)
    try:
        for step in _story(datetime.now(UTC)):
            find(project, rules, step.sample)
    except ConfigError as error:
        raise ConfigError(
            f"the demo tells a story of the example's senders: {error}\n"
            "  router demo --serve runs these rules; router demo --rules PATH, of the checkout's rules, tells the story"
        ) from None


def _run(rules: Path, directory: Path, people: int, events: int, seed: int, serve: bool) -> int:
    with Stack(rules, directory, extra={"ROUTER_TIME_SCALE": "1" if serve else TIME_SCALE}) as stack:
        click.echo(f"sandbox    {len(stack.sandbox.destinations)} provider APIs on {stack.sandbox.url}/<destination>")
        click.echo(f"router     {stack.settings.url}   store {directory / 'router.db'}")
        if serve:
            return stay(stack, directory)
        good = _tell(stack)
        if events:
            good = _crowd(stack, people, events, seed) and good
        code = stack.stop()
        click.echo(f"stopped    exit {code}" + ("" if code == 0 else f", see {stack.log}"))
        return 0 if good and code == 0 else 1


# --- the story --------------------------------------------------------------------------------------------------------


def _tell(stack: Stack) -> bool:
    """Eleven webhooks of six senders, and what each provider holds afterwards."""
    sent = Sent()
    now = datetime.now(UTC)
    stored: list[tuple[str, str | None]] = []
    for step in _story(now):
        signed = _composed(stack, step.sample, step.overrides)
        body = signed.body[:-1] + b" }" if step.tamper else signed.body
        reply, took_ms = post(stack.door, stack.settings.url, replace(signed, body=body))
        before = len(sent.events)
        sent.note(stack, signed, reply.status, step.status, took_ms, step.says)
        label = f"{step.sample:<38} {step.says}"
        new = list(sent.events.values())[before:]
        if new:
            stored.append((label, new[0].external_id))
            _settle(stack, 20)
        else:
            stored.append((label + ("   → refused, 401" if step.tamper else "   → known already"), None))
    settled = _settle(stack, 30)
    _print_story(stack, sent, stored)
    copies = read_all(stack, sent)
    _print_copies(stack, copies)
    return _verdict("story", sent, copies, settled)


def _settle(stack: Stack, timeout_s: float) -> bool:
    """Wait until nothing is left to route or to send."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with stack.store.read() as tx:
            waiting = listing.tally(tx)["events"].get("received", 0)
            if not waiting and not lanes.busy(tx):
                return True
        time.sleep(0.02)
    return False


def _print_story(stack: Stack, sent: Sent, stored: Sequence[tuple[str, str | None]]) -> None:
    click.echo()
    by_id = {event.external_id: event for event in sent.events.values()}
    for label, external_id in stored:
        click.echo(label)
        if external_id is None:
            continue
        with stack.store.read() as tx:
            row = listing.event_by_external_id(tx, by_id[external_id].source, external_id)
            deliveries = listing.deliveries_of(tx, row.id) if row else []
        for line in _outcomes(row, deliveries):
            click.echo(f"    {line}")


def _outcomes(row: ListedEvent | None, deliveries: Iterable[ListedDelivery]) -> Iterable[str]:
    if row is None:
        yield "✕ not stored"
    elif row.state != "routed":
        yield f"{state(row.state)}   {row.reason}"
    for delivery in deliveries:
        yield f"→ {delivery.destination:<10} {state(delivery.state)}   {delivery.profile}   {delivery.reason}".rstrip()


def _print_copies(stack: Stack, copies: Sequence[Copy]) -> None:
    click.echo("\nwhat each provider holds now, read back from its API")
    rows = []
    for copy in copies:
        held = stack.sandbox.held(copy.destination, copy.profile)
        verdict = colour("✓", "✓") if copy.verdict == "equal" else colour(f"✕ {copy.verdict}", "✕")
        rows.append([copy.profile, copy.destination, verdict, _short(held)])
    table(["PERSON", "PROVIDER", "", "HOLDS"], rows)


def _short(held: Any) -> str:
    """A copy on one line: names and values, without the vendor's own bookkeeping."""
    if not isinstance(held, dict):
        return "nothing"
    inner = next(
        (held[k] for k in ("attributes", "properties", "profile", "metadata") if isinstance(held.get(k), dict)), held
    )
    text = json.dumps(inner, ensure_ascii=False, default=str)
    return text if len(text) <= 150 else text[:149] + "…"


def _verdict(name: str, sent: Sent, copies: Sequence[Copy], settled: bool) -> bool:
    for line in sent.wrong_answers:
        click.echo(f"✕ {line}")
    wrong = [copy for copy in copies if copy.verdict != "equal"]
    for copy in wrong:
        for field_name in copy.read.differences() or ["-"]:
            want, have = copy.read.expected.get(field_name), copy.read.actual.get(field_name)
            click.echo(
                f"✕ {copy.profile} at {copy.destination}: {field_name} is {have!r}, must be {want!r}"
                f" {copy.read.unreadable}"
            )
    if not settled:
        click.echo("✕ something is still waiting")
    good = settled and not wrong and not sent.wrong_answers
    mark = colour("✓", "✓") if good else colour("✕", "✕")
    click.echo(f"{name:<10} {mark} {len(copies) - len(wrong)} of {len(copies)} copies are as the rules say\n")
    return good


# --- what must be held ----------------------------------------------------------------------------------------------


def read_all(stack: Stack, sent: Sent) -> list[Copy]:
    """Read every copy back from its provider, beside what the accepted webhooks say it must be."""
    changes: dict[tuple[str, str], list[Change]] = {}
    for event in sent.events.values():
        for planned in stack.project.route(event).planned:
            changes.setdefault((planned.change.profile, planned.destination), []).append(planned.change)
    copies = []
    for (profile, name), own in sorted(changes.items()):
        destination = stack.project.destinations[name]
        held, tags = truth(own)
        with stack.store.read() as tx:
            handles = {lane.destination: lane.provider_handle for lane in listing.lanes_of(tx, profile)}
        delta = expected(profile, held, tags, handles.get(name))
        read = read_back if destination.provider.abilities.read else read_plain
        copies.append(read(destination, delta, door_of(stack.door, destination)))
    return copies


def read_plain(destination: Destination, delta: Delta, send: Send) -> Copy:
    """Read a person back from an API that the router only writes to: GET where it puts, and compare each leaf."""
    tags = delta.tags
    whole = replace(
        delta,
        fields={name: Op(OpKind.SET, value) for name, value in delta.held.items()},
        tags=None if tags is None else TagsDelta(replace=tags.held, held=tags.held),
    )
    call = next(destination.provider.upsert(whole))
    reply = send(call._replace(method="GET", body=None), destination.timeout_s, {})
    held = reply.json() if reply.status == 200 else {}
    read = ReadBack(reply.status == 200, dict(_leaves(call.body)), dict(_leaves(held)))
    return Copy(destination.name, delta.profile, read)


def _leaves(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Path and value of everything in a document that is no object."""
    if not isinstance(value, dict):
        yield path, value
        return
    for key, item in value.items():
        yield from _leaves(item, f"{path}.{key}" if path else key)


def truth(changes: Iterable[Change]) -> tuple[dict[str, Any], tuple[str, ...] | None]:
    """The state that changes describe, worked out the plain way: one by one, in the order of versions."""
    held: dict[str, Any] = {}
    written: set[str] = set()
    tags: set[str] | None = None
    ordered = sorted(changes, key=lambda change: change.version)
    for change in ordered:
        for name, op in change.fields.items():
            if isinstance(op, TagsOp):
                before = set(op.replace) if op.replace is not None else tags or set()
                tags = (before - set(op.remove)) | set(op.add)
            elif op.kind is not OpKind.ONCE:
                written.add(name)
                held.pop(name, None)
                if op.kind is OpKind.SET:
                    held[name] = op.value
    for change in ordered:
        for name, op in change.fields.items():
            if isinstance(op, Op) and op.kind is OpKind.ONCE and name not in written:
                held.setdefault(name, op.value)
    return held, None if tags is None else tuple(sorted(tags))


# --- the crowd --------------------------------------------------------------------------------------------------------


def _crowd(stack: Stack, people: int, events: int, seed: int) -> bool:
    """Many webhooks about few people, shuffled, a fifth of them twice, while providers fail."""
    rng, faults = random.Random(seed), _faults(people)
    webhooks = [_update(stack, rng, n, rng.randrange(people)) for n in range(events)]
    again = rng.sample(webhooks, len(webhooks) // 5)
    queue = [*webhooks, *again]
    rng.shuffle(queue)
    click.echo(
        f"sending    {events} webhooks about {people} people, shuffled, {len(again)} sent twice; " + ", ".join(faults)
    )
    for text in faults:
        stack.sandbox.fault(*parse_fault(text))
    before, calls_before = _figures(stack), len(stack.sandbox.calls())
    sent, lock = Sent(), threading.Lock()
    started = time.monotonic()

    def send(signed: Signed) -> None:
        reply, took_ms = post(stack.door, stack.settings.url, signed)
        with lock:
            sent.note(stack, signed, reply.status, 200, took_ms, "a webhook of the crowd")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, queue))
    settled = _settle(stack, 60)
    took = time.monotonic() - started
    _print_figures(stack, len(queue), sent, before, len(stack.sandbox.calls()) - calls_before)
    copies = read_all(stack, sent)
    backwards = fields_that_went_back(stack)
    click.echo(
        f"converged  after {took:.1f} s; {'no field' if not backwards else '✕ ' + backwards} ever went backwards"
    )
    return _verdict("crowd", sent, copies, settled) and not backwards


def _update(stack: Stack, rng: random.Random, n: int, person: int) -> Signed:
    """One update of one person by Stripe, at some time within the last hour."""
    put: dict[str, Any] = {
        ".data.object.metadata.plan": rng.choice(["free", "basic", "pro", "team"]),
        ".data.object.name": f"Person {person} {rng.choice('ABC')}",
        ".data.object.balance": rng.randrange(-5000, 5000),
        ".data.object.email": f"person{person}@{rng.choice(['example.com', 'example.org'])}",
        ".data.object.phone": rng.choice([None, f"+82101234{person:04}", f"+47550{person:05}"]),
        ".data.object.metadata.company": rng.choice(["Acme Inc", "Umbrella", None]),
    }
    at = datetime.now(UTC) - timedelta(seconds=rng.randrange(3600))
    overrides = Overrides(put, user=f"crowd_{person}", id=f"evt_crowd_{n}", at=at)
    return _composed(stack, "stripe/customer.updated", overrides)


def _composed(stack: Stack, name: str, overrides: Overrides) -> Signed:
    choice = find(stack.project, stack.settings.rules, name)
    return compose(stack.project, choice.sample, overrides, datetime.now(UTC))


def _figures(stack: Stack) -> tuple[Counter[str], Counter[str], int]:
    with stack.store.read() as tx:
        found = listing.tally(tx)
        return Counter(found["events"]), Counter(found["deliveries"]), listing.repeats(tx)


def _print_figures(
    stack: Stack, posted: int, sent: Sent, before: tuple[Counter[str], Counter[str], int], calls: int
) -> None:
    events, deliveries, repeats = _figures(stack)
    events.subtract(before[0])
    deliveries.subtract(before[1])
    new = sum(events.values())
    click.echo(
        f"received   {posted} = {new} new + {repeats - before[2]} duplicate   "
        f"slowest answer {sent.slowest_ms:.0f} ms   " + "   ".join(f"{name} {n}" for name, n in events.items() if n)
    )
    click.echo(
        f"delivered  {sum(deliveries.values())} = "
        + " + ".join(f"{n} {name}" for name, n in deliveries.most_common() if n)
        + f"   {calls} calls"
    )


def fields_that_went_back(stack: Stack) -> str:
    """The first field of which a successful call carried an older version after a newer one; empty if there is none."""
    newest: dict[tuple[str, str, str], list[Any]] = {}
    with stack.store.read() as tx:
        profiles = [row[0] for row in tx.exec_driver_sql("SELECT DISTINCT profile, destination FROM lanes")]
        for profile in sorted(set(profiles)):
            for lane in listing.lanes_of(tx, profile):
                for attempt in listing.attempts_of(tx, lane.destination, profile):
                    if attempt.outcome != "delivered":
                        continue
                    for name, kind, *version in json.loads(attempt.fields):
                        key = (lane.destination, profile, name)
                        if kind != "once" and key in newest and version < newest[key]:
                            return f"{name} of {profile} at {lane.destination}"
                        newest[key] = version if kind != "once" else newest.get(key, version)
    return ""

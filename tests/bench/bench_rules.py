"""How fast rules are, as ratios to a hand-written loop: `python -m tests.bench.bench_rules`.

The yardstick Y is that of `bench_language`. No test fails by time: the goals are printed beside what was measured.
"""

from __future__ import annotations

import itertools
import json
import time
import timeit
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from router.model import Delta, Event
from router.profile import fold
from router.ruleset import Project, load
from router.ruleset.samples import SampleEvent, open_sample
from router.settings import read_rules
from tests.bench.bench_language import compare_us, show

RULES = Path(__file__).parents[2] / "rules"

#: one whole profile: twenty fields of every type, for four destinations
PROFILE = """\
source: {name: bench, preset: stripe, secret: $env.STRIPE_WEBHOOK_SECRET, region: US}
to: [moengage, engagelab, channel, moesif]
rules:
  person:
    when: person.changed
    if: .livemode
    user: .data.object.id
    set:
      email: .data.object.email
      first_name: .data.object.first_name
      last_name: .data.object.last_name
      name: "{.data.object.first_name} {.data.object.last_name}"
      phone: .data.object.phone else .data.object.mobile
      gender: .data.object.gender
      city: .data.object.address.city
      country: .data.object.address.country
      language: .data.object.locale
      timezone: .data.object.tz
      currency: .data.object.currency | upper
      job_title: .data.object.title
      avatar: .data.object.image
      birthday: .data.object.born
      plan: .data.object.plan else "free"
      seats: .data.object.seats
      lifetime_value: .data.object.spent
      email_verified: .data.object.verified
      last_seen_at: .data.object.seen
      created_at: .data.object.created
"""
BODY = {
    "id": "evt_1",
    "type": "person.changed",
    "created": 1763700000,
    "livemode": True,
    "data": {
        "object": {
            "id": "u_1001",
            "email": " Jane.Doe@Example.COM ",
            "first_name": "Jane",
            "last_name": "Doe",
            "phone": "+821012345678",
            "gender": "f",
            "address": {"city": "Seoul", "country": "KR"},
            "locale": "ko-KR",
            "tz": "Asia/Seoul",
            "currency": "krw",
            "title": "Engineer",
            "image": "https://img.example.com/jane.png",
            "born": "1988-05-17",
            "plan": "pro",
            "seats": 12,
            "spent": "199.65",
            "verified": True,
            "seen": "2025-11-20T00:53:20Z",
            "created": 1763600000,
        }
    },
}


#: a source whose rules are each for a type of their own, but for the last, which is for every other
MANY_TYPES = """\
source:
  name: s{number}
  secret: $env.BENCH_SECRET
  verify: {{scheme: token, in: header, name: X-Token}}
  identity: {{type: .kind, id: .id, time: .at}}
to: moesif
rules:
"""
ONE_TYPE = """\
  r{number}:
    when: {when}
    if: .live
    user: .user.id
    set:
      email: .user.email
      first_name: .user.first
      last_name: .user.last
      city: .user.city
      country: .user.country
"""
PERSON = {
    "id": "u_1001",
    "email": "jane.doe@example.com",
    "first": "Jane",
    "last": "Doe",
    "city": "Seoul",
    "country": "KR",
}


def render(project: Project, opened: SampleEvent) -> None:
    """One event to the first call of each destination."""
    for planned in project.route_value(opened.event, opened.value).planned:
        provider = project.destinations[planned.destination].provider
        delta = fold({}, {}, [planned.change]).delta(planned.change.profile, provider.example_handle)
        next(provider.upsert(delta))


def render_folded(project: Project, opened: SampleEvent, deltas: Sequence[Delta]) -> None:
    """The same from deltas that are there already."""
    for planned, delta in zip(project.route_value(opened.event, opened.value).planned, deltas, strict=True):
        next(project.destinations[planned.destination].provider.upsert(delta))


def profiles(files: Mapping[str, bytes], samples: Mapping[str, bytes]) -> None:
    """A whole profile: routed, rendered, and with all that a lane adds to it."""
    files = {**files, "bench.yaml": PROFILE.encode()}
    samples = {**samples, "bench.person.json": json.dumps({"body": BODY}).encode()}
    project = load(files, samples, reveal=str)
    (opened,) = open_sample(project.samples["bench.person.json"], project.sections["bench"])
    names: dict[str, Any] = {"project": project, "opened": opened, "render": render, "render_folded": render_folded}
    show("20 traits, 4 changes", *compare_us("project.route_value(opened.event, opened.value)", names, 100))
    full = compare_us("render(project, opened)", names, 100)
    names["deltas"] = [
        fold({}, {}, [planned.change]).delta(
            "u_1001", project.destinations[planned.destination].provider.example_handle
        )
        for planned in project.route_value(opened.event, opened.value).planned
    ]
    for destination in project.destinations.values():
        destination.provider.preflight = lambda body, profile: None  # type: ignore[method-assign]  # to see what it costs
    bare = compare_us("render_folded(project, opened, deltas)", names, 100)
    show("20 traits, 4 rendered payloads", *bare, 1_200)
    show("20 traits, 4 payloads, fold and preflight included", *full)


def many_types(sources: int, rules: int) -> tuple[Project, float]:
    """A project of so many sources with so many rules each, and the seconds that loading it took."""
    files = {"destinations.yaml": b"destinations: {moesif: {provider: moesif, application_id: $env.BENCH_KEY}}"}
    for source in range(sources):
        whens = [*(f"type.{number}" for number in range(rules - 1)), "other.*"]
        text = "".join(ONE_TYPE.format(number=number, when=when) for number, when in enumerate(whens))
        files[f"s{source}.yaml"] = (MANY_TYPES.format(number=source) + text).encode()
    before = time.perf_counter()
    project = load(files, {}, reveal=str)
    return project, time.perf_counter() - before


def many_rules() -> None:
    """Ten thousand rules beside ten."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    value = {"live": True, "user": PERSON}
    few, _ = many_types(1, 10)
    many, seconds = many_types(20, 500)
    print(f"{'load and check 10,000 rules in 20 sources':<51} {seconds:8.2f} s")
    named = [Event("s0", "e", "type.5", moment, moment)]
    others = [Event("s0", f"e{number}", f"other.{number}", moment, moment) for number in range(5_000)]
    for name, events in (("a type that a rule names", named), ("5,000 types that none names, in turn", others)):
        timers = []
        for project in (few, many):
            assert len(project.route_value(events[0], value).planned) == 1
            turn = itertools.cycle(events)
            timers.append(
                timeit.Timer(
                    "route(next(turn), value)", globals={"route": project.route_value, "turn": turn, "value": value}
                )
            )
        figures = [tuple(timer.timeit(100) / 100 for timer in timers) for _ in range(200)]
        ten, thousands = (min(times) for times in zip(*figures, strict=True))
        ratio = thousands / ten
        verdict = "holds" if ratio <= 1.3 else "MISSED"
        figures_us = f"{ten * 1e6:8.3f} µs   {thousands * 1e6:.3f} µs"
        print(f"{name + ': 10 and 10,000 rules':<51} {figures_us}   {ratio:5.2f} ×   goal 1.3 ×   {verdict}")


def main() -> None:
    files, samples = read_rules(RULES)
    show(
        "load and check the example project",
        *compare_us("load(files, samples)", {"load": load, "files": files, "samples": samples}, 1),
        150_000,
    )
    profiles(files, samples)
    many_rules()


if __name__ == "__main__":
    main()

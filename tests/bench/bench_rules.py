"""How fast rules are, as ratios to a hand-written loop: `python -m tests.bench.bench_rules`.

The yardstick Y is that of `bench_language`. No test fails by time: the goals are printed beside what was measured.
"""

from __future__ import annotations

import json
from pathlib import Path

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


def render(project: Project, opened: SampleEvent) -> None:
    """One event to the first call of each destination."""
    for planned in project.route_value(opened.event, opened.value).planned:
        provider = project.destinations[planned.destination].provider
        delta = fold({}, {}, [planned.change]).delta(planned.change.profile, provider.example_handle)
        next(provider.upsert(delta))


def main() -> None:
    files, samples = read_rules(RULES)
    show(
        "load and check the example project",
        *compare_us("load(files, samples)", {"load": load, "files": files, "samples": samples}, 1),
        150_000,
    )
    files["bench.yaml"] = PROFILE.encode()
    samples["bench.person.json"] = json.dumps({"body": BODY}).encode()
    project = load(files, samples, reveal=str)
    (opened,) = open_sample(project.samples["bench.person.json"], project.sections["bench"])
    names = {"project": project, "opened": opened, "render": render}
    show("20 traits, 4 changes", *compare_us("project.route_value(opened.event, opened.value)", names, 50), 1_200)
    show("20 traits, 4 payloads, preflight included", *compare_us("render(project, opened)", names, 20), 1_200)


if __name__ == "__main__":
    main()

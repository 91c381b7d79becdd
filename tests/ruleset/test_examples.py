"""The example project loads, routes its samples, and gives exactly the calls that are written down."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from router.ruleset import Project, load
from router.ruleset.rendering import calls_of
from router.ruleset.samples import open_sample
from router.settings import read_rules

RULES = Path(__file__).parents[2] / "rules"
PAYLOADS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "payloads.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def project() -> Project:
    return load(*read_rules(RULES), reveal=str)


def test_every_sample_has_its_payloads() -> None:
    assert set(PAYLOADS) == set(read_rules(RULES)[1])


def test_a_sample_keeps_the_headers_that_its_source_keeps(project: Project) -> None:
    (opened,) = open_sample(project.samples["shopify.customers-update.json"], project.sections["shopify"])
    assert sorted(opened.event.headers) == ["x-shopify-topic", "x-shopify-triggered-at", "x-shopify-webhook-id"]
    sample = replace(project.samples["acme.person.left.json"], header={"x-acme-delivery": "d", "x-other": "y"})
    (opened,) = open_sample(sample, project.sections["acme"])
    assert opened.event.headers == {"x-acme-delivery": "d"}


def test_a_sample_without_a_time_of_receipt_came_when_it_happened(project: Project) -> None:
    (opened,) = open_sample(project.samples["acme.person.left.json"], project.sections["acme"])
    assert opened.event.occurred_at == opened.event.received_at == datetime(2026, 3, 1, 15, tzinfo=UTC)
    (opened,) = open_sample(
        replace(project.samples["acme.person.left.json"], received_at=datetime(2026, 1, 1, tzinfo=UTC)),
        project.sections["acme"],
    )
    assert opened.event.occurred_at == datetime(2026, 1, 1, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_sample_gives_exactly_its_calls(project: Project, name: str) -> None:
    sample = project.samples[name]
    (opened,) = open_sample(sample, project.sections[sample.source])
    routing = project.route_value(opened.event, opened.value)
    calls = {
        planned.destination: [
            {"call": call.text, "body": call.body}
            for call in calls_of(project.destinations[planned.destination], planned.change).calls
        ]
        for planned in routing.planned
    }
    assert calls == PAYLOADS[name]

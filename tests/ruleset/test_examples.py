"""The example project loads, routes its samples, and gives exactly the calls that are written down."""

from __future__ import annotations

import json
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

"""A field that used to come and does not any more is worth a warning before anybody notices."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from router.model import Event
from router.ruleset import Project, drift, load
from router.ruleset.samples import open_sample
from router.settings import read_rules


@pytest.fixture(scope="module")
def project() -> Project:
    return load(*read_rules(Path(__file__).parents[2] / "rules"), reveal=str)


def history(project: Project, with_phone: str) -> list[tuple[Event, Any]]:
    """One event an hour, newest first; `1` has a phone, `0` has none."""
    sample = project.samples["stripe.customer.updated.json"]
    (opened,) = open_sample(sample, project.sections["stripe"])
    start, events = datetime(2026, 11, 6, 23, tzinfo=UTC), []
    for hour, has_phone in enumerate(with_phone):
        value = copy.deepcopy(opened.value)
        if has_phone == "0":
            value["data"]["object"]["phone"] = None
        events.append((replace(opened.event, occurred_at=start + timedelta(hours=hour)), value))
    return events[::-1]


def test_a_field_that_stopped_coming_is_told_with_its_place(project: Project) -> None:
    (found,) = drift(project, history(project, "1" * 24 + "0" + "0" * 30))
    assert (found.file, found.line, found.column, found.length) == ("stripe.yaml", 13, 27, 5)
    assert (found.code, found.severity) == ("drift", "warning")
    assert found.message == "phone came in 100 % of customer.updated until 7 Nov, since then in none"


@pytest.mark.parametrize(
    "with_phone",
    ["1" * 30, "0" * 30, "1" * 30 + "0" * 9, "0" * 30 + "1", "1000000000" * 4, ""],
    ids=["still comes", "never came", "too few to tell", "came back", "was rare", "no events"],
)
def test_what_may_be_chance_is_not(project: Project, with_phone: str) -> None:
    assert drift(project, history(project, with_phone)) == []


def test_the_share_counts_up_to_the_last_time(project: Project) -> None:
    (found,) = drift(project, history(project, "1" * 12 + "0" + "1" * 12 + "0" * 20))
    assert "came in 96 % of customer.updated until 7 Nov" in found.message

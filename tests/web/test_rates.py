"""A source that brings too much is told to come again; one that is gone for good, that it is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from router.ruleset import Project, load
from router.settings import Settings
from router.store.store import open_store
from router.web import create_app
from router.web.rates import Rates
from tests.web.conftest import SECRET, Site

RULES = {
    "slow.yaml": b"""
source:
  name: slow
  verify: {scheme: hmac, header: X-Signature}
  secret: $env.SHOP_SECRET
  identity: {id: .id, time: .at}
  rate: 3/h
rules: {}
""",
    "old.yaml": b"source: {name: old, removed: true}\n",
}


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    return load(RULES, {})


@pytest.fixture
def site(sqlite_url: str, project: Project) -> Iterator[Site]:
    store = open_store(sqlite_url, role="web")
    sources = dict(project.sources)
    app = create_app(lambda: sources, store, Settings(database_url=sqlite_url), removed=lambda: project.removed)
    yield Site(app, store, sources)
    store.close()


def event(number: int) -> dict[str, object]:
    return {"id": f"e{number}", "at": datetime.now(UTC).isoformat()}


def test_events_beyond_the_rate_come_again_later_and_nothing_is_stored(site: Site) -> None:
    assert [site.post("slow", event(n)).status_code for n in range(5)] == [200, 200, 200, 503, 503]
    answer = site.post("slow", event(9))
    assert answer.json == {"error": "try again"}
    assert 1_100 < int(answer.headers["Retry-After"]) <= 1_200, "a third of an hour"
    assert len(site.rows("events")) == 3
    assert site.rows("refusals") == []


def test_each_event_of_a_batch_counts(site: Site) -> None:
    assert site.post("slow", json.dumps([event(n) for n in range(10)]).encode()).status_code == 200
    answer = site.post("slow", event(11))
    assert answer.status_code == 503
    assert 9_500 < int(answer.headers["Retry-After"]) <= 9_600, "it owes seven"


def test_what_is_not_authentic_takes_nothing(site: Site) -> None:
    for n in range(10):
        assert site.post("slow", event(n), X_Signature="0" * 64).status_code == 401
    assert site.post("slow", event(11)).status_code == 200


def test_a_removed_source_is_gone_and_an_unknown_one_not_found(site: Site) -> None:
    for name, status in (("old", 410), ("older", 404)):
        answer = site.client.post(f"/webhooks/{name}", data=b"{}")
        assert (answer.status_code, answer.json) == (status, {"error": "gone" if status == 410 else "no such source"})


def test_tokens_come_back_with_time_up_to_as_many_as_there_were() -> None:
    rates, rate = Rates(), (10, 2.0)
    assert rates.wait_s("a", rate, 0) == 0
    rates.take("a", rate, 10, 0)
    assert rates.wait_s("a", rate, 0) == 0.5
    assert rates.wait_s("b", rate, 0) == 0
    assert rates.wait_s("a", rate, 0.5) == 0
    rates.take("a", rate, 1, 1_000)
    rates.take("a", rate, 9, 1_000)
    assert rates.wait_s("a", rate, 1_000) == 0.5


def test_the_processes_of_a_host_share_the_rate() -> None:
    rates, rate = Rates(processes=4), (8, 8.0)
    rates.take("a", rate, 2, 0)
    assert rates.wait_s("a", rate, 0) == 0.5
    assert Rates(processes=100).wait_s("a", rate, 0) == 0, "one at least"

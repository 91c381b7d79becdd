"""What strangers try with what they have seen: send it again, send it elsewhere, ask what was wrong with it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from router.ruleset import load
from router.settings import Settings
from router.sources import Source
from router.store.store import open_store
from router.web import create_app
from tests.web.conftest import ENVIRONMENT, Gunicorn, Site
from tests.web.senders import URL
from tests.web.test_server import event, head, status, stored

SECRETS = {"T_ONE": "one secret of more than enough bytes", "T_TWO": "two secrets of more than enough bytes"}
SOURCES: list[dict[str, Any]] = [
    {"name": "stripe-one", "preset": "stripe", "secret": "$env.T_ONE"},
    {"name": "stripe-two", "preset": "stripe", "secret": "$env.T_TWO"},
    {"name": "slack-one", "preset": "slack", "secret": "$env.T_ONE"},
    {"name": "square-one", "preset": "square", "secret": "$env.T_ONE", "url": URL},
    {"name": "tally-one", "preset": "tally", "secret": "$env.T_ONE"},
    {"name": "tally-fresh", "preset": "tally", "secret": "$env.T_ONE", "max_age": "1h"},
    {"name": "zapier-one", "preset": "zapier", "secret": "$env.T_ONE"},
    {"name": "jotform-one", "preset": "jotform", "secret": "$env.T_ONE"},
]
BODY = json.dumps(
    {"id": "evt_1", "eventId": "evt_1", "event_id": "evt_1", "type": "x", "created": 1_768_000_000}
).encode()


@pytest.fixture
def site(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    files = {f"{one['name']}.yaml": json.dumps({"source": one, "rules": {}}).encode() for one in SOURCES}
    sources = dict(load(files, {}).sources)
    store = open_store(sqlite_url, role="web")
    yield Site(create_app(lambda: sources, store, Settings(database_url=sqlite_url)), store, sources)
    store.close()


def post(site: Site, name: str, headers: dict[str, str], body: bytes = BODY, **more: Any) -> int:
    given = {"content-type": "application/json", **headers}
    return site.client.post(f"/webhooks/{name}", data=body, headers=given, **more).status_code


def signed(site: Site, name: str, at: datetime | None = None, body: bytes = BODY) -> dict[str, str]:
    return site.sources[name].sign(body, now=at or datetime.now(UTC), event_id="msg_1")


# --- again ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stripe-one", "slack-one", "square-one", "tally-one", "zapier-one"])
def test_a_request_that_is_sent_again_is_one_event(site: Site, name: str) -> None:
    """Under whatever headers, and with another signature of the same body, if the sender made one."""
    good = signed(site, name)
    later = signed(site, name, datetime.now(UTC) + timedelta(seconds=2))
    assert [post(site, name, headers) for headers in (good, good, later, {**good, "x-request-id": "2"})] == [200] * 4
    (row,) = site.rows("events")
    assert row.repeats == 3


def test_a_signature_in_another_spelling_is_no_new_event(site: Site) -> None:
    (good,) = signed(site, "stripe-one").values()
    stamp, digest = good.split(",")
    spellings = [good, f"{digest},{stamp}", f"{good},v1={'0' * 64}", f"{good},v0=x", f" {stamp} , {digest} "]
    assert [post(site, "stripe-one", {"stripe-signature": text}) for text in spellings] == [200] * 5
    (row,) = site.rows("events")
    assert row.repeats == 4


def test_a_body_without_an_id_is_known_by_its_bytes(site: Site) -> None:
    body = b'{"event":"contact_updated"}'
    headers = signed(site, "zapier-one", body=body)
    assert [post(site, "zapier-one", headers, one) for one in (body, body, body + b" ")] == [200] * 3
    assert sorted(row.repeats for row in site.rows("events")) == [0, 1]


def test_an_old_event_of_a_sender_that_signs_no_time_is_refused_where_an_age_is_set(site: Site) -> None:
    def send(name: str, minutes: int) -> int:
        at = datetime.now(UTC) - timedelta(minutes=minutes)
        body = json.dumps({"eventId": f"e_{minutes}", "eventType": "x", "createdAt": at.isoformat()}).encode()
        return post(site, name, signed(site, name, body=body), body)

    assert [send("tally-fresh", minutes) for minutes in (1, 59, 61, 100_000)] == [200, 200, 401, 401]
    assert send("tally-one", 100_000) == 200


# --- elsewhere --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [one["name"] for one in SOURCES if one["name"] != "stripe-one"])
def test_a_signature_for_one_source_is_none_for_another(site: Site, other: str) -> None:
    """The path alone picks the secret, whatever a body or a header says."""
    headers = {**signed(site, "stripe-one"), "x-source": "stripe-one", "x-original-url": "/webhooks/stripe-one"}
    assert post(site, other, headers, query_string="source=stripe-one") == 401
    assert site.rows("events") == []
    assert post(site, "stripe-one", headers) == 200


def test_the_url_that_is_signed_is_not_the_request_s(site: Site) -> None:
    elsewhere = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    assert post(site, "square-one", {**signed(site, "square-one"), **elsewhere}) == 200
    moved = load(
        {"a.yaml": json.dumps({"source": {**SOURCES[3], "url": "https://evil.example/webhooks/square-one"}}).encode()},
        {},
    ).sources["square-one"]
    headers = moved.sign(BODY, now=datetime.now(UTC), event_id="x")
    assert post(site, "square-one", {**headers, **elsewhere}, base_url="https://evil.example") == 401


# --- asking -----------------------------------------------------------------------------------------------------------


def test_every_refusal_is_the_same_answer(site: Site) -> None:
    """Missing, malformed, wrong, stale, early, of another source, to whatever sender: byte for byte."""
    now = datetime.now(UTC)
    headers: list[tuple[str, dict[str, str]]] = [
        ("stripe-one", {}),
        ("stripe-one", {"stripe-signature": "nonsense"}),
        ("stripe-one", {"stripe-signature": f"t={int(now.timestamp())},v1={'0' * 64}"}),
        ("stripe-one", {"stripe-signature": "t=1,t=2,v1=x"}),
        ("stripe-one", signed(site, "stripe-two")),
        ("stripe-one", signed(site, "stripe-one", now - timedelta(hours=1))),
        ("stripe-one", signed(site, "stripe-one", now + timedelta(hours=1))),
        ("stripe-one", {"stripe-signature": "t=é,v1=ÿ"}),
        ("slack-one", {}),
        ("tally-one", {"tally-signature": "AAAA"}),
        ("zapier-one", {"x-webhook-token": "guess"}),
        ("jotform-one", {}),
    ]
    found = set()
    for name, given in headers:
        answer = site.client.post(f"/webhooks/{name}", data=BODY, headers=given)
        found.add((answer.status, answer.data, tuple(answer.headers)))
    assert len(found) == 1
    assert next(iter(found))[:2] == ("401 Unauthorized", b'{"error":"not authentic"}')


def test_the_setting_that_a_signature_lacks_is_told_to_the_operator_alone(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    hexadecimal = hmac.digest(SECRETS["T_ONE"].encode(), BODY, "sha256").hex()
    told, nothing = (
        site.client.post("/webhooks/tally-one", data=BODY, headers={"tally-signature": text})
        for text in (hexadecimal, "0" * 64)
    )
    assert (told.status, told.data, tuple(told.headers)) == (nothing.status, nothing.data, tuple(nothing.headers))
    assert [row.detail for row in site.rows("refusals")] == [
        "no signature matches; it would match with encoding: hex",
        "no signature matches",
    ]
    assert "it would match with encoding: hex" in caplog.text


def test_a_stranger_makes_us_search_for_settings_only_now_and_then(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    monkeypatch.setattr(Source, "advice", lambda source, webhook, now: searched.append(source.name) or "")
    for _ in range(30):
        for name in ("stripe-one", "stripe-two", "slack-one", "tally-one"):
            site.client.post(f"/webhooks/{name}", data=BODY, headers={"stripe-signature": "t=1,v1=x"})
    assert 10 <= len(searched) <= 15
    assert site.client.get("/webhooks/jotform-one").status_code == 405
    assert len(searched) <= 15


def test_a_search_that_breaks_is_logged_and_the_answer_is_the_same(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(Source, "advice", broken)
    answer = site.client.post("/webhooks/tally-one", data=BODY, headers={"tally-signature": "0" * 64})
    assert (answer.status_code, answer.data) == (401, b'{"error":"not authentic"}')
    assert [row.detail for row in site.rows("refusals")] == ["no signature matches"]
    assert "ZeroDivisionError" in caplog.text


def test_only_a_refused_signature_makes_us_search(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    monkeypatch.setattr(Source, "advice", lambda source, webhook, now: searched.append(source.name) or "")
    for name in ("stripe-one", "stripe-two", "slack-one"):
        for _ in range(10):
            assert (
                site.client.post(f"/webhooks/{name}", data=BODY, headers={"content-encoding": "gzip"}).status_code
                == 415
            )
    site.client.post("/webhooks/tally-one", data=BODY, headers={"tally-signature": "0" * 64})
    assert searched == ["tally-one"], "others have taken nothing of what may be spent on it"


KINDS = {
    "application/json": 200, "application/json; charset=utf-8": 200, "APPLICATION/JSON": 200, "text/plain": 200,
    "application/vnd.api+json": 200, "application/octet-stream": 200, "": 200, "text/xml": 200,
    "application/xml": 415, "application/x-www-form-urlencoded": 415, "multipart/form-data; boundary=x": 415,
    "multipart/mixed": 415, "image/png": 415, "application/x-python-pickle": 415, "application/cloudevents": 415,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_parser_is_the_source_s_and_not_the_request_s_to_choose(site: Site, kind: str) -> None:
    assert post(site, "tally-one", {**signed(site, "tally-one"), "content-type": kind}) == KINDS[kind]
    assert len(site.rows("events")) == (KINDS[kind] == 200)


# --- over the wire ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["the same", "another", "blank"])
@pytest.mark.parametrize("first", [True, False])
def test_two_headers_of_one_name_are_refused(gunicorn: Gunicorn, second: str, first: bool) -> None:
    body = event(f"twice_{second}_{first}")
    request = head(body)
    (line,) = (one for one in request.split(b"\r\n") if one.startswith(b"X-Signature"))
    more = {"the same": line, "another": b"X-Signature: " + b"0" * 64, "blank": b"X-Signature: "}[second]
    both = more + b"\r\n" + line if first else line + b"\r\n" + more
    assert status(gunicorn.talk(request.replace(line, both) + body)) in {400, 401}
    assert f"twice_{second}_{first}" not in stored(gunicorn)


@pytest.mark.parametrize("name", ["X-Signature", "x-signature", "X-SIGNATURE", "x-SiGnAtUrE"])
def test_the_name_of_a_header_may_be_in_any_case(gunicorn: Gunicorn, name: str) -> None:
    body = event(f"case_{name}")
    assert status(gunicorn.talk(head(body).replace(b"X-Signature", name.encode()) + body)) == 200
    assert f"case_{name}" in stored(gunicorn)


def test_secrets_of_the_environment_are_in_no_log(gunicorn: Gunicorn) -> None:
    gunicorn.talk(head(b"{") + b"{")
    assert not any(secret in gunicorn.log.read_text() for secret in ENVIRONMENT.values())

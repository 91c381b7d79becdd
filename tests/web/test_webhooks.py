"""The door for webhooks: what is stored, and what each sender is told."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from router.errors import StoreError
from router.settings import Settings
from router.store.store import open_store
from router.web import create_app
from tests.web.conftest import ENVIRONMENT, Site

EVENT = {"type": "person.changed", "id": "e_1", "at": "2026-11-22T10:00:00Z", "email": "ann@corp.example"}


def test_a_genuine_webhook_is_stored_as_it_came_and_answered(each_site: Site) -> None:
    body = json.dumps(EVENT, indent=1).encode()
    answer = each_site.post("shop", body)
    assert (answer.status_code, answer.data, answer.content_type) == (200, b"{}", "application/json")
    (row,) = each_site.rows("events")
    assert (row.source, row.external_id, row.type, row.state) == ("shop", "e_1", "person.changed", "received")
    assert bytes(row.body) == body


def test_the_same_id_again_is_success_and_one_row(each_site: Site) -> None:
    assert [each_site.post("shop", EVENT).status_code for _ in range(3)] == [200, 200, 200]
    (row,) = each_site.rows("events")
    assert row.repeats == 2


def test_the_answer_is_what_the_source_declares(site: Site) -> None:
    answer = site.post("meta", {"id": 1})
    assert (answer.status_code, answer.data, answer.headers["X-Kind"]) == (202, b"accepted", "a")
    assert answer.content_type == "text/plain; charset=utf-8"


def test_a_webhook_without_events_is_answered_and_stores_nothing(site: Site) -> None:
    assert site.post("shop", b"[]").status_code == 200
    assert site.rows("events") == []


NOT_AUTHENTIC: dict[str, dict[str, str]] = {
    "missing": {"X-Signature": ""},
    "wrong": {"X-Signature": "0" * 64},
    "short": {"X-Signature": "0"},
    "two": {"X-Signature": "a,b"},
    "not ascii": {"X-Signature": "é"},
}


@pytest.mark.parametrize("headers", NOT_AUTHENTIC.values(), ids=NOT_AUTHENTIC.keys())
def test_what_is_not_authentic_learns_nothing(site: Site, headers: dict[str, str]) -> None:
    answer = site.client.post("/webhooks/shop", data=b"{}", headers=headers)
    assert (answer.status_code, answer.data) == (401, b'{"error":"not authentic"}')
    assert "WWW-Authenticate" not in answer.headers
    assert site.rows("events") == []
    (row,) = site.rows("refusals")
    assert (row.source, row.status, row.reason, row.size) == ("shop", 401, "signature", 2)


def test_a_source_with_a_password_asks_for_one(site: Site) -> None:
    answer = site.client.post("/webhooks/office", data=b"{}")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Basic")


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 100_0, b'{"a":"\\ud800"}', b""])
def test_genuine_but_unreadable_is_400_and_a_row_without_the_body(each_site: Site, body: bytes) -> None:
    answer = each_site.post("shop", body)
    assert (answer.status_code, answer.data) == (400, b'{"error":"unreadable"}')
    (row,) = each_site.rows("refusals")
    assert (row.status, row.reason, row.size) == (400, "malformed", len(body))
    assert each_site.rows("events") == []


@pytest.mark.parametrize("body", [b"x" * 20_001, b"x" * 3_000_000])
def test_a_body_over_the_limit_is_413(site: Site, body: bytes) -> None:
    assert site.post("shop", body).status_code == 413
    assert [row.status for row in site.rows("refusals")] == [413]


def test_a_body_at_the_limit_is_taken(site: Site) -> None:
    body = json.dumps({**EVENT, "note": ""}).encode()
    body = body.replace(b'"note": ""', b'"note": "' + b"x" * (20_000 - len(body)) + b'"')
    assert len(body) == 20_000
    assert site.post("shop", body).status_code == 200


@pytest.mark.parametrize("headers", [{"content_encoding": "gzip"}, {"content_type": "multipart/form-data; boundary=x"}])
def test_media_that_the_source_does_not_take_is_415(site: Site, headers: dict[str, str]) -> None:
    assert site.post("shop", EVENT, **headers).status_code == 415
    assert site.rows("events") == []


def test_a_compressed_body_is_415_whoever_sent_it(site: Site) -> None:
    assert site.client.post("/webhooks/shop", data=b"{}", headers={"Content-Encoding": "gzip"}).status_code == 415


def test_a_body_shorter_than_declared_is_400(site: Site) -> None:
    body = json.dumps(EVENT).encode()
    length = {"CONTENT_LENGTH": str(len(body) + 5)}
    answer = site.client.post("/webhooks/shop", data=body, headers=site.signed("shop", body), environ_overrides=length)
    assert answer.status_code == 400
    assert site.rows("events") == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_are_405_and_say_which_is_taken(site: Site, method: str) -> None:
    answer = (
        site.client.open("/webhooks/shop", method=method) if method != "post" else site.client.get("/webhooks/shop")
    )
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "path",
    ["/webhooks/nobody", "/webhooks/SHOP", "/webhooks/shop/", "/webhooks//shop", "//webhooks/shop", "/webhooks/shop.",
     "/webhooks/a%2f..%2fshop", "/webhooks/shop%00", "/webhooks/ѕhop", "/webhooks/", "/webhooks", "/", "/metrics"],
)  # fmt: skip
def test_only_the_exact_path_is_a_source(site: Site, path: str) -> None:
    headers = site.signed("shop", b"{}")
    assert site.client.post(path, data=b"{}", headers=headers).status_code == 404
    assert site.rows("events") == site.rows("refusals") == []


# --- handshakes --------------------------------------------------------------------------------------------------


def test_a_probe_that_needs_no_body_is_answered(site: Site) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": ENVIRONMENT["META_TOKEN"], "hub.challenge": "abc"}
    answer = site.client.get("/webhooks/meta", query_string=query)
    assert (answer.status_code, answer.data) == (200, b"abc")
    assert answer.content_type.startswith("text/plain")
    assert site.client.get("/webhooks/meta", query_string={**query, "hub.verify_token": "no"}).status_code in {401, 403}


def test_a_challenge_must_be_genuine(site: Site) -> None:
    body = {"type": "url_verification", "challenge": "abc"}
    answer = site.post("slack", body)
    assert (answer.status_code, b"abc" in answer.data) == (200, True)
    assert site.client.post("/webhooks/slack", json=body).status_code == 401
    assert site.rows("events") == []


# --- trouble of ours ---------------------------------------------------------------------------------------------


def test_a_store_that_is_away_is_503_and_never_success(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_events: Any) -> None:
        raise StoreError("away")

    monkeypatch.setattr(site.store, "put_events", away)
    answer = site.post("shop", EVENT)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert site.client.get("/readyz").json == {"ready": False, "reasons": ["store_down"], "warnings": []}


def test_a_database_that_is_gone_is_503(site: Site, tmp_path: Any, sources: Any) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/router.db"
    lost = Site(
        create_app(lambda: sources, open_store(url, role="web"), Settings(database_url=url)), site.store, sources
    )
    started = time.monotonic()
    answer = lost.post("shop", EVENT)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert time.monotonic() - started < 5
    assert lost.client.get("/readyz").status_code == 503
    assert lost.client.get("/healthz").status_code == 200


def test_keys_that_cannot_be_had_are_503(site: Site) -> None:
    token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.c2ln"
    headers = {"Authorization": f"Bearer {token}", "content-type": "application/json"}
    answer = site.client.post("/webhooks/keyed", data=b"{}", headers=headers)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert site.rows("refusals") == []


def test_what_nobody_foresaw_is_503_with_a_number_and_no_detail_in_the_log(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_webhook: Any) -> None:
        raise KeyError("canary")

    monkeypatch.setattr(site.sources["shop"], "decode", broken)
    answer = site.post("shop", EVENT)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert answer.json["id"] in caplog.text
    assert b"canary" not in answer.data


def test_a_stranger_fills_neither_the_store_nor_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        site.client.post("/webhooks/shop", data=b"{}")
    assert 10 <= len(site.rows("refusals")) <= 15
    assert caplog.text.count("refused a webhook") == len(site.rows("refusals"))


def test_an_address_that_keeps_failing_waits_and_others_do_not(site: Site) -> None:
    def post(address: str) -> int:
        environ = {"REMOTE_ADDR": "10.0.0.1"}
        headers = {"X-Forwarded-For": f"6.6.6.6, {address}"}
        return site.client.post("/webhooks/shop", data=b"{}", headers=headers, environ_overrides=environ).status_code

    assert {post("93.184.215.14") for _ in range(60)} == {401}
    assert post("93.184.215.14") == 503
    assert post("93.184.215.15") == 401


def test_an_inner_address_that_may_be_everybody_never_waits(site: Site) -> None:
    environ = {"REMOTE_ADDR": "192.168.0.1"}
    answers = {site.client.post("/webhooks/shop", data=b"{}", environ_overrides=environ).status_code for _ in range(90)}
    assert answers == {401}


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("93.184.215.14", "1.2.3.4", "93.184.215.14"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"),
        ("10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, ::1%<script>", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
    ],
)
def test_only_a_trusted_proxy_says_who_the_sender_is(site: Site, peer: str, forwarded: str, address: str) -> None:
    site.client.post(
        "/webhooks/shop", data=b"{}", headers={"X-Forwarded-For": forwarded}, environ_overrides={"REMOTE_ADDR": peer}
    )
    assert [row.address for row in site.rows("refusals")] == [address]


@pytest.mark.parametrize(("peer", "status"), [("10.0.0.1", 200), ("93.184.215.14", 401)])
def test_only_a_trusted_proxy_says_which_certificate_the_client_had(site: Site, peer: str, status: int) -> None:
    headers = {**site.signed("mutual", b"{}"), "X-Forwarded-For": "1.2.3.4"}  # signed says X-Client too
    answer = site.client.post("/webhooks/mutual", data=b"{}", headers=headers, environ_overrides={"REMOTE_ADDR": peer})
    assert answer.status_code == status


# --- every answer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/nothing"), ("DELETE", "/healthz"), ("POST", "/webhooks/shop"),
     ("GET", "/webhooks/shop"), ("POST", "/webhooks/nobody")],
)  # fmt: skip
def test_every_answer_has_the_security_headers(site: Site, method: str, path: str) -> None:
    headers = site.client.open(path, method=method).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in headers


# --- health ------------------------------------------------------------------------------------------------------


def test_ready_says_codes_and_nothing_else(each_site: Site) -> None:
    answer = each_site.client.get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"ready": True, "reasons": [], "warnings": []})
    each_site.warnings.append("config_refused")
    answer = each_site.client.get("/readyz")
    assert (answer.status_code, answer.json["warnings"]) == (200, ["config_refused"])


def test_not_ready_while_draining(site: Site) -> None:
    site.app.extensions["router.health"].draining = True
    assert site.client.get("/readyz").json["reasons"] == ["draining"]
    assert site.client.get("/healthz").status_code == 200


def test_not_ready_with_tables_of_another_version(sources: Any, tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/empty.db"
    (tmp_path / "empty.db").touch()
    app = create_app(lambda: sources, open_store(url, role="web"), Settings(database_url=url))
    answer = app.test_client().get("/readyz")
    assert (answer.status_code, answer.json["reasons"]) == (503, ["schema_mismatch"])

"""The door for webhooks: what is stored, and what each sender is told."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from router.errors import StoreError, UpstreamError
from router.http import Door
from router.logs import JsonFormatter
from router.model import Webhook
from router.settings import Settings
from router.sources import PRESETS, Given, Identity, Source
from router.sources.schemes.hmac_header import Hmac
from router.store.store import open_store
from router.web import create_app
from tests.web.conftest import ENVIRONMENT, SECRET, Site

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


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"content_encoding": "gzip"}, {}),
        ({"content_type": "multipart/form-data; boundary=x"}, {"wanted": "application/json"}),
    ],
)
def test_media_that_the_source_does_not_take_is_415(
    site: Site, headers: dict[str, str], wanted: dict[str, str]
) -> None:
    answer = site.post("shop", EVENT, **headers)
    assert (answer.status_code, answer.json) == (415, {"error": "media type", **wanted})
    assert site.rows("events") == []


def test_a_compressed_body_is_415_whoever_sent_it(site: Site) -> None:
    assert site.client.post("/webhooks/shop", data=b"{}", headers={"Content-Encoding": "gzip"}).status_code == 415


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked,DEFLATE", "compress", "x"])
def test_a_compressed_transfer_is_400_whoever_sent_it(site: Site, coding: str) -> None:
    assert site.post("shop", EVENT, transfer_encoding=coding).status_code == 400
    assert site.rows("events") == []


@pytest.mark.parametrize("coding", ["chunked", "identity, Chunked"])
def test_a_transfer_in_chunks_is_taken(site: Site, coding: str) -> None:
    assert site.post("shop", EVENT, transfer_encoding=coding).status_code == 200


@pytest.mark.parametrize("query", ["id=%00", "id=a%0Ab", "%1F=a", "id=a&id=%7F", "id=%C2%85", "id=%09"])
def test_control_characters_in_the_query_are_400_and_not_trouble_of_ours(each_site: Site, query: str) -> None:
    verify = {"scheme": "hmac", "header": "X-Signature"}
    identity = Identity(id=lambda _element, webhook: webhook.query["id"][0])
    each_site.sources["shop"] = Source("shop", verify=verify, secrets=[Given(SECRET)], identity=identity)
    signed = each_site.signed("shop", b"{}")

    def post(text: str) -> int:
        return each_site.client.post(f"/webhooks/shop?{text}", data=b"{}", headers=signed).status_code

    assert (post("id=a+%C3%A9"), post(query)) == (200, 400)
    assert [row.external_id for row in each_site.rows("events")] == ["a é"]


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
    assert (answer.data == b"") == (method == "HEAD")


@pytest.mark.parametrize("path", ["/webhooks/nobody", "/webhooks/shop", "/nothing", "/healthz"])
def test_what_is_asked_for_its_head_has_no_body(site: Site, path: str) -> None:
    asked, got = site.client.head(path), site.client.get(path)
    assert (asked.status_code, asked.headers["Content-Length"]) == (got.status_code, got.headers["Content-Length"])
    assert asked.data == b""


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


def test_a_verification_that_breaks_is_401_and_told_once_a_minute_without_what_came(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found: list[Exception] = []

    def broken(_scheme: Any, webhook: Webhook, *_given: Any) -> None:
        raise found[0]

    monkeypatch.setattr(Hmac, "verify", broken)
    clock = 1000.0
    monkeypatch.setattr("router.web.webhooks.time", SimpleNamespace(monotonic=lambda: clock))
    forged = site.client.post("/webhooks/office", data=b"{}")
    for error in (KeyError("canary"), KeyError("canary"), AttributeError("canary"), KeyError("canary")):
        found[:] = [error]
        answer = site.post("shop", b"{}")
        assert (answer.status_code, answer.data) == (401, forged.data)
    clock += 61
    assert site.post("shop", b"{}").status_code == 401
    found[:] = [KeyError("canary")]
    assert site.post("meta", b"{}").status_code == 401
    told = [record for record in caplog.records if "broke" in record.getMessage() and record.levelname == "ERROR"]
    assert [record.getMessage() for record in told] == [
        "verifying a webhook of shop broke",
        "verifying a webhook of shop broke",
        "verifying a webhook of shop broke (and 2 before it)",
        "verifying a webhook of meta broke",
    ]
    lines = [JsonFormatter().format(record) for record in told]
    assert [json.loads(line)["error"] for line in lines] == ["KeyError", "AttributeError", "KeyError", "KeyError"]
    assert all(" broken" in json.loads(line)["frames"][-1] for line in lines), "and where"
    assert not [line for line in lines if "canary" in line or SECRET in line]
    rows = [row for row in site.rows("refusals") if row.source == "shop"]
    assert {(row.status, row.reason) for row in rows} == {(401, "broken-verification")}
    assert {row.detail for row in rows} == {"verification broke: KeyError", "verification broke: AttributeError"}


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
        ("10.0.0.1", "203.0.113.5:4711", "203.0.113.5"),
        ("10.0.0.1", "6.6.6.6, [2001:DB8::1]:99, 10.9.9.9:1", "2001:db8::1"),
        ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "::ffff:1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "10.9.9.9", "10.9.9.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        *(
            ("10.0.0.1", f"1.2.3.4, {hop}", "")
            for hop in (
                "nonsense",
                "unknown",
                "::1%<script>",
                "[::1%x]:1",
                "1.2.3.4:x",
                "1.2.3.4:",
                "1.2.3:4",
                "[1",
                "",
            )
        ),
    ],
)
def test_only_a_trusted_proxy_says_who_the_sender_is(site: Site, peer: str, forwarded: str, address: str) -> None:
    site.client.post(
        "/webhooks/shop", data=b"{}", headers={"X-Forwarded-For": forwarded}, environ_overrides={"REMOTE_ADDR": peer}
    )
    assert [row.address for row in site.rows("refusals")] == [address]


@pytest.mark.parametrize("forwarded", ["", "10.9.9.9", "unknown", "203.0.113.5:x"])
def test_a_proxy_never_waits_for_what_others_failed_at(site: Site, forwarded: str) -> None:
    def post(hop: str, headers: Mapping[str, str]) -> int:
        environ = {"REMOTE_ADDR": "10.0.0.1"}
        given = {**headers, "X-Forwarded-For": hop}
        return site.client.post("/webhooks/shop", data=b"{}", headers=given, environ_overrides=environ).status_code

    assert {post(forwarded, {}) for _ in range(90)} == {401}
    assert {post(hop, site.signed("shop", b"{}")) for hop in (forwarded, "1.2.3.4", "[2001:db8::1]:99")} == {200}


def test_a_stranger_behind_a_port_waits_alone(site: Site) -> None:
    def post(hop: str) -> int:
        environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": hop}
        return site.client.post("/webhooks/shop", data=b"{}", environ_overrides=environ).status_code

    assert {post(f"203.0.113.5:{port}") for port in range(60)} == {401}
    assert [post(hop) for hop in ("203.0.113.5:99", "203.0.113.5", "203.0.113.6:99")] == [503, 503, 401]


def test_who_names_certificates_that_are_not_there_waits_and_others_do_not(site: Site) -> None:
    definition = {**PRESETS["paypal"]["verify"], "webhook_id": "WH-1"}
    site.sources["paypal"] = Source("paypal", verify=definition, identity=Identity())
    app = create_app(lambda: site.sources, site.store, Settings(), door=NoDoor())

    def post(number: int, address: str) -> int:
        headers = {
            "paypal-transmission-id": "a",
            "paypal-transmission-time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "paypal-transmission-sig": "AAAA",
            "paypal-auth-algo": "SHA256withRSA",
            "paypal-cert-url": f"https://api.paypal.com/v1/notifications/certs/J{number}",
        }
        answer = app.test_client().post(
            "/webhooks/paypal", data=b"{}", headers=headers, environ_overrides={"REMOTE_ADDR": address}
        )
        assert answer.status_code == 503
        return int(answer.headers["Retry-After"])

    assert {post(number, "93.184.215.14") for number in range(60)} == {5}
    assert post(61, "93.184.215.14") == 30
    assert post(61, "93.184.215.15") == 5


class NoDoor(Door):
    """A network in which nothing is there."""

    def get(self, url: str, **_options: Any) -> bytes:
        raise UpstreamError(f"nothing at {url}")


def test_what_has_to_come_again_fills_no_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.app = create_app(lambda: site.sources, site.store, Settings(), door=NoDoor())
    token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.c2ln"
    for _ in range(100):
        site.client.post("/webhooks/keyed", data=b"{}", headers={"Authorization": f"Bearer {token}"})
    told = [record.getMessage() for record in caplog.records if "has to come again" in record.getMessage()]
    assert 10 <= len(told) <= 15


def test_what_was_left_out_of_the_log_is_counted(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_given: Any) -> None:
        raise UpstreamError("away")

    monkeypatch.setattr(site.sources["shop"], "verify", away)
    clock = 1000.0
    monkeypatch.setattr("router.web.webhooks.time", SimpleNamespace(monotonic=lambda: clock))
    for _ in range(14):
        site.post("shop", b"{}")
    clock += 1
    site.post("shop", b"{}")
    assert caplog.records[-1].getMessage().endswith("has to come again: away (and 4 webhooks before it)")


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

"""Ids, types, times and versions of events."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import SignatureError
from router.model import Instant
from router.sources import Identity
from tests.sources.given import AT, BODY, NOW, a_source, after, as_bytes, envelope, request


def events(body: Any, **options: Any) -> Any:
    return a_source(**options).decode(request(as_bytes(body)))


def test_an_event_is_what_its_readers_say() -> None:
    (event,) = events({"id": "e1", "type": "user.updated", "at": AT - 60, "version": 7})
    assert (event.source, event.external_id, event.type) == ("x", "e1", "user.updated")
    assert (event.occurred_at, event.received_at, event.object_version) == (after(-60), NOW, 7)
    assert not event.weak_id


# --- ids ----------------------------------------------------------------------------------------------------------

DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize("given_id", [None, "", "   ", "\n"])
def test_without_an_id_the_bytes_are_the_id(given_id: str | None) -> None:
    (event,) = a_source(identity=Identity(id=lambda _e, _w: given_id)).decode(request())
    assert event.external_id == f"sha256:{DIGEST}#0"
    assert event.weak_id


def test_the_digest_covers_the_whole_request_and_the_index_tells_elements_apart() -> None:
    body = as_bytes([{}, {"id": "b"}, {}])
    digest = hashlib.sha256(body).hexdigest()
    found = a_source().decode(request(body))
    assert [event.external_id for event in found] == [f"sha256:{digest}#0", "b", f"sha256:{digest}#2"]
    assert [event.weak_id for event in found] == [True, False, True]


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a#1", "a#2"]),
        (["a", "b", "a", "b"], ["a", "b", "a#2", "b#3"]),
        (["a#1", "a"], ["a#1", "a"]),
        (["a#2", "a", "a"], ["a#2", "a", "a#2#2"]),
        (["a", "a", "a#1"], ["a", "a#1", "a#1#2"]),
    ],
)
def test_an_id_that_occurs_again_gets_its_index(ids: list[str], names: list[str]) -> None:
    assert [event.external_id for event in events([{"id": one} for one in ids])] == names


@given(st.lists(st.sampled_from(["a", "b", "a#1", "a#2", "b#1#1", "", None]), max_size=12))
def test_ids_in_one_request_are_always_distinct_and_the_same_next_time(ids: list[str | None]) -> None:
    body = [{"id": one} for one in ids]
    names = [event.external_id for event in events(body)]
    assert len(set(names)) == len(names)
    assert names == [event.external_id for event in events(body)]


def test_an_id_in_a_header_is_shared_by_the_elements() -> None:
    identity = Identity(id=lambda _event, webhook: webhook.headers.get("x-delivery"))
    found = a_source(identity=identity).decode(request(as_bytes([{}, {}]), {"x-delivery": "d1"}))
    assert [event.external_id for event in found] == ["d1", "d1#1"]


def test_an_endless_id_becomes_its_digest() -> None:
    (short,) = events({"id": "x" * 256})
    (long,) = events({"id": "x" * 257})
    assert short.external_id == "x" * 256
    assert long.external_id == "sha256:" + hashlib.sha256(b"x" * 257).hexdigest()
    assert not long.weak_id


# --- types --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_type", "name"),
    [("a.b", "a.b"), (" a ", "a"), (None, "untyped"), ("", "untyped"), (" \t", "untyped"), ("x" * 300, "x" * 200)],
)
def test_a_blank_type_is_untyped(given_type: str | None, name: str) -> None:
    assert events({"type": given_type})[0].type == name


# --- times --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "version", "occurred_at", "object_version"),
    [
        (None, None, NOW, 0),
        (-60, None, after(-60), 0),
        (-86_400 * 400, None, after(-86_400 * 400), 0),
        (299, None, after(299), 0),
        (300, None, after(300), 0),
        (301, None, after(300), 0),
        (10_000_000, None, after(300), 0),
        (None, -60, after(-60), (AT - 60) * 1_000_000),
        (None, 301, after(300), (AT + 301) * 1_000_000),
        (-5, -60, after(-5), (AT - 60) * 1_000_000),
    ],
)
def test_time_falls_back_and_is_never_long_after_the_receipt(
    time: int | None, version: int | None, occurred_at: datetime, object_version: int
) -> None:
    def instant(seconds: int | None) -> Instant | None:
        return None if seconds is None else Instant((AT + seconds) * 1_000_000)

    identity = Identity(time=lambda _e, _w: instant(time), version=lambda _e, _w: instant(version))
    (event,) = a_source(identity=identity).decode(request())
    assert (event.occurred_at, event.object_version) == (occurred_at, object_version)


def test_microseconds_are_kept() -> None:
    (event,) = a_source(identity=Identity(time=lambda _e, _w: Instant(1_768_000_000_123_456))).decode(request())
    assert event.occurred_at.microsecond == 123_456


@pytest.mark.parametrize(
    ("version", "number"),
    [(0, 0), (7, 7), (-3, -3), (2**63 - 1, 2**63 - 1), (2**63, 0), (-(2**63) - 1, 0), (10**30, 0)],
)
def test_a_counter_breaks_ties_and_is_no_time(version: int, number: int) -> None:
    (event,) = a_source(identity=Identity(version=lambda _e, _w: version)).decode(request())
    assert (event.object_version, event.occurred_at) == (number, NOW)


# --- what is kept -------------------------------------------------------------------------------------------------


def test_only_the_named_headers_and_parameters_are_kept() -> None:
    source = a_source(keep_headers=["X-Tenant", "x-missing"], keep_query=["team", "missing"])
    webhook = request(BODY, {"x-tenant": "north", "authorization": "s"}, query={"team": ["a", "b"], "token": ["s"]})
    (event,) = source.decode(webhook)
    assert event.headers == {"x-tenant": "north"}
    assert event.query == {"team": "a"}


# --- age ----------------------------------------------------------------------------------------------------------


def test_an_event_older_than_max_age_looks_like_a_replay() -> None:
    source = a_source(max_age_s=3600)
    body = as_bytes({"id": "a", "at": AT - 3600})
    assert len(source.decode(request(body))) == 1
    assert len(source.decode(request(b'{"id":"no time"}'))) == 1
    with pytest.raises(SignatureError):
        source.decode(request(body, at=NOW + timedelta(seconds=1)))


def test_an_old_event_does_not_refuse_the_others() -> None:
    body = [{"id": "a", "at": AT - 3601}, {"id": "b", "at": AT}, 5]
    found = events(body, max_age_s=3600)
    assert [event.error for event in found] == ["older than max_age", "", "not an object"]


def test_a_bad_line_has_an_id_of_the_bytes_and_the_time_of_receipt() -> None:
    (event,) = a_source(envelope=envelope("lines")).decode(request(b"{bad"))
    assert event.weak_id
    assert (event.type, event.occurred_at) == ("untyped", NOW)

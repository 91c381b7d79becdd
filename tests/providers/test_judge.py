"""Status, completeness and waits, as any provider without a table of its own sees them."""

from __future__ import annotations

import pytest

from router.model import Outcome, OutcomeKind, Reply
from router.providers.judge import STATUSES, after_write, is_complete, judge_status, success, told_wait

NOW = 1763787600.0  # 2025-11-22T05:00:00Z
D, R, T, N, X = (
    OutcomeKind.DELIVERED,
    OutcomeKind.RETRY,
    OutcomeKind.THROTTLED,
    OutcomeKind.DENIED,
    OutcomeKind.REJECTED,
)


def reply(status: int = 429, body: bytes = b"", *, framed: bool = True, now: float = NOW, **headers: str) -> Reply:
    return Reply(status, {key.replace("_", "-"): value for key, value in headers.items()}, body, framed, now)


@pytest.mark.parametrize(
    ("statuses", "kind", "ambiguous", "applied_maybe"),
    [
        ([200, 201, 202, 204, 207, 299], D, False, True),
        ([408, 425, 500, 501, 503, 505, 599], R, False, True),
        ([502, 504], R, True, True),
        ([-1, 0, 1, 100, 101, 199, 600, 999, 10**20], R, False, True),
        ([429], T, False, False),
        ([300, 301, 302, 303, 304, 307, 308, 399, 401, 402, 403, 404, 407], N, False, False),
        (
            [400, 405, 406, 409, 410, 411, 412, 413, 414, 415, 418, 421, 422, 423, 424, 426, 428, 431, 451, 499],
            X,
            False,
            True,
        ),
    ],
)
def test_each_status_has_its_outcome(
    statuses: list[int], kind: OutcomeKind, ambiguous: bool, applied_maybe: bool
) -> None:
    for status in statuses:
        outcome = judge_status(reply(status))
        assert (status, outcome.kind, outcome.ambiguous, outcome.applied_maybe) == (
            status,
            kind,
            ambiguous,
            applied_maybe,
        )
        assert outcome.reason.startswith(f"{status}: ") if kind is not D else not outcome.reason


def test_503_with_a_wait_is_throttled() -> None:
    outcome = judge_status(reply(503, retry_after="20"))
    assert (outcome.kind, outcome.wait_s) == (T, 20.0)
    assert judge_status(reply(503, retry_after="soon")).kind is R
    assert judge_status(reply(500, retry_after="20")).wait_s is None


def test_a_table_goes_before_the_defaults() -> None:
    assert judge_status(reply(409), {409: R}).kind is R
    assert judge_status(reply(200), {200: X}).kind is X


@pytest.mark.parametrize("status", [200, 201, 400, 401, 429, 500])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"status": ', b"5", b'"text"', b"null", b"true"])
def test_a_reply_without_framing_is_complete_only_as_a_whole_document(status: int, body: bytes) -> None:
    cut = reply(status, body, framed=False)
    assert not is_complete(cut)
    outcome = judge_status(cut)
    assert (outcome.kind, outcome.ambiguous) == (R, True)
    whole = reply(status, b'{"a": 1}', framed=False)
    assert is_complete(whole)
    assert judge_status(whole) == judge_status(reply(status, b'{"a": 1}'))


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": " 7.5 "}, 7.5),
        ({"retry_after": "0"}, 0.5),
        ({"retry_after": "0.1"}, 0.5),
        ({"retry_after": "3600"}, 3600.0),
        ({"retry_after": "3601"}, 3600.0),
        ({"retry_after": "999999999999999"}, 3600.0),
        ({"retry_after": "Sat, 22 Nov 2025 05:00:30 GMT"}, 30.0),
        ({"retry_after": "Sat, 22 Nov 2025 05:00:30 -0000"}, 30.0),
        ({"retry_after": "Sat, 22 Nov 2025 04:59:00 GMT"}, 0.5),
        ({"retry_after": "Sun, 22 Nov 2026 05:00:00 GMT"}, 3600.0),
        ({"retry_after": "7", "x_ratelimit_reset": "30"}, 7.0),
        ({"retry_after": "soon", "x_ratelimit_reset": "30"}, 30.0),
        ({"x_ratelimit_reset": "30"}, 30.0),
        ({"x_ratelimit_reset": "1763787630"}, 30.0),
        ({"x_ratelimit_reset": "1763787630.5"}, 30.5),
        ({"x_ratelimit_reset": "1763787541"}, 0.5),
        ({"x_ratelimit_reset": "1763787500"}, None),
        ({"x_ratelimit_reset": "1763873999"}, 3600.0),
        ({"x_ratelimit_reset": "1763874001"}, None),
        ({"x_ratelimit_reset": "1763787630000"}, None),
        ({"x_ratelimit_reset": "1000000000"}, 3600.0),
        ({"x_ratelimit_reset": "-5"}, None),
        ({"x_ratelimit_reset": "nan"}, None),
        ({"x_ratelimit_reset": "٣"}, None),
        *[
            ({"retry_after": nonsense}, None)
            for nonsense in (
                "-1",
                "nan",
                "inf",
                "1e3",
                "5, 10",
                "0x10",
                "٣",
                "Sat, 99 Nov 2025 99:00:00 GMT",
                "x" * 500,
            )
        ],
    ],
)
def test_the_wait_that_a_reply_asks_for(headers: dict[str, str], wait_s: float | None) -> None:
    wait = told_wait(reply(**headers))
    assert (None if wait is None else wait.seconds) == wait_s
    assert judge_status(reply(429, **headers)).wait_s == wait_s


def test_a_date_means_nothing_if_the_time_of_reading_is_unknown() -> None:
    assert told_wait(reply(retry_after="Sat, 22 Nov 2025 05:00:30 GMT", now=0.0)) is None
    assert told_wait(reply(x_ratelimit_reset="1763787630", now=0.0)) is None


def test_a_wait_names_its_header() -> None:
    assert judge_status(reply(retry_after="7")).reason == "429: too many requests, wait 7 s by retry-after"
    assert judge_status(reply(x_ratelimit_reset="7")).reason == "429: too many requests, wait 7 s by x-ratelimit-reset"


def test_after_a_write_something_may_be_applied() -> None:
    assert after_write(Outcome(T, applied_maybe=False)).applied_maybe
    kept = Outcome(R, "x", ambiguous=True)
    assert after_write(kept) is kept


def test_every_status_of_the_table_says_what_to_do_or_that_it_is_tried_again() -> None:
    for code, advice in STATUSES.items():
        assert code.isdigit()
        assert advice.meaning
        assert advice.action or advice.retry


def test_an_example_is_complete() -> None:
    assert judge_status(success({"ok": True}, 201)).kind is D

"""Types of traits: what the cases in `cases/types.yaml` leave open."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model import Instant, from_us, to_us
from router.ruleset.times import zone_hint, zone_names, zone_of
from router.ruleset.types import TYPES, Unusable, converter
from router.ruleset.values import MISSING, describe

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 12, 31)).map(lambda moment: moment.replace(tzinfo=UTC))


def as_type(value: Any, name: str, timezone: str = "UTC", region: str | None = None) -> Any:
    return converter(name, region=region, timezone=timezone)(value)


def outcome(value: Any, name: str) -> Any:
    """What the type gives, or the exception it raises."""
    try:
        return as_type(value, name, region="KR")
    except Unusable as error:
        return error


def refusal(value: Any, name: str) -> Unusable:
    with pytest.raises(Unusable) as caught:
        as_type(value, name)
    return caught.value


@given(JSON, st.sampled_from(TYPES))
def test_anything_is_converted_or_unusable(value: Any, name: str) -> None:
    result = outcome(value, name)
    if isinstance(result, Unusable):
        assert result.reason == f"{describe(value)} {result.predicate}"
    else:
        assert result is MISSING or type(result) in {str, int, float, bool, list, Instant}


@given(JSON, st.sampled_from(TYPES))
def test_what_a_type_gives_it_takes_unchanged(value: Any, name: str) -> None:
    result = outcome(value, name)
    if not isinstance(result, Unusable) and result is not MISSING and result != "":
        assert as_type(result, name) == result


@given(st.text(alphabet="abcdefgh1234567@. ", min_size=4, max_size=30), st.sampled_from(TYPES))
def test_a_reason_quotes_nothing(value: str, name: str) -> None:
    result = outcome(value, name)
    if isinstance(result, Unusable) and len(value.strip()) >= 4:
        assert value.strip() not in result.reason


@given(MOMENTS)
def test_a_time_is_read_to_the_microsecond(moment: datetime) -> None:
    us = to_us(moment)
    assert as_type(moment.isoformat(), "time") == Instant(us)
    assert as_type(str(Instant(us)), "time") == Instant(us)
    assert as_type(Instant(us), "time") == Instant(us)
    if abs(us // 1_000) >= 10**11:
        assert as_type(us // 1_000, "time") == Instant(us // 1_000 * 1_000)


@given(MOMENTS)
def test_the_date_of_an_instant_is_that_of_the_zone(moment: datetime) -> None:
    assert as_type(Instant(to_us(moment)), "date") == moment.date().isoformat()


def test_seconds_end_where_milliseconds_begin() -> None:
    assert as_type(7_289_654_399, "time") == Instant(to_us(datetime(2200, 12, 31, 23, 59, 59, tzinfo=UTC)))
    assert refusal(7_289_654_400, "time").predicate == "is not a time between 1900 and 2200"
    assert from_us(as_type(10**11, "time").us).year == 1973
    assert from_us(as_type(-(10**11), "time").us).year == 1966


def test_a_zone_with_summer_time_is_kept() -> None:
    assert str(as_type("2025-07-01T12:00:00", "time", "Europe/Oslo")) == "2025-07-01T10:00:00Z"
    assert str(as_type("2025-12-01T12:00:00", "time", "Europe/Oslo")) == "2025-12-01T11:00:00Z"
    assert str(as_type("2025-07-01T12:00:00", "time", "No/Such")) == "2025-07-01T12:00:00Z"


def test_text_has_at_most_4096_characters_once_trimmed() -> None:
    assert as_type(" " + "x" * 4_096 + " ", "text") == "x" * 4_096
    assert refusal("x" * 4_097, "text").reason == "text(4097) is longer than 4,096 characters"


def test_a_list_has_at_most_100_elements_that_are_not_blank() -> None:
    assert len(as_type([*range(100), None], "list")) == 100
    assert refusal(list(range(101)), "list").reason == "list(101) has more than 100 elements"


def test_long_texts_are_refused_before_they_are_looked_at() -> None:
    assert as_type("a@" + "b" * 248 + ".com", "email")
    assert refusal("a@" + "b" * 249 + ".com", "email")
    assert as_type("https://x/" + "y" * 2_038, "url")
    assert refusal("https://x/" + "y" * 2_039, "url")
    assert refusal("9" * 1_000_000, "number")
    assert refusal("1" * 1_000_000, "phone")
    assert refusal("2" * 1_000_000, "time")
    assert refusal("2" * 1_000_000, "date")
    assert refusal("y" * 1_000_000, "bool")


def test_a_control_character_is_no_part_of_an_address() -> None:
    assert refusal("a\x00@b.co", "email")


@pytest.mark.parametrize("value", [float("-inf"), float("inf"), 10**19, 2**63, -(2**63) - 1])
def test_numbers_out_of_range_are_none(value: Any) -> None:
    assert refusal(value, "number").reason == "number is beyond 64 bits"
    assert as_type(2**63 - 1, "number") == 2**63 - 1
    assert refusal(float("nan"), "number").reason == "number is not a number"


@pytest.mark.parametrize("name", ["localtime", "posixrules", "posix/Asia/Seoul", "right/UTC"])
def test_a_zone_that_depends_on_the_machine_is_none(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(files("tzdata.zoneinfo").joinpath("UTC").read_bytes())
    zoneinfo.reset_tzpath([str(tmp_path)])
    try:
        assert zoneinfo.ZoneInfo.no_cache(name)
        assert zone_of.__wrapped__(name) is None
        assert name not in zone_names.__wrapped__()
    finally:
        zoneinfo.reset_tzpath()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("posix/Asia/Seoul", "did you mean 'Asia/Seoul'?"),
        ("right/UTC", "did you mean 'UTC'?"),
        ("right/Asia/Soul", "did you mean 'Asia/Seoul'?"),
        ("localtime", "each machine has another one: name it, as in Asia/Seoul"),
        ("posixrules", "each machine has another one: name it, as in Asia/Seoul"),
        ("Europe/Olso", "did you mean 'Europe/Oslo'?"),
        ("%d.%m.%Y", ""),
    ],
)
def test_the_zone_that_was_meant_is_a_hint(name: str, hint: str) -> None:
    assert zone_hint(name) == hint


def test_a_predicate_follows_any_subject() -> None:
    error = refusal("SOUTH KOREA", "country")
    assert (error.reason, error.predicate) == (
        "text(11) is not a two-letter country code",
        "is not a two-letter country code",
    )


def test_a_whole_number_is_a_phone_number_if_a_region_helps() -> None:
    assert as_type(821012345678, "phone", region="KR") == "+821012345678"
    assert refusal(10**15, "phone")
    assert refusal(-5, "phone")


@pytest.mark.parametrize("text", ["+4912", "+49151", "110"])
def test_a_number_too_short_for_any_country_is_none(text: str) -> None:
    with pytest.raises(Unusable, match="is not a phone number"):
        as_type(text, "phone", region="DE")


@given(st.sampled_from(["http://", "HTTPS://"]), st.text("aZ09.-_:@[]/?#% \u00a0\u017f\u0130", max_size=12))
def test_an_address_is_taken_if_it_has_a_host_and_no_space(scheme: str, rest: str) -> None:
    text = (scheme + rest).strip()
    try:
        host = urlsplit(text).hostname
    except ValueError:
        host = None
    if host and not any(sign.isspace() for sign in text) and rest[0] not in "/?#":
        assert as_type(text, "url") == text
    else:
        assert refusal(text, "url")

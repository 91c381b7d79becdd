"""Hints for words that are misspelled."""

from __future__ import annotations

import pytest

from router.nearest import closest, is_slip, nearest, suggestion, there_are


def test_the_nearest_name_is_a_hint() -> None:
    assert nearest("emial", ["email", "phone"]) == "did you mean 'email'?"
    assert nearest("zzz", ["email", "phone"]) == "one of email, phone"
    assert nearest("zzz", [str(number) for number in range(12)]).startswith("one of 0, 1")
    assert nearest("zzz", [str(number) for number in range(13)]) == ""
    assert nearest("zzz", []) == ""


def test_among_many_names_the_nearest_is_found() -> None:
    names = [f"field_{first}{second}" for first in "abcdefghij" for second in "klmnopqrst"]
    assert nearest("emial", ["email", *names]) == "did you mean 'email'?"
    assert nearest("fiedl_ak", names) == "did you mean 'field_ak'?"


@pytest.mark.parametrize(
    ("word", "other"), [("money", "phone"), ("ledgerly", "calendly"), ("headers", "others"), ("round", "count")]
)
def test_a_name_that_is_only_a_little_like_it_is_no_hint(word: str, other: str) -> None:
    assert nearest(word, [other, "x"]) == f"one of {other}, x"


@pytest.mark.parametrize(
    ("word", "name"),
    [("usr_id", "user"), ("lang", "language"), ("fname", "first_name"), ("time", "timezone")],
)
def test_a_name_that_begins_alike_may_differ_more(word: str, name: str) -> None:
    assert nearest(word, ["about", "money", name]) == f"did you mean {name!r}?"


def test_one_that_begins_alike_comes_before_one_that_is_a_little_more_like_it() -> None:
    assert nearest("money", ["phone", "mode"]) == "did you mean 'mode'?"


def test_how_like_a_name_must_be_can_be_said() -> None:
    assert closest("emails_of", ["email"], like=0.9) == ""
    assert closest("emails_of", ["email"], like=0.6) == "email"


def test_a_suggestion_is_the_name_that_was_meant_or_all_there_are() -> None:
    assert suggestion("emial", ["email", "phone"]) == "did you mean 'email'?"
    assert suggestion("emial", ["email", "phone"], listed=True) == "did you mean 'email'? There are email, phone"
    assert suggestion("zzz", ["email"], listed=True) == suggestion("zzz", ["email"]) == "there is email"
    assert there_are([]) == "there is none"


@pytest.mark.parametrize(
    ("word", "name", "slip"),
    [
        ("user.updatd", "user.updated", True),
        ("user.updateed", "user.updated", True),
        ("user.updsted", "user.updated", True),
        ("user.udpated", "user.updated", True),
        ("User.Updated", "user.updated", True),
        ("user.updated.", "user.updated", True),
        ("user.updated", "user.updated", False),
        ("user.created", "user.updated", False),
        ("user.updated.v1", "user.updated.v2", False),
        ("user.updated1", "user.updated", False),
        ("user.updat", "user.updated", False),
        ("a.b", "a.c", False),
        ("usre.udpated", "user.updated", False),
    ],
)
def test_one_letter_is_a_slip(word: str, name: str, slip: bool) -> None:
    assert is_slip(word, name) == slip
    if len(name) > 5:
        assert is_slip(name, word) == slip

"""Pointers, values, segments, header values and the pieces of body schemas."""

from __future__ import annotations

from collections import deque
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError

from router.errors import BuildError
from router.model import Call, Conversation, Instant, Outcome, OutcomeKind, Reply
from router.providers.bodies import Members, Objects, Text, Texts, find_piece
from router.providers.drive import drive
from router.providers.render import (
    basic_auth,
    body_bytes,
    header_value,
    join_pointer,
    lay,
    look,
    rendered,
    seconds_utc,
    segment,
    segment_fault,
    split_pointer,
)


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_a_pointer_survives_its_text(keys: list[str]) -> None:
    assert split_pointer(join_pointer(tuple(keys))) == tuple(keys)


@pytest.mark.parametrize(
    ("pointer", "keys"), [("/a/b", ("a", "b")), ("/a~1b/~0c", ("a/b", "~c")), ("/~01", ("~1",)), ("/", ("",))]
)
def test_pointers_are_read_as_rfc_6901_says(pointer: str, keys: tuple[str, ...]) -> None:
    assert split_pointer(pointer) == keys


@given(st.text(min_size=1, max_size=80))
def test_a_segment_arrives_as_it_is_or_is_refused(text: str) -> None:
    if segment_fault(text):
        with pytest.raises(BuildError):
            segment(text)
        return
    path = urlsplit(f"https://a.example/x/{segment(text)}/y?z").path
    assert path.count("/") == 3
    assert unquote(path.split("/")[2]) == text
    assert path.split("/")[2] not in {".", ".."}


@pytest.mark.parametrize("text", ["", ".", "..", "a\x00", "a\r\nb", "\x7f", "\x85", "\ud800", "x" * 257, "é" * 129])
def test_what_cannot_be_a_segment_is_refused(text: str) -> None:
    with pytest.raises(BuildError) as refusal:
        segment(text)
    assert refusal.value.__cause__ is None
    assert len(text) < 3 or text not in str(refusal.value)


@pytest.mark.parametrize("text", ["a/../../x", "%2e%2e", "...", "~a", "@", "a" * 256, "é" * 128])
def test_odd_but_honest_ids_go_through(text: str) -> None:
    assert unquote(segment(text)) == text
    assert "/" not in segment(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", " a", "a ", "a\nb", "a\rb", "a\r\nX-Evil: 1", "a\x00", "\x7f", "é", "東", "\ud800", "a\tb", "\u2028"],
)
def test_a_header_value_is_printable_ascii(text: str) -> None:
    with pytest.raises(BuildError) as refusal:
        header_value(text, "key")
    assert str(refusal.value) == "key is not printable ASCII, which a header cannot carry"
    with pytest.raises(BuildError):
        basic_auth("user", text)
    with pytest.raises(BuildError):
        basic_auth(text, "password")


def test_basic_credentials_are_as_rfc_7617_says() -> None:
    assert basic_auth("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    with pytest.raises(BuildError):
        basic_auth("a:b", "c")


def test_values_are_laid_and_looked_up_by_path() -> None:
    body: dict[str, Any] = {}
    lay(body, ("a", "b"), 1)
    lay(body, ("a", "c"), 2)
    assert body == {"a": {"b": 1, "c": 2}}
    assert (look(body, ("a", "c")), look(body, ("a", "x")), look(body, ("a", "b", "c")), look(7, ("a",))) == (
        2,
        None,
        None,
        None,
    )
    with pytest.raises(BuildError):
        lay(body, ("a", "b", "c"), 3)


def test_values_become_json_copies() -> None:
    source = {"t": Instant(1_500_000), "l": (1, None, [Instant(0)]), "n": None}
    assert rendered(source, str) == {"t": "1970-01-01T00:00:01.500000Z", "l": [1, ["1970-01-01T00:00:00Z"]]}
    assert rendered(source, lambda i: i.us, keep_null=True) == {"t": 1_500_000, "l": [1, None, [0]], "n": None}
    assert seconds_utc(Instant(1_999_999)) == "1970-01-01T00:00:01Z"


def test_bytes_are_counted_as_they_go_out() -> None:
    assert body_bytes({"é": 1}) == len('{"é":1}'.encode())
    for bad in (float("nan"), float("inf"), "\ud800", {1, 2}):
        with pytest.raises(BuildError) as refusal:
            body_bytes({"a": bad})
        assert refusal.value.__cause__ is None
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BuildError):
        body_bytes(deep)


class _Body(Schema):
    kind = Text(only="customer", max_chars=10)
    tags = Texts(most=2)
    things = Objects()
    campaign = Members({"source": Text(max_chars=3)})


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"kind": "customer"}, ""),
        ({"kind": "user"}, "is customer"),
        ({"kind": 5}, "is text"),
        ({"tags": ["a", "b"]}, ""),
        ({"tags": ["a", "b", "c"]}, "has at most 2 elements"),
        ({"tags": "ab"}, "is a list of texts"),
        ({"things": [{}]}, ""),
        ({"things": [1]}, "is a list of objects"),
        ({"things": {}}, "is a list of objects"),
        ({"campaign": {"source": "abc"}}, ""),
        ({"campaign": {"source": "abcd"}}, "source is at most 3 characters"),
        ({"campaign": {"sauce": "abc"}}, "has a member that is not known"),
    ],
)
def test_pieces_take_a_value_as_it_is_or_refuse_it(given: dict[str, Any], fault: str) -> None:
    if not fault:
        assert _Body().load(given) == given
        return
    with pytest.raises(ValidationError) as refusal:
        _Body().load(given)
    assert list(refusal.value.normalized_messages().values()) == [[fault]]


def test_a_piece_is_found_by_its_path() -> None:
    pieces = _Body().fields
    assert find_piece(pieces, ()) == (None, 0)
    assert find_piece(pieces, ("campaign",)) == (pieces["campaign"], 1)
    assert find_piece(pieces, ("campaign", "sauce")) == (None, 2)
    assert find_piece(pieces, ("kind", "x", "y")) == (pieces["kind"], 1)


def _greet() -> Conversation:
    first = yield Call("GET", "https://a.example/1")
    second = yield Call("GET", f"https://a.example/{first.status}")
    return Outcome(OutcomeKind.DELIVERED, str(second.status))


def test_a_conversation_is_driven_by_replies_or_by_a_function() -> None:
    replies = [Reply(200, {}, b""), Reply(201, {}, b"")]
    by_list = drive(_greet(), replies)
    waiting = deque(replies)
    by_function = drive(_greet(), lambda _call: waiting.popleft())
    assert by_list == by_function
    assert [call.url for call in by_list.calls] == ["https://a.example/1", "https://a.example/200"]
    assert by_list.result.reason == "201"
    with pytest.raises(IndexError):
        drive(_greet(), replies[:1])

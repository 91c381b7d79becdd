"""When a request is whole: told from its bytes, whichever way they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.web.gathering import MAX_BODY, MAX_HEAD, Coming

POST = b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\n"


def whole_at(request: bytes, cut: int = 1) -> int | None:
    """After how many bytes the request counts as whole, fed in pieces."""
    coming = Coming(0)
    for at in range(0, len(request), cut):
        if coming.add(request[at : at + cut]):
            assert bytes(coming.data) == request[: at + cut]
            return min(at + cut, len(request))
    return None


WHOLE = [
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    POST + b"\r\n",
    POST + b"Content-Length: 0\r\n\r\n",
    POST + b"content-length:5\r\n\r\nabcde",
    POST + b"Content-Length : 5 \r\nX: y\r\n\r\nabcde",
    POST + b"Content-Length: 3\r\nX-Content-Length: 99\r\n\r\nabc",
    POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST + b"Content-Length: 65536\r\n\r\n" + b"x" * MAX_BODY,
]


@pytest.mark.parametrize("request_", WHOLE, ids=range(len(WHOLE)))
@pytest.mark.parametrize("cut", [1, 2, 3, 7, 100_000])
def test_it_is_whole_with_its_last_byte(request_: bytes, cut: int) -> None:
    assert whole_at(request_, cut) == len(request_)


@pytest.mark.parametrize("request_", WHOLE, ids=range(len(WHOLE)))
def test_whoever_reads_it_never_waits(request_: bytes) -> None:
    coming = Coming(0)
    assert coming.add(request_)
    assert coming.whole


@pytest.mark.parametrize("request_", WHOLE, ids=range(len(WHOLE)))
def test_it_is_not_before(request_: bytes) -> None:
    assert whole_at(request_[:-1], 50_000) is None


HEADS = [
    (b"Content-Length: 65537\r\n\r\n", "a long body is read by a thread"),
    (b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "the parser refuses it"),
    (b"Content-Length: x\r\n\r\n", "the parser refuses it"),
    (b"Content-Length: 999999999999999999999\r\n\r\n", "the parser refuses it"),
    (b"Content-Length: 65537\r\nExpect: 100-continue\r\n\r\n", "a thread asks for the body"),
    (b"Transfer-Encoding: gzip, chunked\r\n\r\n", "the parser refuses it"),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "the parser refuses it"),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "the parser refuses it"),
    (b"Content-Length: 5\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n", "the parser refuses it"),
]


@pytest.mark.parametrize(("head", "why"), HEADS)
def test_some_are_read_once_the_head_is_there(head: bytes, why: str) -> None:
    assert whole_at(POST + head + b"abc") == len(POST + head), why
    coming = Coming(0)
    assert coming.add(POST + head + b"abc")
    assert not coming.whole


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"6\r\nab\r\n\r\n\r\n0\r\n\r\n",
        b'3;name="a"\r\nabc\r\n00\r\nX-Trailer: y\r\n\r\n',
        b"00000003 \r\nabc\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("cut", [1, 2, 5, 1_000])
def test_chunks_are_followed_to_the_last_one(body: bytes, cut: int) -> None:
    assert whole_at(CHUNKED + body, cut) == len(CHUNKED + body)


@pytest.mark.parametrize(
    ("body", "at"),
    [(b"x\r\n", 3), (b"3\r\nabcd\r\n", 8), (b"\r\n", 2), (b"3\r\nabc\r\n\r\n", 10), (b"1" * 5_000, 4_097)],
)
def test_what_is_not_well_chunked_is_for_the_parser_to_refuse(body: bytes, at: int) -> None:
    assert whole_at(CHUNKED + body) == len(CHUNKED) + at
    coming = Coming(0)
    assert coming.add(CHUNKED + body)
    assert not coming.whole


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("cut", [1, 3, 1_000])
def test_a_sender_that_waits_is_to_be_asked_and_the_head_says_so_no_more(framing: bytes, cut: int) -> None:
    coming = Coming(0)
    head = POST + b"Expect: 100-Continue \r\n" + framing + b"\r\n\r\n"
    assert not any(coming.add(head[at : at + cut]) for at in range(0, len(head), cut))
    assert coming.waits
    body = b"abcde" if b"Length" in framing else b"5\r\nabcde\r\n0\r\n\r\n"
    assert coming.add(body)
    assert bytes(coming.data) == POST + framing + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        b"\r\nExpect: 100-continue\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_an_older_sender_or_one_without_a_first_line_is_not_asked(head: bytes) -> None:
    coming = Coming(0)
    coming.add(head)
    assert not coming.waits
    assert bytes(coming.data) == head


def test_a_head_without_an_end_is_too_long() -> None:
    coming = Coming(0)
    assert not coming.add(b"x" * MAX_HEAD)
    assert not coming.too_long
    assert coming.add(b"x")
    assert coming.too_long


def test_a_chunked_body_without_an_end_is_handed_on() -> None:
    chunk = b"5\r\nabcde\r\n"
    request = POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 10_000
    found = whole_at(request, 1_000)
    assert found is not None
    assert found > MAX_BODY


def test_what_follows_the_request_comes_with_it() -> None:
    coming = Coming(0)
    assert coming.add(WHOLE[3] + b"POST /next")
    assert bytes(coming.data).endswith(b"POST /next")


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), min_size=1))
def test_any_bytes_are_gathered_the_same_whatever_the_cuts(data: bytes, cuts: list[int]) -> None:
    coming, at, found = Coming(0), 0, None
    for cut in cuts * 300:
        if at >= len(data):
            break
        if coming.add(data[at : at + cut]):
            found = at + cut
            break
        at += cut
    once = Coming(0)
    if found is None and data:
        assert not once.add(data)
    assert bytes(coming.data) == data[: len(coming.data)]

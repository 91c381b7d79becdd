"""Forms: read as `urllib` reads them, at a cost that no sender can drive up."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import MalformedError, TooLarge
from router.sources.forms import MAX_BYTES, MAX_HEAD, decode_form, decode_multipart

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
MULTIPART = "multipart/form-data; boundary=b"


def as_map(pairs: list[tuple[str, str]]) -> dict[str, str | list[str]]:
    form: dict[str, list[str]] = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in form.items()}


@given(st.lists(st.tuples(texts, texts), max_size=6), st.sampled_from([quote, quote_plus]))
def test_what_was_encoded_is_read(pairs: list[tuple[str, str]], how: object) -> None:
    body = urlencode(pairs, quote_via=how).encode()  # type: ignore[call-overload]  # both quote
    assert decode_form(body) == as_map(pairs)


@given(
    st.lists(
        st.sampled_from(
            ["a", "b", "=", "&", "+", "%41", "%3d", "%26", "%0A", "\n", "\r\n", " ", "_", "é", "%C3%A9", ";"]
        )
    )
)
def test_odd_forms_are_read_as_urllib_reads_them(pieces: list[str]) -> None:
    body = "".join(pieces)
    assert decode_form(body.encode()) == as_map(parse_qsl(body, keep_blank_values=True, errors="strict"))


@pytest.mark.parametrize("body", [b"a=%", b"a=%4", b"%zz=1", b"a=100%", b"a=%%41", b"%" * 1000])
def test_a_stray_percent_sign_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError, match="%"):
        decode_form(body)


@pytest.mark.parametrize("body", [b"a=" + b"x" * MAX_BYTES, b"%41" * MAX_BYTES, b"&".join([b"a=1"] * 1001)])
def test_forms_without_end_are_refused_unread(body: bytes) -> None:
    with pytest.raises(TooLarge):
        decode_form(body)
    with pytest.raises((TooLarge, MalformedError)):
        decode_multipart(body, MULTIPART)


def test_the_headers_of_a_part_are_bounded() -> None:
    def body(more: int) -> bytes:
        head = b'Content-Disposition: form-data; name="a"\r\nX: '
        return b"--b\r\n" + head + b"x" * (MAX_HEAD - len(head) - 2 + more) + b"\r\n\r\n1\r\n--b--\r\n"

    assert decode_multipart(body(0), MULTIPART) == {"a": "1"}
    with pytest.raises(MalformedError, match="headers"):
        decode_multipart(body(1), MULTIPART)


def test_a_multipart_body_over_a_mebibyte_is_refused() -> None:
    with pytest.raises(TooLarge):
        decode_multipart(b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * MAX_BYTES, MULTIPART)

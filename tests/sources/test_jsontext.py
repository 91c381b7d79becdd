"""JSON from strangers."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import MalformedError
from router.sources import decode_json, encode_json, jsontext
from router.sources.jsontext import MAX_DEPTH, MAX_KEYS, MAX_STRING_BYTES


def nested(depth: int, opener: bytes = b"[", closer: bytes = b"]") -> bytes:
    return opener * depth + closer * depth


def objects(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def keys(count: int) -> bytes:
    return b"{" + b",".join(b'"%d":0' % number for number in range(count)) + b"}"


GOOD: dict[str, tuple[bytes, Any]] = {
    "object": (b'{"a":[1,2.5,true,false,null,"x"]}', {"a": [1, 2.5, True, False, None, "x"]}),
    "white space": (b' \t\r\n{"a" : 1}\n', {"a": 1}),
    "one byte order mark": (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
    "UTF-8": ('{"é":"한국 😀"}'.encode(), {"é": "한국 😀"}),
    "a surrogate pair": (b'"\\ud83d\\ude00"', "😀"),
    "an escaped backslash before u0000": (b'"\\\\u0000 \\\\ud800"', "\\u0000 \\ud800"),
    "big numbers stay whole": (
        b"[9007199254740993,123456789012345678901234567890]",
        [9007199254740993, 123456789012345678901234567890],
    ),
    "4300 digits": (b"1" * 4300, int("1" * 4300)),
    "depth 64": (nested(MAX_DEPTH), json.loads(nested(MAX_DEPTH))),
    "depth 64 of objects": (objects(MAX_DEPTH), json.loads(objects(MAX_DEPTH))),
    "many brackets side by side": (b"[" + b",".join([b"[{}]"] * 500) + b"]", [[{}]] * 500),
    "brackets in text": (b'["' + b"[" * 500 + b'","\\"' + b"{" * 500 + b'\\\\"]', ["[" * 500, '"' + "{" * 500 + "\\"]),
    "10,000 keys": (keys(MAX_KEYS), json.loads(keys(MAX_KEYS))),
    "colons in text": (b'["' + b":" * 20_000 + b'"]', [":" * 20_000]),
    "256 KB of text": (b'"' + b"x" * MAX_STRING_BYTES + b'"', "x" * MAX_STRING_BYTES),
    "100,000 values": (b"[" + b"0," * 99_999 + b"0]", [0] * 100_000),
    "100,000 texts": (b"[" + b'"",' * 99_999 + b'""]', [""] * 100_000),
    "50,000 lists": (b"[" + b"[]," * 49_999 + b"[]]", [[]] * 50_000),
    "256 KB of text over many windows": (b'[1,"' + b"\\\\" * 100_000 + b'\\"",2]', [1, "\\" * 100_000 + '"', 2]),
    "much text in pieces": (b'["' + b'","'.join([b"x" * 200_000] * 3) + b'"]', ["x" * 200_000] * 3),
}

BAD: dict[str, bytes] = {
    "nothing": b"",
    "white space only": b"  ",
    "no JSON": b"hello",
    "two values": b"{} {}",
    "cut off": b'{"a":',
    "single quotes": b"{'a':1}",
    "trailing comma": b"[1,]",
    "Latin-1": b'{"a":"\xe9"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-32": '{"a":1}'.encode("utf-32"),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + b"{}",
    "overlong UTF-8": b'"\xc0\xaf"',
    "surrogate in UTF-8": b'"\xed\xa0\x80"',
    "raw NUL": b'"\x00"',
    "escaped NUL": b'{"a":["x\\u0000"]}',
    "NUL in a key": b'{"a\\u0000":1}',
    "lone high surrogate": b'{"a":"\\ud800"}',
    "lone low surrogate": b'["\\uDEAD"]',
    "surrogates the wrong way round": b'["\\ude00\\ud83d"]',
    "lone surrogate in a key": b'{"\\uD83D":1}',
    "a control character": b'"\n"',
    "NaN": b'{"a":NaN}',
    "Infinity": b"[Infinity]",
    "minus Infinity": b"[-Infinity]",
    "beyond a double": b'{"a":1e999}',
    "minus beyond a double": b"[-1.5e400]",
    "4301 digits": b"1" * 4301,
    "many digits within": b'{"a":[' + b"9" * 100_000 + b"]}",
    "a key twice": b'{"a":1,"a":2}',
    "a key twice, one escaped": b'{"a":1,"\\u0061":2}',
    "a key twice, deep": b'[[{"x":{"a":1,"b":2,"a":3}}]]',
    "depth 65": nested(MAX_DEPTH + 1),
    "depth 66": nested(MAX_DEPTH + 2),
    "depth 65 of objects": objects(MAX_DEPTH + 1),
    "depth 100,000": nested(100_000),
    "depth 100,000, objects": objects(100_000),
    "never closed": b"[" * 100_000,
    "never closed, objects": b'{"a":' * 100_000,
    "never opened": b"]" * 100_000,
    "deep behind text": b'["\\"[\\\\",' + nested(65) + b"]",
    "deep between texts": b'["a",' + nested(70) + b',"b"]',
    "crossed brackets": b"[{" * 40 + b"]}" * 40,
    "10,001 keys": keys(MAX_KEYS + 1),
    "10,001 keys in several objects": b"[" + b",".join([keys(101)] * 100) + b"]",
    "100,002 values": b"[" + b"0," * 100_001 + b"0]",
    "100,001 lists": b"[" + b"[]," * 100_000 + b"[]]",
    "110,002 texts": b'"" ' * 110_002,
    "more than 256 KB of text": b'"' + b"x" * (MAX_STRING_BYTES + 1) + b'"',
    "more than 256 KB of escapes": b'"' + b'\\"' * (MAX_STRING_BYTES // 2 + 1) + b'"',
    "more than 256 KB of a key": b'{"' + b"x" * (MAX_STRING_BYTES + 1) + b'":1}',
}


@pytest.mark.parametrize("name", GOOD)
def test_good_json_is_read(name: str) -> None:
    body, value = GOOD[name]
    assert decode_json(body) == value


@pytest.mark.parametrize("name", BAD)
def test_bad_json_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        decode_json(BAD[name])


@pytest.mark.parametrize("name", BAD)
def test_the_reason_never_quotes_the_text(name: str) -> None:
    with pytest.raises(MalformedError) as caught:
        decode_json(BAD[name].replace(b"hello", b"secret-value"))
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 120


class Counted:
    """What a text is made of, one byte after the other."""

    def __init__(self, text: bytes) -> None:
        self.keys = self.values = self.opened = self.quotes = self.depth = self.deepest = self.longest = 0
        length, inside, escaped = 0, False, False
        for byte in text:
            char = chr(byte)
            plain, escaped = not (escaped and char in '\\"'), char == "\\" and not escaped
            if not plain or escaped:
                length += inside
            elif char == '"':
                inside, length = not inside, 0
                self.quotes += 1
            elif inside:
                length += 1
            else:
                self.keys += char == ":"
                self.values += char == ","
                self.opened += char in "[{"
                self.depth += (char in "[{") - (char in "]}")
                self.deepest = max(self.deepest, self.depth)
            self.longest = max(self.longest, length)


@given(
    text=st.text('[]{}",:\\a', max_size=60).map(str.encode),
    window=st.integers(1, 9),
    most=st.fixed_dictionaries({"MAX_DEPTH": st.integers(0, 5), "MAX_KEYS": st.integers(0, 5),
                                "MAX_VALUES": st.integers(5, 9), "MAX_STRING_BYTES": st.integers(0, 9)}),
)  # fmt: skip
def test_windows_make_no_difference(text: bytes, window: int, most: dict[str, int]) -> None:
    counted = Counted(text)
    over = {
        counted.deepest > most["MAX_DEPTH"],
        counted.keys > most["MAX_KEYS"],
        max(counted.values, counted.opened, counted.quotes // 2 - most["MAX_KEYS"]) > most["MAX_VALUES"],
        counted.longest > most["MAX_STRING_BYTES"],
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**most, "_WINDOW": window}.items():
            patch.setattr(jsontext, name, value)
        try:
            jsontext.check_size(text)
        except MalformedError:
            assert True in over
        else:
            assert True not in over


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_everything_that_json_can_say_is_read_as_it_was_written(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    assert decode_json(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()) == value


@given(values)
def test_what_is_encoded_can_be_decoded(value: Any) -> None:
    assert decode_json(encode_json(value)) == value


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(MalformedError):
        decode_json(body)

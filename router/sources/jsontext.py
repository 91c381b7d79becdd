"""JSON from strangers: strict, bounded, and hardly slower than `json.loads`.

The limits are checked on the bytes by C-speed scans that most documents pass at a glance; only what could break a limit
is looked at more closely, and only up to where it does.

https://www.rfc-editor.org/rfc/rfc8259, and https://www.rfc-editor.org/rfc/rfc7493 for duplicate keys
"""

from __future__ import annotations

import json
import math
import re
from itertools import accumulate
from typing import Any, NoReturn

from router.errors import MalformedError

MAX_DEPTH = 64
MAX_KEYS = 10_000
#: elements of lists, members of objects
MAX_VALUES = 100_000
MAX_STRING_BYTES = 262_144

#: bytes that are looked at together
_WINDOW = 32_768

_BOM = b"\xef\xbb\xbf"
#: an escape that may give NUL or half a surrogate pair
_DOUBTFUL = re.compile(rb"\\u(?:0000|[dD][89abAB-F])")


def decode_json(body: bytes) -> Any:
    """The value of one JSON text. Raises `MalformedError`, which says what is wrong and never quotes the text."""
    if body.startswith(_BOM):
        body = body[3:]
    check_size(body)
    try:
        value = _DECODER.decode(body.decode())
    except MalformedError:
        raise
    except UnicodeDecodeError:
        raise MalformedError("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedError(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError:
        raise MalformedError("a number has more digits than can be read") from None
    if _DOUBTFUL.search(body):
        check_text(value)
    return value


def encode_json(value: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def check_size(body: bytes) -> None:
    """Depth, number of keys and values and length of strings, without parsing. Raises `MalformedError`."""
    if (
        len(body) <= MAX_STRING_BYTES
        and body.count(b"{") + body.count(b"[") <= MAX_DEPTH
        and body.count(b":") <= MAX_KEYS
        and body.count(b",") <= MAX_VALUES
    ):
        return
    scan, start = _Scan(), 0
    while start < len(body):
        window = body[start : start + _WINDOW]
        if (len(window) - len(window.rstrip(b"\\"))) % 2:  # an escape is not cut in two
            window = body[start : start + _WINDOW + 1]
        start += len(window)
        scan.feed(window)


class _Scan:
    """Counts what limits are about, window by window, and stops where one is passed: hostile bytes cost no more."""

    def __init__(self) -> None:
        self._keys = self._values = self._opened = self._quotes = self._depth = 0
        #: whether the last window ended inside a string, and the bytes of that string so far
        self._inside = False
        self._string_bytes = 0

    def feed(self, window: bytes) -> None:
        """The next bytes of a text. Raises `MalformedError`."""
        # escapes of the same length that hide no quote, then every second piece is inside a string
        pieces = window.replace(b"\\\\", b"__").replace(b'\\"', b"__").split(b'"')
        self._quotes += len(pieces) - 1
        if self._inside:
            pieces.insert(0, b"")
        self._measure_strings(pieces)
        outside = b"".join(pieces[::2])
        self._keys += outside.count(b":")
        self._values += outside.count(b",")
        if self._keys > MAX_KEYS:
            raise MalformedError(f"more than {MAX_KEYS} keys")
        self._measure_depth(outside.translate(_ONE_KIND, _NO_BRACKETS))
        if max(self._values, self._opened, self._quotes // 2 - MAX_KEYS) > MAX_VALUES:
            raise MalformedError(f"more than {MAX_VALUES} values")

    def _measure_strings(self, pieces: list[bytes]) -> None:
        lengths = [len(piece) for piece in pieces[1::2]]
        if self._inside:
            lengths[0] += self._string_bytes
        self._inside = len(pieces) % 2 == 0
        if self._inside:
            self._string_bytes = lengths[-1]
        if max(lengths, default=0) > MAX_STRING_BYTES:
            raise MalformedError("a string is longer than 256 KB")

    def _measure_depth(self, brackets: bytes) -> None:
        """Open brackets without a partner count too: such a text is no JSON, but it must not reach the parser."""
        opened = brackets.count(b"[")
        self._opened += opened
        if self._depth + opened > MAX_DEPTH:
            steps = map(_STEPS.__getitem__, brackets)
            if max(accumulate(steps, initial=self._depth)) > MAX_DEPTH:
                raise MalformedError(f"nested deeper than {MAX_DEPTH}")
        self._depth += 2 * opened - len(brackets)


_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = {ord("["): 1, ord("]"): -1}


def check_text(value: Any) -> None:
    """Refuses NUL and lone surrogates in any text of a decoded value. Raises `MalformedError`."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, str):
            if "\0" in one:
                raise MalformedError("a text holds NUL")
            if not one.isascii() and _has_surrogate(one):
                raise MalformedError("a text holds half a surrogate pair")


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise MalformedError("a key occurs twice in one object")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MalformedError("a number is out of range")
    return number


def _no_constant(_text: str) -> NoReturn:
    raise MalformedError("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_constant=_no_constant)

"""JSON from strangers: strict, bounded, and hardly slower than `json.loads`.

The limits are checked on the bytes by C-speed scans that most documents pass at a glance; only what could break a limit
is looked at more closely.

https://www.rfc-editor.org/rfc/rfc8259, and https://www.rfc-editor.org/rfc/rfc7493 for duplicate keys
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from router.errors import MalformedError

MAX_DEPTH = 64
MAX_KEYS = 10_000
MAX_STRING_BYTES = 262_144

_BOM = b"\xef\xbb\xbf"
#: an escape that may give NUL or half a surrogate pair
_DOUBTFUL = re.compile(rb"\\u(?:0000|[dD][89abAB-F])")


def decode_json(body: bytes) -> Any:
    """The value of one JSON text. Raises `MalformedError`, which says what is wrong and never quotes the text."""
    if body.startswith(_BOM):
        body = body[3:]
    _check_size(body)
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


def _check_size(body: bytes) -> None:
    """Depth, number of keys and length of strings, without parsing."""
    opened = body.count(b"{") + body.count(b"[")
    if opened <= MAX_DEPTH and len(body) <= MAX_STRING_BYTES and body.count(b":") <= MAX_KEYS:
        return
    # escapes of the same length that hide no quote, then every second piece is inside a string
    pieces = body.replace(b"\\\\", b"__").replace(b'\\"', b"__").split(b'"')
    if max(map(len, pieces[1::2]), default=0) > MAX_STRING_BYTES:
        raise MalformedError("a string is longer than 256 KB")
    outside = b"".join(pieces[::2])
    if outside.count(b":") > MAX_KEYS:
        raise MalformedError(f"more than {MAX_KEYS} keys")
    if _depth(outside) > MAX_DEPTH:
        raise MalformedError(f"nested deeper than {MAX_DEPTH}")


def _depth(outside: bytes) -> int:
    """How deep brackets are nested, one more than the limit at most: the innermost pairs are taken out, round by round.

    Open brackets without a partner are counted as depth: such a text is no JSON, but it must not reach the parser.
    """
    brackets = outside.translate(_ONE_KIND, _NO_BRACKETS)
    for depth in range(MAX_DEPTH + 1):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            return depth + brackets.count(b"[")
        brackets = inner
    return MAX_DEPTH + 1


_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


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

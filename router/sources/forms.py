"""Forms and multipart as maps: one value is text, a repeated key is a list. Text only, bounded, in memory."""

from __future__ import annotations

import re
from binascii import a2b_qp

from router.errors import MalformedError, TooLarge
from router.sources.jsontext import MAX_STRING_BYTES

MAX_PARTS = 1000
MAX_BYTES = 1_048_576
#: bytes of the headers of one part
MAX_HEAD = 8_190

#: https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1
_BOUNDARY = re.compile(r"""boundary=(?:"([^"\\]{1,70})"|([0-9A-Za-z'()+_,./:=?-]{1,70}))""", re.IGNORECASE)
#: https://www.rfc-editor.org/rfc/rfc7578#section-4.2
_NAME = re.compile(r'(?:^|;)[ \t]*name="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_FILE = re.compile(r"(?:^|;)[ \t]*filename\*?=", re.IGNORECASE)
_STRAY = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPED = re.compile(r"\\(.)")

Form = dict[str, str | list[str]]


def decode_form(body: bytes) -> Form:
    """`application/x-www-form-urlencoded`. Raises `MalformedError`, or `TooLarge` beyond 1,000 fields or 1 MiB."""
    _check_size(body)
    if body.count(b"&") >= MAX_PARTS:
        raise TooLarge(f"more than {MAX_PARTS} fields")
    if _STRAY.search(body):
        raise MalformedError("a % in the form is not followed by two digits")
    given = [pair.partition(b"=") for pair in body.split(b"&") if pair]
    try:
        return _collect([(_text(name), _text(value)) for name, _, value in given])
    except UnicodeDecodeError:
        raise MalformedError("the form is not UTF-8") from None


def _text(quoted: bytes) -> str:
    """A name or value as it was before it was percent-encoded.

    Quoted-printable is the same with another sign, and decoded at the speed of C; `urllib` takes a second per megabyte.
    """
    return a2b_qp(quoted.replace(b"+", b" ").replace(b"=", b"%3D").replace(b"%", b"=")).decode()


def decode_multipart(body: bytes, content_type: str) -> Form:
    """`multipart/form-data` without files. Raises `MalformedError`, or `TooLarge` beyond 1,000 parts or 1 MiB."""
    _check_size(body)
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise MalformedError("multipart without a boundary")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode()
    if body.count(delimiter) > MAX_PARTS:
        raise TooLarge(f"more than {MAX_PARTS} parts")
    pieces = (b"\r\n" + body).split(delimiter)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise MalformedError("the multipart body has no end")
    return _collect([_part(piece) for piece in pieces[1:-1]])


def _check_size(body: bytes) -> None:
    if len(body) > MAX_BYTES:
        raise TooLarge("a form of more than 1 MiB")


def _part(piece: bytes) -> tuple[str, str]:
    head, found, content = piece.partition(b"\r\n\r\n")
    if not found:
        raise MalformedError("a part has no end of headers")
    if len(head) > MAX_HEAD:
        raise MalformedError(f"the headers of a part are longer than {MAX_HEAD} bytes")
    try:
        lines, text = head.decode().split("\r\n"), content.decode()
    except UnicodeDecodeError:
        raise MalformedError("a part is not UTF-8 text") from None
    fields = {name.strip().lower(): value for name, _, value in (line.partition(":") for line in lines)}
    disposition = fields.get("content-disposition", "").strip()
    kind, _, parameters = disposition.partition(";")
    named = _NAME.search(";" + parameters)
    if kind.strip().lower() != "form-data" or named is None:
        raise MalformedError("a part has no name")
    if _FILE.search(";" + _NAME.sub("", ";" + parameters)):
        raise MalformedError("a part is a file: only text is taken")
    return _ESCAPED.sub(r"\1", named[1]), text


def _collect(pairs: list[tuple[str, str]]) -> Form:
    form: Form = {}
    for name, text in pairs:
        if "\0" in name or "\0" in text:
            raise MalformedError("a field holds NUL")
        if len(text) > MAX_STRING_BYTES or len(name) > MAX_STRING_BYTES:
            raise MalformedError("a field is longer than 256 KB")
        known = form.get(name)
        if known is None:
            form[name] = text
        elif isinstance(known, list):
            known.append(text)
        else:
            form[name] = [known, text]
    return form

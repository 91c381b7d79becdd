"""What a YAML parser refuses, told at the place where it can be mended, with a way to mend it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import yaml

from router.errors import RuleError

_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_FLOW: Final = "did not find expected ',' or "
_NO_END: Final = "the text in quotes has no end"
#: an expression without quotes round it, of which a comma is an argument
_SPLIT: Final = re.compile(
    r"""(?<![^\s\[{,])[.$][^"'{},]{0,500}\(\s*(["'])[^"',]*,[^"']*\1\s*\)(?:\s*\|\s*[a-z0-9]+\b(?!\s*\())*"""
)
#: characters of a line in which it is looked for
_LOOKED_AT: Final = 2_000
_CLOSING: Final = {"[": "]", "{": "}"}
_QUOTED: Final = 'quote the whole value; one that reads the event begins with its path, as in .plan else "free"'
_BRACKETED: Final = "quote the whole value: one that begins with { or [ ends with its bracket"


class Bracket(NamedTuple):
    """One that begins a list or map. `line` and `column` count from 1."""

    sign: str
    line: int
    column: int


def lines_of(text: str) -> list[str]:
    """The lines of a file as YAML counts them."""
    return _BREAK.split(text)


def place_after(before: bytes) -> tuple[int, int]:
    """Line and column that follow some bytes."""
    lines = lines_of(before.decode("utf-8-sig", "replace"))
    return len(lines), len(lines[-1]) + 1


def yaml_problem(file: str, text: str, error: yaml.YAMLError, brackets: Sequence[Bracket]) -> RuleError:
    """A parser's error as a problem of the file. `brackets` are those that are open."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        # the reader's: a character that YAML does not allow
        line, column = place_after(text.encode()[: getattr(error, "position", 0)])
        return RuleError(file, line, column, 1, "yaml", str(getattr(error, "reason", error)))
    message, mark, start = error.problem or "this is not YAML", error.problem_mark, error.context_mark
    if start is not None and "end of stream" in message:
        message, mark = _NO_END, start
    elif start is not None and message == "could not find expected ':'":
        mark = start
    lines = lines_of(text)
    if brackets and _is_end(lines, mark) and message.startswith((_FLOW, "did not find expected node content")):
        inner, hint = brackets[-1], f"write {''.join(_CLOSING[each.sign] for each in reversed(brackets))}"
        return RuleError(file, inner.line, inner.column, 1, "yaml", f"this {inner.sign} is never closed", hint)
    line, column = (mark.line, mark.column) if mark.line < len(lines) else (len(lines) - 1, sys.maxsize)
    # what is missing at the end of a line is told at its last character
    column = max(0, min(column, len(lines[line]) - 1))
    hint = _hint(message, lines, line, column, start)
    return RuleError(file, line + 1, column + 1, 1, "yaml", message, hint)


def _is_end(lines: list[str], mark: Any) -> bool:
    """Whether a place is behind everything."""
    return bool(mark.line >= len(lines) or (mark.line == len(lines) - 1 and mark.column >= len(lines[-1])))


def _hint(message: str, lines: list[str], line: int, column: int, start: Any) -> str:
    """How to mend it; empty where nothing better is known than the message. `start` is where the part around began."""
    before, character = lines[line][:column], lines[line][column : column + 1]
    if message.startswith(_FLOW):
        opened = lines[start.line][start.column]
        if split := _split(lines[start.line]):
            return split
        if line > start.line:
            return f"the {opened} of line {start.line + 1} is still open: close it, or put a comma between its parts"
        if character == ":":
            return 'quote the value: it contains ": "'
        if character in {"[", "]", "{", "}"}:
            return "inside {…} and […] quote what holds any of [ ] { } ,"
        return _QUOTED if _ends_quoted(before) else ""
    if message == _NO_END:
        return _split(lines[line])
    if message.startswith("mapping values"):
        if ": " in before:
            return 'quote the value: it contains ": "'
        return "indent it like the line before, which has a value already or lacks its colon"
    if message == "did not find expected key":
        if _ends_quoted(before):
            return _QUOTED
        if before.rstrip().endswith(("}", "]")):
            return _BRACKETED
        return f"indent it like the keys it belongs to: none of them begins in column {column + 1}"
    if message == "did not find expected comment or line break":
        return _QUOTED
    return _HINTS.get(message) or _of_a_sign(message, character)


def _split(line: str) -> str:
    """The hint for an expression inside brackets that a comma in quotes cuts in two; empty if there is none."""
    found = _SPLIT.search(line[:_LOOKED_AT])
    if found is None:
        return ""
    quote = "'" if found[1] == '"' else '"'
    return f"put quotes round the whole value: {quote}{found[0]}{quote}"


def _ends_quoted(text: str) -> bool:
    return text.rstrip().endswith(('"', "'"))


def _of_a_sign(message: str, character: str) -> str:
    if "cannot start any token" not in message:
        return ""
    return "indent with spaces, not tabs" if character == "\t" else f'quote the value: it starts with "{character}"'


_HINTS: Final = {
    "did not find expected '-' indicator": "a list has items only: indent this key like the one that holds the list",
    "could not find expected ':'": "write key: value, or indent it to go on with the line before",
    "block sequence entries are not allowed in this context": "begin the list on the next line, or write [a, b]",
}

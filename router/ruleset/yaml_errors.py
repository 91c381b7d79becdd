"""What a YAML parser refuses, told at the place where it can be mended, with a way to mend it."""

from __future__ import annotations

import re
import sys
from typing import Any, Final

import yaml

from router.errors import RuleError

_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_FLOW: Final = "did not find expected ',' or "
_QUOTED: Final = 'quote the whole value; one that reads the event begins with its path, as in .plan else "free"'
_BRACKETED: Final = "quote the whole value: one that begins with { or [ ends with its bracket"


def lines_of(text: str) -> list[str]:
    """The lines of a file as YAML counts them."""
    return _BREAK.split(text)


def place_after(before: bytes) -> tuple[int, int]:
    """Line and column that follow some bytes."""
    lines = lines_of(before.decode("utf-8-sig", "replace"))
    return len(lines), len(lines[-1]) + 1


def yaml_problem(file: str, text: str, error: yaml.YAMLError) -> RuleError:
    """A parser's error as a problem of the file."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        # the reader's: a character that YAML does not allow
        line, column = place_after(text.encode()[: getattr(error, "position", 0)])
        return RuleError(file, line, column, 1, "yaml", str(getattr(error, "reason", error)))
    message, mark, start = error.problem or "this is not YAML", error.problem_mark, error.context_mark
    if start is not None and "end of stream" in message:
        message, mark = "the text in quotes has no end", start
    elif start is not None and message == "could not find expected ':'":
        mark = start
    lines = lines_of(text)
    line, column = (mark.line, mark.column) if mark.line < len(lines) else (len(lines) - 1, sys.maxsize)
    # what is missing at the end of a line is told at its last character
    column = max(0, min(column, len(lines[line]) - 1))
    hint = _hint(message, lines, line, column, start)
    return RuleError(file, line + 1, column + 1, 1, "yaml", message, hint)


def _hint(message: str, lines: list[str], line: int, column: int, start: Any) -> str:
    """How to mend it; empty where nothing better is known than the message. `start` is where the part around began."""
    before, character = lines[line][:column], lines[line][column : column + 1]
    if message.startswith(_FLOW):
        opened = lines[start.line][start.column]
        if line > start.line:
            return f"the {opened} of line {start.line + 1} is still open: close it, or put a comma between its parts"
        if character == ":":
            return 'quote the value: it contains ": "'
        if character in {"[", "]", "{", "}"}:
            return "inside {…} and […] quote what holds any of [ ] { } ,"
        return _QUOTED if _ends_quoted(before) else ""
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

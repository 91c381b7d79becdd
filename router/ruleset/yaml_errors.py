"""What a YAML parser refuses, told at the place where it can be mended, with a way to mend it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import yaml

from router.errors import RuleError
from router.ruleset.indentation import misplaced
from router.ruleset.secret_keys import is_secret_key

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


_NO_NAME: Final = "did not find expected alphabetic or numeric character"
_KEY_BEFORE: Final = re.compile(r"([\w-]+)\s*:\s*\Z")
_WORD: Final = re.compile(r"[^\s,\[\]{}]+")
#: characters of a value that a hint repeats
_SHOWN: Final = 200
_OTHER_QUOTE: Final = {'"': "'", "'": '"'}


class Quoted(NamedTuple):
    """The last text in quotes that was read whole. Lines and columns count from 0; `end` is behind it."""

    line: int
    column: int
    end_line: int
    end: int


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


def yaml_problem(
    file: str, text: str, error: yaml.YAMLError, brackets: Sequence[Bracket], quoted: Quoted | None = None
) -> RuleError:
    """A parser's error as a problem of the file. `brackets` are those that are open."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        # the reader's: a character that YAML does not allow
        line, column = place_after(text.encode()[: getattr(error, "position", 0)])
        return RuleError(file, line, column, 1, "yaml", str(getattr(error, "reason", error)))
    message, mark, start = error.problem or "this is not YAML", error.problem_mark, error.context_mark
    if start is not None and "end of stream" in message:
        message, mark = _NO_END, start
    elif start is not None and message in {"could not find expected ':'", _NO_NAME}:
        mark = start
    lines = lines_of(text)
    if brackets and _is_end(lines, mark) and message.startswith((_FLOW, "did not find expected node content")):
        inner, hint = brackets[-1], f"write {''.join(_CLOSING[each.sign] for each in reversed(brackets))}"
        return RuleError(file, inner.line, inner.column, 1, "yaml", f"this {inner.sign} is never closed", hint)
    line, column = (mark.line, mark.column) if mark.line < len(lines) else (len(lines) - 1, sys.maxsize)
    # what is missing at the end of a line is told at its last character
    column = max(0, min(column, len(lines[line]) - 1))
    if message == _NO_NAME:
        return _no_name(file, lines, line, column)
    goes_on = message.startswith((_FLOW, "did not find expected key"))
    if quoted is not None and goes_on and (told := _in_quotes(file, lines, (line, column), quoted)):
        return told
    begins = not brackets and message.startswith(("mapping values", "did not find expected key"))
    if begins and (found := misplaced(lines, line, column)):
        return RuleError(file, found.line + 1, found.column + 1, found.length, "yaml", found.message, found.hint)
    hint = _hint(message, lines, line, column, start)
    return RuleError(file, line + 1, column + 1, 1, "yaml", message, hint)


def _no_name(file: str, lines: list[str], line: int, column: int) -> RuleError:
    """A `*` or `&` that begins a text: YAML takes it for the sign of an alias or anchor."""
    word = _WORD.match(lines[line], column)
    text = word[0] if word else lines[line][column]
    before = _KEY_BEFORE.search(lines[line][:column])
    shown = "…" if before is not None and is_secret_key(before[1]) else text
    message = f"{text[0]} begins an {'alias' if text[0] == '*' else 'anchor'} in YAML, which is not used here"
    return RuleError(file, line + 1, column + 1, len(text), "yaml", message, f"put it in quotes: '{shown}'")


def _in_quotes(file: str, lines: list[str], at: tuple[int, int], quoted: Quoted) -> RuleError | None:
    """What follows a text in quotes at once: the text ended too early, or the one before it too late."""
    if (quoted.end_line, quoted.end) != at:
        return None
    sign = lines[quoted.line][quoted.column]
    if quoted.line < quoted.end_line:
        if _split(lines[quoted.line]):
            return None
        message = f"the text in quotes goes on to line {quoted.end_line + 1}"
        hint = f"write the {sign} that ends it on this line"
        return RuleError(file, quoted.line + 1, quoted.column + 1, 1, "yaml", message, hint)
    whole = lines[quoted.line][quoted.column :].rstrip()
    other = _OTHER_QUOTE[sign]
    if not whole.endswith(sign) or len(whole) > _SHOWN or other in whole or not whole[1:].startswith(("{.", "{$", ".")):
        return None
    message = f"the text in quotes ends here, at the {sign} inside it"
    hint = f"put the other quotes round the whole value: {other}{whole[1:-1]}{other}"
    return RuleError(file, at[0] + 1, at[1], 1, "yaml", message, hint)


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

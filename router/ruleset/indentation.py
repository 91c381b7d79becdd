"""The line that is indented wrongly: a YAML parser only stops at a later one, which does not go with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from router.ruleset.keys import DESTINATIONS_FILE, FILE, IDENTITY, RULE, SOURCE

_KEY: Final = re.compile(
    r"(?P<lead>\s*(?:- +)*)(?P<key>\"[^\"]*\"|'[^']*'|[^\s#:\"'](?:[^:#]*[^\s:#])?)\s*:(?P<rest>\s.*|)\Z"
)
_ODD_BLANK: Final = re.compile(r" *[^\S \t\r\n]\s*")
_LACKS_BLANK: Final = re.compile(r"\s*(?:- +)*([a-z_]+):([^\s:/][^:]*)\Z")
#: lines that are looked back on
_LOOKED_AT: Final = 2_000


class Misplaced(NamedTuple):
    """A place, from 0, and what is wrong there."""

    line: int
    column: int
    length: int
    message: str
    hint: str


class _Line(NamedTuple):
    number: int
    #: columns in front of the key
    indent: int
    key: str
    #: whether nothing stands behind its colon
    is_open: bool


def misplaced(lines: Sequence[str], at: int, column: int) -> Misplaced | None:
    """What makes the parser stop at the key of a line, or at its colon; None if it stops elsewhere, or nothing is known
    to be wrong. Lines and columns count from 0."""
    here = _line(lines, at)
    begin = len(lines[at]) - len(lines[at].lstrip(" "))
    if here is None or column not in {begin, here.indent, here.indent + len(here.key)}:
        return None
    before = list(_before(lines, at))
    if odd := _odd_blank(lines, [at, *(each.number for each in before)], here):
        return odd
    outer = next((index for index, each in enumerate(before) if each.indent < here.indent), None)
    if outer is None:
        return None
    above, earlier = before[outer], before[outer + 1 :]
    if lacking := _LACKS_BLANK.fullmatch(lines[at - 1]):
        start = lacking.start(1)
        mend = f"write a blank after the colon: {lacking[1]}: …"
        return Misplaced(at - 1, start, lacking.end(1) - start + 1, "this is no key and its value", mend)
    if _was_inside(above, earlier, here) and not _belongs(above, earlier):
        message = f"this key stands outside of what line {at + 1} goes on with"
        hint = f"begin it in column {here.indent + 1}, like line {at + 1}"
        return Misplaced(above.number, above.indent, len(above.key), message, hint)
    if outer == 0 and above.number == _filled(lines, at) and not above.is_open:
        message = "this key is indented deeper than the one before, which has a value already"
        hint = f"begin it in column {above.indent + 1}, like line {above.number + 1}"
        return Misplaced(at, here.indent, len(here.key), message, hint)
    return None


def _line(lines: Sequence[str], number: int) -> _Line | None:
    found = _KEY.match(lines[number])
    if found is None:
        return None
    rest = found["rest"].partition(" #")[0].strip()
    return _Line(number, found.end("lead"), found["key"], not rest)


def _before(lines: Sequence[str], at: int) -> Iterator[_Line]:
    """The keys before a line, the nearest first."""
    for number in range(at - 1, max(-1, at - _LOOKED_AT), -1):
        found = _line(lines, number)
        if found is not None:
            yield found


def _filled(lines: Sequence[str], at: int) -> int:
    """The number of the line before that is neither blank nor a comment."""
    return next(each for each in range(at - 1, -1, -1) if lines[each].strip() and lines[each].lstrip()[0] != "#")


def _odd_blank(lines: Sequence[str], numbers: Sequence[int], here: _Line) -> Misplaced | None:
    """A blank in front of a key that only looks like one, on one of these lines up to the first that holds them."""
    for number in numbers:
        if odd := _ODD_BLANK.match(lines[number]):
            message = "this blank is no space, such as a no-break space"
            column = next(index for index, each in enumerate(odd[0]) if each != " ")
            return Misplaced(number, column, 1, message, "indent with spaces, as you type them")
        if number != here.number and len(lines[number]) - len(lines[number].lstrip()) < here.indent:
            return None
    return None


def _was_inside(above: _Line, earlier: Sequence[_Line], here: _Line) -> bool:
    """Whether the part that a line goes on with was open before the line above it."""
    if earlier and earlier[0].is_open and earlier[0].indent == above.indent:
        return True
    nearest = next((each for each in earlier if each.indent <= here.indent), None)
    return nearest is not None and nearest.indent == here.indent


def _belongs(line: _Line, earlier: Sequence[_Line]) -> bool:
    """Whether a key may well stand where it does."""
    way: list[str] = []
    indent = line.indent
    for each in earlier:
        if each.indent < indent:
            way.insert(0, each.key)
            indent = each.indent
    if not way:
        return line.key in {*FILE, *DESTINATIONS_FILE}
    if way[0] == "rules":
        return line.key in RULE if len(way) == 2 else len(way) == 1 and line.is_open and line.key not in RULE
    return line.key in {("source",): SOURCE, ("source", "identity"): IDENTITY}.get(tuple(way), ())

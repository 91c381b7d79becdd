"""Texts and words that were meant as something else, and how to write it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from router.ruleset.functions import NAMES
from router.ruleset.synonyms import CHOICE, FUNCTIONS

_PATH: Final = r"(?<![^\s(!])[.$][A-Za-z_\"\[]"
_WORD: Final = re.compile(r"([A-Za-z_][\w-]*)[.\[]\S")
_HOLE: Final = re.compile(r"\{([A-Za-z_][\w-]*)(?=[.}\[]|\s*\|)")
_TWO_BRACES: Final = re.compile(r"\{\{\{?\s*([.$]?)([A-Za-z_][\w.\[\]-]{0,100})[^{}]*\}\}")
_A_HOLE: Final = re.compile(r"\{[.$][^}]*\}")
_OPEN_HOLE: Final = re.compile(r"\{[.$]")
_ODD_HOLE: Final = re.compile(r"\{(?:\s+|\s*(?:\(|not\s)\s*)[.$][A-Za-z_\"\[][^{}]*\}")
_NEGATED: Final = re.compile(r"(?:not\s+|!\s*)([.$][\w.\[\]$-]+)")
_OPERATOR: Final = re.compile(r"not\b|[(!]")
_READS: Final = re.compile(r"(?<![^\s(!,])(?:\.([A-Za-z_][\w-]*)|\$(?:event|header|query)\.)")
_QUOTED: Final = re.compile(rf"""(?:"[^"]*"|'[^']*')\s*(?:\|\s*(?:{"|".join(NAMES)})\b|else\s|[=!]=|in\s*[.$\[])""")
_CALL: Final = re.compile(r"([a-z][a-z0-9_]*)\(\s*([.$][\w.\[\]$-]+)")
_BLANK_PATH: Final = re.compile(r"\s+(?:\$|\.[A-Za-z_])[\w.\[\]-]*\s*(?:\||\Z)")
_QUOTED_PATH: Final = re.compile(r"""["'](\.[A-Za-z_][\w.\[\]-]*)["']""")
_QUOTED_LIST: Final = re.compile(r"\[\s*[.$][A-Za-z_][^\[\]]*\]\Z")
_PLAIN_PATH: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[-?\d*\])+")
_EXPRESSION: Final = re.compile(r"\.[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[-?\d*\])+|\$(?:event|header|query|source)\b.*")
#: what stands for nothing in other languages
_NOTHING: Final = frozenset({"~", "None", "NULL", "Null", "nil", "undefined", "NaN"})
#: what the event is called in other languages
_ROOTS: Final = frozenset(
    {"body", "event", "payload", "data", "json", "message", "msg", "input", "this", "root", "properties"}
)
_ENDINGS: Final = frozenset({"unset", "skip", "fail"})
_ELSEWHERE: Final = re.compile(
    rf"""\0\s*(?:\|\s*(?:{"|".join(NAMES)})\s*(?:\([^)]*\)\s*)?(?:\||\Z)|else\s+(?:"[^"]*"|'[^']*'|[.$][\w.]+)\s*\Z)"""
)
_OTHER_HOLE: Final = re.compile(r"(?:<%[=-]?|[#%]\{|\{%)\s*[.$@]?([A-Za-z_]\w*)([\w.]{0,100})\s*(?:%>|%?\})")
_QUOTED_IF: Final = re.compile(rf"""(?:"[^"]*"|'[^']*')\s+(?:if|when|unless|where)\s.*{_PATH}""", re.DOTALL)
_TEXT_ELSE: Final = re.compile(r"([\w -]{1,100}?)\s+(?:else|or|\|\||\?\?)\s+([.$][A-Za-z_][\w.\[\]-]*)")
_INSIDE: Final = re.compile(r"(?<![^\s(,])\.([A-Za-z_][\w-]*)\.([A-Za-z_][\w-]*)")
_IF: Final = re.compile(rf"if\s.*{_PATH}.*\sthen\s", re.DOTALL)
#: characters of a text that are looked at
_LOOKED_AT: Final = 1_000

_START: Final = "an expression starts with '.' or '$'"


class Keys(dict[str, set[str]]):
    """Key at the top of the events → what may follow it: the keys of objects, `[` of lists."""

    #: the keys of all objects in them, however deep
    inner: set[str]


def keys_of(values: Iterable[Any]) -> Keys:
    """The keys of these events."""
    found = Keys()
    found.inner = set()
    pending: list[Any] = []
    for value in values:
        for key, inner in value.items() if isinstance(value, dict) else ():
            follow = found.setdefault(key, set())
            pending.append(inner)
            if isinstance(inner, list):
                follow.add("[")
            elif isinstance(inner, dict):
                follow.update(inner)
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            found.inner.update(value)
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return found


def slip(text: str, keys: Keys) -> str:
    """How to write what a text was probably meant as; empty if it may be meant as it stands."""
    text = text[:_LOOKED_AT]
    if braces := _two_braces(text):
        return braces
    if (other := _OTHER_HOLE.search(text)) and other[1] in keys:
        return f"a hole has one brace and a path: {{.{other[1]}{other[2]}}}"
    if text.strip() in _ENDINGS:
        word = text.strip()
        return f"{word} stands behind else, as in .path else {word}"
    if text.strip() in _NOTHING:
        return "to clear a field write unset: [name]"
    if _BLANK_PATH.match(text):
        return f"to read the event write {text.strip()}, without the blank"
    if _QUOTED_LIST.match(text):
        return f"a list is written without quotes: {text}"
    if quoted := _QUOTED_PATH.fullmatch(text):
        return f"to read the event write {quoted[1]}, in one pair of quotes or none"
    if _WORD.match(text) and (hint := _begins_with(text, keys)):
        return hint
    for hole in _HOLE.finditer(text):
        if hole[1] in keys:
            return f"to read the event write {text.replace('{' + hole[1], '{.' + hole[1])}"
    if _OPEN_HOLE.search(text):
        return "this hole is never closed: write }"
    if _ODD_HOLE.search(text):
        return "a hole begins with its path, and without a blank: {.first}"
    if negated := _NEGATED.fullmatch(text):
        return f"write {negated[1]} | not"
    if (call := _CALL.match(text)) and call[1] in {*NAMES, *FUNCTIONS}:
        return f"functions come after |: {call[2]} | {FUNCTIONS.get(call[1], call[1])}"
    reads = [each[1] for each in _READS.finditer(text) if each[1] is None or each[1] in keys]
    if reads and (_IF.match(text) or _QUOTED_IF.match(text)):
        return CHOICE
    if reads and (default := _TEXT_ELSE.fullmatch(text)):
        return f'a default stands last, a text in quotes: {default[2]} else "{default[1]}"'
    inside = any(each[2] in keys.get(each[1], ()) for each in _INSIDE.finditer(text))
    return _START if inside or (reads and _OPERATOR.match(text)) or _QUOTED.match(text) else ""


def _begins_with(text: str, keys: Keys) -> str:
    """How to write a text that begins with the name of something in the event, and goes on into it."""
    first, _, rest = text.partition(".")
    known = next((key for key in keys if key.lower() == re.split(r"[.\[]", text)[0].lower()), None)
    if known is not None:
        follow = text[len(known) :]
        inside = "[" in keys[known] if follow.startswith("[") else _name(follow[1:]) in keys[known]
        misplaced = _PLAIN_PATH.fullmatch(text) and not keys.inner.isdisjoint(follow.split(".")[1:])
        return f"to read the event write .{known}{follow}" if inside or misplaced else ""
    if first.lower() == "header" and rest.lower().startswith("x-"):
        return f"write $header.{rest}"
    if first.lower() in _ROOTS and _name(rest[len(_name(rest)) + 1 :]) in keys.get(_name(rest), ()):
        return f"to read the event write .{rest}"
    return ""


def _name(text: str) -> str:
    """The name that a text begins with."""
    return re.match(r"[\w-]*", text)[0]  # type: ignore[index]  # matches anything


def _two_braces(text: str, keys: Keys | None = None) -> str:
    """How to write a hole that has the braces of another language; with `keys` only if it reads the event."""
    braces = _TWO_BRACES.search(text)
    if braces is None or (keys is not None and braces[1] == "" and _name(braces[2]) not in keys):
        return ""
    return f"a hole has one brace and a path: {{.{braces[2]}}}"


def slip_between(text: str, keys: Keys) -> str:
    """The same as `slip` for what stands between the holes of a template."""
    text = text[:_LOOKED_AT]
    if braces := _two_braces(text, keys):
        return braces
    between = _A_HOLE.sub("\0", text)
    for hole in _HOLE.finditer(between):
        if hole[1] in keys:
            return f"to read the event write {{.{hole[1]}…}}"
    return "this hole is never closed: write }" if _OPEN_HOLE.search(between) else ""


def call_between(text: str) -> str:
    """The same for a function or a default that stands behind a hole, where a text may well look like one."""
    between = _A_HOLE.sub("\0", text[:_LOOKED_AT])
    return "functions and else stand inside a hole: {.name | upper}" if _ELSEWHERE.search(between) else ""


def default_slip(text: str, keys: Keys) -> str:
    """The same for a text in quotes behind `else`."""
    text = text[:_LOOKED_AT]
    if hole := _A_HOLE.fullmatch(text):
        return f"a default that reads the event stands without quotes: else {hole[0][1:-1]}"
    if _A_HOLE.search(text):
        return "in quotes nothing is read: several parts are a template of their own, as in {.first} {.last}"
    if _EXPRESSION.fullmatch(text):
        return f"a default that reads the event stands without quotes: else {text}"
    return _begins_with(text, keys) if _WORD.match(text) else ""

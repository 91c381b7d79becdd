"""Texts and words that were meant as something else, and how to write it."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from router.ruleset.functions import NAMES
from router.ruleset.synonyms import CHOICE, FUNCTIONS, SIGNS, WORDS

_PATH: Final = r"(?<![^\s(!])[.$][A-Za-z_\"\[]"
_WORD: Final = re.compile(r"([A-Za-z_][\w-]*)[.\[]\S")
_HOLE: Final = re.compile(r"\{([A-Za-z_][\w-]*)")
_TWO_BRACES: Final = re.compile(r"\{\{\{?\s*[.$]?([A-Za-z_][\w.\[\]-]{0,100})[^{}]*\}\}")
_A_HOLE: Final = re.compile(r"\{[.$][^}]*\}")
_OPEN_HOLE: Final = re.compile(r"\{[.$]")
_ODD_HOLE: Final = re.compile(r"\{(?:\s+|\s*(?:\(|not\s)\s*)[.$][A-Za-z_\"\[][^{}]*\}")
_NEGATED: Final = re.compile(r"(?:not\s+|!\s*)([.$][\w.\[\]$-]+)")
_OPERATOR: Final = re.compile(rf"(?:not\b|[(!]).*{_PATH}", re.DOTALL)
_QUOTED: Final = re.compile(r"""(?:"[^"]*"|'[^']*')\s*(?:\|\s*[a-z0-9]+|else\s|[=!]=|in\s*[.$\[])""")
_CALL: Final = re.compile(r"([a-z][a-z0-9_]*)\(\s*([.$][\w.\[\]$-]+)")
_BLANK_PATH: Final = re.compile(r"\s+(?:\$|\.[A-Za-z_])[\w.\[\]-]*\s*\Z")
_QUOTED_PATH: Final = re.compile(r"""["'](\.[A-Za-z_][\w.\[\]-]*)["']""")
_QUOTED_LIST: Final = re.compile(r"\[\s*[.$][A-Za-z_][^\[\]]*\]\Z")
#: what the event is called in other languages
_ROOTS: Final = frozenset(
    {"body", "event", "payload", "data", "json", "message", "msg", "input", "this", "root", "properties"}
)
_ENDINGS: Final = frozenset({"unset", "skip", "fail"})
_ELSEWHERE: Final = re.compile(rf"""\0\s*(?:\|\s*(?:{"|".join(NAMES)})\b|else\s+["'.$\w])""")
_OTHER_HOLE: Final = re.compile(r"(?:<%[=-]?|[#%]\{|\{%)\s*[.$@]?([A-Za-z_][\w.]{0,100})")
_QUOTED_IF: Final = re.compile(rf"""(?:"[^"]*"|'[^']*')\s+(?:if|when|unless|where)\s.*{_PATH}""", re.DOTALL)
_TEXT_ELSE: Final = re.compile(r"([\w -]{1,100}?)\s+(?:else|or|\|\||\?\?)\s+([.$][A-Za-z_][\w.\[\]-]*)")
_INSIDE: Final = re.compile(r"(?<![\w.}])\.([A-Za-z_][\w-]*)[.\[]")
_IF: Final = re.compile(rf"if\s.*{_PATH}.*\sthen\s", re.DOTALL)
#: characters of a text that are looked at
_LOOKED_AT: Final = 1_000

_START: Final = "an expression starts with '.' or '$'"


def slip(text: str, keys: Collection[str]) -> str:
    """How to write what a text was probably meant as; empty if it may be meant as it stands. `keys` are those at the
    top of the events."""
    text = text[:_LOOKED_AT]
    if braces := two_braces(text):
        return braces
    if other := _OTHER_HOLE.search(text):
        return f"a hole has one brace and a path: {{.{other[1]}}}"
    if text.strip() in _ENDINGS:
        word = text.strip()
        return f'{word} stands behind else, as in .path else {word}; for the text write "\\{word}"'
    if _BLANK_PATH.match(text):
        return f"to read the event write {text.strip()}, without the blank"
    if _QUOTED_LIST.match(text):
        return f"a list is written without quotes: {text}"
    if quoted := _QUOTED_PATH.fullmatch(text):
        return f"to read the event write {quoted[1]}, in one pair of quotes or none"
    if (first := _WORD.match(text)) and (hint := _begins_with(first[1], text, keys)):
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
    if _IF.match(text) or _QUOTED_IF.match(text):
        return CHOICE
    if other := _TEXT_ELSE.fullmatch(text):
        return f'a default stands last, a text in quotes: {other[2]} else "{other[1]}"'
    reads = any(each[1] in keys for each in _INSIDE.finditer(text))
    return _START if reads or _OPERATOR.match(text) or _QUOTED.match(text) else ""


def _begins_with(word: str, text: str, keys: Collection[str]) -> str:
    """How to write a text that begins with a word and a dot."""
    known = next((key for key in keys if key.lower() == word.lower()), None)
    if known is not None:
        return f"to read the event write .{known}{text[len(known) :]}"
    inner = text[len(word) + 1 :]
    if word.lower() in _ROOTS and any(re.match(rf"{re.escape(key)}(?![\w-])", inner) for key in keys):
        return f"to read the event write .{inner}"
    return f"write ${text}" if word in {"header", "query"} else ""


def two_braces(text: str) -> str:
    """How to write a hole that has the braces of another language; empty if none has."""
    braces = _TWO_BRACES.search(text)
    return f"a hole has one brace and a path: {{.{braces[1]}}}" if braces else ""


def slip_between(text: str, keys: Collection[str]) -> str:
    """The same as `slip` for what stands between the holes of a template."""
    text = text[:_LOOKED_AT]
    if braces := two_braces(text):
        return braces
    between = _A_HOLE.sub("\0", text)
    for hole in _HOLE.finditer(between):
        if hole[1] in keys:
            return f"to read the event write {{.{hole[1]}…}}"
    if _OPEN_HOLE.search(between):
        return "this hole is never closed: write }"
    return "functions and else stand inside a hole: {.name | upper}" if _ELSEWHERE.search(between) else ""


def word_hint(word: str, before: str, after: str, *, ends: bool, compares: bool = False) -> str:
    """What to write in place of a bare word in an expression. `before` is the path or text in front of it and `after`
    the one behind it, as written; `ends` says that a value was complete there, `compares` that a comparison was not."""
    plain = word.lower()
    if plain in WORDS:
        return WORDS[plain]
    if plain in SIGNS:
        return f"write: {SIGNS[plain]}"
    if not ends:
        path, text = f"a path starts with a dot: .{word}", f'quotes: "{word}"'
        return f"text stands in {text}; {path}" if compares else f"{path}; a text has {text}"
    if (name := FUNCTIONS.get(plain.replace("_", ""), plain)) in NAMES:
        return f"functions come after |: {before} | {name}" + (f"({after})" if after else "")
    return "between two values stands a sign, or and, or, else"

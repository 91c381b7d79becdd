"""Texts and words that were meant as something else, and how to write it."""

from __future__ import annotations

import re
from typing import Final

from router.ruleset.functions import NAMES
from router.ruleset.lexer import LanguageError
from router.ruleset.parser import parse
from router.ruleset.spellings import ROOTS, Keys, inside_of, path_of, respelled
from router.ruleset.synonyms import CHOICE, DEFAULTS, FUNCTIONS, WORDS, ours, way_of

_PATH: Final = r"(?<![^\s(!])[.$][A-Za-z_\"\[]"
_WORD: Final = re.compile(r"([A-Za-z_][\w-]*)[.\[]\S")
_BRACED: Final = re.compile(
    rf"\$?\{{([A-Za-z_][^{{}}|]{{0,200}}?)(\s*\|\s*(?:{'|'.join((*NAMES, *FUNCTIONS))})\b[^{{}}]*)?\}}"
)
_TWO_BRACES: Final = re.compile(r"""\{\{\{?\s*([.$]?)([A-Za-z_][\w.\[\]'"-]{0,100})[^{}]*\}\}""")
_A_HOLE: Final = re.compile(r"\{[.$][^}]*\}")
_OPEN_HOLE: Final = re.compile(r"\{[.$]")
_ODD_HOLE: Final = re.compile(r"\{(?:\s+|\s*(?:\(|not\s)\s*)[.$][A-Za-z_\"\[][^{}]*\}")
_NEGATED: Final = re.compile(r"(?:not\s+|!\s*)([.$][\w.\[\]$-]+)")
_OPERATOR: Final = re.compile(r"not\b|[(!]")
_READS: Final = re.compile(r"(?<![^\s(!,])(?:\.([A-Za-z_][\w-]*)|\$(?:event|header|query)\.)")
_QUOTED: Final = re.compile(rf"""(?:"[^"]*"|'[^']*')\s*(?:\|\s*(?:{"|".join(NAMES)})\b|else\s|[=!]=|in\s*[.$\[])""")
_CALL: Final = re.compile(
    r"""([A-Za-z][A-Za-z0-9_]*)\(\s*([.$]?[A-Za-z_][\w.\[\]$-]*)(?:\s*,\s*("[^"]*"|'[^']*')\s*\)\Z)?"""
)
_ASKED: Final = re.compile(r"([a-z0-9][\w-]*)(?:\[|\.get\(|\()\s*([.$]?[A-Za-z_][\w.\[\]'\"-]*)\s*[\])]")
_SIGNED: Final = re.compile(r"(?:=>?|@)\s*([.$][A-Za-z_\"\[].*)", re.DOTALL)
_ARROW: Final = re.compile(r"(?:lambda\s+\w+\s*:|\(?\s*\w+\s*\)?\s*[=-]>)\s*\w+(?=[.\[])(.+)")
_PERCENT: Final = re.compile(r"%\((\w+)\)[sd]|\[\[\s*(\w+)\s*\]\]")
_CHOICE: Final = re.compile(
    r"""([A-Za-z_]\w*)[\w.]*\s*(?:[=!]==?\s*("[^"]*"|'[^']*'|\w+)\s*)?\?\s*("[^"]*"|'[^']*')\s*:"""
)
_TAG: Final = re.compile(r"(?:\{%-?\s*|\{\{\s*#\s*)(?:if|unless|for|each|with|case)\s([^{}%]*)")
_OWN_QUOTES: Final = re.compile(r"""[fF](["'])(.*)\1|`(.*\$\{.*)`""", re.DOTALL)
_BLANK_PATH: Final = re.compile(r"\s+(?:\$|\.[A-Za-z_])[\w.\[\]-]*\s*(?:\||\Z)")
_QUOTED_PATH: Final = re.compile(r"""["'](\.[A-Za-z_][\w.\[\]-]*)["']""")
_QUOTED_LIST: Final = re.compile(r"\[\s*[.$][A-Za-z_][^\[\]]*\]\Z")
_PLAIN_PATH: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[-?\d*\])+")
_EXPRESSION: Final = re.compile(r"\.[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[-?\d*\])+|\$(?:event|header|query|source)\b.*")
#: what stands for nothing in other languages
_NOTHING: Final = frozenset({"~", "None", "NULL", "Null", "nil", "undefined", "NaN"})
_VARIABLES: Final = frozenset({"event", "header", "query", "source"})
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

#: what an expression has, and an address, a name or a sentence does not
_SIGN: Final = re.compile(r"\||\selse\s|[=!]=")
_START: Final = "an expression starts with '.' or '$'"


def slip(text: str, keys: Keys) -> str:
    """How to write what a text was probably meant as; empty if it may be meant as it stands."""
    text = text[:_LOOKED_AT]
    if braces := _two_braces(text, keys):
        return braces
    if (other := _OTHER_HOLE.search(text)) and (path := path_of(other[1] + other[2], keys)):
        return f"a hole has one brace and a path: {{{path}}}"
    if (other := _PERCENT.search(text)) and (path := path_of(other[1] or other[2], keys)):
        return f"a hole has one brace and a path: {{{path}}}"
    if (tag := _TAG.search(text)) and any(path_of(word.strip(".$"), keys) for word in tag[1].split()):
        return CHOICE
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
    if (choice := _CHOICE.match(text)) and choice[1] in keys:
        return CHOICE
    if foreign := _foreign(text, keys):
        return f"to read the event write {foreign}"
    if (mended := _with_paths(text, keys)) != text:
        return f"to read the event write {mended}"
    if _OPEN_HOLE.search(text):
        return "this hole is never closed: write }"
    if _ODD_HOLE.search(text):
        return "a hole begins with its path, and without a blank: {.first}"
    if negated := _NEGATED.fullmatch(text):
        return f"write {negated[1]} | not"
    if called := _called(text, keys):
        return called
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
    follow = text[len(known) :] if known is not None else ""
    if known is not None and inside_of(keys, known, follow):
        return f"to read the event write .{known}{follow}" if _could_be_meant(f".{known}{follow}") else ""
    if first.lower() in ROOTS and inside_of(keys, name := _name(rest), rest[len(name) :]):
        return f"to read the event write .{rest}" if _could_be_meant(f".{rest}") else ""
    if known is not None:
        misplaced = _PLAIN_PATH.fullmatch(text) and not keys.inner.keys().isdisjoint(follow.split(".")[1:])
        return f"to read the event write .{known}{follow}" if misplaced else ""
    if first.lower() == "header" and rest.lower().startswith("x-"):
        return f"write $header.{rest}"
    return ""


def _could_be_meant(text: str) -> bool:
    """Whether a text is an expression, or at least has a sign of one: `.user.name@acme.com` is none."""
    try:
        parse(text, _ENDINGS, 0, len(text))
    except LanguageError:
        return _SIGN.search(text) is not None
    return True


def _foreign(text: str, keys: Keys) -> str:
    """A path as other languages write it, in ours."""
    if (signed := _SIGNED.fullmatch(text)) and _is_known(signed[1], keys):
        return signed[1]
    if arrow := _ARROW.fullmatch(text):
        return respelled(arrow[1].strip(), keys, several=False)
    return respelled(text, keys)


def _called(text: str, keys: Keys) -> str:
    """How to write a call of a function, or of a table."""
    if (call := _CALL.match(text)) and (path := _dotted(call[2], keys)):
        function, known = ours(call[1]), _is_known(path, keys)
        if function in NAMES and (call[1].islower() or known):
            return f"functions come after |: {path} | {function}"
        if known and call[1].lower().replace("_", "") in DEFAULTS:
            return f"a default is written: {path} else {call[3] or '…'}"
        if known and (way := way_of(call[1])):
            return way
    if (asked := _ASKED.fullmatch(text)) and (path := respelled(asked[2], keys, several=asked[2][0] not in ".$")):
        return f'a table is asked so: {path} | map("{asked[1]}")'
    return ""


def _is_known(path: str, keys: Keys) -> bool:
    """Whether a path begins with something that there is."""
    name = _name(path.lstrip("$."))
    return name in keys or (path[0] == "$" and name in _VARIABLES)


def _dotted(written: str, keys: Keys) -> str:
    """A path as it is, and one without its dot if it leads somewhere."""
    return written if written[0] in ".$" else respelled(written, keys)


def _with_paths(text: str, keys: Keys) -> str:
    """A text with a path in each hole that has the name of something in the events."""

    def mended(hole: re.Match[str]) -> str:
        path = path_of(hole[1], keys)
        return f"{{{path}{hole[2] or ''}}}" if path else hole[0]

    return _BRACED.sub(mended, text)


def _name(text: str) -> str:
    """The name that a text begins with."""
    return re.match(r"[\w-]*", text)[0]  # type: ignore[index]  # matches anything


def _two_braces(text: str, keys: Keys, *, between: bool = False) -> str:
    """How to write a hole that has the braces of another language; `between` holes only if it reads the event."""
    braces = _TWO_BRACES.search(text)
    if braces is None:
        return ""
    name = _name(braces[2])
    if not between and braces[1] == "" and name.lower() in WORDS:
        return WORDS[name.lower()]
    path = path_of(braces[2], keys)
    if braces[1] == "$" and name in _VARIABLES:
        path = f"${braces[2]}"
    elif between and braces[1] == "" and not path:
        return ""
    return f"a hole has one brace and a path: {{{path or '.' + braces[2]}}}"


def slip_between(text: str, keys: Keys) -> str:
    """The same as `slip` for what stands between the holes of a template."""
    text = text[:_LOOKED_AT]
    if braces := _two_braces(text, keys, between=True):
        return braces
    between = _A_HOLE.sub("\0", text)
    if quoted := _OWN_QUOTES.fullmatch(text):
        return f"a template has no quotes of its own: {(quoted[2] or quoted[3] or '').replace('${', '{')}"
    if path := next((path for hole in _BRACED.finditer(between) if (path := path_of(hole[1], keys))), ""):
        return f"to read the event write {{{path}}}"
    if _OPEN_HOLE.search(between):
        return "this hole is never closed: write }"
    hole = _A_HOLE.search(text)
    lonely = between.count("{") != between.count("}") and ("{\0" in between or "\0}" in between)
    return f"a hole has one brace on each side: {hole[0]}" if hole and lonely else ""


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
    if (hole := _BRACED.fullmatch(text)) and (path := path_of(hole[1], keys)):
        return f"a default that reads the event stands without quotes: else {path}"
    if _EXPRESSION.fullmatch(text):
        return f"a default that reads the event stands without quotes: else {text}"
    return _begins_with(text, keys) if _WORD.match(text) else ""

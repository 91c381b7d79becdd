"""Expression text to tokens."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from router.ruleset.synonyms import CHOICE, PATTERN

#: characters of an expression
MAX_EXPRESSION: Final = 500


class LanguageError(Exception):
    """A text of the rule language that cannot be compiled. The loader adds file and line."""

    def __init__(self, code: str, message: str, hint: str = "", *, start: int = 0, end: int = 1) -> None:
        super().__init__(message)
        #: `syntax`, `limit`, `unknown-function`, `arguments`, `unknown-variable`, `regex`, `unknown-table`,
        #: `timezone`, `region`
        self.code = code
        self.message = message
        self.hint = hint
        #: from 1, in characters within the text
        self.column = start + 1
        #: characters, at least 1
        self.length = max(1, end - start)


class Token(NamedTuple):
    """A piece of an expression. Offsets count characters from 0."""

    #: `path` (`.`, `.a.b`, `$`, `$event.id`), `string`, `number`, `name`, `end`; of signs and words of the language the
    #: text itself
    kind: str
    text: str
    start: int
    end: int


#: makes a token at half of what calling the class costs
_new: Final = tuple.__new__
_NAME: Final = "[A-Za-z_][A-Za-z0-9_-]*"
_TOKEN: Final = re.compile(
    rf"""[ \t\r\n]*(?:
      (?P<path>   (?:\$(?:{_NAME})?|\.{_NAME})(?:\.{_NAME})* | \. )
    | (?P<name>   {_NAME} )
    | (?P<string> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
    | (?P<number> -?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)? )
    | (?P<sign>   == | != | <= | >= | [<>|()\[\],] )
    | (?P<other>  [^ \t\r\n] )
    )""",
    re.VERBOSE | re.DOTALL,
)
WORDS: Final = frozenset(["else", "or", "and", "not", "in", "exists", "true", "false", "unset", "skip", "fail", "all"])
#: signs and words between the two sides of a comparison
COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_ESCAPE: Final = re.compile(r"\\([\"'\\nt])")
_ESCAPED: Final = {"n": "\n", "t": "\t"}

_FILTER: Final = 'a condition stands alone in its brackets: .items[.kind == "home"]'
_CHOICE: Final = re.compile(r"\?[^?:]*:")
_PATH: Final = rf"(?:\$|\.{_NAME})(?:\.{_NAME}|\[-?[0-9]*\])*"
_JOINED: Final = re.compile(rf"""({_PATH})\s*([&~+.]|\|\|)\s*(?:"([^"{{}}]*)"|'([^'{{}}]*)')\s*\2\s*({_PATH})""")
_BOTH: Final = re.compile(rf"({_PATH})\s*~\s*({_PATH})")
_SLICE: Final = re.compile(r"\[\s*(-?[0-9]*)\s*:\s*(-?[0-9]*)\s*\]")
_ROUND_QUOTES: Final = re.compile(r"[“”„«»‘’‚]([^“”„«»‘’‚]*)[“”„«»‘’‚]?")
_HINTS: Final = {
    "=~": PATTERN,
    "!~": PATTERN,
    "~": PATTERN,
    "=>": _FILTER,
    "=": "equality is written ==",
    "&": "write: and",
    "!": "write: not",
    "?.": "what is not there needs no sign: .a.b is missing then",
    "?(": _FILTER,
    "[?": _FILTER,
    "?": "a default is written: else",
    "//": "a default is written: else",
    "/": 'there is no arithmetic; cents become an amount with: | minor("EUR")',
    "%": "there is no arithmetic",
    "[*": "every element is written []",
    "+": "there is no arithmetic; text is joined in a template",
    "-": "there is no arithmetic",
    ".*": "no step is left open: name the key; the names of all are: | keys",
    "@": "in brackets . is the element itself: .items[.primary]",
    "*": "there is no arithmetic",
    "${": "a hole is written {.path}, without $, and an expression begins with the path",
    "({": 'a table stands under tables: and is named: | map("plans")',
    "{": "there are no objects and no holes in an expression",
}


def tokenize(text: str, first: int, last: int) -> list[Token]:
    """The tokens from `first` to before `last`, the last one of kind `end`. Raises `LanguageError`."""
    if last - first > MAX_EXPRESSION:
        message = f"the expression is longer than {MAX_EXPRESSION} characters"
        raise LanguageError("limit", message, start=first, end=last)
    tokens = []
    for match in _TOKEN.finditer(text, first, last):
        kind = match.lastgroup
        assert kind is not None  # every alternative has a name
        start, end = match.span(kind)
        piece = text[start:end]
        if kind == "name":
            kind = piece if piece in WORDS else kind
        elif kind == "sign":
            kind = piece
        elif kind == "other":
            raise _unknown(text, start, last)
        tokens.append(_new(Token, (kind, piece, start, end)))
    tokens.append(_new(Token, ("end", "", last, last)))
    return tokens


def _unknown(text: str, start: int, last: int) -> LanguageError:
    piece = text[start]
    if piece in "\"'":
        hint = 'YAML ends a value at " #": if it holds that, put quotes round the whole'
        if text[last : last + 1] == "}":
            hint = "a hole ends at its first }: no text in it can hold one"
        return LanguageError("syntax", "the text has no closing quote", hint, start=start, end=last)
    if piece.isspace() or not piece.isprintable():
        name = unicodedata.name(piece, "control character").lower()
        hint = "write an ordinary blank" if piece.isspace() else "take it out"
        return LanguageError("syntax", f"unexpected {name}", hint, start=start, end=start + 1)
    pairs = (text[start : start + 2], text[start - 1 : start + 1] if start else "", piece)
    hint = next((_HINTS[each] for each in pairs if each in _HINTS), "")
    if pairs[0] == "? " and _CHOICE.match(text, start, last):
        hint = CHOICE
    hint = joined(text, start, last) or _of_sign(text, start, last) or hint
    if not hint and piece.isalpha():
        hint = 'other names are written in quotes, as in ."odd name"'
    return LanguageError("syntax", f"unexpected {piece!r}", hint, start=start, end=start + 1)


def joined(text: str, at: int, last: int) -> str:
    """The template that was meant by texts and paths with signs between them; the first sign stands at `at`. Empty if
    none was."""
    for found in (*_JOINED.finditer(text, 0, last), *_BOTH.finditer(text, 0, last)):
        if found.start() < at < found.end():
            between = found[3] or found[4] or "" if len(found.groups()) > 2 else ""
            return f'text is joined in a template: "{{{found[1]}}}{between}{{{found[found.lastindex or 0]}}}"'
    return ""


def _of_sign(text: str, at: int, last: int) -> str:
    """What to write in place of a sign, where that depends on what stands round it."""
    if text[at] == "/" and re.match(r"/\s*1[_,]?000\b", text[at:last]):
        return "there is no arithmetic, and times in milliseconds are read as they are"
    if found := next((each for each in _SLICE.finditer(text, 0, last) if each.start() < at < each.end()), None):
        return f"write: | slice({found[1] or 0}{', ' * bool(found[2])}{found[2]})"
    if text[at] == ";":
        more = text[at + 1 : last].strip()
        return "separate arguments with a comma" if more else "leave it out"
    if quoted := _ROUND_QUOTES.match(text, at, last):
        return f'quotes are straight: "{quoted[1]}"'
    return ""


def unquote(piece: str) -> str:
    """The text of a string token. A backslash before anything but quotes, backslash, n and t stays."""
    inner = piece[1:-1]
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), inner) if "\\" in inner else inner

"""Expression text to tokens."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from router.ruleset.synonyms import CHOICE

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
_PATTERN: Final = 'whether a pattern fits is asked so: | extract("^[a-z]+") exists'
_CHOICE: Final = re.compile(r"\?[^?:]*:")
_HINTS: Final = {
    "=~": _PATTERN,
    "!~": _PATTERN,
    "~": _PATTERN,
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
    pairs = (text[start : start + 2], text[start - 1 : start + 1] if start else "", piece)
    hint = next((_HINTS[each] for each in pairs if each in _HINTS), "")
    if pairs[0] == "? " and _CHOICE.match(text, start, last):
        hint = CHOICE
    if not hint and piece.isalpha():
        hint = 'other names are written in quotes, as in ."odd name"'
    return LanguageError("syntax", f"unexpected {piece!r}", hint, start=start, end=start + 1)


def unquote(piece: str) -> str:
    """The text of a string token. A backslash before anything but quotes, backslash, n and t stays."""
    inner = piece[1:-1]
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), inner) if "\\" in inner else inner

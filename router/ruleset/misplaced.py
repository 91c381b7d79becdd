"""What to write in place of a token that cannot stand where it does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final, NamedTuple

from router.ruleset.functions import NAMES, WITHOUT_ARGUMENTS
from router.ruleset.lexer import COMPARISONS, Token
from router.ruleset.synonyms import EQUALS, EXISTS, LIKE, NOTHING, NOTHING_ELSE, PATTERN, SIGNS, WORDS, ours, way_of

#: the last token of a value
_VALUES: Final = frozenset({"path", "string", "number", "name", "true", "false", ")", "]"})
#: what may be an argument
_ARGUMENTS: Final = frozenset({"path", "string", "number"})
_NO_TOKEN: Final = Token("", "", 0, 0)


class Left(NamedTuple):
    """The left side of a comparison, as written."""

    text: str
    #: whether `not` stands in front of it
    negated: bool


def hint_for(tokens: Sequence[Token], at: int, left: Left | None) -> str:
    """The hint for the token at a place. `left` stands in front of it, or of the sign in front of it; None if no
    comparison can be meant. Empty where nothing better is known than that the token cannot stand there."""
    token, after = tokens[at], _at(tokens, at + 1)
    before, ends = _at(tokens, at - 1), _at(tokens, at - 1).kind in _VALUES
    if token.kind == "name":
        return _of_name(tokens, at, left)
    if token.kind == "not" and after.kind in {"in", "exists"}:
        path = before.text if before.kind == "path" else ".path"
        return f"write: not {path} exists" if after.kind == "exists" else f"write: not {path} in […]"
    if token.kind == "[" and before.kind == "path":
        return f"without the blank: {before.text}[…]"
    if before.kind == "exists" and token.kind == "exists":
        return "exists stands here twice: write it once"
    if before.kind == "exists" and token.kind in COMPARISONS:
        return "exists is a yes or a no by itself; the opposite is written: not .path exists"
    if token.kind == "exists" and not ends:
        path = next((each.text for each in tokens[at:] if each.kind == "path"), ".path")
        return f"write: {path} exists"
    if token.kind == "|":
        return "write: or"
    if token.kind == ">" and before.kind == "<":
        return "write: !="
    if token.kind in COMPARISONS:
        return "comparisons do not chain: write and between them"
    if token.kind in _ARGUMENTS and before.kind == "name" and ours(before.text) not in WITHOUT_ARGUMENTS:
        return f"arguments stand in brackets: {ours(before.text)}({_arguments(tokens, at)})"
    if token.kind in {"path", "string"} and ends:
        return 'text is joined in a template, as in "{.first} {.last}"'
    if token.kind == "(" and before.kind == "path":
        value, _, name = before.text.rpartition(".")
        if not value:
            return "functions come after |"
        return way_of(name) or _behind(name, value, _arguments(tokens, at + 1))
    if token.kind == "(" and before.kind == "exists":
        return "write exists without brackets"
    if token.kind == "[" and before.kind in {")", "name"}:
        return element(tokens, at)
    return _of_comma(tokens, at) if token.kind == "," else ""


def element(tokens: Sequence[Token], at: int) -> str:
    """How to take one element of what a function gives; the bracket stands at a place."""
    place = _at(tokens, at + 1).text
    if _at(tokens, at + 1).kind != "number" or not place.isdigit():
        return "write: | last" if place == "-1" else ""
    return "write: | first" if place == "0" else f"write: | slice({place}, {int(place) + 1}) | first"


def _of_comma(tokens: Sequence[Token], at: int) -> str:
    """What to write in place of a comma outside arguments and lists."""
    if _at(tokens, at + 1).kind == "end":
        return "leave it out"
    first = at - 1
    while _at(tokens, first).kind in _ARGUMENTS:
        first -= 1
    opens = _at(tokens, first).kind == "("
    if _at(tokens, first - opens).kind == "in":
        return f"a list stands in brackets: in [{_arguments(tokens, first + 1)}]"
    return ""


def _at(tokens: Sequence[Token], at: int) -> Token:
    """The token at a place; one of no kind where there is none."""
    return tokens[at] if 0 <= at < len(tokens) else _NO_TOKEN


def _of_name(tokens: Sequence[Token], at: int, left: Left | None) -> str:
    """What to write in place of a bare word."""
    token, before, after = tokens[at], _at(tokens, at - 1), _at(tokens, at + 1)
    plain = token.text.lower()
    if plain in NOTHING:
        if before.kind == "else":
            return f'{NOTHING_ELSE}; a text has quotes: "{token.text}"'
        if left is not None and before.kind in {"==", "!="}:
            return _asks(left, before.kind == "!=", f"{before.text} {token.text}")
        if after.kind in {"==", "!="}:
            right = _at(tokens, at + 2)
            path = right.text if right.kind == "path" else ".path"
            return _asks(Left(path, False), after.kind == "!=", "")
    if plain in EQUALS:
        differs = after.text.lower() == "not"
        other = _at(tokens, at + 2) if differs else after
        if other.text.lower() in NOTHING:
            path = before.text if before.kind == "path" else ".path"
            return _asks(left or Left(path, False), differs, f"{token.text} {'not ' * differs}{other.text}")
        return "write: !=" if differs else "write: =="
    if plain in WORDS:
        return WORDS[plain]
    if plain in SIGNS:
        return f"write: {SIGNS[plain]}"
    if before.kind == "path" and plain in EXISTS:
        return f"write: {before.text} exists"
    if before.kind in _VALUES and plain in LIKE:
        return PATTERN
    if before.kind in _VALUES:
        argument = _at(tokens, at + 2) if after.text == "with" else after
        return _behind(token.text, before.text, argument.text if argument.kind in _ARGUMENTS else "")
    if after.kind == "(":
        return way_of(token.text) or f"functions come after |: {_piped(tokens, at)}"
    path, text = f"a path starts with a dot: .{token.text}", f'quotes: "{token.text}"'
    return f"text stands in {text}; {path}" if before.kind in COMPARISONS else f"{path}; a text has {text}"


def _asks(left: Left, exists: bool, compared: str) -> str:
    """How to ask whether something is there. `compared` is how it was asked."""
    if not left.negated:
        return f"write: {'' if exists else 'not '}{left.text} exists"
    return f"not {left.text} {compared} is written: {'not ' if exists else ''}{left.text} exists"


def _behind(word: str, before: str, argument: str) -> str:
    """What to write in place of a word behind a value."""
    name = ours(word)
    if name in NAMES:
        return f"functions come after |: {before} | {name}" + (f"({argument})" if argument else "")
    start, _, last = before.rpartition(".")
    is_name = before[:1] == "." and last and not argument
    odd = f'; a name with a blank has quotes: {start}."{last} {word}"' if is_name else ""
    return f"between two values stands a sign, or and, or, else{odd}"


def _piped(tokens: Sequence[Token], at: int) -> str:
    """A call such as `contains(.a, "x")` as `.a | contains("x")`."""
    value, comma = _at(tokens, at + 2), _at(tokens, at + 3)
    path = value.text if value.kind == "path" else ".path"
    given = _arguments(tokens, at + 4) if comma.kind == "," else ""
    return f"{path} | {ours(tokens[at].text)}" + (f"({given})" if given else "")


def _arguments(tokens: Sequence[Token], at: int) -> str:
    """Those that begin at a place, with commas between them."""
    given = takewhile(lambda token: token.kind in _ARGUMENTS or token.kind == ",", tokens[at:])
    return ", ".join(token.text for token in given if token.kind != ",")

"""What is called something else in other languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CHOICE: Final = "there is no if inside a value: use a table with map, or two rules with if:"

#: functions of other languages, in small letters and without `_` → ours
FUNCTIONS: Final[Mapping[str, str]] = {
    other: ours
    for ours, others in {
        "title": "capitalize capitalise titlecase initcap",
        "lower": "lowercase downcase tolower lcase asciidowncase",
        "upper": "uppercase upcase toupper ucase asciiupcase",
        "trim": "strip",
        "text": "str string tostring",
        "number": "int integer float tonumber toint parseint parsefloat num",
        "bool": "boolean tobool toboolean",
        "count": "len length size",
        "map": "lookup get enum translate",
        "extract": "regex match capture regexmatch regexpextract",
        "sha256": "hash",
        "slice": "substr substring truncate left",
        "starts": "startswith hasprefix",
        "ends": "endswith hassuffix",
        "contains": "includes has hasitem",
        "first": "head",
        "last": "tail",
        "unique": "uniq distinct dedupe dedup",
        "minor": "cents fromcents divide div",
        "json": "tojson stringify jsonencode dumps",
        "time": "timestamp datetime parsetime todate fromunix fromtimestamp parsetimestamp",
        "email": "normalizeemail",
        "phone": "e164 tophone",
    }.items()
    for other in others.split()
}
#: functions that give a default
DEFAULTS: Final = frozenset(
    {"default", "coalesce", "or", "ifempty", "ifnull", "ifnone", "fallback", "nvl", "firstnonnull", "defaultto"}
)
_WAYS: Final[Mapping[str, str]] = {
    **dict.fromkeys(DEFAULTS, "a default is written: else"),
    **dict.fromkeys(("select", "filter", "where", "find"), 'a condition stands in brackets: .items[.kind == "home"]'),
    **dict.fromkeys(("concat", "append", "add", "plus"), 'text is joined in a template: "{.first} {.last}"'),
    **dict.fromkeys(("format", "strftime", "dateformat"), "each provider gets its own form of times; a day is: date"),
    **dict.fromkeys(("exists", "present", "isset", "notnull"), "write without |: .path exists"),
    **dict.fromkeys(("if", "ifelse", "case", "switch", "ternary"), CHOICE),
    **dict.fromkeys(("md5", "sha1", "sha512"), "there is sha256 only"),
    "flatten": "every element is written []: .lists[][]",
}
#: what `==` is called
EQUALS: Final = ("is", "equals", "eq")
#: other signs and words
SIGNS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ne", "neq"), "!="),
    **{word: word for word in ("and", "or", "not", "in", "exists", "else", "true", "false")},
}
#: nothing, in other languages
NOTHING: Final = ("null", "none", "nil", "undefined")
NOTHING_ELSE: Final = "what is missing is left out by itself; to clear it write: else unset"
#: words of an expression that have no counterpart
WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(NOTHING, "to ask for something write: .path exists; to ask for nothing: not .path exists"),
    **dict.fromkeys(("if", "then"), CHOICE),
    **dict.fromkeys(("now", "today"), "rules have no clock: $event.time and $event.received_at can be compared"),
    "where": 'a condition stands alone in its brackets: .items[.kind == "home"]',
}


def ours(name: str) -> str:
    """A function's name here; itself in small letters if it is no other language's."""
    return FUNCTIONS.get(_plain(name), name.lower())


def way_of(name: str) -> str:
    """What stands in place of a function of another language that has no counterpart; empty if that is not known."""
    return _WAYS.get(_plain(name), "")


def function_hint(name: str) -> str:
    """What a function of another language is called here; empty if that is not known."""
    plain = _plain(name)
    return way_of(name) or (f"it is called {FUNCTIONS[plain]} here" if plain in FUNCTIONS else "")


def _plain(name: str) -> str:
    return name.lower().replace("_", "")

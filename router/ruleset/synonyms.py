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
        "lower": "lowercase downcase tolower tolowercase strtolower lcase asciidowncase",
        "upper": "uppercase upcase toupper touppercase strtoupper ucase asciiupcase",
        "trim": "strip",
        "text": "str string tostring",
        "number": "int integer float tonumber toint parseint parsefloat num",
        "bool": "boolean tobool toboolean",
        "replace": "sub gsub replaceall replacefirst strreplace",
        "join": "implode",
        "count": "len length size",
        "map": "lookup get enum translate",
        "extract": "regex capture regexpextract",
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
#: what asks whether a pattern fits
PATTERN: Final = 'whether a pattern fits is asked so: | extract("^[a-z]+") exists'
_WAYS: Final[Mapping[str, str]] = {
    **dict.fromkeys(DEFAULTS, "a default is written: else"),
    **dict.fromkeys(("select", "filter", "where", "find"), 'a condition stands in brackets: .items[.kind == "home"]'),
    **dict.fromkeys(("concat", "append", "add", "plus"), 'text is joined in a template: "{.first} {.last}"'),
    **dict.fromkeys(("format", "strftime", "dateformat"), "each provider gets its own form of times; a day is: date"),
    **dict.fromkeys(("exists", "exist", "present", "isset", "notnull", "notempty"), "write without |: .path exists"),
    **dict.fromkeys(("if", "ifelse", "case", "switch", "ternary"), CHOICE),
    **dict.fromkeys(("md5", "sha1", "sha512"), "there is sha256 only"),
    **dict.fromkeys(("test", "match", "matches", "regexmatch", "ismatch", "like"), PATTERN),
    **dict.fromkeys(
        ("strptime", "dateparse", "parsedate", "fromiso8601", "fromdate", "mktime"),
        "ISO times and numbers of seconds are read as they are: | time, and for a day | date",
    ),
    "flatten": "every element is written []: .lists[][]",
    **dict.fromkeys(("empty", "isempty", "isblank", "isnull", "isnil"), "to ask for nothing write: not .path exists"),
}
#: what `==` is called
EQUALS: Final = ("is", "equals", "eq")
#: other signs and words
SIGNS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ne", "neq"), "!="),
    **{word: word for word in ("and", "or", "not", "in", "exists", "else", "true", "false", "unset", "skip", "fail")},
}
#: nothing, in other languages
NOTHING: Final = ("null", "none", "nil", "undefined")
NOTHING_ELSE: Final = "what is missing is left out by itself; to clear it write: else unset"
#: what stands behind a value to ask whether there is one
EXISTS: Final = ("exist", "existing", "present", "isset", "defined", "notnull", "notempty")
#: what stands behind a value and in front of a pattern
LIKE: Final = ("like", "ilike", "rlike", "regexp", "matches", "match")
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

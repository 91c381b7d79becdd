"""The functions of the language: conversions, and `FUNCTIONS`, the one list of all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from router.nearest import nearest
from router.ruleset import list_functions, text_functions, types
from router.ruleset.lexer import LanguageError
from router.ruleset.nodes import Call, Expression, ListOf, Literal
from router.ruleset.pattern import PatternError, compile_pattern
from router.ruleset.synonyms import function_hint
from router.ruleset.text import text_of, words_text
from router.ruleset.times import date_of, instant_of, zone_hint, zone_of
from router.ruleset.values import Context, Unusable

#: `(context, value, *arguments)` → a value, None or `MISSING`; the value is not blank; raises `Unusable`
Apply: TypeAlias = Callable[..., Any]
#: name → key → entry
Tables: TypeAlias = Mapping[str, Mapping[str, Any]]

#: parsing a phone number takes as long as so many steps
_PHONE_STEPS: Final = 30
_REGION: Final = re.compile(r"[A-Za-z]{2}")
#: what some countries are called that have another code (ISO 3166)
_OTHER_REGIONS: Final[Mapping[str, str]] = {"UK": "GB", "EN": "GB", "SU": "RU"}
_UNITS: Final = frozenset({"s", "ms"})
#: currencies without minor units, and with thousandths (ISO 4217); others have hundredths
_NO_DIGITS: Final = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"]
)
_THREE_DIGITS: Final = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}")


@dataclass(frozen=True, slots=True)
class Function:
    """One function, and how it is called."""

    apply: Apply
    #: number of arguments: at least, at most
    least: int = 0
    most: int = 0
    #: works on each element of a list
    each: bool = True
    #: checks literal arguments at load; raises `LanguageError`
    check: Callable[[Call], None] | None = None
    #: arguments, for an example
    usage: str = ""
    #: the same for a short text; of a blank it gives a blank
    quick: Callable[[str], str] | None = None


# --- conversions -----------------------------------------------------------------------------------------------------


def number(context: Context, value: Any) -> int | float:
    return types.to_number(value)


def yes_no(context: Context, value: Any) -> bool:
    return types.to_bool(value)


def opposite(context: Context, value: Any) -> bool:
    return not types.to_bool(value)


def email(context: Context, value: Any) -> str:
    return types.to_email(value)


def country(context: Context, value: Any) -> str:
    return types.to_country(value)


def url(context: Context, value: Any) -> str:
    return types.to_url(value)


def phone(context: Context, value: Any, region: Any = None) -> str:
    context.take(_PHONE_STEPS)
    if region is not None and (type(region) is not str or _REGION.fullmatch(region.strip()) is None):
        raise Unusable(region, "is not a region of two letters")
    return types.to_phone(value, context.region if region is None else region.strip().upper())


def time(context: Context, value: Any, how: Any = None) -> Any:
    if how is None:
        return instant_of(value, context.timezone)
    if type(how) is str and how in _UNITS:
        return instant_of(value, context.timezone, how)
    return instant_of(value, _zone_name(how))


def date(context: Context, value: Any, zone: Any = None) -> Any:
    if zone is None:
        return date_of(value, context.timezone)
    return date_of(value, _zone_name(zone), convert=True)


def _zone_name(zone: Any) -> str:
    if type(zone) is not str or zone_of(zone) is None:
        raise Unusable(zone, "is not a time zone")
    return zone


def minor(context: Context, value: Any, currency: Any) -> int | float:
    """An amount in minor units as a decimal amount, whole where it is whole and has no more than 64 bits."""
    digits = _digits(currency)
    amount = Decimal(str(types.to_number(value))).scaleb(-digits)
    is_whole = amount == amount.to_integral_value() and -(2**63) <= amount < 2**63
    return int(amount) if is_whole else float(amount)


def _digits(currency: Any) -> int:
    if type(currency) in (int, float) and currency in range(5):
        return int(currency)
    if type(currency) is not str or _CURRENCY.fullmatch(code := currency.strip().upper()) is None:
        raise Unusable(currency, "is not a currency")
    return 0 if code in _NO_DIGITS else 3 if code in _THREE_DIGITS else 2


# --- bound at load ---------------------------------------------------------------------------------------------------


def bind_map(call: Call, tables: Tables) -> Apply:
    """`map("table")`. Raises `LanguageError` for an unknown table."""
    argument = _text_argument(call, "the name of a table", "plans")
    name = str(argument.value)
    table = tables.get(name)
    if table is None:
        raise LanguageError(
            "unknown-table", f"no table {name!r}", nearest(name, tables), start=argument.start, end=argument.end
        )

    def look_up(context: Context, value: Any) -> Any:
        key = text_of(value)
        if key not in table:
            raise Unusable(value, f"has no entry in table {name}")
        return table[key]

    return look_up


def bind_extract(call: Call, tables: Tables) -> Apply:
    """`extract("re")`. Raises `LanguageError` for a pattern that is none or may cost too much."""
    argument = _text_argument(call, "a pattern", "[0-9]+")
    try:
        pattern = compile_pattern(str(argument.value))
    except PatternError as error:
        raise LanguageError("regex", str(error), error.hint, start=argument.start, end=argument.end) from error

    def extract(context: Context, value: Any) -> str:
        words = words_text(value)
        context.take(pattern.steps(words))
        match = pattern.match(words)
        if match is None:
            raise Unusable(value, "does not match the pattern")
        found = pattern.value(match)
        if found is None:
            raise Unusable(value, "matches the pattern, but its group is empty")
        return found

    return extract


def _text_argument(call: Call, what: str, example: str) -> Literal:
    if len(call.arguments) == 1 and isinstance(argument := call.arguments[0], Literal) and type(argument.value) is str:
        return argument
    message, hint = f"{call.name} takes one argument: {what}, in quotes", f'as in | {call.name}("{example}")'
    raise LanguageError("arguments", message, hint, start=call.start, end=call.end)


# --- checks at load --------------------------------------------------------------------------------------------------


def _literals(arguments: Sequence[Expression]) -> list[Literal]:
    return [argument for argument in arguments if isinstance(argument, Literal)]


def check_zone(call: Call) -> None:
    for argument in _literals(call.arguments):
        zone = argument.value
        if call.name == "time" and zone in _UNITS:
            continue
        if type(zone) is not str or zone_of(zone) is None:
            usage = "s, ms or a time zone" if call.name == "time" else "a time zone, and no format"
            hint = zone_hint(str(zone)) or f"{call.name} takes {usage}"
            raise LanguageError("timezone", "no such time zone", hint, start=argument.start, end=argument.end)


def check_region(call: Call) -> None:
    for argument in _literals(call.arguments):
        region = argument.value
        if fault := region_fault(region):
            raise LanguageError("region", *fault, start=argument.start, end=argument.end)


def region_fault(region: Any) -> tuple[str, str] | None:
    """Why something is no region of telephone numbers, and a hint; None if it is one."""
    if type(region) is str and types.is_region(region):
        return None
    other = str(region).strip().upper()
    found = _OTHER_REGIONS.get(other, other)
    hint = f"did you mean {found!r}?" if types.is_region(found) else "as in US or KR"
    known = f"there are no telephone numbers of {region}" if other == region and _REGION.fullmatch(other) else ""
    return known or "a region is two capital letters", hint


def check_currency(call: Call) -> None:
    for argument in _literals(call.arguments):
        try:
            _digits(argument.value)
        except Unusable:
            message = "a currency has three letters"
            hint = "as in EUR; or say how many digits are behind the point, 0 to 4"
            raise LanguageError("arguments", message, hint, start=argument.start, end=argument.end) from None


def check_texts(call: Call) -> None:
    """Each is text, or a number; what is looked for has a character."""
    for position, argument in enumerate(call.arguments):
        if isinstance(argument, ListOf) or (isinstance(argument, Literal) and type(argument.value) is bool):
            mend = f'write "{str(argument.value).lower()}"' if isinstance(argument, Literal) else ""
            message = f"{call.name} takes text in quotes"
            raise LanguageError("arguments", message, mend, start=argument.start, end=argument.end)
        sought = position == 0 and call.name in {"replace", "split"}
        if sought and isinstance(argument, Literal) and argument.value == "":
            message = f"{call.name} looks for something: there is nothing in the quotes"
            raise LanguageError("arguments", message, start=argument.start, end=argument.end)


def check_places(call: Call) -> None:
    """Each is a whole number."""
    for argument in call.arguments:
        if not isinstance(argument, (Literal, ListOf)):
            continue
        value = argument.value if isinstance(argument, Literal) else None
        if type(value) is not int and not (type(value) is float and value.is_integer()):
            is_number = type(value) is str and re.fullmatch(r"-?[0-9]{1,9}", value)
            hint = f"write {value}, without quotes" if is_number else "as in slice(0, 4)"
            message = f"{call.name} takes whole numbers"
            raise LanguageError("arguments", message, hint, start=argument.start, end=argument.end)


#: functions whose argument is bound at load
BOUND: Final[Mapping[str, Callable[[Call, Tables], Apply]]] = {"map": bind_map, "extract": bind_extract}

FUNCTIONS: Final[Mapping[str, Function]] = {
    "trim": Function(text_functions.trim, quick=str.strip),
    "lower": Function(text_functions.lower, quick=str.lower),
    "upper": Function(text_functions.upper, quick=str.upper),
    "title": Function(text_functions.title),
    "text": Function(text_functions.text),
    "replace": Function(text_functions.replace, 2, 2, check=check_texts, usage='(" ", "-")'),
    "slice": Function(text_functions.cut, 1, 2, each=False, check=check_places, usage="(0, 4)"),
    "split": Function(text_functions.split, 1, 1, check=check_texts, usage='(",")'),
    "starts": Function(text_functions.starts, 1, 1, check=check_texts, usage='("A")'),
    "ends": Function(text_functions.ends, 1, 1, check=check_texts, usage='(".org")'),
    "contains": Function(text_functions.contains, 1, 1, each=False, usage='("vip")'),
    "domain": Function(text_functions.domain),
    "sha256": Function(text_functions.sha256),
    "number": Function(number),
    "bool": Function(yes_no),
    "email": Function(email),
    "country": Function(country),
    "url": Function(url),
    "time": Function(time, 0, 1, check=check_zone, usage='("ms")'),
    "date": Function(date, 0, 1, check=check_zone, usage='("Asia/Seoul")'),
    "phone": Function(phone, 0, 1, check=check_region, usage='("NO")'),
    "minor": Function(minor, 1, 1, check=check_currency, usage='("EUR")'),
    "not": Function(opposite),
    "join": Function(list_functions.join, 1, 1, each=False, check=check_texts, usage='(", ")'),
    "first": Function(list_functions.first, each=False),
    "last": Function(list_functions.last, each=False),
    "count": Function(list_functions.count, each=False),
    "unique": Function(list_functions.unique, each=False),
    "keys": Function(list_functions.keys, each=False),
    "json": Function(list_functions.to_json, each=False),
}
#: every name that may follow `|`
NAMES: Final = (*FUNCTIONS, *BOUND)
WITHOUT_ARGUMENTS: Final = frozenset(name for name, function in FUNCTIONS.items() if not function.most)


def function_of(call: Call, tables: Tables) -> tuple[Function, list[Expression]]:
    """What a call applies, with the arguments that are read for each event. Raises `LanguageError`."""
    if call.name in BOUND:
        return Function(BOUND[call.name](call, tables)), []
    function = FUNCTIONS.get(call.name)
    if function is None:
        hint = function_hint(call.name) or nearest(call.name, NAMES)
        raise LanguageError("unknown-function", f"unknown function {call.name!r}", hint, start=call.start, end=call.end)
    given = len(call.arguments)
    if not function.least <= given <= function.most:
        message = f"{call.name} takes {_arity(function)}, got {given}"
        hint = f"as in | {call.name}{function.usage}"
        raise LanguageError("arguments", message, hint, start=call.start, end=call.end)
    if function.check is not None:
        function.check(call)
    return function, call.arguments


def _arity(function: Function) -> str:
    least, most = function.least, function.most
    if most == 0:
        return "no arguments"
    plural = "argument" if most == 1 else "arguments"
    if least == most:
        return f"{most} {plural}"
    return f"at most {most} {plural}" if least == 0 else f"{least} or {most} {plural}"

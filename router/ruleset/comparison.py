"""Comparisons: yes, no, or unknown (None) where a side is blank or the kinds differ."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from router.ruleset.values import MAX_ELEMENTS, Context, Exhausted, is_blank, kind_of

#: reads a part of an expression: `(context, current value)` → value, None where it is missing
Reader: TypeAlias = Callable[[Context, Any], Any]

_MAX_DEPTH: Final = 100
#: the signs that ask for an order
ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERED: Final = frozenset({"number", "text", "time"})


def frozen(context: Context, value: Any, depth: int = 0) -> Any:
    """Something hashable that equals another one's where kind and content are equal: yes/no is no number, whole and
    decimal numbers are one kind. Raises `Exhausted` for what is too large or nested too deep."""
    kind = type(value)
    if kind is list or kind is dict:
        if depth > _MAX_DEPTH:
            raise Exhausted
        context.take(1 + len(value))
        if kind is list:
            return ("list", tuple([frozen(context, item, depth + 1) for item in value]))
        return ("object", frozenset([(key, frozen(context, item, depth + 1)) for key, item in value.items()]))
    if kind is bool:
        return ("yes/no", value)
    return value


def equal(context: Context, left: Any, right: Any) -> bool | None:
    """Whether two values that are not blank are equal; None if their kinds differ."""
    kind = kind_of(left)
    if kind != kind_of(right):
        return None
    if kind == "list" or kind == "object":
        return left is right or bool(frozen(context, left) == frozen(context, right))
    return bool(left == right)


def is_element(context: Context, value: Any, items: list[Any]) -> bool:
    """Whether a list holds the value, looked for in its first 1,000 elements."""
    if len(items) > MAX_ELEMENTS:
        context.note_cut(items)
        items = items[:MAX_ELEMENTS]
    context.take(len(items))
    return any(equal(context, value, item) for item in items)


def comparison(sign: str, left: Reader, right: Reader, constant: Any = None) -> Reader:
    """What compares two sides. `constant` is the right side's value if it is known and not blank."""
    if sign == "in":
        return _membership(left, right)
    if sign in ORDERS:
        return _order(ORDERS[sign], left, right)
    wanted = sign == "=="
    if type(constant) is str:
        return _text_equality(left, constant, wanted)

    def equality(context: Context, current: Any) -> bool | None:
        a, b = left(context, current), right(context, current)
        if is_blank(a) or is_blank(b):
            return None
        same = equal(context, a, b)
        return None if same is None else same is wanted

    return equality


def _text_equality(left: Reader, constant: str, wanted: bool) -> Reader:
    def equality(context: Context, current: Any) -> bool | None:
        value = left(context, current)
        if type(value) is not str:
            return None
        if value == constant:
            return wanted
        return None if not value or value.isspace() else not wanted

    return equality


def _order(holds: Callable[[Any, Any], bool], left: Reader, right: Reader) -> Reader:
    def order(context: Context, current: Any) -> bool | None:
        a, b = left(context, current), right(context, current)
        kind = kind_of(a)
        if kind not in _ORDERED or kind != kind_of(b) or (kind == "text" and (is_blank(a) or is_blank(b))):
            return None
        return holds(a, b)

    return order


def _membership(left: Reader, right: Reader) -> Reader:
    def membership(context: Context, current: Any) -> bool | None:
        value, items = left(context, current), right(context, current)
        if type(items) is not list or is_blank(value):
            return None
        return is_element(context, value, items)

    return membership

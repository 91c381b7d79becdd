"""Functions on lists; another value is a list of one. And on objects: `keys`, `json`."""

from __future__ import annotations

import json
from typing import Any, Final

from router.ruleset.comparison import frozen
from router.ruleset.text import MAX_TEXT, text_of, words_text
from router.ruleset.values import MAX_ELEMENTS, Context, Unusable, is_blank

#: characters of JSON text
_MAX_JSON: Final = 32_768
_MAX_DEPTH: Final = 100
_CONTAINERS: Final = frozenset({list, dict})


def _items(context: Context, value: Any) -> list[Any]:
    """The elements that are looked at."""
    if type(value) is not list:
        return [value]
    if len(value) > MAX_ELEMENTS:
        context.note_cut(value)
        return value[:MAX_ELEMENTS]
    return value


def join(context: Context, value: Any, separator: Any) -> str | None:
    between = words_text(separator)
    parts: list[str] = []
    length = 0
    for item in _items(context, value):
        if type(item) in _CONTAINERS:
            raise Unusable(item, "cannot be joined")
        if not is_blank(item):
            parts.append(text_of(item))
            length += len(parts[-1]) + len(between)
    if length - len(between) > MAX_TEXT:
        raise Unusable(value, f"would become longer than {MAX_TEXT:,} characters")
    context.take(length >> 6)
    return between.join(parts) if parts else None


def first(context: Context, value: Any) -> Any:
    return value if type(value) is not list else value[0] if value else None


def last(context: Context, value: Any) -> Any:
    return value if type(value) is not list else value[-1] if value else None


def count(context: Context, value: Any) -> int:
    return len(value) if type(value) is list else 1


def unique(context: Context, value: Any) -> list[Any]:
    """Without repeats, in the order of the first ones."""
    seen: dict[Any, Any] = {}
    for item in _items(context, value):
        seen.setdefault(frozen(context, item), item)
    return list(seen.values())


def keys(context: Context, value: Any) -> list[str]:
    if type(value) is not dict:
        raise Unusable(value, "is not an object")
    return list(_items(context, list(value)))


def to_json(context: Context, value: Any) -> str:
    """Compact JSON text, measured before it is made."""
    pending = [(value, 0)]
    size = 0
    while pending:
        item, depth = pending.pop()
        size += 1
        if type(item) is str:
            size += len(item)
        elif type(item) in _CONTAINERS:
            size += len(item)
            if type(item) is dict:
                size += sum(map(len, item))
            if size <= _MAX_JSON and depth < _MAX_DEPTH:
                pending += [(inner, depth + 1) for inner in (item.values() if type(item) is dict else item)]
        if size > _MAX_JSON or depth == _MAX_DEPTH:
            raise Unusable(value, "is longer than 32 KiB as JSON, or nested too deep")
    context.take(size >> 4)
    try:
        made = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str, allow_nan=False)
    except ValueError:
        raise Unusable(value, "holds a number that JSON cannot hold") from None
    if len(made) > _MAX_JSON:
        raise Unusable(value, "is longer than 32 KiB as JSON, or nested too deep")
    return made

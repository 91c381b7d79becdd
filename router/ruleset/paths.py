"""Paths to closures. Where nothing is there the value is None, like a null."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from router.model import Instant, to_us
from router.ruleset.comparison import Reader
from router.ruleset.nodes import Expression, Path, Step
from router.ruleset.values import MAX_ELEMENTS, Context, is_blank

#: one step: `(context, value)` → value or None
_Walk: TypeAlias = Callable[[Context, Any], Any]
#: turns the condition of a bracket into a reader
Inner: TypeAlias = Callable[[Expression], Reader]


def path_reader(path: Path, inner: Inner) -> Reader:
    """What reads a path."""
    return _steps_reader(path, inner) if path.base in {"dot", "root"} else _named(path)


def _named(path: Path) -> Reader:
    name = path.name
    if path.base == "header":
        return lambda context, current: context.headers.get(name)
    if path.base == "query":
        return lambda context, current: context.query.get(name)
    if path.base == "source":
        return lambda context, current: context.source
    return _event(name)


def _event(name: str) -> Reader:
    attribute = {"id": "external_id", "type": "type", "time": "occurred_at", "received_at": "received_at"}[name]

    def read(context: Context, current: Any) -> Any:
        if context.event is None:
            return None
        value = getattr(context.event, attribute)
        return value if type(value) is str else Instant(to_us(value))

    return read


# --- steps -----------------------------------------------------------------------------------------------------------


def _steps_reader(path: Path, inner: Inner) -> Reader:
    root = path.base == "root"
    names: list[str] = []
    for step in path.steps:
        if step.kind != "key":
            break
        names.append(step.value)
    rest = path.steps[len(names) :]
    start = _keys_reader(names, root)
    if not rest:
        return start
    if any(step.kind == "every" for step in rest):
        return _every_reader(start, [(step.kind == "every", _step(step, inner)) for step in rest])
    walks = [_step(step, inner) for step in rest]

    def read(context: Context, current: Any) -> Any:
        value = start(context, current)
        for walk in walks:
            if value is None:
                return None
            value = walk(context, value)
        return value

    return read


def _keys_reader(names: list[str], root: bool) -> Reader:
    """Reads keys one after the other. Anything but an object raises a TypeError when indexed with a text, and has no
    `get`; the last key is often missing, so that it is asked for without an exception."""
    if not names:
        return (lambda context, current: context.data) if root else (lambda context, current: current)
    if len(names) == 1:
        return _one_key(names[0], root)
    if len(names) == 2:
        return _two_keys(names[0], names[1], root)
    if len(names) == 3:
        return _three_keys(names[0], names[1], names[2], root)
    *inner, last = names

    def read(context: Context, current: Any) -> Any:
        value = context.data if root else current
        try:
            for name in inner:
                value = value[name]
            return value.get(last)
        except (KeyError, TypeError, AttributeError):
            return None

    return read


def _one_key(name: str, root: bool) -> Reader:
    def read(context: Context, current: Any) -> Any:
        value = context.data if root else current
        return value.get(name) if type(value) is dict else None

    return read


def _two_keys(first: str, second: str, root: bool) -> Reader:
    def read(context: Context, current: Any) -> Any:
        try:
            return (context.data if root else current)[first].get(second)
        except (KeyError, TypeError, AttributeError):
            return None

    return read


def _three_keys(first: str, second: str, third: str, root: bool) -> Reader:
    def read(context: Context, current: Any) -> Any:
        try:
            return (context.data if root else current)[first][second].get(third)
        except (KeyError, TypeError, AttributeError):
            return None

    return read


def _step(step: Step, inner: Inner) -> _Walk:
    """One step. Of an `every` step: what gives the list of elements, None where there is no list."""
    if step.kind == "key":
        return _key(step.value)
    if step.kind == "index":
        return _index(step.value)
    condition = None if step.condition is None else inner(step.condition)
    if step.kind == "every":
        return _elements(condition)
    assert condition is not None  # the parser gives `first` one
    return _first(condition)


def _key(name: str) -> _Walk:
    return lambda context, value: value.get(name) if type(value) is dict else None


def _index(number: int) -> _Walk:
    def walk(context: Context, value: Any) -> Any:
        if type(value) is not list:
            return None
        try:
            return value[number]
        except IndexError:
            return None

    return walk


def _looked_at(context: Context, items: list[Any]) -> list[Any]:
    """The elements of a list that count."""
    if len(items) > MAX_ELEMENTS:
        context.note_cut(items)
        items = items[:MAX_ELEMENTS]
    context.take(len(items))
    return items


def _first(condition: Reader) -> _Walk:
    def walk(context: Context, value: Any) -> Any:
        if type(value) is not list:
            return None
        for item in value[:MAX_ELEMENTS]:
            context.take(1)
            if condition(context, item) is True:
                return item
        if len(value) > MAX_ELEMENTS:
            context.note_cut(value)
        return None

    return walk


def _elements(condition: Reader | None) -> _Walk:
    def walk(context: Context, value: Any) -> Any:
        if type(value) is not list:
            return None
        items = _looked_at(context, value)
        if condition is None:
            return items
        return [item for item in items if condition(context, item) is True]

    return walk


def _every_reader(start: Reader, walks: list[tuple[bool, _Walk]]) -> Reader:
    """Reads the rest of the path from each element. Blanks are left out; if there were some and nothing else, the
    whole is missing."""

    def read(context: Context, current: Any) -> Any:
        values, left_out = [start(context, current)], 0
        for every, walk in walks:
            found: list[Any] = []
            for value in values:
                result = walk(context, value)
                if result is None:
                    left_out += 1
                elif every:
                    found += result
                else:
                    found.append(result)
            if len(found) > MAX_ELEMENTS:
                context.note_cut(found)
                del found[MAX_ELEMENTS:]
            values = found
        kept = [value for value in values if not is_blank(value)]
        return kept if kept or not (values or left_out) else None

    return read

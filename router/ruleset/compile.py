"""Syntax trees to closures. A reader takes the context and the current value (`.`) and gives a value, None where it is
missing or unknown. No reader raises but `Exhausted`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from router.ruleset import nodes
from router.ruleset.comparison import Reader, comparison
from router.ruleset.functions import Function, Tables, function_of
from router.ruleset.paths import path_reader
from router.ruleset.values import MAX_ELEMENTS, MISSING, Context, Unusable, is_blank


class Compiler:
    """Compiles the parts of one expression. Raises `LanguageError` for functions, tables and patterns."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._brackets = 0
        #: names of the tables that were used
        self.tables: set[str] = set()

    def reader(self, node: nodes.Expression) -> Reader:
        """The reader of any part."""
        return _READERS[type(node)](self, node)

    def _inner(self, condition: nodes.Expression) -> Reader:
        """The reader of a condition in a bracket, where `.` is the element."""
        self._brackets += 1
        try:
            return self.reader(condition)
        finally:
            self._brackets -= 1

    def _literal(self, node: nodes.Literal) -> Reader:
        value = node.value
        return lambda context, current: value

    def _path(self, node: nodes.Path) -> Reader:
        return path_reader(node, self._inner)

    def _list(self, node: nodes.ListOf) -> Reader:
        items = [self.reader(item) for item in node.items]

        def read(context: Context, current: Any) -> Any:
            kept = [value for item in items if not is_blank(value := item(context, current))]
            return kept if kept or not items else None

        return read

    def _fallback(self, node: nodes.Fallback) -> Reader:
        return fallback([self.reader(item) for item in node.items])

    def _or(self, node: nodes.Or) -> Reader:
        return _kleene([self.reader(item) for item in node.items], decisive=True)

    def _and(self, node: nodes.And) -> Reader:
        return _kleene([self.reader(item) for item in node.items], decisive=False)

    def _not(self, node: nodes.Not) -> Reader:
        item = self.reader(node.item)

        def read(context: Context, current: Any) -> Any:
            value = item(context, current)
            return not value if type(value) is bool else None

        return read

    def _exists(self, node: nodes.Exists) -> Reader:
        item = self.reader(node.item)
        return lambda context, current: not is_blank(item(context, current))

    def _compare(self, node: nodes.Compare) -> Reader:
        constant = (
            node.right.value if isinstance(node.right, nodes.Literal) and not is_blank(node.right.value) else None
        )
        return comparison(node.operator, self.reader(node.left), self.reader(node.right), constant)

    def _pipe(self, node: nodes.Pipe) -> Reader:
        value = self.reader(node.value)
        stages = [self._stage(call) for call in node.calls]
        if len(stages) == 1:
            only = stages[0]
            return lambda context, current: only(context, current, value(context, current))
        if len(stages) == 2:
            one, two = stages
            return lambda context, current: two(context, current, one(context, current, value(context, current)))

        def read(context: Context, current: Any) -> Any:
            result = value(context, current)
            for stage in stages:
                result = stage(context, current, result)
            return result

        return read

    def _stage(self, call: nodes.Call) -> _Stage:
        function, arguments = function_of(call, self._tables)
        if call.name == "map":
            self.tables.update(str(item.value) for item in call.arguments if isinstance(item, nodes.Literal))
        readers = [(self.reader(argument), isinstance(argument, nodes.Literal)) for argument in arguments]
        stage = _stage(function, call.name, readers)
        return _counted(stage) if self._brackets else stage


_READERS: Final[dict[type, Callable[[Compiler, Any], Reader]]] = {
    nodes.Literal: Compiler._literal,
    nodes.Path: Compiler._path,
    nodes.ListOf: Compiler._list,
    nodes.Fallback: Compiler._fallback,
    nodes.Or: Compiler._or,
    nodes.And: Compiler._and,
    nodes.Not: Compiler._not,
    nodes.Exists: Compiler._exists,
    nodes.Compare: Compiler._compare,
    nodes.Pipe: Compiler._pipe,
}


def fallback(items: list[Reader]) -> Reader:
    """The first value that is not blank."""

    def read(context: Context, current: Any) -> Any:
        for item in items:
            value = item(context, current)
            if value is not None and (type(value) is not str or (value and not value.isspace())):
                return value
        return None

    return read


def _kleene(items: list[Reader], *, decisive: bool) -> Reader:
    """`or` (decided by a yes) and `and` (decided by a no). Anything but yes and no is unknown."""
    opposite = not decisive

    def read(context: Context, current: Any) -> Any:
        result: bool | None = opposite
        for item in items:
            value = item(context, current)
            if value is decisive:
                return decisive
            if value is not opposite:
                result = None
        return result

    return read


# --- functions -------------------------------------------------------------------------------------------------------

#: one function of a pipe: `(context, current value, input)` → output
_Stage: TypeAlias = Callable[[Context, Any, Any], Any]
#: characters up to which no text function can make one that is too long
_SHORT_TEXT: Final = 4_096


def _stage(function: Function, name: str, arguments: list[tuple[Reader, bool]]) -> _Stage:
    """A function with its arguments, of each whether it is a literal: blanks in quotes are meant, as in `join(" ")`.
    A blank input gives None; what the function cannot use gives None and a note."""
    apply, each, least = function.apply, function.each, function.least

    def plain(context: Context, current: Any, value: Any) -> Any:
        if value is None or (type(value) is str and (not value or value.isspace())):
            return None
        if each and type(value) is list:
            return _each(context, value, apply, ())
        try:
            result = apply(context, value)
        except Unusable as error:
            return context.note(error.reason)
        return None if result is MISSING else result

    def with_arguments(context: Context, current: Any, value: Any) -> Any:
        if is_blank(value):
            return None
        given = []
        for position, (argument, literal) in enumerate(arguments):
            item = argument(context, current)
            if not literal and is_blank(item):
                if position < least:
                    return context.note(f"{name}: argument {position + 1} is missing")
                item = None
            given.append(item)
        if each and type(value) is list:
            return _each(context, value, apply, given)
        try:
            result = apply(context, value, *given)
        except Unusable as error:
            return context.note(error.reason)
        return None if result is MISSING else result

    quick = function.quick
    if quick is None:
        return with_arguments if arguments else plain

    def text(context: Context, current: Any, value: Any) -> Any:
        if type(value) is str and len(value) <= _SHORT_TEXT:
            return quick(value)
        return plain(context, current, value)

    return text


def _each(context: Context, items: list[Any], apply: Callable[..., Any], given: Any) -> list[Any] | None:
    """A function on every element. What is blank or unusable is left out; None if nothing else was there."""
    if len(items) > MAX_ELEMENTS:
        context.note_cut(items)
        items = items[:MAX_ELEMENTS]
    context.take(len(items))
    results: list[Any] = []
    for item in items:
        if is_blank(item):
            continue
        try:
            result = apply(context, item, *given)
        except Unusable as error:
            context.note(error.reason)
            continue
        if type(result) is list:
            results += result
        elif not is_blank(result):
            results.append(result)
    if len(results) > MAX_ELEMENTS:
        context.note_cut(results)
        del results[MAX_ELEMENTS:]
    return results if results or not items else None


def _counted(stage: _Stage) -> _Stage:
    """A function inside a bracket is applied for every element: what it takes is counted."""

    def count(context: Context, current: Any, value: Any) -> Any:
        kind = type(value)
        context.take(1 + (len(value) >> 8 if kind is str else len(value) >> 3 if kind is list else 0))
        return stage(context, current, value)

    return count

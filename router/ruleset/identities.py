"""Identity and envelope of a source, compiled from texts of the rule language to what `router.sources` takes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from router.errors import TooLarge
from router.model import Instant, Webhook
from router.ruleset.compile import Compiler
from router.ruleset.language import MISSING, Compiled, Context, LanguageError, compile_value, is_blank
from router.ruleset.leaves import NOTHING, Value
from router.ruleset.nodes import Fallback, Path, Step
from router.ruleset.text import text_of
from router.ruleset.types import Convert, Unusable, converter
from router.ruleset.values import Exhausted
from router.sources.base import Identity, Reader
from router.sources.envelopes import Choice, elements_at

#: what reads an event's value before it is an event
Run = Callable[[Context], Any]
#: the keys of `identity`
PARTS = ("type", "id", "time", "version")
#: a number as text, and its decimals
_COUNTER = re.compile(r"(-?[0-9]+)(\.[0-9]+)?")
#: decimal numbers from here on may be seconds since 1970
_TIMES = 1e8
#: steps that choosing the events of one request may take: elements looked at, also of lists inside them
_STEPS = 500_000


def identity_of(values: Mapping[str, Value | Compiled], source: str, region: str | None, timezone: str) -> Identity:
    """The readers of an identity. Parts that are not given read nothing."""
    readers = {
        name: _reader(values[name], convert_part, source, region, timezone)
        for name, convert_part in converters(region, timezone).items()
        if name in values
    }
    return Identity(**readers)


def converters(region: str | None, timezone: str) -> Mapping[str, Convert]:
    """What makes a value each part of an identity."""
    to_time = converter("time", region=region, timezone=timezone)
    return {
        "type": _text,
        "id": _text,
        "time": partial(_instant, to_time),
        "version": partial(_version, to_time),
    }


def _reader(
    value: Value | Compiled, convert_part: Callable[[Any], Any], source: str, region: str | None, timezone: str
) -> Reader:
    """What reads one part of an identity; None where it is blank or cannot be used."""
    keys = _plain_keys(value)
    run = value.run

    def read(element: Any, webhook: Webhook) -> Any:
        if keys:
            found = _at(element, keys)
        else:
            query = {name: given[0] for name, given in webhook.query.items() if given}
            found = run(Context(element, None, webhook.headers, query, source, region, timezone))
        if found is MISSING:
            return None
        try:
            return convert_part(found)
        except Unusable:
            return None

    return read


def _plain_keys(value: Value | Compiled) -> tuple[str, ...]:
    """The keys of a path that is nothing else, as most parts are: it needs no context. Empty for anything else."""
    if not isinstance(value, Compiled) or not value.is_expression or len(value.paths) != 1:
        return ()
    (path,) = value.paths
    is_plain = path.text == value.text.strip() and path.base in {"dot", "root"}
    keys = tuple(step.value for step in path.steps if step.kind == "key")
    return keys if is_plain and len(keys) == len(path.steps) else ()


def _at(element: Any, keys: tuple[str, ...]) -> Any:
    try:
        for key in keys:
            element = element[key]
    except (KeyError, TypeError):
        return MISSING
    return MISSING if is_blank(element) else element


def _text(value: Any) -> str | None:
    return text_of(value)


def _instant(to_time: Convert, value: Any) -> Instant | None:
    found = to_time(value)
    return found if isinstance(found, Instant) else None


def _version(to_time: Convert, value: Any) -> int | Instant | None:
    """A counter, or a time. A decimal number too small for a time in seconds counts by its whole part."""
    number = value
    if isinstance(value, str) and (match := _COUNTER.fullmatch(value.strip())):
        number = int(match[1][:20]) if match[2] is None else float(value)
    if type(number) is float and abs(number) < _TIMES:
        return math.floor(number)
    return number if type(number) is int else _instant(to_time, number)


def events_of(compiled: Compiled) -> Callable[[Any], list[Any] | None] | None:
    """What finds the events in a decoded request, at the first path of several (`.list else .items`) that leads
    somewhere; None if the value is anything else. No event is lost: conditions that would look at less than all of them
    are refused."""
    root = compiled.trees[0].root if compiled.is_expression else None
    paths = root.items if isinstance(root, Fallback) else [root]
    reads: list[Callable[[Any], list[Any] | None]] = []
    for path in paths:
        if not isinstance(path, Path) or path.base not in {"dot", "root"}:
            return None
        reads.append(elements_at([_event_step(step, compiled.entries) for step in path.steps]))
    return lambda document: next((found for read in reads if (found := read(document)) is not None), None)


class _Whole(Context):
    """What cannot look at all there is does not go on."""

    __slots__ = ()

    def note_cut(self, items: list[Any]) -> None:
        raise Exhausted


def _event_step(step: Step, tables: Mapping[str, Mapping[str, Any]]) -> str | int | Choice | None:
    if step.condition is None:
        return step.value  # type: ignore[no-any-return]  # a name, an index, or None for every element
    read = Compiler(tables).reader(step.condition)
    every = step.kind == "every"

    def choose(document: Any, items: list[Any]) -> list[Any]:
        context = _Whole(document, steps=_STEPS)
        chosen: list[Any] = []
        try:
            for item in items:
                context.take(1)
                if read(context, item) is True:
                    chosen.append(item)
                    if not every:
                        break
        except Exhausted:
            raise TooLarge("choosing the events takes too many steps") from None
        return chosen

    return Choice(choose, every)


def key_path(text: str) -> tuple[str | int | None, ...] | None:
    """The keys and indexes of a path such as `.data.emails[].address` (None for `[]`); None if it is no such path."""
    try:
        compiled = compile_value(text, tables={}, allow=NOTHING)
    except LanguageError:
        return None
    if len(compiled.paths) != 1 or not _is_plain(compiled, compiled.paths[0], text):
        return None
    return tuple(step.value if step.kind in {"key", "index"} else None for step in compiled.paths[0].steps)


def _is_plain(compiled: Compiled, path: Path, text: str) -> bool:
    """Whether the expression is this path alone, without conditions."""
    return (
        compiled.is_expression
        and path.base in {"dot", "root"}
        and path.end - path.start == len(text.strip())
        and all(step.kind != "first" and step.condition is None for step in path.steps)
    )

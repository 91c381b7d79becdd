"""Identity and envelope of a source, compiled from texts of the rule language to what `router.sources` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from router.model import Instant, Webhook
from router.ruleset.language import MISSING, Compiled, Context, LanguageError, compile_value, is_blank
from router.ruleset.leaves import NOTHING, Value
from router.ruleset.nodes import Path
from router.ruleset.text import text_of
from router.ruleset.types import Convert, Unusable, converter
from router.sources.base import Identity, Reader

#: what reads an event's value before it is an event
Run = Callable[[Context], Any]
#: the keys of `identity`
PARTS = ("type", "id", "time", "version")


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
    if type(value) is int:
        return value
    if (
        isinstance(value, str)
        and value.strip().removeprefix("-").isascii()
        and value.strip().removeprefix("-").isdigit()
    ):
        return int(value.strip()[:20])
    return _instant(to_time, value)


def events_of(compiled: Compiled) -> Callable[[Any], list[Any]]:
    """What finds the events in a decoded request: one per element of a list."""

    def read(document: Any) -> list[Any]:
        found = compiled.run(Context(document))
        if found is MISSING:
            return []
        return found if isinstance(found, list) else [found]

    return read


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

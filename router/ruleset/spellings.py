"""Names in the events, and paths to them as other languages write them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

#: what the event is called in other languages
ROOTS: Final = frozenset(
    {"body", "event", "payload", "data", "json", "message", "msg", "input", "this", "root", "properties"}
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORD: Final = r"[A-Za-z_](?:\w|-(?!>))*"
_STEP: Final = rf"""(?:\??\.|/|->){_WORD}|\[(?:"[^"]*"|'[^']*'|-?\d*)\]"""
_FOREIGN: Final = re.compile(rf"(?:[/$@.]|\$\.)?(?:{_WORD}|(?=\[))((?:{_STEP})*)")
_GET: Final = re.compile(r"""\.get\(\s*("[^"]*"|'[^']*')\s*\)""")
_A_STEP: Final = re.compile(_STEP)


class Keys(dict[str, set[str]]):
    """Key at the top of the events → what may follow it: the keys of objects, `[` of lists."""

    def __init__(self, events: Sequence[Any]) -> None:
        super().__init__()
        self._events = events

    @cached_property
    def inner(self) -> Mapping[str, str]:
        """The keys of all objects in them, however deep → a path to one; empty if it cannot be shown."""
        found: dict[str, str] = {}
        pending = [
            (f".{key}" if _NAME.fullmatch(key) else "", inner)
            for event in self._events
            for key, inner in (event.items() if isinstance(event, dict) else ())
        ]
        for path, value in pending:  # it grows
            if isinstance(value, dict):
                for key, inner in value.items():
                    longer = f"{path}.{key}" if path and _NAME.fullmatch(key) else ""
                    found.setdefault(key, longer)
                    pending.append((longer, inner))
            elif isinstance(value, list):
                pending += [(path and f"{path}[0]", inner) for inner in value]
        return found


def keys_of(events: Sequence[Any]) -> Keys:
    """The keys of these events."""
    found = Keys(events)
    for event in events:
        for key, inner in event.items() if isinstance(event, dict) else ():
            follow = found.setdefault(key, set())
            if isinstance(inner, list):
                follow.add("[")
            elif isinstance(inner, dict):
                follow.update(inner)
    return found


def inside_of(keys: Keys, name: str, follow: str) -> bool:
    """Whether something in the events goes on so: `follow` begins with its `.` or `[`."""
    found = keys.get(name, ())
    return "[" in found if follow.startswith("[") else re.match(r"[\w-]*", follow[1:])[0] in found  # type: ignore[index]  # matches anything


def path_of(written: str, keys: Keys) -> str:
    """The path that stands for what is in a hole of another language; empty if it reads nothing that is known."""
    first = _NAME.match(written)
    if first is None:
        return ""
    if first[0] in keys:
        return respelled(written, keys, several=False, strict=False)
    rest = written[first.end() :]
    if first[0].lower() in ROOTS and (found := respelled(rest, keys, several=False)):
        return found
    path = keys.inner.get(first[0], "")
    return path + "".join(_steps(rest)) if path and _FOREIGN.fullmatch(written) else ""


def respelled(text: str, keys: Keys, *, several: bool = True, strict: bool = True) -> str:
    """A path of another language in ours, such as `a["b"]`, `a/b` and `a->b`; empty if it is none. It begins with
    something in the events; with `several` it goes on, and with `strict` into something there."""
    text = _GET.sub(r"[\1]", text)
    if not _FOREIGN.fullmatch(text):
        return ""
    start = 0 if text[:1] in "[./" else len(text) - len(text.lstrip("$@"))
    plain = text[start:]
    steps = _steps(plain if plain[:1] in "[./" else f".{plain}")
    if steps and steps[0][1:].lower() in ROOTS and not _goes_on(steps, keys, several=True):
        steps = steps[1:]
    return "".join(steps) if _goes_on(steps, keys, several=several, strict=strict) else ""


def _steps(text: str) -> list[str]:
    """The steps of a path as we write them."""
    steps = []
    for step in _A_STEP.findall(text):
        name = step[2:-2] if step[:2] in {'["', "['"} else step.lstrip("?./->")
        if step[0] == "[" and step[1] not in "\"'":
            steps.append(step)
        else:
            steps.append(f".{name}" if _NAME.fullmatch(name) else f'."{name}"')
    return steps


def _goes_on(steps: list[str], keys: Keys, *, several: bool, strict: bool = True) -> bool:
    """Whether the first step is something in the events, and the second one something in it."""
    if not steps or steps[0][1:].strip('"') not in keys:
        return False
    follow = keys[steps[0][1:].strip('"')]
    if len(steps) == 1:
        return not several
    return not strict or (steps[1][1:].strip('"') in follow or (steps[1][0] == "[" and "[" in follow))

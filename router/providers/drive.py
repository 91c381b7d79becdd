"""Drive a conversation without a network: canned replies in, calls and what they mean out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from router.model import Call, Reply

_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Driven(Generic[_R]):
    """A conversation that has ended."""

    calls: tuple[Call, ...]
    #: an outcome, a list of outcomes, or a `ReadBack`
    result: _R


def drive(conversation: Generator[Call, Reply, _R], replies: Callable[[Call], Reply] | Iterable[Reply]) -> Driven[_R]:
    """Run a conversation to its end; `replies` answers each call, by a function or in order.

    Raises `BuildError` where preflight refuses, `IndexError` if there are fewer replies than calls.
    """
    answer = replies if callable(replies) else _in_order(replies)
    calls: list[Call] = []
    try:
        call = next(conversation)
        while True:
            calls.append(call)
            call = conversation.send(answer(call))
    except StopIteration as end:
        return Driven(tuple(calls), end.value)


def _in_order(replies: Iterable[Reply]) -> Callable[[Call], Reply]:
    waiting = deque(replies)
    return lambda _call: waiting.popleft()

"""Pieces of body schemas: strict, quick, and with words that a sentence can go on with (`is text`, `is a number`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final

from marshmallow import Schema, ValidationError, fields

#: a name → why it is refused, or nothing
NameRule = Callable[[str], str]
#: name and value of an attribute → why it is refused, or nothing
ValueRule = Callable[[str, Any], str]


#: names that one piece remembers
_MAX_NAMES: Final = 1_000


def is_number(value: Any) -> bool:
    """Whether a value is a JSON number (yes/no is not)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Piece(fields.Field[Any]):
    """A value of a body, taken as it is or refused."""

    #: goes on after `<place> is`
    noun: ClassVar[str] = ""

    def fault(self, value: Any) -> str:
        """Why a value is refused, as it goes on after the place's name, or nothing."""
        raise NotImplementedError

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        fault = self.fault(value)
        if fault:
            raise ValidationError(fault)
        return value


class Text(Piece):
    """Text of at most `max_chars`."""

    noun = "text"

    def __init__(self, *, max_chars: int | None = None, only: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_chars = max_chars
        self.only = only

    def fault(self, value: Any) -> str:
        if not isinstance(value, str):
            return "is text"
        if self.only is not None and value != self.only:
            return f"is {self.only}"
        if self.max_chars is not None and len(value) > self.max_chars:
            return f"is at most {self.max_chars} characters"
        return ""


class Flag(Piece):
    """Yes or no."""

    noun = "yes/no"

    def fault(self, value: Any) -> str:
        return "" if isinstance(value, bool) else "is yes/no"


class Texts(Piece):
    """A list of different texts, at most `most`."""

    noun = "a list of texts"

    def __init__(self, *, most: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.most = most

    def fault(self, value: Any) -> str:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return "is a list of texts"
        if len(value) > self.most:
            return f"has at most {self.most} elements"
        return "" if len(set(value)) == len(value) else "has an element twice"


class Objects(Piece):
    """A list of objects."""

    noun = "a list of objects"

    def fault(self, value: Any) -> str:
        good = isinstance(value, list) and all(isinstance(item, dict) for item in value)
        return "" if good else "is a list of objects"


class Members(Piece):
    """An object whose members are known."""

    noun = "an object"

    def __init__(self, members: Mapping[str, Piece], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.members = members

    def fault(self, value: Any) -> str:
        if not isinstance(value, dict):
            return "is an object"
        for name, item in value.items():
            piece = self.members.get(name)
            if piece is None:
                return "has a member that is not known"
            fault = piece.fault(item)
            if fault:
                return f"{name} {fault}"
        return ""


class Attributes(Piece):
    """An object with open names. `deep`: its values may be objects, written leaf by leaf.

    `values` takes any text of up to `text_chars` characters, but under the names `odd`: it is not asked about these.
    """

    noun = "an object"

    def __init__(
        self,
        *,
        names: NameRule,
        values: ValueRule,
        deep: bool,
        text_chars: float = math.inf,
        odd: frozenset[str] = frozenset(),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.names = names
        self.values = values
        self.deep = deep
        self.text_chars = text_chars
        self.odd = odd
        #: names that were taken, at most `_MAX_NAMES`: bodies have the same ones again and again
        self._taken: set[str] = set()

    def fault(self, value: Any) -> str:
        if not isinstance(value, dict):
            return "is an object"
        text_chars, odd = self.text_chars, self.odd
        known = self._taken.issuperset(value)
        for name, item in value.items():
            if not known and (fault := self._name_fault(name)):
                return f"has a name that is refused: {fault}"
            if type(item) is str and len(item) <= text_chars and name not in odd:
                continue
            if fault := self.values(name, item):
                return f"{name} {fault}"
        return ""

    def _name_fault(self, name: str) -> str:
        fault = self.names(name)
        if not fault and len(self._taken) < _MAX_NAMES:
            self._taken.add(name)
        return fault


@lru_cache(maxsize=64)
def schema_of(kind: type[Schema]) -> Schema:
    """The instance of a schema that all share: making one costs as much as reading a file of rules."""
    return kind()


def find_piece(pieces: Mapping[str, Any], path: Sequence[str]) -> tuple[Piece | None, int]:
    """The piece that stands at a path, and how many keys of the path lead to it.

    Fewer keys than the path has: the rest lies inside that piece. No piece: nothing is known under the last key.
    """
    piece: Piece | None = None
    for depth, key in enumerate(path):
        piece = pieces.get(key)
        if not isinstance(piece, Members):
            return piece, depth + 1
        pieces = piece.members
    return piece, len(path)

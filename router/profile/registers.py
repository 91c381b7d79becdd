"""Registers: the last-writer-wins map that a person's copy at one provider is.

A field is one register, except the tags: `tags` holds the version of the last replace, and each tag has a register of
its own under `tag:<tag>`. A tag is there if it was added at or after the last replace and not removed since.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from router.model import Change, Op, OpKind, TagsOp, Version

#: register of the last replace of all tags
TAGS = "tags"
#: prefix of the register of one tag
TAG = "tag:"

_SET: Final = OpKind.SET
_ONCE: Final = OpKind.ONCE
_REPLACE: Final = OpKind.REPLACE
#: makes a tuple of some class at a third of what calling the class costs
_new: Final = tuple.__new__


class Register(NamedTuple):
    """What was last written to one field, when, and by which rules. A tuple: a lane has many, and each is made anew."""

    #: its value is None for `unset`, `replace`, `add` and `remove`
    op: Op
    version: Version
    #: revision of the rules that wrote it
    revision: str = ""

    @property
    def kind(self) -> OpKind:
        """What was done."""
        return self.op.kind

    @property
    def value(self) -> Any:
        """What was written, None where nothing was."""
        return self.op.value


#: field → register
Registers = Mapping[str, Register]


def atoms(change: Change) -> dict[str, Register]:
    """The registers a change writes. Of a tag that is both removed and added, the add counts."""
    version, revision = change.version, change.revision
    made: dict[str, Register] = {}
    for name, op in change.fields.items():
        if isinstance(op, Op):
            made[name] = _new(Register, (op, version, revision))
        else:
            made.update(_tag_atoms(op, version, revision))
    return made


def _tag_atoms(op: TagsOp, version: Version, revision: str) -> Iterator[tuple[str, Register]]:
    if op.replace is not None:
        yield TAGS, Register(Op(_REPLACE), version, revision)
    added = {*(op.replace or ()), *op.add}
    for tag in sorted(added):
        yield TAG + tag, Register(Op(OpKind.ADD), version, revision)
    for tag in sorted(set(op.remove) - added):
        yield TAG + tag, Register(Op(OpKind.REMOVE), version, revision)


def merge(a: Register, b: Register) -> Register:
    """The one of two undelivered writes of a field that counts. Commutative, associative, idempotent.

    The higher version wins; a `set` or `unset` beats any `once`; among `once` the earlier wins.
    """
    once_a, once_b = a.op.kind is _ONCE, b.op.kind is _ONCE
    if once_a != once_b:
        return b if once_a else a
    if a.version == b.version:
        return a if _text(a) >= _text(b) else b
    return a if (a.version > b.version) != once_a else b


def _text(register: Register) -> str:
    """A total order for writes with equal versions, which rules never make but merging must survive."""
    return json.dumps([register.kind, register.value, register.revision], sort_keys=True, default=str)


def outdoes(pending: Register, confirmed: Register) -> bool:
    """Whether a pending write moves a confirmed register forward. A delivered `once` yields to `set`, `unset` only."""
    once = pending.op.kind is _ONCE
    if confirmed.op.kind is _ONCE:
        return not once
    return not once and pending.version > confirmed.version


def same_value(a: Any, b: Any) -> bool:
    """Equality of JSON values: yes/no is no number, `12` equals `12.0`, lists and objects by content."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_value, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_value(a[key], b[key]) for key in a)
    return bool(a == b)


def same_effect(pending: Register, confirmed: Register) -> bool:
    """Whether the provider already is as `pending` wants it. A `once` never proves what the provider holds."""
    kind, value = pending.op
    if kind is not confirmed.op.kind:
        return False
    if kind is _SET:
        return same_value(value, confirmed.op.value)
    return kind is not _ONCE and kind is not _REPLACE


def present(registers: Registers, tag: str) -> bool:
    """Whether a tag is there."""
    register = registers.get(TAG + tag)
    if register is None or register.kind is not OpKind.ADD:
        return False
    base = registers.get(TAGS)
    return base is None or register.version >= base.version


def tags_of(registers: Registers) -> tuple[str, ...]:
    """Every tag that is there, in code-point order."""
    return tuple(
        sorted(key[len(TAG) :] for key in registers if key.startswith(TAG) and present(registers, key[len(TAG) :]))
    )

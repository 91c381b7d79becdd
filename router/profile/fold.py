"""Fold: pending changes laid over a lane's registers give what must be sent, and afterwards how each delivery ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.model import Change, DeliveryState, Delta, Op, OpKind, TagsDelta
from router.profile.registers import (
    TAG,
    TAGS,
    Register,
    Registers,
    atoms,
    merge,
    outdoes,
    present,
    same_effect,
    tags_of,
)

#: field → what may have reached the provider without a success to confirm it; None: it was refused.
#: An unsure field equals nothing; an unsure `once` keeps the value that went out.
Unsure = Mapping[str, Register | None]

_OF_TAGS: Final = frozenset({OpKind.REPLACE, OpKind.ADD, OpKind.REMOVE})
#: the operations that leave a value
_GIVES: Final = frozenset({OpKind.SET, OpKind.ONCE})
_ONCE: Final = OpKind.ONCE


class Held(Mapping[str, Any]):
    """The values in registers, by field. A view: few providers look."""

    __slots__ = ("_registers",)

    def __init__(self, registers: Registers) -> None:
        self._registers = registers

    def __getitem__(self, key: str) -> Any:
        kind, value = self._registers[key].op
        if kind not in _GIVES:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        return (key for key, r in self._registers.items() if r.op.kind in _GIVES)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, slots=True)
class Fold:
    """What pending changes make of a lane."""

    #: confirmed registers as before
    confirmed: Registers
    unsure: Unsure
    #: fields that move forward, whether or not a call is needed for them
    advanced: Registers
    #: the part of `advanced` that must be sent; empty: no call is needed
    sending: Registers

    def delta(self, profile: str, provider_handle: str | None = None) -> Delta:
        """What to send, in the words of providers."""
        after = self.registers()
        fields: dict[str, Op] = {}
        has_tags = bool(self.confirmed)
        version, occurred_us = None, 0
        for key, register in self.sending.items():
            if register.op.kind in _OF_TAGS:
                has_tags = True
            else:
                fields[key] = register.op
            if register.version is not version:
                version = register.version
                occurred_us = max(occurred_us, version.occurred_us)
        return Delta(
            profile=profile,
            fields=fields,
            tags=self._tags(after) if has_tags else None,
            held=Held(after),
            provider_handle=provider_handle,
            occurred_us=occurred_us,
        )

    def _tags(self, after: Registers) -> TagsDelta | None:
        """`after` are the registers once this is confirmed."""
        held = tags_of(after)
        if TAGS in self.sending:
            return TagsDelta(replace=held, held=held)
        said = [(key[len(TAG) :], r.kind) for key, r in self.sending.items() if key.startswith(TAG)]
        if not said:
            return TagsDelta(held=held) if held else None
        return TagsDelta(
            add=tuple(sorted(tag for tag, kind in said if kind is OpKind.ADD)),
            remove=tuple(sorted(tag for tag, kind in said if kind is OpKind.REMOVE)),
            held=held,
        )

    def registers(self) -> dict[str, Register]:
        """The registers once all of this is confirmed. Tags from before the last replace are forgotten."""
        after = {**self.confirmed, **self.advanced}
        base = after.get(TAGS)
        if base is None:
            return after
        return {key: r for key, r in after.items() if not key.startswith(TAG) or r.version >= base.version}

    def settled_unsure(self) -> dict[str, Register | None]:
        """What stays unsure once all of this is confirmed."""
        replaced = TAGS in self.sending
        return {
            key: r
            for key, r in self.unsure.items()
            if key not in self.sending and not (replaced and key.startswith(TAG))
        }

    def failed_unsure(self, *, refused: bool) -> dict[str, Register | None]:
        """What is unsure after this may have reached the provider without success. A refused `once` is not kept."""
        return {**self.unsure, **{key: None if refused else r for key, r in self.sending.items()}}


def fold(registers: Registers, unsure: Unsure, changes: Sequence[Change]) -> Fold:
    """Lay pending changes over confirmed registers. Pure; the order of `changes` does not matter."""
    pending: dict[str, Register] = {}
    has_tags = False
    for change in changes:
        has_tags = has_tags or TAGS in change.fields
        made = atoms(change)
        if not pending:
            pending = made
            continue
        for key in pending.keys() & made.keys():
            made[key] = merge(pending[key], made[key])
        pending.update(made)
    fields = {key: r for key, r in pending.items() if r.op.kind not in _OF_TAGS} if has_tags else pending
    advanced, sending = _fold_fields(registers, unsure, fields) if registers or unsure else (fields, fields.copy())
    if has_tags:
        _fold_tags(registers, unsure, pending, advanced, sending)
    return Fold(registers, unsure, advanced, sending)


def _fold_fields(
    registers: Registers, unsure: Unsure, pending: Registers
) -> tuple[dict[str, Register], dict[str, Register]]:
    """The fields of `pending` that move forward, and those of them that must be sent. In an empty lane that is all."""
    advanced: dict[str, Register] = {}
    sending: dict[str, Register] = {}
    for key, register in pending.items():
        winner = _keep_once(register, unsure.get(key)) if unsure else register
        confirmed = registers.get(key)
        if confirmed is not None and not outdoes(winner, confirmed):
            continue
        advanced[key] = winner
        if confirmed is None or key in unsure or not same_effect(winner, confirmed):
            sending[key] = winner
    return advanced, sending


def _keep_once(pending: Register, unsure: Register | None) -> Register:
    """A `once` that may have been applied already keeps its value against any other `once`."""
    if pending.op.kind is _ONCE and unsure is not None and unsure.op.kind is _ONCE:
        return unsure
    return pending


def _fold_tags(
    registers: Registers,
    unsure: Unsure,
    pending: Registers,
    advanced: dict[str, Register],
    sending: dict[str, Register],
) -> None:
    base = pending.get(TAGS)
    if base is not None and (TAGS not in registers or outdoes(base, registers[TAGS])):
        advanced[TAGS] = base
    floor = advanced.get(TAGS) or registers.get(TAGS)
    moved: dict[str, Register] = {}
    for key, register in pending.items():
        if not key.startswith(TAG) or (floor is not None and register.version < floor.version):
            continue
        confirmed = registers.get(key)
        if confirmed is None or outdoes(register, confirmed):
            moved[key] = register
    advanced.update(moved)
    if TAGS in advanced:
        if not _replace_is_known(registers, unsure, advanced):
            sending[TAGS] = advanced[TAGS]
            sending.update(moved)
        return
    for key, register in moved.items():
        tag = key[len(TAG) :]
        known = TAGS in registers or key in registers
        wanted = register.kind is OpKind.ADD
        if key in unsure or TAGS in unsure or not known or present(registers, tag) != wanted:
            sending[key] = register


def _replace_is_known(registers: Registers, unsure: Unsure, advanced: Mapping[str, Register]) -> bool:
    """Whether the provider surely holds exactly the tags that a replace wants."""
    if TAGS not in registers or any(key == TAGS or key.startswith(TAG) for key in unsure):
        return False
    return tags_of(registers) == tags_of({**registers, **advanced})


def judge(change: Change, result: Fold, *, called: bool) -> DeliveryState:
    """How a delivery ended once `result` is confirmed. `called`: a call carried `result.sending`.

    `delivered` if a call carried a field of it, `unchanged` if a field of it was held already and none was carried,
    `superseded` if confirmed registers of higher versions stand in every field.
    """
    after = result.registers()
    held = not change.fields
    for key, register in atoms(change).items():
        winner = after.get(key)
        if winner is None or winner.version != register.version:
            continue
        if called and key in result.sending:
            return DeliveryState.DELIVERED
        held = True
    return DeliveryState.UNCHANGED if held else DeliveryState.SUPERSEDED

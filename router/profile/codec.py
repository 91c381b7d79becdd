"""JSON of changes, registers and intents, as the store keeps them. Versions are written once and referred to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from router.model import Change, Instant, Op, OpKind, TagsOp, Version, to_us
from router.profile.fold import Unsure
from router.profile.registers import Register, Registers

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def encode_value(value: Any) -> Any:
    """A trait's value as JSON: times as `{"$time": …}`, objects as `{"$object": …}`."""
    if isinstance(value, Instant):
        return {"$time": str(value)}
    if isinstance(value, dict):
        return {"$object": {key: encode_value(item) for key, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return [encode_value(item) for item in value]
    return value


def decode_value(value: Any) -> Any:
    """The reverse of `encode_value`."""
    if isinstance(value, dict):
        if "$time" in value:
            return Instant(to_us(datetime.fromisoformat(value["$time"])))
        return {key: decode_value(item) for key, item in value["$object"].items()}
    if isinstance(value, list):
        return [decode_value(item) for item in value]
    return value


def dump_version(version: Version) -> str:
    return _dumps(list(version))


def load_version(text: str) -> Version:
    return Version(*json.loads(text))


def dump_change(change: Change) -> str:
    """The change without profile and version, which are columns of their own."""
    fields: dict[str, Any] = {}
    for name, op in change.fields.items():
        if isinstance(op, Op):
            fields[name] = {op.kind.value: True if op.kind is OpKind.UNSET else encode_value(op.value)}
        elif op.replace is not None:
            fields[name] = {"replace": list(op.replace)}
        else:
            fields[name] = {"add": list(op.add), "remove": list(op.remove)}
    return _dumps({"revision": change.revision, "fields": fields, "omitted": dict(change.omitted)})


def load_change(text: str, profile: str, version: Version) -> Change:
    data = json.loads(text)
    fields = {name: _load_op(name, op) for name, op in data["fields"].items()}
    return Change(profile, version, data["revision"], fields, data["omitted"])


def _load_op(name: str, op: Mapping[str, Any]) -> Op | TagsOp:
    if name == "tags":
        if "replace" in op:
            return TagsOp(replace=tuple(op["replace"]))
        return TagsOp(add=tuple(op["add"]), remove=tuple(op["remove"]))
    ((kind, value),) = op.items()
    return Op(OpKind(kind), None if kind == "unset" else decode_value(value))


def dump_registers(registers: Unsure) -> str:
    """Registers, an intent, or what is unsure (where None says: refused)."""
    if not registers:
        return "{}"
    origins: dict[tuple[Version, str], int] = {}
    rows: dict[str, Any] = {}
    for key, r in registers.items():
        if r is None:
            rows[key] = None
        else:
            origin = origins.setdefault((r.version, r.revision), len(origins))
            rows[key] = [r.op.kind, encode_value(r.op.value), origin]
    return _dumps({"origins": [[*version, revision] for version, revision in origins], "fields": rows})


def load_unsure(text: str) -> dict[str, Register | None]:
    """The reverse of `dump_registers`."""
    if text == "{}":
        return {}
    data = json.loads(text)
    origins = [(Version(*row[:-1]), row[-1]) for row in data["origins"]]
    return {key: None if row is None else _load_register(row, origins) for key, row in data["fields"].items()}


def _load_register(row: list[Any], origins: list[tuple[Version, str]]) -> Register:
    kind, value, origin = row
    return Register(Op(OpKind(kind), decode_value(value)), *origins[origin])


def load_registers(text: str) -> dict[str, Register]:
    """The reverse of `dump_registers` for registers and intents."""
    return {key: register for key, register in load_unsure(text).items() if register is not None}


def field_versions(sending: Registers) -> list[list[Any]]:
    """What a call carries: `[field, operation, version…]` in the order of names. The same content, the same list."""
    return [[key, r.kind.value, *r.version] for key, r in sorted(sending.items())]


def idempotency_key(destination: str, step: str, lanes: Iterable[tuple[str, Registers]], salt: str = "") -> str:
    """Digest of what one step of a conversation carries: equal content, equal key.

    `lanes` are (profile, sending). `salt` sets a re-assert or a replay apart.
    """
    content = [destination, step, salt, sorted([profile, field_versions(sending)] for profile, sending in lanes)]
    return hashlib.sha256(_dumps(content).encode()).hexdigest()[:40]

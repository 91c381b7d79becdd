"""The known senders, read from `presets.yaml` once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

_HERE = Path(__file__).parent


def lay_over(verify: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A `verify` definition with another one laid over it, key by key.

    Another scheme, `all_of` or `any_of` shares no parameter with what it replaces.
    """
    shares = own.get("scheme", verify.get("scheme")) == verify.get("scheme") and not own.keys() & {"all_of", "any_of"}
    return {**verify, **own} if shares else dict(own)


def _read() -> Mapping[str, Mapping[str, Any]]:
    raw = yaml.load((_HERE / "presets.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
    presets: dict[str, Mapping[str, Any]] = {}
    for name, own in raw.items():
        merged: dict[str, Any] = {**(presets[own["extends"]] if "extends" in own else {}), **own}
        if "extends" in own:
            base = presets[merged.pop("extends")]
            merged["verify"] = lay_over(base["verify"], own.get("verify", {}))
            merged["identity"] = {**base["identity"], **own.get("identity", {})}
        presets[name] = MappingProxyType(merged)
    return MappingProxyType(presets)


#: name → `verify`, `handshake`, `envelope`, `identity` (texts of the rule language), `ack`, `keep`, `docs`
PRESETS: Mapping[str, Mapping[str, Any]] = _read()

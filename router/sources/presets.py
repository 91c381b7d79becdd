"""The known senders, read from `presets.yaml` once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

_HERE = Path(__file__).parent

#: parts that `extends` lays over one another key by key
_MERGED = ("verify", "identity")


def _read() -> Mapping[str, Mapping[str, Any]]:
    raw = yaml.safe_load((_HERE / "presets.yaml").read_text("utf-8"))
    examples = json.loads((_HERE / "examples.json").read_text("utf-8"))
    presets: dict[str, Mapping[str, Any]] = {}
    for name, own in raw.items():
        merged = dict(presets[own["extends"]]) if "extends" in own else {}
        for key, value in own.items():
            # another scheme shares no parameter with the one it replaces
            laid_over = key in _MERGED and key in merged and "scheme" not in value
            merged[key] = {**merged[key], **value} if laid_over else value
        merged.pop("extends", None)
        if name in examples:
            merged["example"] = examples[name]
        presets[name] = MappingProxyType(merged)
    return MappingProxyType(presets)


#: name → `verify`, `handshake`, `envelope`, `identity` (texts of the rule language), `ack`, `keep`, `needs`, `docs`,
#: and `example`: a sample request as `{"header": {…}, "body": …}`
PRESETS: Mapping[str, Mapping[str, Any]] = _read()

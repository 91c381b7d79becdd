"""Masking: what personal values look like to somebody who did not ask to see them."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any


def masked(value: Any) -> str:
    """Type, length and ends of a value: `j…@e….com`, `…42`, `text(22)`. Yes/no and nothing show."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, (list, tuple)):
        return f"list({len(value)})"
    if isinstance(value, dict):
        return f"object({len(value)})"
    text = str(value)
    name, at, domain = text.partition("@")
    if at and name and "." in domain:
        return f"{name[0]}…@{domain[0]}….{domain.rpartition('.')[2]}"
    if text.startswith("+") and text[1:].isdigit():
        return f"…{text[-2:]}"
    return f"text({len(text)})"


def shown(field: str, value: Any, *, reveal: bool, public: Collection[str]) -> str:
    """A value for people: in clear if they asked, or if the trait is declared public."""
    if reveal or field in public:
        return json.dumps(value, ensure_ascii=False, default=str)
    return masked(value)

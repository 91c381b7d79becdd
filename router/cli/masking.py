"""Masking: what personal values look like to somebody who did not ask to see them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from router.profile import TAG
from router.ruleset.text import printable

#: an address and nothing else, or what follows its last full stop could be anything
_EMAIL = re.compile(r"([^\s@\"<>(),:;])[^\s@\"<>(),:;]{0,63}@([A-Za-z0-9])[A-Za-z0-9.-]{0,250}\.([A-Za-z]{2,18})")
_PHONE = re.compile(r"\+[0-9]{7,15}")


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
    if match := _EMAIL.fullmatch(text):
        return f"{match[1]}…@{match[2]}….{match[3]}"
    if _PHONE.fullmatch(text):
        return f"…{text[-2:]}"
    return f"text({len(text)})"


def shown(field: str, value: Any, *, reveal: bool, public: Collection[str]) -> str:
    """A value for people: in clear if they asked, or if the trait is declared public."""
    if reveal or field in public:
        return printable(json.dumps(value, ensure_ascii=False, default=str))
    return masked(value)


def masked_names(fields: Iterable[str]) -> dict[str, str]:
    """Field → its name for people. A tag is a value of the person, and part of its register's name: it is masked, and
    told from others of the same mask by a number: `tag:text(3)`, `tag:text(3)#2`."""
    names: dict[str, str] = {}
    taken: Counter[str] = Counter()
    for field in sorted(set(fields)):
        names[field] = field
        if field.startswith(TAG):
            mask = TAG + masked(field[len(TAG) :])
            taken[mask] += 1
            names[field] = mask if taken[mask] == 1 else f"{mask}#{taken[mask]}"
    return names

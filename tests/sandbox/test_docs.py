"""The page of the sandbox names everything there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from router.sandbox import FaultKind
from router.sandbox.fault import KINDS
from router.sandbox.sandbox import APIS

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text("utf-8")


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind is not FaultKind.STATUS])
def test_every_fault_is_on_the_page(kind: FaultKind) -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("|") and re.search(rf"`{kind}[`:]", row.split("|")[1])]
    assert len(rows) == 1
    later = kind in (FaultKind.LATE, FaultKind.LAG)
    assert rows[0].split("|")[3].strip() == ("later" if later else "yes" if KINDS[kind].applied else "no")


@pytest.mark.parametrize("kind", APIS)
def test_every_kind_is_on_the_page(kind: str) -> None:
    assert PAGE.count(f"\n| `{kind}` |") == 3 - (kind == "moesif")

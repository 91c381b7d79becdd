"""The requests that come with the router: one or more of every known sender, as samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

DIRECTORY = Path(__file__).parent / "examples"


@dataclass(frozen=True, slots=True)
class Example:
    """One request: a file `<preset>.<type>.json` of the package."""

    preset: str
    #: of its first event; in a file's name everything but letters, digits, `.`, `_` and `-` is `-`
    type: str
    path: Path
    #: JSON: `header`, `query`, `body`, as a sample has them
    data: bytes


@lru_cache
def examples_of(preset: str) -> tuple[Example, ...]:
    """The examples of a preset, by type. Read when first asked for."""
    paths = sorted(DIRECTORY.glob(f"{preset}.*.json"))
    return tuple(Example(preset, path.name[len(preset) + 1 : -5], path, path.read_bytes()) for path in paths)

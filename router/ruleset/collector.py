"""The garbage collector waits while rules are read."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_waits() -> Iterator[None]:
    """Reading rules makes objects by the hundred thousand and drops few. The collector would look through all of them
    again and again: with 10,000 rules that is four fifths of the time. Whoever had turned it off finds it off."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

"""The algebra: registers, merge and fold. Pure code, no I/O.

A person's copy at one provider is a last-writer-wins map. Changes only ever move its fields forward, so the order in
which they arrive, how often they are sent and what crashes in between do not matter.
"""

from router.profile.fold import Fold, Unsure, fold, judge
from router.profile.registers import TAG, TAGS, Register, Registers, atoms, merge, tags_of

__all__ = ["TAG", "TAGS", "Fold", "Register", "Registers", "Unsure", "atoms", "fold", "judge", "merge", "tags_of"]

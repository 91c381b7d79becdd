"""The laws of the algebra: whatever arrives late, twice, out of order or around a crash ends in the same state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from router.model import Change, Op, OpKind, TagsDelta, TagsOp, Version
from router.profile import Fold, Register, fold, judge, merge
from router.profile.codec import dump_registers, load_registers, load_unsure

FIELDS = ("email",)
TAG_NAMES = ("a", "b")
VALUES = st.sampled_from(["x", "y"])


@st.composite
def changes(draw: st.DrawFn, *, once_only: bool = False) -> list[Change]:
    """Up to eight changes with distinct versions, in version order."""
    result = []
    for n in range(draw(st.integers(1, 5))):
        ops: dict[str, Op | TagsOp] = {}
        for name in FIELDS:
            kind = draw(st.sampled_from(["none", "once"] if once_only else ["none", "set", "set", "unset", "once"]))
            if kind != "none":
                ops[name] = Op(OpKind(kind), None if kind == "unset" else draw(VALUES))
        if not once_only and draw(st.booleans()):
            names = st.frozensets(st.sampled_from(TAG_NAMES)).map(lambda s: tuple(sorted(s)))
            ops["tags"] = (
                TagsOp(replace=draw(names)) if draw(st.booleans()) else TagsOp(add=draw(names), remove=draw(names))
            )
        version = Version(draw(st.integers(0, 3)), draw(st.integers(0, 1)), f"e{n}", 1, 0, "s/r")
        result.append(Change("p", version, "rev", ops))
    return sorted(result, key=lambda change: change.version)


@dataclass
class Copy:
    """A provider that can do everything itself, and remembers in which order versions came."""

    values: dict[str, Any] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    history: list[tuple[str, Register]] = field(default_factory=list)

    def apply(self, result: Fold) -> None:
        delta = result.delta("p")
        for name, op in delta.fields.items():
            if op.kind is OpKind.SET or (op.kind is OpKind.ONCE and name not in self.values):
                self.values[name] = op.value
            elif op.kind is OpKind.UNSET:
                self.values.pop(name, None)
        if isinstance(delta.tags, TagsDelta):
            if delta.tags.replace is not None:
                self.tags = set(delta.tags.replace)
            self.tags = (self.tags - set(delta.tags.remove)) | set(delta.tags.add)
        self.history += result.sending.items()


def truth(everything: Sequence[Change]) -> tuple[dict[str, Any], set[str]]:
    """The state that all changes describe, computed the naive way: apply them in version order."""
    values: dict[str, Any] = {}
    tags: set[str] = set()
    written: set[str] = set()
    for change in sorted(everything, key=lambda c: c.version):
        for name, op in change.fields.items():
            if isinstance(op, TagsOp):
                if op.replace is not None:
                    tags = set(op.replace)
                tags = (tags - set(op.remove)) | set(op.add)
            elif op.kind is not OpKind.ONCE:
                written.add(name)
                values.pop(name, None)
                if op.kind is OpKind.SET:
                    values[name] = op.value
    for change in sorted(everything, key=lambda c: c.version):
        for name, op in change.fields.items():
            if isinstance(op, Op) and op.kind is OpKind.ONCE and name not in written:
                values.setdefault(name, op.value)
    return values, tags


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ok", "ok", "lost", "lost-applied", "refused", "not-sent"]),
        st.sets(st.integers(0, 4), min_size=1, max_size=2),
    ),
    min_size=2,
    max_size=6,
)


def play(everything: Sequence[Change], steps: Sequence[tuple[str, set[int]]], order: Sequence[int]) -> Copy:
    """Deliver `everything` in some order with some accidents, then heal: the way a lane does it."""
    copy = Copy()
    registers: dict[str, Register] = {}
    unsure: dict[str, Register | None] = {}
    pending: list[Change] = []
    settled: list[Change] = []
    shuffled = [everything[i] for i in order]
    for outcome, arrivals in [*steps, ("ok", set(range(8)))]:
        pending += [shuffled[i] for i in sorted(arrivals) if i < len(shuffled)]  # again and again: duplicates
        result = fold(load_registers(dump_registers(registers)), load_unsure(dump_registers(unsure)), pending)
        if result.sending and outcome != "ok":
            if outcome.endswith("applied"):
                copy.apply(result)
            if outcome != "not-sent":
                unsure = result.failed_unsure(refused=outcome == "refused")
            continue
        if result.sending:
            copy.apply(result)
        registers, unsure = result.registers(), result.settled_unsure()
        settled += pending
        pending = []
    assert {id(c) for c in settled} == {id(c) for c in everything}
    return copy


@settings(max_examples=1000)
@given(st.data())
def test_every_order_duplicate_and_accident_ends_in_the_same_state(data: st.DataObject) -> None:
    everything = data.draw(changes())
    order = data.draw(st.permutations(range(len(everything))))
    copy = play(everything, data.draw(STEPS), order)
    values, tags = truth(everything)
    onces = {name for c in everything for name, op in c.fields.items() if isinstance(op, Op) and op.kind is OpKind.ONCE}
    for name in FIELDS:
        if name in onces and not any(
            isinstance(op, Op) and op.kind is not OpKind.ONCE
            for c in everything
            for n, op in c.fields.items()
            if n == name
        ):
            continue
        assert copy.values.get(name, "-") == values.get(name, "-")
    assert copy.tags == tags


@settings(max_examples=200)
@given(st.data())
def test_the_versions_that_are_sent_never_fall(data: st.DataObject) -> None:
    everything = data.draw(changes())
    copy = play(everything, data.draw(STEPS), data.draw(st.permutations(range(len(everything)))))
    last: dict[str, Register] = {}
    for key, register in copy.history:
        before = last.get(key)
        if before is not None and (before.kind is OpKind.ONCE) == (register.kind is OpKind.ONCE):
            assert register.version >= before.version or register.kind is OpKind.ONCE
        assert not (before is not None and before.kind is not OpKind.ONCE and register.kind is OpKind.ONCE)
        last[key] = register


@settings(max_examples=200)
@given(st.data())
def test_a_field_with_only_once_keeps_the_first_value_delivered(data: st.DataObject) -> None:
    everything = data.draw(changes(once_only=True))
    copy = play(everything, data.draw(STEPS), data.draw(st.permutations(range(len(everything)))))
    first: dict[str, Any] = {}
    for key, register in copy.history:
        first.setdefault(key, register.value)
    assert copy.values == first


REGISTERS = st.builds(
    Register,
    st.builds(Op, st.sampled_from([OpKind.SET, OpKind.UNSET, OpKind.ONCE]), st.sampled_from(["x", "y", 1])),
    st.builds(Version, st.integers(0, 2), st.just(0), st.sampled_from("ab"), st.just(1), st.just(0), st.just("s/r")),
    st.just("rev"),
)


@given(REGISTERS, REGISTERS, REGISTERS)
def test_merge_is_commutative_associative_idempotent(a: Register, b: Register, c: Register) -> None:
    assert merge(a, b) == merge(b, a)
    assert merge(a, merge(b, c)) == merge(merge(a, b), c)
    assert merge(a, a) == a


@settings(max_examples=200)
@given(changes(), st.randoms(use_true_random=False))
def test_every_delivery_ends_in_exactly_one_state_and_carried_ones_are_delivered(
    everything: list[Change], random: Any
) -> None:
    random.shuffle(everything)
    cut = random.randrange(len(everything) + 1)
    first = fold({}, {}, everything[:cut])
    second = fold(first.registers(), {}, everything)
    for change in everything[:cut]:
        assert judge(change, first, called=True) in {"delivered", "superseded", "unchanged"}
    replayed = fold(second.registers(), {}, everything)
    assert not replayed.sending
    assert all(judge(change, replayed, called=False) != "delivered" for change in everything)

"""Cases of folding that accidents at a provider make, one by one."""

from __future__ import annotations

import pytest

from router.model import Change, DeliveryState, Instant, Op, OpKind, TagsDelta, TagsOp, Version
from router.profile import TAGS, Fold, Register, fold, judge
from router.profile.codec import (
    dump_change,
    dump_registers,
    dump_version,
    idempotency_key,
    load_change,
    load_registers,
    load_unsure,
    load_version,
)


def change(at: int, **fields: Op | TagsOp) -> Change:
    return Change("p", Version(at, 0, f"e{at}", 1, 0, "s/r"), "rev", fields)


def put(value: object) -> Op:
    return Op(OpKind.SET, value)


def once(value: object) -> Op:
    return Op(OpKind.ONCE, value)


def confirmed(*changes: Change) -> dict[str, Register]:
    return fold({}, {}, changes).registers()


def test_a_value_is_sent_again_after_another_may_have_gone_out_in_between() -> None:
    registers = confirmed(change(1, email=put("a")))
    lost = fold(registers, {}, [change(2, email=put("b"))])
    again = fold(registers, lost.failed_unsure(refused=False), [change(2, email=put("b")), change(3, email=put("a"))])
    assert again.sending["email"].value == "a"


def test_a_value_held_already_moves_its_version_without_a_call() -> None:
    result = fold(confirmed(change(1, seats=put(12))), {}, [change(2, seats=put(12.0))])
    assert result.sending == {}
    assert result.registers()["seats"].version.occurred_us == 2
    assert judge(change(2, seats=put(12.0)), result, called=False) is DeliveryState.UNCHANGED


@pytest.mark.parametrize(
    ("old", "new"), [(True, 1), (0, False), ("1", 1), ([1], [True]), ({"a": 1}, {"b": 1}), ("x", None)]
)
def test_values_that_only_look_equal_are_sent(old: object, new: object) -> None:
    assert fold(confirmed(change(1, f=put(old))), {}, [change(2, f=put(new))]).sending


@pytest.mark.parametrize("value", [[1, {"a": 2.0}], {"a": [True]}])
def test_lists_and_objects_are_compared_by_content(value: object) -> None:
    assert not fold(confirmed(change(1, f=put(value))), {}, [change(2, f=put(value))]).sending


def test_a_once_that_may_have_been_applied_keeps_its_value() -> None:
    lost = fold({}, {}, [change(5, source=once("late"))])
    again = fold(
        {}, lost.failed_unsure(refused=False), [change(5, source=once("late")), change(1, source=once("early"))]
    )
    assert again.sending["source"].value == "late"


def test_among_undelivered_onces_the_earlier_counts() -> None:
    result = fold({}, {}, [change(5, source=once("late")), change(1, source=once("early"))])
    assert result.sending["source"].value == "early"


def test_a_once_that_was_refused_does_not_keep_its_value() -> None:
    refused = fold({}, {}, [change(5, source=once("bad"))])
    again = fold({}, refused.failed_unsure(refused=True), [change(6, source=once("good"))])
    assert again.sending["source"].value == "good"


def test_a_set_goes_out_even_if_a_once_had_the_same_value() -> None:
    registers = confirmed(change(1, source=once("x")))
    assert fold(registers, {}, [change(2, source=put("x"))]).sending


def test_a_delivered_once_stays_against_an_earlier_one() -> None:
    registers = confirmed(change(5, source=once("first delivered")))
    result = fold(registers, {}, [change(1, source=once("earlier"))])
    assert result.sending == {}
    assert judge(change(1, source=once("earlier")), result, called=False) is DeliveryState.SUPERSEDED


def test_superseded_needs_a_confirmed_register() -> None:
    newer, older = change(2, email=put("b")), change(1, email=put("a"))
    result = fold({}, {}, [newer, older])
    assert judge(newer, result, called=True) is DeliveryState.DELIVERED
    assert judge(older, result, called=True) is DeliveryState.SUPERSEDED
    assert fold({}, {}, [older]).sending, "without the newer one it goes out"


def test_the_same_tags_again_need_no_call_unless_one_is_unsure() -> None:
    registers = confirmed(change(1, tags=TagsOp(replace=("a",))))
    same = change(2, tags=TagsOp(replace=("a",)))
    assert not fold(registers, {}, [same]).sending
    lost = fold(registers, {}, [change(3, tags=TagsOp(add=("b",)))])
    assert TAGS in fold(registers, lost.failed_unsure(refused=False), [change(4, tags=TagsOp(replace=("a",)))]).sending


def test_a_tag_is_sent_again_if_its_removal_may_have_gone_out() -> None:
    registers = confirmed(change(1, tags=TagsOp(add=("a",))))
    lost = fold(registers, {}, [change(2, tags=TagsOp(remove=("a",)))])
    again = fold(registers, lost.failed_unsure(refused=False), [change(3, tags=TagsOp(add=("a",)))])
    assert again.delta("p").tags == TagsDelta(add=("a",), held=("a",))


def test_a_tag_is_sent_again_if_a_replace_may_have_gone_out() -> None:
    registers = confirmed(change(1, tags=TagsOp(add=("a",))))
    lost = fold(registers, {}, [change(2, tags=TagsOp(replace=()))])
    again = fold(registers, lost.failed_unsure(refused=False), [change(3, tags=TagsOp(add=("a",)))])
    assert again.sending


def test_an_add_from_before_the_last_replace_is_superseded() -> None:
    registers = confirmed(change(5, tags=TagsOp(replace=("a",))))
    late = change(4, tags=TagsOp(add=("b",)))
    result = fold(registers, {}, [late])
    assert not result.sending
    assert judge(late, result, called=False) is DeliveryState.SUPERSEDED


def test_removing_an_unknown_tag_is_said_once() -> None:
    gone = change(1, tags=TagsOp(remove=("a",)))
    first = fold({}, {}, [gone])
    assert first.delta("p").tags == TagsDelta(remove=("a",))
    assert not fold(first.registers(), {}, [change(2, tags=TagsOp(remove=("a",)))]).sending


def test_a_replace_carries_what_was_added_and_removed_since() -> None:
    result = fold(
        {}, {}, [change(1, tags=TagsOp(replace=("a", "b"))), change(2, tags=TagsOp(add=("c",), remove=("a",)))]
    )
    assert result.delta("p").tags == TagsDelta(replace=("b", "c"), held=("b", "c"))


def test_removed_first_when_one_change_does_both() -> None:
    result = fold({}, {}, [change(1, tags=TagsOp(add=("a",), remove=("a", "b")))])
    assert result.delta("p").tags == TagsDelta(add=("a",), remove=("b",), held=("a",))


def test_a_delta_tells_all_the_lane_holds() -> None:
    registers = confirmed(change(1, email=put("a"), plan=put("pro"), tags=TagsOp(add=("t",))))
    delta = fold(registers, {}, [change(3, seats=put(1), plan=Op(OpKind.UNSET))]).delta("p", "handle")
    assert delta.held == {"email": "a", "seats": 1}
    assert (len(delta.held), delta.held.get("plan", "-"), "tag:t" in delta.held) == (2, "-", False)
    assert delta.tags == TagsDelta(held=("t",))
    assert (delta.occurred_us, delta.provider_handle) == (3, "handle")


def test_what_was_sent_is_sure_after_a_success_and_the_rest_is_not() -> None:
    unsure = {"email": None, "plan": None, "tag:a": None}
    result = fold({}, unsure, [change(1, email=put("a"), tags=TagsOp(replace=()))])
    assert result.settled_unsure() == {"plan": None}


def test_a_change_without_fields_is_unchanged() -> None:
    assert judge(change(1), fold({}, {}, []), called=False) is DeliveryState.UNCHANGED


def test_json_keeps_changes_and_registers() -> None:
    everything = Change(
        "p",
        Version(7, 3, "e", 2, 1, "s/r"),
        "rev",
        {
            "a": put(Instant(1_700_000_000_123_456)),
            "b": put({"t": Instant(0), "l": [1, "x", {"$time": "no"}]}),
            "c": Op(OpKind.UNSET),
            "send:/x": once(False),
            "tags": TagsOp(add=("é",), remove=("z",)),
        },
        {"seats": "clear: keep"},
    )
    assert load_change(dump_change(everything), "p", load_version(dump_version(everything.version))) == everything
    replaced = change(1, tags=TagsOp(replace=()))
    assert load_change(dump_change(replaced), "p", replaced.version) == replaced
    registers = fold({}, {}, [everything]).registers()
    assert load_registers(dump_registers(registers)) == registers
    assert load_unsure(dump_registers({"a": None})) == {"a": None}
    assert dump_registers({}) == "{}"
    assert load_unsure("{}") == {}


def test_equal_content_has_an_equal_key_and_other_content_another() -> None:
    def key(result: Fold, step: str = "set") -> str:
        return idempotency_key("d", step, [("p", result.sending)])

    one, two = fold({}, {}, [change(1, a=put("x"))]), fold({}, {}, [change(2, a=put("x"))])
    assert key(one) == key(fold({}, {}, [change(1, a=put("x"))]))
    assert len({key(one), key(two), key(one, "delete"), idempotency_key("d", "set", [("p", one.sending)], "rp_1")}) == 4


def test_a_set_or_unset_beats_a_once_of_any_time() -> None:
    for changes in (
        [change(1, f=put("set")), change(9, f=once("once"))],
        [change(9, f=once("once")), change(1, f=put("set"))],
    ):
        assert fold({}, {}, changes).sending["f"].value == "set"


def test_writes_of_equal_versions_have_an_order_all_the_same() -> None:
    a, b = change(1, f=put("a")), change(1, f=put("b"))
    assert fold({}, {}, [a, b]).sending == fold({}, {}, [b, a]).sending


def test_a_delivered_once_yields_to_a_set_of_an_earlier_time() -> None:
    registers = confirmed(change(5, f=once("x")))
    assert fold(registers, {}, [change(1, f=put("y"))]).sending["f"].value == "y"


def test_a_tag_that_was_written_later_stays() -> None:
    registers = confirmed(change(5, tags=TagsOp(add=("a",))))
    result = fold(registers, {}, [change(1, tags=TagsOp(remove=("a",)))])
    assert result.sending == {}
    assert judge(change(1, tags=TagsOp(remove=("a",))), result, called=False) is DeliveryState.SUPERSEDED


def test_a_tag_from_before_a_replace_is_gone() -> None:
    registers = confirmed(change(1, tags=TagsOp(add=("a",))), change(2, tags=TagsOp(replace=("b",))))
    result = fold(registers, {}, [change(1, tags=TagsOp(add=("a",)))])
    assert (result.sending, list(registers)) == ({}, [TAGS, "tag:b"])


def test_values_and_versions_survive_json() -> None:
    value = [Instant(1_763_600_000_000_000), {"a": [1, None, {"$time": "x"}]}, "t", True]
    text = dump_change(change(1, f=put(value), g=once({"deep": [{}]})))
    assert load_change(text, "p", change(1).version) == change(1, f=put(value), g=once({"deep": [{}]}))
    assert load_version(dump_version(change(7).version)) == change(7).version


def test_clearing_what_was_set_goes_out_and_clearing_it_again_does_not() -> None:
    clear = Op(OpKind.UNSET)
    assert fold(confirmed(change(1, f=put("a"))), {}, [change(2, f=clear)]).sending["f"].kind is OpKind.UNSET
    assert fold(confirmed(change(1, f=clear)), {}, [change(2, f=clear)]).sending == {}

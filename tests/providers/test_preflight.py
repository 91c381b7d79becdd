"""Preflight beside marshmallow: both read the body schema, and they agree on every body."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.errors import BuildError
from router.providers import PROVIDERS
from router.providers.base import Provider
from router.providers.bodies import Attributes, Members
from tests.providers.conversations import FILES, provider_of

TAKERS: dict[str, Provider] = {name: provider_of(FILES[name]) for name in PROVIDERS}

#: names that some provider refuses, or takes with values of one kind only, beside plain ones
NAMES = st.sampled_from(
    ["email", "seats", "platforms", "addValueToArrayField", "moe_x", "moe_mobile", "status", "id", "", "empty"]
) | st.sampled_from(
    ["recentPurchaseCount", "recentPurchaseAmount", "firstName", "el_plan", "odd name", "x" * 51, "x" * 201]
)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.sampled_from(
    ["x" * 512, "x" * 513, "https://a.example/" + "x" * 500, "customer"]
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)


def bodies(provider: Provider) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies of names that are known and some that are not, with values of every kind."""
    pieces = provider.Body().fields
    members = [name for piece in pieces.values() if isinstance(piece, Members) for name in piece.members]
    known = st.dictionaries(st.sampled_from([*members, "nope"]), VALUES, max_size=3) if members else OBJECTS
    return st.dictionaries(st.sampled_from([*pieces, "nope", ""]), VALUES | OBJECTS | known, max_size=4)


def refusal(provider: Provider, body: dict[str, Any]) -> str:
    """What preflight says, empty if it takes the body."""
    try:
        provider.preflight(body, "u_1001")
    except BuildError as error:
        return str(error)
    return ""


def expected(provider: Provider, body: dict[str, Any]) -> str:
    """What marshmallow says of the first thing that is wrong, in the words of preflight."""
    schema = provider.Body()
    errors = schema.validate(body, partial=True)
    for name, value in body.items():
        if name in errors and name not in schema.fields:
            return f"{provider.name} has no field '{name}'"
        if name in errors and value is not None:
            return f"{provider.name}.{name} {errors[name][0]}"
        if name in errors:
            assert errors[name] == ["Field may not be null."]
            return f"{provider.name}.{name} {schema.fields[name].fault(None)}"
    assert not errors
    return ""


@pytest.mark.parametrize("name", PROVIDERS)
@given(st.data())
def test_preflight_and_marshmallow_say_the_same(name: str, data: st.DataObject) -> None:
    provider = TAKERS[name]
    body = data.draw(bodies(provider))
    said = refusal(provider, body)
    assert said == expected(provider, body)
    assert said == refusal(provider, body), "names that were taken are remembered"


ATTRIBUTES = [
    (name, key)
    for name, provider in TAKERS.items()
    for key, piece in provider.Body().fields.items()
    if isinstance(piece, Attributes)
]


@pytest.mark.parametrize(("name", "key"), ATTRIBUTES)
@given(value=OBJECTS)
@example(value={"platforms": "web"})
@example(value={"recentPurchaseCount": "x"})
@example(value={"recentPurchaseAmount": "x"})
def test_no_rule_for_values_is_skipped_that_would_refuse(name: str, key: str, value: dict[str, Any]) -> None:
    piece = TAKERS[name].Body().fields[key]
    assert isinstance(piece, Attributes)
    wanted = ""
    for attribute, item in value.items():
        if fault := piece.names(attribute):
            wanted = f"has a name that is refused: {fault}"
            break
        if fault := piece.values(attribute, item):
            wanted = f"{attribute} {fault}"
            break
    assert piece.fault(value) == wanted


def test_a_piece_remembers_no_more_than_a_thousand_names() -> None:
    asked: list[str] = []

    def names(name: str) -> str:
        asked.append(name)
        return "takes no z" if name == "z" else ""

    piece = Attributes(names=names, values=lambda name, value: "", deep=False)
    many = {f"n{number}": "x" for number in range(1_500)}
    assert piece.fault(many) == piece.fault(many) == ""
    assert len(asked) == 3_000
    few = {f"n{number}": "x" for number in range(500)}
    assert piece.fault(few) == ""
    assert len(asked) == 3_000, "these are remembered"
    assert piece.fault({"z": "x"}) == piece.fault({"z": "x"}) == "has a name that is refused: takes no z"

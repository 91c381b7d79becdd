"""What came out goes into the files in place of what was expected, and nothing else in them changes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from router.errors import RuleErrors
from router.ruleset import run_tests, update
from router.ruleset.keys import PROFILE
from router.ruleset.testing import normal
from router.ruleset.tree import plain, read_yaml
from router.settings import read_rules

RULES, SAMPLES = read_rules(Path(__file__).parents[2] / "rules")

DESTINATIONS = b"""\
destinations:
  crm: {provider: http, url: "https://crm.example.com/p/{user}", method: PUT, into: attributes, clear: send-null}
  mail: {provider: engagelab, key: $env.K, secret: $env.S, properties: [name], others: drop, clear: keep}
traits: {seats: number, words: list, note: text}
"""
HEAD = """\
source: {name: shop, preset: stripe, secret: $env.S, identity: {id: .id, type: .type, time: .at}}
to: [crm, mail]
rules:
  one:
    when: made*
    if: .live
    user: .who else skip
    set: {name: .name, seats: .seats, words: .words, note: .note}
    tests:
"""
SAMPLE = b"""\
{"body": {"id": "1", "type": "made", "at": 1763600000, "live": true, "who": "u_1", "name": "Ann: \\"A\\"", "seats": 12,
 "words": ["a", "true", "it's", "x, y"], "note": "- 010"}}"""


def files_of(tests: str) -> dict[str, bytes]:
    indented = "".join(f"      {line}\n" if line else "\n" for line in tests.split("\n"))
    return {"destinations.yaml": DESTINATIONS, "shop.yaml": (HEAD + indented).encode()}


def updated(tests: str) -> str:
    """The tests as they stand after an update. They pass then."""
    files = files_of(tests)
    samples = {"shop.made.json": SAMPLE}
    found = update(files, run_tests(files, samples))
    assert found.refused == ()
    assert list(found.files) == ["shop.yaml"]
    text = found.files["shop.yaml"].decode()
    assert text.startswith(HEAD)
    after = run_tests({**files, **found.files}, samples)
    assert after.failed == 0, after.text()
    assert found.tests >= 1
    assert update(found.files, after).files == {}
    return "\n".join(line[6:] for line in text.removeprefix(HEAD).split("\n")[:-1])


ALL = 'name: "Ann: \\"A\\"", seats: 12, words: [a, "true", it\'s, "x, y"], note: "- 010"'


CASES = yaml.safe_load((Path(__file__).parent / "data" / "updates.yaml").read_text("utf-8"))


@pytest.mark.parametrize(("before", "after"), [pytest.param(c["before"], c["after"], id=c["about"]) for c in CASES])
def test_only_what_is_expected_changes(before: str, after: str) -> None:
    assert updated(before.rstrip("\n")) == after.rstrip("\n")


def test_bytes_round_the_text_stay() -> None:
    """A mark at the beginning, and line ends of two signs."""
    tests = "- given: shop.made.json\n  expect:\n    profile:\n      gone: é\n      user: 'ü'\n  about: ß"
    files = files_of(tests.replace("gone: é", "unset: [é]"))
    files["shop.yaml"] = b"\xef\xbb\xbf" + files["shop.yaml"].replace(b"\n", b"\r\n")
    made = update(files, run_tests(files, {"shop.made.json": SAMPLE})).files["shop.yaml"]
    assert made == b"\xef\xbb\xbf" + files["shop.yaml"].removeprefix(b"\xef\xbb\xbf").replace(
        b"      unset: [\xc3\xa9]\r\n            user: '\xc3\xbc'",
        f"      user: 'u_1'\r\n            set: {{{ALL}}}".encode(),
    )
    assert run_tests({**files, "shop.yaml": made}, {"shop.made.json": SAMPLE}).failed == 0


def refused(files: dict[str, bytes], samples: dict[str, bytes]) -> list[str]:
    """Why failing tests stay as they are; none is changed."""
    found = update(files, run_tests(files, samples))
    assert (found.files, found.tests) == ({}, 0)
    return [reason for _, reason in found.refused]


def test_a_test_that_could_not_run_stays() -> None:
    assert refused(files_of("- {given: shop.none.json, expect: skipped}"), {"shop.made.json": SAMPLE}) == [
        "it could not run"
    ]


def test_a_reason_that_is_none_any_more_stays() -> None:
    change = files_of("- {given: shop.made.json, expect: skipped, because: x}")
    assert refused(change, {"shop.made.json": SAMPLE}) == [
        "it gives a change now, which has no reason: take because out first"
    ]
    source = HEAD.replace("secret:", "allow_erase: true, secret:").replace("to: [crm, mail]\n", "")
    source = source[: source.index("    set:")] + "    erase: true\n    tests:\n"
    erase = source + "      - {given: shop.made.json, expect: skipped, because: x}\n"
    assert refused({**change, "shop.yaml": erase.encode()}, {"shop.made.json": SAMPLE}) == [
        "there is no reason for erased: take because out first"
    ]


def test_a_body_that_the_provider_refuses_stays() -> None:
    nobody = b"{.data.object.metadata.user_id: dummy_seller_code}"
    test = b"      - {given: stripe.customer.updated.json, with: " + nobody + b", expect: {}}\n"
    files = {**RULES, "stripe.yaml": RULES["stripe.yaml"].replace(b"    tests:\n", b"    tests:\n" + test, 1)}
    assert refused(files, SAMPLES) == [
        "no such body can be expected, moengage: moengage does not take this customer_id: strangers would share it"
    ]


def test_what_no_file_can_hold_stays() -> None:
    """A value that is nested deeper than a rule file may be."""
    deep: Any = "x"
    for _ in range(25):
        deep = {"a": deep}
    sample = {"body": {**json.loads(SAMPLE)["body"], "deep": deep}}
    files = files_of("- {given: shop.made.json, expect: {profile: {}}}")
    files["shop.yaml"] = files["shop.yaml"].replace(b"    tests:", b"    send: {crm: {meta: .deep}}\n    tests:")
    assert refused(files, {"shop.made.json": json.dumps(sample).encode()}) == ["what came out cannot be written there"]


# --- the example project -----------------------------------------------------------------------------------------

SCALARS = st.sampled_from(
    [None, True, 0, -1.5, 10**18, "", " ", "x", "true", "é: #", "'", '"', "[a", "2026-01-01", "- b"]
)
NAMES = st.sampled_from(["a", "set", "email", "properties", "true", "1", "odd name", "x: y", "#"])


@st.composite
def another(draw: st.DrawFn, value: Any) -> Any:
    """A value like this one with something else in it."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(list(value)))
        changed = {key: part for key, part in value.items() if key != name or draw(st.booleans())}
        if name in changed:
            changed[name] = draw(another(changed[name]))
        return {**changed, draw(NAMES): draw(SCALARS)} if draw(st.booleans()) else changed
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        place = draw(st.integers(0, len(value) - 1))
        return draw(
            st.sampled_from(
                [value[:place], value[place:], [*value, "more"], [*value[:place], {"a": 1}, *value[place + 1 :]]]
            )
        )
    return draw(SCALARS)


@st.composite
def perturbed(draw: st.DrawFn) -> tuple[str, int, int, str]:
    """A file of the example project, the lines of the `expect` of a test in it, and other lines for these."""
    name = draw(st.sampled_from(sorted(file for file in RULES if b" expect:" in RULES[file])))
    lines = RULES[name].decode().split("\n")
    first = draw(st.sampled_from([n for n, line in enumerate(lines) if line.lstrip().startswith("expect:")]))
    column = lines[first].index("expect:")
    last = first + 1
    while last < len(lines) and lines[last].strip() and len(lines[last]) - len(lines[last].lstrip()) > column:
        last += 1
    expected = yaml.safe_load("\n".join(line[column:] for line in lines[first:last]))["expect"]
    if isinstance(expected, dict):
        value = draw(another(copy.deepcopy(expected)))
        value = {key: part for key, part in value.items() if key in expected} if isinstance(value, dict) else {}
        if isinstance(profile := value.get("profile", {}), dict):
            value.update({"profile": {key: profile[key] for key in profile if key in PROFILE}} if profile else {})
        else:
            del value["profile"]
    else:
        value = draw(st.sampled_from(["failed", "erased"]))
    style = draw(st.sampled_from([False, True, None]))
    text = yaml.safe_dump(
        {"expect": value}, default_flow_style=style, sort_keys=False, allow_unicode=draw(st.booleans())
    )
    if text.startswith("{"):
        text = text.strip().removeprefix("{").removesuffix("}")
    new = "\n".join(" " * column + line for line in text.rstrip("\n").split("\n"))
    return name, first, last, new + draw(st.sampled_from(["", "   # a note"]))


@given(perturbed())
@settings(max_examples=80)
def test_whatever_was_expected_an_update_gives_the_project_back(case: tuple[str, int, int, str]) -> None:
    name, first, last, new = case
    lines = RULES[name].decode().split("\n")
    files = {**RULES, name: "\n".join([*lines[:first], new, *lines[last:]]).encode()}
    try:
        run = run_tests(files, SAMPLES)
    except RuleErrors:
        reject()  # no such thing can be expected: a profile without a user
    assert run.faults == ()
    found = update(files, run)
    assert found.refused == ()
    made = {**files, **found.files}
    text = made[name].decode()
    head, tail = "\n".join(lines[:first]), "\n".join(lines[last:])
    assert text.startswith(f"{head}\n")
    assert text.endswith(f"\n{tail}")
    after = run_tests(made, SAMPLES)
    assert (after.passed, after.failed) == (14, 0)
    before, now = (plain_of(data) for data in (RULES[name], made[name]))
    for rule, was in before["rules"].items():
        for test, old in zip(now["rules"][rule]["tests"], was["tests"], strict=True):
            expected, wanted = test.pop("expect"), old.pop("expect")
            if isinstance(expected, dict):
                expected = {key: normal(part) if key == "profile" else part for key, part in expected.items()}
                assert all(part in forms(wanted[key]) for key, part in expected.items())
            else:
                assert expected == wanted
    assert json.dumps(now) == json.dumps(before)


def forms(expected: Any) -> list[Any]:
    """What may stand for a call: the whole, its body alone, its name alone."""
    parts = [{key: value} for key, value in expected.items()] if isinstance(expected, dict) else []
    return [expected, *parts, *(value for part in parts for value in part.values())]


def plain_of(data: bytes) -> Any:
    node, problems = read_yaml("", data)
    assert node is not None
    assert not problems
    return plain(node)

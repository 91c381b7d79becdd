"""What the tests of a rule reach of it: which branches there are, where they lie, and when one counts as taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router.ruleset import TestRun, run_tests
from router.ruleset.language import Context, compile_value
from router.ruleset.parts import follow
from router.settings import read_rules

RULES, SAMPLES = read_rules(Path(__file__).parents[2] / "rules")

DESTINATIONS = b"""\
destinations:
  crm: {provider: http, url: "https://crm.example.com/p/{user}", method: PUT, into: attributes,
        once: set, clear: send-null, tags: replace}
traits: {plan: text, seats: number, words: list}
"""
SOURCE = """\
source:
  name: shop
  preset: stripe
  secret: $env.S
  allow_erase: true
  identity: {id: .id, type: .type, time: .created}
to: crm
tables: {t: {a: b}}
rules:
  one:
    when: made
    RULE
"""
SAMPLE = {"body": {"id": "1", "type": "made", "created": 1763600000, "who": "u_1", "a": "x", "b": 2, "c": True}}
#: a value to write, so that the rule has something to send
ANY = "set: {city: Oslo}"


def run(rule: str, *tests: dict[str, Any], select: tuple[str, ...] = ()) -> TestRun:
    """The tests of `shop/one`: each gives what its request has in place of the sample's values, and its outcome if that
    is none of a change."""
    lines = rule.split("\n")
    lines.append("tests:")
    for test in tests:
        outcome = test.pop("expect", {})
        put = {f".{name}": value for name, value in test.items()}
        lines.append(f"  - {{given: shop.made.json, with: {json.dumps(put)}, expect: {json.dumps(outcome)}}}")
    source = SOURCE.replace("RULE", "\n    ".join(lines))
    files = {"destinations.yaml": DESTINATIONS, "shop.yaml": source.encode()}
    return run_tests(files, {"shop.made.json": json.dumps(SAMPLE).encode()}, select)


def missed(rule: str, run: TestRun) -> list[str]:
    """What no test reached: place, what is underlined there, and the message."""
    assert run.failed == 0, run.text()
    assert run.reached is not None
    lines = ("\n" * 11 + rule.replace("\n", "\n    ")).split("\n")
    lines[9], lines[11] = "  one:", f"    {lines[11]}"
    found = []
    for each in run.reached.unreached:
        part = lines[each.line - 1][each.column - 1 : each.column - 1 + each.length]
        found.append(f"{each.line}:{each.column} ⟦{part}⟧ {each.message}")
    return found


def skipped(**put: Any) -> dict[str, Any]:
    return {**put, "expect": "skipped"}


# line 12 holds the first line of the rule, column 5 its first character
@pytest.mark.parametrize(
    ("rule", "tests", "found"),
    [
        # an else chain: each value and the word at its end
        ('user: .who\nset: {plan: .a else .z else "free"}', [{}], [
            "13:25 ⟦.z⟧ else .z was never taken", '13:33 ⟦"free"⟧ else "free" was never taken',
        ]),
        ('user: .who\nset: {plan: .a else .z else "free"}', [{}, {"a": None}], ["13:25 ⟦.z⟧ else .z was never taken"]),
        ('user: .who\nset: {plan: .a else .z else "free"}', [{"a": " ", "z": 1}, {"a": ""}], [
            "13:17 ⟦.a⟧ .a was never taken",
        ]),
        ('user: .who\nset: {plan: .a else .z else "free"}', [{}, {"a": None}, {"a": None, "z": 1}], []),
        ("user: .who else skip\n" + ANY, [{}], ["12:21 ⟦skip⟧ else skip was never taken"]),
        ("user: .who else skip\n" + ANY, [skipped(who=None)], ["12:11 ⟦.who⟧ .who was never taken"]),
        ("user: .who else .z else fail\n" + ANY, [{}, {"who": None, "expect": "failed"}], [
            "12:21 ⟦.z⟧ else .z was never taken",
        ]),
        ("user: .who\nset: {plan: .a else unset}", [{}], ["13:25 ⟦unset⟧ else unset was never taken"]),
        ("user: .who\nset: {plan: .a else unset}", [{"a": None}], ["13:17 ⟦.a⟧ .a was never taken"]),
        ("user: .who\nset: {plan: .a else unset}", [{}, {"a": None}], []),
        # no and zero are values
        ("user: .who\nset: {seats: .b else 1}", [{"b": 0}], ["13:26 ⟦1⟧ else 1 was never taken"]),
        # what comes after the end of a rule is not reached
        ("user: .who\nset: {plan: .z else skip, city: .a}", [skipped()], [
            "13:17 ⟦.z⟧ .z was never taken", "13:37 ⟦.a⟧ .a never gave a value",
        ]),
        ("user: .who\ntags: [.z else skip, .a]", [skipped()], [
            "13:12 ⟦.z⟧ .z was never taken", "13:26 ⟦.a⟧ .a never gave a value",
        ]),
        # other values that read the event
        ("user: .who\nset: {plan: .z, city: .a}", [{}], ["13:17 ⟦.z⟧ .z never gave a value"]),
        ('user: .who\nset: {plan: .a | map("t")}', [{}], ['13:17 ⟦.a | map("t")⟧ .a | map("t") never gave a value']),
        ('user: .who\nset: {plan: .a | map("t")}', [{"a": "a"}], []),
        ("user: .who\nset: {seats: .a}", [{}], []),  # it gave text that is no number
        ('user: .who\nset: {city: "{.a} of {.z}"}', [{}], ["13:27 ⟦.z⟧ .z never gave a value"]),
        ('user: .who\nset: {city: "{.a} of {.z else \'no\'}"}', [{}], ["13:27 ⟦.z⟧ .z was never taken"]),
        ("user: .who\nsend: {crm: {meta: {v: .z, w: [.a, {x: .y}]}}}", [{}], [
            "13:28 ⟦.z⟧ .z never gave a value", "13:44 ⟦.y⟧ .y never gave a value",
        ]),
        ("user: .who\ntags: {remove: .z, add: [.a]}", [{}], ["13:20 ⟦.z⟧ .z never gave a value"]),
        ('user: .who\nset: {city: "{.z else skip} {.b}"}', [skipped()], [
            "13:19 ⟦.z⟧ .z was never taken", "13:34 ⟦.b⟧ .b never gave a value",
        ]),
        # nothing that no event can change
        (f'if: $source == "shop"\nuser: .who\n{ANY}', [{}], []),
        ("user: .who\nset: {plan: free, city: $source}\nunset: [seats]\nonce: {language: '\\.x'}", [{}], []),
        # if: yes and no, where unknown is no yes
        (f"if: .c\nuser: .who\n{ANY}", [{}], ["12:9 ⟦.c⟧ if was never no"]),
        (f"if: .c\nuser: .who\n{ANY}", [skipped(c=False)], ["12:9 ⟦.c⟧ if was never yes"]),
        (f"if: .c\nuser: .who\n{ANY}", [{}, skipped(c=None)], []),
        (f"if: .c else skip\nuser: .who\n{ANY}", [{}, skipped(c=None)], ["12:9 ⟦.c⟧ if was never no"]),
        (f"if: .c else false\nuser: .who\n{ANY}", [{}, skipped(c=False)], ["12:17 ⟦false⟧ else false was never taken"]),
        # and, or: the part that decides
        (f'if: .c and .a == "x" and .b > 1\nuser: .who\n{ANY}', [{}], [
            "12:9 ⟦.c⟧ .c was never the first no",
            '12:16 ⟦.a == "x"⟧ .a == "x" was never the first no',
            "12:30 ⟦.b > 1⟧ .b > 1 was never the first no",
        ]),
        (f'if: .c and .a == "x" and .b > 1\nuser: .who\n{ANY}', [skipped(a="y"), skipped(c=None, b=0)], [
            '12:9 ⟦.c and .a == "x" and .b > 1⟧ if was never yes',
            "12:30 ⟦.b > 1⟧ .b > 1 was never the first no",
        ]),
        (f"if: .z or .c\nuser: .who\n{ANY}", [{}], [
            "12:9 ⟦.z or .c⟧ if was never no", "12:9 ⟦.z⟧ .z was never the first yes",
        ]),
        (f"if: .z or .c\nuser: .who\n{ANY}", [{"z": True}, skipped(c=None), skipped(z=False, c=False)], [
            "12:15 ⟦.c⟧ .c was never the first yes",
        ]),
        (f"if: (.z and .y) or not .c\nuser: .who\n{ANY}", [skipped()], [
            "12:10 ⟦.z and .y⟧ .z and .y was never the first yes",
            "12:17 ⟦.y⟧ .y was never the first no",
            "12:24 ⟦not .c⟧ not .c was never the first yes",
        ]),
        (f"if: (.z or .y) and .c\nuser: .who\n{ANY}", [{"z": True}, skipped()], [
            "12:16 ⟦.y⟧ .y was never the first yes", "12:24 ⟦.c⟧ .c was never the first no",
        ]),
        ("user: .who\nconsent: {email: .c and .z}", [{}], [
            "13:22 ⟦.c and .z⟧ .c and .z was never yes", "13:22 ⟦.c⟧ .c was never the first no",
        ]),
        (f'if: .c and (.z else .a) == "x"\nuser: .who\n{ANY}', [skipped(c=False)], [
            '12:9 ⟦.c and (.z else .a) == "x"⟧ if was never yes',
            '12:16 ⟦(.z else .a) == "x"⟧ (.z else .a) == "x" was never the first no',
            "12:17 ⟦.z⟧ .z was never taken",
            "12:25 ⟦.a⟧ else .a was never taken",
        ]),
        # inside arguments, comparisons, lists and parentheses, but not inside brackets
        ("user: .who\nset: {plan: '.a | replace(\"x\", (.z else \"y\"))'}", [{}], ["13:37 ⟦.z⟧ .z was never taken"]),
        ("user: .who\nset: {plan: '.y | replace(\"x\", .z else \"y\")'}", [{}], [
            '13:18 ⟦.y | replace("x", .z else "y")⟧ .y | replace("x", .z else "y") never gave a value',
            "13:36 ⟦.z⟧ .z was never taken",
            '13:44 ⟦"y"⟧ else "y" was never taken',
        ]),
        (f'if: (.z else .a) == "x"\nuser: .who\n{ANY}', [{}, skipped(a="y")], ["12:10 ⟦.z⟧ .z was never taken"]),
        ("user: .who\nset: {plan: '$[.z and .c].x else \"y\"'}", [{}], [
            "13:18 ⟦$[.z and .c].x⟧ $[.z and .c].x was never taken",
        ]),
        (f"if: (.z else .a) in [.a, .b or .c]\nuser: .who\n{ANY}", [{}], [
            "12:9 ⟦(.z else .a) in [.a, .b or .c]⟧ if was never no",
            "12:10 ⟦.z⟧ .z was never taken",
            "12:30 ⟦.b or .c⟧ .b or .c was never no",
            "12:30 ⟦.b⟧ .b was never the first yes",
        ]),
        # another line than the key's, and what has no place of its own
        ("user: .who\nset:\n  plan:\n    .a else .z", [{}], ["15:17 ⟦.z⟧ else .z was never taken"]),
        ("user: .who\nset:\n  plan: >\n    .a else\n    .z", [{}], ["14:13 ⟦>⟧ else .z was never taken"]),
        ("user: .who\nset: {plan: '.a else ''it'''}", [{}], ["13:26 ⟦''it''⟧ else 'it' was never taken"]),
        # a long part is cut
        ("user: .who\nset: {plan: " + ".long_name" * 8 + "}", [{}], [
            f"13:17 ⟦{'.long_name' * 8}⟧ {'.long_name' * 5}.long_nam… never gave a value",
        ]),
        # an event that asks to erase
        ("user: .who else skip\nerase: true", [{"expect": "erased"}], ["12:21 ⟦skip⟧ else skip was never taken"]),
    ],
)  # fmt: skip
def test_a_branch_is_named_until_a_test_takes_it(rule: str, tests: list[dict[str, Any]], found: list[str]) -> None:
    assert missed(rule, run(rule, *(dict(test) for test in tests))) == found


def test_a_rule_that_never_ran_is_one_line() -> None:
    chain = 'user: .who else skip\nset: {plan: .a else "free"}'
    ran = run(chain, {"type": "other", "expect": "unmatched"})
    assert missed(chain, ran) == ["10:3 ⟦one⟧ never ran"]
    assert ran.reached is not None
    assert ran.reached.summary == "0 of 1 rules, 0 of 4 branches reached"


def test_the_report_stands_between_failures_and_the_sums() -> None:
    files = {**RULES, "stripe.yaml": RULES["stripe.yaml"].replace(b'else "free"', b'else "basic"')}
    lines = run_tests(files, SAMPLES, ["stripe/customer", "typeform"]).text("rules/").split("\n")
    assert lines[5:] == [
        "not reached by any test:",
        "  rules/stripe.yaml:9:46   stripe/customer: else skip was never taken",
        "  rules/typeform.yaml:7:9  typeform/newsletter: if was never no",
        "  rules/typeform.yaml:8:46 typeform/newsletter: "
        'else .form_response.answers[.type == "email"].email was never taken',
        "3 passed, 1 failed; 2 of 2 rules, 25 of 28 branches reached",
    ]


def test_nothing_is_told_where_all_is_reached() -> None:
    text = run("user: .who else skip\n" + ANY, {}, skipped(who=None)).text()
    assert text == "2 passed, 0 failed; 1 of 1 rules, 2 of 2 branches reached"


def test_only_what_was_chosen_is_reported() -> None:
    every = run_tests(RULES, SAMPLES).reached
    one = run_tests(RULES, SAMPLES, ["stripe/customer"]).reached
    assert every is not None
    assert one is not None
    assert (one.rules, every.rules) == (1, 8)
    assert list(one.unreached) == [each for each in every.unreached if each.rule == "stripe/customer"]


def test_the_json_form_ends_with_one_object_of_sums() -> None:
    files = {**RULES, "stripe.yaml": RULES["stripe.yaml"].replace(b'else "free"', b'else "basic"')}
    *tests, sums = run_tests(files, SAMPLES, ["stripe/customer"]).as_json("rules/")
    assert [(each["rule"], each["passed"]) for each in tests] == [
        ("stripe/customer", True),
        ("stripe/customer", False),
        ("stripe/customer", True),
    ]
    assert tests[1] == {
        "rule": "stripe/customer",
        "test": "no phone clears it, no plan means free",
        "passed": False,
        "file": "rules/stripe.yaml",
        "line": 34,
        "problems": [
            'engagelab[0].properties.plan: expected "free", got "basic"',
            'channel.profile.plan: expected "free", got "basic"',
        ],
    }
    assert json.loads(json.dumps(sums)) == {
        "passed": 2,
        "failed": 1,
        "rules": {"reached": 1, "total": 1},
        "branches": {"reached": 16, "total": 17},
        "unreached": [
            {
                "rule": "stripe/customer",
                "file": "rules/stripe.yaml",
                "line": 9,
                "column": 46,
                "length": 4,
                "message": "else skip was never taken",
            }
        ],
    }


def test_a_test_that_cannot_be_read_is_an_object_too() -> None:
    source = RULES["stripe.yaml"].replace(b"{.data.object.livemode: false}", b"{.data..livemode: false}")
    first, *_, sums = run_tests({**RULES, "stripe.yaml": source}, SAMPLES).as_json()
    assert first["problems"] == ["expected a field name after the dot"]
    assert (first["file"], first["line"], first["passed"]) == ("stripe.yaml", 46, False)
    assert sums["failed"] == 1
    assert sums["branches"]["reached"] < run_tests(RULES, SAMPLES).reached.branches_reached  # type: ignore[union-attr]


def test_looking_on_leaves_no_notes() -> None:
    context = Context({"a": "x"})
    (followed,) = follow(compile_value('.a | map("t") | lower', tables={"t": {}}), context)
    assert [part.value for part in followed.root.parts] == ["x", None]
    assert context.notes == []

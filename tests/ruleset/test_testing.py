"""Inline tests: what they take, what they compare, and how a failure reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from router.errors import RuleErrors
from router.ruleset import TestResult, TestRun, check_files, run_tests
from router.ruleset.tree import Scalar
from router.settings import read_rules

RULES, SAMPLES = read_rules(Path(__file__).parents[2] / "rules")

DESTINATIONS = """\
destinations:
  crm: {provider: http, url: "https://crm.example.com/p/{user}", method: PUT, into: attributes,
        once: set, clear: send-null, tags: replace}
  mail: {provider: engagelab, key: $env.K, secret: $env.S, properties: [name], others: drop, once: drop, clear: keep}
traits: {seats: number}
"""
SOURCE = """\
source:
  name: shop
  preset: stripe
  secret: $env.S
  allow_erase: true
  envelope: {events: ".events[]"}
  identity: {id: .id, type: .type, time: .created}
  keep: [$header.x-team]
to: [crm, mail]
rules:
  person:
    when: person.*
    if: .live
    user: .who.id else skip
    set: {name: .who.name, seats: .who.seats, city: $header.x-team}
    once: {created_at: .created}
    tags: .who.tags
    consent: {email: .who.mail}
    company: {id: .who.company}
    send: {crm: {meta: {v: .v else unset}}}
    tests:
      - TEST
  gone:
    when: gone
    user: .who.id
    erase: true
    tests:
      - {given: shop.many.json, event: 1, expect: erased}
"""
SAMPLE = """\
{"header": {"X-Team": "north"},
 "body": {"events": [
  {"id": "1", "type": "person.changed", "created": 1763600000, "live": true,
   "who": {"id": "u_1", "name": "Ann", "seats": "12", "tags": ["b", "a"], "mail": true, "company": "acme"}},
  {"id": "2", "type": "gone", "created": 1763600001, "who": {"id": "u_1"}}]}}
"""


def run(test: str) -> TestRun:
    """The one test of `shop/person`, written in one line."""
    files = {"destinations.yaml": DESTINATIONS.encode(), "shop.yaml": SOURCE.replace("TEST", test).encode()}
    return run_tests(files, {"shop.many.json": SAMPLE.encode()}, ["shop/person"])


def differences(expect: str, **more: str) -> list[str]:
    parts = "".join(f", {name}: {value}" for name, value in more.items())
    (result,) = run(f"{{given: shop.many.json, expect: {expect}{parts}}}").results
    assert result.fault is None, result.fault
    return [str(each) for each in result.differences]


WHOLE = (
    "{profile: {user: u_1, set: {name: Ann, seats: 12, city: north}, once: {created_at: '2025-11-20T00:53:20Z'}, "
    "tags: [a, b], consent: {email: true}, company: {id: acme}, send: {crm: {meta: {v: null}}}}}"
)
BODY = (
    "{attributes: {name: Ann, seats: 12, city: north, created_at: '2025-11-20T00:53:20Z', tags: [a, b], "
    "email_consent: true, company_id: acme}, meta: {v: null}}"
)


@pytest.mark.parametrize(
    "expect",
    [
        WHOLE,
        f"{{crm: {BODY}}}",
        f"{{crm: [{BODY}]}}",
        f"{{crm: {{call: PUT /p/u_1, body: {BODY}}}}}",
        "{crm: {call: PUT /p/u_1}}",
        "{mail: {euid: 10362473, type: set, properties: {name: Ann}}}",
        "{}",
    ],
)
def test_what_is_so_passes(expect: str) -> None:
    assert differences(expect) == []


@pytest.mark.parametrize(
    ("expect", "found"),
    [
        (WHOLE.replace("seats: 12, ", ""), ["profile.set.seats: expected nothing, got 12"]),
        (WHOLE.replace("seats: 12", "seats: 12.0"), []),
        (WHOLE.replace("00:53:20Z", "01:53:20.000+01:00"), []),
        (
            WHOLE.replace("00:53:20Z", "00:53:21Z"),
            ['profile.once.created_at: expected "2025-11-20T00:53:21Z", got "2025-11-20T00:53:20Z"'],
        ),
        (
            WHOLE.replace("2025-11-20T00:53:20Z", "soon"),
            ['profile.once.created_at: expected "soon", got "2025-11-20T00:53:20Z"'],
        ),
        (
            f"{{crm: {BODY.replace('00:53:20Z', '00:53:20.000Z')}}}",
            ['crm.attributes.created_at: expected "2025-11-20T00:53:20.000Z", got "2025-11-20T00:53:20Z"'],
        ),
        (WHOLE.replace("seats: 12", "seats: '12'"), ['profile.set.seats: expected "12", got 12']),
        (WHOLE.replace("[a, b]", "[b, a]"), []),
        (WHOLE.replace("[a, b]", "[a]"), ['profile.tags: expected ["a"], got ["a", "b"]']),
        (WHOLE.replace("user: u_1", "user: u_2"), ['profile.user: expected "u_2", got "u_1"']),
        (WHOLE.replace("name: Ann,", "name: Ann, phone: x,"), ['profile.set.phone: expected "x", got nothing']),
        (WHOLE.replace("email: true", "email: false"), ["profile.consent.email: expected false, got true"]),
        (WHOLE.replace("email: true", "email: 1"), ["profile.consent.email: expected 1, got true"]),
        (f"{{crm: {BODY.replace('meta: {v: null}', 'meta: {}')}}}", ["crm.meta.v: expected nothing, got null"]),
        (f"{{crm: [{BODY}, {{}}]}}", ["crm: expected 2 calls, got 1 call"]),
        ("{crm: {call: POST /p/u_1}}", ['crm.call: expected "POST /p/u_1", got "PUT /p/u_1"']),
        ("skipped", ["outcome: expected skipped, got a change"]),
        ("failed", ["outcome: expected failed, got a change"]),
    ],
)
def test_what_differs_is_told_key_by_key(expect: str, found: list[str]) -> None:
    assert differences(expect) == found


@pytest.mark.parametrize(
    ("change", "expect", "because", "found"),
    [
        ("{'.events[0].live': false}", "skipped", ".live is no", []),
        ("{'.events[0].live': false}", "skipped", "something else", ["because: expected"]),
        ("{'.events[0].live': false}", "{}", "", ["outcome: expected a change, got skipped: if: .live is no"]),
        ("{'.events[0].type': other}", "unmatched", "", []),
        ("{'.events[0].type': other}", "skipped", "", ["outcome: expected skipped, got unmatched: no rule is for"]),
        ("{'.events[0].who.id': guest}", "failed", "user", []),
        ("{$header.x-team: south}", "{crm: {call: PUT /p/u_1}}", "", []),
        ("{'.events[0].who.id': 'a/b'}", "{crm: {call: PUT /p/a%2Fb}}", "", []),
        ("{'.events[0].more.deep': 1, '.events[2]': {type: gone}}", "{crm: {call: PUT /p/u_1}}", "", []),
    ],
)
def test_a_test_may_change_its_sample(change: str, expect: str, because: str, found: list[str]) -> None:
    more = {"with": change, **({"because": because} if because else {})}
    got = differences(expect, **more)
    assert len(got) == len(found)
    assert all(text.startswith(start) for text, start in zip(got, found, strict=True))


@pytest.mark.parametrize(
    ("expect", "marked"),
    [
        (WHOLE.replace("seats: 12", "seats: '13'"), "'13'"),
        (WHOLE.replace("seats: 12, ", ""), "set"),
        (WHOLE.replace("send: {crm: {meta: {v: null}}}", ""), "profile"),
        (WHOLE.replace("v: null", "v: {w: 1}"), "v"),
        (WHOLE.replace("v: null", "v: ''"), "v"),
        ("{crm: {attributes: }}", "attributes"),
        (WHOLE.replace("[a, b]", "[c, a]"), "tags"),
        (f"{{crm: {BODY.replace('tags: [a, b]', 'tags: [a, c]')}}}", "c"),
        (f"{{crm: {BODY.replace('tags: [a, b]', 'tags: [a]')}}}", "tags"),
        (f"{{crm: [{BODY}, {{}}]}}", "crm"),
        ("{mail: [{euid: 1, type: set, properties: {name: Ann}}]}", "1"),
        ("{mail: [{euid: 10362473, properties: {name: Ann}}]}", "euid"),
        ("{mail: [{}]}", "mail"),
        ("{crm: []}", "crm"),
        ("{crm: none}", "none"),
        ("{crm: {call: POST /p/u_1}}", "POST /p/u_1"),
        (f"{{crm: [{{call: PUT /p/u_1, body: {BODY.replace('name: Ann', 'name: Bea')}}}]}}", "Bea"),
        ("skipped", "skipped"),
        ("skipped, with: {'.events[0].live': false}, because: other", "other"),
        ("{}, with: {'.events[0].live': false}", "expect"),
        ("{}, event: 2", "2"),
    ],
)
def test_a_failure_is_marked_where_it_is_expected(expect: str, marked: str) -> None:
    """`check` marks the value; of what is not expected, the key that it would stand under."""
    test = f"{{given: shop.many.json, expect: {expect}}}"
    (result,) = run(test).results
    problem = result.problem()
    assert problem is not None
    line = SOURCE.replace("TEST", test).splitlines()[problem.line - 1]
    assert line[problem.column - 1 :][: problem.length] == marked


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (["expect", "crm", 0, "a"], "1"),
        (["expect", "crm", 1], "crm"),
        (["expect", "crm", 0, "a", "b"], "a"),
        (["expect", "mail"], "expect"),
        (["nothing"], "given"),
    ],
)
def test_of_a_place_that_is_not_there_the_last_key_on_the_way_is_taken(place: list[str | int], text: str) -> None:
    (result,) = run("{given: shop.many.json, expect: {crm: [{a: 1}]}}").results
    node = result.case.node_at(place)
    assert isinstance(node, Scalar)
    assert node.text == text


def result_of(rule: str, **trait: str) -> TestResult:
    """How the one test of a rule in the place of `shop/person` goes; `trait` declares one more."""
    before, _, rest = SOURCE.partition("    when: person.*\n")
    source = before + rule + rest[rest.index("  gone:\n") :]
    more = "".join(f", {name}: {kind}" for name, kind in trait.items())
    files = {
        "destinations.yaml": DESTINATIONS.replace("{seats: number", f"{{seats: number{more}").encode(),
        "shop.yaml": source.encode(),
    }
    (result,) = run_tests(files, {"shop.many.json": SAMPLE.encode()}, ["shop/person"]).results
    return result


def test_a_call_too_many_is_told_with_its_body() -> None:
    result = result_of("""\
    user: .who.id
    set: {name: .who.name, email: .who.mail else "a@x.io"}
    tests:
      - given: shop.many.json
        without: ['.events[0].who.mail']
        expect: {mail: [{euid: 10362473, type: set, properties: {name: Ann}}]}
""")
    assert list(map(str, result.differences)) == [
        "mail: expected 1 call, got 2 calls",
        'mail[1]: expected nothing, got {"euid": 10362473, "contacts": {"email": "a@x.io"}}',
    ]
    assert result.text().endswith('\n     + mail[1]: {"euid": 10362473, "contacts": {"email": "a@x.io"}}')


def test_a_change_may_clear_and_hold_lists_and_objects() -> None:
    result = result_of(
        """\
    to: crm
    user: .who.id
    unset: [seats, city]
    set: {words: .who.tags}
    send: {crm: {meta: {v: .none, who: .who.deep, all: [.v, {b: .live}], at: $event.time}}}
    tests:
      - given: shop.many.json
        with: {'.events[0].who.deep': {a: [1]}}
        expect:
          profile:
            user: u_1
            set: {words: [b, a]}
            unset: [city, seats]
            send: {crm: {meta: {who: {a: [1]}, all: [{b: true}], at: "2025-11-20T00:53:20Z"}}}
          crm: {attributes: {seats: 1}}
""",
        words="list",
    )
    assert list(map(str, result.differences)) == [
        "crm.attributes.seats: expected 1, got null",
        'crm.attributes.words: expected nothing, got ["b", "a"]',
        "crm.attributes.city: expected nothing, got null",
        'crm.meta: expected nothing, got {"who": {"a": [1]}, "all": [{"b": true}], "at": "2025-11-20T00:53:20Z"}',
    ]


def test_an_element_that_cannot_be_read_fails() -> None:
    source = SOURCE.replace('{events: ".events[]"}', '{events: ".events[]", parse_json: [.more]}')
    test = (
        "{given: shop.many.json, with: {'.events[1].more': 1, '.events[0].more': '{'}, expect: failed, because: JSON}"
    )
    files = {"destinations.yaml": DESTINATIONS.encode(), "shop.yaml": source.replace("TEST", test).encode()}
    (result,) = run_tests(files, {"shop.many.json": SAMPLE.encode()}, ["shop/person"]).results
    assert (result.fault, result.differences) == (None, ())


def test_a_run_that_was_not_asked_says_nothing_of_what_it_reached() -> None:
    tests = check_files(RULES, SAMPLES).tests
    assert tests.text() == "14 passed, 0 failed"
    assert list(tests.as_json())[-1] == {"passed": 14, "failed": 0}


def test_a_test_sees_what_the_store_has() -> None:
    source = SOURCE.replace("  keep:", "  redact: [.who.name, .who.tags]\n  keep:")
    test = f"{{given: shop.many.json, expect: {WHOLE}}}"
    files = {"destinations.yaml": DESTINATIONS.encode(), "shop.yaml": source.replace("TEST", test).encode()}
    (result,) = run_tests(files, {"shop.many.json": SAMPLE.encode()}, ["shop/person"]).results
    assert list(map(str, result.differences)) == [
        'profile.set.name: expected "Ann", got nothing',
        'profile.tags: expected ["a", "b"], got nothing',
    ]


def test_a_test_leaves_its_sample_as_it_is() -> None:
    changed = "{given: shop.many.json, with: {'.events[0].who.name': Bea}, expect: {crm: {call: PUT /p/u_1}}}"
    as_it_is = f"{{given: shop.many.json, expect: {WHOLE}}}"
    assert run(f"{changed}\n      - {as_it_is}").text().splitlines()[-1].startswith("2 passed, 0 failed; ")


def test_what_is_taken_out_is_gone() -> None:
    assert differences("skipped", without="['.events[0].who.id']") == []


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ("with: {'.events[9].id': 1}", "test-path", "the list in this sample has 2 elements"),
        ("with: {'.events[0].id.x': 1}", "test-path", "this sample has no object here"),
        ("with: {'.events[0].who[0]': 1}", "test-path", "this sample has no list here"),
        ("with: {'.new[0]': 1}", "test-path", "this sample has no list here"),
        ("without: ['.events[5].id']", "test-path", "this sample has nothing here to take out"),
        ("event: 2", "test-sample", "this sample has 2 events"),
        ("event: 1, without: ['.events[1]']", "test-sample", "this sample has 1 event"),
        (
            "without: [.events]",
            "test-sample",
            "samples/shop.many.json cannot be opened: there are no events where the envelope has them",
        ),
    ],
)
def test_a_test_that_does_not_fit_its_sample_fails_with_a_reason(more: str, code: str, message: str) -> None:
    (result,) = run(f"{{given: shop.many.json, {more}, expect: skipped}}").results
    assert result.fault is not None
    assert (result.passed, result.fault.code, result.fault.message) == (False, code, message)
    assert result.text("rules/") == f"FAIL rules/shop.yaml:22 shop/person: shop.many.json\n     {message}"


@pytest.mark.parametrize("path", ["'.events[]'", ".a | lower", "$event.id", "'{.a}'", ".a..b"])
def test_a_path_is_of_names_and_indexes(path: str) -> None:
    with_it = f'{{given: shop.many.json, with: {{"{path.strip(chr(39))}": 1}}, expect: skipped}}'
    result = run(with_it)
    assert [fault.code for fault in result.faults] == ["test-path"]
    assert (result.passed, result.failed) == (0, 1)
    assert result.text().startswith("FAIL shop.yaml:22 ")


@pytest.mark.parametrize(
    ("put", "message"),
    [
        ("$header.x-team: 5", 'a header carries text: x-team is a number (put it in quotes: "5")'),
        ("$header.x-team: true", 'a header carries text: x-team is yes/no (put it in quotes: "true")'),
        ("$query.q: 1.50", 'a parameter carries text: q is a number (put it in quotes: "1.50")'),
        ("$query.q: [a]", "a parameter carries text: q is a list (write one text)"),
        ("$header.x-team: {a: b}", "a header carries text: x-team is a map (write one text)"),
        ("$header.x-team: null", "a header carries text: x-team is nothing (to take it out list it under without:)"),
    ],
)
def test_a_header_or_parameter_is_text(put: str, message: str) -> None:
    result = run(f"{{given: shop.many.json, with: {{{put}}}, expect: skipped}}")
    assert [fault.code for fault in result.faults] == ["test-path"]
    assert result.text().splitlines()[0] == f"FAIL shop.yaml:22 {message}"


@pytest.mark.parametrize(
    ("put", "message"),
    [
        ("'.events[0].who.nmae': Bea", "no 'nmae' here, and nothing reads it (did you mean 'name'?)"),
        ("'.evnts[0].who.name': Bea", "no 'evnts' here, and nothing reads it (did you mean 'events'?)"),
        ("'.events[0].woh.name': Bea", "no 'woh' here, and nothing reads it (did you mean 'who'?)"),
        ("$header.x-taem: south", "no 'x-taem' here, and nothing reads it (did you mean 'x-team'?)"),
        ("'.events[0].idd': '3'", "no 'idd' here, and nothing reads it (did you mean 'id'?)"),
        ("'.events[0].who.Name': Bea", "no 'Name' here, and nothing reads it (did you mean 'name'?)"),
    ],
)
def test_a_name_that_is_misspelled_is_not_put_in(put: str, message: str) -> None:
    (result,) = run(f"{{given: shop.many.json, with: {{{put}}}, expect: {{}}}}").results
    assert result.fault is not None
    assert result.fault.code == "test-path"
    assert result.text().splitlines()[1] == f"     this sample has {message}"


@pytest.mark.parametrize(
    ("take", "hint"),
    [
        (".evnts", " (did you mean 'events'?)"),
        ("'.events[0].who.nmae'", " (did you mean 'name'?)"),
        ("'.events[0].hwo.name'", " (did you mean 'who'?)"),
        ("$header.x-taem", " (did you mean 'x-team'?)"),
        ("'.events[0].zzz'", " (one of id, type, created, live, who)"),
        ("'.events[0].id.x'", ""),
        ("'.events[7].id'", ""),
    ],
)
def test_what_is_not_there_to_take_out_is_told_with_what_was_meant(take: str, hint: str) -> None:
    (result,) = run(f"{{given: shop.many.json, without: [{take}], expect: {{}}}}").results
    assert result.fault is not None
    assert result.fault.code == "test-path"
    assert result.text().splitlines()[1] == f"     this sample has nothing here to take out{hint}"


def test_a_name_that_is_new_or_read_is_put_in() -> None:
    puts = (
        "{'.events[0].who.nickname_of_old': x, '.events[0].v': 5, '.events[1].remark': 1, $query.q: x, "
        "'.line2': 1, '.line22': 1}"
    )
    assert differences("{crm: {call: PUT /p/u_1}}", **{"with": puts}) == []
    test = "{given: shop.many.json, with: {'.events[0].who.names': Bea}, expect: {crm: {call: PUT /p/u_1}}}"
    source = SOURCE.replace("TEST", test).replace("name: .who.name,", "name: .who.names else .who.name,")
    files = {"destinations.yaml": DESTINATIONS.encode(), "shop.yaml": source.encode()}
    samples = {"shop.many.json": SAMPLE.encode(), "shop.other.json": SAMPLE.replace('"name":', '"names":').encode()}
    assert run_tests(files, samples, ["shop/person"]).failed == 0


def test_a_body_that_the_provider_refuses_fails_though_it_is_not_named() -> None:
    reserved = b"metadata: {user_id: dummy_seller_code}"
    test = b"      - {given: stripe.customer.updated.json, with: {.data.object." + reserved + b"}, expect: {}}\n"
    files = {**RULES, "stripe.yaml": RULES["stripe.yaml"].replace(b"    tests:\n", b"    tests:\n" + test, 1)}
    (result, *_) = run_tests(files, SAMPLES, ["stripe/customer"]).results
    (difference,) = result.differences
    assert str(difference).startswith("moengage: expected a call, got ")


def test_an_event_that_asks_to_erase() -> None:
    files = {
        "destinations.yaml": DESTINATIONS.encode(),
        "shop.yaml": SOURCE.replace("TEST", "{given: shop.many.json, expect: {}}").encode(),
    }
    results = run_tests(files, {"shop.many.json": SAMPLE.encode()}, ["shop"])
    assert (results.passed, results.failed) == (2, 0)


def test_a_failure_reads_like_a_diff_with_what_made_it() -> None:
    files = {**RULES, "stripe.yaml": RULES["stripe.yaml"].replace(b'else "free"', b'else "basic"')}
    assert (
        run_tests(files, SAMPLES, ["stripe/customer"])
        .text("rules/")
        .startswith(
            "FAIL rules/stripe.yaml:34 stripe/customer: no phone clears it, no plan means free\n"
            '     - engagelab[0].properties.plan: "free"\n'
            '     + engagelab[0].properties.plan: "basic"       ← .data.object.metadata.plan else "basic"\n'
            '     - channel.profile.plan: "free"\n'
            '     + channel.profile.plan: "basic"       ← .data.object.metadata.plan else "basic"\n'
            "not reached by any test:\n"
        )
    )


def test_all_tests_of_the_example_project_pass() -> None:
    assert run_tests(RULES, SAMPLES).text().splitlines()[-1].startswith("14 passed, 0 failed; 8 of 8 rules, ")


def test_tests_of_rules_with_errors_do_not_run() -> None:
    files: dict[str, Any] = {**RULES, "stripe.yaml": RULES["stripe.yaml"].replace(b"email: .data", b"emial: .data")}
    with pytest.raises(RuleErrors):
        run_tests(files, SAMPLES)

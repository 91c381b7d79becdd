"""The manual is true: its examples are checked, its expressions evaluated, and nothing is left without an entry."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import router
from router.dispatch.worker import SLOTS
from router.model import Event, EventState, Instant
from router.providers import PROVIDERS
from router.ruleset import check, check_files, explain, keys, load, parser, run_tests, tree, types
from router.ruleset.accounts import SecretUse
from router.ruleset.destinations import MAX_CONCURRENCY, MAX_TIMEOUT_S
from router.ruleset.drift import drift
from router.ruleset.functions import NAMES
from router.ruleset.keys import ENVELOPE, RULE, STANDARD_TRAITS, Key
from router.ruleset.language import ENDINGS, MAX_HOLES, MISSING, UNSET, Context, FailRule, SkipRule, compile_value
from router.ruleset.lexer import MAX_EXPRESSION
from router.ruleset.pattern import MAX_INPUT, MAX_PATTERN, MAX_TRIES, TRIES_PER_STEP
from router.ruleset.report import report
from router.ruleset.rule_file import MAX_RULES
from router.ruleset.rules import MAX_ID_BYTES
from router.ruleset.samples import open_sample, read_sample
from router.ruleset.shapes import each_event
from router.ruleset.source_file import MAX_BYTES
from router.ruleset.text import MAX_TEXT
from router.ruleset.tree import plain, read_yaml
from router.ruleset.types import TYPES, converter
from router.ruleset.values import MAX_ELEMENTS, MAX_STEPS
from router.sources.schemes import SCHEMES

PACKAGE = Path(router.__file__).parent
TEXT = (PACKAGE.parent / "docs" / "rules.md").read_text("utf-8")
FENCE = re.compile(r"(?:^`my-rules/(\S+)`\n\n)?^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = "[a-z]+(?:-[a-z]+)*"


# --- the manual in parts ---------------------------------------------------------------------------------------------


def sections() -> dict[str, str]:
    """Heading → the text up to the next heading of any level, code left alone."""
    found: dict[str, str] = {}
    heading, fenced = "", False
    for line in TEXT.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if not fenced and (match := re.match(r"#+ (.*)", line)):
            heading = match[1]
            assert heading not in found, "an anchor that is not unique"
        found[heading] = found.get(heading, "") + line
    return found


SECTIONS = sections()
CODES = re.findall(rf"^### ({CODE})$", TEXT[TEXT.index("\n## Check codes\n") :], re.MULTILINE)
FIRST = {name: body.encode() for name, _, body in FENCE.findall(SECTIONS["A first rule"]) if name}
FILES = {name: text for name, text in FIRST.items() if name.endswith(".yaml")}
SAMPLES = {name.removeprefix("samples/"): text for name, text in FIRST.items() if name.endswith(".json")}
EXAMPLE = json.loads(next(body for _, kind, body in FENCE.findall(TEXT) if kind == "json event"))


def rows(heading: str, first: str) -> list[list[str]]:
    """The cells of the table of a section whose first column is called `first`."""
    found: list[list[str]] = []
    inside = False
    for line in SECTIONS[heading].splitlines():
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        inside = bool(cells) and (inside or cells[0] == first)
        if inside:
            found.append(cells)
    return found[2:]


def words(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall("`([^`]+)`", FENCE.sub("", cell))


def literal(text: str) -> Any:
    node, problems = read_yaml("cell", text.encode())
    assert node is not None
    assert not problems
    return plain(node)


# --- examples laid over the first rule -------------------------------------------------------------------------------


def split(text: str) -> dict[str, str]:
    """Key in the first column → its lines. Works on text, so that broken YAML can be an example."""
    parts: dict[str, str] = {}
    key = ""
    for line in text.splitlines(keepends=True):
        if match := re.match(r"([\w-]+):", line):
            key = match[1]
        parts[key] = parts.get(key, "") + line
    return parts


def dedented(part: str) -> str:
    """The lines below a key, moved to the first column; empty if its value stands in its own line."""
    return "".join(line[2:] for line in part.splitlines(keepends=True)[1:] if line.strip())


def indented(text: str) -> str:
    return "".join(f"  {line}" for line in text.splitlines(keepends=True))


def laid_over(base: str, change: str, depth: int) -> str:
    """The maps of `base` with those of `change` in them, `depth` levels deep."""
    parts = split(base)
    for key, part in split(change).items():
        if depth and key in parts and dedented(part) and dedented(parts[key]):
            part = f"{key}:\n" + indented(laid_over(dedented(parts[key]), dedented(part), depth - 1))
        parts[key] = part
    return "".join(parts.values())


def project_with(example: str) -> dict[str, bytes]:
    """The first project of the manual with an example laid over it."""
    files = {name: text.decode() for name, text in FILES.items()}
    title = re.match(r"# rules/(\S+)\n", example)
    if title:
        return {**FILES, title[1]: example.encode()}
    own, rule, shared = "", "", ""
    for key, part in split(example).items():
        if key in {"traits", "destinations"}:
            shared += part
        elif key in {"source", "to", "tables", "rules"}:
            own += part
        else:
            rule += part
    if rule:
        names = split(rule)
        if names.keys() & (RULE.keys() - {"tests"}) and "tests" not in names:
            files["shop.yaml"] = re.sub(r"    tests:\n(?:      .*\n)+", "", files["shop.yaml"])
        own += "" if "rules" in split(own) else "rules:\n"
        own += "  customer:\n" + indented(indented(rule))
    elif own or shared:
        files["shop.yaml"] = re.sub(r"    tests:\n(?:      .*\n)+", "", files["shop.yaml"])
    files["shop.yaml"] = laid_over(files["shop.yaml"], own, 2)
    files["destinations.yaml"] = laid_over(files["destinations.yaml"], shared, 2)
    return {name: text.encode() for name, text in files.items()}


def fault(use: SecretUse) -> str:
    return "is not set" if "SECERT" in str(use.secret) else ""


def codes_of(example: str, about: str = "") -> list[str]:
    """The codes of an example. What an example that shows one thing leaves out is no problem of its own."""
    found = {problem.code for problem in check(project_with(example), SAMPLES, fault=fault)}
    return sorted(found - ({"untested", "unused"} - {about}))


EXAMPLES = [
    pytest.param(body, id=f"{heading}:{number}")
    for heading, text in SECTIONS.items()
    for number, (title, kind, body) in enumerate(FENCE.findall(text))
    if kind == "yaml" and not title
]


def test_the_first_project_has_no_problem() -> None:
    assert check(FILES, SAMPLES, fault=fault) == []


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_checks_clean(example: str) -> None:
    problems = check(project_with(example), SAMPLES, fault=fault)
    assert [str(problem) for problem in problems if problem.code not in {"untested", "unused"}] == []


def test_a_fence_is_of_a_known_kind() -> None:
    kinds = {kind for _, kind, _ in FENCE.findall(TEXT)}
    assert kinds == {"yaml", "yaml wrong", "yaml right", "json", "json event", "ebnf", ""}
    assert len(EXAMPLES) == TEXT.count("```yaml\n") - len(FILES)


@pytest.mark.parametrize("code", CODES)
def test_the_wrong_example_of_a_code_gives_it_and_the_right_one_nothing(code: str) -> None:
    blocks = [(kind, body) for _, kind, body in FENCE.findall(SECTIONS[code])]
    assert blocks
    assert [kind for kind, _ in blocks] == ["yaml wrong", "yaml right"] * (len(blocks) // 2)
    for (_, wrong), (_, right) in zip(blocks[::2], blocks[1::2], strict=True):
        if code == "drift":
            assert (drifts(wrong), drifts(right)) == ({code}, set())
        else:
            assert (codes_of(wrong, code), codes_of(right, code)) == ([code], [])


def test_each_line_of_the_texts_that_look_like_expressions_is_one() -> None:
    wrong, right = (body for _, _, body in FENCE.findall(SECTIONS["text-or-path"]))
    lines = [line for line in wrong.splitlines() if line not in right.splitlines()]
    problems = check(project_with(wrong), SAMPLES, fault=fault)
    assert len([problem for problem in problems if problem.code == "text-or-path"]) == len(lines) == 8


def drifts(example: str) -> set[str]:
    """The codes that stored events give: two dozen as the sample is, then as many of another shape."""
    old = json.loads(SAMPLES["shop.customer.changed.json"])
    new = copy.deepcopy(old)
    new["body"]["customer"]["contacts"] = {"phone": new["body"]["customer"].pop("phone")}
    samples = {f"shop.{n}.json": json.dumps(each).encode() for n, each in enumerate((old, new))}
    project = load(project_with(example), samples, reveal=str)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    events = []
    for hour in range(48):
        name = f"shop.{hour // 24}.json"
        (opened,) = open_sample(read_sample(name, samples[name]), project.sections["shop"])
        events.append((replace(opened.event, occurred_at=start + timedelta(hours=hour)), opened.value))
    return {problem.code for problem in drift(project, each_event(events))}


def unset(use: SecretUse) -> str:
    """As where no variable is set."""
    return f"{use.secret} is not set, or blank"


def test_the_commands_of_the_first_rule_print_what_the_manual_shows() -> None:
    (shown,) = [body for _, kind, body in FENCE.findall(SECTIONS["A first rule"]) if "$ router check" in body]
    project = load(FILES, SAMPLES, reveal=str)
    (opened,) = open_sample(project.samples["shop.customer.changed.json"], project.sections["shop"])
    said = [
        "$ router check",
        report(check_files(FILES, SAMPLES, fault=unset), FILES, "text", prefix="my-rules/", colour=False),
        "$ router test",
        run_tests(FILES, SAMPLES).text("my-rules/"),
        "$ router explain my-rules/samples/shop.customer.changed.json",
        explain(project, opened.event, opened.value).text("my-rules/"),
    ]
    assert "\n".join(part.rstrip("\n") for part in said) + "\n" == shown


# --- expressions -----------------------------------------------------------------------------------------------------

EVENT = Event(
    source="shop",
    external_id="e-1",
    type="customer.changed",
    occurred_at=datetime(2026, 1, 31, tzinfo=UTC),
    received_at=datetime(2026, 1, 31, tzinfo=UTC),
)


#: the tables that the expressions of the manual use
TABLES = {"tiers": {"G": "gold"}, "vip": {"true": "vip", "false": "standard"}}


def evaluated(text: str, *, condition: bool = False) -> Any:
    """The value, or the word for what is none."""
    compiled = compile_value(text, tables=TABLES, allow=ENDINGS, expression=condition)
    context = Context(copy.deepcopy(EXAMPLE), EVENT, {}, {}, "shop", None, "UTC")
    try:
        value = compiled.run(context)
    except SkipRule:
        return "skip"
    except FailRule:
        return "fail"
    return {MISSING: "missing", UNSET: "unset"}.get(value, value) if not isinstance(value, dict | list) else value


def expected(cell: str) -> Any:
    return literal(words(cell)[0]) if "`" in cell else cell


def expression_cases() -> Iterator[Any]:
    values = ["Paths", "Missing, and what else to do", "Choosing a value", "Templates"]
    for heading, first in {**dict.fromkeys(values, "expression"), "Conditions and unknown": "condition"}.items():
        for cells in rows(heading, first):
            for text in words(cells[0]):
                yield pytest.param(text, cells[1], first == "condition", id=f"{first} {text}")
    for cells in rows("Functions", "function"):
        yield pytest.param(words(cells[2])[0], cells[3], cells[2].startswith('`"'), id=f"function {cells[0]}")


@pytest.mark.parametrize(("text", "gives", "condition"), list(expression_cases()))
def test_an_expression_gives_what_the_manual_says(text: str, gives: str, condition: bool) -> None:
    got = evaluated(text, condition=condition)
    assert repr(str(got) if isinstance(got, Instant) else got) == repr(expected(gives))


@pytest.mark.parametrize("cells", [pytest.param(cells, id=cells[0]) for cells in rows("Traits and types", "type")])
def test_a_type_gives_what_the_manual_says(cells: list[str]) -> None:
    got = converter(words(cells[0])[0], region=None, timezone="UTC")(literal(words(cells[3])[0]))
    assert repr(str(got) if isinstance(got, Instant) else got) == repr(expected(cells[4]))


# --- nothing without an entry ----------------------------------------------------------------------------------------


def entries(heading: str, first: str) -> list[str]:
    return [word for cells in rows(heading, first) for word in words(cells[0])]


def test_every_function_has_an_entry_and_an_example() -> None:
    listed = [word.partition("(")[0] for word in entries("Functions", "function")]
    assert set(listed) == set(NAMES)
    used = " ".join(cells[2] for cells in rows("Functions", "function"))
    assert [name for name in NAMES if not re.search(rf"\| {name}\b", used)] == []


def test_every_type_and_standard_trait_has_an_entry() -> None:
    assert entries("Traits and types", "type") == list(TYPES)
    assert [name for name in STANDARD_TRAITS if f"`{name}`" not in SECTIONS["Traits and types"]] == []


#: table of keys → the section and the first column of its table
PLACES = {
    "FILE": ("A rule file", "key"),
    "SOURCE": ("Keys of a source", "key"),
    "ENVELOPE": ("Envelope", "key"),
    "IDENTITY": ("Identity", "key"),
    "ACK": ("Answers and networks", "key of `ack`"),
    "NETWORK": ("Answers and networks", "key of `network`"),
    "DESTINATIONS_FILE": ("Destinations", "key"),
    "DESTINATION": ("Keys of a destination", "key"),
    "RULE": ("Keys of a rule", "key"),
    "TEST": ("Tests", "key of a test"),
    "PROFILE": ("Tests", "key of `profile`"),
}
#: tables of keys whose words stand in the text of a section
IN_TEXT = {"TRAIT": "Traits and types", "CONSENT_KEYS": "Keys of a rule", "TAGS": "Keys of a rule"}


def key_tables() -> dict[str, Mapping[str, Key]]:
    return {
        name: table
        for name, table in vars(keys).items()
        if isinstance(table, Mapping) and table and all(isinstance(row, Key) for row in table.values())
    }


def test_every_key_has_an_entry_and_every_entry_a_key() -> None:
    tables = key_tables()
    assert tables.keys() == PLACES.keys() | IN_TEXT.keys()
    for name, (heading, first) in PLACES.items():
        assert sorted(entries(heading, first)) == sorted(tables[name]), name
    for name, heading in IN_TEXT.items():
        assert [key for key in tables[name] if not re.search(rf"[`{{ ]{key}[`:]", SECTIONS[heading])] == [], name


def test_what_providers_can_do_is_as_the_code_says() -> None:
    able = {words(cells[0])[0]: cells[1:] for cells in rows("What each provider can do", "provider")}
    settings = {words(cells[0])[0]: words(cells[1]) for cells in rows("What each provider can do", "settings of")}
    assert able.keys() == settings.keys() == PROVIDERS.keys()
    for name, kind in PROVIDERS.items():
        can = kind.abilities
        assert settings[name] == list(kind.Account().fields), name
        once, clear, tricks, tags, consent, batch, names, rate = able[name]
        assert (once == "yes", clear != "no", tags == "yes") == (can.once, can.clear, can.tags_edit), name
        assert tuple(words(tricks)) == can.clear_tricks, name
        assert consent == ", ".join(sorted(can.consent)), name
        assert (int(batch), names == "closed", rate) == (can.batch, can.closed_names, kind.default_rate or "–"), name


def test_every_scheme_and_format_is_named() -> None:
    assert [name for name in SCHEMES if f"`{name}`" not in SECTIONS["Keys of a source"]] == []
    assert [name for name in ENVELOPE["format"].choices if f"`{name}`" not in SECTIONS["Envelope"]] == []


def test_the_limits_are_those_of_the_code() -> None:
    limits = {cells[0]: re.findall(r"\d[\d,]*", cells[1]) for cells in rows("Limits", "what")}
    assert {what: [int(number.replace(",", "")) for number in found] for what, found in limits.items()} == {
        "a file, its nodes, its depth, its rules": [tree.MAX_BYTES >> 20, tree.MAX_NODES, tree.MAX_DEPTH, MAX_RULES],
        "an expression, its nesting": [MAX_EXPRESSION, parser.MAX_DEPTH],
        "elements looked at in a list or made by a function": [MAX_ELEMENTS],
        "text made by a function or template": [MAX_TEXT],
        "holes of a template": [MAX_HOLES],
        "a pattern, its input": [MAX_PATTERN, MAX_INPUT],
        "a search, in the worst text for its pattern": [MAX_TRIES],
        "JSON text made by `json`": [32],
        "work for one value": [MAX_STEPS, TRIES_PER_STEP],
    }
    assert f"at most {MAX_CONCURRENCY} | `--slots`, else {SLOTS} |" in SECTIONS["Keys of a destination"]
    assert f"at most `{MAX_TIMEOUT_S:g}s` |" in SECTIONS["Keys of a destination"]
    assert f"at most {MAX_BYTES} |" in SECTIONS["Keys of a source"]
    assert f"at most {MAX_ID_BYTES} bytes" in SECTIONS["Keys of a rule"]
    assert f"at most {types.MAX_TRAIT_TEXT:,} characters" in SECTIONS["Traits and types"]
    assert f"at most {types.MAX_LIST} |" in SECTIONS["Traits and types"]


#: what the manual says is refused, and the code it is refused with
REFUSED = [
    ("set: {name: x}\nonce: {plan: .customer.tier else unset}", "syntax"),
    ("consent: {email: .customer.newsletter else unset}", "syntax"),
    ('set: {name: "{.customer.first else unset} x"}', "syntax"),
    ("if: (.customer.tier else skip) == 1", "syntax"),
    ("set: {plan: .customer.tier else skip else .kind}", "syntax"),
    ("if: .id < 1 < 2", "syntax"),
    ("set: {plan: .customer.number + 1}", "syntax"),
    ("set: {plan: .customer.number | map(.kind)}", "arguments"),
    ("set: {plan: '.kind | extract(\"(?=a)\")'}", "regex"),
    ("set: {plan: '.kind | extract(\"(a)\\\\1\")'}", "regex"),
    ("set: {plan: '.kind | extract(\"[a-z]*[a-z]*[0-9]\")'}", "regex"),
    ("source:\n  keep: [$header.authorization]", "unknown-value"),
    ("source:\n  keep: [$header.x-shop-signature]", "unknown-value"),
    ("source:\n  identity: {type: $event.type, id: .id, time: .at}", "unknown-variable"),
    ("source:\n  identity: {type: .kind, id: .id else skip, time: .at}", "syntax"),
    ("source:\n  ack: {status: 301}", "unknown-value"),
    ("traits:\n  consent: bool", "bad-name"),
    ("traits:\n  score: {public: true}\nset: {plan: free}", "missing-key"),
    ("destinations:\n  profile: {provider: http}", "bad-name"),
]


@pytest.mark.parametrize(("example", "code"), REFUSED)
def test_what_the_manual_says_is_refused_is(example: str, code: str) -> None:
    assert codes_of(example + "\n") == [code]


@pytest.mark.parametrize("user", ["null", "Undefined", "guest", "0", " ", "x" * 257])
def test_ids_that_mean_nobody_fail_the_rule(user: str) -> None:
    project = load(FILES, SAMPLES, reveal=str)
    (opened,) = open_sample(project.samples["shop.customer.changed.json"], project.sections["shop"])
    opened.value["customer"]["number"] = user
    assert project.route_value(opened.event, opened.value).state is EventState.FAILED


def codes_in_code() -> set[str]:
    """Every check code in the code: text constants that are given where problems are made."""
    makers = {"add", "warn", "problem", "LanguageError", "Problem", "RuleError", "_complain", "_Lack"}
    found: set[str] = set()
    for path in [*(PACKAGE / "ruleset").glob("*.py"), *(PACKAGE / "providers").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in makers:
                    found |= {each.value for each in node.args if is_code(each)}
    return found


def is_code(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(CODE, node.value) is not None


def test_every_code_has_a_section_and_every_section_a_code() -> None:
    assert sorted(CODES) == CODES
    assert set(CODES) == codes_in_code()


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_links_inside_the_manual_lead_somewhere() -> None:
    anchors = {anchor(heading) for heading in SECTIONS}
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif "://" not in target:
            name, _, place = target.partition("#")
            page = (PACKAGE.parent / "docs" / name).read_text("utf-8")
            assert not place or place in map(anchor, re.findall(r"^#+ (.*)$", page, re.MULTILINE)), target

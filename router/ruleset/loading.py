"""Load: files to a project, with every problem in one run."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from router.errors import RuleError, RuleErrors
from router.ruleset.accounts import SecretUse, secrets_in
from router.ruleset.destinations import Entry, read_destinations
from router.ruleset.filters import Target, filter_of, target_of
from router.ruleset.keys import DESTINATIONS_FILE, FIELD_NAME, FILE, NAME, RULE, TRAIT_NAME
from router.ruleset.leaves import Values
from router.ruleset.project import Project, revision_of
from router.ruleset.rule_file import Scope, read_rules
from router.ruleset.rules import Rule
from router.ruleset.samples import Sample, SampleError, SampleEvent, open_sample, read_sample
from router.ruleset.shape import Findings, is_empty, mended
from router.ruleset.source_file import SourceSection, read_source
from router.ruleset.testcases import TestCase, read_tests
from router.ruleset.tree import MapNode, Node, Scalar, read_yaml
from router.ruleset.vocabulary import COMPANY, Table, Vocabulary, read_tables, read_traits
from router.settings import Secret

DESTINATIONS = "destinations.yaml"


@dataclass(slots=True)
class SourceFile:
    """One rule file, as far as it could be read."""

    file: str
    node: MapNode
    section: SourceSection
    tables: Mapping[str, Table]
    #: the entries of every table that its values may look into
    entries: Mapping[str, Mapping[str, Any]]
    to: tuple[Scalar, ...]
    #: the names under `rules:`
    rule_keys: tuple[Scalar, ...]
    #: those that could be read
    rules: list[Rule]


@dataclass(slots=True)
class Draft:
    """All files, as far as they could be read: what the checks look at."""

    findings: Findings = field(default_factory=Findings)
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    #: top of destinations.yaml
    shared: Mapping[str, Node] = field(default_factory=dict)
    entries: Mapping[str, Entry] = field(default_factory=dict)
    #: the names under `destinations:`, the broken ones included
    entry_keys: tuple[Scalar, ...] = ()
    targets: Mapping[str, Target] = field(default_factory=dict)
    sources: list[SourceFile] = field(default_factory=list)
    #: whether every file of rules is among them, with its name and its rules
    complete: bool = True
    samples: dict[str, Sample] = field(default_factory=dict)
    #: sample file → why it cannot be used
    broken_samples: dict[str, str] = field(default_factory=dict)
    #: the inline tests of every rule
    cases: list[TestCase] = field(default_factory=list)
    #: sources whose events have no type that a rule is for, and those of samples that are misnamed: that is told
    misread: set[str] = field(default_factory=set)
    #: source → the events in its samples
    events: dict[str, list[SampleEvent]] = field(default_factory=dict)

    @property
    def known(self) -> frozenset[str]:
        """Names of all destinations, the broken ones included."""
        return frozenset(key.text for key in self.entry_keys)

    def rules(self) -> Iterator[tuple[SourceFile, Rule]]:
        """Every rule that could be read, with its file."""
        for each in self.sources:
            for rule in each.rules:
                yield each, rule

    def secrets(self) -> Iterator[SecretUse]:
        """Every reference to a secret."""
        for each in self.sources:
            yield from each.section.secrets
        for name, entry in self.entries.items():
            for node in entry.nodes.values():
                yield from secrets_in(node, f"destination {name}")


def draft_of(
    files: Mapping[str, bytes],
    samples: Mapping[str, bytes],
    *,
    reveal: Callable[[Secret], str],
    base_url: Callable[[str], str | None],
) -> Draft:
    """Read everything that can be read, and note what cannot."""
    draft = Draft()
    trees = dict(_trees(files, draft.findings))
    _read_shared(trees.pop(DESTINATIONS, None), draft, reveal, base_url)
    for file, tree in sorted(trees.items()):
        each = _read_source_file(file, tree, draft)
        if each is not None:
            draft.sources.append(each)
    whole = [each for each in draft.sources if _is_whole(each, draft.findings)]
    draft.complete = len(whole) == len(files.keys() - {DESTINATIONS})
    _check_names(draft)
    _read_samples(samples, draft)
    used = draft.findings.first_unread
    if used is not None and all(name.rpartition(".")[0] != "destinations" for name in files):
        hint = f"write {DESTINATIONS} beside {used.file}, with destinations: in it"
        place = (used.file, used.line, used.column, used.length)
        draft.findings.problems.append(RuleError(*place, used.code, f"there is no {DESTINATIONS}", hint))
    _aim(draft)
    for each, rule in draft.rules():
        cases = read_tests(rule, draft.findings, draft.known)
        if each.file not in draft.findings.waiting:
            draft.cases += cases
    return draft


def project_of(draft: Draft, files: Mapping[str, bytes]) -> Project:
    """The project of a draft without errors."""
    return Project(
        revision_of(files),
        {each.section.name: each.section for each in draft.sources},
        {name: entry.destination for name, entry in draft.entries.items()},
        {each.section.name: each.rules for each in draft.sources},
        draft.vocabulary,
        draft.samples,
        draft.broken_samples,
        tuple(draft.secrets()),
        [table.entries for each in draft.sources for table in each.tables.values()],
    )


def raise_errors(problems: list[RuleError]) -> None:
    """Raises `RuleErrors` with all problems if one of them is an error that keeps a project from starting."""
    if any(problem.severity == "error" and not problem.code.startswith("test-") for problem in problems):
        raise RuleErrors(by_place(problems))


def by_place(problems: list[RuleError]) -> list[RuleError]:
    """Problems by file, line and column, none twice."""
    return sorted(dict.fromkeys(problems), key=lambda p: (p.file, p.line, p.column, p.severity, p.code, p.message))


# --- files -------------------------------------------------------------------------------------------------------


def _trees(files: Mapping[str, bytes], findings: Findings) -> Iterator[tuple[str, Node]]:
    for file, data in sorted(files.items()):
        if not file.endswith(".yaml"):
            mended = f"{file.rpartition('.')[0]}.yaml"
            problem = RuleError(file, 1, 1, 1, "file-name", "only *.yaml is read", f"rename it to {mended}")
            findings.problems.append(problem)
            continue
        tree, problems = read_yaml(file, data)
        findings.problems += problems
        findings.refused.update((each.file, each.line, each.column) for each in problems if each.code == "yaml-limit")
        if tree is not None:
            yield file, tree
        elif not problems:
            hint = "delete it; a sender that is gone for good is removed: true"
            if file == DESTINATIONS:
                hint = "write destinations: in it, the accounts that profiles are sent to"
            findings.problems.append(RuleError(file, 1, 1, 1, "missing-key", f"{file} is empty", hint))


def _read_shared(
    tree: Node | None,
    draft: Draft,
    reveal: Callable[[Secret], str],
    base_url: Callable[[str], str | None],
) -> None:
    node = draft.findings.is_map(tree, DESTINATIONS, "a map of traits, tables and destinations")
    if node is None:
        # none is there, or why it cannot be read is told
        draft.findings.unread = dict.fromkeys(("unknown-destination", "unknown-trait", "unknown-table"))
        return
    draft.shared = draft.findings.read(node, DESTINATIONS_FILE, DESTINATIONS)
    read_traits(draft.shared.get("traits"), draft.vocabulary, draft.findings)
    draft.vocabulary.tables = read_tables(draft.shared.get("tables"), DESTINATIONS, {}, draft.findings)
    destinations = draft.shared.get("destinations")
    draft.entry_keys = tuple(key for key, _ in destinations.pairs) if isinstance(destinations, MapNode) else ()
    vocabulary, findings = draft.vocabulary, draft.findings
    draft.findings.unread = {
        "unknown-destination": _unread(node, "destinations", DESTINATIONS_FILE, draft.known, findings),
        "unknown-trait": _unread(node, "traits", DESTINATIONS_FILE, vocabulary.traits, findings),
        "unknown-table": _unread(node, "tables", DESTINATIONS_FILE, vocabulary.tables, findings),
    }
    draft.entries = read_destinations(destinations, draft.vocabulary, draft.findings, reveal=reveal, base_url=base_url)


def _unread(
    top: MapNode, name: str, table: Collection[str], read: Collection[str], findings: Findings
) -> frozenset[str] | None:
    """The names under a key of which nothing could be made, as they are not in `read`; None if there is no map of them,
    or its key is misspelt."""
    node, pattern = top.get(name), FIELD_NAME if name == "traits" else NAME
    if isinstance(node, MapNode):
        broken = {key.text for key, _ in node.pairs if key.text not in read or not re.fullmatch(pattern, key.text)}
        meant = {mended(text, TRAIT_NAME if name == "traits" else NAME) for text in broken}
        return frozenset({*broken, *filter(None, meant)} - {*read})
    if node is None:
        return frozenset() if findings.meant(top, name, table) is None else None
    return frozenset() if is_empty(node) else None


@contextmanager
def _with_unread(findings: Findings, code: str, names: frozenset[str] | None) -> Iterator[None]:
    """In here these names count as declared too, though nothing could be made of them; None: any name does."""
    shared = findings.unread
    others = shared.get(code, frozenset())
    both = None if names is None or others is None else names | others
    findings.unread = {**shared, code: both}
    try:
        yield
    finally:
        findings.unread = shared


def _read_source_file(file: str, tree: Node, draft: Draft) -> SourceFile | None:
    findings = draft.findings
    node = findings.is_map(tree, file, "a map of source, to, tables and rules")
    if node is None:
        return None
    nodes = findings.read(node, FILE, file, _misplaced)
    source = nodes.get("source")
    key = node.key_node("source")
    if not isinstance(source, MapNode) or key is None:
        if findings.lacks(node, "source", FILE):
            findings.add(
                node, "missing-key", f"{file} has no source:", "say who sends, as in source: {name: stripe}", length=1
            )
        return None
    tables = read_tables(nodes.get("tables"), file, draft.vocabulary.tables, findings)
    entries = {name: table.entries for name, table in tables.items()}
    section = read_source(source, key, entries, findings)
    named = findings.texts(nodes.get("to"), "to")
    to = tuple(_known(named, draft))
    misspelt = findings.meant(node, "to", FILE) is not None
    if misspelt:
        findings.waiting.add(file)
    scope = Scope(
        source=section.name,
        to=tuple(named),
        goes=bool(named) or misspelt or _goes_nowhere(nodes.get("rules"), node, findings),
        destinations={name: entry.destination for name, entry in draft.entries.items()},
        known=draft.known,
        vocabulary=draft.vocabulary,
        values=Values(entries, findings),
        findings=findings,
        region=section.region,
        timezone=section.timezone,
        allow_erase=section.allow_erase,
    )
    rules = nodes.get("rules")
    keys = tuple(key for key, _ in rules.pairs) if isinstance(rules, MapNode) else ()
    with _with_unread(findings, "unknown-table", _unread(node, "tables", FILE, tables, findings)):
        found = read_rules(rules, scope)
    return SourceFile(file, node, section, tables, entries, to, keys, found)


def _misplaced(key: Scalar, value: Node) -> str:
    """Where a key belongs that stands at the top of a file: rules are told by their own keys."""
    is_rule = isinstance(value, MapNode) and any(name.text in {"when", "user"} for name, _ in value.pairs)
    return f"a rule stands under rules:, in column {key.column + 2}" if is_rule else ""


def _goes_nowhere(rules: Node | None, node: MapNode, findings: Findings) -> bool:
    """Whether no destination is named in a file, by none of several rules: one problem."""
    bodies = [body for _, body in rules.pairs if isinstance(body, MapNode)] if isinstance(rules, MapNode) else []
    if len(bodies) < 2 or node.get("to") is not None:
        return False
    if not all(findings.lacks(body, "to", RULE) and body.get("erase") is None for body in bodies):
        return False
    key = node.key_node("rules")
    assert key is not None
    message = "the rules have no to:, and neither has the file"
    findings.add(key, "no-destination", message, "say where they go, above: as in to: [crm]")
    findings.waiting.add(node.file)
    return True


def _known(names: list[Scalar], draft: Draft) -> Iterator[Scalar]:
    for name in names:
        if name.text in draft.known:
            yield name
        else:
            draft.findings.unknown_destination(name, draft.known)


def _is_whole(each: SourceFile, findings: Findings) -> bool:
    """Whether the file has a name, and its rules are not under another one than `rules:`."""
    return bool(each.section.name) and findings.meant(each.node, "rules", FILE) is None


def _check_names(draft: Draft) -> None:
    """One source name in two files: it belongs to the file of that name, else to the first."""
    owners: dict[str, str] = {}
    named = [each for each in draft.sources if each.section.name]
    for each in sorted(named, key=lambda one: (one.file != f"{one.section.name}.yaml", one.file)):
        owner = owners.setdefault(each.section.name, each.file)
        if owner != each.file:
            message = f"source {each.section.name} is already in {owner}"
            draft.findings.add(each.section.key, "duplicate-name", message)


# --- samples -----------------------------------------------------------------------------------------------------


def _read_samples(samples: Mapping[str, bytes], draft: Draft) -> None:
    sections = {each.section.name: each.section for each in draft.sources}
    for name, data in sorted(samples.items()):
        try:
            sample = read_sample(name, data)
            draft.samples[name] = sample
            section = sections.get(sample.source)
            if section is not None and section.readable:
                draft.events.setdefault(section.name, []).extend(open_sample(sample, section))
        except SampleError as error:
            draft.broken_samples[name] = str(error)


# --- rules meet destinations -------------------------------------------------------------------------------------


def _aim(draft: Draft) -> None:
    """Decide what of each rule goes where, once every attribute of the company is known."""
    company = {step.field for _, rule in draft.rules() for step in rule.steps if step.field.startswith(COMPANY)}
    draft.targets = {
        name: target_of(entry.destination, draft.vocabulary, ["company.id", "company.name", *sorted(company)])
        for name, entry in draft.entries.items()
    }
    for _, rule in draft.rules():
        rule.filters = tuple(
            filter_of(draft.targets[name.text], rule.steps, rule.sends.get(name.text, ())) for name in rule.to
        )

"""Checks against samples: paths that lead nowhere, comparisons that never hold, text that was meant as a path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from router.nearest import closest, is_slip
from router.ruleset.language import FailRule, is_blank
from router.ruleset.leaves import Leaf
from router.ruleset.loading import Draft, SourceFile
from router.ruleset.nodes import Path
from router.ruleset.rules import Rule, profile_of
from router.ruleset.samples import SampleError, SampleEvent, open_sample, read_sample
from router.ruleset.shape import Findings
from router.ruleset.slips import call_between, default_slip, slip, slip_between
from router.ruleset.spellings import Keys, keys_of
from router.ruleset.text import shortened
from router.ruleset.tree import ListNode, MapNode, Scalar
from router.ruleset.trial import Trial
from router.sources.examples import examples_of
from router.sources.identification import UNTYPED

_KEY = re.compile(r"[A-Za-z_][\w-]*")
#: between types in a text
_JOINTS = re.compile(r",\s*|(?<!\s)\s+(?:or|and)\s+|(?<!\s)\s*(?:\|\||\|)\s*")
_BRACES = re.compile(r"([^{},\s]*)\{([^{}]*,[^{}]*)\}([^{},\s]*)")


def check_paths(draft: Draft) -> None:
    """`unknown-path`, `kind-mismatch`, `no-sample`, `header-not-kept`, `text-or-path` and `constant-user`."""
    for each in draft.sources:
        if each.section.readable:
            events = [found for found in draft.events.get(each.section.name, ()) if not found.event.error]
            keys = keys_of([found.value for found in events])
            told = _check_types(draft, each, events)
            for rule in each.rules:
                _Checker(draft.findings, each, rule, events, keys, told).check()


def _check_types(draft: Draft, each: SourceFile, events: Sequence[SampleEvent]) -> bool:
    """`no-sample` of all rules at once, where the type of the events is to blame. Whether nothing more is to be told of
    types without samples."""
    section, findings = each.section, draft.findings
    if any(name.partition(".")[0] == section.name for name in draft.broken_samples):
        return True  # it may be one of these
    picky = [rule for rule in each.rules if rule.when != ("*",)]
    if not picky or any(rule.matches(found.event.type) for rule in picky for found in events):
        return False
    identity = section.nodes.get("identity")
    if "type" not in section.identity_values:
        place = each.node.key_node("source") or section.key
        findings.warn(
            _key_in(each, "identity") or place,
            "no-sample",
            "events of this source have no type: no rule with when: is for them",
            "add identity.type",
        )
        draft.misread.add(section.name)
        return True
    node = identity.get("type") if isinstance(identity, MapNode) else None
    types = sorted({found.event.type for found in events})
    if node is None or not events or not _is_no_type(types, picky, events):
        return _is_misnamed(draft, each) if not events else False
    if not findings.has_within(node, {"unknown-path", "text-or-path"}):
        gives = "nothing" if types == [UNTYPED] else " and ".join(f"'{shortened(text)}'" for text in types[:2])
        message = f"identity.type gives {gives} in the samples: no rule is for that"
        findings.warn(node, "no-sample", message, _type_hint(picky, events))
    draft.misread.add(section.name)
    return True


def _key_in(each: SourceFile, name: str) -> Scalar | None:
    source = each.node.get("source")
    return source.key_node(name) if isinstance(source, MapNode) else None


def _is_no_type(types: Sequence[str], rules: Sequence[Rule], events: Sequence[SampleEvent]) -> bool:
    """Whether what the samples have as their type is none: nothing, the id that rules take for the type, or as many
    texts with digits as there are samples."""
    if types == [UNTYPED] or any(rule.matches(found.event.external_id) for rule in rules for found in events):
        return True
    digits = re.compile(r"\d")
    named = any(digits.search(text) for rule in rules for text in rule.when)
    return len(types) == len(events) and not named and all(digits.search(text) for text in types)


def _type_hint(rules: Sequence[Rule], events: Sequence[SampleEvent]) -> str:
    """The path at the top of the samples that gives the types of the rules."""
    for found in events:
        for key, value in found.value.items():
            if isinstance(value, str) and _KEY.fullmatch(key) and any(rule.matches(value) for rule in rules):
                return f"write type: .{key}"
    return "write the path of the type"


def _is_misnamed(draft: Draft, each: SourceFile) -> bool:
    """Whether there are samples of a source called nearly like this one, which is a problem."""
    sources = {other.section.name for other in draft.sources}
    others = {sample.source for sample in draft.samples.values()} - sources
    near = closest(each.section.name, others, like=0.8)
    if near:
        message = f"no sample is of {each.section.name}: a sample is <source>.<any>.json"
        draft.findings.warn(each.section.key, "no-sample", message, f"did you mean '{near}'?")
        draft.misread.add(near)
    return bool(near)


def leaves_of(rule: Rule) -> Iterator[Leaf]:
    """Every scalar value of a rule."""
    values = [rule.condition, rule.user, *(step.value for step in rule.steps)]
    values += [leaf.value for sends in rule.sends.values() for leaf in sends]
    for value in values:
        if value is not None:
            yield from value.leaves


def _meet(gone: str | int | None, read: str | int | None) -> bool:
    """Whether two steps can lead to one place; None is one to elements of a list."""
    if gone is None or read is None:
        return not isinstance(read if gone is None else gone, str)
    return gone == read


def _several(text: str) -> list[str]:
    """The types in a text that was meant as a list; empty if it is none."""
    if braces := _BRACES.fullmatch(text.strip()):
        return [f"{braces[1]}{part.strip()}{braces[3]}" for part in braces[2].split(",")]
    parts = [part for part in _JOINTS.split(text.strip()) if part]
    return parts if len(parts) > 1 else []


class _Checker:
    """Checks one rule against the samples of its types."""

    def __init__(
        self, findings: Findings, each: SourceFile, rule: Rule, events: Sequence[SampleEvent], keys: Keys, told: bool
    ) -> None:
        """`events` are all of the source's samples, `keys` theirs. `told`: nothing is to be told of missing ones."""
        self.findings = findings
        self.rule = rule
        self.section = each.section
        self.tables = each.entries
        self.all_events = events
        self.keys = keys
        self.told = told
        self.events = [found for found in events if rule.matches(found.event.type)]
        #: the samples are the vendor's, so what they lack may be there all the same
        self.builtin = False
        self.types = " or ".join(rule.when) if rule.when != ("*",) else each.section.name

    def check(self) -> None:
        if not self.events:
            if not self.told:
                self._no_sample()
            self.events = [found for found in self._examples() if self.rule.matches(found.event.type)]
            self.builtin = True
        else:
            self._misspelled_types()
        trial = Trial(self.findings, self.events, self.types, self.tables, lenient=self.builtin)
        for leaf in leaves_of(self.rule):
            if leaf.compiled.kind == "literal":
                self._literal(leaf)
            elif leaf.compiled.kind == "template" and (hint := slip_between(leaf.compiled.text, self.keys)):
                self._was_a_path(leaf, hint)
            elif leaf.compiled.kind == "template" and (hint := call_between(leaf.compiled.text)):
                self.findings.warn(leaf.node, "text-or-path", "this would be sent as text", hint)
            for path in leaf.compiled.all_paths():
                self._kept(leaf, path)
            for path in leaf.compiled.paths:
                self._stored(leaf, path)
            self._default(leaf)
            trial.leaf(leaf)
        self._constant_user()

    # --- samples ------------------------------------------------------------------------------------------------

    def _no_sample(self) -> None:
        place = self.rule.nodes.get("when", self.rule.key)
        self.findings.warn(
            place, "no-sample", f"no sample of {self.types}: its paths are not checked", self._instead_of_no_sample()
        )

    def _misspelled_types(self) -> None:
        """Warn of one of several types that is none, and looks like one that there is: no event would ever have it."""
        whens = self.rule.nodes.get("when")
        known = {found.event.type for found in self.all_events}
        for node in whens.items if isinstance(whens, ListNode) else ():
            text = node.text if isinstance(node, Scalar) else ""
            if "*" in text or text in known:
                continue
            if meant := next((each for each in sorted(known) if is_slip(text, each)), None):
                self.findings.warn(node, "no-sample", f"no sample of {text}", f"did you mean {meant!r}?")

    def _instead_of_no_sample(self) -> str:
        """What is probably wrong with `when`; if nothing is, the sample to add."""
        first = self.rule.when[0]
        known = sorted({found.event.type for found in self.all_events})
        if several := _several(first):
            return f"several types are a list: [{', '.join(several)}]"
        if re.search(r"^[/^]|[/$]$|==|[?|()]", first):
            return "a type is written out, or with * for any run of characters"
        file = f"samples/{self.section.name}.{re.sub('[^A-Za-z0-9._-]+', '-', first.strip().replace('*', 'any'))}.json"
        for found in self.all_events:
            if f"samples/{found.sample.name}" == file:
                return f"{file} is of type '{shortened(found.event.type)}'"
        same = {text.lower(): text for text in known}.get(first.strip().lower())
        if same is not None:
            return f"did you mean '{same}'?"
        near = closest(first, known, like=0.9)
        return f"add {file}, or did you mean '{near}'?" if near else f"add {file}"

    def _examples(self) -> Iterator[SampleEvent]:
        """The events of the preset's examples, as this source opens them."""
        for example in examples_of(self.section.preset_name):
            with suppress(SampleError):
                yield from open_sample(read_sample(example.path.name, example.data), self.section)

    # --- headers ------------------------------------------------------------------------------------------------

    def _kept(self, leaf: Leaf, path: Path) -> None:
        if path.base not in {"header", "query"} or f"{path.base}.{path.name}" in self.section.kept:
            return
        known = [name.partition(".")[2] for name in self.section.kept if name.startswith(path.base)]
        near = closest(path.name, known, like=0.6)
        what = "header" if path.base == "header" else "parameter"
        add = "add it to source.keep"
        self.findings.add(
            leaf.node,
            "header-not-kept",
            f"this {what} is not kept with the event",
            f"did you mean ${path.base}.{near}? Else {add}" if near else add,
            offset=path.start,
            length=path.end - path.start,
        )

    def _stored(self, leaf: Leaf, path: Path) -> None:
        """Warn of what the source redacts: it is null when rules read it."""
        steps = [step.value if step.kind in {"key", "index"} else None for step in path.steps]
        for gone in self.section.redact if path.base in {"dot", "root"} else ():
            pairs = zip(gone, steps[: len(gone)], strict=False)
            if len(gone) <= len(steps) and all(_meet(*pair) for pair in pairs):
                message = "source.redact takes this away before rules read it"
                first, last = path.start, path.end
                self.findings.warn(leaf.node, "unknown-path", message, offset=first, length=last - first)
                return

    # --- literals -----------------------------------------------------------------------------------------------

    def _literal(self, leaf: Leaf) -> None:
        text = leaf.compiled.literal
        if not isinstance(text, str) or leaf.compiled.text.startswith("\\"):
            return
        if hint := slip(text, self.keys):
            self._was_a_path(leaf, f"{hint}; for the text begin it with \\")

    def _was_a_path(self, leaf: Leaf, hint: str) -> None:
        place = (leaf.node.file, leaf.node.line, leaf.node.column)
        self.findings.problems = [
            problem
            for problem in self.findings.problems
            if problem.code != "literal-type" or (problem.file, problem.line, problem.column) != place
        ]
        self.findings.add(leaf.node, "text-or-path", "this would be sent as text", hint)

    def _default(self, leaf: Leaf) -> None:
        """Warn of a blank default, which gives nothing; in a hole it says that the hole may be blank."""
        default = leaf.compiled.default if leaf.compiled.is_expression else None
        if default is not None and is_blank(default.value):
            place, length = default.start, default.end - default.start
            hint = "to clear the field write else unset; without a default it stays as it is"
            self.findings.warn(leaf.node, "empty-value", "this gives nothing", hint, offset=place, length=length)
        elif (
            default is not None and isinstance(default.value, str) and (hint := default_slip(default.value, self.keys))
        ):
            place, length = default.start, default.end - default.start
            message = "this would be sent as text"
            self.findings.warn(leaf.node, "text-or-path", message, hint, offset=place, length=length)

    def _constant_user(self) -> None:
        if not self.rule.user.leaves:
            return
        leaf = self.rule.user.leaves[0]
        default = leaf.compiled.default
        if default is not None and not is_blank(default.value):
            hint = "write else skip, or else fail"
            try:
                profile_of(default.value)
                message = "everybody without an id would be this one profile"
            except FailRule as error:
                message = f"this is no id: {error.reason}"
            place, length = default.start, default.end - default.start
            self.findings.warn(leaf.node, "constant-user", message, hint, offset=place, length=length)
        reads = any(path.base != "source" for path in leaf.compiled.all_paths())
        if not reads and not self.findings.has(leaf.node, "text-or-path"):
            message = "every event would change the same profile"
            self.findings.add(leaf.node, "constant-user", message, "a path starts with '.'")

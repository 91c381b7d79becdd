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
from router.ruleset.tree import ListNode, Scalar
from router.ruleset.trial import Trial
from router.sources.examples import examples_of


def check_paths(draft: Draft) -> None:
    """`unknown-path`, `kind-mismatch`, `no-sample`, `header-not-kept`, `text-or-path` and `constant-user`."""
    for each in draft.sources:
        if each.section.readable:
            events = [found for found in draft.events.get(each.section.name, ()) if not found.event.error]
            keys = keys_of(found.value for found in events)
            for rule in each.rules:
                _Checker(draft.findings, each, rule, events, keys).check()


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


class _Checker:
    """Checks one rule against the samples of its types."""

    def __init__(
        self, findings: Findings, each: SourceFile, rule: Rule, events: Sequence[SampleEvent], keys: Keys
    ) -> None:
        """`events` are all of the source's samples, `keys` theirs."""
        self.findings = findings
        self.rule = rule
        self.section = each.section
        self.tables = each.entries
        self.all_events = events
        self.keys = keys
        self.events = [found for found in events if rule.matches(found.event.type)]
        #: the samples are the vendor's, so what they lack may be there all the same
        self.builtin = False
        self.types = " or ".join(rule.when) if rule.when != ("*",) else each.section.name

    def check(self) -> None:
        if not self.events:
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
        if "type" not in self.section.identity_values:
            return "events of this source have no type: add identity.type"
        if re.search(r",\s", first):
            return f"several types are a list: [{first}]"
        if re.search(r"^[/^]|[/$]$|==|[?|()]", first):
            return "a type is written out, or with * for any run of characters"
        file = f"samples/{self.section.name}.{first.strip().replace('/', '-').replace('*', 'any')}.json"
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

"""The rules of one file: nodes to `Rule`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from router.model import OpKind
from router.nearest import nearest
from router.providers.render import join_pointer
from router.ruleset.destinations import Destination
from router.ruleset.keys import CONSENT_KEYS, ERASE_KEYS, NAME, RULE, TAGS, TRAIT_NAME
from router.ruleset.language import MISSING, UNSET, Context, compile_literal
from router.ruleset.leaves import SKIP_FAIL, UNSET_SKIP_FAIL, Leaf, Value, Values, says_nothing
from router.ruleset.rules import (
    Make,
    Rule,
    SendStep,
    Step,
    make_edit,
    make_once,
    make_replace,
    make_send,
    make_set,
    make_unset,
)
from router.ruleset.shape import Findings
from router.ruleset.text import shortened
from router.ruleset.tree import ListNode, MapNode, Node, Scalar
from router.ruleset.types import EXAMPLES, Convert, Unusable, converter
from router.ruleset.values import MAX_ELEMENTS
from router.ruleset.vocabulary import COMPANY, CONSENT, SEND, Trait, Vocabulary

#: most rules in a file
MAX_RULES = 500
#: what a rule without `user` reads; it never runs
_NOBODY = compile_literal("").run


@dataclass(frozen=True, slots=True)
class Scope:
    """What the rules of one file share."""

    source: str
    #: destinations of every rule, as written
    to: tuple[Scalar, ...]
    #: whether the file names destinations, known ones or not
    goes: bool
    #: usable destinations
    destinations: Mapping[str, Destination]
    #: names of all destinations, the broken ones included
    known: Collection[str]
    vocabulary: Vocabulary
    values: Values
    findings: Findings
    region: str | None
    timezone: str
    allow_erase: bool


def read_rules(node: Node | None, scope: Scope) -> list[Rule]:
    """Every rule of a file, in order; what could not be read of one is left out of it."""
    if not isinstance(node, MapNode):
        return []
    if len(node.pairs) > MAX_RULES:
        scope.findings.add(node.pairs[MAX_RULES][0], "yaml-limit", f"the file has more than {MAX_RULES} rules")
    rules = []
    for ordinal, (key, value) in enumerate(node.pairs[:MAX_RULES]):
        if scope.findings.named(key, NAME) and (body := scope.findings.map_at(key, value, "a map")):
            rules.append(_RuleReader(key, body, ordinal, scope).read())
    return rules


class _RuleReader:
    """Reads one rule."""

    def __init__(self, key: Scalar, body: MapNode, ordinal: int, scope: Scope) -> None:
        self.key = key
        self.body = body
        self.ordinal = ordinal
        self.scope = scope
        self.findings = scope.findings
        self.values = scope.values
        self.before = scope.findings.errors
        self.nodes = scope.findings.read(body, RULE, f"rule {key.text}", self._misplaced)
        #: field → the section that writes it
        self.sections: dict[str, str] = {}

    def read(self) -> Rule:
        user = self._user()
        condition = None
        if "if" in self.nodes:
            condition = self.values.scalar(self._key("if"), self.nodes["if"], allow=SKIP_FAIL, expression=True)
        erase = self._erase()
        to = () if erase else self._to()
        steps = tuple(self._steps())
        sends = {name.text: tuple(leaves) for name, leaves in self._sends(to)}
        return Rule(
            id=f"{self.scope.source}/{self.key.text}",
            ordinal=self.ordinal,
            key=self.key,
            nodes=self.nodes,
            when=self._when(),
            condition=condition,
            user=user or Value(self.key, _NOBODY, ()),
            steps=steps,
            to=to,
            named=frozenset(name.text for name in self._names()),
            sends=sends,
            sound=self.findings.errors == self.before,
            erase=erase,
            contacts=tuple(step.field for step in steps if self._is_contact(step.field)),
        )

    def _key(self, name: str) -> Scalar:
        key = self.body.key_node(name)
        assert key is not None
        return key

    def _misplaced(self, key: Scalar, _value: Node) -> str:
        known = key.text in self.scope.vocabulary.traits
        return f"a trait stands under set:, in column {key.column + 2}" if known else ""

    def _is_contact(self, field: str) -> bool:
        trait = self.scope.vocabulary.trait(field)
        return trait is not None and trait.type in {"email", "phone"}

    def _when(self) -> tuple[str, ...]:
        node = self.nodes.get("when")
        if node is None:
            return ("*",)
        if isinstance(node, ListNode) and not node.items:
            self.findings.add(self._key("when"), "empty-value", "when has no value", "leave it out to match every type")
        return tuple(item.text for item in self.findings.texts(node, "when")) or ("*",)

    # --- who, where ---------------------------------------------------------------------------------------------

    def _user(self) -> Value | None:
        node = self.nodes.get("user")
        if node is not None:
            return self.values.scalar(self._key("user"), node, allow=SKIP_FAIL)
        if self.findings.lacks(self.body, "user", RULE):
            self.findings.add(
                self.key,
                "missing-key",
                f"rule {self.key.text} has no user:",
                "say who the event is about, as in user: .id",
            )
        return None

    def _names(self) -> list[Scalar]:
        if "to" in self.nodes:
            return self.findings.texts(self.nodes["to"], "to")
        return list(self.scope.to)

    def _to(self) -> tuple[Scalar, ...]:
        own = "to" in self.nodes
        names = self._names()
        given = self.body.get("to")
        if isinstance(given, ListNode) and not given.items:
            hint = "without to: it goes where the file says" if self.scope.goes else ""
            message = f"rule {self.key.text} goes nowhere: to is empty"
            self.findings.add(self._key("to"), "no-destination", message, hint)
        elif self.findings.meant(self.body, "to", RULE):
            self.findings.waiting.add(self.key.file)
        elif given is None and not self.scope.goes:
            self.findings.add(self.key, "no-destination", f"rule {self.key.text} has no to:, and neither has the file")
        good: dict[str, Scalar] = {}
        for name in names:
            if own and name.text not in self.scope.known:
                self.findings.unknown_destination(name, self.scope.known)
            elif name.text in self.scope.destinations:
                good.setdefault(name.text, name)
        return tuple(good.values())

    def _erase(self) -> bool:
        node = self.nodes.get("erase")
        if not isinstance(node, Scalar):
            return False
        if node.value is not True:
            self.findings.add(node, "unknown-value", "erase is true", "a rule that does not erase has no erase:")
            return False
        for name in self.nodes:
            if name not in ERASE_KEYS:
                self.findings.add(
                    self._key(name), "erase", f"{name} cannot stand beside erase", "give it a rule of its own"
                )
        if not self.scope.allow_erase:
            self.findings.add(
                self._key("erase"),
                "erase",
                f"{f'source {self.scope.source}' if self.scope.source else 'the source'} does not let rules erase",
                "add allow_erase: true to the source",
            )
        return True

    # --- what ---------------------------------------------------------------------------------------------------

    def _steps(self) -> Iterator[Step]:
        yield from self._traits("set", UNSET_SKIP_FAIL, OpKind.SET, make_set)
        yield from self._company()
        yield from self._traits("once", SKIP_FAIL, OpKind.ONCE, make_once)
        yield from self._unset()
        yield from self._tags()
        yield from self._consent()

    def _traits(
        self, section: str, allow: frozenset[str], kind: OpKind, make: Callable[[Convert], Make]
    ) -> Iterator[Step]:
        node = self.nodes.get(section)
        for key, value in node.pairs if isinstance(node, MapNode) else ():
            trait = self.scope.vocabulary.traits.get(key.text)
            if trait is None or key.text.startswith(COMPANY):
                self._unknown_trait(key, section)
            elif self._is_first(key, key.text, section):
                yield from self._step(key, value, trait, section, allow, kind, make)

    def _company(self) -> Iterator[Step]:
        node = self.nodes.get("company")
        for key, value in node.pairs if isinstance(node, MapNode) else ():
            if self.findings.named(key, TRAIT_NAME) and self._is_first(key, COMPANY + key.text, "company"):
                trait = self.scope.vocabulary.trait(COMPANY + key.text)
                assert trait is not None
                yield from self._step(key, value, trait, "company", UNSET_SKIP_FAIL, OpKind.SET, make_set)

    def _consent(self) -> Iterator[Step]:
        node = self.nodes.get("consent")
        if not isinstance(node, MapNode):
            return
        self.findings.read(node, CONSENT_KEYS, "consent")
        for key, value in node.pairs:
            if key.text in CONSENT_KEYS:
                trait = Trait(CONSENT + key.text, "bool")
                yield from self._step(key, value, trait, "consent", SKIP_FAIL, OpKind.SET, make_set)

    def _step(
        self,
        key: Scalar,
        node: Node,
        trait: Trait,
        section: str,
        allow: frozenset[str],
        kind: OpKind,
        make: Callable[[Convert], Make],
    ) -> Iterator[Step]:
        if says_nothing(node):
            hint = f"to clear it write unset: [{trait.name}]" if section in {"set", "company"} else ""
            self.findings.add(key, "empty-value", f"{key.text} has no value", hint)
            return
        if trait.type == "list":
            value = self.values.scalar_or_list(key, node, allow=allow)
        else:
            value = self.values.scalar(key, node, allow=allow)
        if value is None:
            return
        to_type = converter(trait.type, region=self.scope.region, timezone=self.scope.timezone)
        self._check_literal(key, value, trait.type, to_type)
        yield Step(trait.name, f"{section}.{key.text}", key, value, kind, make(to_type))

    def _check_literal(self, key: Scalar, value: Value, kind: str, to_type: Convert) -> None:
        literal = value.literal
        if literal is MISSING:
            return
        try:
            to_type(literal)
        except Unusable as error:
            shown = f"'{shortened(literal)}'" if isinstance(literal, str) else str(literal).lower()
            hint = f"as in {EXAMPLES[kind]}" if kind in EXAMPLES else ""
            self.findings.add(value.node, "literal-type", f"{key.text}: {shown} {error.predicate}", hint)

    def _unset(self) -> Iterator[Step]:
        for item in self.findings.texts(self.nodes.get("unset"), "unset"):
            if self.scope.vocabulary.trait(item.text) is None:
                self._unknown_trait(item, "unset")
            elif self._is_first(item, item.text, "unset"):
                value = Value(item, _unset_run, ())
                yield Step(item.text, f"unset.{item.text}", item, value, OpKind.UNSET, make_unset)

    def _unknown_trait(self, name: Scalar, section: str) -> None:
        hint = self.scope.vocabulary.nearest_trait(name.text)
        part = name.text.partition(".")[0]
        if part == "tags" and section == "unset":
            hint = "to leave no tags write tags: []"
        elif part == "consent" and section == "unset":
            hint = "a consent is a yes or a no and cannot be cleared"
        elif name.text.startswith(COMPANY) and section == "unset":
            pass
        elif part in {"tags", "consent", "company", "user"} and name.text not in self.scope.vocabulary.traits:
            hint = f"{part}: stands beside {section}:, not in it"
        self.findings.add(name, "unknown-trait", f"unknown trait '{name.text}'", hint)

    def _is_first(self, key: Scalar, field: str, section: str) -> bool:
        other = self.sections.get(field)
        if other is None:
            self.sections[field] = section
            return True
        self.findings.add(key, "duplicate-field", f"{key.text} is also under {other}")
        return False

    # --- tags ---------------------------------------------------------------------------------------------------

    def _tags(self) -> Iterator[Step]:
        node = self.nodes.get("tags")
        if node is None:
            return
        key = self._key("tags")
        if isinstance(node, MapNode):
            found = self.findings.read(node, TAGS, "tags")
            if not node.pairs:
                self.findings.add(node, "wrong-shape", "tags is a value, a list, or a map of add and remove")
            if not found:
                return
            for name, part in found.items():
                if isinstance(part, ListNode) and not part.items and (key_of := node.key_node(name)):
                    hint = "to leave no tags write tags: []" if name == "remove" else ""
                    self.findings.add(key_of, "empty-value", f"{name} has no value", hint)
            parts = {name: self._tag_value(node, name, found) for name in ("remove", "add")}
            value = _edit(node, parts["add"], parts["remove"])
            yield Step("tags", "tags", node.pairs[0][0], value, OpKind.ADD, make_edit)
            return
        whole = self.values.scalar_or_list(key, node, allow=UNSET_SKIP_FAIL)
        if whole is not None:
            self._check_tags(whole)
            yield Step("tags", "tags", key, _bounded(whole), OpKind.REPLACE, make_replace)

    def _tag_value(self, node: MapNode, name: str, found: Mapping[str, Node]) -> Value | None:
        key = node.key_node(name)
        if key is None or name not in found:
            return None
        value = self.values.scalar_or_list(key, found[name], allow=SKIP_FAIL)
        if value is None:
            return None
        self._check_tags(value)
        return _bounded(value)

    def _check_tags(self, value: Value) -> None:
        for leaf in value.leaves:
            if isinstance(leaf.compiled.literal, bool):
                shown = str(leaf.compiled.literal).lower()
                self.findings.add(leaf.node, "literal-type", f"tags: {shown} is not a tag", "put it in quotes")

    # --- send ---------------------------------------------------------------------------------------------------

    def _sends(self, to: tuple[Scalar, ...]) -> Iterator[tuple[Scalar, list[SendStep]]]:
        node = self.nodes.get("send")
        names = [name.text for name in to]
        # else it may go further than is known, which is told
        sure = all(name.text in self.scope.known for name in self._names())
        for key, body in node.pairs if isinstance(node, MapNode) else ():
            if key.text not in self.scope.known:
                hint = nearest(key.text, self.scope.known)
                self.findings.add(key, "unknown-destination", f"no destination '{key.text}'", hint)
            elif key.text not in names and key.text in self.scope.destinations:
                if sure and (names or key.file not in self.findings.waiting):
                    message = f"rule {self.key.text} does not go to {key.text}"
                    self.findings.add(key, "unknown-destination", message, f"add {key.text} to to:")
            elif not isinstance(body, MapNode):
                self.findings.map_at(key, body, "a map in the provider's words")
            elif key.text in self.scope.destinations:
                yield key, list(self._leaves(key.text, body, ()))

    def _leaves(self, destination: str, body: MapNode, keys: tuple[Scalar, ...]) -> Iterator[SendStep]:
        for key, node in body.pairs:
            way = (*keys, key)
            if isinstance(node, MapNode) and node.pairs:
                yield from self._leaves(destination, node, way)
                continue
            value = self.values.body(key, node)
            if value is not None:
                path = tuple(each.text for each in way)
                label = f"send.{destination}.{'.'.join(path)}"
                yield SendStep(SEND + join_pointer(path), label, key, value, OpKind.SET, make_send, path, way)


def _unset_run(_context: Context) -> Any:
    return UNSET


def _bounded(value: Value) -> Value:
    """The value of a list of tags: of more than `MAX_ELEMENTS`, those of lists in it included, only the first."""

    def run(context: Context) -> Any:
        found = value.run(context)
        if type(found) is not list or sum(len(part) if type(part) is list else 1 for part in found) <= MAX_ELEMENTS:
            return found
        flat = [each for part in found for each in (part if type(part) is list else (part,))]
        context.note_cut(flat)
        return flat[:MAX_ELEMENTS]

    return Value(value.node, run, value.leaves)


def _edit(node: MapNode, add: Value | None, remove: Value | None) -> Value:
    """Both raw values of `{add, remove}` as one; `remove` is read first."""

    def run(context: Context) -> Any:
        removed = MISSING if remove is None else remove.run(context)
        added = MISSING if add is None else add.run(context)
        return MISSING if added is MISSING and removed is MISSING else (added, removed)

    leaves: tuple[Leaf, ...] = (*(remove.leaves if remove else ()), *(add.leaves if add else ()))
    return Value(node, run, leaves)

"""The words that every rule file shares: traits, attributes of the company, and tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.nearest import nearest
from router.ruleset.keys import CONSENTS, FIELD_NAME, NAME, RESERVED_TRAITS, STANDARD_TRAITS, TRAIT, TRAIT_NAME
from router.ruleset.other_keys import trait_hint
from router.ruleset.shape import Findings, is_empty, kind_of, text_of
from router.ruleset.tree import MapNode, Node, Scalar, plain
from router.ruleset.types import TYPES

#: what people mean as a default in a table
_DEFAULTS = frozenset({"*", "_", "_default", "else", "otherwise"})
#: the same at one end of a table: between others they are entries of their own
_MAYBE_DEFAULTS = frozenset({"default", "fallback"})
#: how expressions and holes begin
_READS = re.compile(
    r"\.[A-Za-z_]\w*(?:\.[A-Za-z_]|\[|\s*\||\s+else\s)|\$(?:\.|event\.|header\.|query\.|source\b)|[^{]*\{[.$][A-Za-z_]"
)
_IN_ENTRY = "a table holds values only: read the event in the rule, as in .plan else .tier"
#: an entry that YAML takes for a key without a value
_PAIR = re.compile(r"(?!\d+:\d+\Z)([^\s:=]+)(?::|\s*=>?\s*)([^\s:=>/][^:=]*)")
#: prefix of an attribute of the person's company
COMPANY = "company."
_OF_COMPANY = re.compile(rf"company\.{TRAIT_NAME}")
#: prefix of a channel of consent
CONSENT = "consent."
#: prefix of a leaf of `send`
SEND = "send:"


@dataclass(frozen=True, slots=True)
class Trait:
    """One canonical, typed attribute of a person, or (`company.x`) of the company."""

    name: str
    type: str
    #: shown unmasked
    public: bool = False
    #: where it was declared; None for the standard ones
    key: Scalar | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Entries for `map()`."""

    entries: Mapping[str, Any]
    file: str
    key: Scalar


@dataclass(slots=True)
class Vocabulary:
    """What `destinations.yaml` declares for every rule."""

    traits: dict[str, Trait] = field(default_factory=lambda: {n: Trait(n, t) for n, t in STANDARD_TRAITS.items()})
    tables: dict[str, Table] = field(default_factory=dict)

    def trait(self, name: str) -> Trait | None:
        """The trait of a field name. Attributes of the company are text unless declared."""
        found = self.traits.get(name)
        if found is None and _OF_COMPANY.fullmatch(name):
            return Trait(name, "text")
        return found

    def knows(self, name: str) -> bool:
        """Whether this is a field that rules can write: a trait, `company.x`, `consent.x` or `tags`."""
        if name.startswith(CONSENT):
            return name[len(CONSENT) :] in CONSENTS
        return name == "tags" or self.trait(name) is not None

    def nearest(self, name: str) -> str:
        """A hint for a field that is not known."""
        names = [*self.traits, "tags", *(CONSENT + channel for channel in CONSENTS)]
        return _or_declare(name, trait_hint(name) or nearest(name, names))

    def nearest_trait(self, name: str) -> str:
        """The same where only traits can stand."""
        return _or_declare(name, trait_hint(name) or nearest(name, self.traits))


def _or_declare(name: str, hint: str) -> str:
    if name.startswith(COMPANY):
        return "such a name is of a-z, 0-9 and _, a letter first"
    return f"{hint} Else declare it under traits:" if hint.startswith("did you mean") else "declare it under traits:"


def read_traits(node: Node | None, vocabulary: Vocabulary, findings: Findings) -> None:
    """Add the traits under `traits:` to the vocabulary."""
    if not isinstance(node, MapNode):
        return
    for key, value in node.pairs:
        standard = key.text in STANDARD_TRAITS
        if key.text in RESERVED_TRAITS:
            findings.add(key, "bad-name", f"'{key.text}' is not a name here", "the rule language uses this word")
        elif standard or findings.named(key, FIELD_NAME):
            trait = _trait(key, value, findings, standard=standard)
            if trait is not None:
                vocabulary.traits[key.text] = trait


def _trait(key: Scalar, value: Node, findings: Findings, *, standard: bool) -> Trait | None:
    kind: Node | None = value
    public = False
    if is_empty(value):
        findings.add(key, "empty-value", f"{key.text} has no value", "give its type, as in text")
        return None
    if isinstance(value, MapNode):
        found = findings.read(value, TRAIT, f"trait {key.text}")
        kind = found.get("type")
        flag = found.get("public")
        public = isinstance(flag, Scalar) and flag.value is True
    if standard:
        if kind is not None:
            findings.add(key, "duplicate-name", f"trait {key.text} is built in", "to show it write {public: true}")
            return None
        return Trait(key.text, STANDARD_TRAITS[key.text], public)
    if kind is None and key.text.startswith(COMPANY):
        return Trait(key.text, "text", public, key)
    if kind is None:
        if not isinstance(value, MapNode) or findings.lacks(value, "type", TRAIT):
            findings.add(key, "missing-key", f"trait {key.text} has no type:", "say what it holds, as in type: text")
        return None
    text = text_of(kind)
    if text is None:
        findings.add(kind, "wrong-shape", f"{key.text} is a type or a map, not {kind_of(kind)}")
        return None
    if text not in TYPES:
        findings.add(kind, "unknown-type", f"unknown type '{text}'", nearest(text, TYPES))
        return None
    return Trait(key.text, text, public, key)


def read_tables(node: Node | None, file: str, known: Mapping[str, Table], findings: Findings) -> dict[str, Table]:
    """The tables under `tables:` of one file, added to those that are known already."""
    tables = dict(known)
    if not isinstance(node, MapNode):
        return tables
    for key, value in node.pairs:
        other = known.get(key.text)
        if other is not None:
            findings.add(key, "duplicate-name", f"table {key.text} is already in {other.file}")
        elif findings.named(key, NAME) and (entries := findings.map_at(key, value, "a map of entries")):
            tables[key.text] = Table(_entries(key.text, entries, findings), file, key)
    return tables


def _entries(table: str, node: MapNode, findings: Findings) -> dict[str, Any]:
    ends = {id(node.pairs[0][0]), id(node.pairs[-1][0])} if len(node.pairs) > 1 else set()
    for key, value in node.pairs:
        name = key.text.lower()
        if name in _DEFAULTS or (name in _MAYBE_DEFAULTS and id(key) in ends):
            written = f'"{value.text}"' if isinstance(value, Scalar) and isinstance(value.value, str) else "…"
            hint = f'a default stands behind the table: | map("{table}") else {written}'
            findings.warn(key, "unused", f"{key.text} is an entry like any other, no default", hint)
        _check_entry(key, value, findings)
        if isinstance(value, MapNode):
            findings.add(value, "wrong-shape", f"{key.text} is a value or a list, not a map")
    return {key.text: plain(value) for key, value in node.pairs}


def _check_entry(key: Scalar, value: Node, findings: Findings) -> None:
    """Warn of an entry that was meant as something else: an expression, or a key with its value in one."""
    text = value.text if isinstance(value, Scalar) and isinstance(value.value, str) else ""
    if _READS.match(text):
        findings.warn(value, "text-or-path", "an entry is taken as it stands: it reads nothing", _IN_ENTRY)
    elif is_empty(value) and (pair := _PAIR.fullmatch(key.text)):
        findings.warn(key, "empty-value", f"{key.text} has no value", f"write {pair[1]}: {pair[2]}")

"""The `source:` section of a rule file: a configured sender, from its nodes and its preset."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from router.addresses import parse
from router.errors import ConfigError, TransportError
from router.nearest import nearest
from router.ruleset.accounts import SecretUse, refuse_in_url, refuse_literal, secrets_in, with_secrets
from router.ruleset.answers import read_answer
from router.ruleset.destinations import check_zone
from router.ruleset.functions import region_fault
from router.ruleset.identities import identity_of, key_path
from router.ruleset.keys import IDENTITY, NAME, NETWORK, SOURCE
from router.ruleset.language import Compiled, compile_value
from router.ruleset.leaves import NOTHING
from router.ruleset.nodes import Path
from router.ruleset.secret_keys import is_secret_name
from router.ruleset.shape import Findings, rate_of, seconds_of, text_of
from router.ruleset.source_values import SourceValues
from router.ruleset.tree import ListNode, MapNode, Node, Scalar, plain
from router.sources.base import Envelope, Identity
from router.sources.handshakes import as_handshakes, handshake_problems
from router.sources.presets import PRESETS, lay_over
from router.sources.schemes import is_open, problems
from router.sources.source import Source

#: fewest bytes of a source's secret
MIN_SECRET_BYTES = 16
#: hard cap of `max_bytes`
MAX_BYTES = 25 * 1024 * 1024
_KEEP = re.compile(r"\$(header|query)\.([A-Za-z0-9_-]+)")


@dataclass(slots=True)
class SourceSection:
    """What a source file says of its sender."""

    name: str
    #: the scalar that holds the name, or the key `source`
    key: Scalar
    nodes: Mapping[str, Node] = field(default_factory=dict)
    preset: Mapping[str, Any] = field(default_factory=dict)
    #: empty if there is none
    preset_name: str = ""
    region: str | None = None
    timezone: str = "UTC"
    identity: Identity = field(default_factory=Identity)
    #: names of the tables that identity and envelope look into
    tables: frozenset[str] = frozenset()
    #: part of the identity → its value
    identity_values: Mapping[str, Compiled] = field(default_factory=dict)
    envelope: Envelope = field(default_factory=Envelope)
    #: `header.x` and `query.x` that rules may read
    kept: frozenset[str] = frozenset()
    allow_erase: bool = False
    #: `(most at once, per second)` of verified events; None: no limit
    rate: tuple[int, float] | None = None
    #: how long bodies are kept, seconds
    retention_s: float = 30 * 86_400.0
    #: paths that masking leaves readable, as keys and indexes (None for every element)
    show: tuple[tuple[str | int | None, ...], ...] = ()
    #: paths that are null in what is stored
    redact: tuple[tuple[str | int | None, ...], ...] = ()
    #: whether samples can be opened and identified
    readable: bool = True
    #: gone for good
    removed: bool = False
    #: None if something is wrong with it, or if it is removed
    source: Source | None = None
    secrets: tuple[SecretUse, ...] = ()

    @property
    def identity_paths(self) -> tuple[Path, ...]:
        """Paths that the identity reads."""
        return tuple(path for each in self.identity_values.values() for path in each.paths)


def read_source(
    node: MapNode, key: Scalar, tables: Mapping[str, Mapping[str, Any]], findings: Findings
) -> SourceSection:
    """The source of one file, whose values may look into `tables`; `source` is None if it cannot be used."""
    return _SourceReader(node, key, tables, findings).read()


class _SourceReader:
    """Reads one `source:` section."""

    def __init__(self, node: MapNode, key: Scalar, tables: Mapping[str, Mapping[str, Any]], findings: Findings) -> None:
        self.node = node
        self.values = SourceValues(tables, findings)
        self.findings = findings
        self.nodes = findings.read(node, SOURCE, "source")
        self.name = text_of(self.nodes.get("name")) or ""
        #: the preset is not known, so nothing can be said of what it would have given
        self.guessing = False
        name_node = self.nodes.get("name")
        self.key = name_node if isinstance(name_node, Scalar) else key

    def read(self) -> SourceSection:
        before = self.findings.errors
        named = self.name != "" and self.findings.named(self.key, NAME)
        if not self.name:
            self.guessing = "preset" not in self.nodes  # the name may be that of one
            if self.findings.lacks(self.node, "name", SOURCE):
                self.findings.add(self.key, "missing-key", "the source has no name:", "its URL is /webhooks/<name>")
        if self._flag("removed"):
            return SourceSection(self.name, self.key, self.nodes, readable=False, removed=True)
        preset = PRESETS.get(preset_name := self._preset(), {})
        section = SourceSection(self.name, self.key, self.nodes, preset, preset_name)
        section.region, section.timezone = self._region(), self._timezone()
        section.allow_erase = self._flag("allow_erase")
        so_far = self.findings.errors
        values = self._identity_values(preset)
        section.identity = identity_of(values, self.name, section.region, section.timezone)
        section.identity_values = values
        section.envelope = self.values.envelope(
            self.node.key_node("envelope") or self.key, self.nodes.get("envelope"), preset
        )
        section.readable = self.findings.errors == so_far and named and self._is_read("identity")
        keep = self._keep(preset)
        read = (name for name in _reads(values.values()) if not self._is_secret(name.partition(".")[2]))
        section.kept = frozenset({*keep, *read})
        section.show = tuple(self._paths("show"))
        section.redact = tuple(self._paths("redact"))
        section.rate = rate_of(text_of(self.nodes.get("rate")) or "")
        section.tables = frozenset(self.values.used)
        section.retention_s = self._seconds("retention") or section.retention_s
        section.secrets = tuple(
            use
            for name in ("secret", "secrets", "verify", "handshake")
            for use in secrets_in(self.nodes.get(name), f"source {self.name}", MIN_SECRET_BYTES)
        )
        verify = self._verify(preset)
        others = self._settings(preset, section)
        if verify is not None and self._is_read("identity") and self.findings.errors == before:
            section.source = self._build(section, verify, others)
        return section

    def _is_read(self, name: str) -> bool:
        """Whether a key has the right shape, or is not there."""
        return name in self.nodes or self.node.get(name) is None

    # --- preset and verification --------------------------------------------------------------------------------

    def _preset(self) -> str:
        node = self.nodes.get("preset")
        text = text_of(node)
        if node is not None and text not in PRESETS:
            self.findings.add(node, "unknown-preset", f"no preset '{text}'", nearest(text or "", PRESETS))
            self.guessing = True
            return ""
        return text or (self.name if self.name in PRESETS else "")

    def _verify(self, preset: Mapping[str, Any]) -> dict[str, Any] | None:
        node = self.nodes.get("verify")
        own = with_secrets(node) if isinstance(node, MapNode) else {}
        config = lay_over(preset.get("verify", {}), own)
        if not config:
            if not self.guessing and (node is None or isinstance(node, MapNode)):
                hint = "name a preset, or write verify: {scheme: …}"
                self.findings.add(self.key, "missing-key", f"source {self.name} has no verify:", hint)
            return None
        secrets = self._secrets()
        given = {**config, "secrets": secrets} if secrets else config
        for path, message, hint in problems(given):
            self._complain(path, message, hint)
        if is_open(config) and not self._flag("allow_unauthenticated"):
            named = (node.get(name) for name in ("scheme", "any_of", "all_of")) if isinstance(node, MapNode) else ()
            place = next(filter(None, named), None)
            hint = "add allow_unauthenticated: true to accept that"
            self.findings.add(place or self.key, "unverified", "anyone could send events to this source", hint)
        return config

    def _complain(self, path: Iterable[str], message: str, hint: str, *, under: str = "verify") -> None:
        """A problem of the verification, at the key that it names or the nearest one that stands in the file."""
        place: Node = self.node.key_node(under) or self.key
        node: Node | None = self.nodes.get(under)
        for part in path:
            found = _within(node, part)
            if found is None:
                break
            place, node = found
            if part == "scheme" and isinstance(node, Scalar):
                place = node
        self.findings.add(place, "verify", message, hint)

    def _secrets(self) -> list[Any]:
        """The references under `secret` and `secrets`; of `basic`, maps of user and password."""
        found: list[Any] = []
        for name in ("secret", "secrets"):
            node = self.nodes.get(name)
            if node is not None and not refuse_literal(name, node, self.findings):
                value = with_secrets(node)
                found += value if isinstance(value, list) else [value]
        return found

    # --- identity ----------------------------------------------------------------------------------

    def _identity_values(self, preset: Mapping[str, Any]) -> dict[str, Compiled]:
        known = {name: text for name, text in preset.get("identity", {}).items() if text is not None}
        values = {name: compile_value(text, tables={}, allow=NOTHING) for name, text in known.items()}
        node = self.nodes.get("identity")
        if isinstance(node, MapNode):
            for name, part in self.findings.read(node, IDENTITY, "identity").items():
                compiled = self.values.value(part)
                if compiled is not None:
                    values[name] = compiled
        if not self._is_read("identity"):
            return values
        place = self.node.key_node("identity") or self.key
        given = {key.text for key, _ in node.pairs} if isinstance(node, MapNode) else set()
        given |= values.keys()
        if self.guessing:
            return values
        if "id" not in given:
            message = "events have no id: only identical bodies count as the same"
            self.findings.warn(place, "no-event-id", message, "add identity.id")
        if not given & {"time", "version"}:
            message = "events have no time: they are ordered by arrival"
            self.findings.warn(place, "no-event-time", message, "add identity.time")
        return values

    # --- the rest -----------------------------------------------------------------------------------------------

    def _region(self) -> str | None:
        node = self.nodes.get("region")
        text = text_of(node)
        if node is None or text is None:
            return None
        if fault := region_fault(text):
            self.findings.add(node, "region", *fault)
            return None
        return text

    def _timezone(self) -> str:
        node = self.nodes.get("timezone")
        text = text_of(node)
        return text if node is not None and text is not None and check_zone(node, text, self.findings) else "UTC"

    def _seconds(self, name: str) -> float | None:
        """A duration that is more than none."""
        node = self.nodes.get(name)
        found = seconds_of(text_of(node) or "")
        if node is not None and found == 0:
            self.findings.add(node, "unknown-value", f"{name} is more than 0s", "leave it out for the default")
        return found

    def _flag(self, name: str) -> bool:
        node = self.nodes.get(name)
        return isinstance(node, Scalar) and node.value is True

    def _keep(self, preset: Mapping[str, Any]) -> list[str]:
        """`header.x` and `query.x` to store with every event."""
        node = self.nodes.get("keep")
        if node is None:
            return [
                match[1] + "." + match[2].lower() for text in preset.get("keep", ()) if (match := _KEEP.fullmatch(text))
            ]
        found = []
        for item in self.findings.texts(node, "keep"):
            match = _KEEP.fullmatch(item.text.strip())
            if match is None:
                name = item.text.strip().lower()
                hint = f"write $header.{name}" if _KEEP.fullmatch(f"$header.{name}") else ""
                self.findings.add(item, "unknown-value", "keep is a list of $header.x and $query.x", hint)
            elif self._is_secret(match[2]):
                what = "headers" if match[1] == "header" else "parameters"
                self.findings.add(item, "unknown-value", f"{what} with credentials or signatures are never kept")
            else:
                name = match[2].lower() if match[1] == "header" else match[2]
                found.append(f"{match[1]}.{name}")
        return found

    def _is_secret(self, name: str) -> bool:
        """Whether a header or parameter carries a credential: by its name, or as the verification reads it."""
        return is_secret_name(name) or name.lower() in self._proofs

    @cached_property
    def _proofs(self) -> frozenset[str]:
        """Headers and parameters in which the proof comes, lower case."""
        node = self.nodes.get("verify")
        own = plain(node) if isinstance(node, MapNode) else {}
        preset = PRESETS.get(text_of(self.nodes.get("preset")) or self.name, {}).get("verify", {})
        return frozenset(_named({**preset, **own}))

    def _paths(self, name: str) -> Iterator[tuple[str | int | None, ...]]:
        for item in self.findings.texts(self.nodes.get(name), name):
            path = key_path(item.text)
            if path is None:
                self.findings.add(item, "syntax", f"{name} is a list of paths, as in .data.object.email")
            else:
                yield path

    def _settings(self, preset: Mapping[str, Any], section: SourceSection) -> dict[str, Any]:
        """Everything else, as `Source` takes it."""
        return {
            "handshakes": self._handshakes(preset),
            "ack": read_answer(self.nodes.get("ack"), preset, self.findings),
            "max_bytes": self._max_bytes(),
            "max_age_s": self._seconds("max_age"),
            "redact": section.redact,
            "url": self._url(),
            "network": self._network(),
        }

    def _url(self) -> str | None:
        """The public URL, as the sender has it."""
        node = self.nodes.get("url")
        text = text_of(node)
        if (
            node is None
            or text is None
            or refuse_in_url(node, self.findings, "give the sender a URL without") is not None
        ):
            return None
        try:
            parse(text)
        except TransportError:
            message = f"url is the one that the sender has, as in https://router.example.com/webhooks/{self.name}"
            self.findings.add(node, "unknown-value", message)
        return text

    def _handshakes(self, preset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        node = self.nodes.get("handshake")
        given = preset.get("handshake") if node is None else with_secrets(node)
        if node is not None:
            for path, message, hint in handshake_problems(given):
                place = node
                for part in path:
                    place, _ = _within(place, part) or (place, None)
                self.findings.add(place, "unknown-value", message, hint)
        return as_handshakes(given) if given is not None else []

    def _max_bytes(self) -> int:
        node = self.nodes.get("max_bytes")
        if not isinstance(node, Scalar) or not isinstance(node.value, int):
            return 1_048_576
        if not 1 <= node.value <= MAX_BYTES:
            self.findings.add(node, "unknown-value", f"max_bytes is between 1 and {MAX_BYTES}")
        return node.value

    def _network(self) -> Mapping[str, Any] | None:
        node = self.nodes.get("network")
        if not isinstance(node, MapNode):
            return None
        before = self.findings.errors
        found = self.findings.read(node, NETWORK, "network")
        for item in self.findings.texts(found.get("ip_allow"), "ip_allow"):
            try:
                ipaddress.ip_network(item.text.strip())
            except ValueError:
                self.findings.add(item, "unknown-value", "ip_allow holds networks such as 192.0.2.0/24")
        given = {name: plain(part) for name, part in found.items()}
        if self.findings.errors == before:
            for path, message, hint in problems({"scheme": "network", **given}):
                self._complain(path, message, hint, under="network")
        return given

    def _build(self, section: SourceSection, verify: Mapping[str, Any], others: Mapping[str, Any]) -> Source | None:
        try:
            return Source(
                section.name,
                verify=verify,
                secrets=self._secrets(),
                identity=section.identity,
                envelope=section.envelope,
                keep_headers=sorted(name[7:] for name in section.kept if name.startswith("header.")),
                rate=section.rate,
                keep_query=sorted(name[6:] for name in section.kept if name.startswith("query.")),
                **others,
            )
        except ConfigError as error:
            self.findings.add(self.node.key_node("verify") or self.key, "verify", str(error))
            return None


def _within(node: Node | None, part: str) -> tuple[Node, Node | None] | None:
    """One step down a tree: what to underline, and the value there."""
    if isinstance(node, ListNode) and part.isdigit() and int(part) < len(node.items):
        return node.items[int(part)], node.items[int(part)]
    if isinstance(node, MapNode) and (key := node.key_node(part)) is not None:
        return key, node.get(part)
    return None


def _named(config: Any) -> Iterator[str]:
    """The names of headers and parameters in a verification and those inside it, lower case."""
    for name, value in config.items() if isinstance(config, dict) else ():
        if name in {"header", "name"}:
            yield str(value).lower()
        for each in value if isinstance(value, list) else [value]:
            yield from _named(each)


def _reads(values: Iterable[Compiled]) -> Iterator[str]:
    """The headers and parameters that identities read."""
    for compiled in values:
        yield from (f"header.{name}" for name in compiled.headers)
        yield from (f"query.{name}" for name in compiled.queries)

"""`destinations:` of `destinations.yaml`: the accounts that profiles are sent to."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from router.addresses import parse
from router.errors import TransportError
from router.nearest import nearest
from router.providers import PROVIDERS
from router.providers.base import Options, Provider
from router.providers.bodies import schema_of
from router.ruleset.accounts import load_account, refuse_in_url, secrets_in
from router.ruleset.keys import DESTINATION, NAME, Key
from router.ruleset.shape import Findings, as_text, is_empty, kind_of, near, one_of, rate_of, seconds_of, text_of
from router.ruleset.times import zone_hint, zone_of
from router.ruleset.tree import MapNode, Node, Scalar
from router.ruleset.vocabulary import Vocabulary
from router.settings import Secret

#: slots a process may give to one destination
MAX_CONCURRENCY = 256
#: longest deadline of a call, seconds
MAX_TIMEOUT_S = 40.0
_WITHOUT = "leave it out: what stands there must let the router in without"


@dataclass(frozen=True, slots=True)
class Destination:
    """One configured account of a provider."""

    name: str
    provider: Provider
    #: most lanes in one call
    batch: int = 1
    #: how long a lane waits so that changes merge, seconds
    debounce_s: float = 0.0
    #: `(most calls at once, calls per second)` over all machines; None: no limit
    rate: tuple[int, float] | None = None
    #: calls at a time in one process; None: the process's own default
    concurrency: int | None = None
    #: total deadline of one call, seconds
    timeout_s: float = 20.0
    #: wait after an ambiguous call, seconds
    settle_s: float = 30.0
    #: private networks (CIDR) it may reach
    networks: tuple[str, ...] = ()
    #: scheme, host and prefix in place of every host of the provider
    base_url: str | None = None
    #: references to secrets in its settings
    secrets: tuple[Secret, ...] = ()
    #: fields that are never sent here
    drop: frozenset[str] = frozenset()
    #: names the account knows; None: all
    properties: frozenset[str] | None = None
    #: fields outside `properties` are left out, instead of refused at load
    others_drop: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A destination with the nodes it was read from."""

    destination: Destination
    key: Scalar
    nodes: Mapping[str, Node]


#: what a provider can do that needs no setting
_ABILITIES = {"once": "sets values once by itself", "tags": "adds and removes single tags"}


def read_destinations(
    node: Node | None,
    vocabulary: Vocabulary,
    findings: Findings,
    *,
    reveal: Callable[[Secret], str],
    base_url: Callable[[str], str | None],
) -> dict[str, Entry]:
    """The destinations that can be used."""
    entries: dict[str, Entry] = {}
    for key, value in node.pairs if isinstance(node, MapNode) else ():
        if key.text == "profile":
            findings.add(key, "bad-name", "'profile' is not a name here", "expect.profile means something else")
        elif findings.named(key, NAME) and (settings := findings.map_at(key, value, "a map of settings")):
            entry = _Reader(key, settings, vocabulary, findings).read(reveal, base_url(key.text))
            if entry is not None:
                entries[key.text] = entry
    return entries


class _Reader:
    """Reads one destination."""

    def __init__(self, key: Scalar, settings: MapNode, vocabulary: Vocabulary, findings: Findings) -> None:
        self.key = key
        self.name = key.text
        self.settings = settings
        self.vocabulary = vocabulary
        self.findings = findings
        self.nodes: dict[str, Node] = {}

    def read(self, reveal: Callable[[Secret], str], base_url: str | None) -> Entry | None:
        kind = self._provider()
        if kind is None:
            return None
        schema = schema_of(kind.Account)
        own = {name: Key("any", "") for name in schema.fields}
        before = self.findings.errors
        self.nodes = self.findings.read(self.settings, {**own, **DESTINATION}, f"destination {self.name}")
        options = self._options(kind, base_url)
        settings = self._settings(kind)
        account = load_account(self.key, schema, self.settings, self.findings)
        if account is None or self.findings.errors > before:
            return None
        provider = kind(account, options, reveal)
        secrets = tuple(use.secret for use in secrets_in(self.settings, ""))
        destination = Destination(self.name, provider, secrets=secrets, base_url=options.base_url, **settings)
        return Entry(destination, self.key, self.nodes)

    def _provider(self) -> type[Provider] | None:
        node = self.settings.get("provider")
        if node is None:
            if meant := self.findings.meant(self.settings, "provider", DESTINATION):
                self.findings.unknown_key(meant, DESTINATION, f"destination {self.name}")
            else:
                hint = f"one of {', '.join(PROVIDERS)}"
                self.findings.add(self.key, "missing-key", f"destination {self.name} has no provider:", hint)
            return None
        text = text_of(node)
        if text in PROVIDERS:
            return PROVIDERS[text]
        if text is None:
            self.findings.fits(self.settings.key_node("provider") or self.key, node, DESTINATION["provider"])
        else:
            self.findings.add(node, "unknown-provider", f"no provider '{text}'", nearest(text, PROVIDERS))
        return None

    # --- settings of the router's own ---------------------------------------------------------------------------

    def _options(self, kind: type[Provider], base_url: str | None) -> Options:
        clear = self._text("clear")
        allowed = ("keep", *kind.abilities.clear_tricks)
        if clear is not None and clear not in allowed:
            self.findings.add(self.nodes["clear"], "unknown-value", f"clear is {one_of(allowed)}", near(clear, allowed))
        zone = self._text("timezone")
        if zone is not None:
            check_zone(self.nodes["timezone"], zone, self.findings)
        for name, ability in (("once", kind.abilities.once), ("tags", kind.abilities.tags_edit)):
            if ability and name in self.nodes:
                message = f"{name} has no effect: {kind.label} {_ABILITIES[name]}"
                self.findings.warn(self.nodes[name], "setting", message, "to keep fields back name them under drop:")
        own = self._text("base_url")
        if own is not None and refuse_in_url(self.nodes["base_url"], self.findings, _WITHOUT) is not None:
            own = None
        if own is not None and not _is_base_url(own):
            self._setting("base_url", "is a scheme, a host and perhaps a path, as in https://proxy.example.com/crm")
        elif own is not None and parse(own).scheme == "http" and not parse(own).is_loopback:
            self._setting("base_url", "starts with https:// (http:// only to this machine)")
        return Options(
            rename=self._rename(),
            once=self._text("once"),
            clear=clear,
            tags=self._text("tags"),
            timezone=zone or "UTC",
            base_url=base_url or (own.rstrip("/") if own else None),
        )

    def _settings(self, kind: type[Provider]) -> dict[str, Any]:
        """The settings of the router's own, as `Destination` takes them."""
        timeout = self._seconds("timeout")
        if timeout is not None and not 0 < timeout <= MAX_TIMEOUT_S:
            self._setting("timeout", f"is more than 0s and at most {MAX_TIMEOUT_S:g}s")
        rate = self._text("rate") or kind.default_rate
        settle = self._seconds("settle")
        properties = self.nodes.get("properties")
        known = {*schema_of(kind.Account).fields, *DESTINATION}
        if kind.abilities.closed_names and self.findings.lacks(self.settings, "properties", known):
            self.findings.add(
                self.key,
                "missing-key",
                f"destination {self.name} has no properties:",
                f"list the names that the {kind.label} account knows",
            )
        names = [item.text for item in self.findings.texts(properties, "properties")]
        return {
            "batch": self._whole("batch", 1, kind.abilities.batch) or 1,
            "debounce_s": self._seconds("debounce") or 0.0,
            "rate": rate_of(rate) if rate else None,
            "concurrency": self._whole("concurrency", 1, MAX_CONCURRENCY),
            "timeout_s": timeout or 20.0,
            "settle_s": kind.settle_s if settle is None else settle,
            "networks": tuple(self._networks()),
            "drop": frozenset(self._drop()),
            "properties": None if properties is None else frozenset(names),
            "others_drop": self._text("others") == "drop",
        }

    def _rename(self) -> dict[str, str]:
        names: dict[str, str] = {}
        node = self.nodes.get("rename")
        for key, value in node.pairs if isinstance(node, MapNode) else ():
            text = text_of(value)
            if not self.vocabulary.knows(key.text):
                turned = text is not None and self.vocabulary.knows(text)
                hint = f"write {{{text}: {key.text}}}" if turned else self.vocabulary.nearest(key.text)
                self.findings.add(key, "unknown-trait", f"unknown trait '{key.text}'", hint)
            elif is_empty(value):
                self.findings.add(key, "empty-value", f"{key.text} has no value", "give the provider's name")
            elif text is None:
                message = f"rename gives {key.text} a text as its name, not {kind_of(value)}"
                self.findings.add(value, "wrong-shape", message, as_text(value))
            else:
                names[key.text] = text
        return names

    def _drop(self) -> Iterator[str]:
        for item in self.findings.texts(self.nodes.get("drop"), "drop"):
            if self.vocabulary.knows(item.text):
                yield item.text
            else:
                self.findings.add(
                    item, "unknown-trait", f"unknown trait '{item.text}'", self.vocabulary.nearest(item.text)
                )

    def _networks(self) -> Iterator[str]:
        for item in self.findings.texts(self.nodes.get("networks"), "networks"):
            try:
                yield str(ipaddress.ip_network(item.text.strip()))
            except ValueError:
                self.findings.add(item, "setting", f"{self.name}.networks holds networks such as 10.0.0.0/8")

    def _text(self, name: str) -> str | None:
        return text_of(self.nodes.get(name))

    def _seconds(self, name: str) -> float | None:
        text = self._text(name)
        return None if text is None else seconds_of(text)

    def _whole(self, name: str, least: int, most: int) -> int | None:
        node = self.nodes.get(name)
        if not isinstance(node, Scalar) or not isinstance(node.value, int):
            return None
        if not least <= node.value <= most:
            self._setting(name, f"is at most {most}" if node.value > most else f"is at least {least}")
        return node.value

    def _setting(self, name: str, what: str) -> None:
        self.findings.add(self.nodes[name], "setting", f"{self.name}.{name} {what}")


def check_zone(node: Node, text: str, findings: Findings) -> bool:
    """Whether an IANA zone exists; if not, it is a problem."""
    if zone_of(text) is None:
        findings.add(node, "timezone", "no such time zone", zone_hint(text))
        return False
    return True


def _is_base_url(text: str) -> bool:
    try:
        return "?" not in parse(text).path
    except TransportError:
        return False

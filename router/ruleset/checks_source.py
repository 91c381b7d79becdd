"""Checks of what a source reads of its requests, against its samples: a wrong name reads nothing, and hides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from router.model import EPOCH, Event
from router.ruleset.functions import Tables
from router.ruleset.identities import key_path
from router.ruleset.language import compile_value
from router.ruleset.leaves import NOTHING, Leaf
from router.ruleset.loading import Draft
from router.ruleset.samples import Sample, SampleEvent
from router.ruleset.shape import Findings
from router.ruleset.slips import call_between, slip, slip_between
from router.ruleset.source_file import SourceSection
from router.ruleset.spellings import keys_of
from router.ruleset.tree import ListNode, MapNode, Node, Scalar
from router.ruleset.trial import Trial


def check_sources(draft: Draft) -> None:
    """`text-or-path` in `identity`; `unknown-path` in what a source reads, where a name looks misspelled: there is no
    sample of everything."""
    for each in draft.sources:
        section = each.section
        if section.readable:
            events = [found for found in draft.events.get(section.name, ()) if not found.event.error]
            requests = [_request(sample) for sample in draft.samples.values() if sample.source == section.name]
            for leaves, of in (
                (_of_events(section, each.entries), events),
                (_of_requests(section), [each for request in requests for each in _elements(request)]),
                (_of_whole_requests(section, each.entries), requests),
            ):
                trial = Trial(draft.findings, of, section.name, each.entries, lenient=True, only_near=True)
                for leaf in leaves:
                    trial.leaf(leaf)
            _check_texts(section, events, draft.findings)
            _check_id(section, events, draft.findings)


def _check_texts(section: SourceSection, events: list[SampleEvent], findings: Findings) -> None:
    """`text-or-path` of what stands in `identity`: all but the type must differ from event to event."""
    keys = keys_of([found.value for found in events])
    plain = {key for key, inside in keys.items() if not inside}
    identity = section.nodes.get("identity")
    for key, node in identity.pairs if isinstance(identity, MapNode) else ():
        value = section.identity_values.get(key.text)
        if value is None or not isinstance(node, Scalar) or value.kind == "expression" or value.text[:1] == "\\":
            continue
        if value.kind == "template":
            hint = slip_between(node.text, keys) or call_between(node.text)
        elif node.text in (plain if key.text == "type" else keys):
            hint = f"to read the event write .{node.text}"
        else:
            hint = slip(node.text, keys) or ("" if key.text == "type" else "a path starts with '.'")
        if hint:
            message = f"every event would have this {key.text}" if value.kind == "literal" else "this would be text"
            findings.add(node, "text-or-path", message, hint)


def _check_id(section: SourceSection, events: list[SampleEvent], findings: Findings) -> None:
    """Warn of an id that all samples share, though they are of several types: later events would count as repeats."""
    identity = section.nodes.get("identity")
    node = identity.get("id") if isinstance(identity, MapNode) else None
    if node is None or len({found.event.type for found in events}) < 2:
        return
    if len({found.event.external_id for found in events}) == 1:
        message = (
            f"all {len(events)} samples have one id: an event with the id of another is a repeat, and does nothing"
        )
        findings.warn(node, "no-event-id", message, "write what differs from event to event")


def _of_events(section: SourceSection, tables: Tables) -> Iterator[Leaf]:
    """What is read of each event."""
    identity = section.nodes.get("identity")
    for _, node in identity.pairs if isinstance(identity, MapNode) else ():
        if isinstance(node, Scalar) and isinstance(node.value, str):
            yield _leaf(node, tables)
    for name in ("redact", "show"):
        yield from _paths(section.nodes.get(name))


def _of_requests(section: SourceSection) -> Iterator[Leaf]:
    """What is read of each request, or of each element where it is a list, before its events are taken out."""
    envelope = section.nodes.get("envelope")
    for name in ("parse_json", "parse_base64"):
        yield from _paths(envelope.get(name) if isinstance(envelope, MapNode) else None)


def _of_whole_requests(section: SourceSection, tables: Tables) -> Iterator[Leaf]:
    """Where the events of a request are."""
    envelope = section.nodes.get("envelope")
    node = envelope.get("events") if isinstance(envelope, MapNode) else None
    if isinstance(node, Scalar) and section.envelope.events is not None:
        yield _leaf(node, tables)


def _paths(node: Node | None) -> Iterator[Leaf]:
    """The paths of a list; that others are none is another finding."""
    for item in node.items if isinstance(node, ListNode) else ():
        if isinstance(item, Scalar) and key_path(item.text) is not None:
            yield _leaf(item, {})


def _leaf(node: Scalar, tables: Tables) -> Leaf:
    return Leaf(node, compile_value(node.text, tables=tables, allow=NOTHING))


def _request(sample: Sample) -> SampleEvent:
    """A request in place of an event, also of a sample whose events cannot be found."""
    event = Event(sample.source, "", "", EPOCH, EPOCH, headers=sample.header, query=sample.query)
    return SampleEvent(sample, event, sample.body)


def _elements(request: SampleEvent) -> Iterator[SampleEvent]:
    for one in request.value if isinstance(request.value, list) else [request.value]:
        yield replace(request, value=one)

"""The keys of the rule files: what each map may hold. The loader and the editor's schema read the same tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

#: names of sources, destinations, rules and tables
NAME = r"[a-z0-9][a-z0-9_-]{0,62}"
#: names of traits and of attributes of a company
TRAIT_NAME = r"[a-z][a-z0-9_]{0,63}"
#: what `traits:` declares: those, with the company's
FIELD_NAME = rf"(?:company\.)?{TRAIT_NAME}"
#: a length of time, as in `500ms` or `30d`
DURATION = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)"
#: calls or events per time, as in `20/s`
RATE = r"([0-9]{1,9})/(s|m|h)"
#: a reference to a secret
REFERENCE = r"\$(?:env\.[A-Za-z_][A-Za-z0-9_]*|file\.[^\s]+)"

#: the traits everybody has → their type
STANDARD_TRAITS: Mapping[str, str] = {
    "email": "email",
    "phone": "phone",
    "name": "text",
    "first_name": "text",
    "last_name": "text",
    "gender": "text",
    "city": "text",
    "language": "text",
    "timezone": "text",
    "currency": "text",
    "job_title": "text",
    "avatar": "url",
    "birthday": "date",
    "country": "country",
    "created_at": "time",
    "last_seen_at": "time",
}
#: words that cannot be a trait
RESERVED_TRAITS = frozenset({"tags", "user", "consent"})
#: channels of consent
CONSENTS = ("email", "sms", "push")
#: outcomes that a test may expect instead of a map
OUTCOMES = ("skipped", "failed", "unmatched", "erased")


class Key(NamedTuple):
    """What stands behind one key of a map."""

    #: one of `KINDS`
    kind: str
    #: one line for the editor
    about: str
    required: bool = False
    #: the words after `is`, where the kind's own are too few
    noun: str = ""
    #: the only texts allowed
    choices: tuple[str, ...] = ()


#: kind → what it is called in `x is …, not …`
KINDS: Mapping[str, str] = {
    "text": "text",
    "bool": "true or false",
    "whole": "a whole number",
    "map": "a map",
    "list": "a list",
    "texts": "a text or a list of texts",
    "duration": "a length of time, as in 5s",
    "rate": "a number per time, as in 20/s",
    "references": "a reference such as $env.NAME, or a list of them",
    "scalar": "a value",
    "any": "a value",
}

_ABOUT = Key("text", "Free text, ignored.")

FILE: Mapping[str, Key] = {
    "about": _ABOUT,
    "source": Key("map", "The sender of the webhooks.", True, "a map of settings"),
    "to": Key("texts", "Destinations of every rule.", noun="a destination or a list of them"),
    "tables": Key("map", "Tables for map(): name → entries.", noun="a map of tables"),
    "rules": Key("map", "The rules, by name.", noun="a map of rules"),
}

SOURCE: Mapping[str, Key] = {
    "about": _ABOUT,
    "name": Key("text", "Its URL is /webhooks/<name>.", True),
    "preset": Key("text", "A known sender whose settings are taken over."),
    "verify": Key("map", "How requests are verified, laid over the preset's.", noun="a map of parameters"),
    "secret": Key("references", "Reference(s) to the signing secret; any may match."),
    "secrets": Key("references", "References to the signing secrets; any may match."),
    "handshake": Key("any", "How the sender probes the URL, or none."),
    "envelope": Key("any", "How bytes become events."),
    "identity": Key("map", "Type, id, time and version of an event.", noun="a map of type, id, time and version"),
    "ack": Key("map", "What the sender is told.", noun="a map of status, body, type and headers"),
    "keep": Key("list", "Headers and parameters that rules may read.", noun="a list such as [$header.x-tenant]"),
    "region": Key("text", "Country for phone numbers without a code, two capital letters."),
    "timezone": Key("text", "Zone of times that carry none, as in Asia/Seoul."),
    "url": Key("text", "The public URL, for schemes that sign it."),
    "network": Key("map", "Addresses and client certificates that are let in."),
    "max_bytes": Key("whole", "Largest request body, in bytes."),
    "rate": Key("rate", "Verified events per time; beyond that 503."),
    "max_age": Key("duration", "Older events are refused as stale."),
    "retention": Key("duration", "How long bodies are kept."),
    "redact": Key("list", "Paths replaced before storage.", noun="a list of paths"),
    "show": Key("list", "Paths that masking leaves readable.", noun="a list of paths"),
    "removed": Key("bool", "The sender is gone for good: what still comes is answered 410."),
    "allow_unauthenticated": Key("bool", "Accept events without verification."),
    "allow_erase": Key("bool", "Let rules of this source erase people."),
}

ENVELOPE: Mapping[str, Key] = {
    "format": Key(
        "text", "How the bytes are read.", choices=("json", "lines", "form", "multipart", "jwt", "cloudevents")
    ),
    "events": Key("text", "Path to the events, as in .data.events[]."),
    "parse_json": Key("list", "Paths whose text is JSON.", noun="a list of paths"),
    "parse_base64": Key("list", "Paths whose text is base64.", noun="a list of paths"),
}

IDENTITY: Mapping[str, Key] = {
    "type": Key("scalar", "The type of the event."),
    "id": Key("scalar", "The sender's id of the event."),
    "time": Key("scalar", "When it happened."),
    "version": Key("scalar", "The object's own counter, or a time."),
}

ACK: Mapping[str, Key] = {
    "status": Key("whole", "Status of the answer."),
    "body": Key("any", "Body of the answer; a map or list is JSON."),
    "type": Key("text", "Content type of the answer."),
    "headers": Key("map", "Further headers of the answer."),
}

NETWORK: Mapping[str, Key] = {
    "ip_allow": Key("list", "Networks (CIDR) that may send.", noun="a list of networks"),
    "mtls_header": Key(
        "map", "Header in which a proxy puts the verified client certificate.", noun="a map of name and value"
    ),
}

DESTINATIONS_FILE: Mapping[str, Key] = {
    "about": _ABOUT,
    "traits": Key("map", "Your own traits: name → type.", noun="a map of traits"),
    "tables": Key("map", "Tables for map(), for every rule file.", noun="a map of tables"),
    "destinations": Key("map", "Accounts that profiles are sent to.", noun="a map of destinations"),
}

TRAIT: Mapping[str, Key] = {
    "type": Key("text", "The type of its values."),
    "public": Key("bool", "Shown unmasked."),
}

#: settings of every destination; the provider's account adds its own
DESTINATION: Mapping[str, Key] = {
    "about": _ABOUT,
    "provider": Key("text", "The vendor.", True),
    "rename": Key("map", "Field → the provider's name.", noun="a map of fields"),
    "drop": Key("list", "Fields that are never sent here.", noun="a list of fields"),
    "properties": Key("list", "Names (after rename) the account knows.", noun="a list of names"),
    "others": Key("text", "Fields outside properties.", choices=("error", "drop")),
    "once": Key("text", "What to do with once: where the provider lacks it.", choices=("set", "drop")),
    "clear": Key("text", "What to do with unset: where the provider lacks it: keep, or a trick of the provider."),
    "tags": Key(
        "text", "What to do with single tags where the provider cannot add and remove.", choices=("replace", "drop")
    ),
    "batch": Key("whole", "Lanes per call, up to the provider's maximum."),
    "debounce": Key("duration", "How long a lane waits so that changes merge."),
    "rate": Key("rate", "Calls per time, over all machines."),
    "concurrency": Key("whole", "Calls at a time in one process."),
    "timeout": Key("duration", "Total deadline of a call."),
    "settle": Key("duration", "Wait after an ambiguous call."),
    "timezone": Key("text", "Zone for a provider whose times carry none."),
    "base_url": Key("text", "Scheme, host and prefix in place of every host of the provider."),
    "networks": Key("list", "Private networks (CIDR) it may reach.", noun="a list of networks"),
}

RULE: Mapping[str, Key] = {
    "about": _ABOUT,
    "when": Key("texts", "Event types; * stands for any run of characters. Default *.", noun="an event type or a list"),
    "if": Key("scalar", "An expression; only a clear yes lets the rule go on."),
    "user": Key("scalar", "Whose profile: the id the providers share.", True),
    "to": Key("texts", "Destinations of this rule, instead of the file's.", noun="a destination or a list of them"),
    "set": Key("map", "Traits to overwrite.", noun="a map of traits"),
    "company": Key("map", "Attributes of the person's company.", noun="a map of attributes"),
    "once": Key("map", "Traits to write only if they were never written.", noun="a map of traits"),
    "unset": Key("list", "Traits to clear.", noun="a list of traits"),
    "tags": Key("any", "Tags: a value or list replaces all; {add, remove} edits."),
    "consent": Key("map", "May we send? By channel.", noun="a map of email, sms and push"),
    "send": Key("map", "Bodies in a provider's own words, by destination.", noun="a map of destinations"),
    "erase": Key("bool", "The event asks to erase this profile, everywhere."),
    "tests": Key("list", "Inline tests.", noun="a list of tests"),
}
#: keys that may stand beside `erase`
ERASE_KEYS = frozenset({"about", "when", "if", "user", "tests", "erase"})

CONSENT_KEYS: Mapping[str, Key] = {
    channel: Key("scalar", f"May we send by {channel}? Yes means may.") for channel in CONSENTS
}

TAGS: Mapping[str, Key] = {
    "add": Key("any", "Tags to add."),
    "remove": Key("any", "Tags to remove, before any are added."),
}

TEST: Mapping[str, Key] = {
    "about": _ABOUT,
    "given": Key("text", "A file in samples/.", True),
    "event": Key("whole", "Which of many events, from 0."),
    "with": Key("map", "Path → value to put into the request.", noun="a map of paths"),
    "without": Key("list", "Paths to take out of the request.", noun="a list of paths"),
    "expect": Key("any", "The outcome, or what each destination and the profile get.", True),
    "because": Key("text", "A part of the reason."),
}

PROFILE: Mapping[str, Key] = {
    "user": Key("scalar", "The id."),
    "set": Key("map", "Traits set."),
    "once": Key("map", "Traits set once."),
    "unset": Key("list", "Traits cleared."),
    "tags": Key("any", "A list, or {add, remove}."),
    "consent": Key("map", "Consents."),
    "company": Key("map", "Attributes of the company."),
    "send": Key("map", "Leaves by destination."),
}

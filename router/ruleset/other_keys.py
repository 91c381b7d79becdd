"""What the keys of the rule files and the traits are called in other tools."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from router.nearest import nearest

#: key that a map must have → what it is called elsewhere, where it does not look like that
_CALLED: Final[Mapping[str, frozenset[str]]] = {
    "source": frozenset({"sender", "webhook", "webhooks"}),
    "rules": frozenset({"events", "mappings"}),
    "user": frozenset({"id", "uid", "profile", "person", "who", "customer"}),
    "given": frozenset({"sample", "input", "file", "payload"}),
    "expect": frozenset({"result", "output", "then", "outcome"}),
    "provider": frozenset({"type", "vendor", "kind"}),
    "key": frozenset({"api_key", "apikey", "access_key", "data_key"}),
    "secret": frozenset({"api_secret", "access_secret"}),
    "workspace": frozenset({"app_id", "workspace_id"}),
    "application_id": frozenset({"app_id", "collector_id"}),
}
#: keys of a map that has one of this name
_MAPS: Final[Mapping[str, Mapping[str, str]]] = {
    "when": {
        **dict.fromkeys(
            ["event", "events", "event_type", "on", "match", "type", "types", "trigger"], "it is called when here"
        ),
        **dict.fromkeys(["where", "filter", "condition", "only_if"], "it is called if here"),
        "unless": "write if: not …",
        **dict.fromkeys(["fields", "traits", "attributes", "map", "mapping", "properties"], "it is called set here"),
        "set_once": "it is called once here",
        **dict.fromkeys(["delete", "clear", "remove"], "it is called unset here"),
        **dict.fromkeys(["destination", "destinations", "target", "targets", "send_to"], "it is called to here"),
        **dict.fromkeys(["enabled", "disabled", "active"], "to switch a rule off write if: false"),
        **dict.fromkeys(
            ["priority", "order", "weight"], "of two rules that set one field the later one in the file wins"
        ),
        **dict.fromkeys(["then", "do", "actions"], "set:, unset: and the like stand in the rule itself"),
        **dict.fromkeys(["sample", "samples"], "a sample stands in a test: tests: [{given: …, expect: …}]"),
    },
    "envelope": {
        "mtls_header": "it stands under network:",
        **dict.fromkeys(
            ["ip", "ip_allow", "ips", "ip_allowlist", "allowed_ips", "allowlist"], "write network: {ip_allow: […]}"
        ),
        **dict.fromkeys(["signature", "scheme", "auth", "hmac", "authentication"], "it is called verify here"),
        **dict.fromkeys(["secret_key", "signing_secret", "signing_key", "key", "token"], "it is called secret here"),
        **dict.fromkeys(["id", "type", "time", "version"], "it stands under identity:"),
        **dict.fromkeys(["format", "events", "parse_json", "parse_base64"], "it stands under envelope:"),
        **dict.fromkeys(["header", "headers", "query"], "those that rules may read stand under keep:"),
        **dict.fromkeys(["path", "route", "endpoint"], "its URL is /webhooks/<name>"),
        **dict.fromkeys(["max_size", "size_limit"], "it is called max_bytes here"),
        **dict.fromkeys(["response", "reply"], "it is called ack here"),
        **dict.fromkeys(["mask", "hide"], "it is called redact here"),
        "rate_limit": "it is called rate here",
        "country": "it is called region here",
        "tz": "it is called timezone here",
    },
    "debounce": {
        **dict.fromkeys(["map", "mapping", "fields"], "it is called rename here"),
        **dict.fromkeys(["exclude", "ignore", "omit"], "it is called drop here"),
        "rate_limit": "it is called rate here",
        "tz": "it is called timezone here",
    },
    "given": {
        "reason": "it is called because here",
    },
    "bearer": {
        **dict.fromkeys(["token", "type"], "write bearer: $env.NAME"),
        **dict.fromkeys(["user", "username", "password"], "write basic: {user: …, password: $env.NAME}"),
    },
    "about": dict.fromkeys(["comment", "description", "name", "note", "title"], "it is called about here"),
}
#: keys of such a map that are all told where no other is near
_FEW: Final = 16
#: in small letters and without `_` and `-` → the trait
_TRAITS: Final[Mapping[str, str]] = {
    other: trait
    for trait, others in {
        "email": "mail emailaddress",
        "phone": "mobile mobilenumber mobilephone phonenumber cell cellphone tel telephone msisdn",
        "name": "fullname displayname",
        "first_name": "firstname givenname fname forename",
        "last_name": "lastname familyname surname lname",
        "gender": "sex",
        "city": "town",
        "language": "lang locale",
        "timezone": "tz",
        "avatar": "photo picture image avatarurl photourl",
        "birthday": "dob dateofbirth birthdate",
        "country": "countrycode",
        "created_at": "signedupat registeredat createdate datecreated",
        "last_seen_at": "lastseen lastlogin lastactive",
    }.items()
    for other in others.split()
}


def called(word: str) -> Iterator[str]:
    """The keys that a map must have and that are called so elsewhere."""
    return (name for name, others in _CALLED.items() if word.lower() in others)


def synonym(word: str, table: Collection[str]) -> str:
    """What to write in place of a key of a map with such keys that other tools have; empty if none has it."""
    for mark, words in _MAPS.items():
        if mark in table and word.lower() in words:
            return words[word.lower()]
    return ""


def key_hint(word: str, table: Collection[str]) -> str:
    """What to write in place of a key that is not in the table of its map."""
    if hint := synonym(word, table):
        return hint
    if word.lower() in table:
        return f"did you mean {word.lower()!r}?"
    hint = nearest(word, table)
    return hint or (f"one of {', '.join(table)}" if len(table) <= _FEW else "")


def trait_hint(word: str) -> str:
    """The standard trait that is called so elsewhere; empty if there is none."""
    trait = _TRAITS.get(word.lower().replace("_", "").replace("-", ""))
    return f"did you mean {trait!r}?" if trait else ""

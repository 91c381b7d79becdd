"""What the keys of the rule files and the traits are called in other tools."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from router.nearest import nearest

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
        **dict.fromkeys(["id", "user_id", "userid", "profile"], "it is called user here"),
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
        **dict.fromkeys(["type", "vendor", "kind"], "it is called provider here"),
        **dict.fromkeys(["map", "mapping", "fields"], "it is called rename here"),
        **dict.fromkeys(["exclude", "ignore", "omit"], "it is called drop here"),
        "rate_limit": "it is called rate here",
        "tz": "it is called timezone here",
    },
    "given": {
        **dict.fromkeys(["input", "sample", "payload", "file"], "it is called given here"),
        **dict.fromkeys(["output", "expected", "result"], "it is called expect here"),
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


def key_hint(word: str, table: Collection[str]) -> str:
    """What to write in place of a key that is not in the table of its map."""
    for mark, words in _MAPS.items():
        if mark in table and word.lower() in words:
            return words[word.lower()]
    if word.lower() in table:
        return f"did you mean {word.lower()!r}?"
    hint = nearest(word, table)
    return hint or (f"one of {', '.join(table)}" if len(table) <= _FEW else "")


def trait_hint(word: str) -> str:
    """The standard trait that is called so elsewhere; empty if there is none."""
    trait = _TRAITS.get(word.lower().replace("_", "").replace("-", ""))
    return f"did you mean {trait!r}?" if trait else ""

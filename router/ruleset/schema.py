"""JSON Schema (draft 7) of the rule files for editors, made from the tables that the loader reads with.

Draft 7 is what the YAML language server takes: https://github.com/redhat-developer/yaml-language-server
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from marshmallow import fields, validate

from router.providers import PROVIDERS
from router.providers.base import Provider
from router.providers.bodies import Members
from router.ruleset.functions import NAMES
from router.ruleset.keys import (
    ACK,
    CONSENT_KEYS,
    DESTINATION,
    DESTINATIONS_FILE,
    DURATION,
    ENVELOPE,
    FILE,
    IDENTITY,
    NAME,
    NETWORK,
    OUTCOMES,
    PROFILE,
    RATE,
    REFERENCE,
    RULE,
    SOURCE,
    TAGS,
    TEST,
    TRAIT,
    TRAIT_NAME,
    Key,
)
from router.ruleset.project import Project
from router.ruleset.types import TYPES
from router.ruleset.vocabulary import COMPANY, CONSENT, Trait
from router.sources.handshakes import HANDSHAKES
from router.sources.presets import PRESETS
from router.sources.schemes import SCHEMES
from router.sources.schemes.base import HEADER, HEADER_IS, HOST, MAX_SECONDS, Param

Schema = dict[str, Any]

_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_TEXTS: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_REFERENCE: Schema = {"type": "string", "pattern": f"^{REFERENCE}$"}
_CREDENTIALS: Schema = {
    "type": "object",
    "properties": {"user": {"type": "string"}, "password": _REFERENCE},
    "required": ["user", "password"],
    "additionalProperties": False,
}
_KINDS: Mapping[str, Schema] = {
    "text": {"type": "string"},
    "bool": {"type": "boolean"},
    "whole": {"type": "integer"},
    "map": {"type": "object"},
    "list": {"type": "array"},
    "texts": _TEXTS,
    "duration": {"type": "string", "pattern": f"^{DURATION}$"},
    "rate": {"type": "string", "pattern": f"^{RATE}$"},
    "references": {
        "anyOf": [
            _REFERENCE,
            _CREDENTIALS,
            {"type": "array", "items": {"anyOf": [_REFERENCE, _CREDENTIALS]}},
        ]
    },
    "scalar": _SCALAR,
    "any": {},
}
#: the kinds of a scheme's parameters
_PARAMS: Mapping[str, Schema] = {
    "text": {"type": "string", "minLength": 1},
    "header": {"type": "string", "pattern": f"^{HEADER}$", "description": HEADER_IS},
    "hosts": {"type": "array", "items": {"type": "string", "pattern": f"^{HOST}$"}, "minItems": 1},
    "blank": {"type": "string"},
    "flag": {"type": "boolean"},
    "seconds": {"type": "integer", "minimum": 1, "maximum": MAX_SECONDS},
    "texts": _TEXTS,
    "list": {"type": "array", "minItems": 1},
    "map": {"type": "object"},
    "any": {},
}
_COMPOSITIONS = ("all_of", "any_of")
_VALUE = (
    "A value: text that starts with . or $ reads the event, {.…} is a hole, all else is what it says. "
    f"Functions: {', '.join(sorted(NAMES))}."
)


def json_schema(project: Project | None = None) -> Schema:
    """The schema of both kinds of file. With a project it knows its traits, destinations and tables too."""
    names = _Names(project)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Rules of the profile router",
        "type": "object",
        "if": {"required": ["source"]},
        "then": _source_file(names),
        "else": _destinations_file(names),
        "definitions": {"verify": _verify(), **{_verified_by(name): _scheme(name) for name in SCHEMES}},
    }


class _Names:
    """The names that a project declares; patterns where there is no project."""

    def __init__(self, project: Project | None) -> None:
        self.traits = None if project is None else dict(project.vocabulary.traits)
        self.destinations = None if project is None else dict(project.destinations)
        tables = sorted(project.vocabulary.tables) if project else []
        self.value: Schema = {**_SCALAR, "description": _VALUE + (f" Tables: {', '.join(tables)}." if tables else "")}
        self.several: Schema = {"anyOf": [self.value, {"type": "array", "items": self.value}]}

    def by_trait(self) -> Schema:
        """A map of traits: those that are lists take several values."""
        if self.traits is None:
            return _map_of(self.several, TRAIT_NAME)
        values = {name: self._of(trait) for name, trait in self.traits.items() if not name.startswith(COMPANY)}
        return {"type": "object", "properties": values, "additionalProperties": False}

    def of_company(self) -> Schema:
        """A map of attributes of the company: text unless they are declared."""
        if self.traits is None:
            return _map_of(self.several, TRAIT_NAME)
        declared = {name[len(COMPANY) :]: self._of(trait) for name, trait in self.traits.items() if COMPANY in name}
        names = {"pattern": f"^{TRAIT_NAME}$"}
        return {"type": "object", "properties": declared, "propertyNames": names, "additionalProperties": self.value}

    def _of(self, trait: Trait) -> Schema:
        return self.several if trait.type == "list" else self.value

    def traits_of(self, *more: str) -> Schema:
        """The name of a trait or of an attribute of the company, or one `more`."""
        if self.traits is None:
            return {"type": "string"}
        return {"anyOf": [{"enum": [*self.traits, *more]}, {"type": "string", "pattern": rf"^company\.{TRAIT_NAME}$"}]}

    def fields(self) -> Schema:
        """The name of any field that rules can write."""
        return self.traits_of("tags", *(CONSENT + channel for channel in CONSENT_KEYS))

    def goals(self) -> Schema:
        """One destination or several."""
        one: Schema = {"type": "string"}
        if self.destinations is not None:
            one["enum"] = list(self.destinations)
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


# --- files -------------------------------------------------------------------------------------------------------


def _source_file(names: _Names) -> Schema:
    rule = _rule(names)
    return _table(
        FILE,
        {
            "source": _source(names),
            "to": names.goals(),
            "tables": _map_of({"type": "object"}, NAME),
            "rules": _map_of(rule, NAME),
        },
    )


def _source(names: _Names) -> Schema:
    formats = ENVELOPE["format"].choices
    table = _table(
        SOURCE,
        {
            "name": {"type": "string", "pattern": f"^{NAME}$"},
            "preset": {"enum": sorted(PRESETS)},
            "envelope": {"anyOf": [{"enum": list(formats)}, _table(ENVELOPE)]},
            "identity": _table(IDENTITY, dict.fromkeys(IDENTITY, names.value)),
            "handshake": _handshake(),
            "ack": _table(ACK),
            "network": _table(NETWORK, {"mtls_header": _param(SCHEMES["network"].params["mtls_header"])}),
            "keep": {"type": "array", "items": {"type": "string", "pattern": r"^\$(header|query)\."}},
            "region": {"type": "string", "pattern": "^[A-Z]{2}$"},
        },
    )
    return {**table, "allOf": _verifications()}


# --- verification ------------------------------------------------------------------------------------------------


def _verifications() -> list[Schema]:
    """What `verify` may be: beside a preset its parameters are laid over the preset's, if the scheme is the same."""
    by_scheme: dict[str, list[str]] = {}
    for name, preset in PRESETS.items():
        by_scheme.setdefault(preset["verify"].get("scheme", ""), []).append(name)
    own = by_scheme.pop("", [])
    laid_over = [preset for presets in by_scheme.values() for preset in presets]
    whole: Schema = {"if": {"not": _has_preset(laid_over)}, "then": {"properties": {"verify": _ref("verify")}}}
    gone: Schema = {"properties": {"removed": {"const": True}}, "required": ["removed"]}
    given: Schema = {"anyOf": [_has_preset([*laid_over, *own]), gone]}
    alone: Schema = {"if": {"not": given}, "then": {"required": ["verify"]}}
    return [alone, whole, *({"if": _has_preset(of), "then": _laid_over(name)} for name, of in by_scheme.items())]


def _has_preset(presets: list[str]) -> Schema:
    """A source that names one of them, or is called like one and names none."""
    named: Schema = {"properties": {"preset": {"enum": presets}}, "required": ["preset"]}
    called: Schema = {"properties": {"name": {"enum": presets}}, "not": {"required": ["preset"]}}
    return {"anyOf": [named, called]}


def _laid_over(scheme: str) -> Schema:
    same: Schema = {"properties": {"scheme": {"const": scheme}}, "not": _any_required(_COMPOSITIONS)}
    return {"properties": {"verify": {"if": same, "then": _ref(_verified_by(scheme)), "else": _ref("verify")}}}


def _verify() -> Schema:
    """A scheme with its parameters, or a composition of such."""
    parts: Schema = {"type": "array", "items": _ref("verify"), "minItems": 1}
    secrets = dict.fromkeys(("secret", "secrets"), _KINDS["references"])
    choices: list[Schema] = [
        {
            "if": {"properties": {"scheme": {"const": name}}, "required": ["scheme"]},
            "then": {"allOf": [_ref(_verified_by(name))], "required": _required(scheme.params)},
        }
        for name, scheme in SCHEMES.items()
    ]
    choices += [
        {"if": {"required": [name]}, "then": {"properties": {name: parts, **secrets}, "additionalProperties": False}}
        for name in _COMPOSITIONS
    ]
    return {
        "type": "object",
        "properties": {"scheme": {"enum": list(SCHEMES)}, **dict.fromkeys(_COMPOSITIONS, parts)},
        **_any_required(("scheme", *_COMPOSITIONS)),
        "allOf": choices,
    }


def _scheme(name: str) -> Schema:
    """All keys of one scheme; none is required, as a preset may have it."""
    secrets = dict.fromkeys(("secret", "secrets"), _KINDS["references"])
    properties = {"scheme": {"const": name}, **_params(SCHEMES[name].params), **secrets}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _params(params: Mapping[str, Param]) -> dict[str, Schema]:
    return {name: _param(param) for name, param in params.items()}


def _param(param: Param) -> Schema:
    if param.keys is not None:
        properties, required = _params(param.keys), _required(param.keys)
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if not param.choices:
        return _PARAMS[param.kind]
    one: Schema = {"enum": list(param.choices)}
    return {**_PARAMS["list"], "items": one} if param.kind == "list" else one


def _required(params: Mapping[str, Param]) -> list[str]:
    return [name for name, param in params.items() if param.required]


def _any_required(names: Iterable[str]) -> Schema:
    return {"anyOf": [{"required": [name]} for name in names]}


def _verified_by(scheme: str) -> str:
    return f"verify-{scheme}"


def _ref(definition: str) -> Schema:
    return {"$ref": f"#/definitions/{definition}"}


# --- handshakes and rules ----------------------------------------------------------------------------------------


def _handshake() -> Schema:
    bare = [name for name, handshake in HANDSHAKES.items() if not _required(handshake.params or {})]
    named: Schema = {
        "type": "object",
        "properties": {"name": {"enum": list(HANDSHAKES)}},
        "required": ["name"],
        "allOf": [_named(name, handshake.params or {}) for name, handshake in HANDSHAKES.items()],
    }
    one: Schema = {"anyOf": [{"enum": [*bare, "none"]}, named]}
    return {"anyOf": [*one["anyOf"], {"type": "array", "items": one}]}


def _named(name: str, params: Mapping[str, Param]) -> Schema:
    properties = {"name": {"const": name}, **_params(params)}
    then: Schema = {"properties": properties, "required": _required(params), "additionalProperties": False}
    return {"if": {"properties": {"name": {"const": name}}, "required": ["name"]}, "then": then}


def _rule(names: _Names) -> Schema:
    several = names.several
    channels = dict.fromkeys(CONSENT_KEYS, names.value)
    edit = {**_table(TAGS, dict.fromkeys(TAGS, several)), "minProperties": 1}
    return _table(
        RULE,
        {
            "if": names.value,
            "user": names.value,
            "to": names.goals(),
            "set": names.by_trait(),
            "once": names.by_trait(),
            "unset": {"type": "array", "items": names.traits_of()},
            "company": names.of_company(),
            "tags": {"anyOf": [*several["anyOf"], edit]},
            "consent": _table(CONSENT_KEYS, channels),
            "send": _send(names),
            "erase": {"const": True},
            "tests": {"type": "array", "items": _test(names)},
        },
    )


def _send(names: _Names) -> Schema:
    if names.destinations is None:
        return _map_of({"type": "object"}, NAME)
    bodies = {name: _body(each.provider) for name, each in names.destinations.items()}
    return {"type": "object", "properties": bodies, "additionalProperties": False}


def _test(names: _Names) -> Schema:
    expected: Schema = {"type": "object", "properties": {"profile": _table(PROFILE)}}
    if names.destinations is not None:
        call: Schema = {"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]}
        expected["properties"].update(dict.fromkeys(names.destinations, call))
        expected["additionalProperties"] = False
    return _table(TEST, {"expect": {"anyOf": [{"enum": list(OUTCOMES)}, expected]}})


def _destinations_file(names: _Names) -> Schema:
    kind: Schema = {"enum": list(TYPES)}
    trait: Schema = {"anyOf": [kind, _table(TRAIT, {"type": kind})]}
    return _table(
        DESTINATIONS_FILE,
        {
            "traits": _map_of(trait, rf"(?:company\.)?{TRAIT_NAME}"),
            "tables": _map_of({"type": "object"}, NAME),
            "destinations": _map_of(_destination(names), NAME),
        },
    )


# --- providers ---------------------------------------------------------------------------------------------------


def _destination(names: _Names) -> Schema:
    """By `provider`: the settings of every destination, and those of the account."""
    choices = [
        {"if": {"properties": {"provider": {"const": name}}, "required": ["provider"]}, "then": _account(name, names)}
        for name in PROVIDERS
    ]
    return {
        "type": "object",
        "properties": {"provider": {"enum": list(PROVIDERS)}},
        "required": ["provider"],
        "allOf": choices,
    }


def _account(name: str, names: _Names) -> Schema:
    kind = PROVIDERS[name]
    settings = kind.Account().fields
    field = names.fields()
    shapes: dict[str, Schema] = {
        "provider": {"const": name},
        "clear": {"enum": ["keep", *kind.abilities.clear_tricks]},
        "drop": {"type": "array", "items": field},
        "rename": {"type": "object", "propertyNames": field, "additionalProperties": {"type": "string"}},
    }
    schema = _table(DESTINATION, shapes, {setting: _setting(row) for setting, row in settings.items()})
    required = [setting for setting, row in settings.items() if row.required]
    closed = ["properties"] if kind.abilities.closed_names else []
    return {**schema, "required": [*schema["required"], *required, *closed]}


def _setting(field: Any) -> Schema:
    if field.metadata.get("secret"):
        return _REFERENCE
    for validator in field.validators:
        if isinstance(validator, validate.OneOf):
            return {"enum": list(validator.choices)}
    if isinstance(field, fields.Nested):
        properties = {name: _setting(part) for name, part in field.schema.fields.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}
    return {}


def _body(provider: Provider) -> Schema:
    """The names that a body may have; values are of the rule language, so of any type."""
    known = provider.Body().fields
    return _members(known) if known else {"type": "object"}


def _members(pieces: Mapping[str, Any]) -> Schema:
    properties = {name: _members(piece.members) if isinstance(piece, Members) else {} for name, piece in pieces.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


# --- from tables -------------------------------------------------------------------------------------------------


def _table(
    table: Mapping[str, Key], shapes: Mapping[str, Schema] | None = None, more: Mapping[str, Schema] | None = None
) -> Schema:
    """A map with the keys of a table; `shapes` are closer than the table's kinds, `more` are further keys."""
    given = shapes or {}
    properties = {name: {**(given.get(name) or _shape(row)), "description": row.about} for name, row in table.items()}
    required = [name for name, row in table.items() if row.required]
    schema: Schema = {"type": "object", "properties": {**(more or {}), **properties}, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _shape(row: Key) -> Schema:
    return {"enum": list(row.choices)} if row.choices else _KINDS[row.kind]


def _map_of(value: Schema, names: str) -> Schema:
    return {"type": "object", "patternProperties": {f"^{names}$": value}, "additionalProperties": False}

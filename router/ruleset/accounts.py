"""Settings with secrets: nodes to what a provider's `Account` schema or a source's verification takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from marshmallow import Schema, ValidationError, fields, validate

from router.errors import SecretError
from router.providers.accounts import HeadersSetting, UrlSetting
from router.ruleset.keys import DESTINATION, REFERENCE
from router.ruleset.language import Context, LanguageError, compile_value
from router.ruleset.other_keys import key_hint
from router.ruleset.secret_keys import credentials_in, is_secret_name, shown_key
from router.ruleset.shape import Findings, as_text, is_empty, kind_of, text_of
from router.ruleset.tree import ListNode, MapNode, Node, Scalar, plain
from router.settings import Secret

_REFERENCE = re.compile(REFERENCE)
#: stands for a secret that was refused
_ANY = Secret("$env.NAME")
_IN_HEADERS = "write it under auth: or headers:, as $env.NAME"
#: what marshmallow says of a key that is in no schema
UNKNOWN = "Unknown field."


class SecretUse(NamedTuple):
    """A reference to a secret, and where it stands."""

    secret: Secret
    #: the scalar that holds it
    node: Scalar
    #: `source stripe`, `destination moengage`
    owner: str
    #: fewest bytes of its value
    min_bytes: int = 1

    def fault(self) -> str:
        """Why the secret cannot be used now, or nothing: it is looked up, never shown."""
        try:
            size = len(self.secret.reveal().encode())
        except SecretError as error:
            return str(error)
        return f"{self.secret} is shorter than {self.min_bytes} bytes" if size < self.min_bytes else ""


def secret_of(node: Node | None) -> Secret | None:
    """The reference that a scalar is, if it is one."""
    text = text_of(node)
    return Secret(text.strip()) if text is not None and _REFERENCE.fullmatch(text.strip()) else None


def with_secrets(node: Node) -> Any:
    """The plain value of a node, with references as `Secret`."""
    if isinstance(node, MapNode):
        return {key.text: with_secrets(value) for key, value in node.pairs}
    if isinstance(node, ListNode):
        return [with_secrets(item) for item in node.items]
    return secret_of(node) or plain(node)


def secrets_in(node: Node | None, owner: str, min_bytes: int = 1) -> Iterator[SecretUse]:
    """Every reference at or below a node."""
    if isinstance(node, MapNode):
        for key, value in node.pairs:
            yield from secrets_in(value, owner, 1 if key.text == "user" else min_bytes)  # a name may be short
    elif isinstance(node, ListNode):
        for item in node.items:
            yield from secrets_in(item, owner, min_bytes)
    elif isinstance(node, Scalar) and (secret := secret_of(node)):
        yield SecretUse(secret, node, owner, min_bytes)


def refuse_literal(name: str, node: Node, findings: Findings) -> bool:
    """Whether a secret stands in the file as it is, which is a problem. Maps of secrets are looked into."""
    parts: list[tuple[str, Node]] = []
    if isinstance(node, MapNode):
        parts = [(key.text, value) for key, value in node.pairs]
    elif isinstance(node, ListNode):
        parts = [(name, item) for item in node.items]
    if parts:
        refused = [refuse_literal(part, value, findings) for part, value in parts]
        return any(refused)
    if secret_of(node) is not None:
        return False
    if is_empty(node):
        findings.add(node, "empty-value", f"{name} has no value")
        return True
    findings.add(
        node, "secret-literal", f"{name} is a secret and never stands in a file", "write $env.NAME or $file.PATH"
    )
    return True


def refuse_in_url(node: Node, findings: Findings, hint: str) -> str | None:
    """The URL without the credentials that stand in it, each of which is a problem; None if there are none."""
    url = text_of(node) or ""
    found = credentials_in(url)
    for start, end, noun in found:
        message = f"{noun} never stands in a file"
        findings.add(node, "secret-literal", message, hint, offset=start, length=end - start)
    for start, end, _ in reversed(found):
        url = url[:start] + url[end:].removeprefix("@")
    return url if found else None


def load_account(key: Scalar, schema: Schema, settings: MapNode, findings: Findings) -> Mapping[str, Any] | None:
    """The account settings as the schema gives them, secrets as `Secret`; None if there were problems."""
    before = findings.errors
    given = {name: value for name in schema.fields if (value := settings.get(name)) is not None}
    empty = [part for part, value in settings.pairs if part.text in given and is_empty(value)]
    for part in empty:
        findings.add(part, "empty-value", f"{part.text} has no value")
        del given[part.text]
    values = _values(schema, given, findings)
    if "success_if" in given:
        predicate = predicate_of(given["success_if"], findings)
        values["success_if"] = predicate or _any_reply
    loaded: Mapping[str, Any] | None = None
    try:
        loaded = schema.load(values)
    except ValidationError as error:
        told = {part.text for part in empty}
        for name, messages in dict(error.messages_dict).items():
            if name not in told:
                _complain(key, name, messages, schema, settings, findings)
    return None if findings.errors > before else loaded


def _any_reply(_body: Any) -> None:
    """Stands for a predicate that could not be read."""


def _values(schema: Schema, given: Mapping[str, Node], findings: Findings) -> dict[str, Any]:
    """Settings as the schema takes them. For a secret that is refused a reference stands, so that the rest is told."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        found = schema.fields.get(name)
        if isinstance(found, fields.Nested) and isinstance(value, MapNode):
            values[name] = _values(found.schema, {key.text: part for key, part in value.pairs}, findings)
        elif isinstance(found, HeadersSetting) and isinstance(value, MapNode):
            values[name] = {key.text: _header(key.text, part, findings) for key, part in value.pairs}
        elif found is not None and found.metadata.get("secret") and refuse_literal(name, value, findings):
            values[name] = _ANY
        elif isinstance(found, UrlSetting) and (rest := refuse_in_url(value, findings, _IN_HEADERS)) is not None:
            values[name] = rest
        else:
            values[name] = with_secrets(value)
    return values


def _header(name: str, node: Node, findings: Findings) -> Any:
    return _ANY if is_secret_name(name) and refuse_literal(name, node, findings) else with_secrets(node)


def predicate_of(node: Node, findings: Findings) -> Callable[[Any], bool | None] | None:
    """An expression over a JSON reply as yes, no or unknown (None). None, and a problem, if it cannot be compiled."""
    text = text_of(node)
    if text is None:
        findings.add(node, "setting", "success_if is an expression over the reply, as in .ok == true")
        return None
    try:
        compiled = compile_value(text, tables={}, allow=frozenset(), expression=True)
    except LanguageError as error:
        findings.add(node, error.code, error.message, error.hint, offset=error.column - 1, length=error.length)
        return None

    for path in compiled.all_paths():
        if path.base not in {"dot", "root"}:
            hint = "a path such as .ok reads the reply"
            place, length = path.start, path.end - path.start
            findings.add(node, "setting", f"a reply has no ${path.base}", hint, offset=place, length=length)
            return None

    def predicate(body: Any) -> bool | None:
        value = compiled.run(Context(body))
        return value if isinstance(value, bool) else None

    return predicate


def _complain(key: Scalar, name: str, messages: Any, schema: Schema, settings: MapNode, findings: Findings) -> None:
    """One problem of a setting, as deep in it as it lies."""
    place, node, path, found = key, settings.get(name), name, schema.fields.get(name)
    around = schema
    if node is None:
        choices = _choices(found)
        hint = f"one of {', '.join(choices)}" if choices else ""
        if findings.lacks(settings, name, {*schema.fields, *DESTINATION}):
            findings.add(key, "missing-key", f"destination {key.text} has no {name}:", hint)
        return
    while isinstance(messages, dict):
        inner, messages = next(iter(messages.items()))
        if not isinstance(node, MapNode):
            findings.add(node, "wrong-shape", f"{key.text}.{path} is a map, not {kind_of(node)}")
            return
        part = node.key_node(inner)
        if part is None:
            findings.add(place if path != name else node, "missing-key", f"{key.text}.{path} has no {inner}:")
            return
        place, node, path = part, node.get(inner) or part, f"{path}.{inner}"
        around = found.schema if isinstance(found, fields.Nested) else around
        found = found.schema.fields.get(inner) if isinstance(found, fields.Nested) else None
    text = str(messages[0])
    if text == UNKNOWN:
        where = path.removesuffix(f".{place.text}")
        hint = key_hint(place.text, list(around.fields))
        findings.add(place, "unknown-key", f"unknown key '{shown_key(place.text)}' in {key.text}.{where}", hint)
    elif choices := _choices(found):
        findings.add(node, "setting", f"{key.text}.{path} is one of {', '.join(choices)}")
    elif text[:1].islower():
        findings.add(node, "setting", f"{key.text}.{path} {text}")
    else:  # marshmallow's own words, which it has for text alone: other kinds of settings have ours
        findings.add(node, "setting", f"{key.text}.{path} is text, not {kind_of(node)}", as_text(node))


def _choices(found: fields.Field[Any] | None) -> list[str]:
    """The values that a setting may have, if there are a few."""
    return [
        str(choice)
        for validator in (found.validators if found else ())
        if isinstance(validator, validate.OneOf)
        for choice in validator.choices
    ]

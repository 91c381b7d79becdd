"""Composing the webhooks that `send` and `demo` post: a sample, changed here and there, proved as its sender would."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from router.cli.opened import Opened, path_of
from router.cli.overriding import put_id, put_time, put_user
from router.errors import ConfigError, MalformedError
from router.ruleset import Project
from router.ruleset.samples import Sample
from router.ruleset.testing import names_read
from router.sources.encoding import encode
from router.sources.jsontext import decode_json

#: headers that belong to the connection on which a sample came
_CONNECTION = frozenset({"host", "connection", "transfer-encoding", "accept-encoding", "expect"})


class NotImitable(ConfigError):
    """A webhook that only its sender can make."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is changed in a sample before it is signed."""

    #: path → JSON value
    put: Mapping[str, Any] = field(default_factory=dict)
    remove: Sequence[str] = ()
    #: whose profile; None: the sample's
    user: str | None = None
    #: the sender's id of the event; None: a new one
    id: str | None = None
    #: the event's own time; None: the sample's
    at: datetime | None = None
    #: which of `user`, `id` and `at` must have a place in the sample
    asked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Signed:
    """One webhook, ready to be posted."""

    source: str
    body: bytes
    headers: Mapping[str, str]
    #: with a leading question mark, or empty
    query: str = ""
    #: how it is proved, such as `hmac-sha256 in stripe-signature`
    proof: str = ""
    #: what whoever sends it should know
    notes: Sequence[str] = ()


def compose(
    project: Project, sample: Sample, overrides: Overrides, now: datetime, *, tamper: str | None = None
) -> Signed:
    """The sample, changed and proved. `tamper` spoils its `signature`, `body` or `time`.

    Raises `ConfigError` for a change that the sample has no place for, `NotImitable`, and `UpstreamError` for a secret
    that is not there.
    """
    section, source = project.sections[sample.source], project.sources[sample.source]
    opened = Opened(sample, section)
    event_id = overrides.id or f"rt_{secrets.token_hex(8)}"
    notes = _override(opened, project, sample, overrides, event_id)
    content_type = opened.header.pop("content-type", "")
    body, headers = encode(section.envelope.format, opened.close(), content_type)
    signed_at = now - timedelta(days=1) if tamper == "time" else now
    try:
        proof = source.prove(body, now=signed_at, event_id=event_id, forged=tamper == "signature")
    except ConfigError as error:
        raise NotImitable(f"a webhook of {sample.source} cannot be imitated: {error}") from None
    query = urlencode({**opened.query, **proof.query}, quote_via=quote)
    return Signed(
        sample.source,
        _changed(proof.body, section.envelope.format) if tamper == "body" else proof.body,
        {**_kept(opened.header), **headers, **proof.headers},
        f"?{query}" if query else "",
        source.proof,
        notes,
    )


def _override(opened: Opened, project: Project, sample: Sample, overrides: Overrides, event_id: str) -> list[str]:
    """Make all changes; what there is to say of them. What is asked for path by path comes last."""
    section = project.sections[sample.source]
    if overrides.user is not None:
        found = put_user(opened, project, sample, overrides.user)
        if not found and "user" in overrides.asked:
            raise ConfigError("no rule for this event reads whose profile it is: say where with --set PATH=ID")
    note = put_id(opened, section, event_id, asked="id" in overrides.asked)
    if overrides.at is not None:
        put_time(opened, section, overrides.at, asked="at" in overrides.asked)
    read = names_read((rule for rule in project.rules if rule.id.partition("/")[0] == sample.source), section)
    for path, value in overrides.put.items():
        opened.require_known(path_of(path), read)
        opened.write(path_of(path), value)
    for path in overrides.remove:
        opened.remove(path_of(path))
    return [note] if note else []


def _kept(header: Mapping[str, str]) -> dict[str, str]:
    """The headers of a sample that its sender would send again."""
    return {name: text for name, text in header.items() if not name.startswith("content-") and name not in _CONNECTION}


def _changed(body: bytes, format_: str) -> bytes:
    """Another body that says the same; of a token, another payload under the old signature."""
    if format_ != "jwt":
        return body + b" "
    place = (body.index(b".") + body.rindex(b".")) // 2
    return body[:place] + (b"B" if body[place : place + 1] == b"A" else b"A") + body[place + 1 :]


def value_of(text: str) -> Any:
    """JSON if it parses, else the text itself."""
    try:
        return decode_json(text.encode())
    except MalformedError:
        return text

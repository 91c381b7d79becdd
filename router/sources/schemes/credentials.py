"""`token`, `basic` and `none`: a sender that shows what it knows instead of signing."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from router.errors import ConfigError, SecretError, SignatureError
from router.model import Webhook
from router.sources.schemes.base import (
    HEADER_IS,
    AnySecret,
    Fetcher,
    Param,
    Problem,
    Proof,
    Scheme,
    exact_base64,
    header_bytes,
    is_header,
    secret_of,
)


class Token(Scheme):
    """A static value in a header (after an optional authentication scheme) or, as a last resort, in the query."""

    name = "token"
    params: ClassVar[Mapping[str, Param]] = {
        "in": Param(choices=("header", "query")),
        "name": Param(required=True),
        "auth_scheme": Param("blank"),
    }

    def __init__(self, definition: Mapping[str, Any], secrets: Sequence[AnySecret], url: str | None = None) -> None:
        super().__init__(definition, secrets, url)
        self._in_query = definition.get("in", "header") == "query"
        self._name: str = definition["name"] if self._in_query else definition["name"].lower()
        self._auth_scheme: str = definition.get("auth_scheme", "")

    @classmethod
    def problems(cls, definition: Mapping[str, Any]) -> Iterator[Problem]:
        """Also an authentication scheme for a query parameter, and a name that no header has."""
        yield from super().problems(definition)
        if definition.get("in") != "query" and definition.get("name") and not is_header(definition["name"]):
            yield ("name",), f"name is {HEADER_IS}", ""
        if definition.get("in") == "query" and definition.get("auth_scheme"):
            yield ("auth_scheme",), "auth_scheme is for a header", ""

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """All keys are compared, as bytes, in constant time."""
        received = self._from_query(webhook) if self._in_query else self._from_header(webhook)
        genuine = False
        for key in self.keys():
            genuine |= hmac.compare_digest(key, received)
        if not genuine:
            raise SignatureError("the token is another one")

    def sign(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> dict[str, str]:
        """The header with the first secret."""
        if self._in_query:
            raise ConfigError(f"the token goes into the query, as ?{self._name}=…, not into a header")
        text = self.keys()[0].decode()
        return {self._name: f"{self._auth_scheme} {text}" if self._auth_scheme else text}

    def prove(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> Proof:
        """The first secret, where it is looked for."""
        if self._in_query:
            return Proof(body, query={self._name: self.keys()[0].decode()})
        return super().prove(body, now=now, event_id=event_id, method=method)

    @property
    def text(self) -> str:
        return f"token in ?{self._name}=" if self._in_query else f"token in {self._name}"

    def _from_query(self, webhook: Webhook) -> bytes:
        values = webhook.query.get(self._name, ())
        if len(values) != 1:
            raise SignatureError(f"parameter {self._name} is missing, or comes twice")
        return values[0].encode(errors="surrogatepass")

    def _from_header(self, webhook: Webhook) -> bytes:
        value = webhook.headers.get(self._name)
        if not value:
            raise SignatureError(f"header {self._name} is missing")
        if self._auth_scheme:
            scheme, _, value = value.partition(" ")
            if scheme.lower() != self._auth_scheme.lower():
                raise SignatureError(f"header {self._name} is not {self._auth_scheme}")
        return header_bytes(value)


class Basic(Scheme):
    """User and password, RFC 7617 (https://www.rfc-editor.org/rfc/rfc7617)."""

    name = "basic"
    takes = "basic"

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """User and password are both compared, always, in constant time."""
        scheme, _, value = webhook.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise SignatureError("Authorization is not Basic")
        user, colon, password = exact_base64(header_bytes(value)).partition(b":")
        if not colon:
            raise SignatureError("Authorization has no colon")
        genuine = False
        for key in self.keys():
            known_user, _, known_password = key.partition(b":")
            right_user = hmac.compare_digest(known_user, user)
            right_password = hmac.compare_digest(known_password, password)
            genuine |= right_user & right_password
        if not genuine:
            raise SignatureError("user or password is another one")

    def sign(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> dict[str, str]:
        """The header with the first user and password."""
        return {"authorization": "Basic " + base64.b64encode(self.keys()[0]).decode()}

    @property
    def text(self) -> str:
        return "basic in authorization"

    def _keys_of(self, secret: AnySecret) -> list[bytes]:
        user, password = (_plain(secret, part) for part in ("user", "password"))
        if not user or not password or ":" in user:
            raise SecretError("basic takes {user: …, password: …}, both set, no colon in the user")
        return [f"{user}:{password}".encode()]


def _plain(secret: AnySecret, part: str) -> str:
    """A user may stand in the file; a password is always a reference."""
    value = secret.get(part) if isinstance(secret, Mapping) else None
    if part == "user" and isinstance(value, str) and not value.startswith("$"):
        return value.strip()
    if value is None:
        return ""
    known = secret_of(value)
    return "" if isinstance(known, Mapping) else known.reveal().strip()


class Unverified(Scheme):
    """`none`: whoever knows the URL is believed."""

    name = "none"
    takes = "none"

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """Always."""

    def sign(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> dict[str, str]:
        """Nothing to add."""
        return {}

    @property
    def covers(self) -> frozenset[str]:
        return frozenset()

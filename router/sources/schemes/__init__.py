"""The verification schemes, in one table, and how definitions are put together from them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain
from typing import Any, Self

from router.errors import BrokenVerification, ConfigError, SignatureError, UpstreamError, WebhookError
from router.model import Webhook
from router.sources.jsontext import encode_json
from router.sources.schemes.adyen import AdyenItem
from router.sources.schemes.base import (
    COMMON,
    AnySecret,
    Fetcher,
    Given,
    Problem,
    Proof,
    Scheme,
    as_list,
    meant,
    secret_of,
)
from router.sources.schemes.certificates import CertSignature, Sns
from router.sources.schemes.credentials import Basic, Token, Unverified
from router.sources.schemes.hmac_header import Hmac
from router.sources.schemes.jwt import Jwt
from router.sources.schemes.network import Network
from router.sources.schemes.standard import StandardWebhooks

__all__ = ["SCHEMES", "Fetcher", "Given", "Problem", "Proof", "Scheme", "build", "is_open", "problems", "secret_kinds"]

SCHEMES: Mapping[str, type[Scheme]] = {
    scheme.name: scheme
    for scheme in (
        Hmac,
        StandardWebhooks,
        Token,
        Basic,
        Jwt,
        Sns,
        CertSignature,
        AdyenItem,
        Network,
        Unverified,
    )
}

_COMPOSITIONS = ("all_of", "any_of")


class AllOf(Scheme):
    """Every part must hold."""

    name = "all_of"

    def __init__(self, parts: Sequence[Scheme]) -> None:
        super().__init__({}, ())
        self.parts = parts

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """Stops at the first refusal."""
        for part in self.parts:
            part.verify(webhook, now, fetch)

    def sign(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> dict[str, str]:
        """The headers of all parts."""
        headers: dict[str, str] = {}
        for part in self.parts:
            headers.update(part.sign(body, now=now, event_id=event_id, method=method))
        return headers

    def keys(self) -> list[bytes]:
        """Those of all parts."""
        return list(chain.from_iterable(part.keys() for part in self.parts))

    def signing_key(self, webhook: Webhook) -> bytes | None:
        """That of the first part that has one."""
        for part in self.parts:
            with suppress(SignatureError):
                key = part.signing_key(webhook)
                if key is not None:
                    return key
        return None

    def advice(self, webhook: Webhook, now: datetime) -> str:
        """That of the first part that has some."""
        return next(filter(None, (part.advice(webhook, now) for part in self.parts)), "")

    def prove(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> Proof:
        """What all parts add; first those that change the body, which the others sign."""
        headers: dict[str, str] = {}
        query: dict[str, str] = {}
        for part in sorted(self.parts, key=lambda part: not part.seals):
            proof = part.prove(body, now=now, event_id=event_id, method=method)
            body = proof.body
            headers.update(proof.headers)
            query.update(proof.query)
        return Proof(body, headers, query)

    def forger(self) -> Self:
        forged = copy.copy(self)
        forged.parts = [part.forger() for part in self.parts]
        return forged

    @property
    def covers(self) -> frozenset[str]:
        return frozenset[str]().union(*(part.covers for part in self.parts))

    @property
    def seals(self) -> bool:
        return any(part.seals for part in self.parts)

    @property
    def text(self) -> str:
        return " and ".join(part.text for part in self.parts)

    def secret_problems(self) -> Iterator[str]:
        """Those of all parts."""
        for part in self.parts:
            yield from part.secret_problems()


class AnyOf(AllOf):
    """One part must hold: for a sender that moves from one scheme to another."""

    name = "any_of"

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """A part that could not be asked makes a refusal of the others `UpstreamError`, as it might have said yes; one
        that broke makes it `BrokenVerification`."""
        away: UpstreamError | None = None
        broken: BrokenVerification | None = None
        for part in self.parts:
            try:
                guarded(part, webhook, now, fetch)
            except BrokenVerification as error:
                broken = error
            except SignatureError:
                continue
            except UpstreamError as error:
                away = error
            else:
                return
        raise away or broken or SignatureError("no scheme accepts this request")

    def sign(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> dict[str, str]:
        """The headers of the first part."""
        return self.parts[0].sign(body, now=now, event_id=event_id, method=method)

    def prove(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> Proof:
        """What the first part adds."""
        return self.parts[0].prove(body, now=now, event_id=event_id, method=method)

    @property
    def covers(self) -> frozenset[str]:
        return self.parts[0].covers

    @property
    def seals(self) -> bool:
        return self.parts[0].seals

    @property
    def text(self) -> str:
        return " or ".join(part.text for part in self.parts)


def guarded(scheme: Scheme, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
    """Verifies. What cannot be read is a refusal; so is whatever else breaks inside, as `BrokenVerification`."""
    try:
        scheme.verify(webhook, now, fetch)
    except (SignatureError, UpstreamError):
        raise
    except WebhookError as error:
        raise SignatureError(str(error)) from None
    except Exception as error:  # verification can only say yes or refuse; who answers logs what it was
        raise BrokenVerification(f"verification broke: {type(error).__name__}") from error


def build(definition: Mapping[str, Any], secrets: Sequence[AnySecret], url: str | None = None) -> Scheme:
    """The scheme of a definition that has no `problems`. Raises `ConfigError` where a secret is missing.

    A part of `all_of` or `any_of` has its own `secret` or `secrets`, or shares those of the source that fit it: a text
    for a scheme that takes text, user and password for `basic`.
    """
    for composition, kind in (("all_of", AllOf), ("any_of", AnyOf)):
        if composition in definition:
            return kind([build(part, secrets, url) for part in definition[composition]])
    scheme = SCHEMES[definition["scheme"]]
    needed = next(iter(secret_kinds(definition)), "none")
    own = as_list(definition.get("secrets", definition.get("secret")))
    fitting = [secret_of(secret) for secret in own] or [
        secret for secret in secrets if isinstance(secret, Mapping) == (needed == "basic")
    ]
    if needed == "none":
        return scheme(definition, (), url)
    if not fitting:
        raise ConfigError(f"{scheme.name} needs a secret" + (": user and password" if needed == "basic" else ""))
    return scheme(definition, fitting, url)


def secret_kinds(definition: Mapping[str, Any]) -> frozenset[str]:
    """What secrets a definition needs that it does not hold itself: `text`, `basic`, both or none."""
    for composition in _COMPOSITIONS:
        if composition in definition:
            return frozenset[str]().union(*(_open_kinds(part) for part in definition[composition]))
    scheme = SCHEMES[definition["scheme"]]
    if scheme.takes == "none" or (scheme is Jwt and not Jwt.needs_secret(definition)):
        return frozenset()
    return frozenset({scheme.takes})


def _open_kinds(part: Mapping[str, Any]) -> frozenset[str]:
    return frozenset() if "secret" in part or "secrets" in part else secret_kinds(part)


def is_open(definition: Any) -> bool:
    """Whether a request that proves nothing would be taken: `none`, alone, among alternatives, or all there is."""
    if not isinstance(definition, Mapping):
        return False
    if "any_of" in definition:
        return any(map(is_open, as_list(definition["any_of"])))
    if "all_of" in definition:
        return all(map(is_open, as_list(definition["all_of"])))
    return definition.get("scheme") == "none"


def problems(verify: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with a `verify` definition: `(key path, message, hint)`, in its order; empty if it can be built.

    A preset's `needs` in it names keys that the operator must add, each with an example.
    """
    return list(_problems(verify))


def _problems(verify: Any) -> Iterator[Problem]:
    if not isinstance(verify, Mapping):
        yield (), "a scheme and its parameters are a map", ""
        return
    composition = next((name for name in _COMPOSITIONS if name in verify), None)
    if composition is not None:
        yield from _composition_problems(verify, composition)
        return
    name = verify.get("scheme")
    scheme = SCHEMES.get(name) if isinstance(name, str) else None
    if scheme is None:
        path = ("scheme",) if "scheme" in verify else ()
        message = f"scheme is one of {', '.join(SCHEMES)}, or all_of or any_of stands in its place"
        yield path, message, meant(name, SCHEMES) if isinstance(name, str) else ""
        return
    needs = verify.get("needs", {})
    missing = [key for key in needs if key not in verify]
    if missing:
        hint = ", ".join(f"{key}: {encode_json(needs[key]).decode()}" for key in missing)
        yield ("scheme",), f"this sender needs {', '.join(missing)} under verify", f"as in {hint}"
        return
    yield from scheme.problems(verify)


def _composition_problems(verify: Mapping[str, Any], composition: str) -> Iterator[Problem]:
    for key in verify:
        if key != composition and key not in COMMON:
            yield (key,), f"{key} does not stand beside {composition}", ""
    parts = verify[composition]
    if not isinstance(parts, list) or not parts:
        yield (composition,), f"{composition} is a list of definitions", ""
        return
    for index, part in enumerate(parts):
        for path, message, hint in _problems(part):
            yield (composition, str(index), *path), message, hint

"""`jwt`: a signed token in a header, or as the whole body. PyJWT checks the signature, we check what it claims.

https://www.rfc-editor.org/rfc/rfc7519, https://www.rfc-editor.org/rfc/rfc8725 (the algorithm is ours to choose)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK, PyJWS
from jwt.exceptions import PyJWTError

from router.addresses import INNER_NAMES, is_public, literal, parse
from router.errors import ConfigError, SignatureError, TransportError
from router.model import Webhook
from router.sources.jsontext import decode_json, encode_json
from router.sources.schemes.base import AnySecret, Fetcher, Param, Problem, Proof, Scheme, as_list, exact_base64
from router.sources.schemes.keyset import KeySet, read_jwks

_HMAC = ("HS256", "HS384", "HS512")
_ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
#: places where keys come from; without any of them the source's secret is the key
_KEY_PLACES = ("jwks_url", "jwks", "pem")


class Jwt(Scheme):
    """A token whose algorithm, issuer, audience and digest of the body are fixed by configuration."""

    name = "jwt"
    params: ClassVar[Mapping[str, Param]] = {
        "location": Param(choices=("header", "body")),
        "name": Param("header"),
        "auth_scheme": Param("blank"),
        "jwks_url": Param(),
        "jwks": Param("map"),
        "pem": Param("texts"),
        "algorithms": Param("list", required=True, choices=_HMAC + _ASYMMETRIC),
        "issuer": Param("texts"),
        "audience": Param("texts"),
        "require_claims": Param("map"),
        "body_claim": Param(
            "map",
            keys={
                "name": Param(required=True),
                "algorithm": Param(choices=("sha256", "sha512")),
                "encoding": Param(choices=("base64", "hex")),
            },
        ),
        "leeway": Param("seconds"),
    }

    def __init__(self, definition: Mapping[str, Any], secrets: Sequence[AnySecret], url: str | None = None) -> None:
        super().__init__(definition, secrets, url)
        get = definition.get
        self._in_body: bool = get("location", "header") == "body"
        self._name: str = get("name", "authorization").lower()
        self._auth_scheme: str = get("auth_scheme", "")
        self._algorithms: list[str] = definition["algorithms"]
        self._leeway_s: int = get("leeway", 60)
        self._find_keys = self._key_source()
        self._jws = PyJWS(algorithms=self._algorithms)

    @classmethod
    def problems(cls, definition: Mapping[str, Any]) -> Iterator[Problem]:
        """Also keys and algorithms that do not belong together: the root of most forgeries."""
        found = list(super().problems(definition))
        yield from found
        if found:
            return
        places = [place for place in _KEY_PLACES if place in definition]
        if len(places) > 1:
            yield (places[1],), f"{places[0]} and {places[1]} are both given", "one of them holds the keys"
        allowed, kind = (_ASYMMETRIC, "public keys take") if places else (_HMAC, "a secret takes")
        if any(name not in allowed for name in definition["algorithms"]):
            hint = "" if places else "give jwks_url, jwks or pem for other algorithms"
            yield ("algorithms",), f"{kind} {', '.join(allowed)}", hint
        if "jwks_url" in definition and (fault := _url_fault(definition["jwks_url"])):
            yield ("jwks_url",), f"jwks_url is {fault}", "or write the keys under jwks or pem"
        if definition.get("location") != "body" and "name" not in definition:
            yield ("scheme",), "jwt in a header needs name", ""

    @classmethod
    def needs_secret(cls, definition: Mapping[str, Any]) -> bool:
        """Whether the source's secret is the key."""
        return not any(place in definition for place in _KEY_PLACES)

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """Signature first, then times, issuer, audience, required claims and the digest of the body."""
        token = self._token(webhook)
        claims = self._claims(token, now, fetch)
        self._check_times(claims, now.timestamp())
        self._check_parties(claims)
        for name, wanted in self.definition.get("require_claims", {}).items():
            value = claims.get(name)
            if type(value) is not type(wanted) or value != wanted:
                raise SignatureError(f"claim {name} is another one")
        if "body_claim" in self.definition:
            self._check_body(claims, webhook.body)

    def sign(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> dict[str, str]:
        """The header with a token as the sender would make it; only with a secret."""
        if self._in_body or not self.needs_secret(self.definition):
            super().sign(body, now=now, event_id=event_id, method=method)
        issued = int(now.timestamp())
        claims: dict[str, Any] = {"iat": issued, "exp": issued + 300, **self.definition.get("require_claims", {})}
        for claim, key in (("iss", "issuer"), ("aud", "audience")):
            if key in self.definition:
                claims[claim] = as_list(self.definition[key])[0]
        if "body_claim" in self.definition:
            claims[self.definition["body_claim"]["name"]] = self._body_digest(body)
        token = self._jws.encode(encode_json(claims), self.keys()[0], self._algorithms[0])
        return {self._name: f"{self._auth_scheme} {token}" if self._auth_scheme else token}

    def prove(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> Proof:
        """As `sign`, or the body as a token."""
        if not self._in_body or not self.needs_secret(self.definition):
            return super().prove(body, now=now, event_id=event_id, method=method)
        return Proof(self._jws.encode(body, self.keys()[0], self._algorithms[0]).encode())

    @property
    def covers(self) -> frozenset[str]:
        """The time of a body is that of its event, which nothing checks."""
        if self._in_body:
            return frozenset({"signature", "body"})
        return frozenset({"signature", "time"} | ({"body"} if "body_claim" in self.definition else set()))

    @property
    def seals(self) -> bool:
        return self._in_body

    @property
    def text(self) -> str:
        return f"jwt {'/'.join(self._algorithms)} in {'the body' if self._in_body else self._name}"

    # --- keys ---------------------------------------------------------------------------------------------------

    def _key_source(self) -> Callable[[str, datetime, Fetcher | None], list[Any]]:
        """Key id → the keys to try."""
        if "jwks_url" in self.definition:
            keys = KeySet(self.definition["jwks_url"], _public_key)
            return lambda key_id, now, fetch: [keys.key(_required(key_id), now, fetch)]
        if "jwks" in self.definition:
            known = read_jwks(self.definition["jwks"], _public_key)
            if not known:
                raise ConfigError("jwks holds no key that can be used")
            return lambda key_id, _now, _fetch: [known[key_id]] if key_id in known else []
        if "pem" in self.definition:
            try:
                public = [load_pem_public_key(text.encode()) for text in as_list(self.definition["pem"])]
            except ValueError as error:
                raise ConfigError("pem is no public key") from error
            return lambda _key_id, _now, _fetch: public
        return lambda _key_id, _now, _fetch: self.keys()

    def _claims(self, token: str, now: datetime, fetch: Fetcher | None) -> Mapping[str, Any]:
        # PyJWT takes padding, and older versions pass over what is no base64: a signature would have many spellings
        if "=" in token:
            raise SignatureError("the token is padded")
        if not token.isascii():
            raise SignatureError("the token is not ASCII")
        signature = token.rpartition(".")[2].encode()
        exact_base64(signature + b"=" * (-len(signature) % 4), b"-_")
        try:
            header = self._jws.get_unverified_header(token)
        except (PyJWTError, RecursionError):
            raise SignatureError("the token cannot be read") from None
        if header.get("alg") not in self._algorithms:
            raise SignatureError("the token's algorithm is not the configured one")
        for key in self._find_keys(str(header.get("kid", "")), now, fetch):
            try:
                payload = self._jws.decode_complete(token, key, self._algorithms)["payload"]
            except (PyJWTError, TypeError):  # TypeError: a key of another kind
                continue
            claims = decode_json(payload)
            if isinstance(claims, dict):
                return claims
        raise SignatureError("no key has signed this token")

    def _token(self, webhook: Webhook) -> str:
        if self._in_body:
            return webhook.body.strip().decode("latin-1")
        value = webhook.headers.get(self._name, "")
        if self._auth_scheme:
            scheme, _, value = value.partition(" ")
            if scheme.lower() != self._auth_scheme.lower():
                raise SignatureError(f"header {self._name} is not {self._auth_scheme}")
        if not value:
            raise SignatureError(f"header {self._name} is missing")
        return value

    # --- claims -------------------------------------------------------------------------------------------------

    def _check_times(self, claims: Mapping[str, Any], now: float) -> None:
        """`exp`, `nbf` and `iat` hold where they are given."""
        times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in times.values()):
            raise SignatureError("a time in the token is not a number")
        if "exp" in times and times["exp"] <= now - self._leeway_s:
            raise SignatureError("the token is over")
        if any(times.get(name, now) > now + self._leeway_s for name in ("nbf", "iat")):
            raise SignatureError("the token is not valid yet")

    def _check_parties(self, claims: Mapping[str, Any]) -> None:
        """Issuer and audience, exactly."""
        if "issuer" in self.definition and claims.get("iss") not in as_list(self.definition["issuer"]):
            raise SignatureError("the token has another issuer")
        if "audience" in self.definition:
            wanted = as_list(self.definition["audience"])
            if not any(audience in wanted for audience in as_list(claims.get("aud"))):
                raise SignatureError("the token is for another audience")

    def _check_body(self, claims: Mapping[str, Any], body: bytes) -> None:
        """A token without the digest would authenticate any body."""
        given = claims.get(self.definition["body_claim"]["name"])
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), self._body_digest(body).encode()):
            raise SignatureError("the token is for another body")

    def _body_digest(self, body: bytes) -> str:
        settings = self.definition["body_claim"]
        digest = hashlib.new(settings.get("algorithm", "sha256"), body).digest()
        return digest.hex() if settings.get("encoding", "base64") == "hex" else base64.b64encode(digest).decode()


def _required(key_id: str) -> str:
    if not key_id:
        raise SignatureError("the token names no key")
    return key_id


def _public_key(entry: Mapping[str, Any]) -> Any:
    """The public key of a JWK; its own parameters alone, never what it points at. Raises `ValueError`."""
    if entry.get("kty") not in {"RSA", "EC", "OKP"}:
        raise ValueError("not a public key")
    try:
        return PyJWK({name: entry[name] for name in _JWK_FIELDS if name in entry}).key
    except PyJWTError as error:
        raise ValueError("not a usable key") from error


_JWK_FIELDS = ("kty", "kid", "alg", "crv", "x", "y", "n", "e")


def _url_fault(url: str) -> str:
    """What a URL of keys must be, if it is not: nothing else is asked. Empty if it is good."""
    try:
        target = parse(url)
    except TransportError:
        return "an https URL"
    if target.scheme != "https":
        return "an https URL"
    if target.is_loopback:
        return ""
    if target.port != 443:
        return "asked on port 443 only"
    if literal(target.host) is None:
        inner = "." not in target.host or target.host.endswith(INNER_NAMES)
    else:
        inner = not is_public(target.host)
    return "at a public host: inner networks are not asked" if inner else ""

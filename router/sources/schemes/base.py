"""What a scheme is: a check of one request that can only return or refuse. Parameters are declared, not coded."""

from __future__ import annotations

import base64
import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Self

from router.errors import ConfigError, SecretError, SignatureError, UpstreamError
from router.model import Webhook
from router.nearest import closest, nearest
from router.settings import Secret

#: (key path in `verify`, message, hint)
Problem = tuple[tuple[str, ...], str, str]

#: `fetch(url, allowed_hosts, max_bytes) -> bytes`: https only, no redirects; raises `UpstreamError`
Fetcher = Callable[[str, frozenset[str], int], bytes]

#: a key of fewer bytes can be guessed
MIN_KEY_BYTES = 16

#: a Unix time as senders write it; `int` alone takes `１２３`, `1_000` and ` 12 `. No zero before it: where the time
#: ends the signed text, that zero could be moved there from the end of the body
DIGITS = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class Given:
    """A secret's text that is known already, as `sign` takes it."""

    text: str = field(repr=False)

    def reveal(self) -> str:
        """The text."""
        return self.text


#: a text secret, or `{"user": …, "password": …}`
AnySecret = Secret | Given | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a scheme. `kind` is a word of `_KINDS`."""

    kind: str = "text"
    required: bool = False
    choices: tuple[str, ...] = ()
    #: of a map: its keys
    keys: Mapping[str, Param] | None = None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


#: a name as RFC 9110 (§5.1) has it, but for the underscore: servers drop headers with one
HEADER = r"[!#$%&'*+.^`|~0-9A-Za-z-]+"
HOST = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]"
#: most seconds of a tolerance: a week
MAX_SECONDS = 604_800
_HEADER, _HOST = re.compile(HEADER), re.compile(HOST)


def is_header(value: Any) -> bool:
    """Whether a header of that name can arrive."""
    return isinstance(value, str) and _HEADER.fullmatch(value) is not None


def _are_hosts(value: Any) -> bool:
    hosts = isinstance(value, list) and all(isinstance(one, str) and _HOST.fullmatch(one) for one in value)
    return hosts and value != []


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_SECONDS


#: what the name of a header is
HEADER_IS = "the name of a header, as in X-Signature: no blank, and no _, with which servers drop it"

_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "text": (_is_text, "text"),
    "header": (is_header, HEADER_IS),
    "hosts": (_are_hosts, "a list of host names in small letters, as in api.paypal.com"),
    "blank": (lambda value: isinstance(value, str), "text"),
    "flag": (lambda value: isinstance(value, bool), "true or false"),
    "seconds": (_is_seconds, f"a whole number of seconds, at most {MAX_SECONDS}"),
    "texts": (
        lambda value: _is_text(value) or (isinstance(value, list) and value != [] and all(map(_is_text, value))),
        "a text or a list of texts",
    ),
    "list": (lambda value: isinstance(value, list) and value != [], "a list"),
    "map": (lambda value: isinstance(value, Mapping), "a map"),
    "any": (lambda _value: True, "anything"),
}


#: what a parameter is called elsewhere → it
_CALLED = {"timestamp_header": "ts_header", "time_header": "ts_header"}


def check_params(
    owner: str,
    definition: Mapping[str, Any],
    params: Mapping[str, Param],
    path: tuple[str, ...] = (),
    named_by: str = "scheme",
) -> Iterator[Problem]:
    """The unknown, wrong and missing parameters of `definition`. `named_by` is the key that chose `owner`."""
    hints = {key: meant(key, params) for key in definition if key not in params}
    for key, value in definition.items():
        param = params.get(key)
        if param is None:
            yield (*path, key), f"{owner} has no key '{key}'", hints[key] or nearest(key, params)
            continue
        holds, what = _KINDS[param.kind]
        if not holds(value):
            yield (*path, key), f"{key} is {what}", ""
        elif wrong := [one for one in as_list(value) if param.choices and one not in param.choices]:
            yield (*path, key), f"{key} is one of {', '.join(param.choices)}", meant(str(wrong[0]), param.choices)
        elif param.keys is not None:
            yield from check_params(key, value, param.keys, (*path, key))
    missing = [
        key
        for key, param in params.items()
        if param.required and key not in definition and f"did you mean {key!r}?" not in hints.values()
    ]
    if missing:
        yield path or (named_by,), f"{owner} needs {', '.join(missing)}", ""


def meant(word: str, names: Iterable[str]) -> str:
    """A hint with the name that was meant: one that it ends with (`signature_header`: `header`), that looks like it, or
    that it begins with."""
    known = list(names)
    likely = [name for name in known if _CALLED.get(word) == name]
    likely += [name for name in known if word.endswith(f"_{name}")]
    likely.append(closest(word, known, like=0.6))
    likely += [name for name in known if word.startswith(name)]
    name = next(filter(None, likely), None)
    return f"did you mean {name!r}?" if name else ""


def as_list(value: Any) -> list[Any]:
    """A text or list of texts as a list; None is empty."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


@dataclass(frozen=True, slots=True)
class Proof:
    """What a sender posts: the body, sealed if its signature is in there, and what proves it beside the body."""

    body: bytes
    #: lower-case names
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


class Scheme(ABC):
    """One way of proving that a request comes from its sender."""

    name: ClassVar[str]
    params: ClassVar[Mapping[str, Param]] = {}
    #: what a secret is: `text`, `basic` (user and password) or `none`
    takes: ClassVar[str] = "text"
    #: whether `forger` has been here
    _forged = False

    def __init__(self, definition: Mapping[str, Any], secrets: Sequence[AnySecret], url: str | None = None) -> None:
        """`definition` was found good by `problems`. `url` is the public URL, for schemes that sign it."""
        self.definition = definition
        self.secrets = secrets
        self.url = url

    @abstractmethod
    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """Returns, or raises `SignatureError`, or `UpstreamError` if what it needs cannot be had."""

    def sign(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> dict[str, str]:
        """The headers that a sender of this scheme would send. Raises `ConfigError` where only the sender can."""
        raise ConfigError(f"{self.name} cannot be signed here: only the sender can")

    def signing_key(self, webhook: Webhook) -> bytes | None:
        """The key that a verified request was signed with; None where that is no single key."""
        return None

    def advice(self, webhook: Webhook, now: datetime) -> str:
        """What the operator could set, or knows then, where `verify` refused a request; empty if nothing is found.
        Never for the sender. Raises anything at all."""
        return ""

    def prove(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> Proof:
        """All that a sender of this scheme would post. Raises `ConfigError` where only the sender can."""
        return Proof(body, self.sign(body, now=now, event_id=event_id, method=method))

    def forger(self) -> Self:
        """The same with keys that nobody has: what it proves must be refused."""
        forged = copy.copy(self)
        forged._forged = True
        return forged

    @property
    def covers(self) -> frozenset[str]:
        """What cannot be changed without being noticed: `signature` (or what is shown instead), `body`, `time`."""
        return frozenset({"signature"})

    @property
    def seals(self) -> bool:
        """Whether the signature goes into the body."""
        return False

    @property
    def text(self) -> str:
        """The scheme and where its proof is, such as `hmac-sha256 in stripe-signature`."""
        return self.name

    @classmethod
    def problems(cls, definition: Mapping[str, Any]) -> Iterator[Problem]:
        """What is wrong with the parameters."""
        yield from check_params(cls.name, {k: v for k, v in definition.items() if k not in COMMON}, cls.params)

    def derive(self, text: str) -> list[bytes]:
        """The keys in the text of one secret. Raises `SecretError` without the text in it."""
        return [text.encode()]

    def keys(self) -> list[bytes]:
        """Every key that is valid now. Raises `UpstreamError`: a secret that is away is our trouble, not a forgery."""
        try:
            keys = [key for secret in self.secrets for key in self._keys_of(secret)]
        except SecretError as error:
            raise UpstreamError(str(error)) from error
        return [key[:-1] + (b"1" if key.endswith(b"0") else b"0") for key in keys] if self._forged else keys

    def secret_problems(self) -> Iterator[str]:
        """Why secrets cannot be used, never with their text."""
        for secret in self.secrets:
            try:
                self._keys_of(secret)
            except SecretError as error:
                yield str(error)

    def _keys_of(self, secret: AnySecret) -> list[bytes]:
        if isinstance(secret, Mapping):
            raise SecretError(f"{self.name} takes one text as secret, not user and password")
        keys = self.derive(secret.reveal().strip())
        if not keys or any(len(key) < MIN_KEY_BYTES for key in keys):
            name = secret if isinstance(secret, Secret) else "the secret"
            raise SecretError(f"{name} gives a key of fewer than {MIN_KEY_BYTES} bytes")
        return keys


#: keys of a definition that belong to no scheme
COMMON = frozenset({"scheme", "secret", "secrets", "needs"})


def secret_of(value: Any) -> AnySecret:
    """A secret as configured: a `Secret`, a reference as text, or a map of user and password."""
    if isinstance(value, str):
        if not value.startswith(("$env.", "$file.")):
            raise ConfigError("a secret is a reference: $env.NAME or $file.PATH")
        return Secret(value)
    if isinstance(value, Secret | Given | Mapping):
        return value
    raise ConfigError("a secret is a reference: $env.NAME or $file.PATH")


def one_header(webhook: Webhook, name: str) -> str:
    """The value of a header that comes once. A comma means that it came twice, joined: refused."""
    value = webhook.headers.get(name)
    if not value:
        raise SignatureError(f"header {name} is missing")
    if "," in value:
        raise SignatureError(f"header {name} has more than one value")
    return value


def check_age(timestamp: str, now: datetime, tolerance_s: int, per_second: int = 1) -> None:
    """Refuses a Unix time, as text, that is not within `tolerance_s` seconds of `now`, either way."""
    if not DIGITS.fullmatch(timestamp):
        raise SignatureError("the timestamp is not a number")
    if abs(now.timestamp() - int(timestamp) / per_second) > tolerance_s:
        raise SignatureError("the timestamp is too far from now")


def exact_base64(text: bytes, altchars: bytes = b"+/") -> bytes:
    """The bytes that `text` writes in the one way that base64 has for them: nothing skipped, no idle bit set."""
    try:
        raw = base64.b64decode(text, altchars, validate=True)
    except ValueError:
        raw = b""
    if base64.b64encode(raw, altchars) != text:
        raise SignatureError("base64 text is not written as it should be")
    return raw


def header_bytes(value: str) -> bytes:
    """A header as it was on the wire. WSGI gives headers as Latin-1."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise SignatureError("a header holds what no header can") from None

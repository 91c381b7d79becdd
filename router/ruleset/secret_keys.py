"""Where secrets stand: keys whose values no message repeats, headers and parameters that carry credentials, URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from marshmallow import fields

from router.providers import PROVIDERS
from router.providers.bodies import schema_of


def _secrets_of(given: Mapping[str, fields.Field[Any]]) -> Iterator[str]:
    for name, each in given.items():
        if each.metadata.get("secret"):
            yield name
        if isinstance(each, fields.Nested):
            yield from _secrets_of(each.schema.fields)


#: those of destinations, but for the value of any header
_OF_ACCOUNTS: Final = {name for each in PROVIDERS.values() for name in _secrets_of(schema_of(each.Account).fields)}
_NAMES: Final = sorted({"password", "token", "verify_token", "authorization"} | (_OF_ACCOUNTS - {"value"}))
#: a key of our files under which a secret stands, in any case, also with another word before it
_KEY: Final = re.compile(rf"\w*secrets?|api_?key|{'|'.join(_NAMES)}", re.IGNORECASE)

#: words of a name, also of one in camel case
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
#: words that name a credential or a proof, also at the end of a longer one, as in `accesstoken`
_CREDENTIAL: Final = re.compile(
    "[a-z]*(?:token|secret|password|passwd|pwd|passphrase|passcode|credential|cookie|authorization|authentication|auth"
    "|bearer|jwt|assertion|signature|sig|hmac|otp"
    "|(?:api|app|access|account|auth|client|master|private|secret|service|shared|signing|webhook|write)key)s?"
)
#: words that do only by themselves and last: no `monkey`, no `design`, no `sign-in`
_LAST: Final = frozenset({"key", "keys", "pass", "sign"})
#: words before `key` that make it the name of something else
_NO_SECRET: Final = frozenset(
    {"event", "message", "object", "record", "row", "item", "entity", "resource", "document", "issue", "group"}
    | {"idempotency", "dedup", "deduplication", "correlation", "routing", "partition", "order", "ordering", "sort"}
    | {
        "cache",
        "primary",
        "foreign",
        "public",
        "kafka",
        "campaign",
        "template",
        "country",
        "retry",
    }
)
#: last words of a name that tells something about a credential
_ABOUT: Final = frozenset(
    {"algo", "algorithm", "consent", "count", "expires", "expiry", "limit", "method", "name", "provider", "remaining"}
    | {"timestamp", "type", "used", "version"}
)
#: words before `token` that make it no credential
_NO_TOKEN: Final = frozenset({"continuation", "idempotency", "next", "page", "retry"})
#: user and password before the host
_USER: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:/+)?([^/?#]+)@")
#: a parameter with its value; what stands behind a `#` may be some too
_PARAMETER: Final = re.compile(r"[?&;#]([^=&;#]+)=([^&;#]+)")
#: holes of a URL, which stand for nothing that is written there
_HOLE: Final = re.compile(r"\{[^{}]*\}")


def is_secret_key(name: str) -> bool:
    """Whether a secret stands under a key of a file: no message repeats what is there. Of keys with a hyphen, which are
    headers, the words decide."""
    return bool(_KEY.fullmatch(name)) or ("-" in name and is_secret_name(name))


def shown_key(text: str) -> str:
    """A key as messages repeat it: without what stands behind its colon where a secret may, for lack of a blank."""
    name, colon, _ = text.partition(":")
    return f"{name}:…" if colon and is_secret_key(name) else text


class InUrl(NamedTuple):
    """A credential that is written into a URL."""

    start: int
    end: int
    #: as it goes on: `… never stands in a file`
    noun: str


def credentials_in(url: str) -> list[InUrl]:
    """User and password in a URL, and the values of parameters that are called like secrets."""
    found = []
    if user := _USER.match(url):
        found.append(InUrl(*user.span(1), "a user or password in a URL"))
    found += [
        InUrl(*each.span(2), f"{each[1]} is a secret and")
        for each in _PARAMETER.finditer(url)
        if is_secret_name(unquote(each[1])) and _HOLE.sub("", each[2])
    ]
    return found


def is_secret_name(name: str) -> bool:
    """Whether a header or parameter of this name carries a credential or a signature: judged by its words."""
    return any(_says_secret([word.lower() for word in _WORD.findall(each)]) for each in (name, name.lower()))


def _says_secret(words: list[str]) -> bool:
    if words[-1:] and words[-1] in _ABOUT:
        return False
    if len(words) > 1 and words[-1] == "token" and words[-2] in _NO_TOKEN:
        words = words[:-2]
    glued = (first + second for first, second in pairwise(words))
    if any(map(_CREDENTIAL.fullmatch, (*words, *glued))):
        return True
    *before, last = words or [""]
    return last in _LAST and not (last.startswith("key") and before and before[-1] in _NO_SECRET)

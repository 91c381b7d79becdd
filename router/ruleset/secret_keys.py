"""Names of secrets: keys whose values no message repeats, and headers and parameters that carry credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

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
SECRET_KEY: Final = re.compile(rf"\w*secrets?|api_?key|{'|'.join(_NAMES)}", re.IGNORECASE)

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
    | {"cache", "primary", "foreign", "public"}
)


def is_secret_name(name: str) -> bool:
    """Whether a header or parameter of this name carries a credential or a signature: judged by its words."""
    return any(_says_secret([word.lower() for word in _WORD.findall(each)]) for each in (name, name.lower()))


def _says_secret(words: list[str]) -> bool:
    glued = (first + second for first, second in pairwise(words))
    if any(map(_CREDENTIAL.fullmatch, (*words, *glued))):
        return True
    *before, last = words or [""]
    return last in _LAST and not (last.startswith("key") and before and before[-1] in _NO_SECRET)

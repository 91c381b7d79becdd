"""Keys under which secrets stand: what is written there is repeated by no message, whether or not it could be read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
#: such a key, in any case, also with another word before it
SECRET_KEY: Final = re.compile(rf"\w*secrets?|api_?key|{'|'.join(_NAMES)}", re.IGNORECASE)

"""Look-ups: which profiles an e-mail address or phone number was written to, by a keyed hash of it."""

from __future__ import annotations

import hashlib
import hmac

from sqlalchemy import Connection, bindparam, select

from router.store.schema import lookups

_FIND = select(lookups.c.profile).where(lookups.c.key == bindparam("of_key")).order_by(lookups.c.profile)


def key(router_key: str, value: str) -> str:
    """The keyed hash of an address or number, 32 hex digits; upper and lower case are the same."""
    return hmac.new(router_key.encode(), value.strip().casefold().encode(), hashlib.sha256).hexdigest()[:32]


def find(tx: Connection, hashed: str) -> list[str]:
    """The profiles that it was written to, in order."""
    return list(tx.execute(_FIND, {"of_key": hashed}).scalars())

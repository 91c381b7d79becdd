"""Sources: from the bytes of a webhook to verified events. Pure code; the clock and the network are arguments.

`Source` is one configured sender, `PRESETS` the known ones, `problems` what the rule checker says about a `verify`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from router.sources.base import Answer, Envelope, Identity, Reader
from router.sources.handshakes import HANDSHAKES, handshake_problems
from router.sources.jsontext import decode_json, encode_json
from router.sources.presets import PRESETS, lay_over
from router.sources.schemes import SCHEMES, Fetcher, Given, Problem, build, problems, secret_kinds
from router.sources.source import Source

__all__ = [
    "HANDSHAKES",
    "PRESETS",
    "SCHEMES",
    "Answer",
    "Envelope",
    "Fetcher",
    "Identity",
    "Problem",
    "Reader",
    "Source",
    "decode_json",
    "encode_json",
    "handshake_problems",
    "lay_over",
    "problems",
    "secret_kinds",
    "sign",
]


def sign(
    verify: Mapping[str, Any],
    body: bytes,
    secret: str,
    *,
    now: datetime,
    event_id: str = "msg_1",
    method: str = "POST",
    url: str | None = None,
) -> dict[str, str]:
    """The headers that a sender with this `verify` definition would send with `body`.

    `secret` is its text (`user:password` for `basic`), `now` is aware, `url` is for schemes that sign it. Raises
    `ConfigError` where only the sender can sign.
    """
    user, _, password = secret.partition(":")
    pair = {"user": Given(user), "password": Given(password)}
    return build(verify, [Given(secret), pair], url).sign(body, now=now, event_id=event_id, method=method)

"""`ack:` of a source: what a stored webhook is answered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from router.ruleset.keys import ACK
from router.ruleset.shape import Findings
from router.ruleset.tree import MapNode, Node, Scalar, plain
from router.sources.base import Answer

#: https://www.rfc-editor.org/rfc/rfc9110#section-5.1
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
#: headers that no `ack` sets, and what does
_SERVERS_OWN = {
    "content-type": "write type: …",
    **dict.fromkeys(("connection", "content-length", "date", "keep-alive", "server", "trailer", "trailers"), ""),
    **dict.fromkeys(("proxy-authenticate", "proxy-authorization", "te", "transfer-encoding", "upgrade"), ""),
}
#: https://www.rfc-editor.org/rfc/rfc9110#section-15.3.5
_EMPTY = frozenset({204, 205})


def read_answer(node: Node | None, preset: Mapping[str, Any], findings: Findings) -> Answer:
    """The answer under `ack`, laid over the preset's."""
    given = dict(preset.get("ack") or {})
    if isinstance(node, MapNode):
        parts = findings.read(node, ACK, "ack")
        given.update({name: plain(part) for name, part in parts.items()})
        _check_headers(parts.get("type"), parts.get("headers"), findings)
    status = given.get("status", 200)
    if not 200 <= status <= 299 and isinstance(node, MapNode):
        findings.add(node.get("status") or node, "unknown-value", "status is between 200 and 299")
    if status in _EMPTY and isinstance(node, MapNode) and (key := node.key_node("body")) is not None:
        hint = "take it out, or write status: 200"
        findings.add(key, "unknown-value", f"an answer with status {status} has no body", hint)
    body = None if status in _EMPTY else given.get("body", {})
    headers = {str(name).lower(): str(value) for name, value in (given.get("headers") or {}).items()}
    return Answer(status, body, given.get("type"), headers)


def _check_headers(kind: Node | None, headers: Node | None, findings: Findings) -> None:
    """What could not be sent would break the answer to a webhook that is stored."""
    values = [kind] if kind is not None else []
    for key, value in headers.pairs if isinstance(headers, MapNode) else ():
        name = key.text.lower()
        values.append(value)
        if not _HEADER_NAME.fullmatch(name):
            message = "a header's name is letters, digits and hyphens"
            findings.add(key, "unknown-value", message, "as in X-Request-Id")
        elif name in _SERVERS_OWN:
            findings.add(key, "unknown-value", f"the server itself says {name}", _SERVERS_OWN[name])
    for value in values:
        if not isinstance(value, Scalar) or not _HEADER_VALUE.fullmatch(str(plain(value))):
            findings.add(value, "unknown-value", "a header's value is one line of printable ASCII")

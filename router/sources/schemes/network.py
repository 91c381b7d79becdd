"""`network`: where a request comes from. It adds to another scheme; alone it is weak."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from router.errors import SignatureError
from router.model import Webhook
from router.sources.schemes.base import AnySecret, Fetcher, Param, Problem, Scheme, as_list, header_bytes


class Network(Scheme):
    """The sender's address, and a header that a proxy which ended mutual TLS has set.

    The address is what the web process found, behind trusted proxies only. That process also deletes the header from
    every request that did not come through a trusted proxy (`Source.proxy_headers`).
    """

    name = "network"
    takes = "none"
    params: ClassVar[Mapping[str, Param]] = {
        "ip_allow": Param("texts"),
        "mtls_header": Param(
            "map", keys={"name": Param("header", required=True), "value": Param("texts", required=True)}
        ),
    }

    def __init__(self, definition: Mapping[str, Any], secrets: Sequence[AnySecret], url: str | None = None) -> None:
        super().__init__(definition, secrets, url)
        self._networks = [ipaddress.ip_network(text) for text in as_list(definition.get("ip_allow"))]
        header = definition.get("mtls_header", {})
        self.header: str = header.get("name", "").lower()
        self._values = [text.encode() for text in as_list(header.get("value"))]

    @classmethod
    def problems(cls, definition: Mapping[str, Any]) -> Iterator[Problem]:
        """Also ranges that are none."""
        yield from super().problems(definition)
        if not definition.keys() & {"ip_allow", "mtls_header"}:
            yield ("scheme",), "network needs ip_allow or mtls_header", ""
        for text in as_list(definition.get("ip_allow")):
            try:
                ipaddress.ip_network(text)
            except ValueError:
                yield ("ip_allow",), f"{text} is no network", "as in 192.0.2.0/24"

    def verify(self, webhook: Webhook, now: datetime, fetch: Fetcher | None) -> None:
        """Both hold, where both are configured."""
        if self._networks:
            try:
                address = ipaddress.ip_address(webhook.remote_addr)
            except ValueError:
                raise SignatureError("the address is not known") from None
            mapped = getattr(address, "ipv4_mapped", None)
            address = mapped or address
            if not any(address in network for network in self._networks):
                raise SignatureError("the address is not allowed")
        if self.header:
            given = header_bytes(webhook.headers.get(self.header, ""))
            genuine = False
            for value in self._values:
                genuine |= hmac.compare_digest(value, given)
            if not genuine:
                raise SignatureError(f"header {self.header} names another client")

    def sign(self, body: bytes, *, now: datetime, event_id: str, method: str = "POST") -> dict[str, str]:
        """The header, if one is configured; an address cannot be signed."""
        return {self.header: self._values[0].decode()} if self.header else {}

    @property
    def covers(self) -> frozenset[str]:
        return frozenset()

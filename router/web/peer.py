"""Who is at the other end: the connection's address, or the one a trusted proxy tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

from router.errors import ConfigError


class Peer(NamedTuple):
    """The sender's address as text, and whether proxies in front of us vouch for it."""

    address: str
    proxied: bool


class Proxies:
    """The proxies whose `X-Forwarded-For` is believed."""

    def __init__(self, trusted: Sequence[str]) -> None:
        """`trusted` holds addresses and networks. Raises `ConfigError`."""
        try:
            self.networks: list[IPv4Network | IPv6Network] = [ip_network(text) for text in trusted]
        except ValueError as error:
            raise ConfigError(f"ROUTER_TRUSTED_PROXIES: {error}") from None

    def peer(self, environ: Mapping[str, Any]) -> Peer:
        """The connection's address; behind trusted proxies the last one of the chain that is no such proxy."""
        address: str = environ.get("REMOTE_ADDR") or ""
        if not self.networks or not self._is_trusted(address):
            return Peer(address, proxied=False)
        chain = [part.strip() for part in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        for hop in reversed(chain):
            if "%" in hop or _address(hop) is None:  # what is behind a % may be anything
                break
            address = hop
            if not self._is_trusted(hop):
                break
        return Peer(address, proxied=True)

    def _is_trusted(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self.networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

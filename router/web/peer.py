"""Who is at the other end: the connection's address, or the one a trusted proxy tells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

from router.addresses import is_public
from router.errors import ConfigError

#: some proxies write the port too
_WITH_PORT = re.compile(r"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\])(?::[0-9]{1,5})?")


class Peer(NamedTuple):
    """Who is at the other end."""

    #: empty if a proxy says it in a way that cannot be read
    address: str
    #: whether proxies in front of us vouch for it
    proxied: bool
    #: whether it is the sender's own: not that of a proxy, or of an inner network, which may stand for everybody
    own: bool


class Proxies:
    """The proxies whose `X-Forwarded-For` is believed."""

    def __init__(self, trusted: Sequence[str]) -> None:
        """`trusted` holds addresses and networks. Raises `ConfigError`."""
        try:
            self.networks: list[IPv4Network | IPv6Network] = [ip_network(text) for text in trusted]
        except ValueError as error:
            raise ConfigError(f"ROUTER_TRUSTED_PROXIES: {error}") from None

    def peer(self, environ: Mapping[str, Any]) -> Peer:
        """The connection's address; behind trusted proxies the last one of the chain that is no such proxy.

        A hop that cannot be read is somebody, and nobody knows who: neither the proxy nor an earlier hop.
        """
        address: str = environ.get("REMOTE_ADDR") or ""
        if not self.networks or not self._is_trusted(address):
            return Peer(address, proxied=False, own=is_public(address))
        forwarded: str = environ.get("HTTP_X_FORWARDED_FOR", "")
        for hop in reversed(forwarded.split(",") if forwarded.strip() else []):
            address = _hop(hop.strip())
            if not self._is_trusted(address):
                return Peer(address, proxied=True, own=address != "")
        return Peer(address, proxied=True, own=False)

    def _is_trusted(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self.networks)


def _hop(text: str) -> str:
    """The address of one hop, in its one spelling; empty if there is none. What is behind a % may be anything."""
    found = _WITH_PORT.fullmatch(text)
    address = _address((found[1] or found[2]) if found else "" if "%" in text else text)
    return "" if address is None else str(address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

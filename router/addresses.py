"""Where the router may connect to: one URL parser, and the guard against requests to inner networks (SSRF).

The ranges are the special-purpose registries of IANA (https://www.iana.org/assignments/iana-ipv4-special-registry,
https://www.iana.org/assignments/iana-ipv6-special-registry) and the metadata addresses that clouds serve outside them:
Azure 168.63.129.16, Alibaba 100.100.100.200, Oracle 192.0.0.192, AWS fd00:ec2::254.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from router.errors import TransportError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


#: never reached, whatever a configuration says: link-local, metadata, unspecified, multicast, reserved
_NEVER = _networks(
    "0.0.0.0/8",
    "169.254.0.0/16",
    "168.63.129.16/32",
    "100.100.100.200/32",
    "192.0.0.192/32",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "fe80::/10",
    "fd00:ec2::254/128",
    "ff00::/8",
)
#: not public; reached only if the configuration opens them
_INNER = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_NAT64 = _networks("64:ff9b::/96", "64:ff9b:1::/48")
_COMPATIBLE = IPv6Network("::/96")

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[^/?#@:\[\]\\\s]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>[/?][!$-;=?-\[\]-~]*)?"
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
INNER_NAMES = (".localhost", ".local", ".internal")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart once. What is connected to, verified and sent is this."""

    scheme: str
    #: lower case, ASCII; an IPv6 address without brackets
    host: str
    port: int
    #: path and query as written, at least `/`
    path: str

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine, literally."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a destination's configuration opens besides public addresses."""

    networks: tuple[Network, ...] = ()
    #: development: every inner network
    dev: bool = False

    @classmethod
    def of(cls, networks: Iterable[str], *, dev: bool) -> Policy:
        """From CIDR texts. Raises `TransportError` if one is none."""
        try:
            return cls(_networks(*networks), dev)
        except ValueError:
            raise TransportError("networks of the destination: not a CIDR range", sent=False) from None


def parse(url: str) -> Target:
    """Take an absolute, already escaped http or https URL apart. Else raises `TransportError` (not sent)."""
    match = _URL.fullmatch(url)
    if match is None:
        raise TransportError("the URL is not an absolute http or https URL in ASCII", sent=False)
    scheme, host, port, path = match.group("scheme", "host", "port", "path")
    number = int(port) if port else 443 if scheme == "https" else 80
    if not 0 < number < 65536:
        raise TransportError("the URL's port is out of range", sent=False)
    path = path or "/"
    return Target(scheme, _ascii_host(host), number, path if path.startswith("/") else "/" + path)


@lru_cache(maxsize=512)
def _ascii_host(host: str) -> str:
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            raise TransportError("the URL's host is no IPv6 address", sent=False) from None
    try:
        name = host.encode("idna").decode("ascii").lower() if not host.isascii() else host.lower()
    except UnicodeError:
        raise TransportError("the URL's host has no ASCII form", sent=False) from None
    labels = name.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise TransportError("the URL's host is an odd spelling of an address", sent=False) from None
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise TransportError("the URL's host is not a name", sent=False)
    return name


@lru_cache(maxsize=512)
def literal(host: str) -> Address | None:
    """The address a host is, if it is one."""
    try:
        return ip_address(host)
    except ValueError:
        return None


@lru_cache(maxsize=512)
def is_public(text: str) -> bool:
    """Whether a text is an address of the public network."""
    address = literal(text)
    return address is not None and all(
        _is_public(real) and not any(real in network for network in _NEVER) for real in _unwrapped(address)
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, literally."""
    address = literal(host)
    return host == "localhost" if address is None else address.is_loopback


def check_name(target: Target, policy: Policy) -> None:
    """Refuse names that mean inner hosts (`.local`, …) unless the configuration opens a network."""
    if target.host.endswith(INNER_NAMES) and not policy.networks and not policy.dev:
        raise TransportError(f"{target.host}: names of inner hosts need `networks`", sent=False)


def check(target: Target, addresses: Sequence[Address], policy: Policy) -> None:
    """Refuse unless every address may be connected to. Raises `TransportError` (not sent)."""
    if not addresses:
        raise TransportError(f"{target.host}: the name has no address", sent=False)
    for address in addresses:
        for real in _unwrapped(address):
            _check_one(target, real, policy)


def _check_one(target: Target, address: Address, policy: Policy) -> None:
    if any(address in network for network in _NEVER):
        raise TransportError(f"{target.host}: its address is never connected to", sent=False)
    if _is_public(address):
        if target.scheme != "https":
            raise TransportError(f"{target.host}: public hosts are spoken to by https only", sent=False)
        return
    if address.is_loopback and target.is_loopback:
        return
    if policy.dev or any(address in network for network in policy.networks):
        return
    raise TransportError(f"{target.host}: its address is in an inner network that is not opened", sent=False)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        return False
    return not any(address in network for network in _INNER)


def _unwrapped(address: Address) -> tuple[Address, ...]:
    """The addresses an IPv6 address stands for: IPv4-mapped, IPv4-compatible, 6to4, Teredo, NAT64; else itself."""
    if isinstance(address, IPv4Address) or address.is_loopback or address.is_unspecified:
        return (address,)
    if address.ipv4_mapped:
        return (address.ipv4_mapped,)
    if address.sixtofour:
        return (address.sixtofour,)
    if address.teredo:
        return address.teredo
    if address in _COMPATIBLE or any(address in network for network in _NAT64):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return (address,)

"""Decides which addresses may be called for users: public ones on the ports of the web, and networks that an operator
allows."""

import ipaddress
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

WEB_PORTS = frozenset({80, 443})

_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure: the machine's own agent answers there
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "::/96",  # IPv4-compatible
        "::ffff:0:0:0/96",  # IPv4-translated: an IPv4 address is inside
        "64:ff9b::/96",  # NAT64: an IPv4 address is inside
        "64:ff9b:1::/48",  # NAT64 of one's own
        "2001::/23",  # protocol assignments, Teredo among them
        "2002::/16",  # 6to4: an IPv4 address is inside
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local
    )
)
"""Networks that some Python versions of `ipaddress` call global although they are internal or unused."""
_LOOPBACK = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_HOST_END = 2000
"""Number of characters of a URL in which its host has to end: the time of splitting can grow by the square of it."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parse comma-separated networks in CIDR notation. Raises `ValueError`, which names the invalid one."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def is_public(address: Address) -> bool:
    """Tell whether the address is a public unicast address."""
    address = _unmapped(address)
    return address.is_global and not address.is_multicast and not _within(address, _NOT_PUBLIC)


def may_connect(
    address: Address, port: int, allowed: Sequence[Network] = (), ports: Collection[int] = WEB_PORTS
) -> bool:
    """Tell whether a connection is permitted: to a public address on one of `ports`, or to any port in `allowed`."""
    return _within(_unmapped(address), allowed) or (port in ports and is_public(address))


def why_unreachable(url: str, allowed: Sequence[Network], setting: str) -> str | None:
    """Return why a URL can never be called, and the setting that changes it; None if it may be called.

    A host that is a name is looked up only when it is called, so that this is decided by its port alone.
    """
    try:
        parts = urlsplit(url[:_MAX_HOST_END])
        host, port = parts.hostname or "", _DEFAULT_PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    except ValueError:
        return "its host or port is not valid."
    addresses = _literal(host)
    if not addresses:
        if port in WEB_PORTS or allowed:
            return None
        return f"its port is neither 80 nor 443. Others are open in the networks of {setting} only."
    if any(may_connect(address, port, allowed) for address in addresses):
        return None
    if any(map(is_public, addresses)):
        return "public addresses are called on the ports 80 and 443 only."
    return f"its address is not public. Add its network to {setting}."


def _literal(host: str) -> Sequence[Address]:
    """Return the addresses that a host is without being looked up; empty for a name."""
    if host == "localhost" or host.endswith(".localhost"):
        return _LOOPBACK
    try:
        return (ipaddress.ip_address(host),)
    except ValueError:
        return ()


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)

"""The way out to addresses that users name: connections go to public addresses alone, checked when they are made.

The check sits where the socket is created, on the very address that is about to be used. A name that resolved to a
public address a moment ago, a literal in an odd spelling and a redirect all end up here.
"""

import ipaddress
import socket
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from aiohttp import ClientError, ClientResponse, TCPConnector
from aiohttp.abc import AbstractResolver

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

WEB_PORTS = frozenset({80, 443})

_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "::/96",  # IPv4-compatible
        "64:ff9b::/96",  # NAT64: an IPv4 address is inside
        "64:ff9b:1::/48",  # NAT64 of one's own
        "2001::/23",  # protocol assignments, Teredo among them
        "2002::/16",  # 6to4: an IPv4 address is inside
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local
    )
)
"""Networks that `ipaddress` of some Python versions calls global, and that lead inside or nowhere."""


class AddressRefused(OSError):
    """This address is not a public one on a web port. An operator may allow its network."""

    def __init__(self) -> None:
        # One text for all addresses: aiohttp then keeps the type when it tried several and all were refused.
        super().__init__((type(self).__doc__ or "").strip())


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read networks in CIDR notation with commas between; raises `ValueError` that names the wrong one."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def is_public(address: Address) -> bool:
    """Whether the address belongs to somebody on the Internet."""
    address = _inner(address)
    return address.is_global and not address.is_multicast and not _within(address, _NOT_PUBLIC)


def may_connect(
    address: Address, port: int, allowed: Sequence[Network] = (), ports: Collection[int] = WEB_PORTS
) -> bool:
    """Public addresses on the given ports, and any port in networks that were allowed."""
    return _within(_inner(address), allowed) or (port in ports and is_public(address))


def guarded_connector(
    allowed: Sequence[Network] = (),
    *,
    ports: Collection[int] = WEB_PORTS,
    keep_alive: bool = True,
    limit: int = 100,
    limit_per_host: int = 0,
    resolver: AbstractResolver | None = None,
) -> TCPConnector:
    """A connector that raises `AddressRefused` (as the `os_error` of aiohttp's error) for what must not be reached.

    It only guards sessions that use no proxy: pass `trust_env=False` to them. A limit of 0 is none.
    """

    def create(info: Any) -> socket.socket:
        family, kind, protocol, _, (host, port, *_) = info
        if not may_connect(ipaddress.ip_address(host), port, allowed, ports):
            raise AddressRefused
        return socket.socket(family, kind, protocol)

    return TCPConnector(
        socket_factory=create,
        force_close=not keep_alive,
        limit=limit,
        limit_per_host=limit_per_host,
        resolver=resolver,
    )


async def read_at_most(response: ClientResponse, limit: int) -> tuple[bytes, bool]:
    """The first `limit` bytes of a reply's body, and whether that is all of it.

    A peer that breaks off or dawdles past the session's time-out gives what came until then; the connection is
    closed unless the body was read to its end.
    """
    body = bytearray()
    try:
        while len(body) < limit:
            part = await response.content.read(limit - len(body))
            if not part:
                return bytes(body), True
            body += part
    except (ClientError, OSError, TimeoutError):
        response.close()
        return bytes(body), False
    if response.content.at_eof():
        return bytes(body), True
    response.close()
    return bytes(body), False


def _inner(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)

"""Guards connections to addresses that users name: they may reach public addresses only.

The check is made when the socket is created, on the address that is about to be used, so that a changed DNS answer, an
unusual spelling of an address and a redirect cannot bypass it.
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


class AddressRefused(OSError):
    """This address is not a public one on a web port. An operator may allow its network."""

    def __init__(self) -> None:
        # One text for all addresses: aiohttp then keeps the type when it tried several and all were refused.
        super().__init__((type(self).__doc__ or "").strip())


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


def guarded_connector(
    allowed: Sequence[Network] = (),
    *,
    ports: Collection[int] = WEB_PORTS,
    keep_alive: bool = True,
    limit: int = 100,
    limit_per_host: int = 0,
    resolver: AbstractResolver | None = None,
) -> TCPConnector:
    """Return a connector that raises `AddressRefused` (as the `os_error` of aiohttp's error) for other addresses.

    Guards sessions without a proxy only: pass `trust_env=False` to them. A limit of 0 means no limit.
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
    """Return the first `limit` bytes of a response's body, and True if that is the whole body.

    After a lost connection or a time-out of the session, returns the bytes received so far and False. The connection
    is closed unless the body was read to its end.
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


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)

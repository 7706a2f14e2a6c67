"""Guards connections to addresses that users name: they may reach public addresses only.

The check is made when the socket is created, on the address that is about to be used, so that a changed DNS answer, an
unusual spelling of an address and a redirect cannot bypass it.
"""

import ipaddress
import socket
from collections.abc import Collection, Sequence
from typing import Any

from aiohttp import ClientError, ClientResponse, TCPConnector
from aiohttp.abc import AbstractResolver

from batchyard_contracts.egress import WEB_PORTS, Network, may_connect


class AddressRefused(OSError):
    """This address is not a public one on a web port. An operator may allow its network."""

    def __init__(self) -> None:
        # One text for all addresses: aiohttp then keeps the type when it tried several and all were refused.
        super().__init__((type(self).__doc__ or "").strip())


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

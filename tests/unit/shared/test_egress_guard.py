"""The guarded connector: nothing but public addresses, however they are spelled and whatever a name resolves to."""

import asyncio
import gzip
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from batchyard_contracts.egress import Network, is_public, may_connect, parse_networks
from shared.runtime.egress_guard import AddressRefused, guarded_connector, read_at_most
from tests.support.raw_server import raw_server

INSIDE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
]
OUTSIDE = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "192.0.1.1", "::ffff:8.8.8.8", "2606:4700::1111"]
LOOPBACK = parse_networks("127.0.0.0/8,::1/128")


@pytest.mark.parametrize("text", INSIDE)
def test_an_internal_address_is_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))
    assert not may_connect(ipaddress.ip_address(text), 443)


@pytest.mark.parametrize("text", OUTSIDE)
def test_an_external_address_is_public(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert is_public(address)
    assert may_connect(address, 80)
    assert may_connect(address, 443)
    assert not may_connect(address, 22)
    assert may_connect(address, 8080, ports={8080})


def test_an_allowed_network_is_open_on_any_port_also_for_mapped_addresses() -> None:
    for text in ("127.0.0.1", "::ffff:127.0.0.1", "::1"):
        assert may_connect(ipaddress.ip_address(text), 5432, LOOPBACK)
    assert not may_connect(ipaddress.ip_address("10.0.0.1"), 443, LOOPBACK)


def test_networks_are_read_strictly() -> None:
    assert parse_networks("") == ()
    assert parse_networks(" 10.0.0.0/8 , fd00::/8 ") == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("fd00::/8"),
    )
    with pytest.raises(ValueError, match="example"):
        parse_networks("10.0.0.0/8,example")


class Says(AbstractResolver):
    """Resolves every name to the given addresses, another list each time if there are several."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=text,
                port=port,
                family=socket.AF_INET6 if ":" in text else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for text in answer
        ]

    async def close(self) -> None:
        return


class Listener:
    """A server on loopback that counts who gets through."""

    def __init__(self) -> None:
        self.hits = 0
        self.port = 0
        self.body = b"ok"

    async def serve(self, _: web.Request) -> web.Response:
        self.hits += 1
        return web.Response(body=self.body)


@pytest.fixture
async def inside() -> AsyncIterator[Listener]:
    listener = Listener()
    app = web.Application()
    app.router.add_get("/{tail:.*}", listener.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as bound:
        listener.port = bound.getsockname()[1]
        await web.SockSite(runner, bound).start()
        yield listener
        await runner.cleanup()


@asynccontextmanager
async def session(
    port: int, allowed: tuple[Network, ...] = (), resolver: AbstractResolver | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session for which the listener's port is a web port: the address alone decides."""
    connector = guarded_connector(allowed, ports={port}, keep_alive=False, resolver=resolver)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=connector, trust_env=False, timeout=timeout) as opened:
        yield opened


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "①②⑦.⓪.⓪.①",
        "user:pass@127.0.0.1",
        "example.org@127.0.0.1",
    ],
)
async def test_no_spelling_of_loopback_gets_through(inside: Listener, host: str) -> None:
    async with session(inside.port) as opened:
        with pytest.raises((aiohttp.ClientConnectorError, aiohttp.InvalidURL)) as caught:
            await opened.get(f"http://{host}:{inside.port}/")
    error = caught.value
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientConnectorDNSError):
        assert isinstance(error.os_error, AddressRefused)
    assert inside.hits == 0


@pytest.mark.parametrize(
    "addresses", [[text] for text in INSIDE] + [["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254"]]
)
async def test_no_name_leads_inside(inside: Listener, addresses: list[str]) -> None:
    async with session(inside.port, resolver=Says(addresses)) as opened:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await opened.get(f"http://hooks.example:{inside.port}/")
    assert isinstance(caught.value.os_error, AddressRefused)
    assert inside.hits == 0


async def test_a_name_that_changes_its_mind_is_checked_each_time(inside: Listener) -> None:
    resolver = Says(["127.0.0.1"], ["::1"])
    async with session(inside.port, allowed=parse_networks("127.0.0.0/8"), resolver=resolver) as opened:
        connector = opened.connector
        assert isinstance(connector, aiohttp.TCPConnector)
        async with opened.get(f"http://hooks.example:{inside.port}/") as response:
            assert response.status == 200
        connector.clear_dns_cache()
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await opened.get(f"http://hooks.example:{inside.port}/")
    assert isinstance(caught.value.os_error, AddressRefused)
    assert (inside.hits, resolver.asked) == (1, 2)


async def test_a_redirect_inside_is_refused_too(inside: Listener) -> None:
    async def away(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"http://[::1]:{inside.port}/"})

    app = web.Application()
    app.router.add_get("/", away)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with session(inside.port, allowed=parse_networks("127.0.0.0/8")) as opened:
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                await opened.get(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    finally:
        await runner.cleanup()
    assert isinstance(caught.value.os_error, AddressRefused)
    assert inside.hits == 0


async def test_other_ports_are_refused_outside(inside: Listener) -> None:
    async with session(443, resolver=Says(["8.8.8.8"])) as opened:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await opened.get(f"http://hooks.example:{inside.port}/")
    assert isinstance(caught.value.os_error, AddressRefused)


async def test_a_proxy_from_the_environment_is_not_used(inside: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{inside.port}")
    async with session(inside.port, resolver=Says(["10.0.0.1"])) as opened:
        with pytest.raises(aiohttp.ClientConnectorError):
            await opened.get(f"http://hooks.example:{inside.port}/")
    assert inside.hits == 0


@pytest.mark.parametrize(
    ("size", "kept", "whole"), [(0, 0, True), (99, 99, True), (101, 100, False), (9_000_000, 100, False)]
)
async def test_a_body_is_read_up_to_the_limit(inside: Listener, size: int, kept: int, whole: bool) -> None:
    inside.body = b"x" * size
    async with session(inside.port, LOOPBACK) as opened, opened.get(f"http://127.0.0.1:{inside.port}/") as response:
        body, complete = await read_at_most(response, 100)
    assert (len(body), complete) == (kept, whole)


async def test_a_body_that_breaks_off_gives_what_came() -> None:
    async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        await writer.drain()

    async with raw_server(half) as port, session(0, LOOPBACK) as opened:
        response = await opened.get(f"http://127.0.0.1:{port}/")
        assert await read_at_most(response, 100) == (b"half", False)


async def test_a_compressed_body_is_limited_as_it_is_on_the_wire_when_told_not_to_unpack(inside: Listener) -> None:
    bomb = gzip.compress(bytes(10_000_000))

    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        opened = aiohttp.ClientSession(connector=guarded_connector(LOOPBACK), auto_decompress=False)
        async with opened, opened.get(f"http://127.0.0.1:{runner.addresses[0][1]}/") as response:
            body, whole = await read_at_most(response, 65_536)
    finally:
        await runner.cleanup()
    assert body == bomb
    assert whole

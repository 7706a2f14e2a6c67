"""A load balancer of the simplest kind: each connection goes to the first address that takes it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_PIECE = 64 * 1024


@asynccontextmanager
async def failover_proxy(urls: Sequence[str]) -> AsyncIterator[str]:
    """Listen while the block lasts; yields the address, without a slash at its end. A connection ends with its
    server."""
    targets = [(parts.hostname, parts.port) for parts in map(urlsplit, urls)]
    open_ones: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for host, port in targets:
            try:
                server_reader, server_writer = await asyncio.open_connection(host, port)
            except OSError:
                continue
            ways = [
                asyncio.create_task(_pass_on(reader, server_writer)),
                asyncio.create_task(_pass_on(server_reader, writer)),
            ]
            open_ones.update(ways)
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
                open_ones.discard(way)
            server_writer.close()
            break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        for task in open_ones:
            task.cancel()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()

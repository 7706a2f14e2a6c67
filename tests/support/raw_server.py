"""A TCP server on loopback whose behaviour is one function; it has fully stopped when its context ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw_server(behaviour: Behaviour) -> AsyncIterator[int]:
    """Serve and return the port; a connection is closed when the function returns or the context ends."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # the client may go at any moment
            try:
                await behaviour(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        try:
            yield port
        finally:
            if tasks:
                _, slow = await asyncio.wait(tasks, timeout=0.5)
                for task in slow:
                    task.cancel()
                await asyncio.gather(*slow, return_exceptions=True)

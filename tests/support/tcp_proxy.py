"""A TCP proxy whose connections can be cut, refused, or held in one direction."""

import asyncio
from asyncio import StreamReader, StreamWriter
from types import TracebackType
from typing import Self

from yarl import URL


class TcpProxy:
    """Proxy that listens on a port of its own and forwards everything to a server, until it is told otherwise."""

    def __init__(self, target: str) -> None:
        self._target = URL(target)
        self._open: set[StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._refusing = False
        self._answers = asyncio.Event()
        self._answers.set()
        self.connections = 0
        """Number of connections accepted so far."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self._answers.set()
        self.cut()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """URL of the server by way of this proxy."""
        assert self._server is not None
        return str(self._target.with_host("127.0.0.1").with_port(self._server.sockets[0].getsockname()[1]))

    def cut(self) -> None:
        """Reset every open connection."""
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    def refuse(self) -> None:
        """Cut, and refuse connections until `mend`."""
        self._refusing = True
        self.cut()

    def hold_answers(self) -> None:
        """Forward what clients send, and hold back what the server sends until `mend`."""
        self._answers.clear()

    def mend(self) -> None:
        """Forward everything again."""
        self._refusing = False
        self._answers.set()

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection(self._target.host, self._target.port)
        self._open |= {writer, far_writer}
        passing = asyncio.Event()
        passing.set()
        await asyncio.gather(_pass_on(reader, far_writer, passing), _pass_on(far_reader, writer, self._answers))
        self._open -= {writer, far_writer}


async def _pass_on(reader: StreamReader, writer: StreamWriter, passing: asyncio.Event) -> None:
    """Forward one direction until either side ends it."""
    try:
        while data := await reader.read(64 * 1024):
            await passing.wait()
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        writer.transport.abort()
    else:
        writer.close()

"""An HTTP server of files on loopback, whose answers may break off, change and redirect."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.served_app import served


@dataclass(slots=True)
class FileServer:
    """Content by path. `cuts` are the bytes after which the next answers break off; `held` waits before the rest."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    hold_after: int | None = None
    released: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[dict[str, str]] = field(default_factory=list)
    """Headers of the requests, in order."""

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer as the path is set up."""
        self.asked.append(dict(request.headers))
        if target := self.redirects.get(request.path):
            return web.Response(status=302, headers={"Location": target})
        if status := self.statuses.get(request.path):
            return web.Response(status=status)
        content = self.files.get(request.path)
        if content is None:
            return web.Response(status=404)
        tag = self.headers.get("ETag")
        if tag and request.headers.get("If-Match", tag) != tag:
            return web.Response(status=412)
        answer = web.StreamResponse(headers=self.headers)
        answer.content_length = len(content)
        await answer.prepare(request)
        if self.cuts:
            await answer.write(content[: self.cuts.pop(0)])
            assert request.transport is not None
            request.transport.abort()
            return answer
        first = content[: self.hold_after] if self.hold_after is not None else content
        await answer.write(first)
        if len(first) < len(content):
            await self.released.wait()
            await answer.write(content[len(first) :])
        return answer


@asynccontextmanager
async def file_server() -> AsyncIterator[FileServer]:
    """Serve until the context ends."""
    server = FileServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.get)
    async with served(app) as url:
        server.url = url
        try:
            yield server
        finally:
            server.released.set()

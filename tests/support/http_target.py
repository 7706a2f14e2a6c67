"""A destination of HTTP calls on loopback that behaves as the path says, and counts its calls."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

ServerHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class HttpTarget:
    """HTTP server; `origins` are its two addresses."""

    origins: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    keys: list[str] = field(default_factory=list)
    """Received idempotency keys."""

    def app(self) -> web.Application:
        """Return the application that serves the target."""
        app = web.Application(middlewares=[self._counting], client_max_size=2**20)
        app.router.add_route("*", "/echo", self._echo)
        app.router.add_route("*", "/status/{status}", self._status)
        app.router.add_route("*", "/first/{status}/{key}", self._first)
        app.router.add_route("*", "/redirect", self._redirect)
        app.router.add_route("*", "/hang", self._hang)
        app.router.add_route("*", "/drop", self._drop)
        app.router.add_route("*", "/cut", self._cut)
        app.router.add_route("*", "/body", self._body)
        return app

    @web.middleware
    async def _counting(self, request: web.Request, handler: ServerHandler) -> web.StreamResponse:
        self.calls[request.path] += 1
        if key := request.headers.get("Idempotency-Key"):
            self.keys.append(key)
        return await handler(request)

    async def _echo(self, request: web.Request) -> web.Response:
        echo = {
            "method": request.method,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": await request.text(),
            "n": 7,
            "state": {"ready": True},
        }
        return web.json_response(echo, headers={"Set-Cookie": "a=b", "ETag": '"1"'})

    async def _status(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.query.items() if name != "body"}
        return web.Response(status=int(request.match_info["status"]), headers=headers, text=request.query.get("body"))

    async def _first(self, request: web.Request) -> web.Response:
        """Answer with this status the first time, then with 200."""
        status = int(request.match_info["status"]) if self.calls[request.path] == 1 else 200
        headers = {"Retry-After": "0.2"} if status == 429 else {}
        return web.json_response({"calls": self.calls[request.path]}, status=status, headers=headers)

    async def _redirect(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.query["to"]})

    async def _hang(self, request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def _drop(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    async def _body(self, request: web.Request) -> web.Response:
        kind = request.query["kind"]
        bodies = {
            "big": (b"x" * 300_000, "text/plain"),
            "bigjson": (json.dumps(["y" * 2_000_000]).encode(), "application/json"),
            "deep": (b"[" * 200 + b"]" * 200, "application/json"),
            "nonsense": (b"{not json", "application/json"),
            "binary": (bytes(range(256)), "image/png"),
            "nul": (b"a\0b", "text/plain"),
            "latin": ("caf\xe9".encode("latin-1"), "text/plain; charset=iso-8859-1"),
            "null": (b"null", "application/json"),
            "empty": (b"", "text/plain"),
        }
        body, content_type = bodies[kind]
        return web.Response(body=body, headers={"Content-Type": content_type})


@asynccontextmanager
async def http_target() -> AsyncIterator[HttpTarget]:
    """Serve on two loopback addresses until the context ends."""
    target = HttpTarget()
    runner = web.AppRunner(target.app(), access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        for host in ("127.0.0.1", "127.0.0.2"):
            await web.TCPSite(runner, host, 0).start()
        target.origins = [f"http://{address[0]}:{address[1]}" for address in runner.addresses]
        yield target
    finally:
        await runner.cleanup()

"""Liveness by progress and readiness by connections, served over HTTP for probes.

A process that is up but does nothing is not alive: each loop that has a pulse beats it in every turn, and between two
tries while a server is away. A pulse that stops makes `/livez` answer 503.
"""

import time
from collections.abc import Callable

from aiohttp import web

from shared.observability import metrics

LIMIT_S = 90.0
"""Longer than anything a loop awaits at once: a statement may take 60 seconds until it is given up."""


class Pulse:
    """The sign of life of one loop."""

    def __init__(self, name: str, limit_s: float) -> None:
        self.name = name
        self._limit_s = limit_s
        self._last: float | None = None

    def beat(self) -> None:
        """Say that the loop goes on."""
        self._last = time.monotonic()

    def rest(self) -> None:
        """Say that the loop has ended as it should."""
        self._last = None

    @property
    def alive(self) -> bool:
        """Whether the last beat is recent enough, or the loop rests."""
        return self._last is None or time.monotonic() - self._last < self._limit_s


class Health:
    """All that has to be well in one process."""

    def __init__(self) -> None:
        self._pulses: dict[str, Pulse] = {}
        self._ready: dict[str, Callable[[], bool]] = {}
        self._alive: dict[str, Callable[[], bool]] = {}
        self._counts: dict[str, Callable[[], int]] = {}

    def pulse(self, name: str, limit_s: float = LIMIT_S) -> Pulse:
        """The pulse of this name, which has to beat at least every `limit_s` seconds once it has begun."""
        return self._pulses.setdefault(name, Pulse(name, limit_s))

    def ready_when(self, name: str, check: Callable[[], bool]) -> None:
        """Make readiness depend on one more thing."""
        self._ready[name] = check

    def alive_while(self, name: str, check: Callable[[], bool]) -> None:
        """Make liveness depend on one more thing, which only another process mends."""
        self._alive[name] = check

    def count(self, name: str, count: Callable[[], int]) -> None:
        """Show a number that tells how the process fares."""
        self._counts[name] = count

    def counts(self) -> dict[str, int]:
        """The numbers to show."""
        return {name: count() for name, count in self._counts.items()}

    def stuck(self) -> list[str]:
        """The loops that have stopped, and what else is not alive."""
        stopped = [name for name, pulse in self._pulses.items() if not pulse.alive]
        return stopped + [name for name, check in self._alive.items() if not check()]

    def missing(self) -> list[str]:
        """What is not ready."""
        return [name for name, check in self._ready.items() if not check()]


class HealthServer:
    """Serves `GET /livez` and `GET /readyz`, and the numbers of the process at `GET /metrics`."""

    def __init__(self, health: Health, host: str, port: int) -> None:
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._health = health
        self._runner = web.AppRunner(app, access_log=None)
        self._host, self._port = host, port

    async def start(self) -> None:
        """Listen, unless the port is 0."""
        if self._port:
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return _answer(self._health.stuck(), self._health.counts())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._health.missing())

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})


def _answer(wrong: list[str], counts: dict[str, int] | None = None) -> web.Response:
    shown = {"counts": counts} if counts else {}
    if wrong:
        return web.json_response({"status": "fail", "wrong": wrong} | shown, status=503)
    return web.json_response({"status": "pass"} | shown)

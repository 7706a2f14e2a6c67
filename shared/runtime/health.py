"""Liveness by progress and readiness by connections, served over HTTP for probes.

A running process whose loops make no progress is not alive: each loop beats its pulse in every iteration, and between
two attempts while a server is unavailable. `/livez` answers 503 if a pulse has not beaten in time.
"""

import errno
import time
from collections.abc import Callable

from aiohttp import web

from shared.observability import metrics
from shared.runtime.errors import ConfigurationError, PortTaken

LIMIT_S = 90.0
"""Longest time between two beats, in seconds: more than any single await of a loop (a statement times out after 60)."""


class Pulse:
    """Heartbeat of one background loop within the process."""

    def __init__(self, name: str, limit_s: float) -> None:
        self.name = name
        self._limit_s = limit_s
        self._last: float | None = None

    def beat(self) -> None:
        """Record that the loop makes progress."""
        self._last = time.monotonic()

    def stop(self) -> None:
        """Record that the loop has ended on purpose: it counts as alive from now on."""
        self._last = None

    @property
    def is_alive(self) -> bool:
        """True if the last beat is recent enough, or if the loop has not started or was stopped."""
        return self._last is None or time.monotonic() - self._last < self._limit_s


class Health:
    """Liveness and readiness of one process: pulses, checks and counts."""

    def __init__(self) -> None:
        self._pulses: dict[str, Pulse] = {}
        self._ready: dict[str, Callable[[], bool]] = {}
        self._alive: dict[str, Callable[[], bool]] = {}
        self._counts: dict[str, Callable[[], int]] = {}

    def pulse(self, name: str, limit_s: float = LIMIT_S) -> Pulse:
        """Return the pulse of this name. After its first beat it must beat at least every `limit_s` seconds."""
        return self._pulses.setdefault(name, Pulse(name, limit_s))

    def add_readiness_check(self, name: str, check: Callable[[], bool]) -> None:
        """Make `/readyz` depend on one more check."""
        self._ready[name] = check

    def add_liveness_check(self, name: str, check: Callable[[], bool]) -> None:
        """Make `/livez` depend on one more check, for a fault that only a restart of the process repairs."""
        self._alive[name] = check

    def add_count(self, name: str, count: Callable[[], int]) -> None:
        """Show a number at `/livez`; it changes no status."""
        self._counts[name] = count

    def counts(self) -> dict[str, int]:
        """Return the numbers that `/livez` shows, by name."""
        return {name: count() for name, count in self._counts.items()}

    def stuck(self) -> list[str]:
        """Return the names of the loops without progress and of the failed liveness checks."""
        stopped = [name for name, pulse in self._pulses.items() if not pulse.is_alive]
        return stopped + [name for name, check in self._alive.items() if not check()]

    def missing(self) -> list[str]:
        """Return the names of the failed readiness checks."""
        return [name for name, check in self._ready.items() if not check()]


class HealthServer:
    """HTTP server of `GET /livez`, `GET /readyz` and `GET /metrics` (Prometheus)."""

    def __init__(self, health: Health, host: str, port: int) -> None:
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._health = health
        self._runner = web.AppRunner(app, access_log=None)
        self._host, self._port = host, port

    async def start(self) -> None:
        """Start listening, unless the port is 0."""
        if self._port:
            await self._runner.setup()
            try:
                await web.TCPSite(self._runner, self._host, self._port).start()
            except OSError as error:
                kind = PortTaken if error.errno == errno.EADDRINUSE else ConfigurationError
                raise kind(
                    f"Cannot listen on {self._host} port {self._port}: {error.strerror}. Set BATCHYARD_HEALTH_HOST and "
                    "BATCHYARD_HEALTH_PORT."
                ) from error

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return _response(self._health.stuck(), self._health.counts())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _response(self._health.missing())

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})


def _response(wrong: list[str], counts: dict[str, int] | None = None) -> web.Response:
    shown = {"counts": counts} if counts else {}
    if wrong:
        return web.json_response({"status": "fail", "wrong": wrong} | shown, status=503)
    return web.json_response({"status": "pass"} | shown)

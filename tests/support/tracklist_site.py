"""A stand-in for 1001tracklists.com: a real HTTP server that makes up its pages from their ids.

    python -m tests.support.tracklist_site --port 8801 --host 127.0.0.1 --host 127.0.0.2

prints one line of JSON, `{"origins": [...]}`, once it listens, and serves until SIGTERM or SIGINT. `--port 0` takes
free ports. In tests: `async with tracklist_site(hosts=2) as site: ... site.origins ... site.stats()`. What an id leads
to is the table in `tracklist_kinds`. `GET /_stats` on any host tells how often each id and host was asked, how many
requests were open at once, and the shortest time between two; `DELETE /_stats` begins anew.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from aiohttp import web

from tests.support import tracklist_gates as gates
from tests.support.tracklist_kinds import expected, kind_of, page_url, tally, urls
from tests.support.tracklist_pages import FORMS, render
from tests.support.tracklist_sets import DjSet, make_set, with_backward_cue, with_hard_names, without_cues

__all__ = ["TracklistSite", "expected", "good_page", "made_set", "page_url", "tally", "tracklist_site", "urls"]

LONG_ROWS = 150
HUGE_BYTES = 2 * 1024 * 1024 + 1

ServerHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class _HostStats:
    open_now: int = 0
    open_max: int = 0
    last_start: float | None = None
    shortest_gap_s: float | None = None
    requests: int = 0

    def start(self, now: float) -> None:
        self.requests += 1
        self.open_now += 1
        self.open_max = max(self.open_max, self.open_now)
        if self.last_start is not None:
            self.shortest_gap_s = min(now - self.last_start, self.shortest_gap_s or float("inf"))
        self.last_start = now


@dataclass(slots=True)
class TracklistSite:
    """The site: its pages and what it counted. `retry_after_s` is what `busy` and `rate` ask for."""

    slow_seconds: float = 1.0
    retry_after_s: int = 1
    origins: list[str] = field(default_factory=list)
    _fetches: Counter[str] = field(default_factory=Counter)
    _hosts: defaultdict[str, _HostStats] = field(default_factory=lambda: defaultdict(_HostStats))
    _all: _HostStats = field(default_factory=_HostStats)

    def app(self) -> web.Application:
        """The application that serves it."""
        app = web.Application(middlewares=[self._counting])
        app.router.add_get("/_stats", self._get_stats)
        app.router.add_delete("/_stats", self._delete_stats)
        app.router.add_get("/tracklist/{id}/{slug}", self._page)
        app.router.add_get("/tracklist/{id}", self._page)
        return app

    def stats(self) -> dict[str, Any]:
        """Counts since the start: `ids` and `hosts` by name, `total`, `open_max`; by host also `shortest_gap_s`."""
        return {
            "total": self._all.requests,
            "open_max": self._all.open_max,
            "ids": dict(self._fetches),
            "hosts": {
                host: {"requests": s.requests, "open_max": s.open_max, "shortest_gap_s": s.shortest_gap_s}
                for host, s in self._hosts.items()
            },
        }

    @web.middleware
    async def _counting(self, request: web.Request, handler: ServerHandler) -> web.StreamResponse:
        if request.path == "/_stats":
            return await handler(request)
        host = self._hosts[request.host]
        for stats in (host, self._all):
            stats.start(time.monotonic())
        try:
            return await handler(request)
        finally:
            host.open_now -= 1
            self._all.open_now -= 1

    async def _get_stats(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self.stats())

    async def _delete_stats(self, _: web.Request) -> web.StreamResponse:
        self._fetches.clear()
        self._hosts.clear()
        self._all = _HostStats()
        return web.Response(status=204)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        identity = request.match_info["id"]
        self._fetches[identity] += 1
        fetch = self._fetches[identity]
        try:
            kind = kind_of(identity).name
        except KeyError:
            return _html(gates.home_page(), 404)
        match kind:
            case "slow":
                await asyncio.sleep(self.slow_seconds)
            case "hang":
                await asyncio.Event().wait()
            case "moved" if "new-name" not in request.match_info.get("slug", ""):
                raise web.HTTPMovedPermanently(f"/tracklist/{identity}/new-name.html")
            case "away":
                raise web.HTTPFound(f"http://elsewhere.invalid/tracklist/{identity}/set.html")
            case "loop":
                raise web.HTTPFound(request.path)
            case "busy" | "rate" if fetch == 1:
                return _html("busy", 503 if kind == "busy" else 429, {"Retry-After": str(self.retry_after_s)})
            case "flaky" if fetch == 1:
                return _html("error", 500)
            case "down":
                return _html("error", 500)
        origin = f"{request.scheme}://{request.host}"
        return _refusal(kind) or _html(_misleading_page(kind, identity, origin, fetch) or good_page(identity, origin))


def made_set(identity: str) -> DjSet:
    """The set that a good page of this id shows."""
    kind = kind_of(identity).name
    made = make_set(identity, rows=LONG_ROWS if kind == "long" else None)
    change = {"nocue": without_cues, "back": with_backward_cue, "quot": with_hard_names}.get(kind)
    return change(made) if change else made


def good_page(identity: str, origin: str) -> str:
    """A good page, in the form that the id chooses; `turn` ids have the form with Turnstile markup."""
    form = FORMS[-1] if kind_of(identity).name == "turn" else FORMS[crc32(identity.encode()) % len(FORMS)]
    return render(made_set(identity), form, origin)


def _refusal(kind: str) -> web.Response | None:
    bodies: dict[str, tuple[str, int]] = {
        "gone": ("<title>404</title>Not found", 404),
        "shell": (gates.home_page(), 200),
        "gatea": (gates.challenge(), 200),
        "gatet": (gates.challenge("DJ Amber @ Pier 9 2026-05-16", turnstile=True), 206),
        "gateb": (gates.image_captcha(), 200),
        "login": (gates.image_captcha(), 401),
        "gatec": (gates.ip_limit(), 200),
        "gated": (gates.cloudflare(), 403),
        "huge": ("x" * HUGE_BYTES, 200),
    }
    if kind not in bodies:
        return None
    return _html(*bodies[kind], {"cf-mitigated": "challenge"} if kind == "gated" else None)


def _misleading_page(kind: str, identity: str, origin: str, fetch: int) -> str | None:
    made = make_set(identity)
    if kind == "decoy":
        rng = random.Random(f"{identity} {fetch}")
        return render(made, FORMS[3], origin, machine_name=lambda _: f"Nobody {rng.randrange(10**6)} - {rng.random()}")
    if kind == "drift":
        page = render(made, FORMS[3], origin)
        return page.replace('itemprop="name"', 'itemprop="headline"').replace("trackValue", "trackName")
    if kind == "bare":
        return render(made, FORMS[3], origin, body="<p>This set is not public.</p>")
    if kind == "empty":
        return render(made, FORMS[3], origin, body=f'<div id="tlTab" data-id="{identity}" data-count="0"></div>')
    return None


def _html(body: str, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=body, status=status, headers=headers, content_type="text/html", charset="utf-8")


@asynccontextmanager
async def tracklist_site(
    hosts: int | list[str] = 1, port: int = 0, *, slow_seconds: float = 1.0, retry_after_s: int = 1
) -> AsyncIterator[TracklistSite]:
    """Serve the site on so many loopback addresses (127.0.0.1, 127.0.0.2, …) or on those named; port 0: free ones."""
    names = [f"127.0.0.{n + 1}" for n in range(hosts)] if isinstance(hosts, int) else hosts
    site = TracklistSite(slow_seconds, retry_after_s)
    runner = web.AppRunner(site.app(), access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        for name in names:
            await web.TCPSite(runner, name, port).start()
        site.origins = [f"http://{address[0]}:{address[1]}" for address in runner.addresses]
        yield site
    finally:
        await runner.cleanup()


async def _serve(hosts: list[str], port: int, slow_seconds: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with tracklist_site(hosts, port, slow_seconds=slow_seconds) as site:
        sys.stdout.write(json.dumps({"origins": site.origins}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Serve from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.tracklist_site", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--port", type=int, default=0, help="port on every host; 0 (default): a free one on each")
    parser.add_argument("--host", action="append", help="address to listen on, may be repeated; default 127.0.0.1")
    parser.add_argument("--slow", type=float, default=1.0, help="seconds that a slow page takes")
    options = parser.parse_args()
    asyncio.run(_serve(options.host or ["127.0.0.1"], options.port, options.slow))


if __name__ == "__main__":
    main()

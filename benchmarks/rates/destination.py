"""A destination with a capacity that nobody is told: it answers at once while it is at ease, slower near its capacity,
and refuses with 429 what would have to wait too long. A process of its own, which notes what became of each call.

Arguments: pairs of seconds and calls a second (`40:100 40:40 40:150`; one `0:100` stays as it is). Each lane,
`/call/<lane>`, is a destination for itself: its schedule begins with its first call. Calls that wait form a queue: one
that would wait longer than `PATIENCE_S` is refused.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial

from aiohttp import web

BASE_S = 0.02
"""Duration of a call at an idle destination, in seconds."""
PATIENCE_S = 0.25


@dataclass(slots=True)
class Lane:
    """Its queue and its memory. Times are those of `time.monotonic`, which all processes of a machine share."""

    schedule: list[tuple[float, float]]
    began: float | None = None
    waiting: float = 0.0
    """Calls that wait, as of `at`."""
    at: float = 0.0
    calls: list[tuple[float, float | None]] = field(default_factory=list)
    """When each came, in seconds since the first, and how long its answer took; None if it was refused."""

    def call(self, now: float) -> float | None:
        """Return the duration of this call in seconds; None if it is refused."""
        if self.began is None:
            self.began = self.at = now
        capacity = self._capacity(now - self.began)
        self.waiting = max(0.0, self.waiting - (now - self.at) * capacity)
        self.at = now
        wait = self.waiting / capacity
        took = BASE_S + wait if wait <= PATIENCE_S else None
        self.waiting += took is not None
        self.calls.append((round(now - self.began, 4), took))
        return took

    def _capacity(self, passed: float) -> float:
        for seconds, capacity in self.schedule:
            if not seconds or passed < seconds:
                return capacity
            passed -= seconds
        return self.schedule[-1][1]


class Destination:
    """The HTTP server of the destination."""

    def __init__(self, schedule: list[tuple[float, float]]) -> None:
        self._lanes: defaultdict[str, Lane] = defaultdict(partial(Lane, schedule))
        self._refuses = False
        self._late_s = 0.0

    async def call(self, request: web.Request) -> web.Response:
        """One call."""
        took = self._lane(request).call(time.monotonic())
        if self._refuses:
            return web.json_response({"error": "bad key"}, status=401)
        if took is None:
            return web.json_response({"error": "rate limit"}, status=429)
        await asyncio.sleep(took)
        return web.json_response({"ok": True})

    async def refuse(self, request: web.Request) -> web.Response:
        """Refuse every call as one with a bad key, or take them again."""
        self._refuses = bool(await request.json())
        return web.json_response({})

    async def calls(self, request: web.Request) -> web.Response:
        """Every call so far, as `Lane` keeps them, and when the first came; and for how long this process was kept from
        its work at worst, so that calls of that time were noted together."""
        lane = self._lane(request)
        return web.json_response({"began": lane.began, "calls": lane.calls, "late_s": self._late_s})

    def _lane(self, request: web.Request) -> Lane:
        return self._lanes[request.match_info.get("lane", "")]

    async def watch(self) -> None:
        """Measure how late this process is."""
        while True:
            asked = time.monotonic()
            await asyncio.sleep(0.005)
            self._late_s = max(self._late_s, time.monotonic() - asked - 0.005)


async def serve(schedule: list[tuple[float, float]]) -> None:
    """Until killed."""
    destination = Destination(schedule)
    app = web.Application()
    app.add_routes(
        [
            *(web.post(path, destination.call) for path in ("/call", "/call/{lane}")),
            *(web.get(path, destination.calls) for path in ("/calls", "/calls/{lane}")),
            web.post("/refuse", destination.refuse),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    await destination.watch()


if __name__ == "__main__":
    asyncio.run(serve([(float(s), float(c)) for s, _, c in (part.partition(":") for part in sys.argv[1:])]))

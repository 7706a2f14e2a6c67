"""A destination with a capacity that nobody is told: it answers at once while it is at ease, slower near its capacity,
and refuses with 429 what would have to wait too long. A process of its own, which notes when each call came.

Arguments: pairs of seconds and calls a second (`40:100 40:40 40:150`; one `0:100` stays as it is). The schedule begins
with `POST /begin`. Calls that wait form a queue: one that would wait longer than `PATIENCE_S` is refused.
"""

import asyncio
import json
import sys
import time

from aiohttp import web

BASE_S = 0.02
"""What a call takes at an idle destination."""
PATIENCE_S = 0.25


class Destination:
    """Its queue and its memory."""

    def __init__(self, schedule: list[tuple[float, float]]) -> None:
        self._schedule = schedule
        self._began: float | None = None
        self._waiting = 0.0
        """Calls that wait, as of `_at`."""
        self._at = time.monotonic()
        self._calls: list[tuple[float, bool]] = []
        self._refuses = False
        self._late_s = 0.0

    def capacity(self, now: float) -> float:
        """Calls a second at that time."""
        passed = 0.0 if self._began is None else now - self._began
        for seconds, capacity in self._schedule:
            if not seconds or passed < seconds:
                return capacity
            passed -= seconds
        return self._schedule[-1][1]

    async def call(self, _: web.Request) -> web.Response:
        """One call."""
        now = time.monotonic()
        capacity = self.capacity(now)
        self._waiting = max(0.0, self._waiting - (now - self._at) * capacity)
        self._at = now
        wait = self._waiting / capacity
        taken = wait <= PATIENCE_S
        self._calls.append((now, taken))
        if self._refuses:
            return web.json_response({"error": "bad key"}, status=401)
        if not taken:
            return web.json_response({"error": "rate limit"}, status=429)
        self._waiting += 1
        await asyncio.sleep(BASE_S + wait)
        return web.json_response({"ok": True})

    async def refuse(self, request: web.Request) -> web.Response:
        """Refuse every call as one with a bad key, or take them again."""
        self._refuses = bool(await request.json())
        return web.json_response({})

    async def begin(self, _: web.Request) -> web.Response:
        """Start the schedule, and forget what came before."""
        self._calls.clear()
        self._late_s = 0.0
        self._began = time.monotonic()
        return web.json_response({})

    async def calls(self, _: web.Request) -> web.Response:
        """Every call so far, with seconds since the beginning and whether it was taken; and for how long this process
        was kept from its work at worst, so that calls of that time were noted together."""
        began = self._began or 0.0
        calls = [[round(at - began, 4), taken] for at, taken in self._calls]
        return web.json_response({"calls": calls, "late_s": self._late_s})

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
            web.post("/call", destination.call),
            web.post("/begin", destination.begin),
            web.post("/refuse", destination.refuse),
            web.get("/calls", destination.calls),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)  # noqa: T201
    await destination.watch()


if __name__ == "__main__":
    asyncio.run(serve([(float(s), float(c)) for s, _, c in (part.partition(":") for part in sys.argv[1:])]))

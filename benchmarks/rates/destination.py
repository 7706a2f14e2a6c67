"""A simulated destination with a capacity that it does not announce. It runs as a process of its own.

It answers at once below its capacity, later near it, and refuses a call with 429 that would wait longer than
`PATIENCE_S`. Each partition, `/call/<partition>`, has a queue of its own, whose schedule begins with its first call.
Arguments: pairs of seconds and calls a second, such as `40:100 40:40 40:150`; `0:100` never changes.
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
class CallQueue:
    """Waiting and past calls of one partition. Times are of `time.monotonic`, the same in all processes."""

    schedule: list[tuple[float, float]]
    began: float | None = None
    waiting: float = 0.0
    """Calls that wait, as of `at`."""
    at: float = 0.0
    calls: list[tuple[float, float | None]] = field(default_factory=list)
    """Arrival of each call in seconds since the first, and the duration of its answer; None if it was refused."""

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
        self._queues: defaultdict[str, CallQueue] = defaultdict(partial(CallQueue, schedule))
        self._refuses = False
        self._late_s = 0.0

    async def call(self, request: web.Request) -> web.Response:
        """Answer or refuse a call."""
        took = self._queue_of(request).call(time.monotonic())
        if self._refuses:
            return web.json_response({"error": "bad key"}, status=401)
        if took is None:
            return web.json_response({"error": "rate limit"}, status=429)
        await asyncio.sleep(took)
        return web.json_response({"ok": True})

    async def refuse(self, request: web.Request) -> web.Response:
        """Begin or end to refuse every call like one with a bad key."""
        self._refuses = bool(await request.json())
        return web.json_response({})

    async def calls(self, request: web.Request) -> web.Response:
        """Return all calls so far, the time of the first one, and the longest delay of this process."""
        queue = self._queue_of(request)
        return web.json_response({"began": queue.began, "calls": queue.calls, "late_s": self._late_s})

    def _queue_of(self, request: web.Request) -> CallQueue:
        return self._queues[request.match_info.get("partition", "")]

    async def watch(self) -> None:
        """Measure the longest delay of this process."""
        while True:
            asked = time.monotonic()
            await asyncio.sleep(0.005)
            self._late_s = max(self._late_s, time.monotonic() - asked - 0.005)


async def serve(schedule: list[tuple[float, float]]) -> None:
    """Serve until killed."""
    destination = Destination(schedule)
    app = web.Application()
    app.add_routes(
        [
            *(web.post(path, destination.call) for path in ("/call", "/call/{partition}")),
            *(web.get(path, destination.calls) for path in ("/calls", "/calls/{partition}")),
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

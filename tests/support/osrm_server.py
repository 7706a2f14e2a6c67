"""A stand-in for OSRM's table service: real HTTP, OSRM's rules of answers and errors, distances from straight lines.

The latitude of a place chooses the behaviour: south of 80° S there is no road within `FAR_M` metres (with smaller
`radiuses` it is `NoSegment`, which names the first such coordinate); north of 80° N is an island that no way leads to
or from. The profile in the path is ignored. The real server is asked in `tests/integration/test_routing_engines.py`.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Point = tuple[float, float]
"""Longitude, latitude."""
FAR_M = 1_000_000.0


@dataclass(slots=True)
class OsrmServer:
    """HTTP server and its recorded requests. `fail` answers the next calls with these statuses instead."""

    url: str = ""
    max_table_size: int = 100
    calls: int = 0
    cells: int = 0
    longest_url: int = 0
    fail: list[int] = field(default_factory=list)
    refuses: Callable[[list[Point]], web.Response | None] = lambda _: None
    """Function that gives the answer to a call with some points; None where it is the table."""
    pause_s: float = 0.0
    """Duration of each call."""

    async def table(self, request: web.Request) -> web.StreamResponse:
        """Answer `GET /table/v1/{profile}/{points}`."""
        self.calls += 1
        self.longest_url = max(self.longest_url, len(request.raw_path))
        await asyncio.sleep(self.pause_s)
        if self.fail:
            status = self.fail.pop(0)
            headers = {"Retry-After": "1"} if status == 429 else {}
            return web.json_response({"message": "Too Many Requests"}, status=status, headers=headers)
        try:
            points = [_point(text) for text in request.match_info["points"].split(";")]
            sources = _indices(request.query.get("sources"), len(points))
            targets = _indices(request.query.get("destinations"), len(points))
        except ValueError:
            return _error("InvalidQuery", "Query string malformed")
        if len(sources) * len(targets) > self.max_table_size**2:
            return _error("TooBig", "Too many table coordinates")
        radiuses = [float(text) for text in request.query.get("radiuses", "").split(";") if text]
        if refusal := self.refuses(points) or _refusal(points, radiuses):
            return refusal
        self.cells += len(sources) * len(targets)
        lines = [[_metres(points[a], points[b]) for b in targets] for a in sources]
        answer: dict[str, object] = {"code": "Ok"}
        for name, indices in (("sources", sources), ("destinations", targets)):
            answer[name] = [{"location": points[index], "distance": _snap_m(points[index])} for index in indices]
        wanted = request.query.get("annotations", "duration").split(",")
        if "duration" in wanted:
            answer["durations"] = [[None if one is None else round(one / 12.5, 1) for one in row] for row in lines]
        if "distance" in wanted:
            answer["distances"] = lines
        return web.json_response(answer)

    async def recorded(self, _: web.Request) -> web.StreamResponse:
        """Answer `GET /calls` with the recorded requests, for tests that run the server as a process of its own."""
        return web.json_response({"calls": self.calls, "cells": self.cells})

    async def pause(self, request: web.Request) -> web.StreamResponse:
        """Set the duration of calls: `POST /pause` with seconds."""
        self.pause_s = float(await request.json())
        return web.Response()


@asynccontextmanager
async def osrm_server(max_table_size: int = 100, pause_s: float = 0.0) -> AsyncIterator[OsrmServer]:
    """Serve on a free port of loopback."""
    server = OsrmServer(max_table_size=max_table_size, pause_s=pause_s)
    app = web.Application()
    app.router.add_get("/table/v1/{profile}/{points}", server.table)
    app.router.add_get("/calls", server.recorded)
    app.router.add_post("/pause", server.pause)
    async with serving(app) as url:
        server.url = url
        yield server


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve an application and return its address."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def expected_metres(origin: Point, destination: Point) -> float | None:
    """Return the distance that the server gives between two points, in metres."""
    return _metres(origin, destination)


def _metres(origin: Point, destination: Point) -> float | None:
    if origin[1] > 80 or destination[1] > 80:
        return None
    east = (destination[0] - origin[0]) * math.cos(math.radians((origin[1] + destination[1]) / 2))
    return round(math.hypot(east, destination[1] - origin[1]) * 111_195 * 1.25, 1)


def _refusal(points: list[Point], radiuses: list[float]) -> web.Response | None:
    if radiuses and len(radiuses) != len(points):
        return _error("InvalidOptions", f"Number of elements in radiuses size {len(radiuses)} does not match")
    for number, (radius, point) in enumerate(zip(radiuses, points, strict=False)):
        if _snap_m(point) > radius:
            return _error("NoSegment", f"Could not find a matching segment for coordinate {number}")
    return None


def _snap_m(point: Point) -> float:
    return FAR_M if point[1] < -80 else 4.0


def _point(text: str) -> Point:
    lon, lat = map(float, text.split(","))
    if not -90 <= lat <= 90:
        raise ValueError(text)
    return lon, lat


def _indices(text: str | None, count: int) -> list[int]:
    if text is None or text == "all":
        return list(range(count))
    indices = [int(part) for part in text.split(";")]
    if any(not 0 <= index < count for index in indices):
        raise ValueError(text)
    return indices


def _error(code: str, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=400)

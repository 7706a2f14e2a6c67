"""Stand-ins for Google's Routes API, Valhalla and openrouteservice: real HTTP, each with its own format and failures.

Distances are those of the OSRM stand-in. South of 80° S there is no road, north of 80° N no way; east of 170° E Google
has a status of its own for a cell. Valhalla answers all of that by one error for the whole block, as the real one does
(`tests/integration/test_routing_engines.py`).
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.osrm_server import Point, expected_metres, serving

KEY = "a-key-of-the-tests"
_FIELDS = {"originIndex", "destinationIndex", "status", "condition", "distanceMeters", "duration"}
_VALHALLA_MAX_KM = 400


@dataclass(slots=True)
class MatrixServer:
    """HTTP server and its recorded requests. Each element of `fail` answers one call in place of the matrix; `refuses`
    gives the answer to a call with some points, None where it is the matrix."""

    url: str = ""
    calls: int = 0
    cells: int = 0
    fail: list[web.Response] = field(default_factory=list)
    refuses: Callable[[list[Point]], web.Response | None] = lambda _: None


Answer = Callable[[MatrixServer, web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def matrix_server(name: str) -> AsyncIterator[MatrixServer]:
    """Serve one of `google`, `valhalla`, `openrouteservice` on a free port of loopback."""
    answer, path = _SERVERS[name]
    server = MatrixServer()

    async def handle(request: web.Request) -> web.Response:
        server.calls += 1
        if server.fail:
            return server.fail.pop(0)
        return server.refuses(_points(await request.json())) or await answer(server, request)

    app = web.Application()
    app.router.add_post(path, handle)
    async with serving(app) as url:
        server.url = url
        yield server


async def _google(server: MatrixServer, request: web.Request) -> web.Response:
    body = await request.json()
    if request.headers.get("X-Goog-Api-Key") != KEY:
        return google_error(403, "PERMISSION_DENIED", "The caller does not have permission")
    fields = set(request.headers.get("X-Goog-FieldMask", "").split(","))
    if not fields <= _FIELDS or "originIndex" not in fields:
        return google_error(400, "INVALID_ARGUMENT", "FieldMask is a required parameter.")
    origins, destinations = ([_lon_lat(one) for one in body[side]] for side in ("origins", "destinations"))
    if len(origins) * len(destinations) > 625:
        return google_error(400, "INVALID_ARGUMENT", "The number of elements exceeds the limit of 625.")
    server.cells += len(origins) * len(destinations)
    cells: list[dict[str, Any]] = []
    for row, start in enumerate(origins):
        for column, end in enumerate(destinations):
            cell: dict[str, Any] = {"originIndex": row, "destinationIndex": column, "status": {}}
            metres = expected_metres(start, end)
            if max(start[0], end[0]) > 170:
                cell["status"] = {"code": 3, "message": "Location is not valid."}
            elif metres is None:
                cell["condition"] = "ROUTE_NOT_FOUND"
            else:
                cell |= {"condition": "ROUTE_EXISTS", "duration": f"{round(metres / 12.5)}s"}
                cell |= {"distanceMeters": round(metres)} if metres else {}
            cells.append({name: value for name, value in cell.items() if name in fields})
    random.Random(len(cells)).shuffle(cells)
    return web.json_response(cells)


def google_error(code: int, status: str, message: str) -> web.Response:
    """Return an error in the format of the API."""
    return web.json_response({"error": {"code": code, "status": status, "message": message}}, status=code)


async def _valhalla(server: MatrixServer, request: web.Request) -> web.Response:
    body = await request.json()
    sources, targets = ([(one["lon"], one["lat"]) for one in body[side]] for side in ("sources", "targets"))
    if body["costing"] not in {"auto", "bicycle", "pedestrian"}:
        return valhalla_error(125, "No costing method found")
    if len(sources) * len(targets) > 2500:
        return valhalla_error(150, "Exceeded max locations")
    if any(lat < -85 for _, lat in (*sources, *targets)):
        return valhalla_error(171, "No suitable edges near location")
    if any(abs(lat) > 85 for _, lat in (*sources, *targets)):
        return valhalla_error(442, "No path could be found for input")
    if any(abs(lat) > 80 for _, lat in (*sources, *targets)):
        return valhalla_error(170, "Locations are in unconnected regions. Go check/edit the map at osm.org")
    metres = [[expected_metres(start, end) for end in targets] for start in sources]
    if any(one is not None and one > _VALHALLA_MAX_KM * 1000 for row in metres for one in row):
        return valhalla_error(154, "Path distance exceeds the max distance limit")
    server.cells += len(sources) * len(targets)
    table = {
        "durations": [[None if one is None else round(one / 12.5) for one in row] for row in metres],
        "distances": [[None if one is None else round(one / 1000, 3) for one in row] for row in metres],
    }
    return web.json_response({"sources_to_targets": table, "units": "kilometers", "algorithm": "costmatrix"})


def valhalla_error(code: int, text: str, status: int = 400) -> web.Response:
    """Return an error in the format of the server."""
    return web.json_response(
        {"error_code": code, "error": text, "status_code": status, "status": "Bad Request"}, status=status
    )


async def _openrouteservice(server: MatrixServer, request: web.Request) -> web.Response:
    body = await request.json()
    if request.headers.get("Authorization") != KEY:
        return web.json_response({"error": "Access to this API has been disallowed"}, status=403)
    points = [(lon, lat) for lon, lat in body["locations"]]
    sources, targets = ([points[int(index)] for index in body[side]] for side in ("sources", "destinations"))
    if len(sources) * len(targets) > 3500:
        return ors_error(6004, "Search exceeds the limit of 3500 visited routes")
    for number, (_, lat) in enumerate(points):
        if lat < -80:
            return ors_error(
                6010, f"Could not find routable point within a radius of 350.0 meters of location {number}", 404
            )
    if any(max(lon for lon, _ in points) - lon > 30 for lon, _ in points):
        return ors_error(6020, "Search exceeds the limit of visited nodes.", 500)
    server.cells += len(sources) * len(targets)
    metres = [[expected_metres(start, end) for end in targets] for start in sources]
    seconds = [[None if one is None else round(one / 12.5, 2) for one in row] for row in metres]
    snapped = {
        name: [{"location": point, "snapped_distance": 2000.0 if point[1] < -70 else 4.0} for point in some]
        for name, some in (("sources", sources), ("destinations", targets))
    }
    return web.json_response({"durations": seconds, "distances": metres, **snapped, "metadata": {}})


def ors_error(code: int, message: str, status: int = 400) -> web.Response:
    """Return an error in the format of the service."""
    return web.json_response({"error": {"code": code, "message": message}, "info": {"timestamp": 0}}, status=status)


def _points(body: dict[str, Any]) -> list[Point]:
    """Return all points of a request, whichever the server is."""
    if "origins" in body:
        return [_lon_lat(one) for side in ("origins", "destinations") for one in body[side]]
    if "targets" in body:
        return [(one["lon"], one["lat"]) for side in ("sources", "targets") for one in body[side]]
    return [(lon, lat) for lon, lat in body["locations"]]


def _lon_lat(place: dict[str, Any]) -> tuple[float, float]:
    point = place["waypoint"]["location"]["latLng"]
    return point["longitude"], point["latitude"]


_SERVERS: dict[str, tuple[Answer, str]] = {
    "google": (_google, "/distanceMatrix/v2:computeRouteMatrix"),
    "valhalla": (_valhalla, "/sources_to_targets"),
    "openrouteservice": (_openrouteservice, "/v2/matrix/{profile}"),
}

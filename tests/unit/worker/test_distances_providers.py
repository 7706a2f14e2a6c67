"""Each provider against its stand-in, over real HTTP: few calls, and a failure of one place fails that place alone."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from batchyard_contracts.workload import Context, Permanent, RateLimited, Transient, WorkloadError
from batchyard_contracts.workload.handlers import HandlerResult
from services.worker.workloads.distances.handler import run
from services.worker.workloads.distances.model import DistanceItem, DistanceResult
from services.worker.workloads.distances.opening import missing_setting, open_resources
from services.worker.workloads.distances.routing import REFUSALS_IN_A_ROW
from tests.support.matrix_servers import KEY, google_error, matrix_server, ors_error, valhalla_error
from tests.support.osrm_server import expected_metres, osrm_server

HOSTED = ("google", "valhalla", "openrouteservice")
Point = tuple[float, float]


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("BATCHYARD_DISTANCES_CACHE_TTL_S", "0")
    monkeypatch.setenv("BATCHYARD_DISTANCES_KEY", KEY)
    return monkeypatch


@asynccontextmanager
async def serving(name: str, settings: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    opening: Any = osrm_server() if name == "osrm" else matrix_server(name)
    async with opening as server:
        settings.setenv("BATCHYARD_DISTANCES_PROVIDER", name)
        settings.setenv("BATCHYARD_DISTANCES_URL", server.url)
        yield server


def item(origin: Point, destination: Point, **more: Any) -> DistanceItem:
    ends = {"origin_lon": origin[0], "origin_lat": origin[1]}
    return DistanceItem(**ends, destination_lon=destination[0], destination_lat=destination[1], **more)


def grid(rows: int, columns: int) -> list[DistanceItem]:
    return [item((r / 100, 50.0), (c / 100, 51.0)) for r in range(rows) for c in range(columns)]


async def answers(items: list[DistanceItem]) -> list[HandlerResult[DistanceResult]]:
    async with open_resources() as resources:
        context = Context(batch_id=UUID(int=1), ordinal=0, round=1, attempt=1, partition="", resources=resources)
        return list(await run(items, [context] * len(items)))


def metres(result: HandlerResult[DistanceResult]) -> int | None:
    assert isinstance(result, DistanceResult), result
    return result.metres


@pytest.mark.parametrize("name", ["osrm", *HOSTED])
async def test_a_matrix_is_one_call_and_every_pair_has_its_own_way(name: str, settings: pytest.MonkeyPatch) -> None:
    async with serving(name, settings) as server:
        items = grid(25, 25)
        found = await answers(items)
        assert server.calls == 1
        assert server.cells == 625
    for asked, result in zip(items, found, strict=True):
        exact = expected_metres((asked.origin_lon, asked.origin_lat), (asked.destination_lon, asked.destination_lat))
        assert exact is not None
        assert metres(result) == pytest.approx(exact, abs=1.1)
        assert isinstance(result, DistanceResult)
        assert (result.status, result.provider, result.method) == ("ok", name, "road network")
        assert result.seconds == pytest.approx(exact / 12.5, abs=1)


@pytest.mark.parametrize("name", ["osrm", *HOSTED])
async def test_no_way_is_a_result(name: str, settings: pytest.MonkeyPatch) -> None:
    async with serving(name, settings):
        good, island = await answers([item((1, 50), (1, 51)), item((1, 50), (1, 85))])
    assert isinstance(good, DistanceResult)
    assert isinstance(island, DistanceResult)
    assert (good.status, island.status, island.metres, island.seconds) == ("ok", "unreachable", None, None)


@pytest.mark.parametrize("name", ["osrm", "valhalla", "openrouteservice"])
async def test_a_place_without_a_road_fails_its_own_pairs_alone(name: str, settings: pytest.MonkeyPatch) -> None:
    items = grid(4, 4)
    items[5] = item((1 / 100, 50.0), (5.0, -87.0))
    async with serving(name, settings):
        found = await answers(items)
    lost = found.pop(5)
    assert isinstance(lost, Permanent)
    assert (lost.code, lost.scope) == ("place_not_routable", "item")
    assert all(isinstance(result, DistanceResult) for result in found)


async def test_a_cell_that_google_refuses_fails_alone(settings: pytest.MonkeyPatch) -> None:
    async with serving("google", settings):
        good, bad = await answers([item((1, 50), (1, 51)), item((1, 50), (175, 51))])
    assert metres(good)
    assert isinstance(bad, Permanent)
    assert bad.code == "not_computed"


@pytest.mark.parametrize("name", ["valhalla", "openrouteservice"])
async def test_a_pair_that_is_too_far_fails_alone(name: str, settings: pytest.MonkeyPatch) -> None:
    async with serving(name, settings):
        found = await answers([*grid(3, 3), item((0.0, 50.0), (40.0, 51.0))])
    *good, far = found
    assert all(isinstance(result, DistanceResult) for result in good)
    assert isinstance(far, Permanent)
    assert (far.code, far.scope) == ("too_far", "item")


@pytest.mark.parametrize("lat", [-82, 82, 87])
async def test_a_pair_for_which_valhalla_refuses_the_block_is_unreachable_alone(
    lat: float, settings: pytest.MonkeyPatch
) -> None:
    async with serving("valhalla", settings):
        found = await answers([*grid(10, 10), item((0.0, 50.0), (0.0, lat))])
    assert [result.status for result in found if isinstance(result, DistanceResult)] == ["ok"] * 100 + ["unreachable"]


@pytest.mark.parametrize(("name", "lat"), [("osrm", -85), ("openrouteservice", -75)])
async def test_places_far_from_any_road_are_not_routable(name: str, lat: float, settings: pytest.MonkeyPatch) -> None:
    async with serving(name, settings):
        found = await answers([item((1, 50), (1, 51)), item((1, lat), (1, lat)), item((1, lat), (1, 51))])
    assert metres(found.pop(0))
    assert [isinstance(error, Permanent) and error.code for error in found] == ["place_not_routable"] * 2


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("osrm", lambda: web.Response(status=500)),
        ("google", lambda: google_error(400, "INVALID_ARGUMENT", "Waypoint is not valid.")),
        ("google", lambda: web.json_response({"surprise": 1})),
        ("valhalla", lambda: valhalla_error(199, "Unknown")),
        ("openrouteservice", lambda: ors_error(6099, "Unknown", 500)),
    ],
)
async def test_an_error_that_names_no_pair_leaves_the_others_of_its_block_their_ways(
    name: str, refusal: Callable[[], web.Response], settings: pytest.MonkeyPatch
) -> None:
    async with serving(name, settings) as server:
        server.refuses = lambda points: refusal() if any(lat > 70 for _, lat in points) else None
        *good, bad = await answers([*grid(5, 5), item((0.0, 50.0), (0.0, 75.0))])
    assert all(isinstance(result, DistanceResult) for result in good)
    assert isinstance(bad, Permanent | Transient)
    assert bad.scope == "item"


async def test_a_provider_that_refuses_every_block_is_not_asked_for_each_pair(settings: pytest.MonkeyPatch) -> None:
    async with serving("valhalla", settings) as server:
        server.refuses = lambda _: valhalla_error(199, "Unknown", 500)
        found = await answers(grid(25, 25))
        assert server.calls <= REFUSALS_IN_A_ROW + 30
    assert {type(error) for error in found} == {Transient}


async def test_a_mode_that_no_osrm_server_is_known_for_is_refused(settings: pytest.MonkeyPatch) -> None:
    async with serving("osrm", settings) as driving, osrm_server() as cycling:
        settings.setenv("BATCHYARD_DISTANCES_URL_CYCLING", cycling.url)
        pair = (1, 50), (1, 51)
        drive, ride, walk = await answers([item(*pair), item(*pair, mode="cycling"), item(*pair, mode="walking")])
        assert (driving.calls, cycling.calls) == (1, 1)
    assert metres(drive) == metres(ride)
    assert isinstance(walk, Permanent)
    assert (walk.code, walk.scope) == ("mode_not_served", "item")
    assert "BATCHYARD_DISTANCES_URL_WALKING" in walk.message


async def test_a_server_with_a_lower_limit_is_asked_in_halves(settings: pytest.MonkeyPatch) -> None:
    async with serving("osrm", settings) as server:
        server.max_table_size = 10
        found = await answers(grid(25, 25))
        assert all(isinstance(result, DistanceResult) for result in found)
        assert server.calls > 7


async def test_an_address_stays_below_8_kb(settings: pytest.MonkeyPatch) -> None:
    pairs = [item((-(n * 0.12345) - 30.12345, 50.12345), (-(n * 0.12345) - 30.54321, 51.12345)) for n in range(1000)]
    async with serving("osrm", settings) as server:
        await answers(pairs)
        assert server.calls <= 10
        assert server.longest_url < 8000


async def test_the_same_pair_is_asked_for_once(settings: pytest.MonkeyPatch) -> None:
    async with serving("google", settings) as server:
        same = item((1, 50), (1, 51), job="a"), item((1.000001, 50), (1, 51), job="b")
        first, second = await answers([*same])
        assert server.cells == 1
    assert metres(first) == metres(second)
    assert isinstance(second, DistanceResult)
    assert second.job == "b"


REFUSALS: list[tuple[str, web.Response, type[WorkloadError], str, str]] = [
    ("google", google_error(429, "RESOURCE_EXHAUSTED", "Quota exceeded"), RateLimited, "rate_limited", "provider"),
    ("google", google_error(403, "PERMISSION_DENIED", "not enabled"), Permanent, "provider_refused", "provider"),
    ("google", google_error(400, "INVALID_ARGUMENT", "API key not valid."), Permanent, "provider_refused", "provider"),
    ("google", google_error(503, "UNAVAILABLE", "later"), Transient, "http_503", "provider"),
    ("google", web.json_response({"surprise": 1}), Transient, "invalid_response", "item"),
    ("valhalla", valhalla_error(125, "No costing method"), Permanent, "provider_misconfigured", "provider"),
    ("valhalla", web.Response(status=500), Transient, "http_500", "item"),
    ("valhalla", web.json_response({"sources_to_targets": {"durations": [[1]], "distances": [[1, 2]]}}),
     Transient, "invalid_response", "item"),
    ("openrouteservice", web.json_response({"error": "Rate Limit Exceeded"}, status=429), RateLimited,
     "rate_limited", "provider"),
    ("openrouteservice", web.json_response({"error": "Quota exceeded"}, status=403,
                                           headers={"x-ratelimit-remaining": "0"}), RateLimited, "rate_limited",
     "provider"),
    ("openrouteservice", web.json_response({"error": "disallowed"}, status=403), Permanent, "provider_refused",
     "provider"),
    ("openrouteservice", ors_error(6099, "Unknown", 500), Transient, "http_500", "item"),
    ("openrouteservice", web.Response(status=404), Permanent, "provider_misconfigured", "provider"),
    ("google", web.Response(status=404), Permanent, "provider_misconfigured", "provider"),
    ("openrouteservice", ors_error(6003, "Parameter out of range"), Permanent, "ors_6003", "item"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "refusal", "kind", "code", "scope"), REFUSALS)
async def test_a_refusal_becomes_the_error_that_it_means(
    name: str, refusal: web.Response, kind: type[WorkloadError], code: str, scope: str, settings: pytest.MonkeyPatch
) -> None:
    async with serving(name, settings) as server:
        server.fail.append(web.Response(body=refusal.body, status=refusal.status, headers=refusal.headers))
        (error,) = await answers([item((1, 50), (1, 51))])
    assert isinstance(error, kind)
    assert (error.code, error.scope) == (code, scope)
    assert KEY not in str(error)


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (502, Transient)])
async def test_a_temporary_refusal_of_osrm_is_transient(
    status: int, kind: type[WorkloadError], settings: pytest.MonkeyPatch
) -> None:
    async with serving("osrm", settings) as server:
        server.fail.append(status)
        (error,) = await answers([item((1, 50), (1, 51))])
    assert isinstance(error, kind)
    if isinstance(error, RateLimited):
        assert error.delay_s == 1


async def test_a_provider_that_is_away_is_tried_again_later(settings: pytest.MonkeyPatch) -> None:
    async with serving("osrm", settings):
        pass
    (error,) = await answers([item((1, 50), (1, 51))])
    assert isinstance(error, Transient)
    assert (error.code, error.scope) == ("provider_unavailable", "provider")


def test_the_missing_setting_of_a_provider_is_named(settings: pytest.MonkeyPatch) -> None:
    settings.delenv("BATCHYARD_DISTANCES_KEY")
    assert missing_setting() is None
    for name, setting in (("google", "KEY"), ("openrouteservice", "KEY"), ("osrm", "URL"), ("valhalla", "URL")):
        settings.setenv("BATCHYARD_DISTANCES_PROVIDER", name)
        assert f"BATCHYARD_DISTANCES_{setting}" in (missing_setting() or "")
    settings.setenv("BATCHYARD_DISTANCES_URL", "http://127.0.0.1:5000")
    assert missing_setting() is None


async def test_estimates_are_used_without_a_provider(settings: pytest.MonkeyPatch) -> None:
    settings.delenv("BATCHYARD_DISTANCES_PROVIDER", raising=False)
    (found,) = await answers([item((0, 0), (1, 0), contractor="ann")])
    assert found == DistanceResult(
        status="ok", metres=144_715, seconds=10_420, provider="geodesic", method="geodesic estimate", contractor="ann"
    )

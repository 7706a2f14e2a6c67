"""Distances by real OSRM and Valhalla servers: what they refuse is refused for its own pairs alone."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import UUID

import aiohttp
import pytest

from batchyard_contracts.workload import Context, Permanent
from batchyard_contracts.workload.handlers import HandlerResult
from devstack import default_home
from services.worker.workloads.distances.handler import run
from services.worker.workloads.distances.model import DistanceItem, DistanceResult, TravelMode
from services.worker.workloads.distances.opening import open_resources
from services.worker.workloads.distances.recommendations import Contractor, Job, RecommendationRequest
from services.worker.workloads.distances.recommender import Recommender
from tests.support.routing_engines import installed_engines, running_osrm, running_valhalla
from tests.support.routing_map import FAR_END, ISLAND, MEADOW, TOWN, WILDERNESS, Point

ENGINES: dict[str, Callable[[Path, Path], AbstractAsyncContextManager[str]]] = {
    "osrm": running_osrm,
    "valhalla": running_valhalla,
}
TOWN_PAIRS = [(start, end) for start in TOWN for end in TOWN]


@pytest.fixture(params=ENGINES)
async def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Start one engine, and give its name to the workload's settings."""
    name: str = request.param
    async with ENGINES[name](installed_engines(default_home()), tmp_path) as url:
        monkeypatch.setenv("BATCHYARD_DISTANCES_PROVIDER", name)
        monkeypatch.setenv("BATCHYARD_DISTANCES_URL", url)
        monkeypatch.setenv("BATCHYARD_DISTANCES_CACHE_TTL_S", "0")
        yield name


async def answers(
    pairs: list[tuple[Point, Point]], mode: TravelMode = "driving"
) -> list[HandlerResult[DistanceResult]]:
    items = [
        DistanceItem(
            origin_lon=start[0], origin_lat=start[1], destination_lon=end[0], destination_lat=end[1], mode=mode
        )
        for start, end in pairs
    ]
    async with open_resources() as resources:
        context = Context(batch_id=UUID(int=1), ordinal=0, round=1, attempt=1, partition="", resources=resources)
        return list(await run(items, [context] * len(items)))


def outcome(result: HandlerResult[DistanceResult]) -> str:
    if isinstance(result, DistanceResult):
        return result.status
    assert isinstance(result, Permanent), result
    return result.code


async def test_roads_of_a_town_are_measured(engine: str) -> None:
    across, there, back = await answers([(TOWN[0], TOWN[8]), (TOWN[0], TOWN[1]), (TOWN[1], TOWN[0])])
    assert isinstance(across, DistanceResult)
    assert isinstance(there, DistanceResult)
    assert isinstance(back, DistanceResult)
    assert across.metres == pytest.approx(3656, abs=20)
    assert there.metres == back.metres == pytest.approx(716, abs=5)


async def test_one_bad_pair_leaves_all_others_their_ways(engine: str) -> None:
    bad = {"island": (TOWN[0], ISLAND[0]), "no road": (TOWN[4], WILDERNESS), "meadow": (MEADOW, TOWN[2])}
    found = [outcome(result) for result in await answers([*TOWN_PAIRS, *bad.values()])]
    assert found[: len(TOWN_PAIRS)] == ["ok"] * len(TOWN_PAIRS)
    unknown = {"osrm": "place_not_routable", "valhalla": "unreachable"}[engine]
    assert dict(zip(bad, found[len(TOWN_PAIRS) :], strict=True)) == {
        "island": "unreachable",
        "no road": unknown,
        "meadow": unknown,
    }


async def test_a_place_without_a_road_near_it_is_not_moved_to_a_far_one(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [outcome(result) for result in await answers([(TOWN[0], MEADOW)])] != ["ok"]
    monkeypatch.setenv("BATCHYARD_DISTANCES_SNAP_M", "10000")
    assert [outcome(result) for result in await answers([(TOWN[0], MEADOW)])] == ["ok"]


async def test_a_way_longer_than_the_engine_computes_is_too_far_alone(engine: str) -> None:
    found = [outcome(result) for result in await answers([*TOWN_PAIRS, (TOWN[0], FAR_END)])]
    assert found == ["ok"] * len(TOWN_PAIRS) + [{"osrm": "ok", "valhalla": "too_far"}[engine]]


async def test_a_mode_is_computed_by_its_own_server_or_refused(engine: str) -> None:
    (walk,) = await answers([(TOWN[0], TOWN[8])], "walking")
    (drive,) = await answers([(TOWN[0], TOWN[8])])
    assert isinstance(drive, DistanceResult)
    assert drive.seconds is not None
    if engine == "osrm":
        assert isinstance(walk, Permanent)
        assert walk.code == "mode_not_served"
        assert "BATCHYARD_DISTANCES_URL_WALKING" in walk.message
    else:
        assert isinstance(walk, DistanceResult)
        assert walk.seconds is not None
        assert walk.seconds > 3 * drive.seconds


async def test_recommendations_leave_out_whom_no_road_leads_from(engine: str) -> None:
    places = {"near": TOWN[8], "island": ISLAND[0], "meadow": MEADOW, "far": FAR_END}
    contractors = [Contractor(id=name, lon=lon, lat=lat) for name, (lon, lat) in places.items()]
    request = RecommendationRequest(
        jobs=[Job(id="job", lon=TOWN[0][0], lat=TOWN[0][1])],
        contractors=contractors,
        max_travel_s=172_800,
        deadline_s=10,
    )
    async with open_resources() as resources:
        (ranked,) = (await Recommender(resources).recommend(request)).jobs
    reached = {one.contractor_id for one in ranked.recommended}
    assert {one.travel.method for one in ranked.recommended} == {"road network"}
    left_out = {one.contractor_id: one.reason for one in ranked.excluded}
    if engine == "osrm":
        assert reached == {"near", "far"}
        assert left_out == {"island": "unreachable", "meadow": "place_not_routable"}
    else:
        assert reached == {"near"}
        assert left_out == {"island": "unreachable", "meadow": "unreachable", "far": "too_far"}


async def test_the_stand_ins_refuse_by_the_same_words(engine: str) -> None:
    """The stand-ins of the other tests imitate this error of a block with a place that has no road near it."""
    async with open_resources() as resources, aiohttp.ClientSession() as session:
        base = resources.settings.base_url
        if engine == "osrm":
            points = f"{TOWN[0][0]},{TOWN[0][1]};{WILDERNESS[0]},{WILDERNESS[1]}"
            path = f"/table/v1/driving/{points}?sources=0&destinations=1&annotations=duration,distance"
            async with session.get(f"{base}{path}&radiuses=1000;1000") as response:
                assert response.status == 400
                document = await response.json()
                assert (document["code"], document["message"].endswith("coordinate 1")) == ("NoSegment", True)
            async with session.get(base + path) as response:
                (snapped,) = (await response.json())["destinations"]
                assert snapped["distance"] == pytest.approx(221_400, rel=0.01)
        else:
            ends = [{"lon": lon, "lat": lat, "search_cutoff": 1000} for lon, lat in (TOWN[0], WILDERNESS)]
            body = {"sources": ends[:1], "targets": ends, "costing": "auto", "verbose": False}
            async with session.post(f"{base}/sources_to_targets", json=body) as response:
                assert response.status == 400
                assert (await response.json())["error_code"] == 170

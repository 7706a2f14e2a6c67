"""A chunk's pairs when their provider is slow or refuses: every pair that was answered counts."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from batchyard_contracts.workload import Permanent, RateLimited
from services.worker.workloads.distances.blocks import MatrixLimits
from services.worker.workloads.distances.estimate import Estimates
from services.worker.workloads.distances.known_routes import KnownRoutes
from services.worker.workloads.distances.model import TravelMode
from services.worker.workloads.distances.opening import DistanceResources
from services.worker.workloads.distances.places import Leg, Place, Route
from services.worker.workloads.distances.providers.provider import Matrix
from services.worker.workloads.distances.recommendations import Contractor, Job, RecommendationRequest
from services.worker.workloads.distances.recommender import Recommender
from services.worker.workloads.distances.routing import LATE, Router
from services.worker.workloads.distances.settings import DistancesSettings
from shared.redis.client import RedisClient


@dataclass(slots=True)
class OnePairACall:
    """A provider whose calls hold one pair. Those to a place east of 10 never end; `refuses` is raised by all."""

    refuses: Exception | None = None
    calls: int = 0
    name = "slow"
    limits = MatrixLimits(1, 2, fill=1.0)

    async def matrix(self, origins: Sequence[Place], destinations: Sequence[Place], mode: TravelMode) -> Matrix:
        self.calls += 1
        if self.refuses:
            raise self.refuses
        if origins[0].lon > 10:
            await asyncio.Event().wait()
        return [[Route(1000, 60)]]


def router(provider: OnePairACall, at_once: int = 100) -> Router:
    return Router(provider, KnownRoutes(RedisClient("redis://127.0.0.1:1"), "slow", "", 5, ttl_s=0), at_once)


def legs(*longitudes: float) -> list[Leg]:
    return [Leg(Place(50.0, lon), Place(51.0, 0.0)) for lon in longitudes]


async def test_answers_before_the_deadline_count() -> None:
    near, far = legs(1.0), legs(20.0)
    found = await router(OnePairACall()).routes([*near, *far], 0.2)
    assert found == {near[0]: Route(1000, 60), far[0]: LATE}


async def test_a_provider_that_refuses_everything_is_asked_no_more() -> None:
    for refusal in (RateLimited(60.0), Permanent("provider_refused", scope="provider")):
        provider = OnePairACall(refuses=refusal)
        found = await router(provider, at_once=2).routes(legs(*range(100)), 10.0)
        assert list(found.values()) == [refusal] * 100
        assert provider.calls <= 2


async def test_a_pair_that_fails_by_itself_keeps_no_other_from_being_asked() -> None:
    provider = OnePairACall(refuses=Permanent("no_table"))
    await router(provider, at_once=1).routes(legs(*range(10)), 10.0)
    assert provider.calls == 10


async def test_recommendations_take_what_came_in_time_and_say_that_the_rest_is_an_estimate() -> None:
    settings = DistancesSettings()
    recommender = Recommender(DistanceResources(settings, Estimates(settings), router(OnePairACall())))
    contractors = [Contractor(id=f"c{lon}", lat=50.0, lon=lon) for lon in (1, 20)]
    request = RecommendationRequest(
        jobs=[Job(id="j", lat=51.0, lon=11.0)], contractors=contractors, deadline_s=0.2, max_travel_s=172_800
    )
    reply = await recommender.recommend(request)
    assert not reply.in_time
    assert {one.contractor_id: one.travel.method for one in reply.jobs[0].recommended} == {
        "c1": "road network",
        "c20": "geodesic estimate",
    }

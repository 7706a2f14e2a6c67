"""The workload `distances`: distances and travel times of pairs of places, a whole chunk at once."""

from collections.abc import Sequence

from batchyard_contracts.v1.manifest import CircuitRule, Partition
from batchyard_contracts.v1.values import RetryRule
from batchyard_contracts.workload import Chunking, Context, Limits, QuestionContext, Retry, Workload, WorkloadError
from services.worker.workloads.distances import estimate
from services.worker.workloads.distances.model import DistanceItem, DistanceResult
from services.worker.workloads.distances.opening import DistanceResources, missing_setting, open_resources
from services.worker.workloads.distances.places import Leg, Place, Route
from services.worker.workloads.distances.recommendations import RecommendationRequest, Recommendations
from services.worker.workloads.distances.recommender import Recommender
from services.worker.workloads.distances.summary import Ranking

WITHIN_S = 100.0
"""Seconds for the calls of a chunk, below the chunk's timeout, so that the answers until then are reported."""

workload = Workload(
    "distances",
    version="1",
    item=DistanceItem,
    result=DistanceResult,
    lifespan=open_resources,
    unavailable=missing_setting,
    title="Distances",
    description="How far it is from an origin to a destination, and how long it takes: by a router, or, unless one is "
    "set, as an estimate from the geodesic.",
    partition=Partition(pointer="/group"),
    chunking=Chunking(max=1000, min=625),  # 25 origins and 25 destinations are one call of any provider
    limits=Limits(concurrency=4, item_timeout_s=120.0),
    retry=Retry(
        {
            "default": RetryRule(attempts=5, base_s=1.0, cap_s=60.0),
            "invalid_response": RetryRule(attempts=2, base_s=5.0, cap_s=60.0),
        },
        circuit=CircuitRule(),
    ),
    example={
        "origin_lat": 39.7817,
        "origin_lon": -105.0178,
        "destination_lat": 39.7392,
        "destination_lon": -104.9903,
        "contractor": "ann",
        "job": "boiler-1",
    },
)


workload.summary(Ranking)


@workload.chunk_handler
async def run(items: list[DistanceItem], contexts: list[Context]) -> Sequence[DistanceResult | WorkloadError]:
    """Return the results of all pairs. No route is a result; a place without a road fails only its own pairs."""
    resources: DistanceResources = contexts[0].resources
    if resources.router is None:
        ways = resources.estimates.routes([_exact_leg(item) for item in items])
        return [_result(item, way, estimate.NAME) for item, way in zip(items, ways, strict=True)]
    legs = [_leg(item, resources.settings.decimals) for item in items]
    found = await resources.router.routes(legs, WITHIN_S)
    name = resources.router.name
    return [
        way if isinstance(way := found[leg], WorkloadError) else _result(item, way, name)
        for item, leg in zip(items, legs, strict=True)
    ]


@workload.question(
    "recommend",
    request=RecommendationRequest,
    answer=Recommendations,
    timeout_s=15.0,  # above the longest `deadline_s`
    description="Rank the contractors for each job, with the parts of their scores, and say why others are left out. "
    "When the provider does not answer by `deadline_s`, estimates are used, and `in_time` is false.",
    example={
        "jobs": [{"id": "boiler-1", "lat": 39.7392, "lon": -104.9903, "skills": ["gas"]}],
        "contractors": [
            {"id": "ann", "lat": 39.7817, "lon": -105.0178, "skills": ["gas", "water"], "rating": 4.8, "reviews": 120},
            {"id": "bob", "lat": 39.6133, "lon": -105.0166, "skills": ["gas"], "rating": 4.1, "reviews": 15},
        ],
    },
)
async def recommend(request: RecommendationRequest, context: QuestionContext) -> Recommendations:
    """Return the best contractors of each job."""
    return await Recommender(context.resources).recommend(request)


def _exact_leg(item: DistanceItem) -> Leg:
    return Leg(Place(item.origin_lat, item.origin_lon), Place(item.destination_lat, item.destination_lon), item.mode)


def _leg(item: DistanceItem, decimals: int) -> Leg:
    return Leg(
        Place.rounded(item.origin_lat, item.origin_lon, decimals),
        Place.rounded(item.destination_lat, item.destination_lon, decimals),
        item.mode,
    )


def _result(item: DistanceItem, way: Route, provider: str) -> DistanceResult:
    return DistanceResult(  # three times as fast as model_construct, which runs in Python
        status="ok" if way.is_reachable else "unreachable",
        metres=way.metres,
        seconds=way.seconds,
        provider=provider,
        method="geodesic estimate" if provider == estimate.NAME else "road network",
        contractor=item.contractor,
        job=item.job,
    )

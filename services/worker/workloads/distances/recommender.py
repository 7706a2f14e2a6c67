"""Recommends contractors within a deadline, by the provider where it answers in time."""

import asyncio
from collections.abc import Sequence

import structlog

from batchyard_contracts.workload import Permanent, WorkloadError
from services.worker.workloads.distances import estimate
from services.worker.workloads.distances.candidates import Shortlist, ranking, shortlist
from services.worker.workloads.distances.opening import DistanceResources
from services.worker.workloads.distances.places import Leg, Place, Route
from services.worker.workloads.distances.providers.provider import Found
from services.worker.workloads.distances.recommendations import (
    Exclusion,
    JobRecommendations,
    RecommendationRequest,
    Recommendations,
    Travel,
)
from services.worker.workloads.distances.routing import LATE, MODE_NOT_SERVED

log = structlog.get_logger()
_FOR_THE_REST = 0.8
"""Share of the deadline that the provider may take."""


class Recommender:
    """Looks for the contractors that fit jobs best."""

    def __init__(self, resources: DistanceResources) -> None:
        self._resources = resources

    async def recommend(self, request: RecommendationRequest) -> Recommendations:
        """Return the best contractors of each job. Raises `Permanent` when the provider does not know the mode."""
        began = asyncio.get_running_loop().time()
        shorts, legs = await asyncio.to_thread(self._shortlists, request)
        wanted = [leg for some in legs for leg in some]
        found: dict[Leg, Found] = {}
        router = self._resources.router
        if router is not None:
            left_s = request.deadline_s * _FOR_THE_REST - (asyncio.get_running_loop().time() - began)
            found = await router.routes(wanted, max(0.0, left_s))
            for way in found.values():
                if isinstance(way, Permanent) and way.code == MODE_NOT_SERVED:
                    raise way
        jobs = await asyncio.to_thread(self._ranked, request, shorts, legs, found)
        if late := sum(way is LATE for way in found.values()):
            log.warning("estimates in place of the provider", provider=router.name if router else None, pairs=late)
        return Recommendations(provider=router.name if router else estimate.NAME, in_time=not late, jobs=jobs)

    def _shortlists(self, request: RecommendationRequest) -> tuple[list[Shortlist], list[list[Leg]]]:
        decimals = self._resources.settings.decimals
        ends = [Place.rounded(one.lat, one.lon, decimals) for one in request.contractors]
        place_of = {one.id: place for one, place in zip(request.contractors, ends, strict=True)}
        most = request.exact if self._resources.router else len(ends)  # estimates cost nothing
        shorts, legs = [], []
        for job in request.jobs:
            there = Place.rounded(job.lat, job.lon, decimals)
            least_s = self._resources.estimates.fastest_s([Leg(place, there, request.mode) for place in ends])
            short = shortlist(job, request, least_s, most)
            shorts.append(short)
            legs.append([Leg(place_of[one.id], there, request.mode) for one in short.likely])
        return shorts, legs

    def _ranked(
        self,
        request: RecommendationRequest,
        shorts: Sequence[Shortlist],
        legs: Sequence[Sequence[Leg]],
        found: dict[Leg, Found],
    ) -> list[JobRecommendations]:
        every = [leg for some in legs for leg in some]
        estimated = dict(zip(every, self._resources.estimates.routes(every), strict=True)) if every else {}
        ranked = []
        for short, some in zip(shorts, legs, strict=True):
            travels = {
                contractor.id: self._travel(contractor.id, found.get(leg), estimated[leg])
                for contractor, leg in zip(short.likely, some, strict=True)
            }
            ranked.append(ranking(short, request, travels))
        return ranked

    def _travel(self, contractor_id: str, found: Found | None, estimated: Route) -> Travel | Exclusion:
        """Return the travel of a way. An estimate replaces what the provider did not answer, never its answer that it
        knows no way."""
        if isinstance(found, Permanent) and found.scope == "item":
            reason = found.code if found.code in ("too_far", "place_not_routable") else "unreachable"
            return Exclusion.model_validate({"contractor_id": contractor_id, "reason": reason, "detail": found.message})
        if found is None or isinstance(found, WorkloadError):
            return _to_travel(contractor_id, estimated, estimate.NAME)
        return _to_travel(
            contractor_id, found, self._resources.router.name if self._resources.router else estimate.NAME
        )


def _to_travel(contractor_id: str, way: Route, provider: str) -> Travel | Exclusion:
    if way.metres is None or way.seconds is None:
        return Exclusion(contractor_id=contractor_id, reason="unreachable", detail="there is no way")
    method = "geodesic estimate" if provider == estimate.NAME else "road network"
    return Travel.model_validate({"metres": way.metres, "seconds": way.seconds, "provider": provider, "method": method})

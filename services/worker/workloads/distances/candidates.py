"""Ranks the candidates of one job: who is excluded, whom to ask the provider about, and the order at the end. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.worker.workloads.distances import scoring
from services.worker.workloads.distances.recommendations import (
    Contractor,
    Exclusion,
    Job,
    JobRecommendations,
    Recommendation,
    RecommendationRequest,
    Travel,
)


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Candidates of a job before the provider is asked."""

    job: Job
    likely: Sequence[Contractor]
    """Contractors that the provider is asked about, the likeliest first."""
    excluded: Sequence[Exclusion]


def shortlist(job: Job, request: RecommendationRequest, least_travel_s: Sequence[float], most: int) -> Shortlist:
    """Return the likeliest `most` of the contractors that nothing excludes, ordered by their scores when they
    come straight and at full speed: no real score is higher."""
    excluded: list[Exclusion] = []
    hopes: list[tuple[float, float, Contractor]] = []
    costs = scoring.Costs.of(request.contractors)
    for contractor, least_s in zip(request.contractors, least_travel_s, strict=True):
        reason = scoring.exclusion(job, contractor, least_s, request.max_travel_s)
        if reason is not None:
            excluded.append(reason)
            continue
        hope = scoring.score(job, contractor, least_s, request.weights, request.max_travel_s, costs)
        hopes.append((-hope.score, least_s, contractor))
    hopes.sort(key=lambda hope: (*hope[:2], hope[2].id))
    for upper, _, contractor in hopes[most:]:
        detail = f"at best a score of {-upper:.3f}: others are likelier, and were asked about first"
        excluded.append(Exclusion(contractor_id=contractor.id, reason="less_likely", detail=detail))
    return Shortlist(job, [contractor for _, _, contractor in hopes[:most]], excluded)


def ranking(
    short: Shortlist, request: RecommendationRequest, travels: Mapping[str, Travel | Exclusion]
) -> JobRecommendations:
    """Return the best of a shortlist by their real ways; equal scores are ordered by travel time, then by id."""
    costs = scoring.Costs.of(request.contractors)
    excluded = list(short.excluded)
    ranked: list[Recommendation] = []
    for contractor in short.likely:
        travel = travels[contractor.id]
        if isinstance(travel, Exclusion):
            excluded.append(travel)
        elif reason := scoring.too_far(contractor, travel.seconds, request.max_travel_s):
            excluded.append(reason)
        else:
            found = scoring.score(short.job, contractor, travel.seconds, request.weights, request.max_travel_s, costs)
            ranked.append(
                Recommendation(contractor_id=contractor.id, score=found.score, travel=travel, parts=found.parts)
            )
    ranked.sort(key=lambda one: (-one.score, one.travel.seconds, one.contractor_id))
    return JobRecommendations(
        job_id=short.job.id,
        recommended=ranked[: request.limit],
        excluded=excluded,
        others=max(0, len(ranked) - request.limit),
    )

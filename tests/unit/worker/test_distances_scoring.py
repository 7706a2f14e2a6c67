"""Recommendations: never one that is excluded, never worse for a better rating, in an order that is always the same."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.worker.workloads.distances import scoring
from services.worker.workloads.distances.candidates import ranking, shortlist
from services.worker.workloads.distances.recommendations import (
    Contractor,
    Exclusion,
    Job,
    RecommendationRequest,
    Travel,
    Weights,
    Window,
)

DAY = datetime(2026, 5, 18, tzinfo=UTC)


def hours(start: float, end: float) -> Window:
    return Window(start=DAY + timedelta(hours=start), end=DAY + timedelta(hours=end))


def travel(seconds: int) -> Travel:
    return Travel(metres=seconds * 10, seconds=seconds, provider="osrm", method="road network")


@dataclass(frozen=True)
class Case:
    query: RecommendationRequest
    least_s: list[float]
    seconds: list[int | None]


windows = st.tuples(st.integers(0, 20), st.integers(1, 8)).map(lambda pair: hours(pair[0], sum(pair)))
skills = st.lists(st.sampled_from(["gas", "water", "roof"]), max_size=3)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    count = draw(st.integers(1, 8))
    contractors = [
        Contractor(
            id=f"c{n}",
            lat=0,
            lon=0,
            skills=draw(skills),
            rating=draw(st.none() | st.floats(0, 5)),
            reviews=draw(st.none() | st.integers(0, 500)),
            available=draw(st.none() | st.lists(windows, max_size=3)),
            cost=draw(st.none() | st.floats(0, 1000)),
            max_travel_s=draw(st.none() | st.floats(0, 8000)),
        )
        for n in range(count)
    ]
    job = Job(
        id="j",
        lat=0,
        lon=0,
        skills=draw(skills),
        window=draw(st.none() | windows),
        duration_s=draw(st.none() | st.floats(0, 8 * 3600)),
        excluded=draw(st.lists(st.sampled_from([one.id for one in contractors]), max_size=2)),
    )
    query = RecommendationRequest(jobs=[job], contractors=contractors, limit=draw(st.integers(1, 8)), max_travel_s=5000)
    least_s = [draw(st.floats(0, 6000)) for _ in contractors]
    extra = st.none() | st.floats(1, 3)
    seconds = [None if (f := draw(extra)) is None else int(least * f) + 1 for least in least_s]
    return Case(query, least_s, seconds)


@given(cases(), st.integers(1, 8))
def test_a_recommended_contractor_passes_every_hard_filter(case: Case, most: int) -> None:
    job = case.query.jobs[0]
    short = shortlist(job, case.query, case.least_s, most)
    seconds = dict(zip([one.id for one in case.query.contractors], case.seconds, strict=True))
    no_way = {i: Exclusion(contractor_id=i, reason="unreachable", detail="there is no way") for i in seconds}
    answer = ranking(short, case.query, {i: no_way[i] if s is None else travel(s) for i, s in seconds.items()})
    by_id = {one.id: one for one in case.query.contractors}
    for found in answer.recommended:
        contractor = by_id[found.contractor_id]
        assert contractor.id not in job.excluded
        assert set(job.skills) <= set(contractor.skills)
        assert seconds[contractor.id] is not None
        assert found.travel.seconds <= min(5000, contractor.max_travel_s or 5000 if contractor.max_travel_s != 0 else 0)
        assert contractor.available != []
        assert 0 <= found.score <= 1
        assert found.score == pytest.approx(sum(part.value * part.weight for part in found.parts.values()))
        assert sum(part.weight for part in found.parts.values()) == pytest.approx(1)
    scores = [found.score for found in answer.recommended]
    assert scores == sorted(scores, reverse=True)
    named = [*(found.contractor_id for found in answer.recommended), *(one.contractor_id for one in answer.excluded)]
    assert len(set(named)) == len(named)
    assert len(named) + answer.others == len(case.query.contractors)


@given(cases())
def test_no_score_is_above_that_of_the_straight_way(case: Case) -> None:
    job, query = case.query.jobs[0], case.query
    costs = scoring.Costs.of(query.contractors)
    for contractor, least_s, seconds in zip(query.contractors, case.least_s, case.seconds, strict=True):
        if seconds is None:
            continue
        hope = scoring.score(job, contractor, least_s, query.weights, query.max_travel_s, costs)
        real = scoring.score(job, contractor, seconds, query.weights, query.max_travel_s, costs)
        assert real.score <= hope.score + 1e-12


@given(st.floats(0, 5), st.floats(0, 5), st.none() | st.integers(0, 1000), st.floats(0, 7000))
def test_a_better_rating_never_lowers_a_score(one: float, other: float, reviews: int | None, travel_s: float) -> None:
    job = Job(id="j", lat=0, lon=0)
    low, high = (
        scoring.score(
            job, Contractor(id="c", lat=0, lon=0, rating=rating, reviews=reviews), travel_s, Weights(), 7200, None
        ).score
        for rating in sorted([one, other])
    )
    assert low <= high


def test_a_few_reviews_say_less_than_many() -> None:
    def value(rating: float, reviews: int) -> float:
        contractor = Contractor(id="c", lat=0, lon=0, rating=rating, reviews=reviews)
        return scoring.score(Job(id="j", lat=0, lon=0), contractor, 0, Weights(), 7200, None).parts["rating"].value

    assert value(5.0, 1) < value(4.8, 200)
    assert value(5.0, 0) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("job", "contractor", "reason"),
    [
        ({"skills": ["gas"]}, {"skills": ["water"]}, "missing_skill"),
        ({"excluded": ["c"]}, {}, "excluded"),
        ({"window": hours(8, 12)}, {"available": [hours(12, 20)]}, "not_available"),
        ({"window": hours(8, 12), "duration_s": 7200}, {"available": [hours(7, 9), hours(10, 11)]}, "not_available"),
        ({}, {"available": []}, "not_available"),
        ({}, {"max_travel_s": 10}, "too_far"),
        ({"window": hours(8, 12), "duration_s": 7200}, {"available": [hours(7, 9), hours(9, 10)]}, None),
        ({"window": hours(8, 12)}, {}, None),
    ],
)
def test_each_hard_filter_excludes_with_its_reason(
    job: dict[str, object], contractor: dict[str, object], reason: str | None
) -> None:
    asked = Job.model_validate({"id": "j", "lat": 0, "lon": 0} | job)
    who = Contractor.model_validate({"id": "c", "lat": 0, "lon": 0} | contractor)
    found = scoring.exclusion(asked, who, 60, 7200)
    assert (found and found.reason) == reason


def test_a_question_has_limits() -> None:
    job, contractor = {"id": "j", "lat": 0, "lon": 0}, {"id": "c", "lat": 0, "lon": 0}
    many_jobs = [job | {"id": str(n)} for n in range(100)]
    for wrong in (
        {"jobs": [], "contractors": [contractor]},
        {"jobs": [job, job], "contractors": [contractor]},
        {"jobs": many_jobs, "contractors": [contractor | {"id": str(n)} for n in range(201)]},
        {"jobs": [job | {"lat": 91}], "contractors": [contractor]},
        {"jobs": [job], "contractors": [contractor | {"skils": []}]},
        {
            "jobs": [job],
            "contractors": [contractor],
            "weights": {"travel": 0, "rating": 0, "availability": 0, "cost": 0},
        },
    ):
        with pytest.raises(ValidationError):
            RecommendationRequest.model_validate(wrong)

"""Question for the contractors that fit jobs best: its request and its answer."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints, model_validator

from batchyard_contracts.v1.values import Seconds
from services.worker.workloads.distances.model import Latitude, Longitude, Method, TravelMode

MAX_JOBS = 100
MAX_CONTRACTORS = 1000
MAX_PAIRS = 20_000
"""Largest number of pairs of a job and a contractor in one request; larger problems are batches."""

Criterion = Literal["travel", "rating", "availability", "cost"]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Skill = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Window(BaseModel, frozen=True, extra="forbid"):
    """Time window from `start` to `end`."""

    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def _ends_later(self) -> Self:
        if self.end <= self.start:
            raise ValueError("`end` must be later than `start`")
        return self


class Job(BaseModel, frozen=True, extra="forbid"):
    """Job with its position and its requirements."""

    id: Id
    lat: Latitude
    lon: Longitude
    skills: Annotated[list[Skill], Field(max_length=50)] = []
    """Skills that its contractor must have, all of them."""
    window: Window | None = None
    """Time window in which the job is to be done; None: any time."""
    duration_s: Seconds | None = None
    """Seconds for which its contractor must be free within the window, without interruption."""
    excluded: Annotated[list[Id], Field(max_length=MAX_CONTRACTORS)] = []
    """Contractors who must not have it."""


class Contractor(BaseModel, frozen=True, extra="forbid"):
    """Contractor. A property that is None is unknown, and does not influence the score."""

    id: Id
    lat: Latitude
    lon: Longitude
    skills: Annotated[list[Skill], Field(max_length=200)] = []
    rating: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] | None = None
    """Mean of the reviews, from 0 to 5."""
    reviews: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    """Number of reviews; a mean of few reviews counts less."""
    available: Annotated[list[Window], Field(max_length=200)] | None = None
    """Time windows in which the contractor is free; an empty list: never."""
    cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Cost in any unit that all contractors share."""
    max_travel_s: Seconds | None = None
    """Longest travel time that the contractor accepts, in seconds."""


class Weights(BaseModel, frozen=True, extra="forbid"):
    """Relative weights of the criteria."""

    travel: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.5
    rating: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.3
    availability: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.1
    cost: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.1

    @model_validator(mode="after")
    def _some_count(self) -> Self:
        if not (self.travel or self.rating or self.availability or self.cost):
            raise ValueError("at least one weight must be above 0")
        return self


class RecommendationRequest(BaseModel, frozen=True, extra="forbid"):
    """Jobs, and the contractors that may do them. Each job is judged by itself: no contractor is assigned."""

    jobs: Annotated[list[Job], Field(min_length=1, max_length=MAX_JOBS)]
    contractors: Annotated[list[Contractor], Field(min_length=1, max_length=MAX_CONTRACTORS)]
    mode: TravelMode = "driving"
    weights: Weights = Weights()
    max_travel_s: Annotated[float, Field(gt=0, le=172_800)] = 7200.0
    """Travel time in seconds above which a contractor is excluded; it is also the scale of the score's travel part."""
    limit: Annotated[int, Field(ge=1, le=100)] = 5
    """Largest number of contractors for each job."""
    exact: Annotated[int, Field(ge=1, le=MAX_CONTRACTORS)] = 25
    """Number of each job's likeliest contractors for which the provider computes the travel; the others are
    excluded."""
    deadline_s: Annotated[float, Field(ge=0.05, le=10)] = 2.0
    """Seconds after which estimates replace the provider's answers; each travel names its method."""

    @model_validator(mode="after")
    def _is_small_and_unambiguous(self) -> Self:
        if (pairs := len(self.jobs) * len(self.contractors)) > MAX_PAIRS:
            raise ValueError(f"{pairs} pairs of a job and a contractor; one request takes {MAX_PAIRS}: ask in parts")
        for what, ids in (("job", [job.id for job in self.jobs]), ("contractor", [c.id for c in self.contractors])):
            if len(set(ids)) < len(ids):
                raise ValueError(f"two {what}s have the same id")
        return self


class Travel(BaseModel, frozen=True):
    """Travel from a contractor to a job."""

    metres: int
    seconds: int
    provider: str
    method: Method


class Part(BaseModel, frozen=True):
    """Part of a score: a criterion's value from 0 (worst) to 1 (best), and its share of all weights that counted."""

    value: float
    weight: float


class Recommendation(BaseModel, frozen=True):
    """Recommended contractor; `score`, from 0 to 1, is the sum of value times weight over the parts."""

    contractor_id: Id
    score: float
    travel: Travel
    parts: dict[Criterion, Part]


class Exclusion(BaseModel, frozen=True):
    """Reason why a contractor is not recommended for a job."""

    contractor_id: Id
    reason: Literal[
        "excluded", "missing_skill", "not_available", "too_far", "unreachable", "place_not_routable", "less_likely"
    ]
    detail: str


class JobRecommendations(BaseModel, frozen=True):
    """Recommendations for one job, the best first, and the excluded contractors with their reasons."""

    job_id: Id
    recommended: list[Recommendation]
    excluded: list[Exclusion]
    others: int = 0
    """Number of further suitable contractors, beyond the limit."""


class Recommendations(BaseModel, frozen=True):
    """Recommendations for each job of the request, in its order."""

    provider: str
    in_time: bool = True
    """False: estimates replace answers that the provider had not given by the deadline; each travel names its
    method."""

    jobs: list[JobRecommendations]

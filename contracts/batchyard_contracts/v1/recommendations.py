"""Which contractors fit a job best: one question, answered at once by a worker that runs the workload `distances`."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.values import Seconds

MAX_JOBS = 100
MAX_CONTRACTORS = 1000
MAX_PAIRS = 20_000
"""Jobs times contractors of one question; more than that is a batch."""

TravelMode = Literal["driving", "cycling", "walking"]
Method = Literal["road network", "geodesic estimate"]
"""How a distance came about: by a router, or from the line between two points on the earth."""
Criterion = Literal["travel", "rating", "availability", "cost"]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Skill = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Window(Value, extra="forbid"):
    """A time from `start` to `end`."""

    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def _ends_later(self) -> Self:
        if self.end <= self.start:
            raise ValueError("`end` must be later than `start`")
        return self


class Job(Value, extra="forbid"):
    """A job, where it is, and what it takes."""

    id: Id
    lat: Latitude
    lon: Longitude
    skills: Annotated[list[Skill], Field(max_length=50)] = []
    """Skills that its contractor must have, all of them."""
    window: Window | None = None
    """When it has to be done; unset: whenever."""
    duration_s: Seconds | None = None
    """For how long its contractor must be free within the window, in one piece."""
    excluded: Annotated[list[Id], Field(max_length=MAX_CONTRACTORS)] = []
    """Contractors who must not have it."""


class Contractor(Value, extra="forbid"):
    """A contractor. What is unset is unknown, and counts neither for nor against."""

    id: Id
    lat: Latitude
    lon: Longitude
    skills: Annotated[list[Skill], Field(max_length=200)] = []
    rating: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] | None = None
    """Mean of the reviews, from 0 to 5."""
    reviews: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    """How many they are: a mean of few says less."""
    available: Annotated[list[Window], Field(max_length=200)] | None = None
    """When the contractor is free; an empty list: never."""
    cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """In any unit that all share."""
    max_travel_s: Seconds | None = None
    """The longest way that the contractor takes on."""


class Weights(Value, extra="forbid"):
    """How much each criterion counts, relative to the others."""

    travel: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.5
    rating: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.3
    availability: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.1
    cost: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.1

    @model_validator(mode="after")
    def _some_count(self) -> Self:
        if not (self.travel or self.rating or self.availability or self.cost):
            raise ValueError("at least one weight must be above 0")
        return self


class RecommendationsQuery(Message):
    """For each job, the contractors that fit it best. Each job is looked at by itself: nobody is assigned."""

    type: ClassVar[str] = "recommendations.query.v1"
    jobs: Annotated[list[Job], Field(min_length=1, max_length=MAX_JOBS)]
    contractors: Annotated[list[Contractor], Field(min_length=1, max_length=MAX_CONTRACTORS)]
    mode: TravelMode = "driving"
    weights: Weights = Weights()
    max_travel_s: Annotated[float, Field(gt=0, le=172_800)] = 7200.0
    """Who is farther away is left out; the nearer the better, down to 0 seconds."""
    limit: Annotated[int, Field(ge=1, le=100)] = 5
    """Contractors for each job at the most."""
    exact: Annotated[int, Field(ge=1, le=MAX_CONTRACTORS)] = 25
    """The provider is asked about so many of each job's likeliest contractors; the others are left out."""
    deadline_s: Annotated[float, Field(ge=0.05, le=10)] = 2.0
    """When the provider takes longer, estimates stand in, and say so."""

    @model_validator(mode="after")
    def _is_one_question(self) -> Self:
        if (pairs := len(self.jobs) * len(self.contractors)) > MAX_PAIRS:
            raise ValueError(f"{pairs} pairs of a job and a contractor; one question takes {MAX_PAIRS}: ask in parts")
        for what, ids in (("job", [job.id for job in self.jobs]), ("contractor", [c.id for c in self.contractors])):
            if len(set(ids)) < len(ids):
                raise ValueError(f"two {what}s have the same id")
        return self


class Travel(Value):
    """The way from a contractor to a job."""

    metres: int
    seconds: int
    provider: str
    method: Method


class Part(Value):
    """One criterion of a score: its value from 0 (worst) to 1 (best), and its share of all weights that counted."""

    value: float
    weight: float


class Recommendation(Value):
    """A contractor for a job; `score`, from 0 to 1, is the sum of value times weight over the parts."""

    contractor_id: Id
    score: float
    travel: Travel
    parts: dict[Criterion, Part]


class Exclusion(Value):
    """Why a contractor is not recommended for a job."""

    contractor_id: Id
    reason: Literal["excluded", "missing_skill", "not_available", "too_far", "unreachable", "less_likely"]
    detail: str


class JobRecommendations(Value):
    """The contractors of one job, the best first, and why the others are not among them."""

    job_id: Id
    recommended: list[Recommendation]
    excluded: list[Exclusion]
    others: int = 0
    """Contractors that would do too, below the limit."""


class RecommendationsReply(Message):
    """For each job of the question, in its order."""

    type: ClassVar[str] = "recommendations.reply.v1"
    provider: str
    in_time: bool = True
    """False: for what the provider had not told by the deadline, estimates stand in; each travel says its method."""
    jobs: list[JobRecommendations]

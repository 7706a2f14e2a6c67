"""Summary of a batch of pairs: totals, and the nearest contractors of the first jobs."""

from bisect import insort

from pydantic import BaseModel

from batchyard_contracts.workload import ItemInfo
from services.worker.workloads.distances.model import DistanceResult

_JOBS = 20
"""Jobs that are ranked, the first ones of the batch: with names of any length they fit into a summary."""
_NEAREST = 3


class NearestContractor(BaseModel):
    """Contractor with the travel to the job."""

    contractor: str
    seconds: int
    metres: int | None = None


class JobRanking(BaseModel):
    """Contractors with the shortest travel time, the shortest first."""

    job: str
    nearest: list[NearestContractor]


class DistancesSummary(BaseModel):
    """All pairs of a batch together."""

    pairs: int
    unreachable: int
    estimates: int
    """Number of pairs that were estimated."""
    mean_metres: int | None
    mean_seconds: int | None
    longest_seconds: int | None
    jobs: list[JobRanking]
    more_jobs: bool
    """True when the batch has jobs that are not ranked here."""


class Ranking:
    """Reducer: totals, and a few contractors for each of the first jobs."""

    def __init__(self) -> None:
        self._pairs = self._ways = self._estimates = 0
        self._metres = self._seconds = self._longest = 0
        self._jobs: dict[str, list[tuple[int, int, str]]] = {}
        self._more = False

    def add(self, result: DistanceResult, item: ItemInfo) -> None:
        """Count a pair, and rank it if it names both its ends."""
        self._pairs += 1
        if result.method == "geodesic estimate":
            self._estimates += 1
        seconds, metres = result.seconds, result.metres
        if seconds is not None and metres is not None:
            self._ways += 1
            self._metres += metres
            self._seconds += seconds
            self._longest = max(self._longest, seconds)
        if result.job is None:
            return
        nearest = self._jobs.get(result.job)
        if nearest is None:
            if len(self._jobs) == _JOBS:
                self._more = True
                return
            nearest = self._jobs[result.job] = []
        if result.contractor is None or seconds is None:
            return
        if len(nearest) < _NEAREST or seconds < nearest[-1][0]:
            insort(nearest, (seconds, metres or 0, result.contractor))
            del nearest[_NEAREST:]

    def finish(self) -> DistancesSummary:
        """Return the totals and the ranking."""
        return DistancesSummary(
            pairs=self._pairs,
            unreachable=self._pairs - self._ways,
            estimates=self._estimates,
            mean_metres=round(self._metres / self._ways) if self._ways else None,
            mean_seconds=round(self._seconds / self._ways) if self._ways else None,
            longest_seconds=self._longest if self._ways else None,
            jobs=[JobRanking(job=job, nearest=_near(found)) for job, found in self._jobs.items()],
            more_jobs=self._more,
        )


def _near(found: list[tuple[int, int, str]]) -> list[NearestContractor]:
    return [
        NearestContractor(contractor=contractor, seconds=seconds, metres=metres)
        for seconds, metres, contractor in found
    ]

"""Summary of a batch of tracklists: counts, mean quality, and the tracklists with the lowest scores."""

from bisect import insort

from pydantic import BaseModel

from batchyard_contracts.workload import ItemInfo
from services.worker.workloads.tracklists.model import TracklistResult

_POOREST = 5


class LowScore(BaseModel):
    """A tracklist with a low score."""

    slug: str
    quality_score: float


class TracklistsSummary(BaseModel):
    """All tracklists of a batch together."""

    tracklists: int
    with_cue_sheets: int
    tracks: int
    identified: int
    partial: int
    unknown: int
    cued: int
    mean_quality: float | None
    poorest: list[LowScore]
    """Tracklists with the lowest scores, the lowest first."""


class TracklistReducer:
    """Reducer: counts tracks, and keeps the tracklists with the lowest scores."""

    def __init__(self) -> None:
        self._tracklists = self._sheets = self._tracks = 0
        self._identified = self._partial = self._unknown = self._cued = 0
        self._quality = 0.0
        self._poorest: list[tuple[float, str]] = []

    def add(self, result: TracklistResult, item: ItemInfo) -> None:
        """Count a tracklist."""
        self._tracklists += 1
        self._sheets += bool(result.cue)
        self._tracks += result.track_count
        self._identified += result.identified
        self._partial += result.partial
        self._unknown += result.unknown
        self._cued += result.cued
        self._quality += result.quality_score
        if len(self._poorest) < _POOREST or result.quality_score < self._poorest[-1][0]:
            insort(self._poorest, (result.quality_score, result.slug))
            del self._poorest[_POOREST:]

    def finish(self) -> TracklistsSummary:
        """Return the summary."""
        return TracklistsSummary(
            tracklists=self._tracklists,
            with_cue_sheets=self._sheets,
            tracks=self._tracks,
            identified=self._identified,
            partial=self._partial,
            unknown=self._unknown,
            cued=self._cued,
            mean_quality=round(self._quality / self._tracklists, 1) if self._tracklists else None,
            poorest=[LowScore(slug=slug, quality_score=score) for score, slug in self._poorest],
        )

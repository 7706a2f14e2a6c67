"""Summary of a batch of clips: their duration, size and cost."""

from pydantic import BaseModel

from batchyard_contracts.workload import ItemInfo
from services.worker.workloads.videos.model import Clip, ProviderName
from services.worker.workloads.videos.settings import VideosSettings


class VideosSummary(BaseModel):
    """All clips of a batch together."""

    clips: int
    by_provider: dict[ProviderName, int]
    seconds: float
    """Duration of all clips together."""
    bytes: int
    cost: float | None
    """Cost of the clips whose price is known; null where none is."""
    max_cost: float | None
    """Sum that the batch might cost by the settings; null: any."""
    without_cost: int
    """Clips of a provider whose price is not known."""


class ClipReducer:
    """Reducer: adds up the clips of a batch."""

    def __init__(self) -> None:
        self._by_provider: dict[ProviderName, int] = {}
        self._clips = self._bytes = self._priced = 0
        self._seconds = self._cost = 0.0

    def add(self, result: Clip, item: ItemInfo) -> None:
        """Add a clip."""
        self._clips += 1
        self._by_provider[result.provider] = self._by_provider.get(result.provider, 0) + 1
        self._bytes += result.bytes
        self._seconds += result.seconds or 0.0
        if result.cost is not None:
            self._priced += 1
            self._cost += result.cost

    def finish(self) -> VideosSummary:
        """Return the sums."""
        return VideosSummary(
            clips=self._clips,
            by_provider=self._by_provider,
            seconds=round(self._seconds, 2),
            bytes=self._bytes,
            cost=round(self._cost, 6) if self._priced else None,
            max_cost=VideosSettings().max_cost,
            without_cost=self._clips - self._priced - self._by_provider.get("local", 0),
        )

"""What this worker knows of destinations that are to be left alone, by partition: items in hand are spared the call."""

import time
from typing import TypeVar

from batchyard_contracts.v1.values import ItemError

_KEPT = 1000
T = TypeVar("T")


class Holds:
    """Of one workload. Times are those of the monotonic clock."""

    def __init__(self) -> None:
        self._refusals: dict[str, tuple[float, ItemError]] = {}
        self._pauses: dict[str, float] = {}

    def refused(self, partition: str, error: ItemError) -> None:
        """A provider refused for a cause that holds for all its items."""
        _keep(self._refusals, partition, (time.monotonic(), error))

    def refusal(self, partition: str, began: float) -> ItemError | None:
        """What a provider refused with, after a chunk began that is still to call it."""
        at, error = self._refusals.get(partition, (0.0, None))
        return error if at >= began else None

    def pause(self, partition: str, seconds: float) -> None:
        """A destination takes nothing for so long."""
        _keep(self._pauses, partition, max(time.monotonic() + seconds, self._pauses.get(partition, 0.0)))

    def paused_s(self, partition: str) -> float:
        """For how long a destination still takes nothing; zero or less: it takes calls."""
        until = self._pauses.get(partition)
        return 0.0 if until is None else until - time.monotonic()


def _keep(held: dict[str, T], partition: str, value: T) -> None:
    held.pop(partition, None)
    held[partition] = value
    if len(held) > _KEPT:
        del held[next(iter(held))]

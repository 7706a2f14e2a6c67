"""What this worker knows of destinations that are to be left alone, by partition: items in hand are spared the call."""

import time
from typing import TypeVar

from batchyard_contracts.v1.values import ItemError

_MAX_PARTITIONS = 1000
T = TypeVar("T")


class DestinationBackoff:
    """Of one workload. Times are those of the monotonic clock."""

    def __init__(self) -> None:
        self._refusals: dict[str, tuple[float, ItemError]] = {}
        self._backoff_until: dict[str, float] = {}

    def record_refusal(self, partition: str, error: ItemError) -> None:
        """A provider refused for a cause that holds for all its items."""
        _store_newest(self._refusals, partition, (time.monotonic(), error))

    def refusal_since(self, partition: str, since: float) -> ItemError | None:
        """What a provider refused with, after a chunk began that is still to call it."""
        at, error = self._refusals.get(partition, (0.0, None))
        return error if at >= since else None

    def back_off(self, partition: str, seconds: float) -> None:
        """A destination takes nothing for so long."""
        _store_newest(
            self._backoff_until, partition, max(time.monotonic() + seconds, self._backoff_until.get(partition, 0.0))
        )

    def remaining_s(self, partition: str) -> float:
        """For how long a destination still takes nothing; zero or less: it takes calls."""
        until = self._backoff_until.get(partition)
        return 0.0 if until is None else until - time.monotonic()


def _store_newest(entries: dict[str, T], partition: str, value: T) -> None:
    entries.pop(partition, None)
    entries[partition] = value
    if len(entries) > _MAX_PARTITIONS:
        del entries[next(iter(entries))]

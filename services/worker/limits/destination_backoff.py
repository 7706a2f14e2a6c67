"""Remembers which destinations back off or refuse, by partition, so that waiting items do not call them."""

import time
from typing import TypeVar

from batchyard_contracts.v1.values import ItemError

_MAX_PARTITIONS = 1000
T = TypeVar("T")


class DestinationBackoff:
    """Backoff of one workload's destinations. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self.is_used = False
        """True once a destination has backed off or refused."""
        self._refusals: dict[str, tuple[float, ItemError]] = {}
        self._backoff_until: dict[str, float] = {}

    def record_refusal(self, partition: str, error: ItemError) -> None:
        """Record that a provider refused for a reason that holds for all its items."""
        self.is_used = True
        _store_newest(self._refusals, partition, (time.monotonic(), error))

    def refusal_since(self, partition: str, since: float) -> ItemError | None:
        """Return the error of a refusal since a time; None when there was none."""
        at, error = self._refusals.get(partition, (0.0, None))
        return error if at >= since else None

    def back_off(self, partition: str, seconds: float) -> None:
        """Record that a destination takes no calls for some seconds."""
        self.is_used = True
        _store_newest(
            self._backoff_until, partition, max(time.monotonic() + seconds, self._backoff_until.get(partition, 0.0))
        )

    def remaining_s(self, partition: str) -> float:
        """Return the remaining backoff of a destination in seconds; zero or less when it takes calls."""
        until = self._backoff_until.get(partition)
        return 0.0 if until is None else until - time.monotonic()


def _store_newest(entries: dict[str, T], partition: str, value: T) -> None:
    entries.pop(partition, None)
    entries[partition] = value
    if len(entries) > _MAX_PARTITIONS:
        del entries[next(iter(entries))]

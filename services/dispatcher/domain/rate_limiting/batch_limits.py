"""Limits a batch to its own rate and concurrency, in addition to the limits of its partitions.

The rate is a token bucket in the memory of the active dispatcher, which alone dispatches items.
"""

from dataclasses import dataclass

from batchyard_contracts.v1.values import Rate, Terms
from services.dispatcher.domain.rate_limiting.bounds import bounded_rate
from services.dispatcher.domain.rate_limiting.gcra import Gcra

_STEP_S = 0.02
"""Interval in which high rates are granted, with more items at once than `burst` if need be: item by item they would
not be reached."""


@dataclass(slots=True)
class BatchLimits:
    """The limits of one batch. Times are seconds of the caller's clock."""

    concurrency: int | None
    rate: Rate | None
    gcra: Gcra

    @classmethod
    def of(cls, terms: Terms, now: float, previous: "BatchLimits | None", *, has_started: bool) -> "BatchLimits | None":
        """Return the limits of the terms; None if there are none.

        Items dispatched under the previous terms count under these, so that changed or repeated terms release nothing
        beyond the rate. A batch that has started and whose bucket is unknown starts with one item.
        """
        if terms.rate is None and terms.concurrency is None:
            return None
        limits = cls(terms.concurrency, bounded_rate(terms.rate) if terms.rate else None, Gcra(now))
        if limits.rate is not None and previous is not None and previous.rate is not None:
            backlog = max(0.0, previous.gcra.full_at - now) * previous.rate.per_second
            limits.gcra.full_at = now + min(backlog, limits._burst) / limits.rate.per_second
        elif has_started:
            limits.gcra.full_at = now + limits._fill_s
        return limits

    def available(self, in_flight: int, now: float) -> int | None:
        """Return how many items may be dispatched with `in_flight` items in flight; None: any number."""
        limits = []
        if self.concurrency is not None:
            limits.append(max(0, self.concurrency - in_flight))
        if self.rate is not None:
            limits.append(max(0, self.gcra.available(self.rate.per_second, self._burst, now)))
        return min(limits, default=None)

    def lacks(self, wanted: int, now: float) -> bool:
        """Tell whether the rate allows fewer items now than `wanted`, or than ever at once if that is less."""
        if self.rate is None:
            return False
        at_once = min(wanted, max(1, int(self._burst)))
        return self.gcra.available(self.rate.per_second, self._burst, now) < at_once

    def take(self, items: int, now: float) -> None:
        """Charge dispatched items to the rate."""
        if self.rate is not None:
            self.gcra.take(self.rate.per_second, items, now)

    def next_at(self) -> float:
        """Return when the rate allows the next item."""
        return self.gcra.full_at - self._fill_s if self.rate is not None else 0.0

    @property
    def _burst(self) -> float:
        return max(self.rate.burst, self.rate.per_second * _STEP_S) if self.rate is not None else 0.0

    @property
    def _fill_s(self) -> float:
        """Seconds from the first item to a full bucket."""
        return (self._burst - 1) / self.rate.per_second if self.rate is not None else 0.0

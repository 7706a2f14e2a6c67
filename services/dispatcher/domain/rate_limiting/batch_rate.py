"""Limits a batch to its own rate and concurrency, in addition to the limits of its partitions.

The rate is a token bucket in the memory of the active dispatcher, which alone dispatches items: the generic cell rate
algorithm (ATM Forum TM 4.0, 4.4.2), one number, the time at which the bucket will be full.
"""

from dataclasses import dataclass

from batchyard_contracts.v1.values import Rate, Terms

_STEP_S = 0.02
"""Interval in which high rates are granted, with more items at once than `burst` if need be: item by item they would
not be reached."""


@dataclass(slots=True)
class BatchLimits:
    """The limits of one batch. Times are seconds of the caller's clock."""

    concurrency: int | None
    rate: Rate | None
    full_at: float

    @classmethod
    def of(cls, terms: Terms, now: float, previous: "BatchLimits | None", *, has_started: bool) -> "BatchLimits | None":
        """Return the limits of the terms; None if there are none.

        Items dispatched under the previous terms count under these, so that changed or repeated terms release nothing
        beyond the rate. A batch that has started and whose bucket is unknown starts with one item.
        """
        if terms.rate is None and terms.concurrency is None:
            return None
        limits = cls(terms.concurrency, terms.rate, now)
        if limits.rate is not None and previous is not None and previous.rate is not None:
            debt = max(0.0, previous.full_at - now) * previous.rate.per_second
            limits.full_at = now + min(debt, limits._burst) / limits.rate.per_second
        elif has_started:
            limits.full_at = now + limits._fill_s
        return limits

    def available(self, in_flight: int, now: float) -> int | None:
        """Return how many items may be dispatched with `in_flight` items in flight; None: any number."""
        limits = []
        if self.concurrency is not None:
            limits.append(max(0, self.concurrency - in_flight))
        if self.rate is not None:
            limits.append(max(0, int(self._burst - max(0.0, self.full_at - now) * self.rate.per_second + 1e-9)))
        return min(limits, default=None)

    def take(self, items: int, now: float) -> None:
        """Charge dispatched items to the rate."""
        if self.rate is not None:
            self.full_at = max(self.full_at, now) + items / self.rate.per_second

    def next_at(self) -> float:
        """Return when the rate allows the next item."""
        return self.full_at - self._fill_s if self.rate is not None else 0.0

    @property
    def _burst(self) -> float:
        return max(self.rate.burst, self.rate.per_second * _STEP_S) if self.rate is not None else 0.0

    @property
    def _fill_s(self) -> float:
        """Seconds from the first item to a full bucket."""
        return (self._burst - 1) / self.rate.per_second if self.rate is not None else 0.0

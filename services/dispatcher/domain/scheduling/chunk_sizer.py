"""Learns the chunk size of a partition from the duration of its items and from their failures."""

from dataclasses import dataclass, replace

from services.dispatcher.domain.rate_limiting.bounds import MAX_COUNT, MAX_SECONDS, clamp

INITIAL_SIZE = 8
"""Items in the first chunk, before anything has been measured."""
_MAX_GROWTH = 8
_WEIGHT = 0.3
_MIN_FAILURES = 2
"""Failures in a chunk below which its size is not reduced."""
_FAILURE_SHARE = 8
"""The size is reduced if at least one item in this many failed."""
_RECOVERY_SHARE = 4
"""After a chunk without failures the limit grows by one part in this many."""


@dataclass(frozen=True, slots=True)
class ChunkOutcomes:
    """The results of one chunk so far: `failed` of `count` items failed with a retryable error. Times are seconds of
    the caller's clock."""

    failed: int
    count: int
    sent_at: float
    now: float


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """An upper bound of the chunk size, set after the failures in `outcomes`; `has_grown` once it was raised again."""

    max_items: int
    outcomes: ChunkOutcomes
    has_grown: bool = False


@dataclass(frozen=True, slots=True)
class ChunkSizer:
    """The current chunk size, the mean duration of an item in seconds, and the limit that failures have set."""

    size: int = INITIAL_SIZE
    seconds_per_item: float | None = None
    limit: SizeLimit | None = None

    def with_measurement(self, items: int, busy_s: float, target_s: float, cap: int, minimum: int = 1) -> "ChunkSizer":
        """Return the sizer after a report of `items` items that took `busy_s` seconds.

        The new size aims at `target_s` seconds for a chunk, between `minimum` and `cap`, and grows at most eightfold at
        once.
        """
        if items == 0:
            return self
        seconds = clamp(busy_s, 0.0, MAX_SECONDS) / min(items, MAX_COUNT)
        mean = (
            seconds
            if self.seconds_per_item is None
            else self.seconds_per_item + _WEIGHT * (seconds - self.seconds_per_item)
        )
        wanted = int(target_s / mean) if mean * cap > target_s else cap
        maximum = cap if self.limit is None else min(cap, self.limit.max_items)
        return ChunkSizer(max(1, min(max(wanted, minimum), maximum, self.size * _MAX_GROWTH)), mean, self.limit)

    def with_outcomes(self, outcomes: ChunkOutcomes) -> "ChunkSizer":
        """Return the sizer with the limit halved if a notable share of a chunk failed, or raised after a chunk without
        failures.

        Chunks that were sent before the last halving are ignored, so that one disturbance halves the size only once.
        """
        limit = self.limit
        if limit is not None and outcomes.sent_at < limit.outcomes.now:
            return self
        if outcomes.failed >= _MIN_FAILURES and outcomes.failed * _FAILURE_SHARE >= outcomes.count:
            half = max(1, self.size // 2)
            return replace(self, size=half, limit=SizeLimit(half, outcomes))
        if limit is None or outcomes.failed:
            return self
        if self.size < limit.max_items:  # the duration of an item limits the size more
            return replace(self, limit=None)
        return replace(
            self,
            limit=SizeLimit(
                limit.max_items + max(1, limit.max_items // _RECOVERY_SHARE), limit.outcomes, has_grown=True
            ),
        )

    def reason(self, size: int, target_s: float, cap: int, minimum: int = 1) -> str:
        """Return in a few words why chunks have `size` items."""
        if cap == 1:
            return "the manifest's cap"
        if self.limit is not None:
            action = "growing again" if self.limit.has_grown else "halved"
            return f"{action} after {self.limit.outcomes.failed} of {self.limit.outcomes.count} failed"
        if self.seconds_per_item is None:
            return "nothing measured yet"
        each = f"{self.seconds_per_item * 1000:.3g} ms an item"
        if size == cap or 1 < size == minimum:
            return f"{each}; the manifest's {'cap' if size == cap else 'least'}"
        return f"{each}, aims at {target_s:g} s"

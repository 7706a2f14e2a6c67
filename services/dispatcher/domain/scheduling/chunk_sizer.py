"""Learns how many items of a partition travel together: from the time that one takes, and from those that fail."""

from dataclasses import dataclass, replace

INITIAL_SIZE = 8
"""Items in the first chunk, while nothing has been measured."""
_MAX_GROWTH = 8
_WEIGHT = 0.3
_MIN_FAILURES = 2
"""Fewer failures say nothing of the chunk that they came in."""
_FAILURE_SHARE = 8
"""One in so many is notable."""
_RECOVERY_SHARE = 4
"""A chunk in which nothing failed makes the next one larger by a part of so many."""


@dataclass(frozen=True, slots=True)
class ChunkOutcomes:
    """How the items of a chunk have fared so far: how many `failed` in a way that may pass, of how many. Times are
    seconds of the caller's clock."""

    failed: int
    count: int
    sent_at: float
    now: float


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """No chunk has more than `most` items, since so many failed; `grown`: some more than right after that."""

    max_items: int
    outcomes: ChunkOutcomes
    has_grown: bool = False


@dataclass(frozen=True, slots=True)
class ChunkSizer:
    """The present size, the mean time of an item in seconds that it follows from, and what holds it down."""

    size: int = INITIAL_SIZE
    seconds_per_item: float | None = None
    limit: SizeLimit | None = None

    def with_measurement(self, items: int, busy_s: float, target_s: float, cap: int, minimum: int = 1) -> "ChunkSizer":
        """After a report: aim at `target_s` for a chunk, from `least` to `cap`, growing at most eightfold at a time."""
        if items == 0:
            return self
        seconds = busy_s / items
        mean = (
            seconds
            if self.seconds_per_item is None
            else self.seconds_per_item + _WEIGHT * (seconds - self.seconds_per_item)
        )
        wanted = cap if mean * cap <= target_s else int(target_s / mean)
        maximum = cap if self.limit is None else min(cap, self.limit.max_items)
        return ChunkSizer(max(1, min(max(wanted, minimum), maximum, self.size * _MAX_GROWTH)), mean, self.limit)

    def with_outcomes(self, outcomes: ChunkOutcomes) -> "ChunkSizer":
        """Halve when a notable share failed, and grow again by chunks in which nothing did. Chunks that went out before
        the last halving say nothing new: one trouble halves once."""
        limit = self.limit
        if limit is not None and outcomes.sent_at < limit.outcomes.now:
            return self
        if outcomes.failed >= _MIN_FAILURES and outcomes.failed * _FAILURE_SHARE >= outcomes.count:
            half = max(1, self.size // 2)
            return replace(self, size=half, limit=SizeLimit(half, outcomes))
        if limit is None or outcomes.failed:
            return self
        if self.size < limit.max_items:  # it is the time of an item that holds it down
            return replace(self, limit=None)
        return replace(
            self,
            limit=SizeLimit(
                limit.max_items + max(1, limit.max_items // _RECOVERY_SHARE), limit.outcomes, has_grown=True
            ),
        )

    def reason(self, size: int, target_s: float, cap: int, minimum: int = 1) -> str:
        """Why chunks have `size` items, in a few words."""
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

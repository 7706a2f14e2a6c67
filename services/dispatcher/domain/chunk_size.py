"""Learns how many items of a partition travel together, from the time that one takes."""

from dataclasses import dataclass

START = 8
"""Items in the first chunk, while nothing has been measured."""
_GROWTH = 8
_WEIGHT = 0.3


@dataclass(frozen=True, slots=True)
class ChunkSize:
    """The present size, and the mean time of an item in seconds that it follows from."""

    size: int = START
    item_s: float | None = None

    def measured(self, items: int, busy_s: float, target_s: float, cap: int) -> "ChunkSize":
        """After a report: aim at `target_s` for a chunk, within `cap`, growing at most eightfold at a time."""
        if items == 0:
            return self
        each = busy_s / items
        mean = each if self.item_s is None else self.item_s + _WEIGHT * (each - self.item_s)
        wanted = cap if mean * cap <= target_s else int(target_s / mean)
        return ChunkSize(max(1, min(wanted, cap, self.size * _GROWTH)), mean)

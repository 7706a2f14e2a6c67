"""Learns how many items of a partition travel together: from the time that one takes, and from those that fail."""

from dataclasses import dataclass, replace

START = 8
"""Items in the first chunk, while nothing has been measured."""
_GROWTH = 8
_WEIGHT = 0.3
_FEW = 2
"""Fewer failures say nothing of the chunk that they came in."""
_NOTABLE = 8
"""One in so many is notable."""
_REGAIN = 4
"""A chunk in which nothing failed makes the next one larger by a part of so many."""


@dataclass(frozen=True, slots=True)
class Fate:
    """How the items of a chunk have fared so far: how many `failed` in a way that may pass, of how many. Times are
    seconds of the caller's clock."""

    failed: int
    of: int
    given_at: float
    now: float


@dataclass(frozen=True, slots=True)
class Held:
    """No chunk has more than `most` items, since so many failed; `grown`: some more than right after that."""

    most: int
    fate: Fate
    grown: bool = False


@dataclass(frozen=True, slots=True)
class ChunkSize:
    """The present size, the mean time of an item in seconds that it follows from, and what holds it down."""

    size: int = START
    item_s: float | None = None
    held: Held | None = None

    def measured(self, items: int, busy_s: float, target_s: float, cap: int, least: int = 1) -> "ChunkSize":
        """After a report: aim at `target_s` for a chunk, from `least` to `cap`, growing at most eightfold at a time."""
        if items == 0:
            return self
        each = busy_s / items
        mean = each if self.item_s is None else self.item_s + _WEIGHT * (each - self.item_s)
        wanted = cap if mean * cap <= target_s else int(target_s / mean)
        most = cap if self.held is None else min(cap, self.held.most)
        return ChunkSize(max(1, min(max(wanted, least), most, self.size * _GROWTH)), mean, self.held)

    def fared(self, fate: Fate) -> "ChunkSize":
        """Halve when a notable share failed, and grow again by chunks in which nothing did. Chunks that went out before
        the last halving say nothing new: one trouble halves once."""
        held = self.held
        if held is not None and fate.given_at < held.fate.now:
            return self
        if fate.failed >= _FEW and fate.failed * _NOTABLE >= fate.of:
            half = max(1, self.size // 2)
            return replace(self, size=half, held=Held(half, fate))
        if held is None or fate.failed:
            return self
        if self.size < held.most:  # it is the time of an item that holds it down
            return replace(self, held=None)
        return replace(self, held=Held(held.most + max(1, held.most // _REGAIN), held.fate, grown=True))

    def reason(self, size: int, target_s: float, cap: int, least: int = 1) -> str:
        """Why chunks have `size` items, in a few words."""
        if cap == 1:
            return "the manifest's cap"
        if self.held is not None:
            how = "growing again" if self.held.grown else "halved"
            return f"{how} after {self.held.fate.failed} of {self.held.fate.of} failed"
        if self.item_s is None:
            return "nothing measured yet"
        each = f"{self.item_s * 1000:.3g} ms an item"
        if size == cap or 1 < size == least:
            return f"{each}; the manifest's {'cap' if size == cap else 'least'}"
        return f"{each}, aims at {target_s:g} s"

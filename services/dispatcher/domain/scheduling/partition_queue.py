"""The waiting items of one batch for one partition: slices of page segments, and retries."""

from dataclasses import dataclass, field, replace


@dataclass(slots=True)
class PageSlice:
    """The items of one page segment that are not dispatched yet: positions `taken` to `size`."""

    page: int
    segment: int
    size: int
    taken: int = 0


@dataclass(frozen=True, slots=True)
class PageRange:
    """Items that were taken from a page slice."""

    page: int
    segment: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class RetryRange:
    """Items that are retried together, all in the same attempt."""

    attempt: int
    ordinals: tuple[int, ...]
    quarantined: bool = False
    """True if the items ran in quarantine before."""

    @property
    def count(self) -> int:
        """Number of items."""
        return len(self.ordinals)


@dataclass(slots=True)
class PartitionQueue:
    """The waiting items of one batch for one partition. Plain lists, since most queues are short and many."""

    slices: list[PageSlice] = field(default_factory=list)
    retries: list[RetryRange] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.slices or self.retries)

    @property
    def count(self) -> int:
        """Number of items."""
        return sum(s.size - s.taken for s in self.slices) + sum(retries.count for retries in self.retries)

    def take(self, limit: int) -> PageRange | RetryRange:
        """Take up to `limit` items; retries go first."""
        if self.retries:
            first = self.retries[0]
            if first.count > limit:
                self.retries[0] = replace(first, ordinals=first.ordinals[limit:])
                return replace(first, ordinals=first.ordinals[:limit])
            return self.retries.pop(0)
        head = self.slices[0]
        count = min(limit, head.size - head.taken)
        taken = PageRange(head.page, head.segment, head.taken, count)
        head.taken += count
        if head.taken == head.size:
            self.slices.pop(0)
        return taken

    def put_back(self, taken: PageRange | RetryRange) -> None:
        """Put items back that were taken last."""
        if isinstance(taken, RetryRange):
            self.retries.insert(0, taken)
        else:
            self.slices.insert(0, PageSlice(taken.page, taken.segment, taken.first + taken.count, taken.first))

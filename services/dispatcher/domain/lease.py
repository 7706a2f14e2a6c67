"""Chunks in flight. `LeaseTable` is the only code that changes a lease."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from batchyard_contracts import topology
from batchyard_contracts.v1.values import Priority
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.scheduling.partition_queue import PageRange, RetryRange


@dataclass(slots=True)
class Lease:
    """A chunk in flight."""

    chunk_id: UUID
    fence: int
    batch_id: UUID
    workload: str
    priority: Priority
    partition: str
    round: int
    attempt: int
    source: PageRange | RetryRange
    seen_at: float
    """Time at which a worker last named the chunk, or at which it was dispatched (monotonic seconds)."""
    sent_at: float
    """Time at which the chunk was last published (monotonic seconds)."""
    losses: int = 0
    quarantined: bool = False
    """True if the chunk was lost before and runs in a process of its own."""
    resent: bool = False
    """True if the chunk was sent again unchanged after another dispatcher had died, since no worker had it."""
    reported: set[int] = field(default_factory=set)
    """Ordinals that partial reports have covered."""
    holder: str | None = None
    """The worker that was permitted to start items that must not run twice. No other worker may under this fence."""
    started: set[int] = field(default_factory=set)
    """Ordinals of at-most-once items that have started."""
    failures: int = 0
    """Number of reported items that failed with a retryable error."""
    ordinals: tuple[int, ...] | None = None
    """Ordinals of a page range; None until its page is read."""

    def keep_ordinals(self, ordinals: Iterable[int]) -> None:
        """Keep the ordinals of a range once its page is read."""
        self.ordinals = tuple(ordinals)

    def is_of(self, batch: Batch) -> bool:
        """Tell whether the chunk belongs to the running round of a batch."""
        return (self.batch_id, self.round) == (batch.batch_id, batch.round)

    @property
    def is_ordinary(self) -> bool:
        """True if the chunk was dispatched once, and not to be isolated."""
        return self.fence == 1 and not (self.losses or self.quarantined or self.resent)

    @property
    def unreported_started(self) -> set[int]:
        """Ordinals of at-most-once items that have started and are not reported."""
        return self.started - self.reported

    @property
    def queue(self) -> str:
        """Queue in which the chunk waits for a worker."""
        if self.quarantined:
            return topology.quarantine_queue(self.workload).name
        return topology.work_queue(self.workload, self.priority).name


class LeaseTable(Mapping[UUID, Lease]):
    """The leases in memory by chunk. Every change follows the save of what it changes."""

    def __init__(self) -> None:
        self._leases: dict[UUID, Lease] = {}
        self.get = self._leases.get  # type: ignore[method-assign]  # asked for each report

    def __getitem__(self, chunk_id: UUID) -> Lease:
        return self._leases[chunk_id]

    def __iter__(self) -> Iterator[UUID]:
        return iter(self._leases)

    def __len__(self) -> int:
        return len(self._leases)

    def is_current(self, lease: Lease, fence: int) -> bool:
        """Tell whether a lease is still in the table, under this fence."""
        return self._leases.get(lease.chunk_id) is lease and lease.fence == fence

    def add(self, lease: Lease) -> None:
        """Add a chunk that is saved, or about to be saved, as in flight."""
        self._leases[lease.chunk_id] = lease

    def remove(self, lease: Lease) -> bool:
        """Remove a chunk that has ended; False if it is gone already."""
        return self._leases.pop(lease.chunk_id, None) is not None

    def record_sent(self, leases: Iterable[Lease], now: float) -> None:
        """Record that chunks were published."""
        for lease in leases:
            lease.sent_at, lease.seen_at = now, max(now, lease.seen_at)

    def mark_seen(self, lease: Lease, at: float) -> None:
        """Set the time at which a worker named or reported a chunk, or before which it does not count as lost."""
        lease.seen_at = at

    def mark_overdue(self, lease: Lease) -> None:
        """Make a chunk count as lost as soon as its batch resumes."""
        lease.seen_at = -1.0

    def mark_started(self, lease: Lease, worker_id: str, ordinals: Iterable[int]) -> None:
        """Record that a worker starts at-most-once items; no other worker may under this fence."""
        lease.holder = worker_id
        lease.started.update(ordinals)

    def record_reported(self, lease: Lease, ordinals: Collection[int]) -> None:
        """Record items that need not be reported again."""
        lease.reported.update(ordinals)

    def record_failures(self, lease: Lease, count: int) -> None:
        """Count items that failed with a retryable error."""
        lease.failures += count

    def mark_resent(self, leases: Iterable[Lease]) -> None:
        """Record that chunks are sent again with the same fence, since no worker had them."""
        for lease in leases:
            lease.resent = True

    def bump_fence(self, lease: Lease, saved: Lease, now: float) -> None:
        """Take over fence, losses and quarantine of the saved copy, since the chunk is sent again."""
        lease.fence, lease.losses, lease.quarantined, lease.seen_at = saved.fence, saved.losses, saved.quarantined, now
        lease.holder = None

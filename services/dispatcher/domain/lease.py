"""A chunk in flight: its place in the tables, its fence, and the progress of its items."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from batchyard_contracts import topology
from batchyard_contracts.v1.values import Priority
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.scheduling.scheduler import PageRange, RetryRange


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
    def unreported_started(self) -> set[int]:
        """Ordinals of at-most-once items that have started and are not reported."""
        return self.started - self.reported

    @property
    def queue(self) -> str:
        """Queue in which the chunk waits for a worker."""
        if self.quarantined:
            return topology.quarantine_queue(self.workload).name
        return topology.work_queue(self.workload, self.priority).name

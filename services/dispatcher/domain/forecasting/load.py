"""The work that one workload has before it, as the simulation takes it: batches, their strands of items, and limits."""

from dataclasses import dataclass

WAITS_FOR_WORKERS = ("workers_busy", "The workers run as many items as they can.")
RUNS_ITS_ITEMS = ("items_running", "All its items run at once; the longest ones decide.")


@dataclass(frozen=True, slots=True)
class Service:
    """Learned duration of a run of an item. `outcomes` counts the runs that it was learned from."""

    mean_s: float
    deviation_s: float = 0.0
    outcomes: float = 0.0
    again: float = 0.0
    """Share of the runs after which the item runs again."""
    again_s: float = 0.0
    """Mean time that such an item waits."""


@dataclass(frozen=True, slots=True)
class LimitLoad:
    """A limit that strands share: of a destination, of the whole workload, or of a batch."""

    code: str
    detail: str
    """Reason to wait that it is, as in `WaitReason`."""
    per_second: float | None = None
    concurrency: float | None = None
    spread: float = 0.0
    """Standard deviation of the logarithm of its rate over the time that is forecast."""
    key: str = ""
    """Name of the limit within the workload; empty for those of a batch."""


@dataclass(frozen=True, slots=True)
class BatchLoad:
    """A batch among those that share the workers. `rank`: place of its priority, 0 is served first."""

    owner: str
    rank: int = 1
    weight: float = 1.0
    owner_weight: float = 1.0
    limits: tuple[int, ...] = ()
    """Limits of its own, by their places in `WorkloadLoad.limits`."""


@dataclass(frozen=True, slots=True)
class Strand:
    """Items of one batch for one destination that have not ended."""

    batch: int
    """Place of the batch in `WorkloadLoad.batches`."""
    items: float
    service: Service
    limits: tuple[int, ...] = ()
    running: float = 0.0
    """Number of those that run now."""
    ready_s: float = 0.0
    """Seconds before which none of them runs."""
    held: tuple[str, str] | None = None
    """Reason for that."""


@dataclass(frozen=True, slots=True)
class WorkloadLoad:
    """All work of a workload."""

    slots: float
    """Items that the workers run at once."""
    batches: tuple[BatchLoad, ...]
    strands: tuple[Strand, ...]
    limits: tuple[LimitLoad, ...] = ()
    slots_spread: float = 0.0
    """Standard deviation of the logarithm of `slots` over the time that is forecast."""

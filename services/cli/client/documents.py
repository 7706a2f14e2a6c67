"""Documents of the server as the commands show them: the fields that are shown, and no check of their bounds, so that
no command waits for the models of the contracts."""

from datetime import datetime
from typing import Any

import msgspec


class Units(msgspec.Struct, frozen=True):
    """Count of the units that items consist of."""

    name: str
    done: int = 0
    total: int | None = None


class Counts(msgspec.Struct, frozen=True):
    """Number of items by state; `total` is None while the batch grows."""

    total: int | None = None
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    duplicate: int = 0
    remaining: int = 0
    cached: int = 0
    units: Units | None = None

    @property
    def ended(self) -> int:
        """Number of items in a terminal state."""
        return self.succeeded + self.failed + self.cancelled + self.expired + self.duplicate

    @property
    def known(self) -> int:
        """Number of items of the batch, or so far."""
        return self.total if self.total is not None else self.ended + self.remaining


class Rate(msgspec.Struct, frozen=True):
    """Rate limit of a batch."""

    per_second: float
    burst: int = 1


class RetryRule(msgspec.Struct, frozen=True):
    """Attempts for an error code, and the bounds of the pauses between them."""

    attempts: int = 4
    base_s: float = 1.0
    cap_s: float = 300.0


class FailureThreshold(msgspec.Struct, frozen=True):
    """Failures above which a batch stops."""

    count: int | None = None
    share: float | None = None
    codes: dict[str, int] = {}


class Terms(msgspec.Struct, frozen=True):
    """Terms on which a batch runs."""

    weight: int | None = None
    rate: Rate | None = None
    concurrency: int | None = None
    not_before: datetime | None = None
    deadline: datetime | None = None
    failure_threshold: FailureThreshold | None = None
    retry: dict[str, RetryRule] = {}


class WaitReason(msgspec.Struct, frozen=True):
    """Reason why no item of a batch runs at present."""

    code: str
    detail: str
    until: datetime | None = None


class Forecast(msgspec.Struct, frozen=True):
    """Forecast of the end of a batch; the times are None while it is not known."""

    at: datetime
    p10: datetime | None = None
    p50: datetime | None = None
    p90: datetime | None = None
    reason: WaitReason | None = None


class Batch(msgspec.Struct, frozen=True):
    """State of a batch."""

    batch_id: str
    workload: str
    priority: str
    status: str
    round: int
    counts: Counts
    accepted_at: datetime
    owner: str = ""
    result: str | None = None
    name: str | None = None
    labels: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    items_per_s: float | None = None
    eta_s: float | None = None
    forecast: Forecast | None = None
    terms: Terms = Terms()
    stop_reason: str | None = None
    waiting: WaitReason | None = None
    summary: Any = None
    summary_error: str | None = None
    finished_at: datetime | None = None


class Batches(msgspec.Struct, frozen=True):
    """List of batches; `next_before` is the last one if there may be older ones."""

    batches: list[Batch]
    next_before: str | None = None
    next_after: str | None = None


class ProgressFrame(msgspec.Struct, frozen=True):
    """Step of a batch that is watched, `batch.progressed.v1`, or its end, `batch.finished.v1`."""

    counts: Counts
    status: str = "finished"
    result: str | None = None
    items_per_s: float | None = None
    eta_s: float | None = None
    forecast: Forecast | None = None
    progress: float | None = None
    stop_reason: str | None = None
    summary: Any = None
    summary_error: str | None = None


class FailureGroup(msgspec.Struct, frozen=True):
    """Failures of a batch with one cause."""

    code: str
    count: int
    message: str
    ordinals: list[int]
    cause: str | None = None
    partition: str | None = None
    retryable: bool | None = None


class Failures(msgspec.Struct, frozen=True):
    """Failures of a batch by cause."""

    groups: list[FailureGroup] = []


class Delivery(msgspec.Struct, frozen=True):
    """Delivery of the end of one round to one receiver."""

    round: int
    kind: str
    target: str
    state: str
    attempts: int = 0
    status: int | None = None
    error: str | None = None
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None


class Deliveries(msgspec.Struct, frozen=True):
    """Notifications of a batch."""

    deliveries: list[Delivery] = []


class SlotCount(msgspec.Struct, frozen=True):
    """Slots of one workload at a worker."""

    max: int
    busy: int = 0
    open: int = 1


class Worker(msgspec.Struct, frozen=True):
    """State of a worker."""

    worker_id: str
    workloads: list[str]
    chunks: list[str]
    running: int
    stopping: bool
    seen_at: datetime
    slots: dict[str, SlotCount] = {}


class Workers(msgspec.Struct, frozen=True):
    """Live workers."""

    workers: list[Worker]

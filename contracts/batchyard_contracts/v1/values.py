"""Values that several messages of version 1 share."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, JsonValue, StringConstraints

from batchyard_contracts.message import Value

Priority = Literal["immediate", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("immediate", "normal", "low")
"""All priorities, the highest first."""

TerminalStatus = Literal["succeeded", "failed", "cancelled", "expired", "duplicate"]
TERMINAL_STATUSES: tuple[TerminalStatus, ...] = ("succeeded", "failed", "cancelled", "expired", "duplicate")

Result = Literal["completed", "partial", "failed", "cancelled"]
"""End of a batch: all items succeeded (`completed`), some (`partial`), none (`failed`), or it was stopped."""

BatchStatus = Literal["open", "running", "paused", "finished"]

CircuitState = Literal["closed", "open", "half_open"]
"""State of a provider's circuit breaker: `closed` sends items, `open` sends none, `half_open` probes with one."""

WorkloadName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,47}$")]
Owner = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""Name of the owner of a batch. It has no dots, because it ends the routing key of events."""

IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
CustomId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
ErrorCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]
Ordinal = Annotated[int, Field(ge=0, lt=100_000_000)]
Round = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, le=31_536_000)]
BatchId = UUID

StopReason = Literal["deadline", "failure_threshold", "never_sealed"]
"""Reason why a service stopped a batch without a command."""

Payload = dict[str, JsonValue]
"""Input of an item: a JSON object that is valid by the workload's item schema."""

MAX_ITEMS_PER_COMMAND = 10_000
MAX_ITEMS_PER_BATCH = 1_000_000


class NewItem(Value, extra="forbid"):
    """Item as a client submits it."""

    payload: Payload
    custom_id: CustomId | None = None


class ItemError(Value):
    """Error for which an item failed or runs again. `scope` names the party at fault: the item, or its provider."""

    code: ErrorCode
    message: Annotated[str, StringConstraints(max_length=2000)] = ""
    scope: Literal["item", "provider"] = "item"


Cause = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,4}-[0-9a-f]{16}$")]
"""Fingerprint that groups failures: of the error code, the partition, and the message without numbers, ids, addresses
and quoted values. It begins with the version of its algorithm."""

Patch = Annotated[list[dict[str, JsonValue]], Field(max_length=100)]
"""JSON Patch (RFC 6902) that is applied to the payload of each item that runs again."""

MAX_SELECTED = 10_000
"""Largest number of ordinals, and of custom ids, in one selection."""


class Selection(Value, extra="forbid"):
    """Selection among the items that did not succeed.

    Each field that is set narrows the selection; its values are alternatives. `ordinals` and `custom_ids` are one field
    in this respect: an item is selected by either.
    """

    causes: Annotated[list[Cause], Field(max_length=100)] = []
    codes: Annotated[list[ErrorCode], Field(max_length=100)] = []
    partitions: Annotated[list[Annotated[str, StringConstraints(max_length=255)]], Field(max_length=100)] = []
    statuses: Annotated[list[Literal["failed", "cancelled", "expired"]], Field(max_length=3)] = []
    ordinals: Annotated[list[Ordinal], Field(max_length=MAX_SELECTED)] = []
    custom_ids: Annotated[list[CustomId], Field(max_length=MAX_SELECTED)] = []


Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$")]
"""Single line of text, without control characters."""
WebhookUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s\x00-\x1f\x7f]+$", max_length=2048)]
EmailAddress = Annotated[
    str,
    StringConstraints(pattern=r"^[^@\s,;<>\x22\x00-\x1f\x7f]+@[^@\s,;<>\x22\x00-\x1f\x7f]+$", max_length=254),
]


class Rate(Value):
    """Rate limit: at most `per_second` items a second on average, and `burst` at once."""

    per_second: Annotated[float, Field(gt=0, le=1_000_000)]
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class RetryRule(Value):
    """Retry rule: the total number of attempts, and the bounds of an exponential backoff with full jitter, in
    seconds."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 4
    base_s: Seconds = 1.0
    cap_s: Seconds = 300.0


RetryRules = Annotated[dict[Literal["default"] | ErrorCode, RetryRule], Field(max_length=100)]
"""Retry rules by error code; `default` applies to all others."""


class FailureThreshold(Value, extra="forbid"):
    """Threshold above which failures stop a batch.

    A batch stops with more than `count` failed items, with more than a `share` of its ended items, or with more
    failures of an error code than `codes` names. The share applies once 100 items have ended, or all of a smaller
    batch.
    """

    count: Annotated[int, Field(ge=0)] | None = None
    share: Annotated[float, Field(ge=0, lt=1)] | None = None
    codes: Annotated[dict[ErrorCode, Annotated[int, Field(ge=0)]], Field(max_length=50)] = {}


class Terms(Value):
    """Terms on which a batch runs. Each of them can be changed while the batch runs."""

    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Share of the batch among the batches of its owner; None: 1."""
    rate: Rate | None = None
    """Rate of the batch, in addition to the rates of its partitions; None: unlimited."""
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Largest number of its items that workers hold at once; None: unlimited."""
    deadline: AwareDatetime | None = None
    """Time at which all items that have not ended expire; None: never."""
    failure_threshold: FailureThreshold | None = None
    retry: RetryRules = {}
    """Retry rules that replace the workload's, by error code."""


class Dedup(Value, extra="forbid"):
    """Deduplication of items that another batch of the owner has too, while that batch runs and for `ttl_s` at most.

    `attach`: the first of two equal items runs, and the other takes its result. `reject`: the later item does not run
    and ends as a duplicate. `replace`: the earlier item ends as a duplicate, unless it is running.
    """

    mode: Literal["attach", "reject", "replace"] = "attach"
    ttl_s: Annotated[int, Field(ge=1, le=2_592_000)] = 86_400


class Reuse(Value):
    """Reuse of results by the items of a batch: cached ones, and those of equal items of other batches."""

    cache: Literal["use", "refresh", "off"] | None = None
    """Cache mode: `use` reads and writes the workload's cache, `refresh` only writes it, `off` does neither. None:
    `use`."""
    dedup: Dedup | None = None

    @property
    def has_claims(self) -> bool:
        """True if items claim their keys before they run."""
        return self.dedup is not None and self.dedup.mode in {"reject", "replace"}


class NotificationTargets(Value):
    """Receivers of the notification that a batch has finished."""

    webhooks: Annotated[list[WebhookUrl], Field(max_length=5)] = []
    emails: Annotated[list[EmailAddress], Field(max_length=10)] = []


class Notifications(NotificationTargets, extra="forbid"):
    """Notification targets in a command, where unknown fields are an error."""


SUMMARY_MAX_BYTES = 65_536
"""Largest size of a summary as JSON, because it is part of `batch.finished.v1`."""

SummaryError = Annotated[str, StringConstraints(max_length=2000)]
"""Reason why a batch ended without the summary of its workload, and advice on it."""


class Units(Value):
    """Count of the units that items of a batch consist of, such as records, where the workload counts them."""

    name: str
    done: int = 0
    """Number of units in the results so far."""
    total: int | None = None
    """Expected number of units; None: unknown."""


class Counts(Value):
    """Number of items by state. While a batch is open, `total` is None and `remaining` counts the items added so
    far."""

    total: int | None = None
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    duplicate: int = 0
    remaining: int = 0
    cached: int = 0
    """Number of succeeded items that took a cached result; together with `duplicate`, the runs that were saved."""
    units: Units | None = None

    @property
    def ended(self) -> int:
        """Number of items in a terminal state."""
        return self.succeeded + self.failed + self.cancelled + self.expired + self.duplicate


class ItemResult(Value):
    """Terminal outcome of one item, as the aggregator recorded it."""

    ordinal: Ordinal
    custom_id: str | None = None
    status: TerminalStatus
    round: Round = 1
    attempts: int = 0
    result: Any = None
    error: ItemError | None = None
    duplicate_of: Ordinal | None = None
    duplicate_of_batch: BatchId | None = None
    """Batch of that item; None: this batch."""
    elapsed_ms: int | None = None
    cached: bool = False


class SlotCount(Value):
    """Slots of one workload at a worker, each of which runs one call at a time."""

    busy: Annotated[int, Field(ge=0)] = 0
    """Number of slots that run a call."""
    open: Annotated[int, Field(ge=0)] = 1
    """Number of slots that are ready for a call, busy ones included."""
    max: Annotated[int, Field(ge=1)]
    """Largest number of slots that the worker opens."""

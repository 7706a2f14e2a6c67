"""Values that several messages of version 1 share."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, JsonValue, StringConstraints

from batchyard_contracts.message import Value

Priority = Literal["immediate", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("immediate", "normal", "low")
"""Highest first."""

TerminalStatus = Literal["succeeded", "failed", "cancelled", "expired", "duplicate"]
TERMINAL_STATUSES: tuple[TerminalStatus, ...] = ("succeeded", "failed", "cancelled", "expired", "duplicate")

Result = Literal["completed", "partial", "failed", "cancelled"]
"""How a batch ended: all succeeded, some, none, or it was stopped."""

BatchStatus = Literal["open", "running", "paused", "finished"]

CircuitState = Literal["closed", "open", "half_open"]
"""Whether items go to a provider: they do, none does, or one tries it."""

WorkloadName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,47}$")]
Owner = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""Who a batch belongs to. No dots: it ends the routing key of events."""

IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
CustomId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
ErrorCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]
Ordinal = Annotated[int, Field(ge=0, lt=100_000_000)]
Round = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, le=31_536_000)]
BatchId = UUID

StopCause = Literal["deadline", "failure_threshold", "never_sealed"]
"""Why a batch was stopped without anybody asking."""

Payload = dict[str, JsonValue]
"""An item's input: a JSON object that fits the workload's item schema."""

MAX_ITEMS_PER_COMMAND = 10_000
MAX_ITEMS_PER_BATCH = 1_000_000


class NewItem(Value, extra="forbid"):
    """An item as a client hands it in."""

    payload: Payload
    custom_id: CustomId | None = None


class ItemError(Value):
    """Why an item failed or has to run again. `scope` says whether the item or its provider is at fault."""

    code: ErrorCode
    message: Annotated[str, StringConstraints(max_length=2000)] = ""
    scope: Literal["item", "provider"] = "item"


Cause = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,4}-[0-9a-f]{16}$")]
"""Why items failed: a fingerprint of error code, message without its numbers, ids, addresses and quoted values, and
partition. It begins with the version of the way it is made."""

Patch = Annotated[list[dict[str, JsonValue]], Field(max_length=100)]
"""A JSON Patch (RFC 6902), applied to the payload of each item that runs again."""

MAX_SELECTED = 10_000
"""Ordinals, or custom ids, that one selection names."""


class Selection(Value, extra="forbid"):
    """Which of the items that did not succeed. Each field that is given narrows the choice; ordinals and custom ids
    together name items, the values of every other field are alternatives."""

    causes: Annotated[list[Cause], Field(max_length=100)] = []
    codes: Annotated[list[ErrorCode], Field(max_length=100)] = []
    partitions: Annotated[list[Annotated[str, StringConstraints(max_length=255)]], Field(max_length=100)] = []
    statuses: Annotated[list[Literal["failed", "cancelled", "expired"]], Field(max_length=3)] = []
    ordinals: Annotated[list[Ordinal], Field(max_length=MAX_SELECTED)] = []
    custom_ids: Annotated[list[CustomId], Field(max_length=MAX_SELECTED)] = []


Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$")]
"""One line of text, without control characters."""
WebhookUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s\x00-\x1f\x7f]+$", max_length=2048)]
EmailAddress = Annotated[
    str,
    StringConstraints(pattern=r"^[^@\s,;<>\x22\x00-\x1f\x7f]+@[^@\s,;<>\x22\x00-\x1f\x7f]+$", max_length=254),
]


class Rate(Value):
    """At most `per_second` items on average, and `burst` at once."""

    per_second: Annotated[float, Field(gt=0, le=1_000_000)]
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class RetryRule(Value):
    """Attempts in all, and the bounds of an exponential backoff with full jitter, in seconds."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 4
    base_s: Seconds = 1.0
    cap_s: Seconds = 300.0


RetryRules = Annotated[dict[Literal["default"] | ErrorCode, RetryRule], Field(max_length=100)]
"""By error code; `default` for every other."""


class FailureThreshold(Value, extra="forbid"):
    """What stops a batch: more failed items than `count`, than a `share` of those that ended, or than named for a code.

    A share counts from the hundredth ended item on, or from the last one if there are fewer.
    """

    count: Annotated[int, Field(ge=0)] | None = None
    share: Annotated[float, Field(ge=0, lt=1)] | None = None
    codes: Annotated[dict[ErrorCode, Annotated[int, Field(ge=0)]], Field(max_length=50)] = {}


class Terms(Value):
    """On what terms a batch runs. All of it can be changed while it does."""

    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Its share among the batches of its owner, 1 unless set."""
    rate: Rate | None = None
    """A pace of its own, beside those of its partitions."""
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How many of its items are out at workers at once."""
    deadline: AwareDatetime | None = None
    """What has not ended by then expires."""
    failure_threshold: FailureThreshold | None = None
    retry: RetryRules = {}
    """Retry rules in place of the workload's, by error code."""


class Dedup(Value, extra="forbid"):
    """What becomes of items that another batch of the same owner has, too, as long as that runs and `ttl_s` at most.

    `attach`: whichever comes first runs, the other takes its result. `reject`: the later one does not run and ends as
    a duplicate. `replace`: the earlier one, unless it runs already, ends as a duplicate.
    """

    mode: Literal["attach", "reject", "replace"] = "attach"
    ttl_s: Annotated[int, Field(ge=1, le=2_592_000)] = 86_400


class Reuse(Value):
    """Which results that are known, or are being made, may answer the items of a batch."""

    cache: Literal["use", "refresh", "off"] | None = None
    """`use`, the default: results that the workload's cache knows; `refresh`: make them anew and keep those instead;
    `off`: neither look nor keep."""
    dedup: Dedup | None = None

    @property
    def claims(self) -> bool:
        """Whether items claim their keys before they run."""
        return self.dedup is not None and self.dedup.mode in {"reject", "replace"}


class Targets(Value):
    """Whom to tell when a batch has finished."""

    webhooks: Annotated[list[WebhookUrl], Field(max_length=5)] = []
    emails: Annotated[list[EmailAddress], Field(max_length=10)] = []


class Notify(Targets, extra="forbid"):
    """The same, as a client asks for it."""


SUMMARY_MAX_BYTES = 65_536
"""What a summary may have as JSON: it is part of the event that ends its batch."""

SummaryError = Annotated[str, StringConstraints(max_length=2000)]
"""Why a batch whose workload has a summary ended without one, and what to do about it."""


class Units(Value):
    """What items of a batch are made of, such as records, where its workload counts that."""

    name: str
    done: int = 0
    """In the results so far."""
    total: int | None = None
    """How many are expected, if that is known."""


class Counts(Value):
    """Items by state. `total` is unknown while a batch is open; then `remaining` counts what has not ended so far."""

    total: int | None = None
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    duplicate: int = 0
    remaining: int = 0
    cached: int = 0
    """Of the succeeded: how many took a result that was known. With the duplicates, what was saved."""
    units: Units | None = None

    @property
    def ended(self) -> int:
        """How many items are in a terminal state."""
        return self.succeeded + self.failed + self.cancelled + self.expired + self.duplicate


class ItemResult(Value):
    """The ledger's row for one item: its one terminal outcome."""

    ordinal: Ordinal
    custom_id: str | None = None
    status: TerminalStatus
    round: Round = 1
    attempts: int = 0
    result: Any = None
    error: ItemError | None = None
    duplicate_of: Ordinal | None = None
    duplicate_of_batch: BatchId | None = None
    """The batch of that item, if it is another one."""
    elapsed_ms: int | None = None
    cached: bool = False


class SlotCount(Value):
    """The calls of one workload that a worker runs at once: now, as many as it is ready for now, and at the most."""

    busy: Annotated[int, Field(ge=0)] = 0
    open: Annotated[int, Field(ge=0)] = 1
    most: Annotated[int, Field(ge=1)]

"""Values that several messages of version 1 share."""

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, JsonValue, StringConstraints
from pydantic_core import PydanticKnownError, to_json

from batchyard_contracts.message import Value

MAX_INTEGER = 2**31 - 1
"""Largest integer of the databases' columns."""
MAX_DETAIL = 2000
"""Largest number of characters of a text for people."""
MAX_ID = 255
"""Largest number of characters of a message id or worker id."""
MAX_ITEM_ID = 128
"""Largest number of characters of an item's id."""
MAX_PARTITION_NAME = 4096
MAX_ORDINALS = 100_000_000
"""Number of ordinals: they are below it."""
MAX_ITEM_UNITS = 10**9
MAX_LEASE_TOKEN = 10_000
"""Largest number of characters of a chunk's token, which names its ordinals: those of a page, at most a thousand."""
MAX_RESULT_BYTES = 3 * 1024 * 1024
"""Size in bytes of the JSON of the largest result, which still fits into one reply; the item of a larger one fails."""
MAX_RESULT_DEPTH = 128
"""Deepest nesting of arrays and objects in a result; the item of a deeper one fails. Readers refuse some 200 levels."""
MAX_SECONDS = 31_536_000
"""Longest time in seconds: a year."""
MAX_MILLISECONDS = 1e12
MIN_PER_SECOND, MAX_PER_SECOND = 0.000_001, 1_000_000
"""Lowest and highest rate in items a second; the lowest is one item in eleven days."""
MAX_BURST = 1_000_000
MAX_CONCURRENCY = 100_000
"""Largest number of items at once that a limit allows."""


def _shorten(text: object) -> object:
    return f"{text[: MAX_DETAIL - 1]}…" if isinstance(text, str) and len(text) > MAX_DETAIL else text


def _shorten_id(text: object) -> object:
    return text[:MAX_ITEM_ID] if isinstance(text, str) else text


def _clamp(number: object) -> object:
    return min(max(number, 0), MAX_INTEGER) if isinstance(number, int) else number


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


def _read_time(value: object) -> datetime:
    """Return a time; pydantic alone would take numbers too, also those in texts."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper())
        except ValueError:  # such as the 30th of February
            pass
    raise PydanticKnownError("datetime_parsing", {"error": "write it as RFC 3339 does"})


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

WorkerId = Annotated[str, StringConstraints(max_length=MAX_ID)]
MessageId = Annotated[str, StringConstraints(max_length=MAX_ID)]
Version = Annotated[str, StringConstraints(max_length=64)]
"""Version of a workload."""
LimitName = Annotated[str, StringConstraints(max_length=32)]
PartitionName = Annotated[str, StringConstraints(max_length=MAX_PARTITION_NAME)]
"""Name of an item's partition, which joins its values of up to 255 characters for each limit."""
LeaseToken = Annotated[str, StringConstraints(max_length=MAX_LEASE_TOKEN)]
"""Proof that a worker has received a chunk, see `batchyard_contracts.lease_token`."""
Detail = Annotated[str, StringConstraints(max_length=MAX_DETAIL), BeforeValidator(_shorten)]
"""Text for people. A longer one is shortened and not refused, because it may quote what somebody sent."""
Networks = Annotated[list[Annotated[str, StringConstraints(max_length=64)]], Field(max_length=1000)]
"""Networks in CIDR notation."""
UnitName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z ]{0,31}$")]
"""Name of a unit in the plural: `records`."""

WorkloadName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,47}$")]
Owner = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""Name of the owner of a batch. It has no dots, because it ends the routing key of events."""
ALL_OWNERS, UNKNOWN_OWNER = "all", "unknown"
"""Owners of events that concern everybody, and of events about what nobody is known to own."""
RESERVED_OWNERS = frozenset({ALL_OWNERS, UNKNOWN_OWNER})
"""Names that no client has: it would hear the events that have them."""


def _check_not_reserved(owner: str) -> str:
    """Raise `ValueError` for a name that no client has."""
    if owner in RESERVED_OWNERS:
        raise ValueError(f"{owner!r} is reserved for events without an owner; take another name")
    return owner


ClientOwner = Annotated[Owner, AfterValidator(_check_not_reserved)]
"""Name of an owner who may have keys and send commands."""

IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
CustomId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ITEM_ID, pattern=r"^[^\x00-\x1f\x7f]+$")]
ItemId = Annotated[str, StringConstraints(max_length=MAX_ITEM_ID)]
"""Id of an item between services: the client's `CustomId`."""
ReportedItemId = Annotated[str, StringConstraints(max_length=MAX_ITEM_ID), BeforeValidator(_shorten_id)]
"""Id of an item as a worker repeats it. A longer one is cut, so that no report is lost for it."""
ErrorCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]
Ordinal = Annotated[int, Field(ge=0, lt=MAX_ORDINALS)]
Round = Annotated[int, Field(ge=1, le=MAX_INTEGER)]
Attempt = Annotated[int, Field(ge=1, le=MAX_INTEGER)]
Fence = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
"""Fencing token of a chunk, which grows with each dispatch."""
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
ReportedCount = Annotated[int, Field(ge=0, le=MAX_INTEGER), BeforeValidator(_clamp)]
"""Number that a worker measured. One out of range becomes the nearest in range, so that no report is lost for it."""
UnitCount = Annotated[int, Field(ge=0, le=10**17)]
"""Number of units of a batch."""
ItemUnits = Annotated[int, Field(ge=0, le=MAX_ITEM_UNITS)]
"""Number of units of one item."""
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Milliseconds = Annotated[float, Field(ge=0, le=MAX_MILLISECONDS)]
PerSecond = Annotated[float, Field(ge=MIN_PER_SECOND, le=MAX_PER_SECOND)]
"""Rate in items a second."""
MAX_ETA_S = 1e12
EtaSeconds = Annotated[float, Field(ge=0, le=MAX_ETA_S)]
Percent = Annotated[float, Field(ge=0, le=100)]
MeasuredPerSecond = Annotated[float, Field(ge=0, le=1e9)]
Time = Annotated[
    AwareDatetime,
    Field(ge=datetime(1970, 1, 2, tzinfo=UTC), lt=datetime(9999, 1, 1, tzinfo=UTC)),
    BeforeValidator(_read_time),
]
"""Time with its zone, as RFC 3339 writes it, which is a valid time in every other zone."""
BatchId = UUID

StopReason = Literal["deadline", "failure_threshold", "never_sealed", "internal_error"]
"""Reason why a service stopped a batch without a command. `internal_error`: a computation for this batch alone failed,
which is a defect; its other items were cancelled."""

DataKind = Literal["payloads", "outcomes", "deliveries", "batch"]
"""Kind of what is kept of a batch that has ended: the payloads of its items, their outcomes with results, and the
deliveries of its notifications; `batch`: all of that, and the batch itself."""
Deleter = Literal["dispatcher", "aggregator", "notifier"]
"""Service that keeps something of a batch, beside ingest."""

Remedy = Literal["release", "replay"]
"""Help for a batch that makes no progress. `release`: its chunks are taken back from workers and dispatched again.
`replay`: the messages that announce it are sent again, and those that reopened items."""

Payload = dict[str, JsonValue]
"""Input of an item: a JSON object that is valid by the workload's item schema."""

MAX_ITEMS_PER_COMMAND = 10_000
MAX_ITEMS_PER_BATCH = 1_000_000
MAX_WORKLOADS = 1000
"""Largest number of workloads of a worker."""
MAX_CHUNKS = 10_000
"""Largest number of chunks that a worker holds."""


class NewItem(Value, extra="forbid"):
    """Item as a client submits it."""

    payload: Payload
    custom_id: CustomId | None = None


class StoredResult(Value):
    """Reference to the result of an item in the store of large results, in the folder of its batch."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Digest of the JSON of the result, hexadecimal; the name of its file."""
    bytes: Annotated[int, Field(ge=1, le=MAX_RESULT_BYTES)]
    """Size of that JSON."""


class ItemError(Value):
    """Error for which an item failed or runs again. `scope` names the party at fault: the item, or its provider."""

    code: ErrorCode
    message: Annotated[str, StringConstraints(max_length=2000)] = ""
    scope: Literal["item", "provider"] = "item"


class WaitReason(Value):
    """Reason why no item of a batch runs at present."""

    code: ErrorCode
    """`paused`, `not_before`, `no_worker`, `rate_limit`, `concurrency_limit`, `destination_backoff`, `circuit_open`,
    `workers_busy`, `retry_due_later`, `dispatcher_away` or `stuck`; further ones may follow."""
    detail: Detail
    """Sentence that explains the reason, and what can be done."""
    until: Time | None = None
    """Time at which items may run again, or at which the next one probes the provider; None: unknown."""


class Forecast(Value):
    """Forecast of the end of a batch as an interval, and what binds.

    Of a hundred such batches about ten end before `p10`, fifty before `p50`, and ninety before `p90`. All three are
    None while the end is not known, such as before enough items have run; `reason` then tells why.
    """

    p10: Time | None = None
    p50: Time | None = None
    p90: Time | None = None
    reason: WaitReason | None = None
    """Reason that binds: what would have to change for an earlier end. Besides the codes of a batch that waits:
    `items_running`, all items run at once; `too_few_outcomes`, too few items have run so far."""
    at: Time
    """Time of the forecast."""


StreamCursor = Annotated[str, StringConstraints(pattern=r"^(o(-1|[0-9]{1,10})|c-?[0-9]{1,10}\.[0-9]{1,10})$")]
"""Place in the results of a batch: `o` and the ordinal of an item, or `c` and a place in the order of completion. Send
it back as it is."""
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
    in this respect: an item is selected by either. Items that failed as `needs_review` are selected only by `causes`,
    `codes`, `ordinals` or `custom_ids`, since their call may have been paid for.
    """

    causes: Annotated[list[Cause], Field(max_length=100)] = []
    codes: Annotated[list[ErrorCode], Field(max_length=100)] = []
    partitions: Annotated[list[Annotated[str, StringConstraints(max_length=255)]], Field(max_length=100)] = []
    statuses: Annotated[list[Literal["failed", "cancelled", "expired"]], Field(max_length=3)] = []
    ordinals: Annotated[list[Ordinal], Field(max_length=MAX_SELECTED)] = []
    custom_ids: Annotated[list[CustomId], Field(max_length=MAX_SELECTED)] = []


Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$")]
"""Single line of text, without control characters."""
BatchName = Annotated[str, StringConstraints(max_length=200)]
KeyId = Annotated[str, StringConstraints(max_length=64)]
KeyName = Annotated[str, StringConstraints(max_length=200)]
BatchLabels = Annotated[
    dict[Annotated[str, StringConstraints(max_length=63)], Annotated[str, StringConstraints(max_length=255)]],
    Field(max_length=20),
]
MAX_METADATA_BYTES = 4096
_MAX_METADATA_DEPTH = 8


def _check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    text = to_json(metadata)
    if len(text) > MAX_METADATA_BYTES:
        raise ValueError(f"metadata has at most {MAX_METADATA_BYTES} bytes as JSON")
    if b"\\u0000" in text:
        raise ValueError("metadata cannot hold the character U+0000")
    if _depth(metadata) > _MAX_METADATA_DEPTH:
        raise ValueError(f"metadata is nested at most {_MAX_METADATA_DEPTH} levels deep")
    _check_numbers(metadata)
    return metadata


def _check_numbers(value: Any) -> None:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_numbers(inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("metadata cannot hold a number that is not finite")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("metadata holds integers of up to 64 bits; write larger ones as text")


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max(map(_depth, inner), default=0) + isinstance(value, dict | list)


Metadata = Annotated[
    dict[Annotated[str, StringConstraints(max_length=63)], JsonValue],
    Field(max_length=50),
    AfterValidator(_check_metadata),
]
"""JSON of the client's own about a batch, of up to 4 KiB."""
WebhookUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s\x00-\x1f\x7f]+$", max_length=2048)]
EmailAddress = Annotated[
    str,
    StringConstraints(pattern=r"^[^@\s,;<>\x22\x00-\x1f\x7f]+@[^@\s,;<>\x22\x00-\x1f\x7f]+$", max_length=254),
]


class Rate(Value):
    """Rate limit: at most `per_second` items a second on average, and `burst` at once."""

    per_second: PerSecond
    burst: Annotated[int, Field(ge=1, le=MAX_BURST)] = 1


class RetryRule(Value):
    """Retry rule: the total number of attempts, and the bounds of an exponential backoff with full jitter, in
    seconds."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 4
    base_s: Seconds = 1.0
    cap_s: Seconds = 300.0


RetryRules = Annotated[dict[ErrorCode, RetryRule], Field(max_length=100)]
"""Retry rules by error code; `default` applies to all others."""


class FailureThreshold(Value, extra="forbid"):
    """Threshold above which failures stop a batch.

    A batch stops with more than `count` failed items, with more than a `share` of its ended items, or with more
    failures of an error code than `codes` names. The share applies once 100 items have ended, or all of a smaller
    batch.
    """

    count: Count | None = None
    share: Annotated[float, Field(ge=0, lt=1)] | None = None
    codes: Annotated[dict[ErrorCode, Count], Field(max_length=50)] = {}


class Terms(Value):
    """Terms on which a batch runs. Each of them can be changed while the batch runs."""

    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Share of the batch among the batches of its owner; None: 1."""
    rate: Rate | None = None
    """Rate of the batch, in addition to the rates of its partitions; None: unlimited."""
    concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)] | None = None
    """Largest number of its items that workers hold at once; None: unlimited."""
    not_before: Time | None = None
    """Time before which no item is dispatched; None, or a time that has passed: at once."""
    deadline: Time | None = None
    """Time at which all items that have not ended expire; None: never."""
    failure_threshold: FailureThreshold | None = None
    retry: RetryRules = {}
    """Retry rules that replace the workload's, by error code."""


Term = Literal["weight", "rate", "concurrency", "deadline", "failure_threshold", "retry"]
"""Name of a field of `Terms` that a message between services may clear; there a cleared `not_before` is set to a
time that has passed."""
ClearedTerms = Annotated[list[Term], Field(max_length=6)]
ClearableTerm = Literal["weight", "rate", "concurrency", "not_before", "deadline", "failure_threshold", "retry"]
"""Name of a field of `Terms`."""
ClearableTerms = Annotated[list[ClearableTerm], Field(max_length=7)]


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

    name: UnitName
    done: UnitCount = 0
    """Number of units in the results so far."""
    total: UnitCount | None = None
    """Expected number of units; None: unknown."""


class Counts(Value):
    """Number of items by state. While a batch is open, `total` is None and `remaining` counts the items added so
    far."""

    total: Count | None = None
    succeeded: Count = 0
    failed: Count = 0
    cancelled: Count = 0
    expired: Count = 0
    duplicate: Count = 0
    remaining: Count = 0
    cached: Count = 0
    """Number of succeeded items that took a cached result; together with `duplicate`, the runs that were saved."""
    units: Units | None = None

    @property
    def ended(self) -> int:
        """Number of items in a terminal state."""
        return self.succeeded + self.failed + self.cancelled + self.expired + self.duplicate


class ItemResult(Value):
    """Terminal outcome of one item, as the aggregator recorded it."""

    ordinal: Ordinal
    custom_id: ItemId | None = None
    status: TerminalStatus
    round: Round = 1
    attempts: Count = 0
    result: Any = None
    error: ItemError | None = None
    duplicate_of: Ordinal | None = None
    duplicate_of_batch: BatchId | None = None
    """Batch of that item; None: this batch."""
    elapsed_ms: Count | None = None
    cached: bool = False
    cursor: StreamCursor | None = None
    """Cursor by which a stream of results continues after this one; None outside of a stream."""


class SlotCount(Value):
    """Slots of one workload at a worker, each of which runs one call at a time."""

    busy: Count = 0
    """Number of slots that run a call."""
    open: Count = 1
    """Number of slots that are ready for a call, busy ones included."""
    max: Count
    """Largest number of slots that the worker opens."""

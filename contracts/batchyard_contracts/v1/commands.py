"""Commands that clients send to the exchange `batchyard.commands`, and the replies to them."""

from operator import not_
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from batchyard_contracts.message import Command, Message, Value
from batchyard_contracts.v1.manifest import FIRST_LIMIT, Adaptive
from batchyard_contracts.v1.templates import FollowUp
from batchyard_contracts.v1.values import (
    MAX_CONCURRENCY,
    MAX_ITEMS_PER_COMMAND,
    MAX_SELECTED,
    BatchId,
    ClearableTerms,
    Count,
    CustomId,
    Detail,
    ErrorCode,
    IdempotencyKey,
    Metadata,
    NewItem,
    Notifications,
    Ordinal,
    Patch,
    Payload,
    Priority,
    Rate,
    Reuse,
    Seconds,
    Selection,
    Terms,
    Text,
    Time,
    WaitReason,
    WorkloadName,
)

MAX_FOLLOW_UPS = 5
Labels = Annotated[
    dict[
        Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{0,63}$")],
        Annotated[Text, StringConstraints(max_length=255)],
    ],
    Field(max_length=20),
]
Items = Annotated[list[NewItem], Field(max_length=MAX_ITEMS_PER_COMMAND)]


class RemoteFiles(Value, extra="forbid"):
    """Files of items that ingest reads itself: one at a URL, or all below a prefix of a bucket, in order of their
    names."""

    url: Annotated[
        str, StringConstraints(pattern=r"^(https?|s3)://[^\s/@\\\x00-\x1f\x7f][^\s\\\x00-\x1f\x7f]*$", max_length=2048)
    ]
    """`https://…`, `http://…` or `s3://bucket/prefix`. Credentials of a bucket are settings of ingest, never part of
    it."""
    format: Literal["ndjson", "csv"] | None = None
    """None: as the name or the media type of each file says."""

    @model_validator(mode="after")
    def _has_no_password(self) -> "RemoteFiles":
        if "@" in self.url.split("/", 3)[2]:
            raise ValueError("a URL with a user or a password is not read: it would be kept with the batch")
        return self


class BatchSubmit(Terms, Reuse, Command):
    """Command that starts a batch. With `sealed` false, `batch.append.v1` adds items until `batch.seal.v1` ends it."""

    type: ClassVar[str] = "batch.submit.v1"
    workload: WorkloadName
    items: Items = []
    source: Payload | None = None
    """Input from which a worker finds the items, in place of `items`. It has the form of the workload's
    `source_schema`, and is item 0 of the batch: it has an outcome like any other item."""
    estimate: bool = False
    """True: the worker only estimates the batch that the `source` describes, as the result of item 0; no item runs."""
    items_from: Annotated[RemoteFiles | None, Field(exclude_if=not_)] = None
    """Files from which ingest reads the items after its reply, in place of `items`. An item on a line that is wrong
    fails, the others run."""
    sealed: bool = True
    batch_id: BatchId | None = None
    """UUIDv7 that the client chose, so that it can subscribe before it submits; None: ingest chooses one."""
    priority: Priority = "normal"
    idempotency_key: IdempotencyKey | None = None
    name: Annotated[Text, StringConstraints(max_length=200)] | None = None
    labels: Labels = {}
    metadata: Annotated[Metadata, Field(exclude_if=not_)] = {}
    """JSON of the client's own, which comes back in states, events, webhooks and manifests."""
    notify: Notifications = Notifications()
    follow_ups: Annotated[list[FollowUp], Field(max_length=MAX_FOLLOW_UPS, exclude_if=not_)] = []
    """Batches that are submitted when this one ends."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> "BatchSubmit":
        if self.source is not None and (self.items or not self.sealed):
            raise ValueError("a batch has a source or items, and one with a source is not submitted unsealed")
        if self.items_from is not None and (self.items or self.source is not None or not self.sealed):
            raise ValueError("a batch has items, a source or `items_from`, and the latter is not submitted unsealed")
        if self.estimate and self.source is None:
            raise ValueError("`estimate` is for a batch with a source")
        return self


class BatchAppend(Command):
    """Command that adds items to an open batch. `sequence` counts 0, 1, 2 …; a repeated sequence adds nothing twice."""

    type: ClassVar[str] = "batch.append.v1"
    batch_id: BatchId
    sequence: Count
    items: Annotated[list[NewItem], Field(min_length=1, max_length=MAX_ITEMS_PER_COMMAND)]


class BatchSeal(Command):
    """Command that closes an open batch: no more items follow, so that it can finish."""

    type: ClassVar[str] = "batch.seal.v1"
    batch_id: BatchId


class BatchControl(Terms, Command):
    """Command that pauses, resumes, cancels, retries or changes a batch.

    `retry` runs the items of a finished batch that did not succeed again, in a new round. `change` sets the priority
    and the terms that are given, and removes the terms named in `clear`.
    """

    type: ClassVar[str] = "batch.control.v1"
    batch_id: BatchId
    action: Literal["pause", "resume", "cancel", "retry", "change"]
    priority: Priority | None = None
    clear: ClearableTerms = []
    select: Selection | None = None
    """Items that `retry` runs again; None: all that did not succeed."""
    patch: Patch = []
    """JSON Patch that `retry` applies to each payload. If it does not apply to an item, the command is rejected, unless
    `skip_invalid` is true."""
    skip_invalid: bool = False
    """True: items that the patch does not apply to, or makes invalid, keep their outcome and do not run again."""


class ResultsAccept(Command):
    """Command that accepts results of a finished batch which were refused as `invalid_result` and are kept: the items
    succeed with these results, in a new round in which nothing runs.

    `ordinals` and `custom_ids` name the items; without both all refused results of the batch are accepted.
    """

    type: ClassVar[str] = "results.accept.v1"
    batch_id: BatchId
    ordinals: Annotated[list[Ordinal], Field(max_length=MAX_SELECTED)] = []
    custom_ids: Annotated[list[CustomId], Field(max_length=MAX_SELECTED)] = []
    reason: Annotated[Text, Field(min_length=1, max_length=500)]
    """Why the results are right all the same, for the audit."""


class CacheInvalidate(Command):
    """Command that removes cached results of a workload: the result of one payload, or all. Running items go on."""

    type: ClassVar[str] = "cache.invalidate.v1"
    workload: WorkloadName
    payload: Payload | None = None


class RatesControl(Command):
    """Command of an operator that overrides the rate of a destination for all owners, until it is cleared.

    `set` replaces the manifest's rate by `rate` or `adaptive`, and its concurrency by `concurrency`; `clear` restores
    the manifest's; `close` closes an open circuit. The reply is `rates.reply.v1`.
    """

    type: ClassVar[str] = "rates.control.v1"
    workload: WorkloadName
    action: Literal["set", "clear", "close"]
    limit: Annotated[str, StringConstraints(max_length=32)] = FIRST_LIMIT
    partition: Annotated[Text, StringConstraints(max_length=255)] | None = None
    """Partition of this limit, such as a host or an account; None: all partitions without an override of their own."""
    rate: Rate | None = None
    adaptive: Adaptive | None = None
    concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "RatesControl":
        values = [self.rate, self.adaptive, self.concurrency]
        if self.action == "set" and values == [None, None, None]:
            raise ValueError("`set` takes a rate, adaptive bounds or a concurrency")
        if self.action != "set" and values != [None, None, None]:
            raise ValueError("only `set` takes a rate, adaptive bounds or a concurrency")
        if self.rate is not None and self.adaptive is not None:
            raise ValueError("a rate is fixed or adaptive, not both")
        if self.action == "close" and self.partition is None:
            raise ValueError("`close` takes the partition whose circuit is meant")
        return self


class CancelSummary(Value):
    """State of the items of a batch when its cancel was accepted."""

    stopped: Count
    """Number of items that had not started, and do not any more."""
    kept: Count
    """Number of items that had ended, whose outcomes stay."""
    running: Count
    """Number of items at workers, which are interrupted where their workload permits it, and else end."""


class CommandAccepted(Message):
    """Reply to a command that was accepted. It is sent after the command's effects are durable."""

    type: ClassVar[str] = "command.accepted.v1"
    batch_id: BatchId
    workload: WorkloadName
    items: Count = 0
    """Number of items that the batch has so far."""
    retried: Count | None = None
    """Number of items that run again; set in the reply to `retry`."""
    accepted: Count | None = None
    """Number of results that were refused and are accepted now; set in the reply to `results.accept.v1`."""
    finished: bool | None = None
    """True: the batch had finished when `change` arrived, so that the change applies from its next round on."""
    cancelled: CancelSummary | None = None
    """State of the items; set in the reply to `cancel` by HTTP, unless a service did not tell it in time."""
    replayed: bool = False
    """True: this command had been accepted before, and had no effect now."""
    waiting: WaitReason | None = None
    """Reason why no item of the workload runs at present; set in the reply to a submission."""
    accepted_at: Time


class ControlAccepted(Message):
    """Reply to an accepted command that concerns no single batch. It is sent after the effects are durable."""

    type: ClassVar[str] = "control.accepted.v1"
    at: Time


MAX_INPUT_ERRORS = 100
"""Largest number of errors that a rejection lists; it counts the others."""


class InputError(Value):
    """Error in a command or a file that was rejected: a wrong item, or a wrong field of the command."""

    code: ErrorCode
    detail: Detail
    pointer: Annotated[str, StringConstraints(max_length=1000)] | None = None
    """JSON Pointer (RFC 6901) to the wrong value, from the root of the command; in a file from the item's payload."""
    line: Count | None = None
    """Number of the wrong item, counted from 1; in a file its line."""
    column: Count | None = None
    """Number of the character on that line from which it cannot be read; in CSV the number of the column."""
    parameter: Annotated[str, StringConstraints(max_length=200)] | None = None
    """Name of the wrong query parameter of an HTTP request."""


class CommandRejected(Message):
    """Reply to a command that was rejected as a whole; it had no effect."""

    type: ClassVar[str] = "command.rejected.v1"
    code: ErrorCode
    detail: Detail
    status: Annotated[int, Field(ge=400, le=599)] = 400
    """HTTP status with which the HTTP API answers the same rejection."""
    line: Count | None = None
    """Number of the first invalid item, counted from 1."""
    errors: Annotated[list[InputError], Field(max_length=MAX_INPUT_ERRORS)] = []
    """Wrong items and fields, in their order."""
    error_count: Count = 0
    """Number of all of them, those included that `errors` has no room for."""
    retry_after_s: Seconds | None = None
    """Seconds after which the same command may be accepted; set when too many items were waiting."""

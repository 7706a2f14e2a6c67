"""What clients ask for, on the exchange `batchyard.commands`; and the two replies."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from batchyard_contracts.message import Command, Message
from batchyard_contracts.v1.manifest import FIRST_LIMIT, Adaptive
from batchyard_contracts.v1.values import (
    MAX_ITEMS_PER_COMMAND,
    BatchId,
    IdempotencyKey,
    NewItem,
    Notify,
    Patch,
    Payload,
    Priority,
    Rate,
    Reuse,
    Selection,
    Terms,
    Text,
    WorkloadName,
)

Items = Annotated[list[NewItem], Field(max_length=MAX_ITEMS_PER_COMMAND)]
Labels = Annotated[
    dict[Annotated[Text, StringConstraints(max_length=63)], Annotated[Text, StringConstraints(max_length=255)]],
    Field(max_length=20),
]


Term = Literal["weight", "rate", "concurrency", "deadline", "failure_threshold", "retry"]
"""The names of the fields of `Terms`."""


class BatchSubmit(Terms, Reuse, Command):
    """Start a batch. With `sealed` false more items may follow by `batch.append.v1`, until `batch.seal.v1`."""

    type: ClassVar[str] = "batch.submit.v1"
    workload: WorkloadName
    items: Items = []
    source: Payload | None = None
    """In place of items: what to find them by, as the workload's `source_schema` says. A worker expands it; it is the
    batch's item 0 itself, and how it ended is told like that of any other."""
    estimate: bool = False
    """With `source`: find out what the batch would be, as the result of item 0, and run none of its items."""
    sealed: bool = True
    batch_id: BatchId | None = None
    """Chosen by the client (UUIDv7) so that it can subscribe before it publishes, else by ingest."""
    priority: Priority = "normal"
    idempotency_key: IdempotencyKey | None = None
    name: Annotated[Text, StringConstraints(max_length=200)] | None = None
    labels: Labels = {}
    notify: Notify = Notify()

    @model_validator(mode="after")
    def _has_one_origin(self) -> "BatchSubmit":
        if self.source is not None and (self.items or not self.sealed):
            raise ValueError("a batch has a source or items, and one with a source is not submitted unsealed")
        if self.estimate and self.source is None:
            raise ValueError("`estimate` is for a batch with a source")
        return self


class BatchAppend(Command):
    """Add items to an open batch. `sequence` counts 0, 1, 2 …: the same sequence again is the same append."""

    type: ClassVar[str] = "batch.append.v1"
    batch_id: BatchId
    sequence: Annotated[int, Field(ge=0)]
    items: Annotated[list[NewItem], Field(min_length=1, max_length=MAX_ITEMS_PER_COMMAND)]


class BatchSeal(Command):
    """Say that no more items follow."""

    type: ClassVar[str] = "batch.seal.v1"
    batch_id: BatchId


class BatchControl(Terms, Command):
    """Steer a batch. `retry` runs what did not succeed once more, in a new round; `change` takes what is given
    of priority and terms, and takes back the terms named in `clear`."""

    type: ClassVar[str] = "batch.control.v1"
    batch_id: BatchId
    action: Literal["pause", "resume", "cancel", "retry", "change"]
    priority: Priority | None = None
    clear: list[Term] = []
    select: Selection | None = None
    """With `retry`: only these items; unset: all that did not succeed."""
    patch: Patch = []
    """With `retry`: changes their payloads first. Refused when it does not fit one of them, unless `skip_unfit`."""
    skip_unfit: bool = False
    """With `patch`: items that it does not fit, or that are not valid with it, stay as they ended."""


class CacheInvalidate(Command):
    """Forget the known results of a workload: that of one payload, or all. What runs is not stopped."""

    type: ClassVar[str] = "cache.invalidate.v1"
    workload: WorkloadName
    payload: Payload | None = None


class PaceControl(Command):
    """Set how fast items go to a destination, for all owners, until it is taken back.

    `set` puts `rate` or `adaptive` and `concurrency` in the place of what the manifest says, `clear` takes that back,
    `close` lets items go to a provider again whose circuit is open. The reply is a `pace.reply.v1`.
    """

    type: ClassVar[str] = "pace.control.v1"
    workload: WorkloadName
    action: Literal["set", "clear", "close"]
    limit: Annotated[str, StringConstraints(max_length=32)] = FIRST_LIMIT
    value: Annotated[Text, StringConstraints(max_length=255)] | None = None
    """A partition of this limit; None: all that have no setting of their own."""
    rate: Rate | None = None
    adaptive: Adaptive | None = None
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "PaceControl":
        given = [self.rate, self.adaptive, self.concurrency]
        if self.action == "set" and given == [None, None, None]:
            raise ValueError("`set` takes a rate, adaptive bounds or a concurrency")
        if self.action != "set" and given != [None, None, None]:
            raise ValueError("only `set` takes a rate, adaptive bounds or a concurrency")
        if self.rate is not None and self.adaptive is not None:
            raise ValueError("a rate is fixed or adaptive, not both")
        if self.action == "close" and self.value is None:
            raise ValueError("`close` takes the value whose circuit is meant")
        return self


class CommandAccepted(Message):
    """The reply to a command that was taken: from now on it is durable."""

    type: ClassVar[str] = "command.accepted.v1"
    batch_id: BatchId
    workload: WorkloadName
    items: int = 0
    """Items of the batch known so far."""
    again: int | None = None
    """The reply to `retry`: how many items run again."""
    finished: bool | None = None
    """True in the reply to `change`: the batch has finished. What was told holds from its next round on."""
    replayed: bool = False
    """The same command had been accepted before; nothing was done twice."""
    accepted_at: datetime


class ControlAccepted(Message):
    """The reply to a command that concerns no single batch: from now on it is durable."""

    type: ClassVar[str] = "control.accepted.v1"
    at: datetime


class CommandRejected(Message):
    """The reply to a command that was refused whole; nothing of it remains."""

    type: ClassVar[str] = "command.rejected.v1"
    code: str
    detail: str
    status: int = 400
    """The HTTP status that the same refusal has at the HTTP door."""
    line: int | None = None
    """The first item at fault, counted from 1."""
    retry_after_s: float | None = None
    """When the same command may be taken, if it was refused for want of room."""

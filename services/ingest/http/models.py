"""Requests and responses that only the HTTP API has; all others are messages of the contracts."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints, model_validator

from batchyard_contracts.message import Command
from batchyard_contracts.v1.commands import BatchAppend, CacheInvalidate, ResultsAccept
from batchyard_contracts.v1.manifest import FIRST_LIMIT, Adaptive, Manifest, Question, TextExport
from batchyard_contracts.v1.queries import BatchState, WorkloadCapacity
from batchyard_contracts.v1.schedules import Overlap
from batchyard_contracts.v1.templates import TemplateNote, TemplateVersion
from batchyard_contracts.v1.values import (
    MAX_ITEMS_PER_COMMAND,
    MAX_SELECTED,
    ClearableTerms,
    ClientOwner,
    Count,
    CustomId,
    LimitName,
    MessageId,
    NewItem,
    Ordinal,
    Owner,
    Patch,
    Payload,
    Priority,
    Rate,
    Remedy,
    Selection,
    Terms,
    Text,
    Time,
    WorkloadName,
)
from services.ingest.domain import owner_limits
from services.ingest.domain.api_key import DEFAULT_GRACE_S, MAX_GRACE_S
from services.ingest.domain.bulk_action import BulkForm
from services.ingest.domain.export_job import ExportForm
from services.ingest.domain.retention import Days, Retention
from services.ingest.domain.scope import DEFAULT_SCOPES, Scopes
from services.ingest.http.labels import NO_CONTROLS
from shared.messaging.dead_queue import MAX_LISTED

_Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=NO_CONTROLS)]
"""Reason that an operator gives."""


class AppendRequest(Command):
    """Items for an open batch. `sequence` counts 0, 1, 2 …: a repeated number is the same append."""

    type: ClassVar[str] = BatchAppend.type
    sequence: Count
    items: Annotated[list[NewItem], Field(min_length=1, max_length=MAX_ITEMS_PER_COMMAND)]


class ChangeRequest(Terms, Command):
    """Change of a batch: the priority and the terms that are given are set, those named in `clear` are removed."""

    type: ClassVar[str] = "batch.change.v1"
    priority: Priority | None = None
    clear: Annotated[ClearableTerms, Field(default_factory=list)]


class RatesRequest(Command):
    """Override of the rate of a destination: of one partition of a limit, or without `partition` of all."""

    type: ClassVar[str] = "rates.set.v1"
    limit: LimitName = FIRST_LIMIT
    partition: Annotated[Text, Field(max_length=255)] | None = None
    rate: Rate | None = None
    adaptive: Adaptive | None = None
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None


class InvalidateCacheRequest(Command):
    """Cached results to remove: that of one payload, or without `payload` all of the workload."""

    type: ClassVar[str] = CacheInvalidate.type
    payload: Payload | None = None


class RetryRequest(Command):
    """Items of a finished batch to run again; without a body all that did not succeed."""

    type: ClassVar[str] = "batch.retry.v1"
    select: Selection | None = None
    patch: Patch = Field(default=[])
    skip_invalid: Annotated[
        bool, Field(description="leave out items that the patch does not apply to, or makes invalid")
    ] = False
    dry_run: Annotated[bool, Field(description="change nothing; reply with a preview")] = False


class AcceptResultsRequest(Command):
    """Refused results to accept: those of the named items, or without names all of the batch."""

    type: ClassVar[str] = ResultsAccept.type
    ordinals: Annotated[list[Ordinal], Field(max_length=MAX_SELECTED)] = Field(default=[])
    custom_ids: Annotated[list[CustomId], Field(max_length=MAX_SELECTED)] = Field(default=[])
    reason: Annotated[Text, Field(min_length=1, max_length=500, description="why; it is in the audit")]


class DeadLetterRequest(Command):
    """Dead letters of a queue to act on: those named in `ids`, or all."""

    type: ClassVar[str] = "dead_letters.work.v1"
    ids: Annotated[list[MessageId], Field(max_length=MAX_LISTED)] = Field(default=[])
    all: bool = False
    limit: Annotated[int, Field(ge=1, le=10_000)] = 10_000


class KeyRequest(Command):
    """API key to create."""

    type: ClassVar[str] = "api_key.create.v1"
    name: Annotated[Text, Field(min_length=1, max_length=100, description="what the key is for, for people")]
    scopes: Annotated[Scopes, Field(description="what the key may do: scopes of the key that creates it")] = (
        DEFAULT_SCOPES
    )
    expires_at: Annotated[Time | None, Field(description="time from which the key is refused; absent: never")] = None
    owner: Annotated[ClientOwner | None, Field(description="for operators: another owner")] = None


class LimitsRequest(Command):
    """Change of the limits of an owner: those that are given are set, `null` takes one back."""

    type: ClassVar[str] = "owner.limits.v1"
    requests: owner_limits.Requests | None = None
    key_requests: owner_limits.KeyRequests | None = None
    waiting_items: owner_limits.WaitingItems | None = None
    waiting_bytes: owner_limits.WaitingBytes | None = None
    uploads: owner_limits.Uploads | None = None
    websockets: owner_limits.Websockets | None = None
    questions: owner_limits.Questions | None = None
    deliveries: owner_limits.Deliveries | None = None
    weight: owner_limits.Weight | None = None


class RotateRequest(Command):
    """Rotation of an API key."""

    type: ClassVar[str] = "api_key.rotate.v1"
    grace_s: Annotated[
        int, Field(ge=0, le=MAX_GRACE_S, description="seconds for which the old key works yet, at most a week")
    ] = DEFAULT_GRACE_S
    force: Annotated[bool, Field(description="rotate a key again that was rotated before and works still")] = False


class FinishRequest(Command):
    """Reason why an operator ends a batch."""

    type: ClassVar[str] = "batch.finish.v1"
    reason: Annotated[_Reason, Field(description="for the audit, where the owner of the batch reads it")]


class ErasureRequest(Command):
    """Reason why an owner is erased."""

    type: ClassVar[str] = "owner.erase.v1"
    reason: Annotated[_Reason, Field(description="for the audit; it should not name the owner")]


class RemedyRequest(Command):
    """Remedy for a batch that makes no progress."""

    type: ClassVar[str] = "batch.remedy.v1"
    remedy: Remedy
    reason: Annotated[_Reason, Field(description="for the audit, where the owner of the batch reads it")]


class RetentionRequest(Command):
    """Change of the retention: days that are given are set, `null` takes one back."""

    type: ClassVar[str] = "retention.set.v1"
    owner: Annotated[Owner | None, Field(description="absent: every owner")] = None
    workload: Annotated[WorkloadName | None, Field(description="absent: every workload")] = None
    payloads: Days | None = None
    outcomes: Days | None = None
    deliveries: Days | None = None
    batch: Days | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> "RetentionRequest":
        if not self.model_fields_set & set(Retention.model_fields):
            raise ValueError(f"name a kind of what is kept: {', '.join(Retention.model_fields)}")
        return self


class RedeemRequest(Command):
    """Exchange of a link for a session."""

    type: ClassVar[str] = "session.redeem.v1"
    token: Annotated[str, Field(min_length=16, max_length=200, description="token of a link that signs in")]


class PauseRequest(Command):
    """Reason for a pause."""

    type: ClassVar[str] = "schedule.pause.v1"
    note: TemplateNote = ""


class BackfillRequest(Command):
    """Span of the past whose times are run now. Times that were backfilled before do not run again."""

    type: ClassVar[str] = "schedule.backfill.v1"
    first_at: Time
    last_at: Time
    overlap: Overlap = "queue"


class RestoreRequest(Command):
    """Version of a template to make the latest one again."""

    type: ClassVar[str] = "template.restore.v1"
    version: TemplateVersion


class BatchActionRequest(BulkForm, Command):
    """Action on all batches that a filter selects."""

    type: ClassVar[str] = "batch_actions.begin.v1"
    dry_run: Annotated[bool, Field(description="change nothing; reply with a preview")] = False


class ExportRequest(ExportForm, Command):
    """Export of the results of a batch as files."""

    type: ClassVar[str] = "exports.begin.v1"


class BatchList(BaseModel):
    """Batches, newest first. `next_before` is the cursor of the next page; absent at the end. Sorted from the oldest on
    it is `next_after`."""

    batches: list[BatchState]
    next_before: UUID | None = None
    next_after: UUID | None = None


class BatchCommand(BaseModel):
    """Command that changed a batch, and who gave it."""

    at: datetime
    action: str = Field(description="such as batch.pause, batch.change, batch.retry")
    actor: str = Field(description="owner of the client that gave it")
    door: Literal["http", "amqp", "service"] = Field(description="way by which it came; `service`: Batchyard itself")
    before: dict[str, Any] | None = Field(default=None, description="what it changed, as it was before")
    after: dict[str, Any] | None = Field(default=None, description="what it set")


class WorkloadView(BaseModel):
    """A workload: the schemas of its items and results, and its export formats."""

    name: str
    version: str
    title: str
    description: str
    item_schema: dict[str, Any]
    result_schema: dict[str, Any]
    summary_schema: dict[str, Any] | None = None
    example: dict[str, Any]
    source_schema: dict[str, Any] | None = Field(
        default=None, description="schema of the `source` that a batch may have in place of items"
    )
    source_example: dict[str, Any] = Field(default={})
    exports: dict[str, TextExport]
    questions: dict[str, Question] = Field(default={}, description="questions that a worker answers at once, by name")
    announced_at: datetime
    workers: int | None = Field(default=None, description="number of live workers; absent if it is not known")

    @classmethod
    def from_manifest(
        cls, manifest: Manifest, announced_at: datetime, capacity: WorkloadCapacity | None
    ) -> "WorkloadView":
        """Return the public part of a manifest."""
        return cls(
            name=manifest.name,
            version=manifest.version,
            title=manifest.title or manifest.name,
            description=manifest.description,
            item_schema=manifest.item_schema,
            result_schema=manifest.result_schema,
            summary_schema=manifest.summary_schema,
            example=manifest.example,
            source_schema=manifest.source_schema,
            source_example=manifest.source_example,
            exports=manifest.exports,
            questions=manifest.questions,
            announced_at=announced_at,
            workers=capacity.workers if capacity else None,
        )


class WorkloadList(BaseModel):
    """Workloads that workers have announced."""

    workloads: list[WorkloadView]

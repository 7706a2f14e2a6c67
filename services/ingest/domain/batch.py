"""Header of a batch: what ingest stores about it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, Self, cast
from uuid import UUID

import orjson

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted, RemoteFiles
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.templates import FollowUp
from batchyard_contracts.v1.values import Counts, Notifications, Priority, Reuse, Terms
from services.ingest.domain.actor import INGEST, Actor
from services.ingest.domain.command_validation import terms_of
from services.ingest.domain.stored_form import read_stored
from services.ingest.domain.upload_digest import UploadPosition
from services.ingest.domain.volume import Volume

State = Literal["open", "sealed", "withdrawn"]
SourceMode = Literal["expand", "estimate", "files"]
"""Origin of the items of a batch that has none when it is accepted: a worker finds them by a source, and they run
(`expand`) or are only counted (`estimate`); or ingest reads them from remote files (`files`)."""


class _DatabaseRow(Protocol):
    def __getitem__(self, column: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """Identity, terms and submission progress of a batch."""

    batch_id: UUID
    owner: str
    workload: str
    priority: Priority
    name: str | None
    labels: dict[str, str]
    notify: Notifications
    terms: Terms
    reuse: Reuse
    state: State
    accepted_at: datetime
    items: int = 0
    size: int = 0
    """Bytes of the payloads of its items as JSON."""
    pages: int = 0
    next_sequence: int = 0
    idempotency_key: str | None = None
    message_id: str | None = None
    digest: bytes | None = None
    traceparent: str | None = None
    confirmed: UploadPosition | None = None
    """Position up to which the broker has an upload that is in progress or may be continued; otherwise None. Pages
    between it and `assigned` belong to a process that died, and may or may not have been published."""
    leased: bool = False
    """True while a receiver holds the lease of the upload."""
    source_mode: SourceMode | None = None
    round: int = 1
    """Latest round that was requested or reported."""
    finished: bool = False
    """True when an event has reported the end of that round."""
    controlled_at: datetime | None = None
    """Time of the newest command that controls the batch; None: there was none."""
    follow_ups: tuple[FollowUp, ...] = ()
    """Batches that follow when it ends; they are stored beside the header."""
    metadata: dict[str, Any] = field(default_factory=dict)
    items_from: RemoteFiles | None = None
    """Files from which its items are read; it is stored beside the header until they are."""
    actor: Actor = INGEST
    """Client that submits the batch, for the audit; it is not stored with the header."""

    @classmethod
    def from_command(
        cls,
        batch_id: UUID,
        owner: str,
        command: BatchSubmit,
        state: State,
        at: datetime,
        trace: str | None,
        actor: Actor = INGEST,
    ) -> Self:
        """Return the header of a submission, without items so far."""
        return cls(
            batch_id,
            owner,
            command.workload,
            command.priority,
            command.name,
            command.labels,
            command.notify,
            terms_of(command),
            Reuse(**{name: getattr(command, name) for name in Reuse.model_fields}),
            state,
            at,
            idempotency_key=command.idempotency_key,
            traceparent=trace,
            source_mode=_source_mode(command),
            follow_ups=tuple(command.follow_ups),
            metadata=command.metadata,
            items_from=command.items_from,
            actor=actor,
        )

    @classmethod
    def from_row(cls, row: _DatabaseRow) -> Self:
        """Return the header in a row of the table `batches`."""
        return cls(
            row["batch_id"],
            row["owner"],
            row["workload"],
            cast("Priority", row["priority"]),
            row["name"],
            orjson.loads(row["labels"]),
            read_stored(Notifications, row["notify"])[0],
            read_stored(Terms, row["terms"])[0],
            read_stored(Reuse, row["reuse"])[0],
            cast("State", row["state"]),
            row["accepted_at"],
            row["items"],
            row["bytes"],
            row["pages"],
            row["next_sequence"],
            row["idempotency_key"],
            row["message_id"],
            row["digest"],
            row["traceparent"],
            UploadPosition(row["sent_items"], row["sent_pages"], row["sent_digest"])
            if row["sent_digest"] is not None
            else None,
            bool(row["leased"]),
            cast("SourceMode | None", row["sourced"]),
            row["round"],
            row["done"],
            row["controlled_at"],
            metadata=orjson.loads(row["metadata"]) if row["metadata"] else {},
        )

    @property
    def volume(self) -> Volume:
        """Volume of its items."""
        return Volume(self.items, self.size)

    @property
    def assigned(self) -> UploadPosition:
        """Position up to which pages of an upload have been assigned for publishing."""
        return UploadPosition(self.items, self.pages, self.digest or b"")

    def to_reply(self, *, replayed: bool = False) -> CommandAccepted:
        """Return the reply to a command that this batch accepted."""
        return CommandAccepted(
            batch_id=self.batch_id,
            workload=self.workload,
            items=self.items,
            replayed=replayed,
            accepted_at=self.accepted_at,
        )

    def to_state(self) -> BatchState:
        """Return the state of a batch that the aggregator does not have yet."""
        total = self.items if self.state == "sealed" else None
        return BatchState(
            batch_id=self.batch_id,
            owner=self.owner,
            workload=self.workload,
            priority=self.priority,
            status="running" if self.state == "sealed" else "open",
            round=1,
            counts=Counts(total=total, remaining=self.items),
            name=self.name,
            labels=self.labels,
            metadata=self.metadata,
            terms=self.terms,
            accepted_at=self.accepted_at,
        )


def _source_mode(command: BatchSubmit) -> SourceMode | None:
    if command.items_from is not None:
        return "files"
    return None if command.source is None else "estimate" if command.estimate else "expand"

"""A batch as the door remembers it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, Self, cast
from uuid import UUID

import orjson

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Counts, Notifications, Priority, Reuse, Terms
from services.ingest.domain.command_validation import terms_of
from services.ingest.domain.upload_digest import Mark

State = Literal["open", "sealed", "withdrawn"]
Sourced = Literal["expand", "estimate"]
"""What a batch has a source for: the items that it finds are to run, or not."""


class _Row(Protocol):
    def __getitem__(self, column: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Header:
    """Who asked for what, and how far its submission is."""

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
    pages: int = 0
    next_sequence: int = 0
    idempotency_key: str | None = None
    message_id: str | None = None
    digest: bytes | None = None
    traceparent: str | None = None
    sent: Mark | None = None
    """Of an upload that is under way or may be continued: what the broker is known to have. What lies between it and
    `items` was given out by a process that died; the broker may have it or not."""
    leased: bool = False
    """Whether somebody receives that upload at this moment."""
    sourced: Sourced | None = None
    round: int = 1
    """The latest that was asked for or heard of."""
    finished: bool = False
    """Whether that round has ended, as far as was heard."""

    @classmethod
    def asked(
        cls, batch_id: UUID, owner: str, command: BatchSubmit, state: State, at: datetime, trace: str | None
    ) -> Self:
        """A batch as a command asks for it, without items so far."""
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
            sourced=None if command.source is None else "estimate" if command.estimate else "expand",
        )

    @classmethod
    def of(cls, row: _Row) -> Self:
        """Read a row."""
        return cls(
            row["batch_id"],
            row["owner"],
            row["workload"],
            cast("Priority", row["priority"]),
            row["name"],
            orjson.loads(row["labels"]),
            Notifications.model_validate_json(row["notify"]),
            Terms.model_validate_json(row["terms"]),
            Reuse.model_validate_json(row["reuse"]),
            cast("State", row["state"]),
            row["accepted_at"],
            row["items"],
            row["pages"],
            row["next_sequence"],
            row["idempotency_key"],
            row["message_id"],
            row["digest"],
            row["traceparent"],
            Mark(row["sent_items"], row["sent_pages"], row["sent_digest"]) if row["sent_digest"] is not None else None,
            bool(row["leased"]),
            cast("Sourced | None", row["sourced"]),
            row["round"],
            row["done"],
        )

    @property
    def given(self) -> Mark:
        """What has been given out of an upload."""
        return Mark(self.items, self.pages, self.digest or b"")

    def accepted(self, *, replayed: bool = False) -> CommandAccepted:
        """The reply to a command that this batch took."""
        return CommandAccepted(
            batch_id=self.batch_id,
            workload=self.workload,
            items=self.items,
            replayed=replayed,
            accepted_at=self.accepted_at,
        )

    def as_state(self) -> BatchState:
        """What is known of the batch before the ledger has heard of it."""
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
            terms=self.terms,
            accepted_at=self.accepted_at,
        )

"""A batch as the door remembers it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self, cast
from uuid import UUID

import asyncpg

from batchyard_contracts.v1.commands import CommandAccepted
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Counts, Notify, Priority

State = Literal["receiving", "open", "sealed", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Header:
    """Who asked for what, and how far its submission is."""

    batch_id: UUID
    owner: str
    workload: str
    priority: Priority
    name: str | None
    labels: dict[str, str]
    notify: Notify
    state: State
    accepted_at: datetime
    items: int = 0
    pages: int = 0
    next_sequence: int = 0
    idempotency_key: str | None = None
    message_id: str | None = None
    digest: bytes | None = None
    traceparent: str | None = None
    abandoned: bool = False
    """An upload whose receiver has not been heard of for longer than its lease."""

    @classmethod
    def of(cls, row: asyncpg.Record, labels: Any, notify: Any) -> Self:
        """Read a row; the two JSON columns come parsed."""
        return cls(
            row["batch_id"],
            row["owner"],
            row["workload"],
            cast("Priority", row["priority"]),
            row["name"],
            labels,
            Notify.model_validate(notify),
            cast("State", row["state"]),
            row["accepted_at"],
            row["items"],
            row["pages"],
            row["next_sequence"],
            row["idempotency_key"],
            row["message_id"],
            row["digest"],
            row["traceparent"],
            bool(row["abandoned"]),
        )

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
            accepted_at=self.accepted_at,
        )

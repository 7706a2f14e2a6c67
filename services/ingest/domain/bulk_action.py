"""One command for all batches that a filter selects."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from batchyard_contracts.message import Value
from batchyard_contracts.v1.commands import BatchControl
from batchyard_contracts.v1.queries import BatchesQuery
from batchyard_contracts.v1.values import BatchStatus, Priority, Result
from services.ingest.domain.actor import Actor
from services.ingest.domain.batch_filter import BatchFilter

Action = Literal["pause", "resume", "cancel", "retry", "change"]
_SUITABLE: dict[Action, tuple[list[BatchStatus], list[Result]]] = {
    "pause": (["open", "running"], []),
    "resume": (["paused"], []),
    "cancel": (["open", "running", "paused"], []),
    "retry": ([], ["partial", "failed", "cancelled"]),
    "change": (["open", "running", "paused"], []),
}
"""States of the batches that an action is meant for, where the filter names none."""


class BulkForm(Value, extra="forbid"):
    """An action and the batches that it is for."""

    action: Action
    filter: BatchFilter
    priority: Annotated[Priority | None, Field(description="for `change`: the new priority")] = None

    def query(self, owner: str, until: datetime, after: UUID | None, limit: int) -> BatchesQuery:
        """Return the query for the next batches, those that were accepted first, up to a time."""
        fields = self.filter.query_fields()
        if not self.filter.state:
            statuses, results = _SUITABLE[self.action]
            fields |= {"statuses": statuses, "results": results}
        if self.filter.accepted_before is None or until < self.filter.accepted_before:
            fields["accepted_before"] = until
        return BatchesQuery(owner=owner, oldest_first=True, after=after, limit=limit, **fields)

    def command(self, batch_id: UUID) -> BatchControl:
        """Return the command for one batch."""
        return BatchControl(batch_id=batch_id, action=self.action, priority=self.priority)


@dataclass(frozen=True, slots=True)
class BulkAction:
    """An action on many batches, and how far it is."""

    action_id: UUID
    owner: str
    actor: Actor
    form: BulkForm
    created_at: datetime
    ended_at: datetime | None
    last_batch: UUID | None
    """Batch up to which it is done, in the order of acceptance."""
    done: int
    refused: int
    error: str | None
    """Reason for which the first of the batches was refused, or for which the action ended before its time."""
    is_revoked: bool = False
    """True of a claimed action whose key was revoked since it began."""
    unread: tuple[str, ...] = ()
    """Fields that a newer version has stored and this one cannot read, so that it does nothing."""

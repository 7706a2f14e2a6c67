"""One command for all batches that a filter selects."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from batchyard_contracts.message import Value
from batchyard_contracts.v1.commands import BatchControl, Labels
from batchyard_contracts.v1.queries import BatchesQuery
from batchyard_contracts.v1.values import BatchStatus, Priority, Result, Text, Time, WorkloadName
from services.ingest.domain.actor import Actor

Action = Literal["pause", "resume", "cancel", "retry", "change"]
State = Literal[BatchStatus, Result]
_STATUSES = frozenset({"open", "running", "paused", "finished"})
_SUITABLE: dict[Action, tuple[list[BatchStatus], list[Result]]] = {
    "pause": (["open", "running"], []),
    "resume": (["paused"], []),
    "cancel": (["open", "running", "paused"], []),
    "retry": ([], ["partial", "failed", "cancelled"]),
    "change": (["open", "running", "paused"], []),
}
"""States of the batches that an action is meant for, where the filter names none."""


class BatchFilter(Value, extra="forbid"):
    """Selection of batches, as the list of batches makes it. Without a state: those that the action is meant for."""

    state: Annotated[list[State], Field(max_length=8, description="states and results, of which a batch has one")] = (
        Field(default=[])
    )
    priority: Annotated[list[Priority], Field(max_length=3)] = Field(default=[])
    workload: WorkloadName | None = None
    q: Annotated[
        Annotated[Text, StringConstraints(max_length=200)] | None,
        Field(description="part of the name or of the value of a label, or the beginning of the id"),
    ] = None
    label: Labels = Field(default={})
    accepted_from: Time | None = None
    accepted_before: Time | None = None
    batch_ids: Annotated[list[UUID], Field(max_length=1000)] | None = None


class BulkForm(Value, extra="forbid"):
    """An action and the batches that it is for."""

    action: Action
    filter: BatchFilter
    priority: Annotated[Priority | None, Field(description="for `change`: the new priority")] = None

    def query(self, owner: str, until: datetime, after: UUID | None, limit: int) -> BatchesQuery:
        """Return the query for the next batches, those that were accepted first, up to a time."""
        chosen = self.filter
        states = list(dict.fromkeys(chosen.state))  # what is repeated counts once
        statuses = [state for state in states if state in _STATUSES]
        results = [state for state in states if state not in _STATUSES]
        if not chosen.state:
            statuses, results = [*_SUITABLE[self.action][0]], [*_SUITABLE[self.action][1]]
        before = min(until, chosen.accepted_before) if chosen.accepted_before else until
        return BatchesQuery.model_validate(
            {
                "owner": owner,
                "batch_ids": chosen.batch_ids,
                "statuses": statuses,
                "results": results,
                "priorities": list(dict.fromkeys(chosen.priority)),
                "workload": chosen.workload,
                "text": chosen.q,
                "labels": chosen.label,
                "accepted_from": chosen.accepted_from,
                "accepted_before": before,
                "oldest_first": True,
                "after": after,
                "limit": limit,
            }
        )

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
    """Reason for which the first of the batches was refused."""

"""Filters of batches, for lists of them and for actions on many."""

from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import Field, StringConstraints

from batchyard_contracts.message import Value
from batchyard_contracts.v1.commands import Labels
from batchyard_contracts.v1.values import BatchStatus, Metadata, Priority, Result, Text, Time, WorkloadName

State = Literal[BatchStatus, Result]
"""State in which a batch is shown: its status, or how it ended."""
Search = Annotated[Text, StringConstraints(max_length=200)]


class BatchFilter(Value, extra="forbid"):
    """Selection of batches, as the list of batches makes it. Without a state: those that the action is meant for."""

    state: Annotated[list[State], Field(max_length=8, description="states and results, of which a batch has one")] = (
        Field(default=[])
    )
    priority: Annotated[list[Priority], Field(max_length=3)] = Field(default=[])
    workload: WorkloadName | None = None
    q: Annotated[
        Search | None,
        Field(description="part of the name or of the value of a label, or the beginning of the id"),
    ] = None
    label: Labels = Field(default={})
    metadata: Metadata = Field(default={})
    accepted_from: Time | None = None
    accepted_before: Time | None = None
    batch_ids: Annotated[list[UUID], Field(max_length=1000)] | None = None

    @property
    def selects_all(self) -> bool:
        """True if no field narrows the selection; an empty text or list of states does not."""
        narrowing = (self.state, self.priority, self.workload, self.q, self.label, self.metadata)
        bounds = (self.accepted_from, self.accepted_before, self.batch_ids)
        return not any(narrowing) and all(bound is None for bound in bounds)

    def query_fields(self) -> dict[str, Any]:
        """Return the fields of a `BatchesQuery` for these batches."""
        states = list(dict.fromkeys(self.state))  # what is repeated counts once
        return {
            "batch_ids": self.batch_ids,
            "statuses": [state for state in states if state in get_args(BatchStatus)],
            "results": [state for state in states if state in get_args(Result)],
            "priorities": list(dict.fromkeys(self.priority)),
            "workload": self.workload,
            "text": self.q,
            "labels": self.label,
            "metadata": self.metadata,
            "accepted_from": self.accepted_from,
            "accepted_before": self.accepted_before,
        }

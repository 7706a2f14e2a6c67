"""Operations of the HTTP API as data: the request, and how the answer is read. They do no I/O, so that a synchronous
and an asynchronous client share them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from batchyard_contracts.http.errors import HttpProblem, Problem
from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.queries import (
    BatchesReply,
    BatchState,
    DeliveriesReply,
    DeliveryState,
    EstimateReply,
    FailureGroup,
    FailuresReply,
    WorkersReply,
    WorkerState,
)
from batchyard_contracts.v1.values import NewItem, Selection

T = TypeVar("T")
_ANY: TypeAdapter[Any] = TypeAdapter(Any)

Item = NewItem | Mapping[str, Any]
"""Item of a batch: its payload, or a `NewItem` with a custom id."""


@dataclass(frozen=True, slots=True)
class TaggedBatch:
    """State of a batch with its entity tag, by which a change can depend on it."""

    state: BatchState
    tag: str


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One request, and the function that reads its answer."""

    method: str
    path: str
    read: Callable[[bytes], T]
    query: Mapping[str, Any] | None = None
    body: bytes | None = None
    idempotency_key: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None

    def headers(self) -> dict[str, str]:
        """Headers of the request."""
        named = {
            "Content-Type": self.body and "application/json",
            "Idempotency-Key": self.idempotency_key,
            "If-Match": self.if_match,
            "If-None-Match": self.if_none_match,
        }
        return {name: str(value) for name, value in named.items() if value}

    def params(self) -> dict[str, Any]:
        """Parameters of the query that are set."""
        return {name: value for name, value in (self.query or {}).items() if value is not None}


def submit(
    workload: str, items: Sequence[Item], idempotency_key: str | None, options: Mapping[str, Any]
) -> Operation[CommandAccepted]:
    """Submit a batch; `options` are further fields of `BatchSubmit`."""
    new = [item if isinstance(item, NewItem) else NewItem(payload=dict(item)) for item in items]
    command = BatchSubmit.model_validate({"workload": workload, "items": new, **options})
    return Operation("POST", "/batches", CommandAccepted.decode, None, command.encode(), idempotency_key)


def estimate(workload: str, items: Sequence[Item], options: Mapping[str, Any]) -> Operation[EstimateReply]:
    """Tell when a batch would end, without submitting it; `options` are further fields of `BatchSubmit`."""
    return Operation("POST", "/estimates", EstimateReply.decode, None, submit(workload, items, None, options).body)


def batches(query: Mapping[str, Any]) -> Operation[list[BatchState]]:
    """List batches, the one that was accepted last first."""
    return Operation("GET", "/batches", lambda body: BatchesReply.decode(body).batches, query)


def batch(batch_id: UUID) -> Operation[BatchState]:
    """Show a batch."""
    return Operation("GET", f"/batches/{batch_id}", BatchState.model_validate_json)


def tagged_batch(batch_id: UUID, unless: str | None) -> Operation[BatchState]:
    """Show a batch, unless it has this entity tag."""
    return replace(batch(batch_id), if_none_match=unless)


def failures(batch_id: UUID) -> Operation[list[FailureGroup]]:
    """Show the failures of a batch by cause."""
    return Operation("GET", f"/batches/{batch_id}/failures", lambda body: FailuresReply.decode(body).groups)


def deliveries(batch_id: UUID) -> Operation[list[DeliveryState]]:
    """Show the notifications of a batch."""
    return Operation("GET", f"/batches/{batch_id}/deliveries", lambda body: DeliveriesReply.decode(body).deliveries)


def control(batch_id: UUID, action: str, if_match: str | None = None) -> Operation[CommandAccepted]:
    """Pause, resume, cancel or seal a batch."""
    return Operation("POST", f"/batches/{batch_id}/{action}", CommandAccepted.decode, if_match=if_match)


def change(batch_id: UUID, changes: Mapping[str, Any], if_match: str | None = None) -> Operation[CommandAccepted]:
    """Change the priority or the terms of a batch."""
    document = to_json(dict(changes))
    return Operation("PATCH", f"/batches/{batch_id}", CommandAccepted.decode, None, document, if_match=if_match)


def retry(
    batch_id: UUID,
    select: Selection | None,
    patch: Sequence[Mapping[str, Any]],
    *,
    skip_invalid: bool,
    if_match: str | None = None,
) -> Operation[CommandAccepted]:
    """Run items of a finished batch again that did not succeed."""
    document = to_json({"select": select, "patch": list(patch), "skip_invalid": skip_invalid})
    return Operation("POST", f"/batches/{batch_id}/retry", CommandAccepted.decode, None, document, if_match=if_match)


def accept_results(
    batch_id: UUID, reason: str, ordinals: Sequence[int], custom_ids: Sequence[str], if_match: str | None = None
) -> Operation[CommandAccepted]:
    """Accept refused results of a finished batch."""
    document = to_json({"reason": reason, "ordinals": list(ordinals), "custom_ids": list(custom_ids)})
    path = f"/batches/{batch_id}/accept-results"
    return Operation("POST", path, CommandAccepted.decode, None, document, if_match=if_match)


def workloads() -> Operation[list[dict[str, Any]]]:
    """List the workloads that workers have announced, each with its schemas and an example."""
    return Operation("GET", "/workloads", lambda body: list(_ANY.validate_json(body)["workloads"]))


def workers() -> Operation[list[WorkerState]]:
    """List the live workers."""
    return Operation("GET", "/workers", lambda body: WorkersReply.decode(body).workers)


def ask(workload: str, question: str, request: Mapping[str, Any]) -> Operation[Any]:
    """Ask a workload a question."""
    path = f"/workloads/{quote(workload, safe='')}/questions/{quote(question, safe='')}"
    return Operation("POST", path, _ANY.validate_json, None, to_json(dict(request)))


def problem_of(status: int, body: bytes, retry_after: str | None) -> HttpProblem:
    """Error that an answer with a status of 300 or more stands for."""
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:
        problem = Problem(status=status)
    seconds = float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
    return HttpProblem(problem, seconds)

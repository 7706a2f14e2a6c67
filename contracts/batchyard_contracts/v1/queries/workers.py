"""Queries for the live workers, and of a worker for the permit to start items."""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.queries.paging import MAX_ORDINALS
from batchyard_contracts.v1.values import (
    MAX_CHUNKS,
    MAX_WORKLOADS,
    Count,
    Fence,
    Ordinal,
    SlotCount,
    Time,
    WorkerId,
    WorkloadName,
)


class WorkersQuery(Message):
    """Query for the live workers."""

    type: ClassVar[str] = "workers.query.v1"


class WorkerState(Value):
    """State of a worker by its last heartbeat."""

    worker_id: WorkerId
    workloads: Annotated[list[WorkloadName], Field(max_length=MAX_WORKLOADS)]
    chunks: Annotated[list[UUID], Field(max_length=MAX_CHUNKS)]
    running: Count
    stopping: bool
    seen_at: Time
    slots: Annotated[dict[WorkloadName, SlotCount], Field(max_length=MAX_WORKLOADS)] = {}


class WorkersReply(Message):
    """Reply with the live workers: those with a heartbeat within the dispatcher's BATCHYARD_WORKER_TIMEOUT_S."""

    type: ClassVar[str] = "workers.reply.v1"
    workers: Annotated[list[WorkerState], Field(max_length=10_000)]


class StartPermitQuery(Message):
    """Query of a worker for the permit to start items whose run must not be repeated.

    Once it is granted, none of them is dispatched again: those without a report when the worker is lost fail as
    `needs_review`.
    """

    type: ClassVar[str] = "permit.query.v1"
    chunk_id: UUID
    fence: Fence
    worker_id: WorkerId
    ordinals: Annotated[list[Ordinal], Field(min_length=1, max_length=MAX_ORDINALS)]


class StartPermitReply(Message):
    """Reply to `permit.query.v1`. Not `granted`: another worker has the chunk now, so that this one starts no more of
    these items and sends no final report."""

    type: ClassVar[str] = "permit.reply.v1"
    granted: bool

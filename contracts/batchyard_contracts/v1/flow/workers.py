"""Messages of workers about themselves."""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from batchyard_contracts.message import Message
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import MAX_CHUNKS, MAX_WORKLOADS, Count, SlotCount, Time, WorkerId, WorkloadName


class WorkerAnnounced(Message):
    """Message sent when a worker starts, with the manifests of the workloads that it runs."""

    type: ClassVar[str] = "worker.announced.v1"
    worker_id: WorkerId
    manifests: Annotated[list[Manifest], Field(max_length=MAX_WORKLOADS)]
    started_at: Time


class WorkerHeartbeat(Message):
    """Heartbeat of a worker; `chunks` are the chunks that it holds."""

    type: ClassVar[str] = "worker.heartbeat.v1"
    worker_id: WorkerId
    workloads: Annotated[list[WorkloadName], Field(max_length=MAX_WORKLOADS)]
    chunks: Annotated[list[UUID], Field(max_length=MAX_CHUNKS)]
    running: Count = 0
    """Number of items of these chunks without an outcome."""
    slots: Annotated[dict[WorkloadName, SlotCount], Field(max_length=MAX_WORKLOADS)] = {}
    stopping: bool = False
    """True: the worker drains before it stops, and takes no more chunks."""
    handles_quarantine: bool = False
    """True: the worker consumes the quarantined chunks of its workloads, see `topology.quarantine_queue`."""
    takes_bundles: bool = False
    """True: the worker takes bundles of chunks apart. A workload gets bundles while all its workers do."""

    at: Time

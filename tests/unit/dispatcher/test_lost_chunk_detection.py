"""Lost chunks are those that no worker names, that left their queue, and whose batch is not paused."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import WorkerHeartbeat
from batchyard_contracts.v1.manifest import Manifest
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.lost_chunk_policy import LossReason
from services.dispatcher.domain.scheduling.partition_queue import PageRange
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.recovery.lost_chunks import LostChunkRecovery
from services.dispatcher.recovery.orphaned_chunks import OrphanedChunkDetector
from services.dispatcher.recovery.worker_registry import WorkerRegistry
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.state.state import DispatcherState

BATCH, CHUNK = UUID(int=1), UUID(int=2)
LEASE_S = 30.0


class RecordedRecovery:
    """Records the chunks that are recovered and resent."""

    def __init__(self) -> None:
        self.lost: list[tuple[UUID, int]] = []
        self.unsent: list[tuple[UUID, int]] = []

    async def recover(self, leases: list[tuple[Lease, int]], reason: LossReason) -> None:
        found = [(lease.chunk_id, fence) for lease, fence in leases]
        if reason == "expired":
            self.lost = found
        else:
            self.unsent = found


class InFlightChunk:
    """One batch with one chunk in flight, and one worker."""

    def __init__(self, **lease: Any) -> None:
        self.now = time.monotonic()
        self.state, self.recovery, self.depths = DispatcherState(), RecordedRecovery(), dict[str, int | None]()
        self.state.set_manifest(Manifest(name="w", version="1", item_schema={}, result_schema={}))
        self.batch = Batch(BATCH, "ann", "w", "normal")
        self.state.add_batch(self.batch)
        fields: dict[str, Any] = {"seen_at": self.now - 2 * LEASE_S, "sent_at": self.now - 2 * LEASE_S, "fence": 1}
        self.lease = Lease(
            CHUNK, batch_id=BATCH, workload="w", priority="normal", partition="", round=1, attempt=1,
            source=PageRange(0, 0, 0, 3), **(fields | lease),
        )  # fmt: skip
        self.state.add_lease(self.lease)
        self.orphans = OrphanedChunkDetector(self.state, LEASE_S)
        settings = DispatcherSettings(database_url="postgresql://none", lease_s=LEASE_S, worker_timeout_s=LEASE_S)
        self.workers = WorkerRegistry(
            self.state, cast("Stores", None), cast("LostChunkRecovery", self.recovery), self.orphans, settings
        )
        self.read_until: float | None = None
        """Time before which the reports are read; None: all are."""
        self.beat()

    def beat(self, *chunks: UUID, **fields: Any) -> None:
        said: dict[str, Any] = {"worker_id": "one", "workloads": ["w"], "chunks": list(chunks), "at": datetime.now(UTC)}
        self.state.record_heartbeat(WorkerHeartbeat.model_validate(said | fields), time.monotonic())

    async def sweep(self) -> list[tuple[UUID, int]]:
        await self.workers.sweep(self.depth, self.reports_read_until)
        return self.recovery.lost

    async def depth(self, queue: str) -> int | None:
        return self.depths.get(queue, 0)

    async def reports_read_until(self) -> float:
        return time.monotonic() if self.read_until is None else self.read_until


async def test_unnamed_chunk_that_left_its_queue_is_lost_under_its_fence() -> None:
    assert await InFlightChunk(fence=4).sweep() == [(CHUNK, 4)]


def pause_batch(chunk: InFlightChunk) -> None:
    chunk.batch.paused = True


def name_chunk(chunk: InFlightChunk) -> None:
    chunk.beat(CHUNK)


def leave_in_queue(chunk: InFlightChunk) -> None:
    chunk.depths[chunk.lease.queue] = 3


def delete_queue(chunk: InFlightChunk) -> None:
    chunk.depths[chunk.lease.queue] = None


def make_recent(chunk: InFlightChunk) -> None:
    chunk.lease.seen_at = chunk.now - LEASE_S + 5


def stop_worker(chunk: InFlightChunk) -> None:
    chunk.beat(stopping=True)


def leave_reports_unread(chunk: InFlightChunk) -> None:
    chunk.read_until = -math.inf


def read_older_reports(chunk: InFlightChunk) -> None:
    chunk.read_until = chunk.lease.seen_at + LEASE_S / 4


@pytest.mark.parametrize(
    "change",
    [
        leave_reports_unread,
        read_older_reports,
        pause_batch,
        name_chunk,
        leave_in_queue,
        delete_queue,
        make_recent,
        stop_worker,
    ],
)
async def test_chunk_is_not_lost_while_there_is_reason_to_wait(change: Callable[[InFlightChunk], None]) -> None:
    chunk = InFlightChunk()
    change(chunk)
    assert await chunk.sweep() == []


@pytest.mark.parametrize(("younger_s", "lost"), [(LEASE_S - 5, False), (LEASE_S + 5, True)])
async def test_chunk_is_lost_if_much_later_chunks_left_the_queue(younger_s: float, lost: bool) -> None:
    chunk = InFlightChunk()
    chunk.depths[chunk.lease.queue] = 100
    chunk.state.consumed_up_to[chunk.lease.queue] = chunk.lease.sent_at + younger_s
    assert await chunk.sweep() == ([(CHUNK, 1)] if lost else [])


@pytest.mark.parametrize(("isolates", "lost"), [(False, True), (True, False)])
async def test_quarantined_chunk_waits_in_its_queue_only_while_a_worker_takes_it(isolates: bool, lost: bool) -> None:
    chunk = InFlightChunk(quarantined=True)
    chunk.depths[topology.quarantine_queue("w").name] = 1
    chunk.beat(handles_quarantine=isolates)
    assert await chunk.sweep() == ([(CHUNK, 1)] if lost else [])


async def test_heartbeat_confirms_only_the_first_message_of_a_chunk() -> None:
    """With a later fence the worker may hold the earlier message while the queue has the later one."""
    for fence, reached in ((1, True), (2, False)):
        chunk = InFlightChunk(fence=fence)
        chunk.beat(CHUNK)
        assert chunk.lease.seen_at > chunk.now - 1
        assert (chunk.lease.queue in chunk.state.consumed_up_to) is reached


async def test_orphaned_chunk_is_sent_after_two_sweeps_and_a_later_heartbeat() -> None:
    chunk = InFlightChunk(seen_at=0.0)
    chunk.orphans.watch([chunk.lease], time.monotonic())
    assert chunk.orphans.is_pending
    assert await chunk.sweep() == [], "it is not lost: it may never have been sent"
    assert chunk.recovery.unsent == [], "its queue is empty, and the worker has not been heard since"
    chunk.beat()
    for _ in range(2):
        assert await chunk.sweep() == []
        assert chunk.recovery.unsent == [], "that heartbeat may have been made before the queue was empty"
    chunk.beat()
    assert await chunk.sweep() == []
    assert chunk.recovery.unsent == [], "reports that are in hand may still speak of it"
    await chunk.sweep()
    assert chunk.recovery.unsent == [(CHUNK, 1)]


async def test_chunk_named_by_a_worker_is_not_orphaned() -> None:
    chunk = InFlightChunk(seen_at=0.0)
    chunk.orphans.watch([chunk.lease], time.monotonic())
    await chunk.sweep()
    chunk.beat(CHUNK)
    for _ in range(3):
        chunk.beat()
        await chunk.sweep()
    assert chunk.recovery.unsent == []
    assert not chunk.orphans.is_watched(chunk.lease)


async def test_a_chunk_is_lost_in_the_end_although_there_are_always_unread_reports() -> None:
    chunk = InFlightChunk()
    chunk.read_until = -math.inf
    chunk.lease.seen_at = chunk.now - 11 * LEASE_S
    assert await chunk.sweep() == [(CHUNK, 1)]


async def test_unread_reports_delay_orphan_detection() -> None:
    chunk = InFlightChunk(seen_at=0.0)
    chunk.orphans.watch([chunk.lease], time.monotonic())
    chunk.read_until = -math.inf
    await chunk.sweep()
    for _ in range(4):
        chunk.beat()
        await chunk.sweep()
    assert chunk.recovery.unsent == []
    chunk.read_until = None
    await chunk.sweep()
    assert chunk.recovery.unsent == [(CHUNK, 1)]

"""Lost chunks are those that no worker names, that left their queue, and whose batch is not paused."""

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
from services.dispatcher.domain.scheduling.scheduler import PageRange
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.recovery.lost_chunks import LostChunkRecovery
from services.dispatcher.recovery.orphaned_chunks import OrphanedChunkDetector
from services.dispatcher.recovery.worker_registry import WorkerRegistry
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.state.state import DispatcherState

BATCH, CHUNK = UUID(int=1), UUID(int=2)
LEASE_S = 30.0


class Lost:
    """Records the chunks that are recovered and resent."""

    def __init__(self) -> None:
        self.lost_chunks: list[tuple[UUID, int]] = []
        self.unsent_chunks: list[tuple[UUID, int]] = []

    async def recover(self, leases: list[tuple[Lease, int]], reason: LossReason) -> None:
        found = [(lease.chunk_id, fence) for lease, fence in leases]
        if reason == "expired":
            self.lost_chunks = found
        else:
            self.unsent_chunks = found


class Scene:
    """One batch with one chunk in flight, and one worker."""

    def __init__(self, **lease: Any) -> None:
        self.now = time.monotonic()
        self.state, self.found, self.depths = DispatcherState(), Lost(), dict[str, int | None]()
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
            self.state, cast("Stores", None), cast("LostChunkRecovery", self.found), self.orphans, settings
        )
        self.beat()

    def beat(self, *chunks: UUID, **fields: Any) -> None:
        said: dict[str, Any] = {"worker_id": "one", "workloads": ["w"], "chunks": list(chunks), "at": datetime.now(UTC)}
        self.state.record_heartbeat(WorkerHeartbeat.model_validate(said | fields), time.monotonic())

    async def sweep(self) -> list[tuple[UUID, int]]:
        await self.workers.sweep(self.depth)
        return self.found.lost_chunks

    async def depth(self, queue: str) -> int | None:
        return self.depths.get(queue, 0)


async def test_unnamed_chunk_that_left_its_queue_is_lost_under_its_fence() -> None:
    assert await Scene(fence=4).sweep() == [(CHUNK, 4)]


def paused(scene: Scene) -> None:
    scene.batch.paused = True


def named(scene: Scene) -> None:
    scene.beat(CHUNK)


def queued(scene: Scene) -> None:
    scene.depths[scene.lease.queue] = 3


def queue_gone(scene: Scene) -> None:
    scene.depths[scene.lease.queue] = None


def young(scene: Scene) -> None:
    scene.lease.seen_at = scene.now - LEASE_S + 5


def nobody_runs_it(scene: Scene) -> None:
    scene.beat(stopping=True)


@pytest.mark.parametrize("why", [paused, named, queued, queue_gone, young, nobody_runs_it])
async def test_chunk_is_not_lost_while_there_is_reason_to_wait(why: Callable[[Scene], None]) -> None:
    scene = Scene()
    why(scene)
    assert await scene.sweep() == []


@pytest.mark.parametrize(("younger_s", "lost"), [(LEASE_S - 5, False), (LEASE_S + 5, True)])
async def test_chunk_is_lost_if_much_later_chunks_left_the_queue(younger_s: float, lost: bool) -> None:
    scene = Scene()
    scene.depths[scene.lease.queue] = 100
    scene.state.consumed_up_to[scene.lease.queue] = scene.lease.sent_at + younger_s
    assert await scene.sweep() == ([(CHUNK, 1)] if lost else [])


@pytest.mark.parametrize(("isolates", "lost"), [(False, True), (True, False)])
async def test_quarantined_chunk_waits_in_its_queue_only_while_a_worker_takes_it(isolates: bool, lost: bool) -> None:
    scene = Scene(quarantined=True)
    scene.depths[topology.quarantine_queue("w").name] = 1
    scene.beat(handles_quarantine=isolates)
    assert await scene.sweep() == ([(CHUNK, 1)] if lost else [])


async def test_heartbeat_confirms_only_the_first_message_of_a_chunk() -> None:
    """With a later fence the worker may hold the earlier message while the queue has the later one."""
    for fence, reached in ((1, True), (2, False)):
        scene = Scene(fence=fence)
        scene.beat(CHUNK)
        assert scene.lease.seen_at > scene.now - 1
        assert (scene.lease.queue in scene.state.consumed_up_to) is reached


async def test_orphaned_chunk_is_sent_after_two_sweeps_and_a_later_heartbeat() -> None:
    scene = Scene(seen_at=0.0)
    scene.orphans.watch([scene.lease], time.monotonic())
    assert scene.orphans.is_pending
    assert await scene.sweep() == [], "it is not lost: it may never have been sent"
    assert scene.found.unsent_chunks == [], "its queue is empty, and the worker has not been heard since"
    scene.beat()
    for _ in range(2):
        assert await scene.sweep() == []
        assert scene.found.unsent_chunks == [], "that heartbeat may have been made before the queue was empty"
    scene.beat()
    assert await scene.sweep() == []
    assert scene.found.unsent_chunks == [], "reports that are in hand may still speak of it"
    await scene.sweep()
    assert scene.found.unsent_chunks == [(CHUNK, 1)]


async def test_chunk_named_by_a_worker_is_not_orphaned() -> None:
    scene = Scene(seen_at=0.0)
    scene.orphans.watch([scene.lease], time.monotonic())
    await scene.sweep()
    scene.beat(CHUNK)
    for _ in range(3):
        scene.beat()
        await scene.sweep()
    assert scene.found.unsent_chunks == []
    assert not scene.orphans.is_watched(scene.lease)


async def test_unread_reports_delay_orphan_detection() -> None:
    scene = Scene(seen_at=0.0)
    scene.orphans.watch([scene.lease], time.monotonic())
    scene.depths[topology.DISPATCHER_OUTCOMES.name] = 5
    await scene.sweep()
    for _ in range(4):
        scene.beat()
        await scene.sweep()
    assert scene.found.unsent_chunks == []
    scene.depths[topology.DISPATCHER_OUTCOMES.name] = 0
    await scene.sweep()
    await scene.sweep()
    assert scene.found.unsent_chunks == [(CHUNK, 1)]

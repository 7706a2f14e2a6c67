"""Heartbeats and weights change the dispatcher state."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from batchyard_contracts.v1.flow import WorkerHeartbeat
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import Priority, SlotCount
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.scheduling.partition_queue import PageSlice
from services.dispatcher.state.state import DispatcherState


@pytest.mark.parametrize(("most", "window"), [([], 20), ([10], 20), ([20], 40), ([5, 10], 30), ([1], 3)])
def test_window_follows_the_announced_slots_of_workers(most: list[int], window: int) -> None:
    state = DispatcherState()
    state.set_manifest(Manifest(name="w", version="1", item_schema={}, result_schema={}, concurrency=10, chunk_max=1))
    for number, slots in enumerate(most or [None]):
        counts = {"w": SlotCount(max=slots)} if slots else {}
        beat = WorkerHeartbeat(worker_id=f"{number}", workloads=["w"], chunks=[], slots=counts, at=datetime.now(UTC))
        state.record_heartbeat(beat, 0.0)
    assert state.workload_queue("w").window.max_in_flight(1) == pytest.approx(window, abs=1)


def test_heartbeat_for_an_unannounced_workload_wakes_no_loop() -> None:
    state = DispatcherState()
    state.workload_queue("w")
    state.changed.clear()
    state.record_heartbeat(WorkerHeartbeat(worker_id="1", workloads=["w"], chunks=[], at=datetime.now(UTC)), 0.0)
    assert not state.changed.is_set()
    state.set_manifest(Manifest(name="w", version="1", item_schema={}, result_schema={}))
    state.changed.clear()
    for now in (1.0, 2.0):
        state.record_heartbeat(WorkerHeartbeat(worker_id="1", workloads=["w"], chunks=[], at=datetime.now(UTC)), now)
        assert state.changed.is_set() == (now == 1.0)
        state.changed.clear()


class TenAtATime:
    """A budget of ten items for each chunk."""

    def is_full(self, _: Priority) -> bool:
        return False

    def batch_limit(self, _: UUID) -> int:
        return 10

    def partition_limit(self, _: UUID, __: str) -> int:
        return 10


def test_a_changed_share_of_an_owner_holds_for_batches_that_wait() -> None:
    state = DispatcherState({"bob": 2.0})
    for number, owner in enumerate(("ann", "bob")):
        queue = state.add_batch(Batch(UUID(int=number), owner, "w", "normal"))
        queue.partition_queue("").slices.append(PageSlice(0, 0, 1_000_000))
    scheduler = state.workload_queue("w").scheduler

    def items_of_ann(chunks: int) -> int:
        picks = [scheduler.pick(TenAtATime()) for _ in range(chunks)]
        return sum(pick.source.count for pick in picks if pick and pick.batch_id == UUID(int=0))

    assert items_of_ann(300) in range(980, 1020)
    state.set_owner_weight("ann", 4.0)
    assert items_of_ann(300) in range(1980, 2020)
    state.set_owner_weight("ann", None)
    assert items_of_ann(300) in range(980, 1020)

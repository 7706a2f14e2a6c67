"""Heartbeats change the dispatcher state."""

from datetime import UTC, datetime

import pytest

from batchyard_contracts.v1.flow import WorkerHeartbeat
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import SlotCount
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

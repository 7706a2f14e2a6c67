"""What the dispatcher makes of heartbeats."""

from datetime import UTC, datetime

import pytest

from batchyard_contracts.v1.flow import WorkerHeartbeat
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import SlotCount
from services.dispatcher.state.state import Yard


@pytest.mark.parametrize(("most", "window"), [([], 20), ([10], 20), ([20], 40), ([5, 10], 30), ([1], 3)])
def test_what_is_out_follows_what_workers_say_that_they_can_run(most: list[int], window: int) -> None:
    yard = Yard()
    yard.know(Manifest(name="w", version="1", item_schema={}, result_schema={}, concurrency=10, chunk_max=1))
    for number, slots in enumerate(most or [None]):
        counts = {"w": SlotCount(most=slots)} if slots else {}
        beat = WorkerHeartbeat(worker_id=f"{number}", workloads=["w"], chunks=[], slots=counts, at=datetime.now(UTC))
        yard.heard_of(beat, 0.0)
    assert yard.line("w").window.limit(1) == pytest.approx(window, abs=1)


def test_a_workload_that_nobody_announced_wakes_nobody_with_each_heartbeat() -> None:
    yard = Yard()
    yard.line("w")
    yard.changed.clear()
    yard.heard_of(WorkerHeartbeat(worker_id="1", workloads=["w"], chunks=[], at=datetime.now(UTC)), 0.0)
    assert not yard.changed.is_set()
    yard.know(Manifest(name="w", version="1", item_schema={}, result_schema={}))
    yard.changed.clear()
    for now in (1.0, 2.0):
        yard.heard_of(WorkerHeartbeat(worker_id="1", workloads=["w"], chunks=[], at=datetime.now(UTC)), now)
        assert yard.changed.is_set() == (now == 1.0)
        yard.changed.clear()

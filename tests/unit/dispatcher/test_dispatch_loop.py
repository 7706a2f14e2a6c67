"""The dispatch loop has a batch stopped whose own computation fails, and dispatches all others."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import Terms
from services.dispatcher.dispatching.dispatch_loop import DispatchLoop
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.rate_limiting.batch_limits import BatchLimits
from services.dispatcher.domain.scheduling.batch_queue import Pick
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.scheduling.partition_queue import PageSlice
from services.dispatcher.state.state import DispatcherState
from shared.runtime.health import Pulse
from tests.support.patience import PATIENCE_S

BAD, GOOD = UUID(int=1), UUID(int=2)
ITEMS = 40


class FakePublisher:
    """Publisher whose chunks return at once."""

    def __init__(self) -> None:
        self.items: Counter[UUID] = Counter()
        self._dispatched = asyncio.Condition()

    async def dispatch(self, picks: Sequence[tuple[InFlightWindow, Pick]]) -> None:
        for window, pick in picks:
            self.items[pick.batch_id] += pick.source.count
            window.record_returned(pick)
        async with self._dispatched:
            self._dispatched.notify_all()

    async def all_items_of(self, batch_id: UUID) -> None:
        """Wait until all items of a batch were dispatched."""
        async with asyncio.timeout(PATIENCE_S), self._dispatched:
            await self._dispatched.wait_for(lambda: self.items[batch_id] >= ITEMS)


async def _nothing(*_: object) -> None:
    """Do nothing."""


async def _no_rows(*_: object) -> list[object]:
    return []


def state_of(*batch_ids: UUID) -> DispatcherState:
    state = DispatcherState()
    state.set_manifest(Manifest(name="w", version="1", item_schema={}, result_schema={}))
    state.workload_queue("w").window.workers = 1
    for batch_id in batch_ids:
        queue = state.add_batch(Batch(batch_id, "a", "w", "normal", terms=Terms(concurrency=5)))
        queue.partition_queue("").slices.append(PageSlice(0, 0, ITEMS))
    return state


def dispatch_loop(
    state: DispatcherState, publisher: FakePublisher, failed: list[tuple[UUID, Exception]]
) -> DispatchLoop:
    retries = SimpleNamespace(due_retries=_no_rows, next_retry=_nothing)
    undeliverable = SimpleNamespace(
        retry_due=_nothing, is_waiting=lambda _: False, next_retry_at=lambda: None, record=_nothing
    )
    return DispatchLoop(
        state,
        cast("Any", SimpleNamespace(retries=retries)),
        cast("Any", publisher),
        cast("Any", undeliverable),
        cast("Any", SimpleNamespace(stop_failed=lambda *one: failed.append(one))),
        Pulse("dispatch loop", 60),
    )


def fail_for(batch_id: UUID, state: DispatcherState, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a computation of the limits of one batch fail."""
    limits, works = state.batch_limits[batch_id], getattr(BatchLimits, method)

    def computed(self: BatchLimits, *arguments: float) -> object:
        if self is limits:
            raise OverflowError("cannot convert float infinity to integer")
        return works(self, *arguments)

    monkeypatch.setattr(BatchLimits, method, computed)


@pytest.mark.parametrize("method", ["available", "take"])
async def test_a_batch_whose_computation_fails_holds_up_no_other(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state, publisher = state_of(BAD, GOOD), FakePublisher()
    failed: list[tuple[UUID, Exception]] = []
    loop = dispatch_loop(state, publisher, failed)
    fail_for(BAD, state, method, monkeypatch)
    running = asyncio.create_task(loop.run())
    await publisher.all_items_of(GOOD)
    assert publisher.items == {GOOD: ITEMS}
    assert [(batch_id, type(error)) for batch_id, error in failed] == [(BAD, OverflowError)]
    assert not running.done()

    monkeypatch.undo()
    state.apply_control(state.batches[BAD])
    await publisher.all_items_of(BAD)
    assert publisher.items == {GOOD: ITEMS, BAD: ITEMS}, "every item goes out once after its batch was changed"
    running.cancel()
    await asyncio.wait([running])


def test_a_workload_that_fills_each_pass_keeps_no_other_waiting() -> None:
    state = DispatcherState()
    for name, batch_id, partitions in (("many", BAD, 1000), ("few", GOOD, 1)):
        state.set_manifest(Manifest(name=name, version="1", item_schema={}, result_schema={}, chunk_max=1))
        state.workload_queue(name).window.workers = 1000
        queue = state.add_batch(Batch(batch_id, "a", name, "normal"))
        for number in range(partitions):
            queue.partition_queue(str(number)).slices.append(PageSlice(0, number, 1))
    loop = dispatch_loop(state, FakePublisher(), [])
    passes = [[pick.batch_id for _, pick in loop._choose()] for _ in range(2)]
    assert GOOD in passes[0] + passes[1]
    assert all(BAD in one for one in passes)

"""Tests of when progress events are published."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest

from batchyard_contracts.v1.events import BatchProgressed
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.publishing.progress_events import INTERVAL_S, ProgressEvents, interval_s
from shared.messaging.publisher import OutgoingMessage
from shared.runtime.background import BackgroundTask
from shared.runtime.errors import PublishFailed
from shared.runtime.health import Pulse
from tests.support.ledger_messages import BATCH, batch
from tests.support.patience import PATIENCE_S


class Frames:
    """Published progress events with their times."""

    def __init__(self) -> None:
        self.events: list[tuple[float, BatchProgressed]] = []
        self.refuse = False
        self._arrived = asyncio.Condition()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        async with self._arrived:
            assert not any(message.persistent for message in messages)
            now = asyncio.get_running_loop().time()
            self.events += [(now, BatchProgressed.decode(message.body)) for message in messages]
            self._arrived.notify_all()
        if self.refuse:
            raise PublishFailed

    async def ended(self, number: int) -> None:
        """Wait for an event that counts this many ended items."""
        async with asyncio.timeout(PATIENCE_S), self._arrived:
            await self._arrived.wait_for(lambda: bool(self.events) and self.events[-1][1].counts.ended == number)


@pytest.fixture
def frames() -> Frames:
    return Frames()


@pytest.fixture
async def progress(frames: Frames) -> AsyncIterator[ProgressEvents]:
    progress = ProgressEvents(frames.publish)
    async with running(progress):
        yield progress


@asynccontextmanager
async def running(progress: ProgressEvents) -> AsyncIterator[None]:
    """Publish events as the service does."""
    background_task = BackgroundTask(
        Pulse("progress", 60), progress.publish_due, interval_s=60, wake=progress.wake, on_stop=progress.publish_rest
    )
    task = asyncio.create_task(background_task.run())
    yield
    background_task.stop()
    await task


def ended(number: int) -> Batch:
    return batch(total=1000, counters=OutcomeCounters(succeeded=number))


async def test_the_first_change_is_published_at_once_then_50_a_second_and_always_the_last(
    progress: ProgressEvents, frames: Frames
) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    number = 0
    while loop.time() < start + 0.5:
        number += 1
        progress.update(ended(number))
        await asyncio.sleep(0.002)
    await frames.ended(number)
    assert frames.events[0][1].counts.succeeded == 1
    assert 3 <= len(frames.events) <= (loop.time() - start) / INTERVAL_S + 2
    assert frames.events[-1][1].items_per_s
    assert frames.events[-1][1].eta_s


@pytest.mark.parametrize(("changing", "seconds"), [(1, 0.02), (20, 0.02), (21, 0.0525), (40, 0.1), (400, 1.0)])
def test_events_become_less_frequent_when_more_than_20_batches_change(changing: int, seconds: float) -> None:
    assert interval_s(changing) == seconds


async def test_the_21st_batch_that_changes_waits_longer(frames: Frames) -> None:
    now = 100.0
    progress = ProgressEvents(frames.publish, lambda: now)
    batches = [replace(ended(1), batch_id=uuid4()) for _ in range(21)]
    for one in batches:
        progress.update(one)
    await progress.publish_due()
    for one in batches:
        progress.update(replace(one, counters=OutcomeCounters(succeeded=2)))
    now += 0.021
    await progress.publish_due()
    assert len(frames.events) == 21 + 20
    now += 0.05
    await progress.publish_due()
    assert len(frames.events) == 21 + 21


async def test_batches_do_not_wait_for_each_other(progress: ProgressEvents, frames: Frames) -> None:
    for number in range(1, 11):
        progress.update(replace(ended(number), batch_id=uuid4()))
    await frames.ended(10)
    assert len({event.batch_id for _, event in frames.events}) == 10


async def test_no_progress_follows_the_end_of_a_batch(progress: ProgressEvents, frames: Frames) -> None:
    other = replace(ended(7), batch_id=uuid4())
    progress.update(ended(1))
    await frames.ended(1)
    progress.update(ended(2))
    progress.discard(BATCH)
    progress.update(other)
    await frames.ended(7)
    progress.update(replace(other, counters=OutcomeCounters(succeeded=8)))
    await frames.ended(8)  # later than what was due for the first batch
    assert [event.counts.ended for _, event in frames.events if event.batch_id == BATCH] == [1]
    assert progress.items_per_s(BATCH) is None


async def test_a_batch_without_a_header_publishes_no_progress(progress: ProgressEvents, frames: Frames) -> None:
    progress.update(replace(ended(1), header=None))
    progress.update(replace(ended(2), batch_id=uuid4()))
    await frames.ended(2)
    assert len(frames.events) == 1


async def test_progress_continues_after_a_failed_publish(progress: ProgressEvents, frames: Frames) -> None:
    frames.refuse = True
    progress.update(ended(1))
    await frames.ended(1)
    frames.refuse = False
    progress.update(ended(2))
    await frames.ended(2)


async def test_scheduled_progress_is_published_before_the_end(frames: Frames) -> None:
    progress = ProgressEvents(frames.publish)
    async with running(progress):
        progress.update(ended(1))
        await frames.ended(1)
        progress.update(ended(2))
    assert [event.counts.ended for _, event in frames.events] == [1, 2]

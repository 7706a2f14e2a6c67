"""The inbox of a reader of events: it keeps everything but progress that newer progress has overtaken."""

import asyncio
from datetime import UTC, datetime

from batchyard_contracts.client.subscription import Inbox
from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed, BatchStarted
from batchyard_contracts.v1.values import Counts

BATCH = new_batch_id()
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def _started(round_no: int = 1) -> BatchStarted:
    return BatchStarted(workload="noop", owner="default", batch_id=BATCH, round=round_no, at=NOW)


def _progressed(ended: int) -> BatchProgressed:
    counts = Counts(total=9, succeeded=ended, remaining=9 - ended)
    return BatchProgressed(
        workload="noop", owner="default", batch_id=BATCH, round=1, status="running", counts=counts, at=NOW
    )


def _finished() -> BatchFinished:
    return BatchFinished(
        workload="noop",
        owner="default",
        batch_id=BATCH,
        round=1,
        result="completed",
        counts=Counts(total=9, succeeded=9),
        accepted_at=NOW,
        finished_at=NOW,
    )


async def test_a_slow_reader_gets_the_newest_progress_and_every_other_event() -> None:
    inbox = Inbox(BATCH)
    for event in (_started(), _progressed(1), _progressed(2), _progressed(3), _finished(), _started(2), _progressed(4)):
        inbox.put(event)
    got = [await inbox.get(1) for _ in range(5)]
    assert got == [_started(), _progressed(3), _finished(), _started(2), _progressed(4)]
    assert not inbox


async def test_silence_makes_unsure() -> None:
    inbox = Inbox(BATCH)
    inbox.has_gap = False
    assert await inbox.get(0.01) is None
    assert inbox.has_gap


async def test_a_lost_subscription_wakes_the_reader_but_loses_nothing_that_came() -> None:
    inbox = Inbox(BATCH)
    inbox.has_gap = False
    reading = asyncio.create_task(inbox.get(60))
    await asyncio.sleep(0)
    inbox.mark_gap()
    assert await reading is None
    assert inbox.has_gap

    inbox.put(_progressed(1))
    inbox.mark_gap()
    assert await inbox.get(60) == _progressed(1)


async def test_an_event_wakes_the_reader() -> None:
    inbox = Inbox(BATCH)
    reading = asyncio.create_task(inbox.get(60))
    await asyncio.sleep(0)
    inbox.put(_finished())
    assert await reading == _finished()

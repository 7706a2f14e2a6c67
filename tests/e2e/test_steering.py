"""Pause, resume, cancel, retry, change and append, seen from the client."""

import asyncio
from uuid import UUID

import pytest

from batchyard_contracts.client import BatchRefused
from batchyard_contracts.v1.commands import BatchAppend, BatchSeal, BatchSubmit
from batchyard_contracts.v1.events import BatchProgressed
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND, Counts, NewItem
from tests.support.yard import Yard

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _progress(yard: Yard, batch_id: UUID) -> Counts:
    """The counts at the next sign of progress."""
    async with asyncio.timeout(20), yard.client.events(batch_id) as events:
        async for event in events:
            if isinstance(event, BatchProgressed) and event.counts.ended:
                return event.counts
    raise AssertionError


async def _settles(yard: Yard, batch_id: UUID) -> Counts:
    """The counts once they stand still for half a second: what was out has come back."""
    counts = (await yard.client.batch(batch_id)).counts
    async with asyncio.timeout(20):
        while True:
            await asyncio.sleep(0.5)  # standing still can only be seen over time
            later = (await yard.client.batch(batch_id)).counts
            if later == counts:
                return counts
            counts = later


async def test_a_paused_batch_stands_still_and_goes_on_when_resumed(yard: Yard) -> None:
    receipt = await yard.client.submit("noop", [{"n": n, "sleep_s": 0.1} for n in range(3000)])
    await _progress(yard, receipt.batch_id)
    await yard.client.control(receipt.batch_id, "pause")
    stood = await _settles(yard, receipt.batch_id)
    assert 0 < stood.ended < 3000
    assert (await yard.client.batch(receipt.batch_id)).status == "paused"
    await yard.client.control(receipt.batch_id, "resume")
    finished = await yard.client.wait(receipt.batch_id, 30)
    assert finished.counts.succeeded == 3000


async def test_a_cancelled_batch_ends_at_once_and_keeps_what_was_done(yard: Yard) -> None:
    receipt = await yard.client.submit("noop", [{"n": n, "sleep_s": 1.0} for n in range(3000)])
    await _progress(yard, receipt.batch_id)
    await yard.client.control(receipt.batch_id, "cancel")
    finished = await yard.client.wait(receipt.batch_id, 10)
    counts = finished.counts
    assert finished.result == "cancelled"
    assert counts.cancelled > 0
    assert counts.succeeded > 0
    assert counts.succeeded + counts.cancelled == 3000
    await yard.check_ledger(receipt.batch_id, 3000)


async def test_retry_runs_what_failed_once_more_in_a_new_round(yard: Yard) -> None:
    items = [{"n": n} for n in range(20)] + [{"n": n, "fail_attempts": 5} for n in range(5)]
    receipt = await yard.client.submit("noop", items)
    first = await yard.client.wait(receipt.batch_id, 30)
    assert (first.round, first.result, first.counts.failed) == (1, "partial", 5)
    await yard.client.control(receipt.batch_id, "retry")
    second = await yard.client.wait(receipt.batch_id, 30, since_round=2)
    assert (second.round, second.counts.succeeded, second.counts.failed) == (2, 20, 5)
    rounds = [r.round async for r in yard.client.results(receipt.batch_id)]
    assert rounds == [1] * 20 + [2] * 5
    await yard.check_ledger(receipt.batch_id, 25)


async def test_only_a_finished_batch_can_be_retried(yard: Yard) -> None:
    receipt = await yard.client.submit("noop", [{"n": 1, "sleep_s": 1.0}])
    with pytest.raises(BatchRefused) as caught:
        await yard.client.control(receipt.batch_id, "retry")
    assert caught.value.status == 409
    await yard.client.wait(receipt.batch_id, 20)


async def test_an_immediate_batch_overtakes_a_normal_one(yard: Yard) -> None:
    long = await yard.client.submit("noop", [{"n": n, "sleep_s": 0.05} for n in range(6000)])
    await _progress(yard, long.batch_id)
    urgent = await yard.client.submit("noop", [{"n": 1}], priority="immediate")
    await yard.client.wait(urgent.batch_id, 20)
    assert (await yard.client.batch(long.batch_id)).counts.remaining > 0
    await yard.client.control(long.batch_id, "cancel")
    await yard.client.wait(long.batch_id, 20)


async def test_items_may_follow_until_the_batch_is_sealed(yard: Yard) -> None:
    opened = await yard.client.send(BatchSubmit(workload="noop", items=[NewItem(payload={"n": 1})], sealed=False))
    for sequence in (0, 1, 1):  # the second one twice: it is the same append
        await yard.client.send(
            BatchAppend(batch_id=opened.batch_id, sequence=sequence, items=[NewItem(payload={"n": sequence + 2})])
        )
    await _progress(yard, opened.batch_id)
    await yard.client.send(BatchSeal(batch_id=opened.batch_id))
    finished = await yard.client.wait(opened.batch_id, 20)
    assert (finished.counts.total, finished.counts.succeeded) == (3, 3)


async def test_more_items_than_one_command_holds_become_one_batch(yard: Yard) -> None:
    total = MAX_ITEMS_PER_COMMAND * 2 + 7
    receipt = await yard.client.submit("noop", ({"n": n} for n in range(total)))
    finished = await yard.client.wait(receipt.batch_id, 60)
    assert finished.counts.succeeded == total
    await yard.check_ledger(receipt.batch_id, total)


async def test_the_workers_say_what_they_run(yard: Yard) -> None:
    async with yard.http.get("workers") as response:
        workers = (await response.json())["workers"]
    assert sum("noop" in worker["workloads"] for worker in workers) >= 2, "others may have run a file of their own"

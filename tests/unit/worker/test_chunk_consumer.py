"""The chunk consumer handles redelivered copies, long items, cancelled batches and handlers that never end."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from batchyard_contracts.workload import Limits
from services.worker.execution.outcome_buffer import OutcomeBuffer
from shared.runtime.errors import MessageRejected
from tests.support.consumer_harness import BATCH, ConsumerHarness, chunk, consumer_harness, running
from tests.support.patience import until_true


async def test_a_copy_redelivered_after_a_lost_connection_does_not_run_beside_the_first() -> None:
    async with consumer_harness() as d:
        await d.broker.deliver(chunk(1), "first")
        await d.broker.until(lambda: d.begun == [1])
        d.broker.cut()
        await d.broker.deliver(chunk(1), "copy", redelivered=True)
        await d.broker.deliver(chunk(2), "other")
        await d.broker.until(lambda: d.begun == [1, 2])
        d.gate.set()
        await d.broker.until(lambda: set(d.broker.acknowledged) == {"copy", "other"})
        assert d.consumer.chunk_ids == []
        assert d.runner.unfinished == 0
    assert d.begun == [1, 2]


async def test_a_copy_of_a_reported_chunk_is_only_acknowledged() -> None:
    async with consumer_harness() as d:
        await d.broker.deliver(chunk(1), "first")
        await d.broker.until(lambda: d.begun == [1])
        d.broker.cut()
        d.gate.set()
        await d.broker.until(lambda: any(report.final for report in d.reports))
        await d.broker.deliver(chunk(1), "copy", redelivered=True)
        await d.broker.until(lambda: d.broker.acknowledged == ["copy"])
    assert d.begun == [1]


async def test_a_chunk_of_a_lost_worker_is_given_back() -> None:
    async with consumer_harness() as d:
        await d.broker.deliver(chunk(1), "first")
        await d.broker.deliver(chunk(2), "suspect", redelivered=True)
        await d.broker.until(lambda: d.broker.acknowledged == ["suspect"])
        assert [(r.chunk_id, r.fence, r.reason) for r in d.returned] == [(UUID(int=2), 1, "redelivered")]
    assert d.begun == [1]


async def test_a_chunk_that_only_waited_here_is_no_suspect_after_a_lost_connection() -> None:
    async with consumer_harness(limits=Limits(concurrency=1)) as d:
        await d.broker.deliver(chunk(1), "first")
        await d.broker.until(lambda: d.begun == [1])
        await d.broker.deliver(chunk(2), "second")
        d.broker.cut()
        await d.broker.deliver(chunk(2), "copy", redelivered=True)
        d.gate.set()
        await d.broker.until(lambda: d.broker.acknowledged == ["copy"])
    assert (d.begun, d.returned) == ([1, 2], [])


async def test_copies_of_lost_connections_do_not_pile_up() -> None:
    async with consumer_harness(limits=Limits(concurrency=1)) as d:
        await d.broker.deliver(chunk(1), "first")
        await d.broker.until(lambda: d.begun == [1])
        await d.broker.deliver(chunk(2), "second")
        for number in range(5):
            d.broker.cut()
            await d.broker.deliver(chunk(1), f"copy {number} of the first", redelivered=True)
            await d.broker.deliver(chunk(2), f"copy {number} of the second", redelivered=True)
            await asyncio.sleep(0)  # the copy of the first is kept by a task
        assert d.consumer.chunk_ids == [UUID(int=1), UUID(int=2)]
        assert [len(kept) for kept in d.consumer._deliveries._unacknowledged.values()] == [1]
        d.gate.set()
        await d.broker.until(lambda: len(d.broker.acknowledged) == 2)
    assert d.begun == [1, 2]


async def test_a_stopping_consumer_returns_the_chunks_that_it_did_not_start() -> None:
    async with consumer_harness(limits=Limits(concurrency=1)) as d:
        await d.broker.deliver(chunk(1), "first")
        await d.broker.until(lambda: d.begun == [1])
        await d.broker.deliver(chunk(2), "second")
        d.consumer.stop()
        await d.broker.until(lambda: d.broker.acknowledged == ["second"])
        assert [(r.chunk_id, r.reason) for r in d.returned] == [(UUID(int=2), "stopping")]
    assert d.begun == [1]


async def test_no_chunk_of_a_paused_batch_starts_until_it_is_resumed() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    async with consumer_harness(limits=Limits(concurrency=1)) as d:
        await d.broker.deliver(chunk(1), "runs")
        await d.broker.until(lambda: d.begun == [1])
        await d.broker.deliver(chunk(2), "waits")
        d.consumer.set_paused(BATCH, now, paused=True)
        d.consumer.set_paused(BATCH, now - timedelta(seconds=1), paused=False)  # said before, heard after
        await d.broker.deliver(chunk(3), "comes")
        await d.broker.until(lambda: sorted(d.broker.acknowledged) == ["comes", "waits"])
        assert (d.begun, d.statuses) == ([1], ["retry", "retry"])
        assert {o.error.code for report in d.reports for o in report.outcomes if o.error} == {"batch_paused"}
        d.consumer.set_paused(BATCH, now, paused=False)
        d.gate.set()
        await d.broker.deliver(chunk(4), "goes on")
        await d.broker.until(lambda: d.begun == [1, 4])


async def test_a_chunk_dispatched_again_is_run() -> None:
    async with consumer_harness() as d:
        d.gate.set()
        await d.broker.deliver(chunk(1), "first")
        await d.broker.until(lambda: d.broker.acknowledged == ["first"])
        await d.broker.deliver(chunk(1, fence=2), "second")
        await d.broker.until(lambda: d.broker.acknowledged == ["first", "second"])
        assert d.begun == [1, 1]


@pytest.mark.parametrize(("item_timeout_s", "acknowledged"), [(600.0, []), (601.0, ["long"])])
async def test_a_chunk_of_long_items_is_acknowledged_when_it_starts(
    item_timeout_s: float, acknowledged: list[str]
) -> None:
    async with consumer_harness(limits=Limits(item_timeout_s=item_timeout_s)) as d:
        await d.broker.deliver(chunk(1), "long")
        await d.broker.until(lambda: d.begun == [1])
        assert d.broker.acknowledged == acknowledged
        assert d.consumer.chunk_ids == [UUID(int=1)]
        d.gate.set()
        await d.broker.until(lambda: any(report.final for report in d.reports))
    assert d.broker.acknowledged == ["long"]


async def test_a_cancelled_batch_stays_cancelled_until_it_is_retried() -> None:
    async with consumer_harness() as d:
        d.gate.set()
        d.consumer.cancel(BATCH)
        await d.broker.deliver(chunk(1), "late")
        await d.broker.until(lambda: d.statuses == ["cancelled"])
        d.consumer.clear_cancellation(BATCH)
        await d.broker.deliver(chunk(2, round_=2), "again")
        await d.broker.until(lambda: d.statuses == ["cancelled", "succeeded"])


async def test_a_handler_that_never_ends_is_abandoned_and_its_slot_goes_to_the_next() -> None:
    async with consumer_harness(stubborn=True, limits=Limits(item_timeout_s=0.02, concurrency=1)) as d:
        await d.broker.deliver(chunk(1), "stubborn")
        await d.broker.until(lambda: d.broker.acknowledged == ["stubborn"])
        assert (d.runner.stuck_handlers, d.runner.slots.busy) == (1, 0)
        error = d.reports[-1].outcomes[0].error
        assert error is not None
        assert (error.code, d.reports[-1].final) == ("timeout", True)
        await d.broker.deliver(chunk(2), "next")
        await d.broker.until(lambda: d.begun == [1, 2])
        d.gate.set()
        await d.broker.until(lambda: d.broker.acknowledged == ["stubborn", "next"])
        await until_true(lambda: not d.runner.stuck_handlers)
    assert d.statuses == ["retry", "succeeded"]


async def test_a_cancelled_batch_does_not_wait_for_a_handler_that_ignores_it() -> None:
    async with consumer_harness(stubborn=True) as d:
        await d.broker.deliver(chunk(1), "stubborn")
        await d.broker.until(lambda: d.begun == [1])
        d.consumer.cancel(BATCH)
        await d.broker.until(lambda: d.broker.acknowledged == ["stubborn"])
        assert d.statuses == ["cancelled"]
        assert (d.runner.stuck_handlers, d.runner.slots.busy) == (1, 0)


async def test_a_chunk_whose_execution_fails_is_given_back_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with consumer_harness() as d:
        publish_report = d.runner.publish_report

        async def refuse_first(run: ChunkReady, *arguments: object, **fields: object) -> None:
            if run.chunk_id == UUID(int=1):
                raise MessageRejected("The body has 5000000 bytes.")
            await publish_report(run, *arguments, **fields)  # type: ignore[arg-type]

        monkeypatch.setattr(d.runner, "publish_report", refuse_first)
        d.gate.set()
        with capture_logs() as logs:
            await d.broker.deliver(chunk(1), "poison")
            await d.broker.until(lambda: d.broker.acknowledged == ["poison"])
            await d.broker.deliver(chunk(2), "next")
            await d.broker.until(lambda: d.broker.acknowledged == ["poison", "next"])
        assert [(r.chunk_id, r.reason) for r in d.returned] == [(UUID(int=1), "redelivered")]
        assert [e["task"] for e in logs if e["event"] == "background task failed"] == ["intake"]
        assert (d.consumer.chunk_ids, d.runner.unfinished, d.runner.slots.busy) == ([], 0, 0)
        assert d.pulse.is_alive


async def test_an_execution_that_fails_interrupts_its_other_items(monkeypatch: pytest.MonkeyPatch) -> None:
    async with consumer_harness() as d:
        two = chunk(1).model_copy(
            update={"items": [ChunkItem(ordinal=0, payload={"n": 1}), ChunkItem(ordinal=1, payload={"n": "none"})]}
        )

        async def refuse(*_: object, **__: object) -> None:
            raise MessageRejected("The body has 5000000 bytes.")

        monkeypatch.setattr(OutcomeBuffer, "report", refuse)
        await d.broker.deliver(two, "poison")
        await d.broker.until(lambda: d.broker.acknowledged == ["poison"])
        assert d.begun == [1]
        assert (d.runner.unfinished, d.runner.slots.busy) == (0, 0)


async def test_a_connection_that_fails_at_the_start_is_tried_again() -> None:
    made = ConsumerHarness()
    works, calls = made.broker.set_qos, 0

    async def fail_once(**fields: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionResetError("away")
        await works(**fields)

    made.broker.set_qos = fail_once  # type: ignore[method-assign]
    async with running(made):
        await made.broker.deliver(chunk(1), "first")
        await made.broker.until(lambda: made.begun == [1])

"""A chunk runs from its arrival to its final report."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import cast
from uuid import UUID

import pytest
from pydantic import BaseModel, field_validator

from batchyard_contracts.v1.manifest import CircuitRule
from batchyard_contracts.workload import Caching, Context, Limits, Permanent, RateLimited, Retry, Workload
from services.worker.caching.result_cache import ResultCache
from services.worker.execution import chunk_execution
from services.worker.execution.chunk_execution import ChunkExecution
from services.worker.execution.item_runner import ItemRunner
from services.worker.execution.report_writer import REPORT_BYTES_MAX
from services.worker.limits.rate_gate import RateGates
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.redis.rate_reservations import RateReservations
from tests.support.chunk_runs import Away, FakeCache, Number, Recorder, chunk, paced, run_of, workload
from tests.support.patience import PATIENCE_S


async def test_every_item_has_one_outcome_and_the_last_report_is_final() -> None:
    work = workload()

    @work.handler
    async def run(item: Number, context: Context) -> Number:
        assert context.resources == "resources"
        assert context.idempotency_key == f"{UUID(int=2)}:{context.ordinal}:2"
        if item.n == 3:
            raise ValueError("three")
        return Number(n=item.n * item.n)

    chunk_run, recorder, runner = run_of(work, range(10))
    await chunk_run.run()
    assert [o.result for i, o in sorted(recorder.outcomes.items()) if i != 3] == [
        {"n": i * i} for i in range(10) if i != 3
    ]
    assert recorder.outcomes[3].status == "retry"
    assert sum(len(r.outcomes) for r in recorder.reports) == 10
    assert [r.final for r in recorder.reports][-1:] == [True]
    assert (recorder.reports[0].fence, recorder.reports[0].attempt, runner.unfinished) == (3, 4, 0)


async def test_ended_items_are_reported_while_others_run() -> None:
    work = workload(limits=Limits(concurrency=5))
    gate = asyncio.Event()

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        if item.n == 0:
            await gate.wait()
        return item

    chunk_run, recorder, _ = run_of(work, range(5))
    running = asyncio.create_task(chunk_run.run())
    await recorder.published.wait()
    assert set(recorder.outcomes) == {1, 2, 3, 4}
    assert not recorder.reports[0].final
    gate.set()
    await running
    assert set(recorder.outcomes) == set(range(5))


async def test_no_more_items_run_at_once_than_the_manifest_says() -> None:
    work = workload(limits=Limits(concurrency=3))
    running, most = 0, 0

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return item

    first, _, runner = run_of(work, range(20))
    second = ChunkExecution(runner, chunk(*range(20)), None, 0.01)
    await asyncio.gather(first.run(), second.run())
    assert most == 3


async def test_an_item_that_takes_too_long_is_interrupted() -> None:
    work = workload(limits=Limits(item_timeout_s=0.01))

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        await asyncio.Event().wait()
        return item

    chunk_run, recorder, _ = run_of(work, [1])
    await chunk_run.run()
    error = recorder.outcomes[0].error
    assert error is not None
    assert error.code == "timeout"
    assert "0.01 s" in error.message


@pytest.mark.parametrize(
    ("circuit", "status"),
    [(CircuitRule(), "retry"), (None, "failed"), (CircuitRule(partitions=["another host"]), "failed")],
)
async def test_an_item_that_its_provider_refuses_waits_where_there_is_a_circuit(
    circuit: CircuitRule | None, status: str
) -> None:
    work = workload(retry=Retry(circuit=circuit))

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        raise Permanent("bad_key", "The provider does not know the key.", scope="provider")

    chunk_run, recorder, _ = run_of(work, [1])
    await chunk_run.run()
    error = recorder.outcomes[0].error
    assert (recorder.outcomes[0].status, error and error.code) == (status, "bad_key")


async def test_a_cancelled_batch_keeps_what_was_done_and_cancels_the_rest() -> None:
    work = workload(limits=Limits(concurrency=2))
    cleaned = []

    @work.handler
    async def run(item: Number, context: Context) -> Number:
        if item.n:
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.append(context.ordinal)
        return item

    chunk_run, recorder, runner = run_of(work, [0, 1, 1, 1])
    running = asyncio.create_task(chunk_run.run())
    await recorder.published.wait()
    chunk_run.stop(cancelled=True)
    await running
    assert [recorder.outcomes[i].status for i in range(4)] == ["succeeded", "cancelled", "cancelled", "cancelled"]
    assert cleaned == [1, 2]
    assert runner.unfinished == 0


async def test_a_chunk_stopped_before_it_began_runs_nothing() -> None:
    work = workload()

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        raise AssertionError

    chunk_run, recorder, _ = run_of(work, [1, 2])
    chunk_run.stop(cancelled=False)
    await chunk_run.run()
    assert {o.error.code for o in recorder.outcomes.values() if o.error} == {"worker_stopping"}


async def test_a_known_result_is_not_computed_again_and_a_new_one_is_remembered() -> None:
    work = workload(caching=Caching(ttl_s=60))
    computed = []

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        computed.append(item.n)
        return item

    known = FakeCache({5: {"n": 25}})
    chunk_run, recorder, _ = run_of(work, [5, 6], known)
    await chunk_run.run()
    assert (recorder.outcomes[0].result, recorder.outcomes[0].cached) == ({"n": 25}, True)
    assert computed == [6]
    assert known.results[6] == {"n": 6}


async def test_large_results_are_reported_in_parts_and_one_that_is_too_large_fails() -> None:
    class Text(BaseModel):
        text: str

    work = Workload("texts", version="1", item=Number, result=Text)

    @work.handler
    async def run(item: Number, _: Context) -> Text:
        return Text(text="x" * item.n)

    recorder = Recorder()
    runner = ItemRunner(work, None, cast("Publisher", recorder), cast("ResultCache", FakeCache()), "w1")
    runner.unfinished += 4
    await ChunkExecution(runner, chunk(900_000, 900_000, REPORT_BYTES_MAX + 1, 10), None, 0.01).run()
    assert len(recorder.reports) > 1
    assert [r.final for r in recorder.reports] == [False] * (len(recorder.reports) - 1) + [True]
    assert [o.ordinal for r in recorder.reports for o in r.outcomes] == [0, 1, 2, 3]
    assert [recorder.outcomes[i].status for i in range(4)] == ["succeeded", "succeeded", "failed", "succeeded"]
    error = recorder.outcomes[2].error
    assert error is not None
    assert error.code == "result_too_large"


async def test_items_that_never_wait_leave_the_event_loop_to_others() -> None:
    work = workload(limits=Limits(concurrency=1))
    ticks = 0

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        total = sum(range(20_000))
        return Number(n=total)

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    chunk_run, _, _ = run_of(work, range(300))
    await chunk_run.run()
    ticking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ticking
    assert ticks > 3


class Broken(Exception):
    """An error without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("ends", "status", "code"),
    [
        (lambda: Permanent("HTTP-404"), "failed", "invalid_error_code"),
        (lambda: RateLimited(4e7), "retry", "rate_limited"),
        (lambda: ValueError("\ud83d"), "retry", "internal_error"),
        (Broken, "failed", "internal_error"),
        (lambda: SystemExit(3), "retry", "internal_error"),
        (asyncio.CancelledError, "retry", "internal_error"),
    ],
)
async def test_other_items_run_on_however_one_item_ends(
    ends: Callable[[], BaseException], status: str, code: str
) -> None:
    work = workload(limits=Limits(concurrency=1))

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        if item.n == 0:
            raise ends()
        return item

    chunk_run, recorder, runner = run_of(work, [0, 1])
    await chunk_run.run()
    error = recorder.outcomes[0].error
    assert error is not None
    assert (recorder.outcomes[0].status, error.code) == (status, code)
    other = recorder.outcomes[1]
    if code == "rate_limited":
        assert other.error is not None
        assert other.error.code == "held_back"
    else:
        assert other.status == "succeeded"
    assert runner.unfinished == 0


async def test_a_model_that_breaks_on_its_input_fails_the_item() -> None:
    class Picky(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def check(cls, value: int) -> int:
            raise KeyError(value)

    work: Workload[Picky, Number] = Workload("picky", version="1", item=Picky, result=Number)

    @work.handler
    async def run(item: Picky, _: Context) -> Number:
        raise AssertionError

    recorder = Recorder()
    runner = ItemRunner(work, None, cast("Publisher", recorder), cast("ResultCache", FakeCache()), "w1")
    runner.unfinished += 1
    await ChunkExecution(runner, chunk(1), None, 0.01).run()
    assert recorder.outcomes[0].status == "failed"


async def test_a_handler_that_ignores_its_end_takes_no_further_item() -> None:
    work = workload(limits=Limits(concurrency=1))
    begun = []
    first = asyncio.Event()

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        begun.append(item.n)
        first.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return item
        raise AssertionError

    chunk_run, recorder, _ = run_of(work, [0, 1, 2])
    running = asyncio.create_task(chunk_run.run())
    await first.wait()
    chunk_run.stop(cancelled=True)
    await asyncio.wait_for(running, PATIENCE_S)
    assert begun == [0]
    assert [recorder.outcomes[i].status for i in range(3)] == ["succeeded", "cancelled", "cancelled"]


async def test_items_that_never_wait_take_turns_with_others_however_many_may_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunk_execution, "_YIELD_S", 0.0)
    work = workload(limits=Limits(concurrency=10))
    ran, turns = 0, [0]
    together = asyncio.Event()

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        nonlocal ran
        ran += 1
        if item.n == 9:
            together.set()
        if item.n < 10:
            await together.wait()
        return item

    async def tick() -> None:
        while True:
            turns.append(ran)
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    chunk_run, recorder, _ = run_of(work, range(100))
    await chunk_run.run()
    ticking.cancel()
    assert len(recorder.outcomes) == 100
    since = [after - before for before, after in itertools.pairwise(turns) if after > 25]
    assert max(since) <= 2


async def test_an_abandoned_call_is_recorded_as_unanswered() -> None:
    work = workload(limits=Limits(item_timeout_s=0.02))

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()
        return item

    gate = asyncio.Event()
    recorder = Recorder()
    gates = RateGates("squares", cast("RateReservations", Away()))
    runner = ItemRunner(
        work, None, cast("Publisher", recorder), cast("ResultCache", FakeCache()), "w1", None, 0.02, gates
    )
    runner.unfinished += 1
    await ChunkExecution(runner, paced(chunk(1)), None, 0.01).run()
    gate.set()
    feedback = [report.feedback for report in recorder.reports if report.feedback]
    assert recorder.outcomes[0].status == "retry"
    assert (sum(f.unanswered for f in feedback), sum(f.answered for f in feedback)) == (1, 0)


class Slow(Recorder):
    """Confirms nothing until told."""

    def __init__(self) -> None:
        super().__init__()
        self.confirm = asyncio.Event()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        await super().publish(messages)
        await self.confirm.wait()


async def test_reports_do_not_wait_for_the_confirms_of_those_before_except_the_last() -> None:
    work = workload(limits=Limits(concurrency=1))
    sent = asyncio.Event()
    recorder = Slow()

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        if 0 < item.n < 4:
            await recorder.published.wait()
            recorder.published.clear()
        elif item.n == 6:
            sent.set()
        return item

    runner = ItemRunner(work, None, cast("Publisher", recorder), cast("ResultCache", FakeCache()), "w1")
    runner.unfinished += 7
    running = asyncio.create_task(ChunkExecution(runner, chunk(*range(7)), None, 0.001).run())
    await sent.wait()
    await asyncio.wait({running}, timeout=0.05)
    assert not any(report.final for report in recorder.reports)
    assert 3 <= len(recorder.reports) <= 4
    recorder.confirm.set()
    await running
    assert [report.final for report in recorder.reports].count(True) == 1
    assert recorder.reports[-1].final
    assert sorted(o.ordinal for report in recorder.reports for o in report.outcomes) == list(range(7))

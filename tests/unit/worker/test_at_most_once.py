"""Items that must not run twice need a start permit, and an unknown end needs review."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from batchyard_contracts.v1.queries import StartPermitQuery, StartPermitReply
from batchyard_contracts.workload import Context, Continuation, Limits, RateLimited, Retry, Transient, Workload
from services.worker.caching.result_cache import ResultCache
from services.worker.execution.chunk_execution import ChunkExecution
from services.worker.execution.item_runner import ItemRunner
from services.worker.execution.start_permit import StartPermitClient
from shared.messaging.publisher import Publisher
from shared.runtime.errors import QueryTimeout
from tests.support.chunk_runs import FakeCache, Number, Recorder, chunk, workload


class Dispatcher:
    """A fake dispatcher that answers start-permit queries."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.asked: list[StartPermitQuery] = []
        self._answers = list(answers)

    async def query(self, query: StartPermitQuery, _: type[StartPermitReply], *, timeout_s: float) -> StartPermitReply:
        assert timeout_s < 30  # the time to live of questions
        self.asked.append(query)
        await asyncio.sleep(0)
        answer = self._answers.pop(0) if self._answers else True
        if isinstance(answer, Exception):
            raise answer
        return StartPermitReply(granted=answer)

    @property
    def ordinals(self) -> list[int]:
        """Ordinals for which a permit was requested, each once."""
        return sorted({ordinal for question in self.asked for ordinal in question.ordinals})


def run_of(
    work: Workload[Number, Number], numbers: Sequence[int], dispatcher: Dispatcher
) -> tuple[ChunkExecution, Recorder, ItemRunner]:
    recorder, permits = Recorder(), StartPermitClient(cast("Any", dispatcher), "w1")
    publisher, cache = cast("Publisher", recorder), cast("ResultCache", FakeCache())
    runner = ItemRunner(work, None, publisher, cache, "w1", grace_s=0.05, permits=permits)
    runner.unfinished += len(numbers)
    return ChunkExecution(runner, chunk(*numbers), None, 0.01), recorder, runner


def codes(recorder: Recorder) -> list[tuple[str, str | None]]:
    """Return status and error code of each item."""
    found = [recorder.outcomes[i] for i in sorted(recorder.outcomes)]
    return [(o.status, o.error.code if o.error else None) for o in found]


ENDS: dict[int, Callable[[], Any]] = {
    0: lambda: Number(n=0),
    1: lambda: Continuation(1, 5.0),
    2: lambda: Transient("busy"),
    3: lambda: RateLimited(1.0),
    4: lambda: KeyError("id"),
    5: TimeoutError,
    6: asyncio.CancelledError,
}


def end(n: int) -> Any:
    """Return or raise what a number stands for."""
    made = ENDS[n]()
    if isinstance(made, BaseException):
        raise made
    return made


@pytest.mark.parametrize("place", ["loop", "thread", "chunk"])
async def test_only_errors_that_the_handler_calls_transient_are_retried(place: str) -> None:
    work = workload(limits=Limits(concurrency=20), retry=Retry(repeatable=False))
    if place == "loop":

        @work.handler
        async def run(item: Number, _: Context) -> Number:
            await asyncio.sleep(0)
            return cast("Number", end(item.n))

    elif place == "thread":

        @work.handler
        def in_thread(item: Number, _: Context) -> Number:
            return cast("Number", end(item.n))

    else:

        @work.chunk_handler
        async def whole(items: list[Number], _: list[Context]) -> list[Any]:
            return [ENDS[item.n]() for item in items]

    dispatcher = Dispatcher()
    run_, recorder, runner = run_of(work, [0, 1, 2, 3, 4, 5, 6], dispatcher)
    await run_.run()
    unclear = ("failed", "needs_review")
    assert codes(recorder) == [
        ("succeeded", None),
        ("continued", None),
        ("retry", "busy"),
        ("retry", "rate_limited"),
        *[unclear] * 3,
    ]
    assert dispatcher.ordinals == list(range(7))
    assert len(dispatcher.asked) < 7, "those that begin together share a question"
    assert (runner.slots.busy, runner.unfinished) == (0, 0)


async def test_a_timeout_and_an_abandoned_handler_need_review() -> None:
    work = workload(limits=Limits(item_timeout_s=0.02), retry=Retry(repeatable=False))
    deaf = asyncio.Event()

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        while item.n and not deaf.is_set():
            try:
                await deaf.wait()
            except asyncio.CancelledError:
                continue
        await asyncio.Event().wait()
        return item

    run_, recorder, _ = run_of(work, [0, 1], Dispatcher())
    await run_.run()
    assert codes(recorder) == [("failed", "needs_review")] * 2
    deaf.set()


@pytest.mark.parametrize(("cancelled", "ended"), [(False, ("failed", "needs_review")), (True, ("cancelled", None))])
async def test_started_items_of_a_stopping_worker_do_not_run_elsewhere(
    cancelled: bool, ended: tuple[str, str | None]
) -> None:
    work = workload(limits=Limits(concurrency=2), retry=Retry(repeatable=False))
    begun = asyncio.Semaphore(0)

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        begun.release()
        await asyncio.Event().wait()
        return item

    run_, recorder, _ = run_of(work, [1, 1, 1], Dispatcher())
    running = asyncio.create_task(run_.run())
    await begun.acquire()
    await begun.acquire()
    run_.stop(cancelled=cancelled)
    await running
    third = ("cancelled", None) if cancelled else ("retry", "worker_stopping")
    assert codes(recorder) == [ended, ended, third]


async def test_a_chunk_held_by_another_worker_starts_and_ends_nothing() -> None:
    work = workload(limits=Limits(concurrency=1), retry=Retry(repeatable=lambda item, _: item.n == 0))
    ran = []

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        ran.append(item.n)
        return item

    dispatcher = Dispatcher(False)
    run_, recorder, runner = run_of(work, [0, 1, 2, 0], dispatcher)
    await run_.run()
    assert (ran, codes(recorder)) == ([0], [("succeeded", None)])
    assert not any(report.final for report in recorder.reports)
    assert (runner.slots.busy, runner.unfinished) == (0, 0)
    assert len(dispatcher.asked) == 1


async def test_an_item_waits_for_a_dispatcher_that_is_away() -> None:
    work = workload(retry=Retry(repeatable=False))

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        return item

    dispatcher = Dispatcher(QueryTimeout(), QueryTimeout())
    run_, recorder, _ = run_of(work, [1], dispatcher)
    await run_.run()
    assert codes(recorder) == [("succeeded", None)]
    assert [question.ordinals for question in dispatcher.asked] == [[0]] * 3


async def test_repeatable_items_request_no_permit() -> None:
    work = workload(retry=Retry(repeatable=lambda _, context: context.state is not None))

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        raise KeyError(item.n)

    dispatcher = Dispatcher()
    run_, recorder, _ = run_of(work, [1], dispatcher)
    run_.chunk.items[0] = run_.chunk.items[0].model_copy(update={"state": "job 1"})
    await run_.run()
    assert (codes(recorder), dispatcher.asked) == ([("retry", "internal_error")], [])


async def test_a_repeatable_function_that_raises_counts_as_false() -> None:
    work = workload(retry=Retry(repeatable=lambda item, _: 1 / item.n > 0))

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        raise KeyError(item.n)

    run_, recorder, _ = run_of(work, [0, 1], Dispatcher())
    await run_.run()
    assert codes(recorder) == [("failed", "needs_review"), ("retry", "internal_error")]


@pytest.mark.parametrize(
    ("change", "rerun"), [({}, False), ({"fence": 2}, True), ({"fence": 1, "quarantined": True}, True)]
)
async def test_a_handler_is_told_that_an_earlier_run_may_have_been_cut_off(change: dict[str, Any], rerun: bool) -> None:
    work = workload()
    reruns = []

    @work.handler
    async def run(item: Number, context: Context) -> Number:
        reruns.append(context.rerun)
        return item

    run_, _, _ = run_of(work, [1], Dispatcher())
    run_.chunk = run_.chunk.model_copy(update={"fence": 1} | change)
    await run_.run()
    assert reruns == [rerun]

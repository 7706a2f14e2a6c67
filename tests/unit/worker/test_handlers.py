"""Handlers of every kind: on the event loop, in threads, in processes, for an item or a whole chunk."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import psutil
import pytest

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.work import ChunkItem
from batchyard_contracts.workload import Context, Limits, Permanent, Workload
from services.worker.execution.chunk_execution import ChunkExecution
from services.worker.execution.item_runner import ItemRunner
from shared.runtime.errors import ConfigurationError
from tests.support.chunk_runs import FakeCache, Number, Recorder, chunk, run_of, workload
from tests.support.own_processes import Deed, Done, by_chunk, one_by_one
from tests.support.patience import PATIENCE_S, until_true


async def test_a_plain_function_runs_in_a_thread_and_leaves_the_event_loop_alone() -> None:
    work = workload(limits=Limits(concurrency=4))
    together = threading.Barrier(4)

    @work.handler
    def run(item: Number, context: Context) -> Number:
        assert threading.current_thread() is not threading.main_thread()
        assert context.resources == "resources"
        together.wait(10)
        return Number(n=item.n * item.n)

    chunk_run, recorder, runner = run_of(work, range(8))
    await chunk_run.run()
    assert [recorder.outcomes[i].result for i in range(8)] == [{"n": i * i} for i in range(8)]
    assert runner.threads.stuck_threads == 0


@pytest.mark.parametrize("error", [Permanent("no"), StopIteration(), KeyboardInterrupt(), SystemExit(2)])
async def test_an_exception_in_a_thread_is_the_outcome_of_its_item(error: BaseException) -> None:
    work = workload()

    @work.handler
    def run(item: Number, _: Context) -> Number:
        if item.n:
            raise error
        return item

    chunk_run, recorder, _ = run_of(work, [0, 1])
    await chunk_run.run()
    assert recorder.outcomes[0].status == "succeeded"
    assert recorder.outcomes[1].status == ("failed" if isinstance(error, Permanent) else "retry")


async def test_a_thread_that_reaches_its_time_limit_is_told_to_stop() -> None:
    work = workload(limits=Limits(item_timeout_s=0.05))

    @work.handler
    def run(_: Number, context: Context) -> Number:
        assert context.stop_event is not None
        assert context.stop_event.wait(10)
        assert context.is_stopping
        raise ValueError("given up")

    chunk_run, recorder, _ = run_of(work, [1])
    await chunk_run.run()
    error = recorder.outcomes[0].error
    assert error is not None
    assert error.code == "timeout"


async def test_a_thread_that_does_not_end_is_abandoned_and_replaced() -> None:
    work = workload(limits=Limits(item_timeout_s=0.05, concurrency=1))
    gate = threading.Event()

    @work.handler
    def run(item: Number, _: Context) -> Number:
        if item.n == 0:
            gate.wait(10)
        return item

    recorder = Recorder()
    runner = ItemRunner(work, None, cast("Any", recorder), cast("Any", FakeCache()), "w", grace_s=0.05)
    runner.unfinished += 3
    await ChunkExecution(runner, chunk(0, 1, 2), None, 0.01).run()
    assert _codes(recorder) == ["timeout", None, None]
    assert (runner.threads.stuck_threads, runner.slots.busy, runner.unfinished) == (1, 0, 0)
    gate.set()
    await until_true(lambda: not runner.stuck_handlers)
    assert sum(len(report.outcomes) for report in recorder.reports) == 3


async def test_one_handler_that_does_not_end_does_not_end_its_chunk() -> None:
    work = workload(limits=Limits(item_timeout_s=0.05, concurrency=2))
    gate = asyncio.Event()

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        while item.n % 3 == 0 and not gate.is_set():
            with suppress(asyncio.CancelledError):
                await gate.wait()
        return item

    recorder = Recorder()
    runner = ItemRunner(work, None, cast("Any", recorder), cast("Any", FakeCache()), "w", grace_s=0.02)
    runner.unfinished += 9
    await ChunkExecution(runner, chunk(*range(9)), None, 0.01).run()
    assert _codes(recorder) == [None if n % 3 else "timeout" for n in range(9)]
    assert (runner.stuck_handlers, runner.slots.busy, runner.unfinished) == (3, 0, 0)
    gate.set()
    async with asyncio.timeout(PATIENCE_S):
        while runner.stuck_handlers:  # noqa: ASYNC110  they end by themselves
            await asyncio.sleep(0)
    assert sum(len(report.outcomes) for report in recorder.reports) == 9


@pytest.mark.parametrize("plain", [False, True])
async def test_a_chunk_handler_answers_for_each_item(plain: bool) -> None:
    work = workload(limits=Limits(concurrency=1))

    def answers(items: list[Number], contexts: list[Context]) -> list[Number | Exception]:
        assert [context.ordinal for context in contexts] == [0, 1, 2]
        return [Number(n=items[0].n * 2), Permanent("too_odd"), ValueError("not foreseen")]

    async def answers_later(items: list[Number], contexts: list[Context]) -> list[Number | Exception]:
        return answers(items, contexts)

    if plain:
        work.chunk_handler(cast("Any", answers))
    else:
        work.chunk_handler(cast("Any", answers_later))
    chunk_run, recorder, runner = run_of(work, [1, 2, 3])
    await chunk_run.run()
    assert work.manifest.whole_chunks
    assert recorder.outcomes[0].result == {"n": 2}
    assert _codes(recorder) == [None, "too_odd", "internal_error"]
    assert [recorder.outcomes[i].status for i in range(3)] == ["succeeded", "failed", "retry"]
    assert runner.unfinished == 0


async def test_an_item_that_its_model_refuses_is_not_shown_to_a_chunk_handler() -> None:
    work = workload()

    @work.chunk_handler
    async def run(items: list[Number], _: list[Context]) -> list[Number]:
        return [Number(n=item.n + 1) for item in items]

    mixed = chunk(1, 2, 3)
    _, recorder, runner = run_of(work, [1, 2, 3])
    bad = ChunkItem(ordinal=1, payload={"n": "two"})
    await ChunkExecution(
        runner, mixed.model_copy(update={"items": [mixed.items[0], bad, mixed.items[2]]}), None, 0.01
    ).run()
    assert _codes(recorder) == [None, "invalid_item", None]
    assert recorder.outcomes[2].result == {"n": 4}


@pytest.mark.parametrize("answers", [[], [Number(n=1)] * 3, None, {}])
async def test_a_wrong_number_of_answers_fails_all_and_says_so(answers: Any) -> None:
    work = workload()

    @work.chunk_handler
    async def run(items: list[Number], contexts: list[Context]) -> Any:
        return answers

    chunk_run, recorder, _ = run_of(work, [1, 2])
    await chunk_run.run()
    assert _codes(recorder) == ["wrong_answers"] * 2
    assert {outcome.status for outcome in recorder.outcomes.values()} == {"failed"}
    error = recorder.outcomes[0].error
    assert error is not None
    assert "The chunk handler returned" in error.message


async def test_an_exception_of_a_chunk_handler_counts_for_all_items() -> None:
    work = workload()

    @work.chunk_handler
    def run(items: list[Number], contexts: list[Context]) -> list[Number]:
        raise Permanent("closed", scope="provider")

    chunk_run, recorder, _ = run_of(work, [1, 2])
    await chunk_run.run()
    assert _codes(recorder) == ["closed"] * 2


async def test_a_chunk_handler_has_one_time_for_the_call_and_is_cancelled_as_one() -> None:
    work = workload(limits=Limits(item_timeout_s=0.05))

    @work.chunk_handler
    async def run(items: list[Number], contexts: list[Context]) -> list[Number]:
        await asyncio.Event().wait()
        return items

    chunk_run, recorder, _ = run_of(work, [1, 2])
    await chunk_run.run()
    assert _codes(recorder) == ["timeout"] * 2
    slow = workload()
    slow.chunk_handler(run)
    chunk_run, recorder, runner = run_of(slow, [1, 2])
    running = asyncio.create_task(chunk_run.run())
    while not runner.slots.busy:  # noqa: ASYNC110  it begins
        await asyncio.sleep(0)
    chunk_run.stop(cancelled=True)
    await running
    assert {outcome.status for outcome in recorder.outcomes.values()} == {"cancelled"}


async def test_a_process_answers_as_a_handler_does(tmp_path: Path) -> None:
    async with _process_pool(one_by_one) as run:
        outcomes = await run([Deed(), Deed(what="refuse"), Deed(what="later"), Deed(what="sys.exit")])
    done = Done.model_validate(outcomes[0].result)
    assert done.pid != os.getpid()
    assert done.key == f"{UUID(int=2)}:0:2"
    assert [o.status for o in outcomes] == ["succeeded", "failed", "continued", "retry"]
    assert (outcomes[2].state, outcomes[2].delay_s) == ("begun", 3)
    assert not psutil.pid_exists(done.pid)


@pytest.mark.parametrize(
    ("deed", "says"), [("exit", "exited with code 3"), ("kill", "SIGKILL"), ("segfault", "SIGSEGV")]
)
async def test_a_process_that_dies_takes_only_its_item_along(deed: str, says: str) -> None:
    async with _process_pool(one_by_one) as run:
        outcomes = await run([Deed(), Deed(what=deed), Deed(), Deed()])
    assert [o.status for o in outcomes] == ["succeeded", "retry", "succeeded", "succeeded"]
    error = outcomes[1].error
    assert error is not None
    assert error.code == "process_died"
    assert says in error.message


async def test_in_a_chunk_the_item_that_kills_its_process_is_found_by_halving() -> None:
    async with _process_pool(by_chunk) as run:
        outcomes = await run([Deed(what="exit" if i == 5 else "answer") for i in range(9)])
    assert [i for i, o in enumerate(outcomes) if o.status != "succeeded"] == [5]
    assert _code(outcomes[5]) == "process_died"


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_process_is_killed_when_time_is_up_and_when_its_batch_is_cancelled(
    tmp_path: Path, *, cancelled: bool
) -> None:
    file = tmp_path / "pid"
    deeds = [Deed(what="sleep", file=str(file))]
    work = one_by_one if cancelled else _with(one_by_one, limits=Limits(item_timeout_s=0.3))
    async with _process_pool(work) as run:
        running = asyncio.create_task(run(deeds))
        await until_true(lambda: file.exists() and file.read_text("utf-8"))
        if cancelled:
            run.chunk_run.stop(cancelled=True)
        (outcome,) = await running
    assert outcome.status == ("cancelled" if cancelled else "retry")
    assert _code(outcome) == (None if cancelled else "timeout")
    assert not psutil.pid_exists(int(file.read_text("utf-8")))


async def test_the_start_of_another_process_is_not_taken_from_the_time_of_the_next_item() -> None:
    quick = _with(one_by_one, limits=Limits(item_timeout_s=0.3, concurrency=1))  # a start takes longer
    async with _process_pool(quick) as run:
        outcomes = await run([Deed(what="sleep"), Deed(), Deed()])
    assert [_code(outcome) for outcome in outcomes] == ["timeout", None, None]


async def test_a_handler_that_no_process_can_import_is_an_error_at_the_start() -> None:
    work = _with(one_by_one)
    runner = ItemRunner(work, None, cast("Any", Recorder()), cast("Any", FakeCache()), "w")
    assert runner._process_pool is not None
    runner._process_pool._load_request["function"] = "tests.support.own_processes:gone"
    with pytest.raises(ConfigurationError, match=r"'deeds'.*gone"):
        await runner.start()
    await runner.stop()


def test_a_function_that_cannot_be_a_handler_is_refused_by_the_decorator() -> None:
    async def later(item: Number, context: Context) -> Number:
        return item

    def local(item: Number, context: Context) -> Number:
        return item

    with pytest.raises(TypeError, match="plain `def`"):
        workload().handler(cpu_bound=True)(cast("Any", later))
    with pytest.raises(TypeError, match="top of a module"):
        workload().handler(cpu_bound=True)(local)
    work = workload()
    work.handler(local)
    with pytest.raises(TypeError, match="two handlers"):
        work.handler(later)


class _Run:
    """Runs deeds as a chunk."""

    def __init__(self, runner: ItemRunner, recorder: Recorder) -> None:
        self._runner, self._recorder = runner, recorder
        self.chunk_run: ChunkExecution

    async def __call__(self, deeds: Sequence[Deed]) -> list[ItemOutcome]:
        items = [ChunkItem(ordinal=i, payload=deed.model_dump()) for i, deed in enumerate(deeds)]
        self._runner.unfinished += len(items)
        self.chunk_run = ChunkExecution(self._runner, chunk(1).model_copy(update={"items": items}), None, 0.01)
        await self.chunk_run.run()
        return [self._recorder.outcomes[i] for i in range(len(items))]


@asynccontextmanager
async def _process_pool(work: Workload[Deed, Done]) -> AsyncIterator[_Run]:
    recorder = Recorder()
    runner = ItemRunner(work, None, cast("Any", recorder), cast("Any", FakeCache()), "w")
    await runner.start()
    try:
        yield _Run(runner, recorder)
    finally:
        await runner.stop()


def _with(work: Workload[Deed, Done], **settings: Any) -> Workload[Deed, Done]:
    made = Workload(work.name, version="1", item=work.item, result=work.result, **settings)
    made.handler(cpu_bound=True)(work.handler_definition.function)
    return made


def _codes(recorder: Recorder) -> list[str | None]:
    return [_code(outcome) for _, outcome in sorted(recorder.outcomes.items())]


def _code(outcome: ItemOutcome) -> str | None:
    return outcome.error.code if outcome.error else None

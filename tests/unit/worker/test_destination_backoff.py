"""Destinations that say when they take no more calls: what of a chunk still starts, and what the dispatcher hears."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.manifest import CircuitRule
from batchyard_contracts.v1.values import ItemError
from batchyard_contracts.v1.work import ChunkItem
from batchyard_contracts.workload import Context, Expansion, Limits, RateLimited, Retry
from services.worker.caching.result_cache import ResultCache
from services.worker.domain.outcome import RATE_LIMIT_PAUSE_S
from services.worker.execution.chunk_execution import ChunkExecution
from services.worker.execution.item_runner import ItemRunner
from services.worker.limits import rate_gate
from services.worker.limits.rate_gate import RateGates
from shared.messaging.publisher import Publisher
from shared.redis.rate_reservations import KeyRate, RateReservations, ReservedStarts
from tests.support.chunk_runs import FakeCache, Number, Recorder, chunk, paced, run_of, workload


class Line:
    """Reservations of one process."""

    def __init__(self) -> None:
        self.parked: list[float] = []

    async def reserve(self, _: Sequence[KeyRate], __: int, *, prefetch: bool = False) -> list[ReservedStarts]:
        return [ReservedStarts(-max(self.parked), 0)] if self.parked else [ReservedStarts(0.0, 1)]

    async def back_off(self, _: str, seconds: float) -> None:
        self.parked.append(seconds)


def says_at_two(say: Callable[[Context], None], **settings: Any) -> tuple[Any, list[int]]:
    """A workload whose destination reports its remaining calls with the third item, and the items that ran."""
    work, ran = workload(limits=Limits(concurrency=1), **settings), list[int]()

    @work.handler
    async def run(item: Number, context: Context) -> Number:
        ran.append(item.n)
        if item.n == 2:
            say(context)
        return item

    return work, ran


def refuse(delay_s: float | None) -> Callable[[Context], None]:
    def say(_: Context) -> None:
        raise RateLimited(delay_s)

    return say


def held(outcome: ItemOutcome) -> float:
    """For how long an item is held back."""
    assert outcome.status == "retry"
    assert outcome.error is not None
    assert outcome.error.code == "held_back"
    assert outcome.delay_s is not None
    return outcome.delay_s


@pytest.mark.parametrize(
    ("say", "pause_s", "status"),
    [
        (lambda context: context.report_remaining(0, 60.0), 60.0, "succeeded"),
        (
            lambda context: context.report_headers({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"}),
            60.0,
            "succeeded",
        ),
        (refuse(60.0), 60.0, "retry"),
        (refuse(None), RATE_LIMIT_PAUSE_S, "retry"),
    ],
)
async def test_items_without_a_rate_do_not_start_while_their_destination_backs_off(
    say: Callable[[Context], None], pause_s: float, status: str
) -> None:
    work, ran = says_at_two(say)
    run, recorder, runner = run_of(work, [0, 1, 2, 3, 4])
    await run.run()
    assert ran == [0, 1, 2]
    assert recorder.outcomes[2].status == status
    assert recorder.outcomes[2].delay_s == (pause_s if status == "retry" else None)
    assert recorder.outcomes[2].guessed == (True if pause_s == RATE_LIMIT_PAUSE_S else None)
    for ordinal in (3, 4):
        assert pause_s - 5 < held(recorder.outcomes[ordinal]) <= pause_s
    elsewhere = chunk(2).model_copy(update={"partition": "another"})
    runner.unfinished += 1
    await ChunkExecution(runner, elsewhere, None, 0.01).run()
    assert ran == [0, 1, 2, 2]
    assert runner.slots.busy == 0


async def test_remaining_calls_are_made_and_their_number_is_reported() -> None:
    work, ran = says_at_two(lambda context: context.report_remaining(7, 60.0))
    run, recorder, _ = run_of(work, [0, 1, 2, 3])
    await run.run()
    assert ran == [0, 1, 2, 3]
    reported = [
        (r.feedback.remaining, r.feedback.reset_s)
        for r in recorder.reports
        if r.feedback and r.feedback.remaining is not None
    ]
    assert reported == [(7, 60.0)]


async def test_an_answer_without_remaining_calls_backs_off_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_gate, "_CLOSED_S", 60.0)
    work, ran = says_at_two(lambda context: context.report_remaining(0, 60.0))
    line, recorder = Line(), Recorder()
    gates = RateGates(work.name, cast("RateReservations", line))
    publisher, cache = cast("Publisher", recorder), cast("ResultCache", FakeCache())
    runner = ItemRunner(work, None, publisher, cache, "w1", None, 0.02, gates)
    runner.unfinished += 5
    await ChunkExecution(runner, paced(chunk(0, 1, 2, 3, 4)), None, 0.01).run()
    assert (ran, line.parked) == ([0, 1, 2], [60.0])
    assert [held(recorder.outcomes[n]) > 50 for n in (3, 4)] == [True, True]
    feedback = [r.feedback for r in recorder.reports if r.feedback]
    assert sum(f.answered for f in feedback) == 3
    assert {f.remaining for f in feedback if f.remaining is not None} == {0}


async def test_reports_of_a_chunk_handler_and_of_a_thread_count_too() -> None:
    whole, thread = workload(), workload(limits=Limits(concurrency=1))

    @whole.chunk_handler
    async def at_once(items: list[Number], contexts: list[Context]) -> list[Number]:
        contexts[-1].report_remaining(0, 60.0)
        return items

    @thread.handler
    def aside(item: Number, context: Context) -> Number:
        context.report_remaining(0, 60.0)
        return item

    for work in (whole, thread):
        run, recorder, runner = run_of(work, [1, 2])
        await run.run()
        assert recorder.outcomes[0].status == "succeeded"
        assert runner.backoff.remaining_s("") > 50


@pytest.mark.parametrize("reason", ["pause", "refusal", "rate"])
async def test_a_source_passes_the_limits_of_items(reason: str) -> None:
    """A source starts neither in a pause or after a refusal of its destination, nor before its reserved time."""
    work, found = workload(retry=Retry(circuit=CircuitRule())), list[int]()

    @work.source(Number)
    async def expand(source: Number, _: Context) -> Expansion:
        found.append(source.n)
        return Expansion([])

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        return item

    _, recorder, runner = run_of(work, [7])
    given = chunk(7).model_copy(update={"items": [ChunkItem(ordinal=0, payload={"n": 7}, source=True)]})
    if reason == "rate":
        runner.rate_gates = RateGates("squares", cast("RateReservations", Closed()))
        given = paced(given)
    execution = ChunkExecution(runner, given, None, 0.01)
    if reason == "pause":
        runner.backoff.back_off("", 60.0)
    elif reason == "refusal":
        runner.backoff.record_refusal("", ItemError(code="captcha", scope="provider"))
    await execution.run()
    assert found == []
    outcome = recorder.outcomes[0]
    assert outcome.status == "retry"
    assert outcome.error is not None
    assert (outcome.error.code, runner.slots.busy) == ("captcha" if reason == "refusal" else "held_back", 0)


class Closed:
    """Reservations that allow nothing for a minute."""

    async def reserve(self, *_: object, **__: object) -> list[ReservedStarts]:
        return [ReservedStarts(-60.0, 0)]

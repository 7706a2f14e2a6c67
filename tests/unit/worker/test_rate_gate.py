"""The rate gate starts items at reserved times with few requests to Redis."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from batchyard_contracts.v1.work import ChunkRates, SharedRate
from batchyard_contracts.workload import Context, Limits
from services.worker.execution.chunk_execution import ChunkExecution
from services.worker.limits.paced_start import PacedStart
from services.worker.limits.rate_gate import RateGate, RateGates, WaitTooLong
from services.worker.limits.slots import Slots
from shared.redis.rate_reservations import LATENESS_S, MAX_WAIT_S, KeyRate, RateReservations, ReservedStarts
from tests.support.chunk_runs import Number, chunk, paced, run_of, workload


class Granted:
    """Fake reservations that grant a number of starts at the same time and count the requests."""

    def __init__(self, in_s: float = 0.0, at_a_time: int = 1000) -> None:
        self.in_s, self.at_a_time = in_s, at_a_time
        self.wanted: list[int] = []

    async def reserve(self, _: Sequence[KeyRate], wanted: int, *, prefetch: bool = False) -> list[ReservedStarts]:
        self.wanted.append(wanted)
        await asyncio.sleep(0)
        return [ReservedStarts(self.in_s, 0 if self.in_s < 0 else min(wanted, self.at_a_time))]


def gate(granted: Granted) -> RateGate:
    made = RateGate("squares", cast("RateReservations", granted))
    made.update_rates(ChunkRates(keys=[SharedRate(key="k", per_second=1000)]))
    return made


async def test_a_limit_that_does_not_bind_costs_one_reservation_for_a_chunk() -> None:
    work, granted, tasks = workload(limits=Limits(concurrency=10)), Granted(), set[object]()

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        tasks.add(asyncio.current_task())
        return item

    first, recorder, runner = run_of(work, [1])
    runner.rate_gates = RateGates("squares", cast("RateReservations", granted))
    for _ in range(3):
        await ChunkExecution(runner, paced(chunk(*range(200))), None, 0.01).run()
    assert sum(len(report.outcomes) for report in recorder.reports) == 600
    assert len(granted.wanted) < 600 / 10, "a grant that was not used in time is asked for again, not item by item"
    assert max(granted.wanted) == 200
    assert len(tasks) < 600 / 10
    assert sum(report.feedback.answered for report in recorder.reports if report.feedback) == 600
    first.stop(cancelled=False)


async def test_items_that_wait_hold_no_more_moments_than_there_are_slots() -> None:
    work, granted = workload(limits=Limits(concurrency=4)), Granted()

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        await asyncio.sleep(0.02)  # no quick item, of which one slot could serve many
        return item

    first, _, runner = run_of(work, [1])
    runner.rate_gates = RateGates("squares", cast("RateReservations", granted))
    await ChunkExecution(runner, paced(chunk(*range(40))), None, 0.01).run()
    assert max(granted.wanted) <= 4
    first.stop(cancelled=False)


async def test_a_moment_that_was_missed_is_given_up_for_another() -> None:
    granted = Granted()
    held = gate(granted)
    paced_start = PacedStart(held, Slots(10))
    await paced_start.acquire(1, 5)
    assert paced_start.try_acquire()
    await asyncio.sleep(1.5 * LATENESS_S)
    assert not paced_start.try_acquire()
    await paced_start.acquire(1, 3)
    assert granted.wanted == [5, 3]


async def test_items_whose_start_is_far_away_are_returned_after_one_reservation() -> None:
    work, granted = workload(limits=Limits(concurrency=10)), Granted(in_s=-2 * MAX_WAIT_S)

    @work.handler
    async def run(item: Number, _: Context) -> Number:
        raise AssertionError(item)

    first, recorder, runner = run_of(work, [1])
    runner.rate_gates = RateGates("squares", cast("RateReservations", granted))
    await ChunkExecution(runner, paced(chunk(*range(100))), None, 0.01).run()
    delays = [outcome.delay_s or 0.0 for outcome in recorder.outcomes.values()]
    assert len(delays) == 100
    assert all(MAX_WAIT_S < delay <= 2 * MAX_WAIT_S for delay in delays)
    assert len(granted.wanted) <= 2
    first.stop(cancelled=False)


class Forgetful(Granted):
    """Reservations that forget a pause at once, as Redis does that has lost its data."""

    def __init__(self, *, is_away: bool = False) -> None:
        super().__init__()
        self.is_away = is_away
        self.pauses_s: list[float] = []

    async def reserve(self, rates: Sequence[KeyRate], wanted: int, *, prefetch: bool = False) -> Any:
        return None if self.is_away else await super().reserve(rates, wanted, prefetch=prefetch)

    async def back_off(self, _: str, seconds: float) -> None:
        self.pauses_s.append(seconds)


@pytest.mark.parametrize("is_away", [False, True])
async def test_a_long_pause_holds_although_redis_does_not_know_it(is_away: bool) -> None:
    forgetful = Forgetful(is_away=is_away)
    held = gate(forgetful)
    await held.back_off(60.0)
    with pytest.raises(WaitTooLong) as refused:
        await held.reserve(1)
    assert 59 < refused.value.delay_s <= 60


async def test_a_short_pause_is_told_to_redis_again_before_the_next_start() -> None:
    forgetful = Forgetful()
    held = gate(forgetful)
    await held.back_off(2.0)
    await held.reserve(1)
    assert [round(pause_s) for pause_s in forgetful.pauses_s] == [2, 2]


async def test_a_short_pause_holds_without_redis() -> None:
    held = gate(Forgetful(is_away=True))
    await held.back_off(2.0)
    now = asyncio.get_running_loop().time()
    assert (await held.reserve(1)).earliest >= now + 1.9

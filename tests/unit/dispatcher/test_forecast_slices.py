"""A simulation lets others run: no slice of it is long, whatever the load."""

import asyncio
import time
from collections.abc import Generator

from services.dispatcher.domain.forecasting.load import BatchLoad, Service, Strand, WorkloadLoad
from services.dispatcher.domain.forecasting.load_builder import MAX_BATCHES, MAX_STRANDS, BatchWork, DestinationWork
from services.dispatcher.domain.forecasting.simulation import simulate
from services.dispatcher.forecasts.slices import run_in_slices
from services.dispatcher.forecasts.work_reader import together


def counted(steps: int) -> Generator[None, None, str]:
    for _ in range(steps):
        time.thread_time()
        yield
    return "done"


async def test_the_value_and_its_cost_are_returned() -> None:
    value, cost_s = await run_in_slices(counted(1000))
    assert value == "done"
    assert 0 < cost_s < 1


async def test_others_run_during_the_largest_simulation() -> None:
    service = Service(1.0, 1.0, 50)
    batches = tuple(BatchLoad(f"o{number % 5}", number % 3, 1 + number) for number in range(MAX_BATCHES))
    strands = tuple(Strand(number % MAX_BATCHES, 10 + number, service) for number in range(MAX_STRANDS))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(others())
    ends, cost_s = await run_in_slices(simulate(WorkloadLoad(100, batches, strands), 1))
    running.cancel()
    assert len(ends) == MAX_BATCHES
    assert cost_s / turns < 0.002, "seconds of a slice, on average"


async def test_batches_that_are_taken_together_wait_for_their_retries_as_long_as_on_average() -> None:
    first = DestinationWork("a", waiting=1, later=3, later_s=100.0, last_s=200.0)
    second = DestinationWork("a", later=1, later_s=20.0, last_s=20.0)
    without = DestinationWork("a", waiting=5)
    works = [BatchWork(BatchLoad("o"), [one]) for one in (first, second, without)]
    work, _ = await run_in_slices(together(works))
    assert work.destinations == [DestinationWork("a", waiting=6, later=4, later_s=80.0, last_s=200.0)]

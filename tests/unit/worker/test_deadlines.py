"""Items that take too long are interrupted, and nothing else is."""

import asyncio
import time
from contextlib import suppress

import pytest

from services.worker.execution.deadlines import Deadlines


def deadlines_of(limit_s: float) -> Deadlines:
    return Deadlines(limit_s, 5, lambda _: None)


async def test_work_that_ends_in_time_gives_its_value() -> None:
    assert await deadlines_of(10).run(asyncio.sleep(0, "done")) == "done"


async def test_each_item_is_interrupted_when_its_own_time_is_up() -> None:
    deadlines = deadlines_of(0.1)
    ended: list[tuple[int, float]] = []
    began = time.monotonic()

    async def item(number: int, after: float) -> None:
        await asyncio.sleep(after)
        start = time.monotonic()
        with pytest.raises(TimeoutError, match=r"No end after 0\.1 s"):
            await deadlines.run(asyncio.Event().wait())
        ended.append((number, time.monotonic() - start))

    await asyncio.gather(item(1, 0), item(2, 0.05), item(3, 0.2))
    assert [number for number, _ in ended] == [1, 2, 3]
    assert all(taken >= 0.099 for _, taken in ended)
    assert time.monotonic() - began >= 0.299


async def test_a_task_goes_on_after_an_interruption() -> None:
    deadlines = deadlines_of(0.02)
    with pytest.raises(TimeoutError):
        await deadlines.run(asyncio.Event().wait())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await deadlines.run(asyncio.sleep(0, "next")) == "next"


async def test_a_cancel_from_outside_is_no_timeout() -> None:
    task = asyncio.create_task(deadlines_of(10).run(asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_ends_at_the_very_moment_leaves_no_interruption_behind() -> None:
    deadlines = deadlines_of(0.02)

    async def ends_late() -> str:
        interrupted = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.02, interrupted.set_result, None)
        try:
            await interrupted
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "shrugged"  # user code that swallows its cancellation
        raise AssertionError

    assert await deadlines.run(ends_late()) == "shrugged"
    assert await asyncio.sleep(0.01, "alive") == "alive"


async def test_an_error_of_the_work_passes_through() -> None:
    async def fails() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await deadlines_of(10).run(fails())


async def test_work_that_never_waits_gives_its_value_or_its_error_at_once() -> None:
    async def never_waits(value: int) -> int:
        return 10 // value

    deadlines = deadlines_of(0.0)
    assert await deadlines.run(never_waits(2)) == 5
    with pytest.raises(ZeroDivisionError):
        await deadlines.run(never_waits(0))


async def test_work_runs_in_the_task_that_awaits_it_and_may_catch_what_is_thrown_in() -> None:
    async def work() -> tuple[bool, str]:
        caught = ""
        for _ in range(3):
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            caught = "its own"
        return asyncio.current_task() is task, caught

    task = asyncio.current_task()
    assert await deadlines_of(10).run(work()) == (True, "its own")


async def test_work_that_ignores_its_interruption_is_given_up_after_a_grace() -> None:
    given_up = asyncio.get_running_loop().create_future()
    deadlines, gate = Deadlines(0.01, 0.02, given_up.set_result), asyncio.Event()

    async def stubborn() -> str:
        while not gate.is_set():
            with suppress(asyncio.CancelledError):
                await gate.wait()
        return "late"

    task = asyncio.create_task(deadlines.run(stubborn()))
    assert await given_up is task
    gate.set()
    assert await task == "late"


async def test_work_that_ends_within_its_grace_is_not_given_up() -> None:
    given_up: list[object] = []
    deadlines = Deadlines(0.01, 0.05, given_up.append)

    async def tidies_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)

    with pytest.raises(TimeoutError):
        await deadlines.run(tidies_up())
    await asyncio.sleep(0.1)  # nothing but time tells that nothing happens
    assert given_up == []

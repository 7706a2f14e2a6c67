"""Owners begin their work in turn."""

import asyncio

from shared.runtime.owner_turns import OwnerTurns
from tests.support.patience import PATIENCE_S


async def begun_in_order(*arrivals: str) -> list[str]:
    """Return the owners in the order in which they began, when their work has come at once."""
    turns, begun = OwnerTurns(), list[str]()

    async def work(owner: str) -> None:
        await turns.take(owner)
        begun.append(owner)

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(work(owner) for owner in arrivals))
    return begun


async def test_an_owner_with_much_to_begin_keeps_no_other_waiting() -> None:
    begun = await begun_in_order(*["greedy"] * 100, "modest")
    assert begun.index("modest") <= 2
    assert len(begun) == 101


async def test_owners_who_wait_take_turns() -> None:
    assert await begun_in_order("a", "a", "a", "b", "b", "c") == ["a", "a", "b", "c", "a", "b"]


async def test_work_that_comes_alone_begins_at_once() -> None:
    turns = OwnerTurns()
    beginning = turns.take("a")
    try:
        beginning.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited for its turn")


async def test_one_begins_in_each_pass_of_the_loop() -> None:
    turns, passes = OwnerTurns(), list[int]()
    current = 0

    async def count() -> None:
        nonlocal current
        while len(passes) < 5:
            await asyncio.sleep(0)
            current += 1

    async def work() -> None:
        await turns.take("a")
        passes.append(current)

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(count(), *(work() for _ in range(5)))
    assert len(set(passes)) == 5


async def test_a_cancelled_one_gives_its_turn_to_the_next() -> None:
    turns, begun = OwnerTurns(), list[str]()

    async def work(owner: str) -> None:
        await turns.take(owner)
        begun.append(owner)

    tasks = [asyncio.create_task(work(owner)) for owner in ("a", "b", "c")]
    await asyncio.sleep(0)
    tasks[1].cancel()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*tasks, return_exceptions=True)
        await turns.take("d")
    assert begun == ["a", "c"]

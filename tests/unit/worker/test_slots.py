"""Places for calls, which grow and shrink with the load."""

import asyncio

import pytest

from services.worker.limits.slots import Slots


def counts(slots: Slots) -> tuple[int, int]:
    return slots.busy, slots.open


def test_places_are_added_while_all_are_busy_up_to_the_most() -> None:
    slots = Slots(3)
    assert counts(slots) == (0, 1)
    assert [slots.take() for _ in range(4)] == [True, True, True, False]
    assert counts(slots) == (3, 3)


def test_places_that_nobody_needed_since_the_last_time_are_closed() -> None:
    slots = Slots(10)
    for _ in range(6):
        slots.take()
    for _ in range(4):
        slots.give()
    slots.trim()
    assert counts(slots) == (2, 6)  # all six were needed until now
    slots.take()
    slots.trim()
    assert counts(slots) == (3, 3)
    for _ in range(3):
        slots.give()
    slots.trim()
    slots.trim()
    assert counts(slots) == (0, 1)


async def test_whoever_waits_longest_has_the_next_place() -> None:
    slots, order = Slots(1), []
    slots.take()

    async def wait(name: str) -> None:
        await slots.taken()
        order.append(name)

    first, second = asyncio.create_task(wait("first")), asyncio.create_task(wait("second"))
    await asyncio.sleep(0)
    slots.give()
    await first
    assert order == ["first"]
    assert slots.busy == 1
    slots.give()
    await second
    slots.give()
    assert slots.busy == 0


@pytest.mark.parametrize("given", [False, True])
async def test_who_goes_away_while_waiting_leaves_its_place_to_the_next(given: bool) -> None:
    slots = Slots(1)
    slots.take()
    first, second = asyncio.create_task(slots.taken()), asyncio.create_task(slots.taken())
    await asyncio.sleep(0)
    if given:
        slots.give()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    if not given:
        slots.give()
    await second
    assert slots.busy == 1
    slots.give()
    assert slots.busy == 0

"""Places for calls, which grow and shrink with the load."""

import asyncio

import pytest

from services.worker.limits.slots import Slots


def counts(slots: Slots) -> tuple[int, int]:
    return slots.busy, slots.open


def test_slots_open_while_all_are_busy_up_to_the_maximum() -> None:
    slots = Slots(3)
    assert counts(slots) == (0, 1)
    assert [slots.try_acquire() for _ in range(4)] == [True, True, True, False]
    assert counts(slots) == (3, 3)


def test_slots_unused_since_the_last_trim_are_closed() -> None:
    slots = Slots(10)
    for _ in range(6):
        slots.try_acquire()
    for _ in range(4):
        slots.release()
    slots.trim()
    assert counts(slots) == (2, 6)  # all six were needed until now
    slots.try_acquire()
    slots.trim()
    assert counts(slots) == (3, 3)
    for _ in range(3):
        slots.release()
    slots.trim()
    slots.trim()
    assert counts(slots) == (0, 1)


async def test_the_longest_waiting_caller_gets_the_next_slot() -> None:
    slots, order = Slots(1), []
    slots.try_acquire()

    async def wait(name: str) -> None:
        await slots.acquire()
        order.append(name)

    first, second = asyncio.create_task(wait("first")), asyncio.create_task(wait("second"))
    await asyncio.sleep(0)
    slots.release()
    await first
    assert order == ["first"]
    assert slots.busy == 1
    slots.release()
    await second
    slots.release()
    assert slots.busy == 0


@pytest.mark.parametrize("given", [False, True])
async def test_a_cancelled_waiter_leaves_its_slot_to_the_next(given: bool) -> None:
    slots = Slots(1)
    slots.try_acquire()
    first, second = asyncio.create_task(slots.acquire()), asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)
    if given:
        slots.release()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    if not given:
        slots.release()
    await second
    assert slots.busy == 1
    slots.release()
    assert slots.busy == 0

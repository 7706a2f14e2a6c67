"""Commands of one batch run one after the other; those of different batches do not wait for each other."""

import asyncio
from uuid import UUID

from services.ingest.persistence.keyed_lock import KeyedLock

ONE, TWO = UUID(int=1), UUID(int=2)


async def test_one_key_is_held_in_the_order_of_arrival() -> None:
    lock, order = KeyedLock(), []
    gate = asyncio.Event()

    async def command(batch_id: UUID | None, name: str) -> None:
        async with lock.acquire(batch_id):
            if name == "first":
                await gate.wait()
            order.append(name)

    tasks = [
        asyncio.create_task(command(batch_id, name))
        for batch_id, name in ((ONE, "first"), (ONE, "second"), (TWO, "other"), (None, "none"), (ONE, "third"))
    ]
    await asyncio.wait(tasks[2:4])
    assert order == ["other", "none"]
    gate.set()
    await asyncio.gather(*tasks)
    assert order == ["other", "none", "first", "second", "third"]
    assert lock._locks == {}


async def test_an_error_or_a_cancellation_releases_the_lock() -> None:
    lock = KeyedLock()

    async def fail() -> None:
        async with lock.acquire(ONE):
            raise ValueError

    async with lock.acquire(ONE):
        waiting = [asyncio.create_task(fail()), asyncio.create_task(fail())]
        await asyncio.sleep(0)
        waiting[0].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, ValueError]
    assert lock._locks == {}

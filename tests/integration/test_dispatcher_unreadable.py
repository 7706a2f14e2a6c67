"""A stored item that cannot be read fails, or stops its batch with a reason: nothing waits for it for ever."""

import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from batchyard_contracts.v1.flow import BatchStopped, ItemOutcome
from batchyard_contracts.v1.queries import ItemsQuery
from devstack import Servers
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts

CUT, UNKNOWN = b'{"ordinal":1,"payload":{"n":', b"\x00\xff"
"""A line without its end, and one without an ordinal."""
_PAGE = "UPDATE pages SET items = $1 WHERE segment = 0"


@pytest.fixture
async def new_parts(clean: Servers) -> AsyncIterator[Callable[[], Parts]]:
    async with dispatcher_parts(clean) as new:
        yield new


async def damaged(make: Callable[[], Parts], line: bytes) -> tuple[Parts, uuid.UUID]:
    """Return a dispatcher with a batch of three items, the second of which is stored as this line."""
    earlier = make()
    batch_id = await earlier.add_batch({"": 3})
    lines = [b'{"ordinal":0,"payload":{}}', line, b'{"ordinal":2,"payload":{}}']
    await earlier.pool.execute(_PAGE, b"\n".join(lines))
    parts = make()
    parts.add_workload("w")
    await parts.components.load(lambda: None)
    return parts, batch_id


async def test_an_item_that_cannot_be_read_fails_and_the_others_run(new_parts: Callable[[], Parts]) -> None:
    parts, _ = await damaged(new_parts, CUT)
    async with parts.dispatching():
        await parts.until(lambda: bool(parts.outbox.chunks))
    (chunk,) = parts.outbox.chunks
    assert [item.ordinal for item in chunk.items] == [0, 2]
    assert parts.outbox.settled == [("failed", 1, "item_unreadable")]
    await parts.report(chunk, [ItemOutcome(ordinal=n, status="succeeded", result={}) for n in (0, 2)])
    assert (dict(parts.state.leases), await parts.count("leases")) == ({}, 0)


async def test_a_chunk_without_a_readable_item_ends(new_parts: Callable[[], Parts]) -> None:
    earlier = new_parts()
    await earlier.add_batch({"": 1})
    await earlier.pool.execute(_PAGE, b'{"ordinal":0,"payload":')
    parts = new_parts()
    parts.add_workload("w")
    await parts.components.load(lambda: None)
    async with parts.dispatching():
        await parts.until(lambda: bool(parts.outbox.settled) and not parts.state.leases)
    assert (parts.outbox.chunks, await parts.count("leases")) == ([], 0)
    assert parts.outbox.settled == [("failed", 0, "item_unreadable")]


async def test_an_item_without_an_ordinal_stops_its_batch_with_a_reason(new_parts: Callable[[], Parts]) -> None:
    parts, batch_id = await damaged(new_parts, UNKNOWN)
    async with parts.dispatching():
        await parts.until(lambda: bool(parts.batch_stopper._failed))
    assert await parts.batch_stopper.stop_due() == []
    await parts.batch_stopper.drain()
    stopped = [BatchStopped.decode(m.body) for m in parts.outbox.sent if m.type == BatchStopped.type]
    assert [(one.batch_id, one.reason) for one in stopped] == [(batch_id, "internal_error")]
    assert parts.outbox.settled == [("cancelled", 0, None), ("cancelled", 2, None)]
    assert await parts.pool.fetchval("SELECT count(*) FROM pages WHERE taken < size") == 0


async def test_a_retry_that_cannot_be_read_fails(new_parts: Callable[[], Parts]) -> None:
    parts = new_parts()
    parts.add_workload("w")
    batch_id = await parts.add_batch({"": 1})
    await parts.pool.execute("UPDATE pages SET taken = size")
    await parts.add_retries(batch_id, [0])
    await parts.pool.execute("UPDATE retries SET item = $1", UNKNOWN)
    parts = new_parts()
    parts.add_workload("w")
    await parts.components.load(lambda: None)
    async with parts.dispatching():
        await parts.until(lambda: bool(parts.outbox.settled) and not parts.state.leases)
    assert parts.outbox.settled == [("failed", 0, "item_unreadable")]
    assert (await parts.count("leases"), await parts.count("retries")) == (0, 0)


@pytest.mark.parametrize(("line", "ends"), [(CUT, [0, 1, 2]), (UNKNOWN, [0, 2])], ids=["cut", "unknown"])
async def test_a_cancelled_batch_ends_all_that_can_be_named(
    new_parts: Callable[[], Parts], line: bytes, ends: list[int]
) -> None:
    parts, batch_id = await damaged(new_parts, line)
    await parts.control(batch_id, "cancel")
    assert parts.outbox.settled == [("cancelled", ordinal, None) for ordinal in ends]
    assert await parts.pool.fetchval("SELECT count(*) FROM pages WHERE taken < size") == 0


async def test_an_item_that_cannot_be_read_fails_again_in_a_later_round(new_parts: Callable[[], Parts]) -> None:
    parts, batch_id = await damaged(new_parts, CUT)
    await parts.pool.execute("UPDATE pages SET taken = size")
    await parts.finish(batch_id, 1)
    await parts.reopen(batch_id, 2, [1], patch=[{"op": "add", "path": "/m", "value": 1}])
    async with parts.dispatching():
        await parts.until(lambda: bool(parts.outbox.settled) and not parts.state.leases)
    assert parts.outbox.settled == [("failed", 1, "item_unreadable")]
    assert await parts.count("retries") == 0


async def test_a_payload_that_cannot_be_read_is_gone(new_parts: Callable[[], Parts]) -> None:
    parts, batch_id = await damaged(new_parts, CUT)
    query = ItemsQuery(batch_id=batch_id, owner="o", ordinals=[0, 1, 2])
    reply = await parts.components.payload_query.on_items_query(query, ENVELOPE)
    assert ([item.ordinal for item in reply.items], reply.gone) == ([0, 2], [1])

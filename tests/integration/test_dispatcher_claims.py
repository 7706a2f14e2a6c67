"""Dedup claims: of two equal items of an owner only the earlier or the later one runs, as the batch requests."""

import asyncio
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal

import pytest

from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import ItemOutcome, ItemsPage, ItemsSettled, PageItem, Segment
from batchyard_contracts.v1.values import Counts, Dedup, Reuse
from devstack import Servers
from tests.support.dispatcher_parts import ENVELOPE, Parts, again, dispatcher_parts, received

Mode = Literal["attach", "reject", "replace"]
Settled = tuple[uuid.UUID, int, str | None, uuid.UUID | None, int | None]


@pytest.fixture
async def new_parts(clean: Servers) -> AsyncIterator[Callable[[], Parts]]:
    async with dispatcher_parts(clean) as new:
        yield new


async def submit(
    parts: Parts, mode: Mode, keys: Sequence[int], *, owner: str = "o", ttl_s: int = 60, header_first: bool = False
) -> uuid.UUID:
    """A batch whose n-th item has the n-th of these keys."""
    batch_id = uuid.uuid4()
    items = [PageItem(ordinal=n, payload={}, custom_id=f"c{n}", key=f"{key:032x}") for n, key in enumerate(keys)]
    page = ItemsPage(batch_id=batch_id, workload="w", page=0, segments=[Segment(partition="", items=items)])
    reuse = Reuse(dedup=Dedup(mode=mode, ttl_s=ttl_s))
    if header_first:
        await parts.accept(batch_id, reuse=reuse, owner=owner)
    await parts.intake.on_items_pages([received(page)])
    if not header_first:
        await parts.accept(batch_id, reuse=reuse, owner=owner)
    return batch_id


def duplicates(parts: Parts) -> list[Settled]:
    ends = [ItemsSettled.decode(m.body) for m in parts.outbox.sent if m.type == ItemsSettled.type]
    assert {t.status for t in ends} <= {"duplicate"}
    return [(t.batch_id, i.ordinal, i.custom_id, i.duplicate_of_batch, i.duplicate_of) for t in ends for i in t.items]


def runs(parts: Parts) -> dict[uuid.UUID, set[int]]:
    found: dict[uuid.UUID, set[int]] = {}
    for chunk in parts.outbox.chunks:
        found.setdefault(chunk.batch_id, set()).update(item.ordinal for item in chunk.items)
    return found


@pytest.mark.parametrize("header_first", [False, True])
async def test_mode_reject_drops_the_later_item(new_parts: Callable[[], Parts], header_first: bool) -> None:
    parts = new_parts()
    first = await submit(parts, "reject", [1, 2], header_first=header_first)
    second = await submit(parts, "reject", [7, 2, 8], header_first=header_first)
    assert duplicates(parts) == [(second, 1, "c1", first, 1)]
    parts.add_workload("w")
    async with parts.dispatching():
        await parts.until(lambda: runs(parts) == {first: {0, 1}, second: {0, 2}})


@pytest.mark.parametrize("header_first", [False, True])
async def test_mode_replace_drops_the_earlier_item(new_parts: Callable[[], Parts], header_first: bool) -> None:
    parts = new_parts()
    first = await submit(parts, "replace", [1, 2], header_first=header_first)
    second = await submit(parts, "replace", [7, 2, 8], header_first=header_first)
    assert duplicates(parts) == [(first, 1, "c1", second, 1)]
    parts.add_workload("w")
    async with parts.dispatching():
        await parts.until(lambda: runs(parts) == {first: {0}, second: {0, 1, 2}})


async def test_an_item_in_flight_is_not_replaced(new_parts: Callable[[], Parts]) -> None:
    parts = new_parts()
    parts.add_workload("w", concurrency=100)
    async with parts.dispatching():
        first = await submit(parts, "replace", [1, 2])
        await parts.until(lambda: runs(parts) == {first: {0, 1}})
        second = await submit(parts, "replace", [2])
        await parts.until(lambda: runs(parts) == {first: {0, 1}, second: {0}})
    assert duplicates(parts) == []
    assert await parts.count("dropped") == 0


async def test_an_item_that_waits_for_a_retry_is_replaced(new_parts: Callable[[], Parts]) -> None:
    parts = new_parts()
    parts.add_workload("w", concurrency=100)
    async with parts.dispatching():
        first = await submit(parts, "replace", [1, 2])
        await parts.until(lambda: runs(parts) == {first: {0, 1}})
        await parts.control(first, "pause")
        (chunk,) = parts.outbox.chunks
        await parts.report(chunk, [again(0), again(1)])
        second = await submit(parts, "replace", [2])
        await parts.until(lambda: runs(parts).get(second) == {0})
        parts.outbox.sent = [m for m in parts.outbox.sent if m.type == ItemsSettled.type]
        await parts.control(first, "resume")
        await parts.until(lambda: runs(parts) == {first: {0}})
    assert duplicates(parts) == [(first, 1, "c1", second, 0)]


async def test_items_of_other_owners_and_modes_keep_their_keys(new_parts: Callable[[], Parts]) -> None:
    parts = new_parts()
    await submit(parts, "reject", [1])
    await submit(parts, "reject", [1], owner="another")
    await submit(parts, "attach", [1])
    assert duplicates(parts) == []


async def test_a_finished_batch_holds_no_keys(new_parts: Callable[[], Parts]) -> None:
    parts = new_parts()
    first = await submit(parts, "reject", [1])
    facts = {"owner": "o", "workload": "w", "round": 1, "result": "completed", "counts": Counts(total=1, succeeded=1)}
    at = {"accepted_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:00Z"}
    await parts.intake.on_batch_finished(BatchFinished.model_validate({"batch_id": first, **facts, **at}), ENVELOPE)
    await submit(parts, "reject", [1])
    assert duplicates(parts) == []


async def test_a_claim_expires(new_parts: Callable[[], Parts]) -> None:
    parts = new_parts()
    await submit(parts, "reject", [1], ttl_s=1)
    second = await submit(parts, "reject", [1])
    assert [batch_id for batch_id, *_ in duplicates(parts)] == [second]
    await asyncio.sleep(1.05)  # the database's clock
    await submit(parts, "reject", [1])
    assert [batch_id for batch_id, *_ in duplicates(parts)] == [second]


@pytest.mark.parametrize("mode", ["reject", "replace"])
async def test_a_new_dispatcher_loads_the_dropped_items(new_parts: Callable[[], Parts], mode: Mode) -> None:
    parts = new_parts()
    first = await submit(parts, mode, [1, 2])
    second = await submit(parts, mode, [2, 3])
    settled = duplicates(parts)
    parts = new_parts()
    await parts.intake.load()
    assert duplicates(parts) == settled, "the ledger may not have heard of it"
    parts.add_workload("w", concurrency=100)
    expected = {first: {0, 1}, second: {1}} if mode == "reject" else {first: {0}, second: {0, 1}}
    async with parts.dispatching():
        await parts.until(lambda: runs(parts) == expected)
        for chunk in parts.outbox.chunks:
            done = [ItemOutcome(ordinal=item.ordinal, status="succeeded") for item in chunk.items]
            await parts.report(chunk, done)
        await parts.until(lambda: not parts.state.leases)
        assert await parts.count("retries") == 0, "what was dropped does not come back"


async def test_a_new_dispatcher_loads_any_number_of_dropped_items_in_a_bounded_memory(
    new_parts: Callable[[], Parts],
) -> None:
    parts = new_parts()
    batch = await submit(parts, "reject", [1])
    peaks = []
    for count in (10_000, 40_000):
        dropped = "SELECT $1::uuid, n, $1::uuid, n FROM generate_series(1, $2::int) AS n"
        sql = f"INSERT INTO dropped (batch_id, ordinal, by_batch, by_ordinal) {dropped} ON CONFLICT DO NOTHING"
        await parts.pool.execute(sql, batch, count)
        successor = new_parts()
        successor.outbox.refuse = lambda _, sent=successor.outbox.sent: sent.clear()  # type: ignore[misc]
        tracemalloc.start()
        try:
            await successor.intake.load()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        loaded = successor.state.batches[batch].dropped
        assert (1 in loaded, count in loaded, count + 1 in loaded) == (True, True, False)
    assert peaks[1] < 1.5 * peaks[0]


async def test_a_redelivered_page_does_not_claim_its_keys_again(new_parts: Callable[[], Parts]) -> None:
    parts = new_parts()
    items = [PageItem(ordinal=0, payload={}, key=f"{1:032x}")]
    first = uuid.uuid4()
    page = ItemsPage(batch_id=first, workload="w", page=0, segments=[Segment(partition="", items=items)])
    await parts.accept(first, reuse=Reuse(dedup=Dedup(mode="replace")))
    await parts.intake.on_items_pages([received(page)])
    second = await submit(parts, "replace", [1])
    await parts.intake.on_items_pages([received(page)])
    assert {batch_id for batch_id, *_ in duplicates(parts)} == {first}
    parts.add_workload("w")
    async with parts.dispatching():
        await parts.until(lambda: runs(parts) == {second: {0}})

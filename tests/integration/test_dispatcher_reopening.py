"""Reopened items are found, patched once, and run with the stored payload."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import ItemOutcome, ItemsPage, PageItem, Segment
from batchyard_contracts.v1.queries import ItemsQuery
from devstack import Servers
from services.dispatcher.intake.item_lookup import StoredItem, find_items
from services.dispatcher.queries.payload_query import PayloadQuery
from shared.json.patch import Patch
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts, header, once, received

HOST = {"pointer": "/url", "by": "host"}


@pytest.fixture
async def make(clean: Servers) -> AsyncIterator[Callable[[], Parts]]:
    """Dispatchers on the same tables."""
    async with dispatcher_parts(clean) as make:
        yield make


async def begun(parts: Parts, pages: dict[int, range]) -> uuid.UUID:
    """A batch with items of two hosts."""
    parts.add_workload("w", partition=HOST)
    batch = uuid.uuid4()
    for page, ordinals in pages.items():
        segments = [
            Segment(partition=host, items=[item(o) for o in ordinals if o % 2 == odd])
            for odd, host in ((1, "b.example"), (0, "a.example"))
        ]
        message = ItemsPage(batch_id=batch, workload="w", page=page, segments=segments)
        await parts.intake.on_items_pages([received(message)])
    await parts.intake.on_batch_accepted(header(batch), ENVELOPE)
    return batch


def item(ordinal: int) -> PageItem:
    """An item of one of two hosts."""
    host = "b" if ordinal % 2 else "a"
    return PageItem(ordinal=ordinal, payload={"url": f"https://{host}.example/{ordinal}"}, custom_id=f"row-{ordinal}")


async def run_out(parts: Parts, batch: uuid.UUID, count: int) -> dict[int, dict[str, Any]]:
    """Let everything that waits go out; the payloads and partitions by ordinal."""
    parts.outbox.sent.clear()
    async with parts.dispatching():
        await parts.until(lambda: sum(len(chunk.items) for chunk in parts.outbox.chunks) >= count)
    assert sum(len(chunk.items) for chunk in parts.outbox.chunks) == count
    for chunk in parts.outbox.chunks:
        await parts.report(chunk, [ItemOutcome(ordinal=x.ordinal, status="failed") for x in chunk.items])
    return {x.ordinal: x.payload | {"at": chunk.partition} for chunk in parts.outbox.chunks for x in chunk.items}


async def test_a_payload_is_patched_once_and_stays_patched(
    make: Callable[[], Parts], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = make()
    batch = await begun(parts, {0: range(6), 1: range(6, 12)})
    await run_out(parts, batch, 12)
    await parts.finish(batch, 1)
    patch = [
        {"op": "add", "path": "/tags", "value": []},
        {"op": "add", "path": "/tags/-", "value": None},
        {"op": "replace", "path": "/url", "value": "https://c.example/fixed"},
    ]
    monkeypatch.setattr(parts.stores.retries, "save_reopened", once(parts.stores.retries.save_reopened, first=True))
    with pytest.raises(Exception, match="connection was closed"):
        await parts.reopen(batch, 2, [1, 7], patch=patch)

    parts = make()  # another dispatcher takes over, and the message comes again
    parts.add_workload("w", partition=HOST)
    await parts.intake.load()
    appended = [*patch[:2], {"op": "add", "path": "/tags/-", "value": 1}]
    await parts.reopen(batch, 2, [1, 7], patch=patch)
    await parts.reopen(batch, 2, [1, 7], patch=patch)
    fixed = {"url": "https://c.example/fixed", "tags": [None], "at": "c.example"}
    assert await run_out(parts, batch, 2) == {1: fixed, 7: fixed}
    await parts.finish(batch, 2)

    await parts.reopen(batch, 3, [1, 2])
    assert await run_out(parts, batch, 2) == {1: fixed, 2: {"url": "https://a.example/2", "at": "a.example"}}
    await parts.finish(batch, 3)
    await parts.reopen(batch, 4, [7, 99], patch=appended[2:])
    assert await run_out(parts, batch, 1) == {7: fixed | {"tags": [None, 1]}}
    reply = await PayloadQuery(parts.stores).on_items_query(
        ItemsQuery(owner="o", batch_id=batch, ordinals=[7, 3, 99]), Envelope("", "")
    )
    assert [(x.ordinal, x.partition, x.custom_id) for x in reply.items] == [
        (3, "b.example", "row-3"), (7, "c.example", "row-7"),
    ]  # fmt: skip
    assert reply.items[1].payload == {"url": "https://c.example/fixed", "tags": [None, 1]}
    assert reply.gone == [99]
    stranger = await PayloadQuery(parts.stores).on_items_query(
        ItemsQuery(owner="eve", batch_id=batch, ordinals=[7]), ENVELOPE
    )
    assert (stranger.items, stranger.gone) == ([], [7])


async def test_other_tasks_get_a_turn_after_each_patched_item(
    make: Callable[[], Parts], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = make()
    batch = await begun(parts, {0: range(30)})
    await run_out(parts, batch, 30)
    await parts.finish(batch, 1)
    apply, turns, most_at_once, patched = Patch.apply, 0, 0, Counter[int]()

    def counted(self: Patch, document: Any) -> Any:
        nonlocal most_at_once
        patched[turns] += 1
        most_at_once = max(most_at_once, patched[turns])
        return apply(self, document)

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    monkeypatch.setattr(Patch, "apply", counted)
    task = asyncio.create_task(other())
    await parts.reopen(batch, 2, range(30), patch=[{"op": "add", "path": "/tags", "value": []}])
    task.cancel()
    assert (sum(patched.values()), most_at_once) == (30, 1)


async def test_items_that_are_deleted_or_do_not_fit_the_patch_fail(make: Callable[[], Parts]) -> None:
    parts = make()
    batch = await begun(parts, {0: range(4)})
    await run_out(parts, batch, 4)
    await parts.finish(batch, 1)
    patch = [{"op": "test", "path": "/url", "value": "https://a.example/2"}]
    await parts.reopen(batch, 2, [1, 2, 50], patch=patch)
    assert parts.outbox.settled == [("failed", 1, "patch_not_applicable"), ("failed", 50, "item_deleted")]
    assert list(await run_out(parts, batch, 1)) == [2]


@pytest.mark.parametrize("pages", [1, 3, 40])
async def test_any_item_is_found_in_its_page(make: Callable[[], Parts], pages: int) -> None:
    parts = make()
    # pages of different sizes, with numbers left out, since a page of duplicates alone is not kept
    bounds = [3 * n + (20 if n > pages // 2 else 0) for n in range(pages + 1)]
    batch = await begun(parts, {2 * n: range(bounds[n], bounds[n + 1]) for n in range(pages)})

    async def found(ordinals: list[int]) -> dict[int, StoredItem]:
        return {x.ordinal: x async for lot in find_items(parts.stores, batch, ordinals) for x in lot}

    every = list(range(bounds[-1] + 5))
    assert sorted(await found(every)) == every[: bounds[-1]]
    for ordinal in every:
        kept = await found([ordinal])
        assert list(kept) == ([ordinal] if ordinal < bounds[-1] else [])
    ends = await found([bounds[-1] - 1, 0, bounds[-1] + 1])
    assert {ordinal: one.partition for ordinal, one in ends.items()} == {
        o: "b.example" if o % 2 else "a.example" for o in (0, bounds[-1] - 1)
    }
    assert not [x async for x in find_items(parts.stores, uuid.uuid4(), [0, 1])]


@pytest.mark.parametrize("action", ["cancel", "pause"])
@pytest.mark.parametrize("round_", [1, None])
async def test_a_late_command_of_an_earlier_round_changes_nothing(
    make: Callable[[], Parts], action: str, round_: int | None
) -> None:
    parts = make()
    batch = await begun(parts, {0: range(4)})
    await run_out(parts, batch, 4)
    await parts.finish(batch, 1)
    asked = datetime.now(UTC)
    await parts.reopen(batch, 2, [0, 1, 2, 3], requested_at=asked)
    await parts.control(batch, action, asked - timedelta(seconds=1), round=round_)
    parts = make()  # another dispatcher reads what was saved
    parts.add_workload("w", partition=HOST)
    await parts.intake.load()
    await parts.control(batch, action, asked - timedelta(seconds=1), round=round_)
    assert len(await run_out(parts, batch, 4)) == 4
    assert parts.outbox.settled == []


async def test_of_two_commands_at_one_time_the_first_applies(make: Callable[[], Parts]) -> None:
    parts = make()
    batch, now = await begun(parts, {0: range(4)}), datetime.now(UTC)
    await parts.control(batch, "change", now, priority="low", terms={"weight": 2})
    await parts.control(batch, "change", now, priority="normal", terms={"weight": 3})
    await parts.control(batch, "resume", now)
    await parts.control(batch, "pause", now)
    found = parts.state.batches[batch]
    assert (found.priority, found.terms.weight, found.paused) == ("low", 2, False)

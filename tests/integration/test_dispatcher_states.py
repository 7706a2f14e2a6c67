"""The dispatcher tells what it does with the items of a batch: which wait, run, or are tried again."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchyard_contracts.v1.flow import ItemOutcome, PageItem, Segment
from batchyard_contracts.v1.queries import StatesQuery, StatesReply
from batchyard_contracts.v1.values import ItemError
from devstack import Servers
from services.dispatcher.queries import states_query
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts, page_of, received

BUSY = ItemError(code="busy", message="HTTP 503\0")


@pytest.fixture
async def parts(clean: Servers) -> AsyncIterator[Parts]:
    """A dispatcher with empty tables and a worker for the workload "w", whose destinations are hosts."""
    async with dispatcher_parts(clean) as make:
        made = make()
        made.add_workload("w", chunk_max=2, chunk_min=2, concurrency=1, partition={"pointer": "/url", "by": "host"})
        yield made


async def ask(parts: Parts, batch: uuid.UUID, **fields: Any) -> StatesReply:
    query = StatesQuery.model_validate({"owner": "o", "batch_id": batch, **fields})
    return await parts.components.states_query.on_states_query(query, ENVELOPE)


async def ordinals(parts: Parts, batch: uuid.UUID, **fields: Any) -> list[int]:
    """All ordinals of a selection, page by page."""
    found: list[int] = []
    after: int | None = -1
    while after is not None:
        reply = await ask(parts, batch, after=after, **fields)
        found += [item.ordinal for item in reply.items]
        assert reply.next_after is None or reply.next_after > after, "it goes on"
        after = reply.next_after
    return found


async def statuses(parts: Parts, batch: uuid.UUID) -> list[str | None]:
    return [item.status for item in (await ask(parts, batch)).items]


async def dispatch(parts: Parts, chunks: int) -> None:
    async with parts.dispatching():
        await parts.until(lambda: len(parts.outbox.chunks) >= chunks)
    parts.state.workload_queue("w").window.workers = 0


async def test_each_item_has_its_state_and_ended_ones_have_none(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 12})
    assert await statuses(parts, batch) == ["waiting"] * 12
    await dispatch(parts, 1)
    chunk = parts.outbox.chunks[0]
    first, second = (item.ordinal for item in chunk.items)
    in_flight = {item.ordinal for chunk in parts.outbox.chunks for item in chunk.items}
    running = await ask(parts, batch, status="running")
    assert {item.ordinal for item in running.items} == in_flight
    assert {(item.status, item.attempt) for item in running.items} == {("running", 1)}
    assert {item.chunk_id for item in running.items} == {each.chunk_id for each in parts.outbox.chunks}
    assert all(item.since and item.since <= datetime.now(UTC) for item in running.items)
    again = ItemOutcome(ordinal=first, status="retry", error=BUSY, delay_s=600.0)
    done = ItemOutcome(ordinal=second, status="succeeded", result={})
    await parts.report(chunk, [again, done], ended=1)
    retrying, ended = (await ask(parts, batch, ordinals=[first, second])).items
    assert (retrying.status, retrying.attempt, ended.status) == ("retrying", 1, None)
    assert retrying.error == ItemError(code="busy", message="HTTP 503"), "PostgreSQL takes no NUL"
    assert retrying.retry_at is not None
    assert retrying.retry_at > datetime.now(UTC) + timedelta(seconds=300)
    assert (await ordinals(parts, batch, status="retrying")) == [first]
    waiting = await ordinals(parts, batch, status="waiting")
    assert sorted([*waiting, *in_flight]) == list(range(12))
    assert await ordinals(parts, batch) == list(range(12)), "also those that ended"


async def test_a_page_of_running_items_has_no_gaps_for_those_that_wait_again(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 12})
    await dispatch(parts, 2)
    first, second, *_ = parts.outbox.chunks
    again = [ItemOutcome(ordinal=item.ordinal, status="retry", error=BUSY, delay_s=600.0) for item in first.items]
    await parts.report(first, again)
    page = await ask(parts, batch, status="running", limit=1)
    assert [item.ordinal for item in page.items] == [second.items[0].ordinal]
    page = await ask(parts, batch, status="retrying", limit=1)
    assert [item.ordinal for item in page.items] == [first.items[0].ordinal]


async def test_items_of_a_later_round_wait_or_are_tried_again(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 2})
    await dispatch(parts, 1)
    await parts.report(parts.outbox.chunks[0], [ItemOutcome(ordinal=o, status="failed") for o in range(2)])
    await parts.finish(batch, 1)
    assert await statuses(parts, batch) == [None, None]
    assert await ordinals(parts, batch, status="waiting") == []
    await parts.reopen(batch, 2, [1])
    assert await statuses(parts, batch) == [None, "waiting"]
    assert await ordinals(parts, batch, status="waiting") == [1]
    assert await ordinals(parts, batch, status="retrying") == []


async def test_a_patched_payload_is_the_one_that_is_told(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 2})
    await dispatch(parts, 1)
    await parts.report(parts.outbox.chunks[0], [ItemOutcome(ordinal=o, status="failed") for o in range(2)])
    await parts.finish(batch, 1)
    await parts.reopen(batch, 2, [1], patch=[{"op": "add", "path": "/url", "value": "https://b.example/"}])
    first, second = (await ask(parts, batch, payloads=True)).items
    assert (first.payload, second.payload, second.partition) == ({}, {"url": "https://b.example/"}, "b.example")
    assert (await ask(parts, batch)).items[0].payload is None, "payloads are for those who ask"


async def test_pages_are_bounded_and_go_on_with_every_filter(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states_query, "_MAX_PAGES_READ", 6)
    monkeypatch.setattr(states_query, "_PAGES_SEARCHED", 2)
    monkeypatch.setattr(states_query, "_MAX_SEARCHES", 4)
    batch = uuid.uuid4()
    for page in range(12):
        message = page_of(batch, {"a.example": 3, "b.example": 2}, page=page)
        if page == 10:
            odd = [PageItem(ordinal=10_005, payload={}, custom_id='x"y\u20ac')]
            message = message.model_copy(
                update={"segments": [*message.segments, Segment(partition="c.example", items=odd)]}
            )
        await parts.intake.on_items_pages([received(message)])
    await parts.accept(batch)
    everything = [1000 * page + n for page in range(12) for n in range(5 + (page == 10))]
    assert await ordinals(parts, batch, limit=7) == everything
    assert await ordinals(parts, batch, limit=7, status="waiting") == everything
    some = await ordinals(parts, batch, limit=7, partition="b.example")
    assert some == [ordinal for ordinal in everything if ordinal % 1000 in {3, 4}]
    assert await ordinals(parts, batch, partition="c.example") == [10_005]
    assert await ordinals(parts, batch, custom_id='x"y\u20ac') == [10_005]
    assert await ordinals(parts, batch, custom_id="y") == [], "a part of an id is none"
    assert [item.ordinal for item in (await ask(parts, batch, after=10_999)).items] == [11_000 + n for n in range(5)]


async def test_a_batch_of_another_owner_is_not_found(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 1})
    query = StatesQuery(owner="eve", batch_id=batch, ordinals=[0], payloads=True)
    assert await parts.components.states_query.on_states_query(query, ENVELOPE) == StatesReply(found=False)
    assert (await ask(parts, batch)).found

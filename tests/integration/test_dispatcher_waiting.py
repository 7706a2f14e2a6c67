"""The dispatcher tells why batches wait, and of which batches it holds no item."""

import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from batchyard_contracts.v1.flow import ItemOutcome, WorkerHeartbeat
from batchyard_contracts.v1.manifest import CircuitRule
from batchyard_contracts.v1.queries import HeldQuery, LimitsQuery, LimitsReply, WaitingQuery, WaitingReply
from batchyard_contracts.v1.values import ItemError, Rate
from devstack import Servers
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts


@pytest.fixture
async def parts(clean: Servers) -> AsyncIterator[Parts]:
    """A dispatcher with empty tables and a worker for the workload "w"."""
    async with dispatcher_parts(clean) as make:
        made = make()
        made.add_workload("w", chunk_max=100)
        yield made


async def ask(parts: Parts, *batches: uuid.UUID, owner: str = "o") -> WaitingReply:
    query = WaitingQuery(owner=owner, batch_ids=list(batches))
    return await parts.components.waiting_query.on_waiting_query(query, ENVELOPE)


async def unheld(parts: Parts, *batches: uuid.UUID) -> dict[uuid.UUID, int | None]:
    reply = await parts.components.waiting_query.on_held_query(HeldQuery(batch_ids=list(batches)), ENVELOPE)
    return {one.batch_id: one.round for one in reply.unheld}


async def test_a_workload_without_a_live_worker_keeps_its_batches_waiting(parts: Parts) -> None:
    parts.state.workload_queue("w").window.workers = 0
    batch = await parts.add_batch({"": 3})
    reply = await ask(parts, batch, uuid.uuid4())
    assert [(each.batch_id, each.reason.code) for each in reply.batches] == [(batch, "no_worker")]
    (capacity,) = reply.workloads
    assert (capacity.workload, capacity.workers) == ("w", 0)
    assert capacity.waiting is not None
    assert "start" in capacity.waiting.detail
    assert (await ask(parts, batch, owner="eve")).batches == []
    beat = WorkerHeartbeat(worker_id="1", workloads=["w"], chunks=[], at=datetime.now(UTC))
    parts.state.record_heartbeat(beat, 0.0)
    reply = await ask(parts, batch)
    assert reply.batches == []
    assert [(each.workers, each.waiting) for each in reply.workloads] == [(1, None)]


async def test_items_that_wait_for_another_attempt_have_a_due_time(parts: Parts) -> None:
    batch = await parts.add_batch({"": 1})
    async with parts.dispatching():
        await parts.until(lambda: bool(parts.outbox.chunks))
    refused = ItemError(code="busy")
    await parts.report(parts.outbox.chunks[0], [ItemOutcome(ordinal=0, status="retry", error=refused, delay_s=3600.0)])
    (waiting,) = (await ask(parts, batch)).batches
    assert waiting.reason.code == "retry_due_later"
    assert waiting.reason.until is not None
    assert waiting.reason.until > datetime.now(UTC) + timedelta(minutes=1)
    assert await unheld(parts, batch) == {}


async def test_a_batch_is_held_as_long_as_an_item_of_it_waits_or_is_in_flight(parts: Parts) -> None:
    batch = await parts.add_batch({"": 2})
    assert await unheld(parts, batch) == {}
    async with parts.dispatching():
        await parts.until(lambda: bool(parts.outbox.chunks))
    assert await unheld(parts, batch) == {}
    await parts.report(parts.outbox.chunks[0], [ItemOutcome(ordinal=o, status="failed") for o in range(2)])
    assert await unheld(parts, batch) == {batch: 1}
    await parts.finish(batch, 1)
    assert await unheld(parts, batch) == {batch: 1}
    await parts.reopen(batch, 2, [0])
    assert await unheld(parts, batch) == {}


async def test_a_batch_without_a_header_is_not_held_even_if_its_pages_are_stored(parts: Parts) -> None:
    batch = uuid.uuid4()
    await parts.pages(batch, {"": 3})
    assert await unheld(parts, batch, uuid.UUID(int=1)) == {batch: None, uuid.UUID(int=1): None}
    await parts.accept(batch)
    assert await unheld(parts, batch) == {}


async def test_items_in_the_tables_count_before_they_are_loaded(parts: Parts) -> None:
    batch = await parts.add_batch({"": 3})
    parts.state.remove_batch(batch)
    assert await unheld(parts, batch) == {}


async def test_a_call_outside_of_a_batch_is_told_its_limits(parts: Parts) -> None:
    parts.add_workload("paced", rate=Rate(per_second=4), circuit=CircuitRule(), partition={"pointer": "/a"})
    query, ask_limits = LimitsQuery(workload="paced", partition="a"), parts.components.rate_api.on_limits_query
    reply = await ask_limits(query, ENVELOPE)
    assert reply.waiting is None
    assert reply.rates == parts.state.workload_queue("paced").window.chunk_rates("a")
    assert reply.rates is not None
    assert [key.key for key in reply.rates.keys] == ["partition:a"]
    refused = ItemError(code="captcha", scope="provider")
    parts.state.workload_queue("paced").window.record_refusal("a", refused, time.monotonic())
    reply = await ask_limits(query, ENVELOPE)
    assert reply.waiting is not None
    assert (reply.waiting.code, reply.waiting.until is not None) == ("circuit_open", True)
    assert (await ask_limits(LimitsQuery(workload="paced", partition="b"), ENVELOPE)).waiting is None
    assert await ask_limits(LimitsQuery(workload="w", partition=""), ENVELOPE) == LimitsReply()

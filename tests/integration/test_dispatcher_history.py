"""The dispatcher remembers when a round began, and the changes of rates and circuits of its destinations."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchyard_contracts.v1.commands import RatesControl
from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.manifest import CircuitRule
from batchyard_contracts.v1.queries import HistoryQuery, HistoryReply
from batchyard_contracts.v1.values import ItemError, Rate
from devstack import Servers
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts
from tests.support.patience import until


@pytest.fixture
async def parts(clean: Servers) -> AsyncIterator[Parts]:
    """A dispatcher with empty tables and a worker for the workload "w", whose destinations are hosts."""
    async with dispatcher_parts(clean) as make:
        made = make()
        hosts = {"pointer": "/url", "by": "host"}
        made.add_workload("w", chunk_max=1, concurrency=1, partition=hosts, circuit=CircuitRule())
        yield made


async def ask(parts: Parts, batch: uuid.UUID, owner: str = "o", **fields: Any) -> HistoryReply:
    now = datetime.now(UTC)
    span = {"since": now - timedelta(hours=1), "before": now + timedelta(hours=1)} | fields
    query = HistoryQuery.model_validate({"owner": owner, "batch_id": batch, **span})
    return await parts.components.history_query.on_history_query(query, ENVELOPE)


async def test_a_round_has_a_start_once_an_item_is_dispatched(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 2})
    assert (await ask(parts, batch)).started_at is None
    async with parts.dispatching():
        await parts.until(lambda: len(parts.outbox.chunks) == 2)
    reply = await ask(parts, batch)
    assert reply.started_at is not None
    assert abs(reply.started_at - datetime.now(UTC)) < timedelta(minutes=5)
    for chunk in parts.outbox.chunks[:2]:
        failed = [ItemOutcome(ordinal=item.ordinal, status="failed") for item in chunk.items]
        await parts.report(chunk, failed, ended=0)
    await parts.finish(batch, 1)
    await parts.reopen(batch, 2, [1])
    again = await ask(parts, batch)
    assert (again.round, again.started_at) == (2, None), "the new round has not begun"
    assert not (await ask(parts, batch, owner="eve")).found
    assert not (await ask(parts, uuid.uuid4())).found


async def test_changes_are_those_of_the_batchs_destinations_in_the_span(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 1, "b.example": 1})
    for partition, per_second in (("a.example", 4.0), ("c.example", 2.0)):
        command = RatesControl(action="set", workload="w", partition=partition, rate=Rate(per_second=per_second))
        await parts.rate_events.apply_control(command)
    window = parts.state.workload_queue("w").window
    refused = ItemError(code="captcha", message="no\0", scope="provider")
    for _ in range(2):  # the second time it is a probe that is refused
        limiter = window.record_refusal("b.example", refused, 0.0)
        if limiter is not None:
            parts.rate_events.record_circuit_change("w", limiter, "open")
        window.limits.limiters_of("b.example")[0].circuit.record_dispatched()
    saving = asyncio.create_task(parts.rate_events.run())
    await until(lambda: ask(parts, batch), lambda reply: len(reply.changes) >= 2)
    parts.rate_events.stop()
    await saving
    reply = await ask(parts, batch)
    found = {(one.partition, one.circuit, one.after, one.reason) for one in reply.changes}
    assert found == {("a.example", None, 4.0, "set by an operator"), ("b.example", "open", None, "captcha: no")}
    assert len(reply.changes) == 2
    assert (await ask(parts, batch, before=datetime.now(UTC) - timedelta(minutes=30))).changes == []
    assert len((await ask(parts, batch, limit=1)).changes) == 1

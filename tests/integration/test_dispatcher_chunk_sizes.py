"""Transient failures alone shrink the chunks of a batch, and operators see the reason."""

from collections.abc import AsyncIterator

import pytest

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.queries import RatesQuery, RatesReply
from batchyard_contracts.v1.values import ItemError
from batchyard_contracts.v1.work import ChunkReady
from devstack import Servers
from services.dispatcher.persistence.rate_store import RateStore
from services.dispatcher.rate_limits.rate_api import RateApi
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts


@pytest.fixture
async def parts(clean: Servers) -> AsyncIterator[Parts]:
    """A dispatcher with a worker for the workload "w", on tables that are empty at first."""
    async with dispatcher_parts(clean) as make:
        one = make()
        one.add_workload("w", chunk_max=100)
        yield one


async def _first_chunk(parts: Parts) -> ChunkReady:
    await parts.add_batch({"": 8})
    async with parts.dispatching():
        await parts.until(lambda: bool(parts.outbox.chunks))
    (chunk,) = parts.outbox.chunks
    assert len(chunk.items) == 8
    return chunk


async def _shown(parts: Parts) -> str:
    reply = await RateApi(parts.state, RateStore(parts.pool), parts.rate_events).on_rates_query(
        RatesQuery(workload="w"), ENVELOPE
    )
    assert isinstance(reply, RatesReply)
    return f"{reply.rates[0].chunk_size}: {reply.rates[0].chunk_size_reason}"


def _retried(ordinal: int, error: ItemError | None, delay_s: float | None = None) -> ItemOutcome:
    return ItemOutcome(ordinal=ordinal, status="retry", error=error, delay_s=delay_s)


async def test_transient_failures_halve_the_chunks_of_their_batch(parts: Parts) -> None:
    chunk = await _first_chunk(parts)
    timeout = ItemError(code="timeout")
    outcomes = [_retried(i, timeout) if i < 5 else ItemOutcome(ordinal=i, status="succeeded") for i in range(8)]
    await parts.report(chunk, outcomes)
    assert await _shown(parts) == "4: halved after 5 of 8 failed"


@pytest.mark.parametrize(
    "outcome",
    [
        _retried(0, ItemError(code="rate_limited", scope="provider")),
        _retried(0, ItemError(code="rate_limited", scope="provider"), 0.5),
        _retried(0, ItemError(code="in_flight"), 0.5),
        ItemOutcome(ordinal=0, status="failed", error=ItemError(code="not_found")),
        ItemOutcome(ordinal=0, status="continued", delay_s=1.0),
    ],
    ids=["limited", "limited for a time", "in flight", "failed for good", "continued"],
)
async def test_other_outcomes_do_not_change_the_chunk_size(parts: Parts, outcome: ItemOutcome) -> None:
    chunk = await _first_chunk(parts)
    await parts.report(chunk, [outcome.model_copy(update={"ordinal": i}) for i in range(8)])
    assert "failed" not in await _shown(parts)

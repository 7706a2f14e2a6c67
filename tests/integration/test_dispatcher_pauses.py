"""Pauses: requested by a destination, guessed for it, or caused by a provider that refuses."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import ItemError
from devstack import Servers
from tests.support.dispatcher_parts import Parts, dispatcher_parts
from tests.support.patience import until

REFUSED = ItemError(code="rate_limited", scope="provider")


@pytest.fixture
async def new_parts(clean: Servers) -> AsyncIterator[Callable[[], Parts]]:
    async with dispatcher_parts(clean) as new:
        yield new


@pytest.fixture
def parts(new_parts: Callable[[], Parts]) -> Parts:
    return new_parts()


def backoff_s(parts: Parts, partition: str) -> float:
    """The seconds for which a destination gets nothing."""
    limiter = parts.state.workload_queue("w").window.limits.limiters_of(partition)[0]
    return limiter.backoff_until - time.monotonic()


@pytest.mark.parametrize(
    ("adaptive", "guessed", "parked"),
    [(False, False, True), (False, True, True), (True, False, True), (True, True, False)],
)
async def test_delays_pause_their_destination_except_guessed_ones_with_an_adaptive_rate(
    parts: Parts, adaptive: bool, guessed: bool, parked: bool
) -> None:
    parts.add_workload("w", **({"adaptive": {"floor": 1, "ceiling": 100, "start": 50}} if adaptive else {}))
    async with parts.dispatching():
        await parts.add_batch({"": 1})
        await parts.until(lambda: bool(parts.outbox.chunks))
    (chunk,) = parts.outbox.chunks
    outcome = ItemOutcome(ordinal=0, status="retry", error=REFUSED, delay_s=30.0, guessed=guessed or None)
    await parts.report(chunk, [outcome])
    throttle = parts.state.workload_queue("w").window.limits.limiters_of("")[0]
    assert (throttle.backoff_until > 0) == parked
    due_s = float(await parts.pool.fetchval("SELECT extract(epoch FROM due_at - now()) FROM retries"))
    assert (due_s > 20) == parked


async def test_a_destination_without_remaining_calls_is_paused_before_it_refuses(parts: Parts) -> None:
    parts.add_workload("w", chunk_max=1)
    async with parts.dispatching():
        await parts.add_batch({"a": 1, "b": 1})
        await parts.until(lambda: len(parts.outbox.chunks) == 2)
    for chunk in parts.outbox.chunks:
        left = {"remaining": 0, "reset_s": 60.0} if chunk.partition == "a" else {}
        success = ItemOutcome(ordinal=chunk.items[0].ordinal, status="succeeded", result={})
        await parts.report(chunk, [success], feedback=left)
    async with parts.dispatching():
        await parts.add_batch({"a": 1, "b": 1})
        await parts.until(lambda: len(parts.outbox.chunks) == 3)
        assert parts.outbox.chunks[2].partition == "b"
        assert parts.state.workload_queue("w").window.limits.limiters_of("a")[0].backoff_until > time.monotonic() + 50


async def test_a_pause_that_a_destination_asked_for_outlasts_the_dispatcher(new_parts: Callable[[], Parts]) -> None:
    parts = new_parts()
    parts.add_workload("w", chunk_max=1)
    async with parts.dispatching():
        await parts.add_batch({"asked": 1, "used up": 1, "briefly": 1})
        await parts.until(lambda: len(parts.outbox.chunks) == 3)
    for chunk in parts.outbox.chunks:
        outcome = ItemOutcome(ordinal=chunk.items[0].ordinal, status="succeeded", result={})
        left = {"remaining": 0, "reset_s": 60.0} if chunk.partition == "used up" else {}
        if delay_s := {"asked": 60.0, "briefly": 1.0}.get(chunk.partition):
            outcome = ItemOutcome(ordinal=outcome.ordinal, status="retry", error=REFUSED, delay_s=delay_s)
        await parts.report(chunk, [outcome], feedback=left)
    running = asyncio.create_task(parts.rate_events.run())
    try:
        saved = "SELECT 1 FROM paces WHERE backoff_until > now()"
        await until(lambda: parts.pool.fetch(saved), lambda rows: len(rows) >= 2)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    successor = new_parts()
    successor.add_workload("w", chunk_max=1)
    await successor.components.load(lambda: None)
    assert 50 < backoff_s(successor, "asked") < 61
    assert 50 < backoff_s(successor, "used up") < 61
    assert backoff_s(successor, "briefly") <= 0, "it would be over by then"
    async with successor.dispatching():
        await successor.add_batch({"asked": 1, "used up": 1, "another": 1})
        await successor.until(lambda: {"another", "briefly"} <= {chunk.partition for chunk in successor.outbox.chunks})
    assert len(successor.outbox.chunks) == 2, "nothing is sent to the others"


async def test_an_item_that_its_provider_always_refuses_fails_alone(parts: Parts) -> None:
    parts.add_workload("w", concurrency=10, circuit={"base_s": 0.3, "cap_s": 0.3, "give_up_s": 600})
    refusal = ItemError(code="captcha", scope="provider")
    circuit = parts.state.workload_queue("w").window.limits.limiters_of("")[0].circuit
    states = list[str]()
    async with parts.dispatching():
        guilty = await parts.add_batch({"": 1})
        await parts.until(lambda: bool(parts.outbox.chunks))
        for _ in range(20):  # chunks, of which the guilty item's are few
            chunk = parts.outbox.chunks[len(states)]
            outcomes = [
                ItemOutcome(ordinal=item.ordinal, status="retry", error=refusal, elapsed_ms=5)
                if chunk.batch_id == guilty
                else ItemOutcome(ordinal=item.ordinal, status="succeeded", result={}, elapsed_ms=5)
                for item in chunk.items
            ]
            await parts.report(chunk, outcomes)
            states.append(circuit.state)
            if parts.outbox.settled:
                break
            if len(states) == 1:
                await parts.add_batch({"": 30})
            await parts.until(lambda: len(parts.outbox.chunks) > len(states))
    assert states[:2] == ["open", "closed"], "another item tried the provider first"
    assert parts.outbox.settled == [("failed", 0, "captcha")]
    assert circuit.state == "closed"


async def test_items_that_wait_for_a_provider_which_refused_for_too_long_fail(parts: Parts) -> None:
    circuit = {"base_s": 60, "cap_s": 60, "give_up_s": 600}
    parts.add_workload("w", partition={"pointer": "/url", "by": "host"}, chunk_max=1, concurrency=10, circuit=circuit)
    batch = await parts.add_batch({"bad": 2, "good": 1})
    async with parts.dispatching():
        await parts.until(lambda: len(parts.outbox.chunks) == 3)
    captcha = ItemError(code="captcha", scope="provider")
    for chunk in parts.outbox.chunks:
        said = {"status": "retry", "error": captcha} if chunk.partition == "bad" else {"status": "succeeded"}
        await parts.report(chunk, [ItemOutcome.model_validate({"ordinal": chunk.items[0].ordinal, **said})])
    await parts.pages(batch, {"bad": 1, "good": 1}, page=1)
    limits = parts.state.workload_queue("w").window.limits
    limits.limiters_of("bad")[0].circuit.opened_at -= 600
    running = asyncio.create_task(parts.rate_events.run())
    try:
        await parts.until(lambda: len(parts.outbox.settled) >= 3)
        waiting = "SELECT 1 FROM retries WHERE batch_id = $1"
        await until(lambda: parts.pool.fetch(waiting, batch), lambda rows: not rows)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert sorted(parts.outbox.settled) == [("failed", ordinal, "captcha") for ordinal in (0, 1, 1000)]
    queue = parts.state.batch_queue(parts.state.batches[batch])
    assert queue is not None
    assert list(queue.partition_queues) == ["good"]

"""The dispatcher tells everything that holds back the items of a batch, what holds back most first."""

import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.manifest import CircuitRule
from batchyard_contracts.v1.queries import MAX_DESTINATIONS, ReasonsQuery, ReasonsReply
from batchyard_contracts.v1.values import ItemError, Rate, Terms
from devstack import Servers
from tests.support.dispatcher_parts import ENVELOPE, Parts, again, dispatcher_parts

HOSTS = {"pointer": "/url", "by": "host"}


@pytest.fixture
async def parts(clean: Servers) -> AsyncIterator[Parts]:
    """A dispatcher with empty tables and a worker for the workload "w", whose destinations are hosts."""
    async with dispatcher_parts(clean) as make:
        made = make()
        made.add_workload("w", chunk_max=1, concurrency=2, partition=HOSTS, circuit=CircuitRule())
        yield made


async def ask(parts: Parts, batch: uuid.UUID, owner: str = "o") -> ReasonsReply:
    return await parts.components.reasons_query.on_reasons_query(ReasonsQuery(owner=owner, batch_id=batch), ENVELOPE)


async def load(parts: Parts) -> None:
    """Have the dispatch loop read all waiting items into memory, and dispatch none."""
    window = parts.state.workload_queue("w").window
    kept, window.workers = window.workers, 0
    queues = [queue for batch in parts.state.batches.values() if (queue := parts.state.batch_queue(batch))]
    async with parts.dispatching():
        await parts.until(lambda: not any(queue.backlog.has_more for queue in queues))
    window.workers = kept


async def codes(parts: Parts, batch: uuid.UUID) -> list[str]:
    return [reason.code for reason in (await ask(parts, batch)).reasons]


async def test_a_batch_of_another_owner_and_one_that_ended_are_not_found(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 1})
    assert (await ask(parts, batch)).found
    assert not (await ask(parts, batch, owner="eve")).found
    await parts.finish(batch, 1)
    assert not (await ask(parts, batch)).found


async def test_nothing_holds_back_a_batch_that_is_about_to_run(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 3})
    before = await ask(parts, batch)
    assert (before.reasons, before.waiting, before.more_waiting) == ([], 0, True), "they are in the table"
    await load(parts)
    reply = await ask(parts, batch)
    assert reply.reasons == []
    assert (reply.waiting, reply.in_flight, reply.more_waiting) == (3, 0, False)
    (destination,) = reply.destinations
    assert (destination.partition, destination.waiting, destination.reason) == ("a.example", 3, None)
    assert [(limit.limit, limit.partition) for limit in destination.limits] == [("partition", "a.example")]
    assert reply.share is not None
    assert (reply.share.place, reply.share.batches, reply.share.share) == (1, 1, 1.0)


async def test_all_reasons_of_a_whole_batch_are_told_also_while_items_run(parts: Parts) -> None:
    start = datetime.now(UTC) + timedelta(hours=1)
    terms = Terms(not_before=start, rate=Rate(per_second=1))
    batch = await parts.add_batch({"a.example": 3}, terms=terms)
    assert await codes(parts, batch) == ["not_before"]
    await parts.control(batch, "pause")
    parts.state.workload_queue("w").window.workers = 0
    parts.state.batch_limits[batch].take(5, time.monotonic())
    reply = await ask(parts, batch)
    assert [reason.code for reason in reply.reasons] == ["paused", "not_before", "no_worker", "rate_limit"]
    assert (reply.paused, reply.not_before) == (True, start)
    assert reply.reasons[1].until is not None
    assert abs(reply.reasons[1].until - start) < timedelta(seconds=1)
    assert all(reason.items is None for reason in reply.reasons)
    assert reply.share is not None
    assert reply.share.place is None, "it is not in line"


async def test_destinations_come_with_what_holds_them_back_the_worst_first(parts: Parts) -> None:
    batch = await parts.add_batch({"free.example": 9, "shut.example": 2, "slow.example": 4})
    await load(parts)
    window = parts.state.workload_queue("w").window
    now = time.monotonic()
    window.record_refusal("shut.example", ItemError(code="captcha", scope="provider"), now)
    window.back_off("slow.example", now + 60, "HTTP 429")
    reply = await ask(parts, batch)
    held = [(reason.code, reason.partition, reason.items) for reason in reply.reasons]
    assert held == [("destination_backoff", "slow.example", 4), ("circuit_open", "shut.example", 2)]
    assert all(reason.until and reason.until > datetime.now(UTC) for reason in reply.reasons)
    slow, shut, free = reply.destinations
    assert [one.partition for one in (slow, shut, free)] == ["slow.example", "shut.example", "free.example"]
    assert slow.reason is not None
    assert (slow.reason.code, slow.parked, slow.limits[0].backoff_reason) == ("destination_backoff", True, "HTTP 429")
    assert (shut.limits[0].circuit, shut.limits[0].waiting) == ("open", 2)
    assert free.reason is None


async def test_retries_have_a_count_and_the_next_due_time(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 2})
    async with parts.dispatching():
        await parts.until(lambda: len(parts.outbox.chunks) == 2)
    first, second = parts.outbox.chunks
    busy = ItemError(code="busy")
    for chunk, delay_s in ((first, 600.0), (second, 3000.0)):
        ordinal = chunk.items[0].ordinal
        await parts.report(chunk, [ItemOutcome(ordinal=ordinal, status="retry", error=busy, delay_s=delay_s)], ended=1)
    reply = await ask(parts, batch)
    (reason,) = reply.reasons
    (destination,) = reply.destinations
    assert (reason.code, reason.items, reply.retries, destination.retries) == ("retry_due_later", 2, 2, 2)
    assert reply.next_retry_at is not None
    assert datetime.now(UTC) < reply.next_retry_at < datetime.now(UTC) + timedelta(seconds=601)
    assert destination.next_retry_at == reply.next_retry_at == reason.until


async def test_a_retry_that_is_due_counts_once(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 1})
    async with parts.dispatching():
        await parts.until(lambda: len(parts.outbox.chunks) == 1)
        parts.state.workload_queue("w").window.back_off("a.example", time.monotonic() + 60)
        await parts.report(parts.outbox.chunks[0], [again(0)], ended=1)
        await parts.until(lambda: bool(parts.state.loaded_retries))
    reply = await ask(parts, batch)
    assert (reply.waiting, reply.retries) == (1, 0)
    assert [reason.code for reason in reply.reasons] == ["destination_backoff"]


async def test_busy_workers_are_a_reason_with_the_place_among_the_batches_of_the_owner(parts: Parts) -> None:
    sizes = {f"{n}.example": 1 for n in range(20)}
    first = await parts.add_batch(sizes, terms=Terms(weight=3))
    async with parts.dispatching():
        await parts.until(lambda: parts.state.workload_queue("w").window.is_full("normal"))
    second = await parts.add_batch(sizes)
    await parts.add_batch({"a.example": 1}, owner="other")
    await parts.add_batch({"a.example": 1}, priority="immediate", owner="other")
    await load(parts)
    reply = await ask(parts, second)
    (reason,) = reply.reasons
    assert (reason.code, reason.items) == ("workers_busy", 20)
    assert "25%" in reason.detail
    assert reply.share is not None
    assert (reply.share.batches, reply.share.share, reply.share.owner_share) == (2, 0.25, 0.5)
    assert reply.share.preceded_by == ["immediate"]
    other = (await ask(parts, first)).share
    assert other is not None
    assert {reply.share.place, other.place} == {1, 2}
    assert other.share == 0.75


async def test_the_reply_is_bounded_whatever_the_batch(parts: Parts) -> None:
    batch = await parts.add_batch({f"{n}.example": 1 + n % 7 for n in range(700)})
    await load(parts)
    window = parts.state.workload_queue("w").window
    for n in range(700):
        window.back_off(f"{n}.example", time.monotonic() + 60)
    reply = await ask(parts, batch)
    assert len(reply.destinations) == MAX_DESTINATIONS
    assert reply.more_destinations == 700 - MAX_DESTINATIONS
    assert {one.waiting for one in reply.destinations} == {7}, "those that hold back most"
    assert len(reply.reasons) == 10
    assert reply.waiting == sum(1 + n % 7 for n in range(700))


async def test_the_question_changes_nothing(parts: Parts) -> None:
    batch = await parts.add_batch({"a.example": 3, "b.example": 3})
    await load(parts)
    before = parts.state.workload_queue("w").scheduler.standing(parts.state.batch_queue(parts.state.batches[batch]))  # type: ignore[arg-type]
    replies = [await ask(parts, batch) for _ in range(3)]
    after = parts.state.workload_queue("w").scheduler.standing(parts.state.batch_queue(parts.state.batches[batch]))  # type: ignore[arg-type]
    assert before == after
    assert [reply.waiting for reply in replies] == [6, 6, 6]

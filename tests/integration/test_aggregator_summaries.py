"""Tests that the ledger waits for a summary, repeats its request, and ends the round with or without it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import aio_pika
import pytest

from batchyard_contracts import topology
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.queries import (
    BatchesQuery,
    BatchesReply,
    ResultsQuery,
    ResultsReply,
    WorkersQuery,
    WorkersReply,
    WorkerState,
)
from batchyard_contracts.v1.values import SUMMARY_MAX_BYTES
from batchyard_contracts.v1.work import SummaryRequested
from devstack import Servers
from services.aggregator.domain import summary
from shared.messaging.connection import connect
from shared.messaging.topology import declare
from tests.support.ledger_messages import BATCH, accepted, controlled, made, processed
from tests.support.patience import PATIENCE_S
from tests.support.running_aggregator import Neighbours, aggregator, at_work, neighbours

QUEUE = topology.summary_queue("noop")


@asynccontextmanager
async def asked(servers: Servers) -> AsyncIterator["asyncio.Queue[SummaryRequested]"]:
    """Consume the summary requests as a worker would."""
    connection = await connect(servers.amqp_url, "summarist")
    found: asyncio.Queue[SummaryRequested] = asyncio.Queue()

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        await found.put(SummaryRequested.decode(message.body))

    try:
        await declare(connection, [*topology.QUEUES, QUEUE])
        channel = await connection.channel()
        queue = await channel.declare_queue(QUEUE.name, passive=True)
        await queue.consume(take, no_ack=True)
        yield found
    finally:
        await connection.close()


async def next_of(wanted: "asyncio.Queue[SummaryRequested]") -> SummaryRequested:
    async with asyncio.timeout(PATIENCE_S):
        return await wanted.get()


async def about_to_end(around: Neighbours) -> None:
    """Send a batch that lacks only its summary."""
    await around.send(accepted(3, has_summary=True), processed({0: "succeeded", 1: "failed", 2: "succeeded"}))


async def test_the_end_waits_for_the_summary_and_contains_it(clean: Servers) -> None:
    async with at_work(clean) as around, asked(clean) as wanted:
        await about_to_end(around)
        request = await next_of(wanted)
        assert (request.batch_id, request.owner, request.round, request.counts.succeeded) == (BATCH, "ann", 1, 2)
        await around.recorded()
        assert around.all(BatchFinished) == []
        query = BatchesQuery(owner="ann", batch_ids=[BATCH])
        (state,) = (await around.query(query, BatchesReply)).batches
        assert (state.status, state.counts.remaining) == ("running", 0)

        await around.send(made({"n": 0}, round_=2), made({"n": 1}))
        (end,) = await around.finished()
        assert (end.result, end.summary, end.summary_error) == ("partial", {"n": 1}, None)
        await around.send(made({"n": 2}))
        await around.recorded()
        (state,) = (await around.query(query, BatchesReply)).batches
        assert (state.status, state.summary) == ("finished", {"n": 1})

        await around.send(controlled("retry", 10))
        await around.until_row("SELECT 1 FROM batches WHERE round = 2")
        (state,) = (await around.query(query, BatchesReply)).batches
        assert state.summary is None, "that of the first round is not the second's"
        await around.send(processed({1: "succeeded"}, round_=2))
        assert (await next_of(wanted)).round == 2
        await around.send(made({"n": 3}, round_=2))
        assert (await around.finished(2))[1].summary == {"n": 3}
        kept = await around.rows("SELECT round, summary FROM summaries ORDER BY round")
        assert kept == [{"round": 1, "summary": b'{"n":1}'}, {"round": 2, "summary": b'{"n":3}'}]


async def test_a_worker_reads_the_results_of_a_batch_while_it_makes_the_summary_and_no_longer(clean: Servers) -> None:
    query = ResultsQuery(owner="ann", batch_id=BATCH, status="succeeded")
    async with at_work(clean) as around, asked(clean) as wanted:

        async def found(exchange: str) -> bool:
            return (await around.query(query, ResultsReply, exchange)).found

        await around.send(accepted(3, has_summary=True), processed({0: "succeeded", 1: "failed"}))
        await around.recorded()
        assert (await found(topology.INQUIRIES), await found(topology.WORKER_INQUIRIES)) == (True, False)
        await around.send(processed({2: "succeeded"}))
        await next_of(wanted)
        assert await found(topology.WORKER_INQUIRIES)
        await around.send(made({"n": 1}))
        await around.finished()
        assert (await found(topology.INQUIRIES), await found(topology.WORKER_INQUIRIES)) == (True, False)


async def test_a_batch_that_an_operator_ends_waits_for_no_summary(clean: Servers) -> None:
    async with at_work(clean) as around, asked(clean) as wanted:
        await about_to_end(around)
        await next_of(wanted)
        await around.send(controlled("cancel", 1, forced=True))
        (end,) = await around.finished()
        assert (end.result, end.summary) == ("partial", None)
        assert "operator" in (end.summary_error or "")


async def test_an_unanswered_summary_request_is_repeated_then_given_up(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "_MARGIN_S", 0.1)
    async with (
        at_work(clean, aggregator_summary_timeout_s=0.1, aggregator_summary_attempts=2) as around,
        asked(clean) as wanted,
    ):
        await about_to_end(around)
        assert await next_of(wanted) == await next_of(wanted)
        (end,) = await around.finished()
        assert (end.result, end.summary, wanted.empty()) == ("partial", None, True)
        assert "No worker made the summary of noop, although it was requested 2 times" in (end.summary_error or "")
        await around.send(made({"n": 1}))
        await around.recorded()
        assert len(around.all(BatchFinished)) == 1, "too late"


@asynccontextmanager
async def live_worker(servers: Servers, workload: str) -> AsyncIterator[None]:
    """Answer as a dispatcher that knows one worker, of this workload."""
    state = WorkerState(
        worker_id="w", workloads=[workload], chunks=[], running=0, stopping=False, seen_at=datetime.now(UTC)
    )
    reply = WorkersReply(workers=[state])

    async def answer(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        if message.type == WorkersQuery.type:
            answered = aio_pika.Message(reply.encode(), type=reply.type, correlation_id=message.correlation_id)
            await channel.default_exchange.publish(answered, message.reply_to or "")

    async with await aio_pika.connect(servers.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(topology.DISPATCHER_QUERIES.name)
        await queue.consume(answer, no_ack=True)
        yield


async def test_a_workload_that_makes_no_summary_any_more_holds_up_no_batch(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "_RECHECK_S", 0.1)
    async with at_work(clean) as around, live_worker(clean, "noop"):
        await about_to_end(around)
        (end,) = await around.finished()
        assert (end.result, end.summary) == ("partial", None)
        assert "none of them makes its summary any more" in (end.summary_error or "")


async def test_a_worker_that_starts_a_little_later_still_makes_the_summary(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "_RECHECK_S", 0.1)
    async with at_work(clean) as around, live_worker(clean, "another"):
        await about_to_end(around)
        await around.until_row("SELECT 1 FROM batches WHERE summary_asked = 2")
        async with asked(clean) as wanted:
            await next_of(wanted)
            await around.send(made({"n": 1}))
            (end,) = await around.finished()
            assert end.summary == {"n": 1}


async def test_a_due_summary_of_a_dead_process_is_requested_by_the_next(clean: Servers) -> None:
    async with neighbours(clean) as around:
        await around.send(accepted(1, has_summary=True))
        async with aggregator(clean), asked(clean) as wanted:
            await around.until_row("SELECT 1 FROM batches WHERE summarize")
            # As the transaction that finds nothing left writes it, of a process that is gone a moment later.
            await around.execute(
                "INSERT INTO outcomes (batch, ordinal, round, attempts, cached, status)"
                " SELECT id, 0, 1, 1, false, 'succeeded' FROM batches"
            )
            await around.execute("UPDATE batches SET succeeded = 1, summary_due_at = now() WHERE batch_id = $1", BATCH)
            assert (await next_of(wanted)).batch_id == BATCH
            await around.send(made({"n": 1}))
            (end,) = await around.finished()
            assert (end.result, end.summary) == ("completed", {"n": 1})


async def test_a_deleted_summary_queue_is_declared_again(clean: Servers) -> None:
    async with at_work(clean) as around:
        connection = await connect(clean.amqp_url, "operator")
        channel = await connection.channel()
        await channel.queue_delete(QUEUE.name, if_empty=False)
        await about_to_end(around)
        await around.until_row("SELECT 1 FROM batches WHERE summary_asked = 1")
        async with asked(clean) as wanted:
            await next_of(wanted)
            await around.send(made({"n": 1}))
            await around.finished()
        await connection.close()


async def test_oversized_summaries_and_control_characters_are_refused(clean: Servers) -> None:
    async with at_work(clean) as around, asked(clean) as wanted:
        await about_to_end(around)
        await next_of(wanted)
        await around.send(made({"text": "x" * SUMMARY_MAX_BYTES}))
        (end,) = await around.finished()
        assert (end.summary, f"at most {SUMMARY_MAX_BYTES}" in (end.summary_error or "")) == (None, True)
        other = uuid4()
        await around.send(
            accepted(1, has_summary=True, batch_id=other),
            processed({0: "succeeded"}, batch_id=other),
        )
        await next_of(wanted)
        await around.send(made(None, "broken\x00 by \x1b[31m").model_copy(update={"batch_id": other}))
        assert (await around.finished(2))[1].summary_error == "broken  by  [31m"

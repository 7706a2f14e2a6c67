"""The aggregator finds batches that cannot end, mends what can be mended, and reports the rest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import aio_pika
import pytest

from batchyard_contracts import topology
from batchyard_contracts.v1.events import BatchStuck
from batchyard_contracts.v1.flow import BatchRemedied, BatchResend, ItemsReopened
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, BatchState, HeldQuery, HeldReply, UnheldBatch
from devstack import Servers
from services.aggregator.domain.stuck import REPORT_SWEEPS
from tests.support.ledger_messages import BATCH, accepted, at, controlled, processed, sealed
from tests.support.patience import PATIENCE_S
from tests.support.running_aggregator import Neighbours, at_work

SWEEP = {"aggregator_stuck_sweep_s": 0.1}


class Dispatcher:
    """Stand-in that answers which batches it holds."""

    def __init__(self) -> None:
        self.rounds: dict[UUID, int | None] = {BATCH: None}
        """Batches that it does not hold, with their rounds."""
        self.asked: list[UUID] = []
        self._was_asked = asyncio.Event()

    async def on_message(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        query = HeldQuery.decode(message.body)
        self.asked += query.batch_ids
        self._was_asked.set()
        unheld = [UnheldBatch(batch_id=b, round=self.rounds[b]) for b in query.batch_ids if b in self.rounds]
        reply = HeldReply(unheld=unheld)
        answer = aio_pika.Message(reply.encode(), type=reply.type, correlation_id=message.correlation_id)
        await self.channel.default_exchange.publish(answer, message.reply_to or "")

    async def asked_often(self) -> None:
        """Wait until the batch was asked about more often than it takes to report it."""
        async with asyncio.timeout(PATIENCE_S):
            while self.asked.count(BATCH) <= REPORT_SWEEPS + 1:
                self._was_asked.clear()
                await self._was_asked.wait()

    @asynccontextmanager
    async def answering(self, servers: Servers) -> AsyncIterator["Dispatcher"]:
        connection = await aio_pika.connect(servers.amqp_url)
        async with connection:
            self.channel = await connection.channel()
            queue = await self.channel.get_queue(topology.DISPATCHER_QUERIES.name)
            await queue.consume(self.on_message, no_ack=True)
            yield self


@pytest.fixture
async def around(clean: Servers) -> AsyncIterator[Neighbours]:
    async with at_work(clean, **SWEEP) as running:
        yield running


@pytest.fixture
async def dispatcher(clean: Servers, around: Neighbours) -> AsyncIterator[Dispatcher]:
    async with Dispatcher().answering(clean) as answering:
        yield answering


async def state(around: Neighbours) -> BatchState:
    reply = await around.query(BatchesQuery(owner="ann", batch_ids=[BATCH]), BatchesReply)
    return reply.batches[0]


async def test_a_batch_that_nobody_holds_is_asked_for_and_reported_once(
    around: Neighbours, dispatcher: Dispatcher
) -> None:
    await around.send(accepted(3, name="nightly"), processed({0: "succeeded"}))
    await around.until(lambda: around.all(BatchStuck))
    assert around.all(BatchResend)[0].batch_id == BATCH
    (stuck,) = around.all(BatchStuck)
    assert (stuck.batch_id, stuck.round, stuck.counts.remaining, stuck.name) == (BATCH, 1, 2, "nightly")
    assert stuck.reason.code == "stuck"
    shown = await state(around)
    assert shown.waiting is not None
    assert shown.waiting == stuck.reason
    await around.send(processed({1: "succeeded"}))  # it was found after all
    await around.until_row("SELECT 1 FROM batches WHERE succeeded = 2")
    assert (await state(around)).waiting is None
    await around.send(processed({2: "succeeded"}))
    await around.finished()
    assert len(around.all(BatchStuck)) == 1


async def test_a_batch_that_is_held_is_left_alone(around: Neighbours, dispatcher: Dispatcher) -> None:
    dispatcher.rounds = {}
    await around.send(accepted(3), processed({0: "succeeded"}))
    await around.until_row("SELECT 1 FROM batches WHERE succeeded = 1")
    dispatcher.asked.clear()
    await dispatcher.asked_often()
    assert around.all(BatchResend) == []
    assert around.all(BatchStuck) == []


async def test_a_batch_whose_header_or_seal_was_lost_is_asked_for_and_goes_on(
    around: Neighbours, dispatcher: Dispatcher
) -> None:
    await around.send(processed({0: "succeeded"}))
    await around.until(lambda: around.all(BatchResend))
    await around.send(accepted(None))
    await around.until(lambda: len(around.all(BatchResend)) >= 3)
    await around.send(accepted(1))  # as ingest sends it after the seal
    (end,) = await around.finished()
    assert end.result == "completed"
    assert around.all(BatchStuck) == []


async def test_the_items_of_a_retry_that_the_dispatcher_did_not_receive_are_sent_again(
    around: Neighbours, dispatcher: Dispatcher
) -> None:
    dispatcher.rounds = {}
    await around.send(accepted(2), processed({0: "failed", 1: "succeeded"}))
    await around.finished()
    await around.send(controlled("retry", 10, round=1))
    await around.until(lambda: around.all(ItemsReopened))
    dispatcher.rounds = {BATCH: 1}
    await around.until(lambda: len(around.all(ItemsReopened)) >= 2)
    first, second, *_ = around.all(ItemsReopened)
    assert first == second
    dispatcher.rounds = {}
    await around.send(processed({0: "succeeded"}, round_=2))
    assert (await around.finished(2))[1].result == "completed"


async def test_a_stuck_batch_ends_once_it_is_cancelled(around: Neighbours, dispatcher: Dispatcher) -> None:
    await around.send(accepted(None), sealed(2500), processed({7: "succeeded"}))
    await around.until(lambda: around.all(BatchStuck))
    await around.send(controlled("cancel", 10, round=1))
    (end,) = await around.finished()
    assert (end.result, end.counts.cancelled, end.counts.succeeded) == ("cancelled", 2499, 1)


async def test_a_backlog_of_messages_is_not_taken_for_a_loss(
    around: Neighbours, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.aggregator.maintenance.stuck_detector._MAX_BACKLOG", 0)
    await around.send(accepted(3))  # it waits in `dispatcher.control` as well, since no dispatcher runs
    await around.until_row("SELECT 1 FROM batches")
    await dispatcher.asked_often()
    assert around.all(BatchResend) == []


async def test_a_replay_sends_the_items_of_a_retry_again(around: Neighbours, dispatcher: Dispatcher) -> None:
    dispatcher.rounds = {}
    await around.send(accepted(2), processed({0: "failed", 1: "succeeded"}))
    await around.finished()
    await around.send(controlled("retry", 10, round=1))
    await around.until(lambda: around.all(ItemsReopened))
    await around.until_row("SELECT 1 FROM outbox WHERE type = 'items.reopened.v1' AND sent_at IS NOT NULL")
    for remedy in ("release", "replay"):
        await around.send(BatchRemedied(batch_id=BATCH, owner="ann", round=2, remedy=remedy, at=at(20)))
    await around.until(lambda: len(around.all(ItemsReopened)) == 2)
    assert around.all(ItemsReopened)[0] == around.all(ItemsReopened)[1]


async def test_only_batches_without_a_change_for_a_while_are_found(around: Neighbours, dispatcher: Dispatcher) -> None:
    dispatcher.rounds = {}
    other, ended = UUID(int=BATCH.int + 1), UUID(int=BATCH.int + 2)
    await around.send(accepted(3), accepted(3, batch_id=other), accepted(1, batch_id=ended))
    await around.send(processed({0: "succeeded"}, batch_id=ended))
    await around.finished()
    await around.until_row("SELECT 1 WHERE 3 = (SELECT count(*) FROM batches WHERE owner = 'ann')")
    await around.execute("UPDATE batches SET changed_at = now() - interval '1 hour' WHERE batch_id <> $1", other)
    query = BatchesQuery(owner="nobody", all_owners=True, idle_s=600)
    (found,) = (await around.query(query, BatchesReply)).batches
    assert found.batch_id == BATCH
    assert found.changed_at is not None
    assert (await around.query(query.model_copy(update={"idle_s": 7200}), BatchesReply)).batches == []

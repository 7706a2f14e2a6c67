"""Batches are accepted many at a time, before or after their outcomes, and their receivers are named at their end."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from batchyard_contracts import topology
from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import NotificationRequested, PageItem, Segment
from batchyard_contracts.v1.values import FailureThreshold, NotificationTargets, Terms
from devstack import Servers
from services.aggregator.handlers.batches import BatchHandler
from services.aggregator.persistence.store import LedgerStore
from services.aggregator.publishing.batch_changes import BatchChangePublisher
from services.aggregator.settings import AggregatorSettings
from shared.messaging.batch_consumer import DecodedMessage
from shared.messaging.publisher import Publisher, outgoing
from shared.postgres.pool import open_pool
from tests.support.ledger_messages import START, accepted, at, controlled, processed, settled
from tests.support.running_aggregator import Neighbours, at_work, neighbours

ITEMS = [Segment(partition="", items=[PageItem(ordinal=0, payload={})])]
HOOK = NotificationTargets(webhooks=["https://hooks.example/x"], emails=["ann@a.example"])


async def accept_whole(around: Neighbours, servers: Servers, *ids: UUID, **fields: Any) -> None:
    """Announce batches of one item with their items, as ingest does."""
    publisher = await Publisher.open(servers.amqp_url, "ingest")
    messages = [accepted(1, batch_id=batch_id, segments=ITEMS, **fields) for batch_id in ids]
    await publisher.publish(
        [outgoing(topology.FLOW, one, routing_key=topology.WHOLE + one.routing_key()) for one in messages]
    )
    await publisher.close()


async def test_batches_end_whether_they_are_accepted_before_or_after_their_outcomes(clean: Servers) -> None:
    ids = [uuid4() for _ in range(40)]
    async with at_work(clean) as around:
        for early in ids[::2]:
            await around.send(processed({0: "succeeded"}, batch_id=early))
        await around.recorded()
        await accept_whole(around, clean, *ids)
        for late in ids[1::2]:
            await around.send(processed({0: "succeeded"}, batch_id=late))
        ends = await around.finished(40)
        await accept_whole(around, clean, *ids[:5])
        await around.recorded()
    assert sorted(end.batch_id for end in ends) == sorted(ids)
    assert {end.result for end in ends} == {"completed"}
    assert len(around.all(BatchFinished)) == 40


async def test_a_group_of_batches_takes_one_statement(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = AggregatorSettings(database_url=clean.database_url)
    pool = await open_pool(settings, "aggregator", "services.aggregator.persistence")
    statements: list[str] = []
    fetch = pool.fetch

    async def counted(query: str, *arguments: Any) -> Any:
        statements.append(query)
        return await fetch(query, *arguments)

    monkeypatch.setattr(pool, "fetch", counted)
    monkeypatch.setattr(LedgerStore, "lock", None)
    changes = BatchChangePublisher(None, None, lambda: None)  # type: ignore[arg-type]
    handler = BatchHandler(LedgerStore(pool), changes, None, lambda: START)  # type: ignore[arg-type]
    messages = [accepted(1, batch_id=uuid4(), segments=ITEMS) for _ in range(30)]
    await handler.on_batches_accepted([DecodedMessage(one, Envelope("", "")) for one in [*messages, messages[0]]])
    assert len(statements) == 1
    assert await pool.fetchval("SELECT count(*) FROM batches WHERE owner = 'ann' AND total = 1") == 30
    await pool.close()


async def test_a_command_that_overtakes_its_batch_is_kept(clean: Servers) -> None:
    batch_id = uuid4()
    async with at_work(clean) as around:
        await around.send(controlled("cancel", 1, batch_id=batch_id))
        await around.until_row("SELECT 1 FROM batches WHERE cancel_asked_at IS NOT NULL")
        threshold = FailureThreshold(count=0)
        await accept_whole(around, clean, batch_id, terms=Terms(failure_threshold=threshold))
        row = await around.until_row("SELECT * FROM batches WHERE owner = 'ann'")
        assert (row["cancel_asked_at"], row["total"]) == (at(1), 1)
        await around.send(settled("cancelled", [0], batch_id=batch_id))
        (end,) = await around.finished()
        assert end.result == "cancelled"


async def test_the_end_of_a_batch_names_its_receivers_in_each_round(clean: Servers) -> None:
    told, untold = uuid4(), uuid4()
    async with at_work(clean) as around:
        await accept_whole(around, clean, told, notify=HOOK)
        await accept_whole(around, clean, untold)
        await around.until_row("SELECT count(*) FROM batches WHERE owner IS NOT NULL HAVING count(*) = 2")
        for batch_id in (untold, told):
            await around.send(processed({0: "failed"}, batch_id=batch_id))
        await around.finished(2)
        for batch_id in (untold, told):
            await around.send(controlled("retry", 5, batch_id=batch_id))
            await around.until_row("SELECT 1 FROM batches WHERE batch_id = $1 AND round = 2", batch_id)
            await around.send(processed({0: "succeeded"}, batch_id=batch_id, round_=2))
        ends = await around.finished(4)
        await around.until(lambda: len(around.all(NotificationRequested)) == 2)
        await around.recorded()
    requests = around.all(NotificationRequested)
    assert [one.notify for one in requests] == [HOOK, HOOK]
    assert [one.event for one in requests] == [end for end in ends if end.batch_id == told]


async def test_the_receivers_of_a_batch_from_an_earlier_version_are_left_to_the_notifier(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(1, notify=HOOK))
        await around.until_row("SELECT 1 FROM batches WHERE owner = 'ann'")
    async with neighbours(clean) as around:
        await around.execute("UPDATE batches SET notify = NULL, version = version + 1")
    async with at_work(clean) as around:
        await around.send(processed({0: "succeeded"}))
        await around.until(lambda: around.all(NotificationRequested))
    (request,) = around.all(NotificationRequested)
    assert request.notify is None
    assert request.event.result == "completed"

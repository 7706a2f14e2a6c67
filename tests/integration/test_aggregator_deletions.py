"""The aggregator deletes what it recorded of batches that have ended, and what comes late changes nothing."""

from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts import topology
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import DeletionCompleted, DeletionRequested, ItemOutcome, ItemsReopened
from batchyard_contracts.v1.queries import (
    BatchesQuery,
    BatchesReply,
    FailuresQuery,
    FailuresReply,
    ResultsQuery,
    ResultsReply,
)
from batchyard_contracts.v1.values import ItemError
from devstack import Servers
from shared.postgres.deletions import Deletions
from tests.support.ledger_messages import BATCH, accepted, at, controlled, processed
from tests.support.running_aggregator import Neighbours, aggregator, at_work, neighbours

OTHER = UUID(int=BATCH.int + 1)
ROWS = """SELECT (SELECT count(*) FROM outcomes WHERE batch = id) AS outcomes,
    (SELECT count(*) FROM failures WHERE batch = id) AS failures,
    (SELECT count(*) FROM causes WHERE batch = id) AS causes
FROM batches WHERE batch_id = $1"""


def requested(kind: Any, *, round_: int = 1, batch_id: UUID = BATCH) -> DeletionRequested:
    return DeletionRequested(batch_id=batch_id, owner="ann", round=round_, kind=kind, at=at(60))


async def end(around: Neighbours, batch_id: UUID = BATCH, items: int = 3) -> None:
    """Have a batch end whose first item failed."""
    statuses = {0: "failed"} | dict.fromkeys(range(1, items), "succeeded")
    await around.send(
        accepted(
            items, batch_id=batch_id, name="secret name", labels={"k": "secret label"}, metadata={"k": "secret too"}
        )
    )
    await around.send(processed(statuses, batch_id=batch_id))
    await around.until(lambda: any(one.batch_id == batch_id for one in around.all(BatchFinished)))


async def until_idle(around: Neighbours) -> None:
    await around.until_row("SELECT 1 WHERE NOT EXISTS (SELECT FROM deletions)")


async def test_a_deleted_batch_is_gone_with_all_its_rows_and_no_other_is(clean: Servers) -> None:
    async with at_work(clean) as around:
        for batch_id in (BATCH, OTHER):
            await end(around, batch_id)
        before = await around.rows(ROWS, OTHER)
        await around.until_row("SELECT 1 WHERE NOT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)")
        await around.send(requested("batch"))
        await around.until(lambda: around.all(DeletionCompleted))
        (completed,) = around.all(DeletionCompleted)
        assert (completed.batch_id, completed.service) == (BATCH, "aggregator")
        assert completed.deleted == {"outcomes": 3, "failures": 1, "completions": 1, "causes": 1, "outbox": 1}
        assert await around.rows(ROWS, BATCH) == [{"outcomes": 0, "failures": 0, "causes": 0}]
        assert await around.rows(ROWS, OTHER) == before
        for query in (BatchesQuery(owner="ann"), BatchesQuery(owner="x", all_owners=True)):
            assert [one.batch_id for one in (await around.query(query, BatchesReply)).batches] == [OTHER]
        assert not (await around.query(ResultsQuery(owner="ann", batch_id=BATCH), ResultsReply)).found
        assert not (await around.query(FailuresQuery(owner="ann", batch_id=BATCH), FailuresReply)).found
        (row,) = await around.rows("SELECT row_to_json(batches)::text AS text FROM batches WHERE batch_id = $1", BATCH)
        assert "secret" not in row["text"]
        assert "ann" not in row["text"]
        assert await around.rows("SELECT FROM outbox WHERE convert_from(body, 'UTF8') LIKE $1", f"%{BATCH}%") == []


async def test_late_messages_do_not_bring_a_deleted_batch_back(clean: Servers) -> None:
    async with at_work(clean) as around:
        await end(around)
        await around.send(requested("batch"))
        await until_idle(around)
        ends = len(around.all(BatchFinished))
        await around.send(
            requested("batch"), accepted(3), processed({0: "succeeded"}), processed({1: "failed"}, round_=2)
        )
        await around.send(controlled("retry", 99, round=1), controlled("pause", 100), controlled("change", 101))
        await around.recorded()
        await until_idle(around)
        assert await around.rows(ROWS, BATCH) == [{"outcomes": 0, "failures": 0, "causes": 0}]
        assert (await around.query(BatchesQuery(owner="ann"), BatchesReply)).batches == []
        assert len(around.all(BatchFinished)) == ends
        assert around.all(ItemsReopened) == []


@pytest.mark.parametrize("kind", ["outcomes", "batch"])
async def test_late_attempts_of_deleted_outcomes_are_not_kept(clean: Servers, kind: str) -> None:
    retry = {0: ItemOutcome(ordinal=0, status="retry", error=ItemError(code="busy"))}
    async with at_work(clean) as around:
        await end(around)
        await around.send(requested(kind))
        await around.until_row("SELECT 1 FROM batches WHERE outcomes_deleted_at IS NOT NULL")
        await around.send(processed(retry), accepted(1, batch_id=OTHER), processed(retry, batch_id=OTHER))
        kept = "SELECT batch_id FROM attempts JOIN batches ON id = batch"
        await around.until_row(f"{kept} WHERE batch_id = $1", OTHER)
        assert await around.rows(kept) == [{"batch_id": OTHER}]


async def test_outcomes_go_and_the_counts_of_the_batch_stay(clean: Servers) -> None:
    async with at_work(clean) as around:
        await end(around)
        await around.send(requested("outcomes"))
        await around.until_row("SELECT 1 FROM batches WHERE outcomes_deleted_at IS NOT NULL")
        await until_idle(around)
        (state,) = (await around.query(BatchesQuery(owner="ann"), BatchesReply)).batches
        assert (state.counts.succeeded, state.counts.failed, state.name) == (2, 1, "secret name")
        assert state.outcomes_deleted_at is not None
        assert (await around.query(ResultsQuery(owner="ann", batch_id=BATCH), ResultsReply)).items == []
        await around.send(controlled("retry", 99, round=1), processed({0: "succeeded"}))
        await around.recorded()
        assert around.all(ItemsReopened) == [], "there is nothing left to run again"
        assert await around.rows(ROWS, BATCH) == [{"outcomes": 0, "failures": 0, "causes": 0}]
        assert around.all(DeletionCompleted) == []


@pytest.mark.parametrize("round_", [1, 2])
async def test_outcomes_of_a_batch_that_runs_are_kept(clean: Servers, round_: int) -> None:
    async with at_work(clean) as around:
        await end(around)
        await around.send(controlled("retry", 10, round=1))
        await around.until(lambda: around.all(ItemsReopened))
        before = await around.rows(ROWS, BATCH)
        await around.send(requested("outcomes", round_=round_), requested("payloads"), requested("deliveries"))
        await around.recorded()
        await around.until_row("SELECT 1 WHERE NOT EXISTS (SELECT FROM deletions)")
        assert await around.rows(ROWS, BATCH) == before


async def test_a_deletion_that_a_crash_interrupts_is_completed_once_with_all_its_rows(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    lots = 0
    update = Deletions.update

    async def stumble(self: Deletions) -> float | None:
        nonlocal lots
        if lots == 3:
            raise ConnectionError("the process is about to die")
        self.lot.rows = 10
        pause = await update(self)
        lots += pause is not None
        return pause

    monkeypatch.setattr(Deletions, "update", stumble)
    async with neighbours(clean) as around:
        async with aggregator(clean):
            await end(around, items=100)
            await around.send(requested("batch"))
            await around.until_row("SELECT 1 FROM deletions WHERE (deleted ->> 'outcomes')::int = 30")
        monkeypatch.setattr(Deletions, "update", update)
        assert around.all(DeletionCompleted) == []
        async with aggregator(clean):
            await around.until(lambda: around.all(DeletionCompleted))
        (completed,) = around.all(DeletionCompleted)
        assert completed.deleted["outcomes"] == 100


def test_services_hear_of_deletions_in_the_order_of_other_messages_on_their_batch() -> None:
    queues = (topology.DISPATCHER_CONTROL, topology.AGGREGATOR_CONTROL, topology.NOTIFIER_INBOX)
    for kind, queue in zip(("payloads", "outcomes", "deliveries"), queues, strict=True):
        for one in (kind, "batch"):
            key = requested(one).routing_key().removesuffix("v1")
            assert topology.Binding(topology.FLOW, f"{key}*") in queue.bindings

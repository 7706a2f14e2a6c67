"""The ledger forgets deleted batches after some days, with late files, and deletes batches without a header."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import DeletionCompleted, DeletionRequested
from devstack import Servers
from services.aggregator.maintenance.tombstones import Tombstones
from shared.artefacts.results import ResultStore
from shared.artefacts.store import StorePlace
from tests.support.ledger_messages import BATCH, accepted, at, processed
from tests.support.running_aggregator import Neighbours, at_work

KEPT = "SELECT batch_id FROM batches ORDER BY id"


async def ended(around: Neighbours, batch_id: UUID) -> None:
    await around.send(accepted(1, batch_id=batch_id), processed({0: "succeeded"}, batch_id=batch_id))
    await around.until(lambda: any(one.batch_id == batch_id for one in around.all(BatchFinished)))


async def test_the_row_of_a_deleted_batch_goes_after_some_days(
    clean: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, recent, kept = BATCH, uuid4(), uuid4()
    store = ResultStore.open(StorePlace(str(tmp_path)))
    assert store is not None
    monkeypatch.setattr(Tombstones, "INTERVAL_S", 0.1)
    async with at_work(clean, results_store=str(tmp_path), deletion_days=60) as around:
        for batch_id in (old, recent, kept):
            await ended(around, batch_id)
        for batch_id in (old, recent):
            await around.send(DeletionRequested(batch_id=batch_id, owner="ann", round=1, kind="batch", at=at(60)))
        await around.until(lambda: len(around.all(DeletionCompleted)) == 2)
        await around.until_row("SELECT 1 WHERE NOT EXISTS (SELECT FROM deletions)")
        for batch_id in (old, recent, kept):
            await store.keep(batch_id, b'"late"')
        await around.execute("UPDATE batches SET finished_at = now() - interval '400 days'")
        await around.execute("UPDATE batches SET deleted_at = now() - interval '61 days' WHERE batch_id = $1", old)
        await around.until_row("SELECT 1 WHERE NOT EXISTS (SELECT FROM batches WHERE batch_id = $1)", old)
        assert [row["batch_id"] for row in await around.rows(KEPT)] == [recent, kept]
    assert {path.name for path in tmp_path.iterdir()} == {str(recent), str(kept)}  # noqa: ASYNC240


async def test_a_batch_whose_header_never_comes_is_deleted(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    stub, recent = BATCH, uuid4()
    monkeypatch.setattr(Tombstones, "INTERVAL_S", 0.1)
    async with at_work(clean, deletion_days=60) as around:
        for batch_id in (stub, recent):
            await around.send(processed({0: "failed", 1: "succeeded"}, batch_id=batch_id))
        await around.until_row("SELECT 1 FROM outcomes HAVING count(*) = 4")
        await around.execute("UPDATE batches SET changed_at = now() - interval '61 days' WHERE batch_id = $1", stub)
        await around.until(lambda: around.all(DeletionCompleted))
        left = await around.rows("SELECT batch_id FROM batches JOIN outcomes ON batch = id")
        assert [row["batch_id"] for row in left] == [recent, recent]
        await around.until_row("SELECT 1 FROM batches WHERE batch_id = $1 AND deleted_at IS NOT NULL", stub)

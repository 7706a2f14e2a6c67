"""The ledger keeps references to large results; pages and streams have the results, and deletions delete them."""

from pathlib import Path
from typing import Any

import pytest

from batchyard_contracts.v1.flow import (
    DeletionCompleted,
    DeletionRequested,
    ItemOutcome,
    ItemsReopened,
    WorkerAnnounced,
)
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.queries import ResultsPage, ResultsQuery, ResultsReply, StreamPage, StreamQuery
from batchyard_contracts.v1.values import ItemError, ItemResult, StoredResult
from devstack import Servers
from shared.artefacts.results import ResultStore
from shared.artefacts.store import StorePlace
from shared.runtime.errors import QueryRefused
from tests.support.ledger_messages import BATCH, START, accepted, at, controlled, processed
from tests.support.running_aggregator import Neighbours, at_work

LARGE = "x" * 100_000
ROWS = "SELECT ordinal, status, result, stored_bytes, error_code FROM outcomes ORDER BY ordinal"


def opened(folder: Path) -> ResultStore:
    store = ResultStore.open(StorePlace(str(folder)))
    assert store is not None
    return store


async def reference(folder: Path, text: str = LARGE) -> StoredResult:
    found = await opened(folder).keep(BATCH, f'"{text}"'.encode())
    assert found is not None
    return found


def success(ordinal: int, **fields: Any) -> ItemOutcome:
    return ItemOutcome(ordinal=ordinal, status="succeeded", **fields)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def plain(item: ItemResult) -> dict[str, Any]:
    return item.model_dump(exclude={"cursor"})


async def results(around: Neighbours) -> list[Any]:
    """Read the results of the batch in three ways, which must agree."""
    query = {"owner": "ann", "batch_id": BATCH}
    paged = await around.query(ResultsQuery.model_validate(query | {"max_items": 100}), ResultsPage)
    older = await around.query(ResultsQuery.model_validate(query), ResultsReply)
    expected = [plain(one) for one in paged.items]
    assert [plain(one) for one in older.items] == expected
    for order in ("ordinal", "completion"):
        page = await around.query(StreamQuery.model_validate(query | {"order": order, "max_items": 100}), StreamPage)
        assert [plain(one) for one in sorted(page.items, key=lambda one: one.ordinal)] == expected
    return [one.error.code if one.error else one.result for one in paged.items]


async def test_large_results_are_files_and_readers_see_no_difference(clean: Servers, tmp_path: Path) -> None:
    stored = await reference(tmp_path)
    async with at_work(clean, results_store=str(tmp_path)) as around:
        await around.send(accepted(4))
        await around.send(
            processed({0: success(0, stored=stored), 1: success(1, result=LARGE), 2: success(2, result="small")}),
            processed({3: success(3, result="y" * 100_000)}),
        )
        await around.finished()
        assert await around.rows(ROWS) == [
            {"ordinal": n, "status": "succeeded", "result": result, "stored_bytes": size, "error_code": None}
            for n, result, size in ((0, None, 100_002), (1, None, 100_002), (2, b'"small"', None), (3, None, 100_002))
        ]
        assert len(files(tmp_path)) == 2, "equal results are one file"
        assert await results(around) == [LARGE, LARGE, "small", "y" * 100_000]
        await around.send(DeletionRequested(batch_id=BATCH, owner="ann", round=1, kind="batch", at=at(60)))
        await around.until(lambda: around.all(DeletionCompleted))
        (completed,) = around.all(DeletionCompleted)
        assert (completed.deleted["outcomes"], completed.deleted["stored_results"]) == (4, 2)
    assert files(tmp_path) == []


async def test_a_deletion_waits_for_a_store_that_is_away(clean: Servers, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    stored = await reference(folder)
    async with at_work(clean, results_store=str(folder)) as around:
        await around.send(accepted(1), processed({0: success(0, stored=stored)}))
        await around.finished()
        folder.rename(tmp_path / "away")
        await around.send(DeletionRequested(batch_id=BATCH, owner="ann", round=1, kind="batch", at=at(60)))
        await around.until_row("SELECT 1 FROM deletions WHERE due_at > now()")
        assert await around.rows(ROWS) == []
        assert around.all(DeletionCompleted) == []
        (tmp_path / "away").rename(folder)
        await around.execute("UPDATE deletions SET due_at = now()")
        await around.send(DeletionRequested(batch_id=BATCH, owner="ann", round=1, kind="batch", at=at(61)))
        await around.until(lambda: around.all(DeletionCompleted))
        assert around.all(DeletionCompleted)[0].deleted["stored_results"] == 1
    assert files(folder) == []


async def test_pages_are_cut_by_the_size_of_stored_results(clean: Servers, tmp_path: Path) -> None:
    async with at_work(clean, results_store=str(tmp_path)) as around:
        await around.send(accepted(4))
        for n in range(4):
            await around.send(processed({n: success(n, stored=await reference(tmp_path, str(n) * 700_000))}))
        await around.finished()
        query = {"owner": "ann", "batch_id": BATCH, "max_items": 100}
        page = await around.query(ResultsQuery.model_validate(query), ResultsPage)
        assert ([one.ordinal for one in page.items], page.next_after) == ([0, 1], 1)
        streamed = await around.query(StreamQuery.model_validate(query | {"order": "completion"}), StreamPage)
        assert (len(streamed.items), streamed.has_more) == (2, True)


async def test_a_lost_result_is_told_in_its_place_and_a_store_that_is_away_is_tried_again(
    clean: Servers, tmp_path: Path
) -> None:
    folder = tmp_path / "store"
    lost, there = await reference(folder), await reference(folder, "there")
    async with at_work(clean, results_store=str(folder)) as around:
        await around.send(accepted(2))
        await around.send(processed({0: success(0, stored=lost), 1: success(1, stored=there)}))
        await around.finished()
        folder.rename(tmp_path / "away")
        with pytest.raises(QueryRefused, match="try again"):
            await results(around)
        (tmp_path / "away").rename(folder)
        (folder / str(BATCH) / lost.sha256).unlink()
        assert await results(around) == ["result_lost", "there"]
    async with at_work(clean) as around:
        with pytest.raises(QueryRefused, match="BATCHYARD_RESULTS_STORE"):
            await results(around)


@pytest.mark.parametrize("folder", ["", "file/folder"])
async def test_without_a_usable_store_large_results_stay_in_their_rows(
    clean: Servers, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with at_work(clean, results_store=folder and str(tmp_path / folder)) as around:
        await around.send(accepted(1), processed({0: success(0, result=LARGE)}))
        await around.finished()
        assert [len(row["result"]) for row in await around.rows(ROWS)] == [100_002]
        assert await results(around) == [LARGE]


async def test_stored_results_of_a_worker_that_checks_none_are_checked(clean: Servers, tmp_path: Path) -> None:
    schema = {"type": "string", "maxLength": 99_000}
    manifest = Manifest(name="noop", version="1", item_schema={}, result_schema=schema, checks_results=False)
    wrong, right = await reference(tmp_path), await reference(tmp_path, "y" * 80_000)
    async with at_work(clean, results_store=str(tmp_path)) as around:
        await around.send(WorkerAnnounced(worker_id="w1", manifests=[manifest], started_at=START))
        await around.until_row("SELECT 1 FROM workloads")
        await around.send(accepted(2), processed({0: success(0, stored=wrong), 1: success(1, stored=right)}))
        await around.finished()
        found = [(row["status"], row["result"], row["stored_bytes"]) for row in await around.rows(ROWS)]
        assert found == [("failed", None, 100_002), ("succeeded", None, 80_002)]
        assert await results(around) == ["invalid_result", "y" * 80_000]


async def test_a_replaced_outcome_keeps_its_stored_result_until_its_batch_goes(clean: Servers, tmp_path: Path) -> None:
    stored = await reference(tmp_path)
    failed = ItemOutcome(ordinal=0, status="failed", error=ItemError(code="invalid_result"), stored=stored)
    async with at_work(clean, results_store=str(tmp_path)) as around:
        await around.send(accepted(1), processed({0: failed}))
        await around.finished()
        await around.send(controlled("retry", 1))
        await around.until(lambda: around.all(ItemsReopened))
        await around.send(processed({0: success(0, result="now")}, round_=2))
        await around.finished(2)
        query = StreamQuery(owner="ann", batch_id=BATCH, order="ordinal", max_items=10, round=1)
        (earlier,) = (await around.query(query, StreamPage)).items
        assert (earlier.status, earlier.result) == ("failed", LARGE)
        await around.send(DeletionRequested(batch_id=BATCH, owner="ann", round=2, kind="outcomes", at=at(60)))
        await around.until_row("SELECT 1 FROM batches WHERE outcomes_deleted_at IS NOT NULL")
        await around.until_row("SELECT 1 WHERE NOT EXISTS (SELECT FROM deletions)")
    assert files(tmp_path) == []

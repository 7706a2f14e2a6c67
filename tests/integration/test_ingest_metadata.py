"""Tests of the client's own JSON about a batch: by every way in, within its bounds, and where it comes back."""

import json
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.flow import BatchAccepted
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply
from batchyard_contracts.v1.values import NewItem
from devstack import Servers
from tests.support.running_ingest import IngestHarness, running_ingest
from tests.support.upload_files import lines, post

METADATA = {"order": {"id": 7, "lines": [1, 2]}, "rush": True}
ITEMS: list[dict[str, Any]] = [{"payload": {"n": 1}}]


async def announced(harness: IngestHarness, batch_id: str | UUID) -> BatchAccepted:
    await harness.wait_until(lambda: any(str(one.batch_id) == str(batch_id) for one in harness.all(BatchAccepted)))
    return next(one for one in harness.all(BatchAccepted) if str(one.batch_id) == str(batch_id))


async def test_metadata_is_announced_by_every_way_in(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        command = BatchSubmit(workload="squares", items=[NewItem(payload={"n": 1})], metadata=METADATA)
        by_amqp = await harness.command(command)
        assert isinstance(by_amqp, CommandAccepted)
        status, by_http = await harness.post("/batches", json=json.loads(command.encode()))
        assert status == 202
        options = "&options=" + json.dumps({"metadata": METADATA}, separators=(",", ":"))
        short, long = await post(harness, lines(3), options), await post(harness, lines(20_000), options)
        assert (short[0], long[0]) == (202, 202)
        for batch_id in (by_amqp.batch_id, by_http["batch_id"], short[1]["batch_id"], long[1]["batch_id"]):
            assert (await announced(harness, batch_id)).metadata == METADATA
        stored = await harness.rows("SELECT metadata FROM batches")
        assert [json.loads(row["metadata"]) for row in stored] == [METADATA] * 4


async def test_metadata_belongs_to_what_is_repeated(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        body = {"workload": "squares", "items": ITEMS, "idempotency_key": "one", "metadata": METADATA}
        assert (await harness.post("/batches", json=body))[0] == 202
        assert (await harness.post("/batches", json=body))[1]["replayed"]
        status, problem = await harness.post("/batches", json=body | {"metadata": {}})
        assert (status, problem["code"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize(
    "metadata",
    [
        {"long": "x" * 5000},
        {"nul": ["\x00"]},
        {"deep": [[[[[[[[1]]]]]]]]},
        {"k" * 64: 1},
        {f"{n}": n for n in range(51)},
        [1],
    ],
    ids=["long", "nul", "deep", "key", "many", "list"],
)
async def test_metadata_has_bounds(clean: Servers, metadata: Any) -> None:
    async with running_ingest(clean) as harness:
        body = {"workload": "squares", "items": ITEMS, "metadata": metadata}
        status, problem = await harness.post("/batches", json=body)
        assert status in {400, 422}
        assert "metadata" in json.dumps(problem)
        status, problem = await harness.get("/batches", params={"metadata": json.dumps(metadata)})
        assert status == 422


async def test_batches_are_listed_by_metadata(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        asked: list[BatchesQuery] = []

        def answer(query: BatchesQuery) -> BatchesReply:
            asked.append(query)
            return BatchesReply(batches=[])

        harness.answers[BatchesQuery] = answer
        assert (await harness.get("/batches", params={"metadata": '{"order":{"id":7}}'}))[0] == 200
        assert asked[-1].metadata == {"order": {"id": 7}}
        status, problem = await harness.get("/batches", params={"metadata": "no"})
        assert (status, problem["code"]) == (422, "invalid_request")
        assert "metadata" in problem["detail"]

"""A result of 1 MB travels through real services: a file until its batch is deleted, in all formats for its readers."""

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import duckdb
import pytest
import pytest_asyncio

from devstack import Servers
from tests.support.cluster import Cluster, running_cluster
from tests.support.patience import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIZES = [1_000_000, 10, 1_000_000]
WORKLOAD = """
from pydantic import BaseModel

from batchyard_contracts.workload import Context, Workload


class Item(BaseModel):
    size: int


class Text(BaseModel):
    text: str
    size: int


workload = Workload("texts", version="1", item=Item, result=Text)


@workload.handler
async def run(item: Item, context: Context) -> Text:
    return Text(text="x" * item.size, size=item.size)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the workload and of the stores."""
    return tmp_path_factory.mktemp("large")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(servers: Servers, folder: Path) -> AsyncIterator[Cluster]:
    """The five services, with a workload of large results."""
    file = folder / "texts.py"
    file.write_text(WORKLOAD, "utf-8")
    environment = {
        "BATCHYARD_WORKER_FILES": json.dumps([str(file)]),
        "BATCHYARD_RESULTS_STORE": str(folder / "results"),
        "BATCHYARD_EXPORTS_STORE": str(folder / "exports"),
    }
    async with running_cluster(servers, environment, workers=1, known=("texts",)) as running:
        yield running


def stored(folder: Path) -> list[str]:
    """Return the names of the files of large results, with their folders."""
    place = folder / "results"
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


async def submitted(cluster: Cluster) -> UUID:
    """Submit a batch with large results, which another one follows that takes its items from them."""
    items = {"parameter": "items", "payload": {"size": "/size"}}
    template = {
        "name": "again",
        "parameters": {"properties": {"items": {"type": "array"}}},
        "body": {"workload": "texts", "items": []},
        "fill": {"/items": "items"},
    }
    async with cluster.http.post("templates", json=template) as response:
        assert response.status < 300, await response.text()
    batch = {
        "workload": "texts",
        "items": [{"payload": {"size": size}} for size in SIZES],
        "follow_ups": [{"template": "again", "items": items}],
    }
    async with cluster.http.post("batches", json=batch) as response:
        accepted: dict[str, str] = await response.json()
        return UUID(accepted["batch_id"])


async def read(cluster: Cluster, path: str) -> bytes:
    async with cluster.http.get(path) as response:
        assert response.status == 200, await response.text()
        return await response.read()


def lengths_of_csv(text: bytes) -> list[int]:
    csv.field_size_limit(10 * SIZES[0])
    return [len(row["text"]) for row in csv.DictReader(io.StringIO(text.decode("utf-8-sig")))]


async def exported(cluster: Cluster, path: str, export_format: str) -> bytes:
    async with cluster.http.post(f"{path}/exports", json={"format": export_format}) as response:
        begun: dict[str, Any] = await response.json()

    async def show() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await read(cluster, f"{path}/exports/{begun['id']}"))
        return found

    ended = await until(show, lambda one: one["state"] != "running")
    assert (ended["state"], ended["complete"], ended["rows"]) == ("succeeded", True, 3), ended
    parts = [await read(cluster, f"{path}/exports/{begun['id']}/files/{part['name']}") for part in ended["parts"]]
    return b"".join(parts)


async def test_a_large_result_is_a_file_for_the_services_and_a_result_for_everybody(
    cluster: Cluster, folder: Path, tmp_path: Path
) -> None:
    batch_id = await submitted(cluster)
    ended = await cluster.client.wait(batch_id, timeout_s=60)
    assert (ended.result, ended.counts.succeeded) == ("completed", len(SIZES))
    path = f"batches/{batch_id}"
    assert [len(one.result["text"]) async for one in cluster.client.results(batch_id)] == SIZES
    assert [len(one["result"]["text"]) for one in json.loads(await read(cluster, f"{path}/results"))] == SIZES
    followed = await read(cluster, f"{path}/results?format=ndjson&follow=true")
    items = [json.loads(line) for line in followed.splitlines()]
    assert sorted(len(one["result"]["text"]) for one in items if "result" in one) == sorted(SIZES)
    assert lengths_of_csv(await read(cluster, f"{path}/results?format=csv")) == SIZES
    assert lengths_of_csv(await exported(cluster, path, "csv")) == SIZES
    lines = (await exported(cluster, path, "ndjson")).splitlines()
    assert [len(json.loads(line)["result"]["text"]) for line in lines] == SIZES
    (tmp_path / "all.parquet").write_bytes(await exported(cluster, path, "parquet"))
    rows = duckdb.connect().execute(f"SELECT length(text) FROM '{tmp_path}/all.parquet' ORDER BY ordinal").fetchall()
    assert [length for (length,) in rows] == SIZES

    async def followers() -> list[dict[str, Any]]:
        found: dict[str, Any] = json.loads(await read(cluster, f"{path}/lineage"))
        return [one for one in found["followed_by"] if one["state"] == "started"]

    (follower,) = await until(followers)
    next_batch = UUID(follower["batch_id"])
    await cluster.client.wait(next_batch, timeout_s=60)
    assert [one.result["size"] async for one in cluster.client.results(next_batch)] == SIZES
    connection = await asyncpg.connect(cluster.servers.database_url)
    try:
        largest = await connection.fetchval("SELECT max(octet_length(result)) FROM aggregator.outcomes")
    finally:
        await connection.close()
    assert largest < 1000
    assert [name.split("/")[0] for name in stored(folder)] == sorted([str(batch_id), str(next_batch)])
    for one in (batch_id, next_batch):
        async with cluster.http.delete(f"batches/{one}") as response:
            assert response.status == 202, await response.text()

        async def deletion(one: UUID = one) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(await read(cluster, f"batches/{one}/deletion"))
            return found

        found = await until(deletion, lambda one: one.get("completed_at"))
        assert found["deleted"]["aggregator"]["stored_results"] == 1
    assert stored(folder) == []
    assert cluster.defects() == []

"""Tests of batches with a source in place of items: a worker expands it exactly once, also across kills."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from pydantic import JsonValue

from batchyard_contracts.client import BatchRefused
from batchyard_contracts.v1.commands import BatchAppend, BatchSeal, BatchSubmit
from batchyard_contracts.v1.values import NewItem
from tests.support.cluster import Cluster, until_announced
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")

SQUARES = """
import os
from pathlib import Path
from pydantic import BaseModel, Field
from batchyard_contracts.workload import Continuation, Expansion, Permanent, Workload

class Number(BaseModel):
    n: int = Field(ge=0)

class Square(BaseModel):
    square: int

class Numbers(BaseModel):
    up_to: int = Field(ge=0, le=100_000)
    at_once: int = 10_000
    die_once: str | None = None
    refuse: bool = False
    wait_for: str | None = None

squares = Workload("found-squares", version="1", item=Number, result=Square, description="Squares.", example={"n": 2})

@squares.handler
async def run(item, context):
    return Square(square=item.n * item.n)

@squares.source(Numbers, example={"up_to": 5})
async def find(source, context):
    if source.refuse:
        raise Permanent("bad_criteria", "There are no such numbers.")
    if source.wait_for and not Path(source.wait_for).exists():
        return Continuation(None, 0.2)
    first = context.state or 0
    last = min(first + source.at_once, source.up_to)
    if source.die_once and first and not Path(source.die_once).exists():
        Path(source.die_once).touch()
        os.kill(os.getpid(), 9)
    found = [Number.model_construct(n=n) for n in range(first, last)]
    more = last if last < source.up_to else None
    return Expansion(found, result={"found": source.up_to}, state=more)
"""


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def squares(cluster: Cluster) -> AsyncIterator[None]:
    file = cluster.folder / "found_squares.py"
    file.write_text(SQUARES, "utf-8")
    argv = (sys.executable, "-m", "services.cli", "workload", "run", str(file))
    environment = {**os.environ, **cluster.servers.environment(), "BATCHYARD_HEALTH_PORT": "0"}
    environment |= {"BATCHYARD_HEARTBEAT_S": "1"}
    processes = [await asyncio.create_subprocess_exec(*argv, env=environment) for _ in range(2)]
    try:
        await until_announced(cluster.http, "found-squares")
        yield
    finally:
        for process in processes:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
        await asyncio.wait_for(asyncio.gather(*(process.wait() for process in processes)), PATIENCE_S)


async def _submit(cluster: Cluster, source: dict[str, JsonValue], *, estimate: bool = False) -> UUID:
    command = BatchSubmit(workload="found-squares", source=source, estimate=estimate)
    async with cluster.http.post(
        "batches", data=command.encode(), headers={"Content-Type": "application/json"}
    ) as response:
        assert response.status == 202, await response.text()
        return UUID((await response.json())["batch_id"])


@pytest.mark.usefixtures("squares")
async def test_items_of_a_source_run_and_the_source_is_item_0(cluster: Cluster) -> None:
    batch_id = await _submit(cluster, {"up_to": 2500})
    finished = await cluster.client.wait(batch_id, PATIENCE_S)
    assert (finished.result, finished.counts.succeeded) == ("completed", 2501)
    results = [item.result async for item in cluster.client.results(batch_id)]
    assert results[0] == {"found": 2500}
    assert [result["square"] for result in results[1:]] == [n * n for n in range(2500)]
    await cluster.check_ledger(batch_id, 2501)


@pytest.mark.usefixtures("squares")
async def test_an_empty_source_completes_its_batch(cluster: Cluster) -> None:
    batch_id = await _submit(cluster, {"up_to": 0})
    finished = await cluster.client.wait(batch_id, PATIENCE_S)
    assert (finished.result, finished.counts.total) == ("completed", 1)


@pytest.mark.usefixtures("squares")
async def test_an_estimate_expands_the_source_without_running_items(cluster: Cluster) -> None:
    batch_id = await _submit(cluster, {"up_to": 2500, "at_once": 1000}, estimate=True)
    finished = await cluster.client.wait(batch_id, PATIENCE_S)
    assert (finished.result, finished.counts.total) == ("completed", 1)
    assert [item.result async for item in cluster.client.results(batch_id)] == [{"found": 2500}]


@pytest.mark.usefixtures("squares")
async def test_a_source_that_is_refused_ends_its_batch_with_the_reason(cluster: Cluster) -> None:
    batch_id = await _submit(cluster, {"up_to": 5, "refuse": True})
    finished = await cluster.client.wait(batch_id, PATIENCE_S)
    assert (finished.result, finished.counts.total) == ("failed", 1)
    (group,) = await cluster.client.failures(batch_id)
    assert (group.code, group.message) == ("bad_criteria", "There are no such numbers.")
    async with cluster.http.post(f"batches/{batch_id}/retry") as response:
        assert (response.status, (await response.json())["code"]) == (409, "source_not_retried")


@pytest.mark.usefixtures("squares")
async def test_an_invalid_source_is_refused_at_submission(cluster: Cluster) -> None:
    async with cluster.http.post("batches", json={"workload": "found-squares", "source": {"up_to": -1}}) as response:
        (error,) = (await response.json())["errors"]
        assert (error["code"], error["pointer"]) == ("source_invalid", "/source/up_to")
    for body, code in (
        ({"workload": "found-squares", "source": {"up_to": -1}}, "source_invalid"),
        ({"workload": "noop", "source": {"n": 1}}, "no_source"),
        ({"workload": "found-squares", "source": {"up_to": 1}, "items": [{"payload": {"n": 1}}]}, "invalid_command"),
        ({"workload": "found-squares", "items": [{"payload": {"n": 1}}], "estimate": True}, "invalid_command"),
    ):
        async with cluster.http.post("batches", json=body) as response:
            assert (response.status, (await response.json())["code"]) == (422, code), body


@pytest.mark.usefixtures("squares")
async def test_a_batch_with_a_source_refuses_items_and_can_be_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    batch_id = await _submit(cluster, {"up_to": 5, "wait_for": str(tmp_path / "never")})
    for command in (
        BatchAppend(batch_id=batch_id, sequence=0, items=[NewItem(payload={"n": 1})]),
        BatchSeal(batch_id=batch_id),
    ):
        with pytest.raises(BatchRefused) as refused:
            await cluster.client.send(command)
        assert refused.value.code == "source_batch"
    await cluster.client.control(batch_id, "cancel")
    finished = await cluster.client.wait(batch_id, PATIENCE_S)
    assert (finished.result, finished.counts.cancelled, finished.counts.total) == ("cancelled", 1, 1)


@pytest.mark.usefixtures("squares")
async def test_a_worker_killed_during_expansion_loses_and_repeats_no_item(cluster: Cluster, tmp_path: Path) -> None:
    batch_id = await _submit(cluster, {"up_to": 3000, "at_once": 1000, "die_once": str(tmp_path / "died")})
    finished = await cluster.client.wait(batch_id, 90)
    assert (tmp_path / "died").exists()
    assert (finished.result, finished.counts.succeeded) == ("completed", 3001)
    squares = [item.result["square"] async for item in cluster.client.results(batch_id) if "square" in item.result]
    assert squares == [n * n for n in range(3000)]
    await cluster.check_ledger(batch_id, 3001)

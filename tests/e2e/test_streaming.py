"""Tests that items run during their upload and that an interrupted upload resumes, with each item once and in place."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import aiohttp
import pytest

from batchyard_contracts.client import UnknownBatch
from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.events import BatchProgressed
from batchyard_contracts.v1.values import Counts
from services.cli.exit_codes import Exit
from tests.support.cluster import Cluster
from tests.support.command import Command
from tests.support.patience import PATIENCE_S

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]

NDJSON = {"Content-Type": "application/x-ndjson"}


def _lines(first: int, end: int) -> bytes:
    return b"".join(b'{"n": %d}\n' % n for n in range(first, end))


async def _progress(cluster: Cluster, batch_id: UUID, ended: int = 1) -> Counts:
    """Wait until this many items have ended and return the counts."""
    async with asyncio.timeout(PATIENCE_S), cluster.client.events(batch_id) as events:
        with suppress(UnknownBatch):
            counts = (await cluster.client.batch(batch_id)).counts  # what was told before anybody listened
            if counts.ended >= ended:
                return counts
        async for event in events:
            if isinstance(event, BatchProgressed) and event.counts.ended >= ended:
                return event.counts
    raise AssertionError


async def _check_results(cluster: Cluster, batch_id: UUID, total: int) -> None:
    await cluster.check_ledger(batch_id, total)
    ordinal = 0
    async for item in cluster.client.results(batch_id, page=1000):
        assert (item.ordinal, item.result["n"]) == (ordinal, ordinal * ordinal)
        ordinal += 1
    assert ordinal == total


async def test_items_end_while_the_upload_continues(cluster: Cluster) -> None:
    batch_id = new_batch_id()

    async def slow() -> AsyncIterator[bytes]:
        yield _lines(0, 12_000)
        counts = await _progress(cluster, batch_id, 10_000)
        assert counts.total is None
        yield _lines(12_000, 12_500)

    url = f"batches?workload=noop&batch_id={batch_id}"
    async with cluster.http.post(url, data=slow(), headers=NDJSON) as answer:
        assert (answer.status, (await answer.json())["items"]) == (202, 12_500)
    finished = await cluster.client.wait(batch_id, PATIENCE_S)
    assert (finished.result, finished.counts.succeeded) == ("completed", 12_500)
    await _check_results(cluster, batch_id, 12_500)


async def test_an_upload_interrupted_by_a_kill_resumes(cluster: Cluster, tmp_path: Path) -> None:
    batch_id, total = new_batch_id(), 40_000

    async def doomed() -> AsyncIterator[bytes]:
        for first in range(0, 30_000, 1000):
            yield _lines(first, first + 1000)
        await _progress(cluster, batch_id)
        cluster.supervisor.kill("ingest", signal.SIGKILL)
        yield _lines(30_000, total)

    headers = NDJSON | {"Idempotency-Key": str(batch_id)}
    with pytest.raises(aiohttp.ClientError):
        async with cluster.http.post(
            f"batches?workload=noop&batch_id={batch_id}", data=doomed(), headers=headers
        ) as answer:
            await answer.read()
    await cluster.supervisor.ready("ingest")
    file = tmp_path / "items.ndjson"
    file.write_bytes(_lines(0, total))
    cli = Command({"BATCHYARD_URL": str(cluster.http._base_url).removesuffix("/api/v1/")})
    ended = await cli("submit", "noop", str(file), "--idempotency-key", str(batch_id), "--watch")
    assert (ended.code, ended.out.strip()) == (Exit.OK, str(batch_id)), ended.err
    await _check_results(cluster, batch_id, total)


async def test_an_open_batch_runs_while_it_grows(cluster: Cluster) -> None:
    opened = {"workload": "noop", "items": [{"payload": {"n": n}} for n in range(3)], "sealed": False}
    async with cluster.http.post("batches", json=opened) as answer:
        batch_id = UUID((await answer.json())["batch_id"])
    assert (await _progress(cluster, batch_id, 3)).total is None
    more = {"sequence": 0, "items": [{"payload": {"n": n}} for n in range(3, 6)]}
    async with cluster.http.post(f"batches/{batch_id}/items", json=more) as answer:
        assert (await answer.json())["items"] == 6
    assert (await _progress(cluster, batch_id, 6)).total is None
    async with cluster.http.post(f"batches/{batch_id}/seal") as answer:
        assert answer.status == 202
    finished = await cluster.client.wait(batch_id, PATIENCE_S)
    assert finished.counts.total == 6
    await _check_results(cluster, batch_id, 6)

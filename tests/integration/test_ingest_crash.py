"""Ingest is killed while it handles commands: every command is answered in the end, and makes one batch."""

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.commands import BatchAppend, BatchSeal, BatchSubmit, CommandAccepted
from batchyard_contracts.v1.flow import BatchAccepted, BatchSealed, ItemsPage
from batchyard_contracts.v1.values import NewItem
from devstack import Servers
from tests.support.ingest_process import ingest_process
from tests.support.patience import PATIENCE_S, until
from tests.support.running_ingest import connect_harness, running_ingest
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.faults
COMMANDS = 150


def items(*numbers: int) -> list[NewItem]:
    return [NewItem(payload={"n": n}) for n in numbers]


@pytest.mark.parametrize("after", [1, 40])
async def test_submissions_survive_a_kill(clean: Servers, tmp_path: Path, after: int) -> None:
    async with ingest_process(clean, tmp_path / "log") as process, connect_harness(clean, process.port) as harness:
        await harness.announce()
        waiting = []
        for n in range(COMMANDS):
            command = BatchSubmit(workload="squares", items=items(n), name=str(n))
            waiting.append(await harness.begin_command(command.type, command.encode()))
        await harness.wait_for(BatchAccepted, after)
        await process.end(signal.SIGKILL)
        async with running_ingest(clean):
            async with asyncio.timeout(PATIENCE_S):
                while len({announced.name for announced in harness.all(BatchAccepted)}) < COMMANDS:
                    await harness.wait_for(BatchAccepted, len(harness.all(BatchAccepted)) + 1)
            rows = await harness.rows("SELECT name FROM batches")
            assert sorted(int(row["name"]) for row in rows) == list(range(COMMANDS))
            announced = harness.all(BatchAccepted)
            assert len({each.batch_id for each in announced}) == COMMANDS
            answered = [CommandAccepted.decode(reply.result().body) for reply in waiting if reply.done()]
            assert {each.batch_id for each in answered} <= {each.batch_id for each in announced}
            pages = {page.batch_id for page in harness.pages}
            assert pages == {each.batch_id for each in announced}


async def test_submissions_that_were_committed_together_and_not_published_survive_a_kill(
    clean: Servers, tmp_path: Path
) -> None:
    async with TcpProxy(clean.amqp_url) as proxy:
        reached = replace(clean, amqp_url=proxy.url)
        async with (
            ingest_process(reached, tmp_path / "log") as process,
            connect_harness(clean, process.port) as harness,
        ):
            await harness.announce()
            proxy.refuse()
            bodies = [{"workload": "squares", "name": str(n), "items": [{"payload": {"n": n}}]} for n in range(10)]
            posts = [asyncio.create_task(harness.post("/batches", json=body)) for body in bodies]
            await until(lambda: harness.rows("SELECT FROM batches"), lambda rows: len(rows) == 10)
            await process.end(signal.SIGKILL)
            await asyncio.gather(*posts, return_exceptions=True)
            assert harness.flow == []
            async with running_ingest(clean):
                announced = await harness.wait_for(BatchAccepted, 10)
            assert sorted(int(each.name or "") for each in announced) == list(range(10))
            assert all(each.segments for each in announced)


async def test_appends_survive_a_kill(clean: Servers, tmp_path: Path) -> None:
    async with ingest_process(clean, tmp_path / "log") as process, connect_harness(clean, process.port) as harness:
        await harness.announce()
        batch_id = new_batch_id()
        commands = [
            BatchSubmit(workload="squares", batch_id=batch_id, sealed=False),
            *(BatchAppend(batch_id=batch_id, sequence=n, items=items(n)) for n in range(60)),
            BatchSeal(batch_id=batch_id),
        ]
        for command in commands:
            await harness.begin_command(command.type, command.encode())
        await harness.wait_for(ItemsPage, 10)
        await process.end(signal.SIGKILL)
        async with running_ingest(clean):
            announced = await harness.wait_for(BatchSealed)
            await harness.wait_until(lambda: len({page.page for page in harness.all(ItemsPage)}) == 60)
        assert {each.total for each in announced} == {60}
        numbers = {
            item.ordinal: item.payload["n"]
            for page in harness.all(ItemsPage)
            for segment in page.segments
            for item in segment.items
        }
        assert numbers == {n: n for n in range(60)}

"""What was decided reaches the other services, whatever happens to the broker or to the process."""

import asyncio
import signal
from pathlib import Path
from uuid import UUID

import pytest

from batchyard_contracts.v1.flow import BatchAccepted, BatchControlled, ItemsPage
from devstack import Servers
from services.ingest.persistence import outbox
from tests.support.ingest_process import ingest_process
from tests.support.running_ingest import Around, around, at_work
from tests.support.tcp_proxy import TcpProxy

BODY = {"workload": "squares", "items": [{"payload": {"n": 1}}]}


async def empty(found: Around) -> None:
    async with asyncio.timeout(30):
        while await found.rows("SELECT FROM outbox"):  # noqa: ASYNC110  a table does not tell
            await asyncio.sleep(0.02)


async def test_while_the_broker_is_away_commands_are_kept_in_order(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PATIENCE_S", 0.2)
    async with TcpProxy(clean.amqp_url) as proxy, at_work(clean, amqp_url=proxy.url) as found:
        proxy.refuse()
        status, accepted = await found.post("/batches", json=BODY)
        assert status == 202
        actions = ["pause", "resume", "pause", "cancel"]
        for action in actions:
            assert (await found.post(f"/batches/{accepted['batch_id']}/{action}"))[0] == 202
        assert len(await found.rows("SELECT FROM outbox")) == 1 + len(actions)
        assert found.flow == []
        proxy.mend()
        told = await found.heard(BatchControlled, len(actions))
        assert [each.action for each in told] == actions
        assert [type(message) for message in found.flow[:2]] == [ItemsPage, BatchAccepted]
        await empty(found)
        await found.post(f"/batches/{accepted['batch_id']}/resume")
        assert (await found.heard(BatchControlled, len(actions) + 1))[-1].action == "resume"


async def test_no_more_is_taken_than_can_be_kept(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PATIENCE_S", 0.2)
    async with TcpProxy(clean.amqp_url) as proxy, at_work(clean, amqp_url=proxy.url, max_backlog=3) as found:
        proxy.refuse()
        answers = [await found.post("/batches", json=BODY) for _ in range(5)]
        assert [status for status, _ in answers] == [202, 202, 202, 503, 503]
        assert answers[-1][1]["code"] == "backlog_full"
        proxy.mend()
        await found.heard(BatchAccepted, 3)
        await empty(found)
        async with asyncio.timeout(30):
            while (await found.post("/batches", json=BODY))[0] != 202:  # noqa: ASYNC110  HTTP does not tell
                await asyncio.sleep(0.1)


async def test_what_a_dead_process_left_behind_is_sent(clean: Servers) -> None:
    async with at_work(clean) as found:
        _, accepted = await found.post("/batches", json=BODY)
        await found.heard(BatchAccepted)
        await empty(found)
        page, told = found.flow
        await found.rows(
            "INSERT INTO outbox (batch_id, types, bodies, at) VALUES ($1, $2, $3, now() - $4::interval)",
            UUID(accepted["batch_id"]),
            [page.type, told.type],
            [page.encode(), told.encode()],
            outbox.LATE * 2,
        )
        await found.heard(BatchAccepted, 2)
        assert found.flow == [page, told, page, told]
        await empty(found)


async def test_a_process_stops_gracefully(clean: Servers, tmp_path: Path) -> None:
    async with ingest_process(clean, tmp_path / "log") as process, around(clean, process.port) as found:
        await found.announce()
        posts = [asyncio.create_task(found.post("/batches", json=BODY)) for _ in range(30)]
        await found.heard(BatchAccepted)
        code = await process.end(signal.SIGTERM)
        answers = await asyncio.gather(*posts, return_exceptions=True)
        taken = [a[1]["batch_id"] for a in answers if not isinstance(a, BaseException) and a[0] == 202]
        assert code == 0, (tmp_path / "log").read_text("utf-8")
        assert taken
        assert {UUID(each) for each in taken} <= {each.batch_id for each in found.all(BatchAccepted)}
        assert await found.rows("SELECT FROM outbox") == []

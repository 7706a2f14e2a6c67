"""Messages of committed decisions reach the other services, whatever happens to the broker or to the process."""

import asyncio
import signal
from pathlib import Path
from uuid import UUID

import pytest

from batchyard_contracts.v1.flow import BatchAccepted, BatchControlled
from devstack import Servers
from shared.postgres import outbox
from tests.support.ingest_process import ingest_process
from tests.support.patience import until
from tests.support.running_ingest import connect_harness, running_ingest
from tests.support.tcp_proxy import TcpProxy

BODY = {"workload": "squares", "items": [{"payload": {"n": 1}}]}


async def test_messages_are_kept_in_order_while_the_broker_is_unavailable(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "DELIVERY_TIMEOUT_S", 0.2)
    async with TcpProxy(clean.amqp_url) as proxy, running_ingest(clean, amqp_url=proxy.url) as harness:
        proxy.refuse()
        status, accepted = await harness.post("/batches", json=BODY)
        assert status == 202
        actions = ["pause", "resume", "pause", "cancel"]
        for action in actions:
            assert (await harness.post(f"/batches/{accepted['batch_id']}/{action}"))[0] == 202
        assert len(await harness.rows("SELECT FROM outbox")) == 1 + len(actions)
        assert harness.flow == []
        proxy.mend()
        forwarded = await harness.wait_for(BatchControlled, len(actions))
        assert [each.action for each in forwarded] == actions
        assert isinstance(harness.flow[0], BatchAccepted)
        await harness.until_no_row("SELECT FROM outbox")
        await harness.post(f"/batches/{accepted['batch_id']}/resume")
        assert (await harness.wait_for(BatchControlled, len(actions) + 1))[-1].action == "resume"


async def test_commands_are_rejected_when_the_outbox_is_full(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "DELIVERY_TIMEOUT_S", 0.2)
    async with TcpProxy(clean.amqp_url) as proxy, running_ingest(clean, amqp_url=proxy.url, max_backlog=3) as harness:
        proxy.refuse()
        answers = [await harness.post("/batches", json=BODY) for _ in range(5)]
        assert [status for status, _ in answers] == [202, 202, 202, 503, 503]
        assert answers[-1][1]["code"] == "backlog_full"
        proxy.mend()
        await harness.wait_for(BatchAccepted, 3)
        await harness.until_no_row("SELECT FROM outbox")
        await until(lambda: harness.post("/batches", json=BODY), lambda answer: answer[0] == 202, pause_s=0.1)


async def test_messages_of_a_dead_process_are_sent(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await harness.post("/batches", json=BODY)
        await harness.wait_for(BatchAccepted)
        await harness.until_no_row("SELECT FROM outbox")
        (announced,) = harness.flow
        await harness.rows(
            "INSERT INTO outbox (exchange, routing_key, type, body, due_at)"
            " VALUES ('batchyard.flow', $1, $1, $2, now())",
            announced.type,
            announced.encode(),
        )
        await harness.wait_for(BatchAccepted, 2)
        assert harness.flow == [announced, announced]
        await harness.until_no_row("SELECT FROM outbox")


async def test_a_process_stops_gracefully(clean: Servers, tmp_path: Path) -> None:
    async with ingest_process(clean, tmp_path / "log") as process, connect_harness(clean, process.port) as harness:
        await harness.announce()
        posts = [asyncio.create_task(harness.post("/batches", json=BODY)) for _ in range(30)]
        await harness.wait_for(BatchAccepted)
        code = await process.end(signal.SIGTERM)
        answers = await asyncio.gather(*posts, return_exceptions=True)
        taken = [a[1]["batch_id"] for a in answers if not isinstance(a, BaseException) and a[0] == 202]
        assert code == 0, (tmp_path / "log").read_text("utf-8")
        assert taken
        assert {UUID(each) for each in taken} <= {each.batch_id for each in harness.all(BatchAccepted)}
        assert await harness.rows("SELECT FROM outbox") == []

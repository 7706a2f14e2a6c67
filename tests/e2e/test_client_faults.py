"""Tests of a client whose connection is lost or whose replies do not arrive."""

import asyncio
import os
import signal

import pytest

from batchyard_contracts.client import Client, NoReply
from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_lost_connection_is_restored_while_waiting(cluster: Cluster) -> None:
    async with TcpProxy(cluster.servers.amqp_url) as proxy, Client.connect(proxy.url) as client:
        receipt = await client.submit("noop", [{"n": n, "sleep_s": 0.2} for n in range(1500)])
        before = after = 0
        async with asyncio.timeout(PATIENCE_S), client.events(receipt.batch_id) as events:
            async for event in events:
                if isinstance(event, BatchProgressed):
                    before, after = (before + 1, after) if proxy.connections == 2 else (before, after + 1)
                    if before == 3 and not after:
                        proxy.cut()
        assert isinstance(event, BatchFinished)
        assert event.counts.succeeded == 1500
        assert after > 0, "it went on listening on a new connection"


async def test_an_end_during_a_lost_connection_is_found(cluster: Cluster) -> None:
    async with TcpProxy(cluster.servers.amqp_url) as proxy, Client.connect(proxy.url) as client:
        receipt = await client.submit("noop", [{"n": n, "sleep_s": 0.5} for n in range(20)])
        waiting = asyncio.create_task(client.wait(receipt.batch_id, PATIENCE_S))
        # It is the second subscription: the first is there.
        async with asyncio.timeout(PATIENCE_S), client.events(receipt.batch_id):
            proxy.refuse()
        elsewhere = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
        assert not waiting.done()
        proxy.mend()
        assert await waiting == elsewhere


async def test_a_command_whose_reply_was_lost_applies_once(cluster: Cluster) -> None:
    batch_id = new_batch_id()
    async with TcpProxy(cluster.servers.amqp_url) as proxy, Client.connect(proxy.url) as client:
        await client.submit("noop", [{"n": 0}])  # the channel is open
        proxy.hold_answers()
        submitting = asyncio.create_task(client.submit("noop", [{"n": 1}, {"n": 2}], batch_id=batch_id))
        await cluster.client.wait(batch_id, PATIENCE_S)
        assert not submitting.done()
        proxy.cut()
        proxy.mend()
        receipt = await submitting
    assert (receipt.batch_id, receipt.items, receipt.replayed) == (batch_id, 2, True)
    await cluster.check_ledger(batch_id, 2)


async def test_a_missing_reply_raises_and_a_repetition_is_safe(cluster: Cluster) -> None:
    batch_id = new_batch_id()
    pid = cluster.supervisor.pid("ingest")
    assert pid is not None
    async with Client.connect(cluster.servers.amqp_url, command_timeout_s=1.0) as client:
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(NoReply, match=r"batch\.submit\.v1 within 1 s"):
                await client.submit("noop", [{"n": 1}], batch_id=batch_id)
        finally:
            os.kill(pid, signal.SIGCONT)
    receipt = await cluster.client.submit("noop", [{"n": 1}], batch_id=batch_id)
    assert receipt.batch_id == batch_id
    assert (await cluster.client.wait(batch_id, PATIENCE_S)).counts.total == 1

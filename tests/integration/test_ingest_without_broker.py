"""Ingest without RabbitMQ: HTTP is served, what is accepted is kept, and all of it goes on when the broker comes."""

import asyncio

import aiohttp
import pytest

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.flow import BatchAccepted
from batchyard_contracts.v1.values import NewItem
from devstack import Servers
from services.ingest import app as ingest_app
from shared.postgres import outbox
from tests.support.patience import PATIENCE_S
from tests.support.running_ingest import connect_harness, running_ingest, start_ingest
from tests.support.tcp_proxy import TcpProxy


async def test_http_is_served_without_the_broker(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_ingest(clean) as harness:
        await harness.announce()
    monkeypatch.setattr(ingest_app, "BROKER_PATIENCE_S", 0.1)
    monkeypatch.setattr(outbox, "DELIVERY_TIMEOUT_S", 0.2)
    async with TcpProxy(clean.amqp_url) as proxy:
        proxy.refuse()
        async with start_ingest(clean, amqp_url=proxy.url) as port, aiohttp.ClientSession() as http:
            body = {"workload": "squares", "name": "early", "items": [{"payload": {"n": 1}}]}
            statuses = set()
            for _ in range(3):
                async with http.post(f"http://127.0.0.1:{port}/api/v1/batches", json=body) as response:
                    statuses.add(response.status)
            assert statuses == {202}

            async with connect_harness(clean, port) as harness:
                proxy.mend()
                await harness.wait_until(lambda: len(harness.all(BatchAccepted)) == 3)
                command = BatchSubmit(workload="squares", name="late", items=[NewItem(payload={"n": 2})])
                assert isinstance(await harness.command(command), CommandAccepted)


async def test_ingest_stops_while_it_waits_for_the_broker(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_app, "BROKER_PATIENCE_S", 0.1)
    async with TcpProxy(clean.amqp_url) as proxy:
        proxy.refuse()
        async with asyncio.timeout(PATIENCE_S), start_ingest(clean, amqp_url=proxy.url):
            pass

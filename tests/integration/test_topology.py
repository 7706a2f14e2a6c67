"""The topology on a real broker: it is declared, or awaited by those who may not declare it."""

import asyncio

from batchyard_contracts import topology
from devstack import Servers
from shared.messaging.connection import connect
from shared.messaging.topology import declare, prepare
from tests.support.patience import PATIENCE_S


async def test_a_service_that_declares_nothing_waits_until_its_queues_are_there(servers: Servers) -> None:
    connection = await connect(servers.amqp_url, "test")
    later = topology.work_queue("later", "normal")
    try:
        async with asyncio.timeout(PATIENCE_S):
            waiting = asyncio.create_task(prepare(connection, "check", "notifier", [later]))
            await declare(connection)
            assert not waiting.done()
            await declare(connection, [later])
            await waiting
    finally:
        await connection.close()


async def test_a_service_that_declares_waits_for_nobody(servers: Servers) -> None:
    connection = await connect(servers.amqp_url, "test")
    mine = topology.work_queue("mine", "normal")
    try:
        async with asyncio.timeout(PATIENCE_S):
            await prepare(connection, "declare", "worker", [mine])
            await prepare(connection, "check", "worker", [mine])
    finally:
        await connection.close()

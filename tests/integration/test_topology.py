"""The topology on a real broker: it is declared, or awaited by those who may not declare it."""

import asyncio

import aio_pika

from batchyard_contracts import topology
from devstack import Servers
from shared.messaging.connection import connect
from shared.messaging.topology import declare, prepare
from tests.support.patience import PATIENCE_S
from tests.support.running_ingest import start_ingest


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


async def test_ingest_declares_the_queues_of_all_where_the_others_may_not(clean: Servers) -> None:
    connection = await connect(clean.amqp_url, "test")
    inbox = topology.NOTIFIER_INBOX
    former = inbox.former_bindings[0]
    key = former.routing_key.replace("*", "v1")
    try:
        await declare(connection)
        async with connection.channel() as channel:
            await (await channel.get_queue(inbox.name)).bind(former.exchange, former.routing_key)
            await channel.queue_delete(topology.AGGREGATOR_CONTROL.name)
        async with start_ingest(clean, topology="check", topology_amqp_url=clean.amqp_url), asyncio.timeout(PATIENCE_S):
            await prepare(connection, "check", "aggregator")
        async with connection.channel() as channel:
            exchange = await channel.get_exchange(former.exchange)
            await exchange.publish(aio_pika.Message(b"{}"), key, mandatory=False)
            assert await (await channel.get_queue(inbox.name)).get(no_ack=True, fail=False) is None
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

"""Several hosts in the address of the broker, and queues that are missing after a reconnect."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import cast

import aio_pika
import aiormq
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue, AbstractRobustConnection
from aio_pika.exceptions import DeliveryError
from pamqp.commands import Basic
from pamqp.common import FieldTable

from batchyard_contracts import topology
from batchyard_contracts.client.connection import BrokerConnection
from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import SourceEnded, WorkerAnnounced
from batchyard_contracts.v1.queries import WorkersQuery, WorkersReply
from devstack import Servers
from shared.messaging.connection import connect, open_channel
from shared.messaging.consumer import Consumer
from shared.messaging.message_router import Route
from shared.messaging.publisher import OutgoingMessage, Publisher, outgoing
from shared.messaging.rpc_client import RpcClient
from shared.messaging.topology import declare
from tests.support.patience import PATIENCE_S, until, until_true
from tests.support.tcp_proxy import TcpProxy


@asynccontextmanager
async def two_hosts(servers: Servers) -> AsyncIterator[tuple[str, list[TcpProxy]]]:
    """Give an address with two hosts, both of which lead to the broker."""
    async with TcpProxy(servers.amqp_url) as one, TcpProxy(servers.amqp_url) as two:
        host = two.url.rpartition("@")[2].partition("/")[0]
        yield one.url.replace(own := one.url.rpartition("@")[2].partition("/")[0], f"{own},{host}"), [one, two]


@asynccontextmanager
async def channel_of(servers: Servers) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(servers.amqp_url) as connection:
        yield await connection.channel()


async def consume(connection: AbstractRobustConnection, queue: str) -> "asyncio.Queue[bytes]":
    """Return what arrives from a queue, as a service consumes it."""
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(message: AbstractIncomingMessage) -> None:
        await message.ack()
        arrived.put_nowait(message.body)

    channel = await open_channel(connection)
    await (await channel.declare_queue(queue, passive=True)).consume(take)
    return arrived


async def put(channel: AbstractChannel, queue: str, body: bytes) -> None:
    await channel.default_exchange.publish(aio_pika.Message(body), queue)


async def next_of(queue: AbstractQueue) -> AbstractIncomingMessage:
    """Return the next message of a queue as soon as there is one."""
    found = await until(lambda: queue.get(no_ack=True, fail=False), lambda message: message is not None)
    assert found is not None
    return found


async def took(arrived: "asyncio.Queue[bytes]", body: bytes) -> None:
    """Wait until a message has arrived, whatever else arrives."""
    async with asyncio.timeout(PATIENCE_S):
        while await arrived.get() != body:
            pass


@pytest.mark.parametrize("refusing", [0, 1])
async def test_a_host_that_refuses_is_passed_over(clean: Servers, refusing: int) -> None:
    async with two_hosts(clean) as (url, proxies), channel_of(clean) as channel:
        queue = await channel.declare_queue("hosts", durable=True)
        connection = await connect(url, "hosts")
        try:
            arrived = await consume(connection, queue.name)
            await put(channel, queue.name, b"before")
            await took(arrived, b"before")
            proxies[refusing].refuse()
            proxies[1 - refusing].cut()
            await put(channel, queue.name, b"after")
            await took(arrived, b"after")
            assert connection.connected.is_set()
        finally:
            await connection.close()
            await channel.queue_delete("hosts")


@pytest.mark.parametrize("refusing", [0, 1])
async def test_a_client_passes_over_a_host_that_refuses(clean: Servers, refusing: int) -> None:
    async with two_hosts(clean) as (url, proxies):
        proxies[refusing].refuse()
        for _ in range(2):
            connection = BrokerConnection(url, "client")
            assert not (await connection.open()).is_closed
            await connection.close()


async def test_a_queue_that_is_missing_after_a_reconnect_stops_no_other(clean: Servers) -> None:
    async with TcpProxy(clean.amqp_url) as proxy, channel_of(clean) as channel:
        for name in ("stays", "goes"):
            await channel.declare_queue(name, durable=True)
        connection = await connect(proxy.url, "missing")
        try:
            stays, goes = [await consume(connection, name) for name in ("stays", "goes")]
            proxy.refuse()
            await channel.queue_delete("goes")
            proxy.mend()

            await put(channel, "stays", b"1")
            await took(stays, b"1")
            await channel.declare_queue("goes", durable=True)
            await put(channel, "goes", b"2")
            await took(goes, b"2")
        finally:
            await connection.close()
            for name in ("stays", "goes"):
                await channel.queue_delete(name)


async def test_a_query_is_sent_again_when_its_connection_is_lost(clean: Servers) -> None:
    asked = topology.DISPATCHER_QUERIES
    async with TcpProxy(clean.amqp_url) as proxy, channel_of(clean) as channel:
        client = await RpcClient.open(proxy.url, "hosts")
        try:
            await declare(client._connection)
            query = asyncio.create_task(client.query(WorkersQuery(), WorkersReply, timeout_s=PATIENCE_S))
            queue = await channel.get_queue(asked.name)
            for _ in range(2):
                await next_of(queue)
                proxy.cut()
            sent = await next_of(queue)
            reply = aio_pika.Message(
                WorkersReply(workers=[]).encode(), type=WorkersReply.type, correlation_id=sent.correlation_id
            )
            await channel.default_exchange.publish(reply, sent.reply_to or "")
            assert await query == WorkersReply(workers=[])
        finally:
            await client.close()


async def test_a_refused_message_is_sent_again_over_a_new_channel(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.publisher._REFUSED_PAUSES_S", (0.0, 0.0))
    channels: list[object] = []

    async def refuse_on_the_first_channel(self: aiormq.Channel, *_: object, **__: object) -> None:
        channels.append(self)
        if self is channels[0]:
            raise DeliveryError(None, Basic.Nack(delivery_tag=1))

    publisher = await Publisher.open(clean.amqp_url, "hosts")
    try:
        await declare(publisher.connection)
        monkeypatch.setattr(aiormq.Channel, "basic_publish", refuse_on_the_first_channel)
        announced = WorkerAnnounced(worker_id="w", manifests=[], started_at=datetime.now(UTC))
        await publisher.publish([outgoing(topology.FLOW, announced), outgoing(topology.FLOW, announced)])
        assert len(channels) == 3  # the first message twice, the second once
        assert channels[0] not in channels[1:]
    finally:
        await publisher.close()


@pytest.mark.parametrize(("size", "at_once"), [(300, 5), (100_000, 1)])
async def test_small_messages_are_written_while_earlier_ones_wait_for_the_socket(
    clean: Servers, size: int, at_once: int
) -> None:
    publisher = await Publisher.open(clean.amqp_url, "hosts")
    try:
        await declare(publisher.connection)
        channel = cast("aiormq.Channel", await (await publisher._channel.get()).get_underlay_channel())
        to_socket, channel.write_queue = channel.write_queue, asyncio.Queue()
        event = OutgoingMessage(topology.EVENTS, "nobody.listens", "batch.finished.v1", b"x" * size)
        publishing = asyncio.create_task(publisher.publish([event] * 5))
        try:
            written = [await asyncio.wait_for(channel.write_queue.get(), PATIENCE_S)]
            for _ in range(20):  # all tasks had their turn
                await asyncio.sleep(0)
            written += [channel.write_queue.get_nowait() for _ in range(channel.write_queue.qsize())]
        finally:
            channel.write_queue = to_socket
        for frame in written:
            await to_socket.put(frame)
        await publishing
        assert len(written) == at_once
    finally:
        await publisher.close()


async def test_a_consumer_starts_with_the_queues_that_are_there(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.consumer.START_PATIENCE_S", 0.1)
    handled: asyncio.Queue[str] = asyncio.Queue()

    async def on_message(message: WorkerAnnounced | SourceEnded, _: Envelope) -> None:
        handled.put_nowait(message.type)

    publisher = await Publisher.open(clean.amqp_url, "hosts")
    consumer = Consumer(clean.amqp_url, publisher, "hosts")
    consumer.subscribe(topology.INGEST_SOURCES, [Route(SourceEnded, on_message)])
    consumer.subscribe(topology.INGEST_WORKERS, [Route(WorkerAnnounced, on_message)])
    try:
        await declare(publisher.connection)
        async with channel_of(clean) as channel:
            await channel.queue_delete(topology.INGEST_SOURCES.name)
        await consumer.start()
        announced = WorkerAnnounced(worker_id="w", manifests=[], started_at=datetime.now(UTC))
        await publisher.publish([outgoing(topology.FLOW, announced)])
        assert await asyncio.wait_for(handled.get(), PATIENCE_S) == WorkerAnnounced.type
        assert not consumer.is_working

        await declare(publisher.connection)
        await until_true(lambda: consumer.is_working)
    finally:
        await consumer.stop()
        await publisher.close()


async def test_a_binding_of_an_earlier_version_is_removed(clean: Servers) -> None:
    connection = await connect(clean.amqp_url, "declare")
    for _ in range(2):
        await declare(connection)
        async with connection.channel() as channel:
            inbox = await channel.get_queue(topology.NOTIFIER_INBOX.name)
            for binding in topology.NOTIFIER_INBOX.former_bindings:
                exchange = await channel.get_exchange(binding.exchange)
                key = binding.routing_key.replace("*", "v1").replace("#", "v1.noop.ann")
                await inbox.bind(binding.exchange, binding.routing_key)
                await exchange.publish(aio_pika.Message(b"{}"), key)
                assert await inbox.get(no_ack=True)
                await declare(connection)
                await exchange.publish(aio_pika.Message(b"{}"), key, mandatory=False)
            assert await inbox.get(no_ack=True, fail=False) is None
    await connection.close()


async def test_a_lossy_queue_of_an_old_version_is_replaced(clean: Servers) -> None:
    name = topology.DISPATCHER_QUERIES.name
    connection = await connect(clean.amqp_url, "declares")
    try:
        async with channel_of(clean) as channel:
            await channel.queue_delete(name)
            old: FieldTable = {"x-queue-type": "classic", "x-message-ttl": topology.QUERY_TTL_MS}
            await channel.declare_queue(name, durable=True, arguments=old)

        await declare(connection)
        await declare(connection)

        async with channel_of(clean) as channel:
            now: FieldTable = dict(topology.DISPATCHER_QUERIES.arguments())
            await channel.declare_queue(name, durable=True, arguments=now)  # refused if it had others
    finally:
        await connection.close()

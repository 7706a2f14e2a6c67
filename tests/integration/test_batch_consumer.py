"""Batches from a real queue: what fails alone, what is held, and what a lost connection leaves behind."""

import asyncio

import aio_pika
import pytest

from devstack import Servers
from shared.messaging import handling
from shared.messaging.batch_consumer import BatchConsumer
from shared.messaging.delivery import is_stale
from tests.support.batch_harness import MOST, QUEUE, open_harness
from tests.support.patience import PATIENCE_S, until_true
from tests.support.tcp_proxy import TcpProxy


async def dead_letters(servers: Servers) -> int:
    connection = await aio_pika.connect(servers.amqp_url)
    async with connection:
        channel = await connection.channel()
        declared = await channel.declare_queue(QUEUE.dead_name, passive=True)
        return declared.declaration_result.message_count or 0


async def test_a_message_that_comes_alone_is_tried_several_times(clean: Servers) -> None:
    async with open_harness(clean) as at:
        at.failures_left["a"] = handling.MAX_ATTEMPTS - 1
        await at.send("a")
        await at.until({"a"})

        assert at.tries == ["a"] * handling.MAX_ATTEMPTS
        assert await dead_letters(clean) == 0


async def test_a_row_of_failures_stops_the_queue_until_the_defect_is_gone(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(handling, "HOLD_PAUSE_S", 0.01)
    names = [f"w{number}" for number in range(handling.MAX_FAILURES_IN_A_ROW + 3)]
    async with open_harness(clean) as at:
        at.failures_left = dict.fromkeys(names, 10**6)
        await at.send(*names)
        await until_true(lambda: not at.consumer.is_working)
        await at.until_tried(len(at.tries) + 3)
        assert at.done == []
        assert await dead_letters(clean) == handling.MAX_FAILURES_IN_A_ROW

        at.failures_left = {}
        await at.until(set(names[handling.MAX_FAILURES_IN_A_ROW :]))

        assert at.consumer.is_working
        assert await dead_letters(clean) == handling.MAX_FAILURES_IN_A_ROW


async def test_messages_of_lost_connections_do_not_pile_up(clean: Servers) -> None:
    names = {f"w{number}" for number in range(6 * MOST)}
    async with TcpProxy(clean.amqp_url) as proxy, open_harness(clean, proxy.url) as at:
        at.may_go_on.clear()
        await at.send(*names)
        await at.until_tried(1)
        for _ in range(3):
            connections = proxy.connections
            proxy.cut()
            async with asyncio.timeout(PATIENCE_S):
                while proxy.connections == connections or not redelivered(at.consumer):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # the library has no event for it
            assert len(at.consumer._arrived) <= 2 * MOST
        at.may_go_on.set()
        await at.until(names)


def redelivered(consumer: BatchConsumer) -> bool:
    """Tell whether the newest message has come over a connection that is open."""
    return bool(consumer._arrived) and not is_stale(consumer._arrived[-1])

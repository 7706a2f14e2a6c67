"""Bundles on real queues: what fails in one fails alone, and what is delivered again is handled again."""

import asyncio
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts import topology
from batchyard_contracts.message import BUNDLE_CONTENT_TYPE, CONTENT_TYPE, MAX_BUNDLE_MESSAGES, Envelope
from batchyard_contracts.v1.flow import CacheInvalidated
from devstack import Servers
from shared.messaging import handling
from shared.messaging.bundles import MAX_BUNDLED_BYTES, message_count
from shared.messaging.consumer import Consumer
from shared.messaging.message_router import Route
from shared.messaging.publisher import OutgoingMessage, Publisher
from tests.support.batch_harness import MOST, QUEUE, open_harness
from tests.support.patience import PATIENCE_S
from tests.support.tcp_proxy import TcpProxy

KEY = CacheInvalidated.type


@pytest.fixture(autouse=True)
def bundled_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "BUNDLED_TYPES", frozenset({KEY}))


async def dead_letters(servers: Servers) -> list[AbstractIncomingMessage]:
    connection = await aio_pika.connect(servers.amqp_url)
    async with connection:
        queue = await (await connection.channel()).declare_queue(QUEUE.dead_name, passive=True)
        found = []
        while message := await queue.get(fail=False):
            found.append(message)
        return found


def invalidation(name: str) -> bytes:
    return b'{"workload":"%s","version":"1","cache_ttl_s":1,"at":"2026-01-01T00:00:00Z"}' % name.encode()


def flow(body: bytes) -> OutgoingMessage:
    return OutgoingMessage(topology.FLOW, KEY, KEY, body)


async def test_messages_that_wait_together_leave_as_one_bundle(clean: Servers) -> None:
    names = [f"w{number}" for number in range(MAX_BUNDLE_MESSAGES + 1)]
    async with open_harness(clean) as at:
        channel = await at.publisher.connection.channel()
        copies = await channel.declare_queue(exclusive=True)
        await copies.bind(topology.FLOW, KEY)
        await at.send(*names)
        await at.until(set(names))
        first, second = await copies.get(), await copies.get()
        assert (message_count(first), first.content_type) == (MAX_BUNDLE_MESSAGES, BUNDLE_CONTENT_TYPE)
        assert (message_count(second), second.content_type) == (1, CONTENT_TYPE)
        assert await copies.get(fail=False) is None
    assert at.done == names


@pytest.mark.parametrize("bad", [b"", b"no json", b'{"workload":7}'])
async def test_a_line_that_cannot_be_read_is_dead_lettered_alone(clean: Servers, bad: bytes) -> None:
    async with open_harness(clean) as at:
        await at.publisher.publish([flow(invalidation("a")), flow(bad), flow(invalidation("b"))])
        await at.until({"a", "b"})
    (dead,) = await dead_letters(clean)
    assert (dead.body, dead.content_type, dead.type) == (bad, CONTENT_TYPE, KEY)
    assert str(dead.headers["x-batchyard-message-id"]).endswith(".1")
    assert (at.tries, at.done) == (["a", "b"], ["a", "b"])


async def test_a_line_whose_handler_fails_is_dead_lettered_alone(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "_FIRST_PAUSE_S", 0.0)
    async with open_harness(clean) as at:
        at.failures_left["bad"] = 10**6
        await at.send("a", "bad", "b")
        await at.until({"a", "b"})
        assert at.done.count("b") == 1
    (dead,) = await dead_letters(clean)
    assert (dead.body.startswith(b'{"workload":"bad"'), dead.content_type) == (True, CONTENT_TYPE)


async def test_a_consumer_of_single_messages_takes_bundles_apart(clean: Servers) -> None:
    handled: list[str] = []
    is_done = asyncio.Event()

    async def handle(message: CacheInvalidated, envelope: Envelope) -> None:
        handled.append(f"{message.workload} {envelope.message_id.partition('.')[2]}")
        if message.workload == "b":
            is_done.set()

    publisher = await Publisher.open(clean.amqp_url, "test")
    consumer = Consumer(clean.amqp_url, publisher, "test")
    consumer.subscribe(QUEUE, [Route(CacheInvalidated, handle)])
    async with open_harness(clean) as at:
        at.consumer.stop()  # it has only declared the queues
    await consumer.start()
    await publisher.publish([flow(invalidation("a")), flow(b"[]"), flow(invalidation("b"))])
    await asyncio.wait_for(is_done.wait(), PATIENCE_S)
    await consumer.stop()
    await publisher.close()
    assert handled == ["a 0", "b 2"]
    assert [dead.body for dead in await dead_letters(clean)] == [b"[]"]


async def test_a_bundle_that_is_delivered_again_is_handled_again_as_a_whole(clean: Servers) -> None:
    names = [f"w{number}" for number in range(3 * MOST)]
    async with TcpProxy(clean.amqp_url) as proxy, open_harness(clean, proxy.url) as at:
        at.may_go_on.clear()
        await at.send(*names)
        await at.until_tried(len(names))
        proxy.cut()  # after the handler began, and before the acknowledgement
        at.may_go_on.set()
        await at.until_tried(2 * len(names))
        await at.until(set(names))
    assert at.tries == 2 * names
    assert await dead_letters(clean) == []


async def test_a_bundle_at_the_limit_of_its_size_arrives_whole(clean: Servers) -> None:
    padding = b" " * (MAX_BUNDLED_BYTES // 4 - len(invalidation("w0")) - 1)
    async with open_harness(clean) as at:
        await at.publisher.publish([flow(invalidation(f"w{number}") + padding) for number in range(8)])
        await at.until({f"w{number}" for number in range(8)})
    assert await dead_letters(clean) == []


async def test_a_bundle_over_the_limit_is_dead_lettered_and_can_be_replayed_as_it_was(clean: Servers) -> None:
    body = b"\n".join(invalidation(f"w{number}") for number in range(MAX_BUNDLE_MESSAGES + 1))
    fields: dict[str, Any] = {"content_type": BUNDLE_CONTENT_TYPE}
    async with open_harness(clean) as at:
        await at.publisher.publish([OutgoingMessage(topology.FLOW, KEY, KEY, body, **fields)])
        await at.send("later")
        await at.until({"later"})
    (dead,) = await dead_letters(clean)
    assert (dead.body, dead.content_type) == (body, BUNDLE_CONTENT_TYPE)
    assert "101 messages; at most 100 are allowed" in str(dead.headers["x-batchyard-reason"])

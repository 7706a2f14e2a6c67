"""The outbox on the tables of both services that have one, while a server is away or refuses a message."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from devstack import Servers
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.postgres import outbox as outbox_module
from shared.postgres.outbox import INTERVAL_S, Outbox, OutboxMessage, with_ids
from shared.postgres.pool import Pool, open_pool
from shared.runtime.background import BackgroundTask
from shared.runtime.errors import MessageRejected, PublishFailed, PublishRefused
from shared.runtime.health import Pulse
from shared.runtime.settings import Settings
from tests.support.patience import PATIENCE_S, until


class Broker:
    """Stand-in for the publisher: it raises what `refuse` returns for a message, and keeps the others."""

    def __init__(self) -> None:
        self.refuse: Callable[[OutgoingMessage], Exception | None] = lambda _: None
        self.attempts = 0
        self.received: list[bytes] = []
        self._changed = asyncio.Condition()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        self.attempts += 1
        for message in messages:
            if error := self.refuse(message):
                raise error
        async with self._changed:
            self.received += [message.body for message in messages]
            self._changed.notify_all()

    async def has_received(self, *bodies: bytes) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: set(bodies) <= set(self.received))


@pytest.fixture(params=["ingest", "aggregator"])
async def pool(clean: Servers, request: pytest.FixtureRequest) -> AsyncIterator[Pool]:
    settings = Settings(database_url=clean.database_url)
    opened = await open_pool(settings, request.param, f"services.{request.param}.persistence")
    yield opened
    await opened.close()


@pytest.fixture
def broker() -> Broker:
    return Broker()


def outbox_on(pool: Pool, broker: Broker) -> Outbox:
    return Outbox(pool, cast("Publisher", broker), relay_interval_s=0.0)


@asynccontextmanager
async def running(outbox: Outbox) -> AsyncIterator[None]:
    """Repeat the step of the outbox, as the services do."""
    background_task = BackgroundTask(
        Pulse("outbox", 60), outbox.update, interval_s=INTERVAL_S / 10, wake=outbox.wake, on_stop=outbox.close
    )
    task = asyncio.create_task(background_task.run())
    try:
        yield
    finally:
        background_task.stop()
        await task


async def insert(pool: Pool, *bodies: bytes, key: str | None = None, is_late: bool = False) -> list[OutboxMessage]:
    """Insert messages as a transaction of a service does; late ones were left behind by another process."""
    messages = [OutboxMessage("batchyard.flow", "x.v1", "x.v1", body, None, key) for body in bodies]
    rows = await pool.fetch(
        "INSERT INTO outbox (exchange, routing_key, type, body, key) SELECT 'batchyard.flow', 'x.v1', 'x.v1', body, $2"
        " FROM unnest($1::bytea[]) WITH ORDINALITY AS new (body, place) ORDER BY place RETURNING id",
        bodies,
        key,
    )
    if is_late:
        await pool.execute("UPDATE outbox SET due_at = now()")
    return with_ids(messages, [row["id"] for row in rows])


async def unsent(pool: Pool) -> list[bytes]:
    rows = await pool.fetch("SELECT body FROM outbox WHERE sent_at IS NULL ORDER BY id")
    return [row["body"] for row in rows]


async def until_sent(pool: Pool) -> None:
    await until(lambda: unsent(pool), lambda bodies: not bodies)


async def test_enqueued_messages_are_published_at_once_and_recorded_as_sent(pool: Pool, broker: Broker) -> None:
    outbox = outbox_on(pool, broker)
    async with running(outbox):
        outbox.enqueue(await insert(pool, b"1", b"2"))
        await broker.has_received(b"1", b"2")
        await until_sent(pool)
    assert (broker.received, broker.attempts) == ([b"1", b"2"], 1)
    assert await pool.fetch("SELECT FROM outbox") == []


async def test_messages_that_are_sent_one_after_the_other_are_recorded_together(
    pool: Pool, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "INTERVAL_S", 3600.0)
    outbox, bodies = outbox_on(pool, broker), [b"%d" % number for number in range(5)]
    for body in bodies:
        outbox.enqueue(await insert(pool, body))
        await outbox.update()
    assert (broker.received, await unsent(pool)) == (bodies, bodies)
    await outbox.update()
    assert (broker.received, await unsent(pool)) == (bodies, [])


async def test_a_message_with_a_key_stays_after_it_was_sent(pool: Pool, broker: Broker) -> None:
    outbox = outbox_on(pool, broker)
    await outbox.deliver(await insert(pool, b"1", key="fact"))
    await outbox.close()
    assert await pool.fetchval("SELECT sent_at IS NOT NULL FROM outbox WHERE key = 'fact'")
    await outbox.delete_sent()
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 1
    await pool.execute("UPDATE outbox SET sent_at = now() - interval '8 days'")
    await outbox.delete_sent()
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 0


async def test_messages_wait_in_order_while_the_broker_is_away(pool: Pool, broker: Broker) -> None:
    outbox, is_away = outbox_on(pool, broker), True
    broker.refuse = lambda _: PublishFailed() if is_away else None
    await outbox.deliver(await insert(pool, b"1", b"2"))
    with pytest.raises(PublishFailed):
        await outbox.update()
    assert not outbox.is_working
    is_away = False
    await outbox.deliver(await insert(pool, b"3"))
    assert broker.received == []
    await outbox.update()
    assert (outbox.is_working, broker.received, await unsent(pool)) == (True, [b"1", b"2", b"3"], [])
    await outbox.deliver(await insert(pool, b"4"))
    assert broker.received[3:] == [b"4"]


async def test_messages_of_a_dead_process_are_published_when_they_are_late(pool: Pool, broker: Broker) -> None:
    await insert(pool, b"1", is_late=True)
    await insert(pool, b"2")
    outbox = outbox_on(pool, broker)
    assert await outbox.update() is None
    assert (broker.received, await unsent(pool)) == ([b"1"], [b"2"])


async def test_a_long_backlog_is_published_in_order_and_in_parts(pool: Pool, broker: Broker) -> None:
    bodies = [b"%d" % number for number in range(2 * outbox_module._BATCH_SIZE + 20)]
    await insert(pool, *bodies, is_late=True)
    outbox = outbox_on(pool, broker)
    assert [await outbox.update() for _ in range(3)] == [0.0, 0.0, None]
    assert (broker.received, broker.attempts, await unsent(pool)) == (bodies, 3, [])


async def test_one_process_relays_at_a_time(pool: Pool, broker: Broker) -> None:
    await insert(pool, b"1", is_late=True)
    async with pool.acquire() as other, other.transaction():
        assert await other.fetchval(outbox_module._SQL["lock_relay"])
        await outbox_on(pool, broker).update()
        assert broker.received == []
    await outbox_on(pool, broker).update()
    assert broker.received == [b"1"]


@pytest.mark.parametrize("error", [MessageRejected("too large"), KeyError("no such exchange")])
async def test_a_message_that_can_never_be_sent_is_set_aside_and_holds_up_no_other(
    pool: Pool, broker: Broker, error: Exception
) -> None:
    broker.refuse = lambda message: error if message.body == b"bad" else None
    outbox = outbox_on(pool, broker)
    await outbox.deliver(await insert(pool, b"1", b"bad", b"2"))
    await outbox.update()
    assert broker.received == [b"1", b"2"]
    assert await unsent(pool) == [b"bad"]
    assert await pool.fetchval("SELECT due_at = 'infinity' FROM outbox WHERE sent_at IS NULL")
    assert type(error).__name__ in await pool.fetchval("SELECT reason FROM outbox WHERE sent_at IS NULL")
    await outbox.deliver(await insert(pool, b"3"))
    assert (broker.received, outbox.is_full) == ([b"1", b"2", b"3"], False)
    broker.refuse = lambda _: None
    await pool.execute("UPDATE outbox SET due_at = now(), reason = NULL WHERE due_at = 'infinity'")  # an operator
    await outbox.update()
    assert broker.received[3:] == [b"bad"]


async def test_a_message_that_the_broker_refuses_is_tried_again_later(pool: Pool, broker: Broker) -> None:
    broker.refuse = lambda message: PublishRefused("no queue") if message.body == b"bad" else None
    outbox = outbox_on(pool, broker)
    await outbox.deliver(await insert(pool, b"bad", b"1"))
    await outbox.update()
    assert broker.received == [b"1"]
    assert await pool.fetchval("SELECT due_at - now() BETWEEN '20 s' AND '30 s' FROM outbox WHERE reason IS NOT NULL")
    broker.refuse = lambda _: None
    await pool.execute("UPDATE outbox SET due_at = now() WHERE reason IS NOT NULL")
    await outbox.update()
    assert (broker.received, await unsent(pool)) == ([b"1", b"bad"], [])


async def test_enqueued_messages_are_published_before_the_outbox_stops(pool: Pool, broker: Broker) -> None:
    outbox = outbox_on(pool, broker)
    outbox.enqueue(await insert(pool, b"1"))
    await outbox.close()
    assert (broker.received, await unsent(pool)) == ([b"1"], [])

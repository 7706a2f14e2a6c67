"""Tests of the outbox while a server is unavailable."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from services.aggregator.persistence.outbox import Outbox
from services.aggregator.persistence.outbox_message import OutboxMessage
from shared.messaging.publisher import OutgoingMessage
from shared.runtime.errors import PublishFailed
from shared.runtime.health import Pulse
from tests.support.patience import PATIENCE_S

ENTRY = OutboxMessage(
    "batch.finished.v1:b:1", "batchyard.events", "batch.finished.v1.noop.ann", "batch.finished.v1", b"{}", None
)


class Table:
    """Committed messages that are not marked sent."""

    def __init__(self, *entries: OutboxMessage) -> None:
        self.unsent = {entry.key: entry for entry in entries}
        self.fresh = False
        """True while the grace period of the process that wrote the messages lasts."""
        self.emptied = asyncio.Event()

    @asynccontextmanager
    async def lock_overdue_messages(self, limit: int) -> AsyncIterator[list[OutboxMessage]]:
        entries = [] if self.fresh else list(self.unsent.values())[:limit]
        yield entries
        await self.mark_sent([entry.key for entry in entries])

    async def mark_sent(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.unsent.pop(key, None)
        if not self.unsent:
            self.emptied.set()


class Broker:
    """Broker that refuses the first messages and then accepts all."""

    def __init__(self, refusals: int = 0, error: Exception | None = None) -> None:
        self.refusals = refusals
        self.error = error or PublishFailed()
        self.attempts = 0
        self.taken: list[OutgoingMessage] = []
        self._took = asyncio.Event()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        if not messages:
            return
        self.attempts += 1
        if self.attempts <= self.refusals:
            raise self.error
        self.taken += messages
        self._took.set()

    async def took(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._took.wait()


@asynccontextmanager
async def running(table: Table, broker: Broker, sweep_s: float) -> AsyncIterator[Outbox]:
    outbox = Outbox(cast("Any", table), cast("Any", broker), Pulse("outbox", 60), sweep_s)
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        outbox.stop()
        await task


async def test_an_enqueued_message_is_published_at_once_and_marked_sent() -> None:
    table, broker = Table(ENTRY), Broker()
    table.fresh = True
    async with running(table, broker, 60) as outbox:
        outbox.enqueue([ENTRY])
        await broker.took()
    assert (broker.attempts, table.unsent) == (1, {})


async def test_a_sweep_publishes_messages_that_the_broker_refused() -> None:
    table, broker = Table(ENTRY), Broker(refusals=3)
    async with running(table, broker, 0.01) as outbox:
        outbox.enqueue([ENTRY])
        await broker.took()
        await asyncio.wait_for(table.emptied.wait(), PATIENCE_S)
    assert (broker.attempts, [message.body for message in broker.taken], table.unsent) == (4, [b"{}"], {})
    assert outbox.is_working


async def test_a_backlog_larger_than_one_sweep_is_published_at_the_start() -> None:
    entries = [
        OutboxMessage(f"{n}", ENTRY.exchange, ENTRY.routing_key, ENTRY.type, b"%d" % n, None) for n in range(250)
    ]
    table, broker = Table(*entries), Broker()
    async with running(table, broker, 60):
        async with asyncio.timeout(PATIENCE_S):
            await table.emptied.wait()
    assert [int(message.body) for message in broker.taken] == list(range(250))
    assert broker.attempts == 3


async def test_the_outbox_is_not_working_while_a_server_is_unavailable() -> None:
    table, broker = Table(ENTRY), Broker(refusals=1)
    outbox = Outbox(cast("Any", table), cast("Any", broker), Pulse("outbox", 60), 60)
    await outbox._sweep()
    assert not outbox.is_working
    assert ENTRY.key in table.unsent
    await outbox._sweep()
    assert outbox.is_working


async def test_pending_messages_are_published_before_the_outbox_stops() -> None:
    table, broker = Table(ENTRY), Broker()
    outbox = Outbox(cast("Any", table), cast("Any", broker), Pulse("outbox", 60), 60)
    outbox.enqueue([ENTRY])
    outbox.stop()
    await outbox.run()
    assert (len(broker.taken), table.unsent) == (1, {})


async def test_an_unexpected_error_ends_the_outbox() -> None:
    table, broker = Table(ENTRY), Broker(refusals=1, error=KeyError("defect"))
    outbox = Outbox(cast("Any", table), cast("Any", broker), Pulse("outbox", 60), 60)
    with pytest.raises(KeyError, match="defect"):
        await outbox.run()

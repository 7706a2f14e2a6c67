"""Publishes the messages of committed decisions: at once when the broker is available, otherwise later and in order.

A decision and its messages are committed in one transaction. Messages that this process cannot get confirmed, or leaves
behind when it dies, are sent again by any ingest process. A message may therefore arrive twice.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import asyncpg
import structlog

from batchyard_contracts.topology import FLOW
from services.ingest.domain.pager import EncodedMessage
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries
from shared.runtime.errors import PublishFailed
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_SQL = load_queries("services.ingest.persistence")
LATE_AFTER = timedelta(seconds=5)
"""Age at which a message counts as left behind by a dead process, and is sent by whichever process relays."""
DELIVERY_TIMEOUT_S = 5.0
"""Longest time that a command waits for an unavailable broker; its messages are then left to the relay."""
_INTERVAL_S = 0.2
_RELAY_TICKS = 5
_RELAY_BATCH = 20


class Outbox:
    """Messages of committed decisions that the broker has not confirmed yet."""

    def __init__(self, pool: Pool, publisher: Publisher, pulse: Pulse, *, max_backlog: int) -> None:
        self._pool = pool
        self._publisher = publisher
        self._pulse = pulse
        self._max_backlog = max_backlog
        self._confirmed: list[int] = []
        self._deferred: set[int] = set()
        self._backlog = 0
        self._stopping = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """True when so many messages wait for the broker that commands have to be rejected."""
        return max(self._backlog, len(self._deferred)) >= self._max_backlog

    async def deliver(self, row_id: int, messages: Sequence[EncodedMessage], traceparent: str | None) -> None:
        """Publish the messages that were committed under `row_id`. Never raises on a broker failure: they are then sent
        later.

        While older messages wait, newer ones join them, so that a resume cannot overtake its pause.
        """
        if self._deferred:
            self._deferred.add(row_id)
            return
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                await self.send(messages, traceparent)
        except (PublishFailed, TimeoutError) as error:
            self._deferred.add(row_id)
            log.warning("messages left to the relay", row=row_id, error=f"{type(error).__name__}: {error}")
            return
        self._confirmed.append(row_id)

    async def send(self, messages: Sequence[EncodedMessage], traceparent: str | None) -> None:
        """Publish messages to the other services; returns once the broker has confirmed all of them."""
        await self._publisher.publish(
            [
                OutgoingMessage(FLOW, message.type, message.type, message.body, traceparent=traceparent)
                for message in messages
            ]
        )

    async def run(self) -> None:
        """Delete confirmed messages and relay late ones until `stop`."""
        tick = 0
        while not self._stopping.is_set():
            self._pulse.beat()
            try:
                await self._delete_confirmed()
                if tick % _RELAY_TICKS == 0:
                    await self._relay()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("outbox is delayed", error=f"{type(error).__name__}: {error}")
            tick += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_S):
                    await self._stopping.wait()

    async def stop(self) -> None:
        """Ask `run` to return, and delete the messages confirmed since. If that fails, they are sent once more."""
        self._stopping.set()
        try:
            await self._delete_confirmed()
        except Exception as error:
            if not is_transient(error):
                raise

    async def _delete_confirmed(self) -> None:
        if not self._confirmed:
            return
        deleted, self._confirmed = self._confirmed, []
        try:
            await self._pool.execute(_SQL["delete_messages"], deleted)
        except Exception:
            self._confirmed += deleted
            raise

    async def _relay(self) -> None:
        """Send late messages in the order of the decisions. One process relays at a time."""
        async with self._pool.acquire() as connection:
            if await connection.fetchval(_SQL["lock_relay"]):
                await self._relay_late(connection)
                await connection.execute(_SQL["unlock_relay"])
            if self._deferred:
                remaining = await connection.fetch(_SQL["remaining_messages"], list(self._deferred))
                self._deferred.intersection_update({row["id"] for row in remaining})
            self._backlog = (
                await connection.fetchval(_SQL["count_messages"], self._max_backlog) if self._deferred else 0
            )

    async def _relay_late(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        while rows := await connection.fetch(_SQL["late_messages"], LATE_AFTER, list(self._deferred), _RELAY_BATCH):
            for row in rows:
                self._pulse.beat()
                await self.send(list(map(EncodedMessage, row["types"], row["bodies"])), row["traceparent"])
                await connection.execute(_SQL["delete_messages"], [row["id"]])
            log.info("messages relayed", rows=len(rows))

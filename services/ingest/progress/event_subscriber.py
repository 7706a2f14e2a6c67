"""Subscribes to progress events through an exclusive queue, which is declared anew after each disconnect.

After a disconnect the aggregator is asked for what was missed, so that no client waits for an end that has already
come.
"""

from collections.abc import Awaitable, Callable
from typing import ClassVar

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.events import BatchFinished, BatchForecast, BatchProgressed
from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.progress.hub import ProgressHub
from services.ingest.submission.backpressure import Backpressure
from shared.messaging.connection import connect_once

log = structlog.get_logger()
_BINDINGS = (f"{BatchProgressed.type}.#", f"{BatchFinished.type}.#", f"{BatchForecast.type}.#")
_MAX_QUEUE_LENGTH = 10_000


class EventSubscriber:
    """Subscription of this process to progress events."""

    INTERVAL_S: ClassVar[float] = 0.1

    def __init__(
        self,
        url: str,
        progress_hub: ProgressHub,
        backpressure: Backpressure,
        catch_up: Callable[[], Awaitable[bool]],
    ) -> None:
        self._url = url
        self._progress_hub = progress_hub
        self._backpressure = backpressure
        self._catch_up = catch_up
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._caught_up = False

    @property
    def is_connected(self) -> bool:
        """True while events are received."""
        lost = (
            self._connection is None or self._channel is None or self._connection.is_closed or self._channel.is_closed
        )
        return not lost

    async def update(self) -> None:
        """Subscribe if that is not done, catch up after it, and save what events have told since the last call."""
        try:
            if not self.is_connected:
                await self._disconnect()
                await self._subscribe()
            self._caught_up = self._caught_up or await self._catch_up()
            await self._progress_hub.save_snapshots()
        except Exception:
            await self._disconnect()
            raise

    async def close(self) -> None:
        """Save what events have told, and disconnect."""
        await self._progress_hub.save_snapshots()
        await self._disconnect()

    async def _subscribe(self) -> None:
        self._caught_up = False
        self._connection = await connect_once(self._url, "ingest-progress")
        self._channel = await self._connection.channel()
        queue = await self._channel.declare_queue(
            exclusive=True,
            auto_delete=True,
            arguments={"x-max-length": _MAX_QUEUE_LENGTH, "x-queue-type": "classic"},
        )
        for key in _BINDINGS:
            await queue.bind(EVENTS, key)
        await queue.consume(self._on_event, no_ack=True)

    async def _disconnect(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _on_event(self, message: AbstractIncomingMessage) -> None:
        try:
            if message.type == BatchForecast.type:
                self._progress_hub.publish_forecast(BatchForecast.decode(message.body))
                return
            batch_id, snapshot = ProgressSnapshot.from_event(message.type or "", message.body)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("invalid progress event", type=message.type, error=f"{type(error).__name__}: {error}")
            return
        self._progress_hub.publish(batch_id, snapshot)
        self._backpressure.record_progress(batch_id, snapshot)

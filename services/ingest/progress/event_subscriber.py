"""Subscribes to progress events through an exclusive queue, which is declared anew after each disconnect.

After a disconnect the aggregator is asked for what was missed, so that no client waits for an end that has already
come.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aio_pika
import structlog
from aio_pika.abc import AbstractIncomingMessage
from yarl import URL

from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.progress.hub import ProgressHub
from services.ingest.submission.backpressure import Backpressure
from shared.messaging.connection import HEARTBEAT_S
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_BINDINGS = (f"{BatchProgressed.type}.#", f"{BatchFinished.type}.#")
_MAX_QUEUE_LENGTH = 10_000
_SAVE_INTERVAL_S = 0.1
_RECONNECT_DELAY_S = 0.5


class EventSubscriber:
    """Subscription of this process to progress events."""

    def __init__(
        self,
        url: str,
        progress_hub: ProgressHub,
        backpressure: Backpressure,
        catch_up: Callable[[], Awaitable[bool]],
        pulse: Pulse,
    ) -> None:
        self._url = URL(url).update_query(heartbeat=HEARTBEAT_S, name="ingest-progress")
        self._progress_hub = progress_hub
        self._backpressure = backpressure
        self._catch_up = catch_up
        self._pulse = pulse
        self._stopping = asyncio.Event()
        self.connected = False

    async def run(self) -> None:
        """Consume events until `stop`."""
        while not self._stopping.is_set():
            self._pulse.beat()
            try:
                await self._subscribe()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("progress events are delayed", error=f"{type(error).__name__}: {error}")
            finally:
                self.connected = False
            await self._wait(_RECONNECT_DELAY_S)

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

    async def _subscribe(self) -> None:
        connection = await aio_pika.connect(self._url, timeout=10)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(
                exclusive=True,
                auto_delete=True,
                arguments={"x-max-length": _MAX_QUEUE_LENGTH, "x-queue-type": "classic"},
            )
            for key in _BINDINGS:
                await queue.bind(EVENTS, key)
            await queue.consume(self._on_event, no_ack=True)
            self.connected = True
            caught_up = False
            while not (self._stopping.is_set() or connection.is_closed or channel.is_closed):
                self._pulse.beat()
                caught_up = caught_up or await self._catch_up()
                await self._progress_hub.save_snapshots()
                await self._wait(_SAVE_INTERVAL_S)
            await self._progress_hub.save_snapshots()

    async def _on_event(self, message: AbstractIncomingMessage) -> None:
        try:
            batch_id, snapshot = ProgressSnapshot.from_event(message.type or "", message.body)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("invalid progress event", type=message.type, error=f"{type(error).__name__}: {error}")
            return
        self._progress_hub.publish(batch_id, snapshot)
        self._backpressure.record_progress(batch_id, snapshot)

    async def _wait(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._stopping.wait()

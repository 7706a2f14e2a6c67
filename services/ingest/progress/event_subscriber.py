"""Brings progress events to this process through a queue of its own, which is made anew after each disconnect.

What was missed meanwhile is asked of the ledger, so that nobody waits for an end that has already come.
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
from services.ingest.domain.progress_snapshot import Frame
from services.ingest.progress.hub import Watchers
from services.ingest.submission.backpressure import Load
from shared.messaging.connection import HEARTBEAT_S
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_BINDINGS = (f"{BatchProgressed.type}.#", f"{BatchFinished.type}.#")
_MOST = 10_000
_SAVE_S = 0.1
_PAUSE_S = 0.5


class Feed:
    """The subscription of this process to progress."""

    def __init__(
        self, url: str, watchers: Watchers, load: Load, missed: Callable[[], Awaitable[bool]], pulse: Pulse
    ) -> None:
        self._url = URL(url).update_query(heartbeat=HEARTBEAT_S, name="ingest-progress")
        self._watchers = watchers
        self._load = load
        self._missed = missed
        self._pulse = pulse
        self._stopping = asyncio.Event()
        self.connected = False

    async def run(self) -> None:
        """Take events until `stop`."""
        while not self._stopping.is_set():
            self._pulse.beat()
            try:
                await self._subscribe()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("progress waits for RabbitMQ", error=f"{type(error).__name__}: {error}")
            finally:
                self.connected = False
            await self._wait(_PAUSE_S)

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

    async def _subscribe(self) -> None:
        connection = await aio_pika.connect(self._url, timeout=10)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(
                exclusive=True, auto_delete=True, arguments={"x-max-length": _MOST, "x-queue-type": "classic"}
            )
            for key in _BINDINGS:
                await queue.bind(EVENTS, key)
            await queue.consume(self._take, no_ack=True)
            self.connected = True
            caught_up = False
            while not (self._stopping.is_set() or connection.is_closed or channel.is_closed):
                self._pulse.beat()
                caught_up = caught_up or await self._missed()
                await self._watchers.save()
                await self._wait(_SAVE_S)
            await self._watchers.save()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        try:
            batch_id, frame = Frame.of_event(message.type or "", message.body)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("unreadable event", type=message.type, error=f"{type(error).__name__}: {error}")
            return
        self._watchers.show(batch_id, frame)
        self._load.hear(batch_id, frame)

    async def _wait(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._stopping.wait()

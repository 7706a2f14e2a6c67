"""Consumes a queue in small batches: what has arrived is handled together and acknowledged with one frame.

The order is kept and batches never overlap, so the one acknowledgement covers a contiguous prefix that is durable.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection

from batchyard_contracts.message import Envelope
from batchyard_contracts.topology import Queue
from shared.messaging.connection import open_channel
from shared.messaging.dead_letters import dead_letter
from shared.messaging.delivery import Delivery, Kind, acknowledge, decode, received
from shared.messaging.publisher import Publisher
from shared.runtime.errors import Rejected
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient, retry_transient

log = structlog.get_logger()
IDLE_S = 1.0
_BATCH_BYTES = 512 * 1024
"""About how much is decoded at once: the memory of a batch is a multiple of it."""


@dataclass(frozen=True, slots=True)
class Received:
    """A decoded message with its envelope."""

    message: object
    envelope: Envelope


BatchHandler = Callable[[Sequence[Received]], Awaitable[None]]


class BatchConsumer:
    """One queue, one channel, one batch at a time. Handlers must be idempotent: a batch may come again, in part."""

    def __init__(
        self,
        connection: AbstractRobustConnection,
        publisher: Publisher,
        queue: Queue,
        kinds: Sequence[Kind[object]],
        handler: BatchHandler,
        pulse: Pulse,
        *,
        most: int = 100,
        linger_s: float = 0.0,
    ) -> None:
        self._connection = connection
        self._publisher = publisher
        self._queue = queue
        self._kinds = {kind.type: kind for kind in kinds}
        self._handler = handler
        self._pulse = pulse
        self._most = most
        self._linger_s = linger_s
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Consume until `stop`; then finish the batch in hand. What was not begun goes back to the queue."""
        channel = await open_channel(self._connection)
        await channel.set_qos(prefetch_count=2 * self._most)
        queue = await channel.declare_queue(self._queue.name, passive=True)
        tag = await queue.consume(self._arrived.put)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while not self._stopping.is_set():
                self._pulse.beat()
                if batch := await self._gather(stopping):
                    await self._handle(batch)
        finally:
            self._pulse.rest()
            stopping.cancel()
            if not channel.is_closed:
                await queue.cancel(tag)
                await channel.close()

    def stop(self) -> None:
        """Ask `run` to return after the batch in hand."""
        self._stopping.set()

    async def _gather(self, stopping: "asyncio.Task[Literal[True]]") -> list[AbstractIncomingMessage]:
        if self._arrived.empty():
            first = asyncio.ensure_future(self._arrived.get())
            waiting: set[asyncio.Future[Any]] = {first, stopping}
            await asyncio.wait(waiting, timeout=IDLE_S, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                first.cancel()
                return []
            batch = [first.result()]
        else:
            batch = [self._arrived.get_nowait()]
        if self._linger_s and self._arrived.qsize() < self._most - 1:
            await asyncio.sleep(self._linger_s)
        room = _BATCH_BYTES - len(batch[0].body)
        while room > 0 and len(batch) < self._most and not self._arrived.empty():
            batch.append(self._arrived.get_nowait())
            room -= len(batch[-1].body)
        return batch

    async def _handle(self, batch: list[AbstractIncomingMessage]) -> None:
        good: list[tuple[Delivery, Received]] = []
        for raw in batch:
            delivery = received(raw)
            try:
                good.append((delivery, Received(decode(delivery, self._kinds), delivery.envelope)))
            except Rejected as error:
                await self._dead_letter(delivery, str(error))
        await self._handle_decoded(good)
        await acknowledge(batch[-1], multiple=True)

    async def _handle_decoded(self, batch: list[tuple[Delivery, Received]]) -> None:
        if not batch:
            return
        try:
            await retry_transient(
                lambda: self._handler([got for _, got in batch]), self._queue.name, waiting=self._pulse.beat
            )
        except Exception as error:
            if is_transient(error):
                raise
            if len(batch) == 1:
                log.exception("handler failed", queue=self._queue.name)
                await self._dead_letter(batch[0][0], f"{type(error).__name__}: {error}")
                return
            for one in batch:  # so that one bad message does not take its neighbours along
                await self._handle_decoded([one])

    async def _dead_letter(self, delivery: Delivery, reason: str) -> None:
        await retry_transient(
            lambda: dead_letter(self._publisher, self._queue, delivery, reason),
            "dead letters",
            waiting=self._pulse.beat,
        )

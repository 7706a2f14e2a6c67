"""Consumes a queue in batches: the messages that have arrived are handled together and acknowledged at once.

Batches keep the order and never overlap, so the one acknowledgement covers only messages that have been handled.
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
from shared.messaging.delivery import Delivery, MessageDecoder, acknowledge, decode, to_delivery
from shared.messaging.publisher import Publisher
from shared.runtime.errors import MessageRejected
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient, retry_transient

log = structlog.get_logger()
IDLE_S = 1.0
"""Longest wait for a first message between two beats of the pulse, in seconds."""
_BATCH_BYTES = 512 * 1024
"""Approximate size of a batch's bodies, in bytes; the memory in use is a multiple of it."""


@dataclass(frozen=True, slots=True)
class DecodedMessage:
    """Decoded message with its envelope."""

    message: object
    envelope: Envelope


BatchHandler = Callable[[Sequence[DecodedMessage]], Awaitable[None]]


class BatchConsumer:
    """Consumer of one queue, one batch at a time. Handlers must be idempotent: parts of a batch may be redelivered.

    A batch has at most `max_messages` messages; `linger_s`: how long to wait for more, in seconds. A batch whose
    handler fails is handled message by message, and the failing ones become dead letters.
    """

    def __init__(
        self,
        connection: AbstractRobustConnection,
        publisher: Publisher,
        queue: Queue,
        decoders: Sequence[MessageDecoder[object]],
        handler: BatchHandler,
        pulse: Pulse,
        *,
        max_messages: int = 100,
        linger_s: float = 0.0,
    ) -> None:
        self._connection = connection
        self._publisher = publisher
        self._queue = queue
        self._decoders = {decoder.type: decoder for decoder in decoders}
        self._handler = handler
        self._pulse = pulse
        self._max_messages = max_messages
        self._linger_s = linger_s
        self._arrivals: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Consume until `stop`; then finish the current batch and return the other messages to the queue."""
        channel = await open_channel(self._connection)
        await channel.set_qos(prefetch_count=2 * self._max_messages)
        queue = await channel.declare_queue(self._queue.name, passive=True)
        tag = await queue.consume(self._arrivals.put)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while not self._stopping.is_set():
                self._pulse.beat()
                if batch := await self._gather(stopping):
                    await self._handle(batch)
        finally:
            self._pulse.stop()
            stopping.cancel()
            if not channel.is_closed:
                await queue.cancel(tag)
                await channel.close()

    def stop(self) -> None:
        """Make `run` return after the current batch."""
        self._stopping.set()

    async def _gather(self, stopping: "asyncio.Task[Literal[True]]") -> list[AbstractIncomingMessage]:
        if self._arrivals.empty():
            first = asyncio.ensure_future(self._arrivals.get())
            waiting: set[asyncio.Future[Any]] = {first, stopping}
            await asyncio.wait(waiting, timeout=IDLE_S, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                first.cancel()
                return []
            batch = [first.result()]
        else:
            batch = [self._arrivals.get_nowait()]
        if self._linger_s and self._arrivals.qsize() < self._max_messages - 1:
            await asyncio.sleep(self._linger_s)
        room = _BATCH_BYTES - len(batch[0].body)
        while room > 0 and len(batch) < self._max_messages and not self._arrivals.empty():
            batch.append(self._arrivals.get_nowait())
            room -= len(batch[-1].body)
        return batch

    async def _handle(self, batch: list[AbstractIncomingMessage]) -> None:
        good: list[tuple[Delivery, DecodedMessage]] = []
        for raw in batch:
            delivery = to_delivery(raw)
            try:
                good.append((delivery, DecodedMessage(decode(delivery, self._decoders), delivery.envelope)))
            except MessageRejected as error:
                await self._dead_letter(delivery, str(error))
        await self._handle_decoded(good)
        await acknowledge(batch[-1], multiple=True)

    async def _handle_decoded(self, batch: list[tuple[Delivery, DecodedMessage]]) -> None:
        if not batch:
            return
        try:
            await retry_transient(
                lambda: self._handler([got for _, got in batch]), self._queue.name, on_wait=self._pulse.beat
            )
        except Exception as error:
            if is_transient(error):
                raise
            if len(batch) == 1:
                log.exception("handler failed", queue=self._queue.name)
                await self._dead_letter(batch[0][0], f"{type(error).__name__}: {error}")
                return
            for one in batch:  # so that one bad message does not fail the others
                await self._handle_decoded([one])

    async def _dead_letter(self, delivery: Delivery, reason: str) -> None:
        await retry_transient(
            lambda: dead_letter(self._publisher, self._queue, delivery, reason),
            "dead letters",
            on_wait=self._pulse.beat,
        )

"""Consumes a queue in batches: the messages that have arrived are handled together and acknowledged at once.

Batches keep the order and never overlap, so the one acknowledgement covers only messages that have been handled.
Bundles are taken apart: a batch has the messages of whole bundles.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel, AbstractRobustConnection

from batchyard_contracts.message import Envelope
from batchyard_contracts.topology import Queue
from shared.messaging.bundles import deliveries, message_count
from shared.messaging.connection import open_channel
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.delivery import Delivery, MessageDecoder, acknowledge, decode, is_stale
from shared.messaging.handling import HandlerRunner
from shared.messaging.publisher import Publisher
from shared.runtime.background import BackgroundTask
from shared.runtime.errors import MessageRejected
from shared.runtime.health import Pulse

log = structlog.get_logger()
IDLE_S = 1.0
"""Longest wait for the connection or for a first message between two looks, in seconds."""
_BATCH_BYTES = 512 * 1024
"""Approximate size of a batch's bodies, in bytes; the memory in use is a multiple of it."""


@dataclass(frozen=True, slots=True)
class DecodedMessage:
    """Decoded message with its envelope."""

    message: object
    envelope: Envelope


BatchHandler = Callable[[Sequence[DecodedMessage]], Awaitable[None]]


class BatchConsumer(BackgroundTask):
    """Consumer of one queue, one batch at a time. Handlers must be idempotent: parts of a batch may be redelivered.

    A batch has at most `max_messages` messages, and the rest of the last bundle; `linger_s`: how long to wait for more,
    in seconds. A batch whose handler fails is handled message by message, as `HandlerRunner` says. `priority`: messages
    go to the consumers of a queue with the highest one, while they have room.
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
        priority: int = 0,
    ) -> None:
        self._arrived: deque[AbstractIncomingMessage] = deque()
        self._has_arrivals = asyncio.Event()
        super().__init__(
            pulse, self._handle_arrived, interval_s=IDLE_S, wake=self._has_arrivals, on_stop=self._close_channel
        )
        self._connection = connection
        self._dead_letters = DeadLetters(publisher)
        self._queue = queue
        self._decoders = {decoder.type: decoder for decoder in decoders}
        self._handler = handler
        self._runner = HandlerRunner(queue, on_wait=pulse.beat)
        self._beat = pulse.beat
        self._max_messages = max_messages
        self._linger_s = linger_s
        self._priority = priority
        self._channel: AbstractRobustChannel | None = None
        self._busy_since: float | None = None

    @property
    def busy_since(self) -> float | None:
        """Time (monotonic seconds) since which messages that have arrived wait or are handled; None if there are none.
        All messages that arrived before are handled, or went back to the queue."""
        return self._busy_since

    @property
    def is_working(self) -> bool:
        """False when every step of the last minute failed, or a message is held."""
        return super().is_working and self._runner.is_working

    async def _handle_arrived(self) -> float | None:
        """Handle one batch of what has arrived. After an error the channel is closed, so that the broker redelivers."""
        if not (self._channel or self._connection.connected.is_set()):
            return None
        try:
            if self._channel is None:
                await self._open_channel()
            if not self._arrived:
                return None
            if self._linger_s and len(self._arrived) < self._max_messages:
                await asyncio.sleep(self._linger_s)
            if batch := self._take_batch():
                await self._handle(batch)
        except Exception:
            await self._close_channel()
            raise
        if not self._arrived:
            self._busy_since = None
        return 0.0

    async def _open_channel(self) -> None:
        self._channel = await open_channel(self._connection)
        await self._channel.set_qos(prefetch_count=2 * self._max_messages)
        queue = await self._channel.declare_queue(self._queue.name, passive=True)
        await queue.consume(self._on_message, arguments={"x-priority": self._priority})

    async def _close_channel(self) -> None:
        """Stop consuming; messages that have arrived and were not handled go back to the queue."""
        channel, self._channel = self._channel, None
        if channel is not None and not channel.is_closed:
            await channel.close()
        self._arrived.clear()
        self._busy_since = None

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        self._drop_stale()
        self._arrived.append(message)
        if self._busy_since is None:
            self._busy_since = time.monotonic()
        self._has_arrivals.set()

    def _drop_stale(self) -> None:
        """Forget the messages of a channel that was lost: the broker delivers them again on the next one."""
        if self._arrived and is_stale(self._arrived[-1]):
            self._arrived.clear()

    def _take_batch(self) -> list[AbstractIncomingMessage]:
        self._drop_stale()
        if not self._arrived:
            return []
        batch: list[AbstractIncomingMessage] = []
        room, left = _BATCH_BYTES, self._max_messages
        while room > 0 and left > 0 and self._arrived:
            batch.append(self._arrived.popleft())
            room -= len(batch[-1].body)
            left -= message_count(batch[-1])
        return batch

    async def _handle(self, batch: list[AbstractIncomingMessage]) -> None:
        good: list[tuple[Delivery, DecodedMessage]] = []
        for delivery in (one for raw in batch for one in deliveries(raw)):
            try:
                good.append((delivery, DecodedMessage(decode(delivery, self._decoders), delivery.envelope)))
            except MessageRejected as error:
                await self._dead_letter(delivery, str(error))
        await self._handle_decoded(good)
        await acknowledge(batch[-1], multiple=True)

    async def _handle_decoded(self, batch: list[tuple[Delivery, DecodedMessage]]) -> None:
        if len(batch) > 1:
            try:
                await self._runner.run_once(lambda: self._handler([got for _, got in batch]))
            except Exception as error:  # noqa: BLE001  handled one by one, so that one bad message fails no other
                log.warning("handling one by one", queue=self._queue.name, error=f"{type(error).__name__}: {error}")
            else:
                return
        for delivery, got in batch:
            await self._handle_one(delivery, got)

    async def _handle_one(self, delivery: Delivery, got: DecodedMessage) -> None:
        try:
            await self._runner.run(lambda: self._handler([got]), delivery.envelope.type)
        except MessageRejected as error:
            await self._dead_letter(delivery, str(error))
        except Exception as error:
            log.exception("handler failed", queue=self._queue.name)
            await self._dead_letter(delivery, f"{type(error).__name__}: {error}")

    async def _dead_letter(self, delivery: Delivery, reason: str) -> None:
        await self._dead_letters.add(self._queue, delivery, reason, self._beat)

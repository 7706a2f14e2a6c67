"""Consumes a queue that all owners share, so that one who sends much keeps no other waiting.

The messages of a queue come in the order of arrival. Therefore all that come are read at once: each owner has places in
memory, as `OwnerPlaces` says, and what has no place moves to a second queue, the slow path, where it waits in order. So
the first queue is always short, and the next owner's message is read soon. While an owner has messages on the slow
path, further ones follow them there.

Where one process consumes, the messages of an owner keep their order, also when it is killed: none moves while earlier
ones are in memory, from where they would come back behind it. A process that finds messages on the slow path at its
start lets all that come follow them. It has passed them when the first message comes that it moved itself, since the
slow path is a queue; and it has passed those of an owner when a later one of its own comes.
"""

import asyncio
import math
import uuid
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel, AbstractRobustConnection

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.topology import Queue
from shared.messaging.acknowledgements import Acknowledgements
from shared.messaging.aside_messages import aside_copy, number_of_mover, original_delivery
from shared.messaging.connection import open_channel
from shared.messaging.delivery import Delivery, is_stale, to_delivery
from shared.messaging.message_router import MessageRouter
from shared.messaging.owner_places import OwnerPlaces
from shared.messaging.publisher import Publisher
from shared.messaging.queue_depth import queue_depth
from shared.observability import metrics
from shared.runtime.isolation import run_isolated
from shared.runtime.owner_turns import OwnerTurns
from shared.runtime.transient import retry_transient

PLACES, PLACE_BYTES, RESERVE = 64, 32 * 1024 * 1024, 16
"""Messages of all owners in memory, their bytes, and further messages of owners who have none there."""
_MOVING = 128
"""Messages that may be on their way to the slow path, beyond those that have places: as many move while the broker
confirms."""
PREFETCH = PLACES + RESERVE + _MOVING
ASIDE_CONCURRENCY = 32
"""Messages of the slow path that are handled at a time."""
_LOOK_S = 0.1
"""Seconds between two looks whether the slow path is empty, while it is not."""
_STOP_TIMEOUT_S = 15.0
_START_PATIENCE_S = 5.0
log = structlog.get_logger()
_moved = metrics.counter("batchyard.messages.set_aside", "Messages that moved to the slow path, by queue.")
Callback = Callable[[AbstractIncomingMessage], Awaitable[None]]


class FairConsumer:
    """Consumer of a queue, and of its slow path `aside`. The turns are those of all work of the process."""

    def __init__(
        self,
        connection: AbstractRobustConnection,
        publisher: Publisher,
        queue: Queue,
        aside: Queue,
        router: MessageRouter,
        turns: OwnerTurns,
    ) -> None:
        self._connection, self._publisher, self._queue, self._aside = connection, publisher, queue, aside
        self._router, self._turns = router, turns
        self._places = OwnerPlaces(PLACES, PLACE_BYTES, RESERVE)
        self._received, self._received_aside = Acknowledgements(PREFETCH // 4), Acknowledgements(ASIDE_CONCURRENCY // 4)
        self._excess: deque[tuple[AbstractIncomingMessage, Delivery]] = deque()
        self._has_changed = asyncio.Event()
        """Set when there is more to move, or a place was given back."""
        self._mover = uuid.uuid4().hex
        self._moved = 0
        """Messages that were moved."""
        self._owners_aside: OrderedDict[str, float] = OrderedDict()
        """Owners who have messages on the slow path, each with the number of its last one, in this order; infinite
        while it has messages that wait to be moved."""
        self._is_catching_up = False
        """True while the slow path may have messages of any owner, which an earlier process has moved."""
        self._moving: asyncio.Task[None] | None = None
        self._handling: set[asyncio.Task[None]] = set()
        self._handling_aside = 0
        self._starting: list[asyncio.Task[None]] = []
        self._channels: list[AbstractRobustChannel] = []
        self._is_stopping = False

    @property
    def is_working(self) -> bool:
        """True if both queues are consumed, and no message is held."""
        return all(task.done() for task in self._starting) and self._router.is_working

    async def start(self) -> None:
        """Consume the queues as soon as they are there."""
        self._starting.append(asyncio.create_task(self._begin_to_consume()))
        await asyncio.wait(self._starting, timeout=_START_PATIENCE_S)

    async def _begin_to_consume(self) -> None:
        self._is_catching_up = await retry_transient(self._aside_depth, self._aside.name) > 0
        await self._consume(self._aside.name, ASIDE_CONCURRENCY, self._on_aside_message)
        await self._consume(self._queue.name, PREFETCH, self._on_message)
        if self._is_catching_up:
            self._keep_moving()

    async def stop(self) -> None:
        """Finish the messages in hand, and consume no more. What has no place stays in the queue."""
        self._is_stopping = True
        self._has_changed.set()
        for task in self._starting:
            task.cancel()
        in_hand = {*self._handling, *([self._moving] if self._moving else [])}
        if in_hand:
            _, late = await asyncio.wait(in_hand, timeout=_STOP_TIMEOUT_S)
            for task in late:  # its message goes back to the queue
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for received in (self._received, self._received_aside):
            await received.flush()
        for channel in self._channels:
            await channel.close()

    async def _consume(self, queue: str, prefetch: int, callback: Callback) -> None:
        async def attempt() -> None:
            channel = await open_channel(self._connection)
            try:
                await channel.set_qos(prefetch_count=prefetch)
                await (await channel.declare_queue(queue, passive=True)).consume(callback)
            except BaseException:
                await channel.close()
                raise
            self._channels.append(channel)

        await retry_transient(attempt, queue)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        if self._is_stopping:
            return
        self._received.receive(message)
        if self._router.drop_unread(message):
            self._received.add(message)
            return
        delivery = self._router.identify(to_delivery(message))
        owner, size = delivery.envelope.owner or "", len(delivery.body)
        follows = self._is_catching_up or owner in self._owners_aside
        if not follows and self._places.take(owner, size):
            release = lambda: self._release(owner, size)  # noqa: E731
            self._begin(self._handle_in_turn(message, delivery, self._received, release))
        elif size <= MAX_MESSAGE_BYTES and self._router.is_readable(delivery):
            self._move_later(message, delivery, owner)
        else:  # refused without reading it, which takes less than moving it
            self._begin(self._handle_now(message, delivery, self._received))

    async def _on_aside_message(self, message: AbstractIncomingMessage) -> None:
        if self._is_stopping:
            return
        self._received_aside.receive(message)
        self._handling_aside += 1
        number = number_of_mover(message, self._mover)
        if number is not None:
            self._pass(number)
        delivery = self._router.identify(original_delivery(message))
        self._begin(self._handle_in_turn(message, delivery, self._received_aside, self._end_aside))

    def _pass(self, number: int) -> None:
        """Note that all which was moved up to this message has come from the slow path."""
        self._is_catching_up = False
        while self._owners_aside:
            owner, last = next(iter(self._owners_aside.items()))
            if last > number:
                return
            del self._owners_aside[owner]

    def _end_aside(self) -> None:
        self._handling_aside -= 1
        if self._excess:  # of which some may be refused unread by now
            self._has_changed.set()

    def _release(self, owner: str, size: int) -> None:
        self._places.release(owner, size)
        self._has_changed.set()

    def _begin(self, handling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(handling)
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    async def _handle_in_turn(
        self,
        message: AbstractIncomingMessage,
        delivery: Delivery,
        received: Acknowledgements,
        end: Callable[[], None],
    ) -> None:
        try:
            await self._turns.take(delivery.envelope.owner or "")
            await self._handle_now(message, delivery, received)
        finally:
            end()

    async def _handle_now(
        self, message: AbstractIncomingMessage, delivery: Delivery, received: Acknowledgements
    ) -> None:
        try:
            await self._router.handle(delivery)
        except Exception as error:  # its handler has reported a defect; the broker delivers the message again
            log.exception("message returned", queue=self._queue.name, error=type(error).__name__)
            await received.give_back(message)
        else:
            received.add(message)

    def _move_later(self, message: AbstractIncomingMessage, delivery: Delivery, owner: str) -> None:
        self._owners_aside[owner] = math.inf
        self._owners_aside.move_to_end(owner)
        self._excess.append((message, delivery))
        self._has_changed.set()
        self._keep_moving()

    def _keep_moving(self) -> None:
        if self._moving is None or self._moving.done():
            self._moving = asyncio.create_task(self._move())

    async def _move(self) -> None:
        """Move messages to the slow path, until it has been empty for two looks."""
        looks = 0
        while (self._owners_aside or self._is_catching_up) and not self._is_stopping:
            self._has_changed.clear()
            if movable := self._take_movable():
                looks = 0
                await self._move_aside(movable)
            elif self._excess:  # behind messages in memory
                looks = 0
                await self._has_changed.wait()
            elif looks == 2:
                self._owners_aside.clear()
                self._is_catching_up = False
            else:
                is_empty = not self._handling_aside and not await retry_transient(self._aside_depth, self._aside.name)
                looks = looks + 1 if is_empty else 0
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._has_changed.wait(), _LOOK_S)

    def _take_movable(self) -> list[tuple[AbstractIncomingMessage, Delivery]]:
        """Take messages out of the excess, in order, whose owners have none in memory. Those that are refused unread by
        now are no longer moved, and wait for none."""
        movable: list[tuple[AbstractIncomingMessage, Delivery]] = []
        left: deque[tuple[AbstractIncomingMessage, Delivery]] = deque()
        refused: set[str] = set()
        for message, delivery in self._excess:
            owner = delivery.envelope.owner or ""
            if self._refuse_unread(message, delivery):
                refused.add(owner)
            else:
                (left if self._places.has(owner) or len(movable) == _MOVING else movable).append((message, delivery))
        self._excess = left
        self._note_moved(refused - {delivery.envelope.owner or "" for _, delivery in movable})
        return movable

    def _refuse_unread(self, message: AbstractIncomingMessage, delivery: Delivery) -> bool:
        """Refuse a message whose sender has sent too many invalid ones; False if it is to be read."""
        if self._router.drop_unread(message):
            self._received.add(message)
        elif not self._router.is_readable(delivery):
            self._begin(self._handle_now(message, delivery, self._received))
        else:
            return False
        return True

    async def _move_aside(self, taken: Sequence[tuple[AbstractIncomingMessage, Delivery]]) -> None:
        moving = [one for one in taken if not is_stale(one[0])]
        failed = await retry_transient(lambda: run_isolated(moving, self._publish_aside), self._aside.name)
        returned = {id(message) for (message, _), _ in failed}
        _moved.add(len(moving) - len(failed), {"queue": self._queue.name})
        for message, _ in moving:
            if id(message) in returned:
                await self._received.give_back(message)
            else:
                self._received.add(message)
        for _, error in failed:  # a defect: the broker counts how often they come, and keeps them in the end
            log.error("message returned", queue=self._queue.name, error=type(error).__name__)
        self._note_moved({delivery.envelope.owner or "" for _, delivery in taken})

    async def _publish_aside(self, moving: Sequence[tuple[AbstractIncomingMessage, Delivery]]) -> None:
        copies = []
        for _, delivery in moving:
            self._moved += 1
            copies.append(aside_copy(delivery, self._mover, self._moved))
        await self._publisher.publish(copies)

    def _note_moved(self, owners: set[str]) -> None:
        for owner in owners - {delivery.envelope.owner or "" for _, delivery in self._excess}:
            self._owners_aside[owner] = self._moved
            self._owners_aside.move_to_end(owner)

    async def _aside_depth(self) -> int:
        return await queue_depth(self._connection, self._aside.name) or 0

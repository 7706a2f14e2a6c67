"""Subscription to the events of an owner: one queue per client, whose events go to the inboxes of their batches."""

import asyncio
import logging
from collections import deque

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pydantic import ValidationError

from batchyard_contracts.client.connection import LOST, BrokerConnection, is_cancelled, raise_if_refused
from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed, BatchStarted
from batchyard_contracts.v1.values import BatchId

BatchEvent = BatchStarted | BatchProgressed | BatchFinished
_KINDS: dict[str, type[BatchEvent]] = {kind.type: kind for kind in (BatchStarted, BatchProgressed, BatchFinished)}
_PAUSE_S = 0.5
log = logging.getLogger(__name__)


class Inbox:
    """Inbox of one batch: its unread events. It stays small, since newer progress replaces unread progress."""

    def __init__(self, batch_id: BatchId) -> None:
        self.batch_id = batch_id
        self.has_gap = True
        """True while events may have been missed: before the first one, and after a lost subscription."""
        self._events: deque[BatchEvent] = deque()
        self._awake = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._events)

    def put(self, event: BatchEvent) -> None:
        """Add an event; progress replaces unread progress."""
        if self._events and isinstance(event, BatchProgressed) and isinstance(self._events[-1], BatchProgressed):
            self._events.pop()
        self._events.append(event)
        self._awake.set()

    def mark_gap(self) -> None:
        """Set `has_gap` and wake the reader, because events may have been lost."""
        self.has_gap = True
        self._awake.set()

    async def get(self, timeout_s: float) -> BatchEvent | None:
        """Return the next event; None, with `has_gap` set, if none came in time or the subscription was lost."""
        if not self._events:
            self._awake.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._awake.wait()
            except TimeoutError:
                self.has_gap = True
        return self._events.popleft() if self._events else None


class Subscription:
    """Exclusive queue that exists while an inbox is subscribed, and is declared again after a lost connection."""

    def __init__(self, connection: BrokerConnection, owner: str) -> None:
        self._connection = connection
        self._owner = owner
        self._inboxes: dict[BatchId, list[Inbox]] = {}
        self._channel: AbstractChannel | None = None
        self._changing = asyncio.Lock()

    async def add(self, inbox: Inbox) -> None:
        """Deliver the events of a batch to an inbox, from the return of this call on."""
        self._inboxes.setdefault(inbox.batch_id, []).append(inbox)
        try:
            await self.restore()
        except BaseException:
            self._drop(inbox)
            raise

    async def remove(self, inbox: Inbox) -> None:
        """Deliver no more events to an inbox; the queue closes with the last one."""
        self._drop(inbox)
        async with self._changing:
            if not self._inboxes and self._channel is not None:
                channel, self._channel = self._channel, None
                await _close(channel)

    async def restore(self) -> None:
        """Declare the queue if it is missing, and wait until that succeeds; raises `BrokerRefused`."""
        while self._channel is None or self._channel.is_closed:
            try:
                async with self._changing:
                    if self._channel is None or self._channel.is_closed:
                        self._channel = await self._open()
            except LOST as error:
                raise_if_refused(error)
                log.info("not subscribed, trying again: %s", error)
                await asyncio.sleep(_PAUSE_S)
            except asyncio.CancelledError:
                if is_cancelled():
                    raise
                await asyncio.sleep(_PAUSE_S)

    def _drop(self, inbox: Inbox) -> None:
        inboxes = self._inboxes[inbox.batch_id]
        inboxes.remove(inbox)
        if not inboxes:
            del self._inboxes[inbox.batch_id]

    async def _open(self) -> AbstractChannel:
        channel = await (await self._connection.open()).channel(publisher_confirms=False)
        queue = await channel.declare_queue(exclusive=True, auto_delete=True)
        for kind in _KINDS:
            await queue.bind(EVENTS, f"{kind}.*.{self._owner}")
        channel.close_callbacks.add(self._on_channel_closed)
        await queue.consume(self._on_event, no_ack=True)
        return channel

    async def _on_channel_closed(self, *_: object) -> None:
        for inboxes in self._inboxes.values():
            for inbox in inboxes:
                inbox.mark_gap()

    async def _on_event(self, message: AbstractIncomingMessage) -> None:

        kind = _KINDS.get(message.type or "")
        if kind is None or not self._inboxes:
            return
        try:
            event = kind.decode(message.body)
        except ValidationError as error:
            log.warning("an unreadable %s was skipped: %s", message.type, error)
            return
        for inbox in self._inboxes.get(event.batch_id, ()):
            inbox.put(event)


async def _close(channel: AbstractChannel) -> None:
    try:
        if not channel.is_closed:
            await channel.close()
    except LOST as error:
        log.debug("closing: %s", error)

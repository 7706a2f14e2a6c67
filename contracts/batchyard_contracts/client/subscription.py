"""One queue for all that a client listens to: the events of its owner, handed on to whoever follows the batch."""

import asyncio
import logging
from collections import deque

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pydantic import ValidationError

from batchyard_contracts.client.line import LOST, Line, cancelling, check_refused
from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed, BatchStarted
from batchyard_contracts.v1.values import BatchId

BatchEvent = BatchStarted | BatchProgressed | BatchFinished
_KINDS: dict[str, type[BatchEvent]] = {kind.type: kind for kind in (BatchStarted, BatchProgressed, BatchFinished)}
_PAUSE_S = 0.5
log = logging.getLogger(__name__)


class Inbox:
    """The events of one batch that were not read yet. Of progress only the newest waits, so it stays small."""

    def __init__(self, batch_id: BatchId) -> None:
        self.batch_id = batch_id
        self.unsure = True
        """Whether something may have passed unseen: before the first event, and after a lost subscription."""
        self._events: deque[BatchEvent] = deque()
        self._awake = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._events)

    def put(self, event: BatchEvent) -> None:
        """Add an event; progress takes the place of progress that nobody read."""
        if self._events and isinstance(event, BatchProgressed) and isinstance(self._events[-1], BatchProgressed):
            self._events.pop()
        self._events.append(event)
        self._awake.set()

    def doubt(self) -> None:
        """Wake whoever waits: events may have been lost."""
        self.unsure = True
        self._awake.set()

    async def get(self, timeout_s: float) -> BatchEvent | None:
        """The next event; None, and `unsure`, when none came in time or the subscription was lost."""
        if not self._events:
            self._awake.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._awake.wait()
            except TimeoutError:
                self.unsure = True
        return self._events.popleft() if self._events else None


class Subscription:
    """An exclusive queue that is there while somebody listens, and comes back after its connection was lost."""

    def __init__(self, line: Line, owner: str) -> None:
        self._line = line
        self._owner = owner
        self._inboxes: dict[BatchId, list[Inbox]] = {}
        self._channel: AbstractChannel | None = None
        self._changing = asyncio.Lock()

    async def join(self, inbox: Inbox) -> None:
        """Hand on the events of a batch, from when this returns."""
        self._inboxes.setdefault(inbox.batch_id, []).append(inbox)
        try:
            await self.restore()
        except BaseException:
            self._forget(inbox)
            raise

    async def leave(self, inbox: Inbox) -> None:
        """Hand on no more; the last one closes the queue."""
        self._forget(inbox)
        async with self._changing:
            if not self._inboxes and self._channel is not None:
                channel, self._channel = self._channel, None
                await _close(channel)

    async def restore(self) -> None:
        """Return when the queue is there, however long that takes; raises `BrokerRefused`."""
        while self._channel is None or self._channel.is_closed:
            try:
                async with self._changing:
                    if self._channel is None or self._channel.is_closed:
                        self._channel = await self._open()
            except LOST as error:
                check_refused(error)
                log.info("not subscribed, trying again: %s", error)
                await asyncio.sleep(_PAUSE_S)
            except asyncio.CancelledError:
                if cancelling():
                    raise
                await asyncio.sleep(_PAUSE_S)

    def _forget(self, inbox: Inbox) -> None:
        inboxes = self._inboxes[inbox.batch_id]
        inboxes.remove(inbox)
        if not inboxes:
            del self._inboxes[inbox.batch_id]

    async def _open(self) -> AbstractChannel:
        channel = await (await self._line.connection()).channel(publisher_confirms=False)
        queue = await channel.declare_queue(exclusive=True, auto_delete=True)
        for kind in _KINDS:
            await queue.bind(EVENTS, f"{kind}.*.{self._owner}")
        channel.close_callbacks.add(self._lost)
        await queue.consume(self._arrived, no_ack=True)
        return channel

    async def _lost(self, *_: object) -> None:
        for inboxes in self._inboxes.values():
            for inbox in inboxes:
                inbox.doubt()

    async def _arrived(self, message: AbstractIncomingMessage) -> None:
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

"""Follows one batch to its end, by events; what was missed is made up for by a question."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pydantic import ValidationError

from batchyard_contracts.client.errors import NoAnswer, QuestionRefused, UnknownBatch
from batchyard_contracts.client.line import LOST, Line, cancelling, check_refused
from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed, BatchStarted
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import BatchId

BatchEvent = BatchStarted | BatchProgressed | BatchFinished
_KINDS: dict[str, type[BatchEvent]] = {kind.type: kind for kind in (BatchStarted, BatchProgressed, BatchFinished)}
QUIET_S = 10.0
"""After this long without an event the ledger is asked whether the batch has ended."""
_PREFETCH = 100
_PAUSE_S = 0.5
log = logging.getLogger(__name__)


class Events:
    """The events of one batch; the iteration ends after `BatchFinished` of the round.

    Entering it subscribes, so that nothing is missed from then on; iterating without entering subscribes too. The
    queue is exclusive and goes with its connection: after a restart of the broker there is a new one, and the ledger
    is asked for the end that may have passed meanwhile. So there may be gaps in the progress, but never in the end.
    """

    def __init__(
        self,
        line: Line,
        owner: str,
        batch_id: BatchId,
        since_round: int,
        show: Callable[[BatchId], Awaitable[BatchState]],
    ) -> None:
        self._line = line
        self._owner = owner
        self._batch_id = batch_id
        self._since_round = since_round
        self._show = show
        self._channel: AbstractChannel | None = None
        self._arrived: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._unsure = True
        """Whether the end may have passed unseen: after subscribing, and after a long silence."""
        self._ended = False

    async def __aenter__(self) -> Self:
        await self._subscribe()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._unsubscribe()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchEvent:
        event = None if self._ended else await self._next()
        if event is None:
            await self._unsubscribe()
            raise StopAsyncIteration
        self._ended = isinstance(event, BatchFinished)
        return event

    async def _next(self) -> BatchEvent:
        while True:
            await self._subscribe()
            if self._unsure and self._arrived.empty():
                self._unsure = False
                if (end := await self._asked()) is not None:
                    return end
            try:
                async with asyncio.timeout(QUIET_S):
                    message = await self._arrived.get()
            except TimeoutError:
                self._unsure = True
                continue
            if message is not None and (event := await self._taken(message)) is not None:
                return event

    async def _asked(self) -> BatchFinished | None:
        try:
            state = await self._show(self._batch_id)
        except (UnknownBatch, NoAnswer, QuestionRefused) as error:
            log.debug("batch %s: asked again later: %s", self._batch_id, error)
            return None
        if state.status != "finished" or state.result is None or state.finished_at is None:
            return None
        if state.round < self._since_round:
            return None
        shared = state.model_dump(include=set(BatchFinished.model_fields))
        return BatchFinished.model_validate(shared)

    async def _taken(self, message: AbstractIncomingMessage) -> BatchEvent | None:
        try:
            await message.ack()
        except LOST as error:
            log.debug("acknowledgement lost: %s", error)
        kind = _KINDS.get(message.type or "")
        if kind is None:
            return None
        try:
            event = kind.decode(message.body)
        except ValidationError as error:
            log.warning("an unreadable %s was skipped: %s", message.type, error)
            return None
        return event if event.batch_id == self._batch_id and event.round >= self._since_round else None

    async def _subscribe(self) -> None:
        while self._channel is None or self._channel.is_closed:
            try:
                self._channel = await self._open()
            except LOST as error:
                check_refused(error)
                log.info("not subscribed, trying again: %s", error)
            except asyncio.CancelledError:
                if cancelling():
                    raise
            else:
                self._unsure = True
                return
            await asyncio.sleep(_PAUSE_S)

    async def _open(self) -> AbstractChannel:
        channel = await (await self._line.connection()).channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=_PREFETCH)
        queue = await channel.declare_queue(exclusive=True, auto_delete=True)
        for kind in _KINDS:
            await queue.bind(EVENTS, f"{kind}.*.{self._owner}")
        self._arrived = asyncio.Queue()
        arrived = self._arrived

        async def lost(*_: object) -> None:
            arrived.put_nowait(None)

        channel.close_callbacks.add(lost)
        await queue.consume(arrived.put)
        return channel

    async def _unsubscribe(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and not channel.is_closed:
            try:
                await channel.close()
            except LOST as error:
                log.debug("closing: %s", error)

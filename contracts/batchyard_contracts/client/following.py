"""Event stream of one batch until its end; a query makes up for missed events."""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from batchyard_contracts.client.errors import NoReply, QueryRefused, UnknownBatch
from batchyard_contracts.client.subscription import BatchEvent, Inbox, Subscription
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import BatchId

QUIET_S = 10.0
"""Seconds without an event after which the client queries whether the batch has finished."""
log = logging.getLogger(__name__)


class Events:
    """Events of one batch; the iteration ends after `BatchFinished` of the round.

    Entering it subscribes, so that no later event is missed; iterating without entering subscribes too. The queue is
    bound to its connection: after a restart of the broker a new one is declared, and a query finds an end that passed
    meanwhile. Progress may thus have gaps, but the end is always reported. A slow reader receives the newest progress
    only.
    """

    def __init__(
        self,
        subscription: Subscription,
        batch_id: BatchId,
        since_round: int,
        batch_state: Callable[[BatchId], Awaitable[BatchState]],
    ) -> None:
        self._subscription = subscription
        self._batch_id = batch_id
        self._since_round = since_round
        self._batch_state = batch_state
        self._inbox: Inbox | None = None
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
        if self._ended:
            raise StopAsyncIteration
        event = await self._next(await self._subscribe())
        if isinstance(event, BatchFinished):
            self._ended = True
            await self._unsubscribe()
        return event

    async def _next(self, inbox: Inbox) -> BatchEvent:
        while True:
            await self._subscription.restore()
            if inbox.has_gap and not inbox:
                inbox.has_gap = False
                if (end := await self._query_end()) is not None:
                    return end
            event = await inbox.get(QUIET_S)
            if event is not None and event.round >= self._since_round:
                return event

    async def _query_end(self) -> BatchFinished | None:
        try:
            state = await self._batch_state(self._batch_id)
        except (UnknownBatch, NoReply, QueryRefused) as error:
            log.debug("batch %s: its state is queried again later: %s", self._batch_id, error)

            return None
        return state.end(datetime.now(UTC)) if state.round >= self._since_round else None

    async def _subscribe(self) -> Inbox:
        if self._inbox is None:
            self._inbox = Inbox(self._batch_id)
            await self._subscription.add(self._inbox)
        return self._inbox

    async def _unsubscribe(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            await self._subscription.remove(inbox)

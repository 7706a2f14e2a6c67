"""Follows one batch to its end, by events; what was missed is made up for by a question."""

import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from batchyard_contracts.client.errors import NoAnswer, QuestionRefused, UnknownBatch
from batchyard_contracts.client.subscription import BatchEvent, Inbox, Subscription
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import BatchId

QUIET_S = 10.0
"""After this long without an event the ledger is asked whether the batch has ended."""
log = logging.getLogger(__name__)


class Events:
    """The events of one batch; the iteration ends after `BatchFinished` of the round.

    Entering it subscribes, so that nothing is missed from then on; iterating without entering subscribes too. The
    queue goes with its connection: after a restart of the broker there is a new one, and the ledger is asked for the
    end that may have passed meanwhile. So there may be gaps in the progress, but never in the end. A reader that is
    slower than the batch gets the newest progress only.
    """

    def __init__(
        self,
        subscription: Subscription,
        batch_id: BatchId,
        since_round: int,
        show: Callable[[BatchId], Awaitable[BatchState]],
    ) -> None:
        self._subscription = subscription
        self._batch_id = batch_id
        self._since_round = since_round
        self._show = show
        self._inbox: Inbox | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        await self._join()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchEvent:
        if self._ended:
            raise StopAsyncIteration
        event = await self._next(await self._join())
        if isinstance(event, BatchFinished):
            self._ended = True
            await self._leave()
        return event

    async def _next(self, inbox: Inbox) -> BatchEvent:
        while True:
            await self._subscription.restore()
            if inbox.unsure and not inbox:
                inbox.unsure = False
                if (end := await self._asked()) is not None:
                    return end
            event = await inbox.get(QUIET_S)
            if event is not None and event.round >= self._since_round:
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

    async def _join(self) -> Inbox:
        if self._inbox is None:
            self._inbox = Inbox(self._batch_id)
            await self._subscription.join(self._inbox)
        return self._inbox

    async def _leave(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            await self._subscription.leave(inbox)

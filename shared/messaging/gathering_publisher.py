"""Publishes messages of many tasks together: those that gather while earlier ones wait for their confirms.

A message leaves at once while few are on their way, so nothing waits to be gathered. What has gathered leaves in one
call of the publisher, which sends small messages as bundles.
"""

import asyncio
from collections.abc import Sequence

from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.runtime.errors import MessageRejected

_MAX_IN_PROGRESS = 4
"""Calls of the publisher at a time."""
_Waiting = tuple[Sequence[OutgoingMessage], asyncio.Future[None]]
"""The messages of a caller, and the end that it waits for."""


class GatheringPublisher:
    """Publisher for callers that publish concurrently and in no order."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._waiting: list[_Waiting] = []
        self._in_progress: set[asyncio.Task[None]] = set()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Publish messages; return when the broker has confirmed them. Raises as `Publisher.publish` does.

        When a call for several callers fails, it fails for each of them; but where one message can never be sent, each
        caller's are sent again alone, so that the others do not pay for it.
        """
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((messages, confirmed))
        if len(self._in_progress) < _MAX_IN_PROGRESS:
            task = asyncio.create_task(self._publish_waiting())
            self._in_progress.add(task)
            task.add_done_callback(self._in_progress.discard)
        await confirmed

    async def _publish_waiting(self) -> None:
        while self._waiting:
            gathered, self._waiting = self._waiting, []
            if not await self._publish_together(gathered):
                for one in gathered:
                    await self._publish_together([one])

    async def _publish_together(self, gathered: Sequence[_Waiting]) -> bool:
        """Publish the messages of some callers, and tell each the end; False, and nobody is told, if a message of one
        of several callers can never be sent."""
        try:
            await self._publisher.publish([message for messages, _ in gathered for message in messages])
        except BaseException as error:
            if isinstance(error, MessageRejected) and len(gathered) > 1:
                return False
            for _, confirmed in gathered:
                if not confirmed.done():
                    confirmed.set_exception(error) if isinstance(error, Exception) else confirmed.cancel()
            if not isinstance(error, Exception):
                raise
        else:
            for _, confirmed in gathered:
                if not confirmed.done():
                    confirmed.set_result(None)
        return True

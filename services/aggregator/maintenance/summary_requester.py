"""Asks workers for summaries: at once when a batch lacks nothing else, and again when no answer comes.

What is asked for is in the batch's row: when it is due. Whoever finds a row due publishes the request before the
transaction that moves the time; a crash in between asks twice, which is harmless, since the first answer counts.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from batchyard_contracts import topology
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.events import counts
from services.aggregator.domain.summary import Patience, wanted
from services.aggregator.persistence.outbox_message import Entry
from services.aggregator.persistence.store import Store, Work
from services.aggregator.publishing.batch_changes import Telling, endings
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.topology import declare
from shared.runtime.errors import PublishFailed
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_LOOK_S = 2.0


class Summaries:
    """The batches of which only the summary is awaited."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        telling: Telling,
        due: asyncio.Event,
        pulse: Pulse,
        clock: Callable[[], datetime],
        patience: Patience,
    ) -> None:
        """`due` is set by whoever knows that one is."""
        self._store = store
        self._publisher = publisher
        self._telling = telling
        self._due = due
        self._pulse = pulse
        self._clock = clock
        self._patience = patience
        self._stopping = False

    async def run(self) -> None:
        """Ask until `stop`."""
        while not self._stopping:
            self._pulse.beat()
            self._due.clear()
            while not self._stopping and await self._ask_next():
                self._pulse.beat()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._due.wait()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping = True
        self._due.set()

    async def _ask_next(self) -> bool:
        """Ask for one that is due; False when there is none, or a server is away."""
        try:
            async with self._store.locked_due_summary(self._clock()) as work:
                before = next(iter(work.batches.values()), None)
                if before is None:
                    return False
                after, saved = await self._ask(work, before)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("summaries wait for a server", error=f"{type(error).__name__}: {error}")
            return False
        self._telling.announce([after] if after.finished else [], saved)
        return True

    async def _ask(self, work: Work, before: Batch) -> tuple[Batch, list[Entry]]:
        at = self._clock()
        if self._patience.exhausted(before):
            after, summary = before.summarized(before.round, at), self._patience.nobody_answered(before)
            log.warning("no summary", batch_id=str(before.batch_id), round=before.round, reason=summary.error)
            await work.save([after])
            await work.save_summary(after, summary)
            return after, await work.post(endings([after], {after.batch_id: summary}))
        after = before.asked_for_summary(at + timedelta(seconds=self._patience.wait_s(before)))
        request = wanted(after, counts(after), self._patience.limit_s(after))
        message = outgoing(topology.WORK, request, traceparent=after.header.traceparent if after.header else None)
        try:
            await self._publisher.publish([message])
        except PublishFailed:  # its queue is gone; a worker that runs the workload will find it again
            await declare(self._publisher.connection, [topology.summary_queue(request.workload)])
            await self._publisher.publish([message])
        await work.save([after])
        return after, []

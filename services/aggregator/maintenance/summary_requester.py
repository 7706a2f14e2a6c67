"""Requests summaries from workers: at once when a batch lacks nothing else, and again when no answer arrives.

A request is due at the time in the batch's row. It is published before the transaction that moves this time commits; a
crash in between repeats the request, which is harmless because the first answer counts.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from batchyard_contracts import topology
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.events import counts
from services.aggregator.domain.summary import SummaryRetryPolicy, summary_request
from services.aggregator.persistence.outbox_message import OutboxMessage
from services.aggregator.persistence.store import LedgerStore, LedgerTransaction
from services.aggregator.publishing.batch_changes import BatchChangePublisher, finished_messages
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.topology import declare
from shared.runtime.errors import PublishFailed
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_POLL_S = 2.0


class SummaryRequester:
    """Background task that requests the summaries that are due."""

    def __init__(
        self,
        store: LedgerStore,
        publisher: Publisher,
        batch_changes: BatchChangePublisher,
        wake: asyncio.Event,
        pulse: Pulse,
        clock: Callable[[], datetime],
        retry_policy: SummaryRetryPolicy,
    ) -> None:
        """Create the task; `wake` is set when a summary has become due."""
        self._store = store
        self._publisher = publisher
        self._batch_changes = batch_changes
        self._wake = wake
        self._pulse = pulse
        self._clock = clock
        self._retry_policy = retry_policy
        self._stopping = False

    async def run(self) -> None:
        """Request summaries until `stop`."""
        while not self._stopping:
            self._pulse.beat()
            self._wake.clear()
            while not self._stopping and await self._request_next():
                self._pulse.beat()
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._wake.wait()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping = True
        self._wake.set()

    async def _request_next(self) -> bool:
        """Request one summary that is due; return False if there is none, or if a server is unavailable."""
        try:
            async with self._store.lock_due_summary(self._clock()) as transaction:
                before = next(iter(transaction.batches.values()), None)
                if before is None:
                    return False
                after, messages = await self._request(transaction, before)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("summary requests postponed", error=f"{type(error).__name__}: {error}")
            return False
        self._batch_changes.publish([after] if after.is_finished else [], messages)
        return True

    async def _request(self, transaction: LedgerTransaction, before: Batch) -> tuple[Batch, list[OutboxMessage]]:
        at = self._clock()
        if self._retry_policy.is_exhausted(before):
            after, summary = before.finish_summarized(before.round, at), self._retry_policy.missing_summary(before)
            log.warning("summary given up", batch_id=str(before.batch_id), round=before.round, reason=summary.error)
            await transaction.save([after])
            await transaction.save_summary(after, summary)
            return after, await transaction.add_to_outbox(finished_messages([after], {after.batch_id: summary}))
        after = before.record_summary_request(at + timedelta(seconds=self._retry_policy.retry_after_s(before)))
        request = summary_request(after, counts(after), self._retry_policy.timeout_s(after))
        message = outgoing(topology.WORK, request, traceparent=after.header.traceparent if after.header else None)
        try:
            await self._publisher.publish([message])
        except PublishFailed:  # the queue was deleted; declare it again
            await declare(self._publisher.connection, [topology.summary_queue(request.workload)])
            await self._publisher.publish([message])
        await transaction.save([after])
        return after, []

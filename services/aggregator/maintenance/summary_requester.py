"""Requests summaries from workers: at once when a batch lacks nothing else, and again when no answer arrives.

A request is due at the time in the batch's row. It is published before the transaction that moves this time commits; a
crash in between repeats the request, which is harmless because the first answer counts.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar

import structlog

from batchyard_contracts import topology
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.events import counts
from services.aggregator.domain.summary import Summary, SummaryRetryPolicy, no_summary_any_more, summary_request
from services.aggregator.maintenance.summary_workers import SummaryWorkers
from services.aggregator.persistence.store import LedgerStore, LedgerTransaction
from services.aggregator.publishing.batch_changes import BatchChangePublisher, finished_messages
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.topology import TopologyMode, declare
from shared.postgres.outbox import OutboxMessage
from shared.runtime.errors import PublishFailed

log = structlog.get_logger()


class SummaryRequester:
    """Requester of the summaries that are due."""

    INTERVAL_S: ClassVar[float] = 2.0

    def __init__(
        self,
        store: LedgerStore,
        publisher: Publisher,
        batch_changes: BatchChangePublisher,
        clock: Callable[[], datetime],
        retry_policy: SummaryRetryPolicy,
        workers: SummaryWorkers,
        mode: TopologyMode = "declare",
    ) -> None:
        self._mode = mode
        self._store = store
        self._publisher = publisher
        self._batch_changes = batch_changes
        self._clock = clock
        self._retry_policy = retry_policy
        self._workers = workers

    async def request_next(self) -> float | None:
        """Request one summary that is due and return 0; return None if there is none."""
        async with self._store.lock_due_summary(self._clock()) as transaction:
            before = next(iter(transaction.batches.values()), None)
            if before is None:
                return None
            after, messages = await self._request(transaction, before)
        self._batch_changes.publish([after] if after.is_finished else [], messages)
        return 0.0

    async def _request(self, transaction: LedgerTransaction, before: Batch) -> tuple[Batch, list[OutboxMessage]]:
        at = self._clock()
        has_worker = before.header is None or await self._workers.has_consumer(before.header.workload)
        if (summary := await self._missing_summary(before, has_worker=has_worker)) is not None:
            after = before.finish_summarized(before.round, at)
            log.warning("summary given up", batch_id=str(before.batch_id), round=before.round, reason=summary.error)
            await transaction.save([after])
            await transaction.save_summary(after, summary)
            return after, await transaction.add_to_outbox(finished_messages([after], {after.batch_id: summary}))
        retry_after_s = self._retry_policy.retry_after_s(before, has_worker=has_worker)
        after = before.record_summary_request(at + timedelta(seconds=retry_after_s))
        request = summary_request(after, counts(after), self._retry_policy.timeout_s(after))
        message = outgoing(topology.WORK, request, traceparent=after.header.traceparent if after.header else None)
        try:
            await self._publisher.publish([message])
        except PublishFailed:  # the queue was deleted; declare it again
            if self._mode == "check":
                raise
            await declare(self._publisher.connection, [topology.summary_queue(request.workload)])
            await self._publisher.publish([message])
        await transaction.save([after])
        return after, []

    async def _missing_summary(self, batch: Batch, *, has_worker: bool) -> Summary | None:
        """Return why a batch gets no summary; None if it may still get one."""
        if self._retry_policy.is_exhausted(batch):
            return self._retry_policy.missing_summary(batch)
        if has_worker or not batch.summary_requests or batch.header is None:
            return None
        workload = batch.header.workload
        return no_summary_any_more(workload) if await self._workers.run(workload) else None

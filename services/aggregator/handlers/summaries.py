"""Handles the summary of a batch, or the error instead of it, which finishes the round."""

from collections.abc import Callable
from datetime import datetime

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import SummaryCompleted
from services.aggregator.domain.summary import Summary
from services.aggregator.persistence.store import LedgerStore
from services.aggregator.publishing.batch_changes import BatchChangePublisher, finished_messages

log = structlog.get_logger()


class SummaryHandler:
    """Handler of summaries. Only the first one of the current round counts."""

    def __init__(self, store: LedgerStore, batch_changes: BatchChangePublisher, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._batch_changes = batch_changes
        self._clock = clock

    async def on_summary_completed(self, message: SummaryCompleted, _: Envelope) -> None:
        """Save the summary and finish the round in one transaction."""
        summary = Summary.received(message.summary, message.error)
        async with self._store.lock([message.batch_id]) as transaction:
            before = transaction.batches[message.batch_id]
            after = before.finish_summarized(message.round, self._clock())
            if after == before:
                log.info("late summary", batch_id=str(message.batch_id), round=message.round)
                return
            await transaction.save([after])
            await transaction.save_summary(after, summary)
            messages = await transaction.add_to_outbox(finished_messages([after], {after.batch_id: summary}))
        self._batch_changes.publish([after], messages)

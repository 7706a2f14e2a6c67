"""Judges failures in the transaction that counts: what is decided there leaves with it."""

from collections.abc import Iterable
from datetime import datetime

from batchyard_contracts.v1.flow import BatchStopped, SourceEnded
from services.aggregator.domain.batch import Batch
from services.aggregator.persistence.outbox_message import OutboxMessage, source_ended_message, stopped_message
from services.aggregator.persistence.store import LedgerTransaction


async def check_threshold(transaction: LedgerTransaction, batch: Batch, *, failed: bool = True) -> Batch:
    """The batch, stopped if its failures have passed a bound. `failed`: whether the last ones are new."""
    threshold = batch.active_threshold
    if threshold is None:
        return batch
    codes = await transaction.failed_codes(batch, list(threshold.codes)) if failed and threshold.codes else {}
    return batch.check_threshold(codes)


def stopped_messages(changes: Iterable[tuple[Batch, Batch]], at: datetime) -> list[OutboxMessage]:
    """The messages that stop what is left of batches whose threshold was met just now."""
    messages = []
    for before, after in changes:
        if after.breach and not before.stopped and not after.is_finished and after.header:
            message = BatchStopped(
                batch_id=after.batch_id,
                owner=after.header.owner,
                round=after.round,
                reason="failure_threshold",
                detail=after.breach,
                at=at,
            )
            messages.append(stopped_message(message, after.header.traceparent))
    return messages


async def source_ended_messages(transaction: LedgerTransaction, batches: Iterable[Batch]) -> list[OutboxMessage]:
    """The messages by which ingest stops waiting for what sources find. They need not be among what was changed just
    now: one that was told is not told again."""
    messages = []
    for batch in batches:
        if batch.source_may_have_failed and batch.header and await transaction.source_failed(batch):
            message = SourceEnded(batch_id=batch.batch_id, owner=batch.header.owner)
            messages.append(source_ended_message(message, batch.header.traceparent))
    return messages

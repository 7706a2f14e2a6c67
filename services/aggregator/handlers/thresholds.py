"""Checks failures in the transaction that counts them, so that the decision commits with the counters."""

from collections.abc import Iterable
from datetime import datetime

from batchyard_contracts.v1.flow import BatchStopped, SourceEnded
from services.aggregator.domain.batch import Batch
from services.aggregator.persistence.store import LedgerTransaction
from services.aggregator.publishing.outbox_messages import source_ended_message, stopped_message
from shared.postgres.outbox import OutboxMessage


async def check_threshold(transaction: LedgerTransaction, batch: Batch, *, failed: bool = True) -> Batch:
    """Return the batch, stopped if its failures exceed the threshold. `failed`: whether there are new failures."""
    threshold = batch.active_threshold
    if threshold is None:
        return batch
    codes = await transaction.failed_codes(batch, list(threshold.codes)) if failed and threshold.codes else {}
    return batch.check_threshold(codes)


def stopped_messages(changes: Iterable[tuple[Batch, Batch]], at: datetime) -> list[OutboxMessage]:
    """Return the messages that stop the rest of the batches whose threshold was exceeded just now."""
    messages = []
    for before, after in changes:
        if after.breach and not before.stop_reason and not after.is_finished and after.header:
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
    """Return the messages by which ingest stops waiting for the items of failed sources.

    A batch may be included again later; the outbox keeps only its first message.
    """
    messages = []
    for batch in batches:
        if batch.source_may_have_failed and batch.header and await transaction.source_failed(batch):
            message = SourceEnded(batch_id=batch.batch_id, owner=batch.header.owner)
            messages.append(source_ended_message(message, batch.header.traceparent))
    return messages

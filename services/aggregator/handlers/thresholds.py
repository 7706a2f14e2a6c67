"""Judges failures in the transaction that counts: what is decided there leaves with it."""

from collections.abc import Iterable
from datetime import datetime

from batchyard_contracts.v1.flow import BatchStopped, SourceEnded
from services.aggregator.domain.batch import Batch
from services.aggregator.persistence.outbox_message import Entry, source_entry, stopped_entry
from services.aggregator.persistence.store import Work


async def judged(work: Work, batch: Batch, *, failed: bool = True) -> Batch:
    """The batch, stopped if its failures have passed a bound. `failed`: whether the last ones are new."""
    threshold = batch.threshold
    if threshold is None:
        return batch
    codes = await work.failed_codes(batch, list(threshold.codes)) if failed and threshold.codes else {}
    return batch.judge(codes)


def stops(changes: Iterable[tuple[Batch, Batch]], at: datetime) -> list[Entry]:
    """The messages that stop what is left of batches whose threshold was met just now."""
    found = []
    for before, after in changes:
        if after.verdict and not before.stopped and not after.finished and after.header:
            message = BatchStopped(
                batch_id=after.batch_id,
                owner=after.header.owner,
                round=after.round,
                cause="failure_threshold",
                detail=after.verdict,
                at=at,
            )
            found.append(stopped_entry(message, after.header.traceparent))
    return found


async def sources_failed(work: Work, batches: Iterable[Batch]) -> list[Entry]:
    """The messages by which ingest stops waiting for what sources find. They need not be among what was changed just
    now: one that was told is not told again."""
    found = []
    for batch in batches:
        if batch.source_may_have_failed and batch.header and await work.source_failed(batch):
            message = SourceEnded(batch_id=batch.batch_id, owner=batch.header.owner)
            found.append(source_entry(message, batch.header.traceparent))
    return found

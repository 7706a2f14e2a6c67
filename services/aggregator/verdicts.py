"""Applies failure thresholds in the transaction that counts: what is decided there leaves with it."""

from collections.abc import Iterable
from datetime import datetime

from batchyard_contracts.v1.flow import BatchStopped
from services.aggregator.domain.batch import Batch
from services.aggregator.entry import Entry, stopped_entry
from services.aggregator.store import Work


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

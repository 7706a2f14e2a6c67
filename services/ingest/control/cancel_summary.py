"""Tells what becomes of the items of a batch that is cancelled."""

import asyncio

import structlog

from batchyard_contracts.v1.commands import CancelSummary
from batchyard_contracts.v1.queries import ReasonsQuery
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import IngestError
from services.ingest.queries.aggregator_client import AggregatorClient

log = structlog.get_logger()
_TIMEOUT_S = 1.0
"""Longest time in seconds by which a summary delays a cancel."""


async def summarize_cancel(aggregator: AggregatorClient, header: BatchHeader) -> CancelSummary | None:
    """Return the state of the items just before the cancel; None if a service does not tell it in time."""
    owner, batch_id = header.owner, header.batch_id
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            state, reasons = await asyncio.gather(
                aggregator.state(owner, batch_id), aggregator.reasons(ReasonsQuery(owner=owner, batch_id=batch_id))
            )
    except (IngestError, TimeoutError) as error:
        log.info("cancel is not summarized", batch_id=str(batch_id), error=str(error))
        return None
    kept = state.counts.ended if state is not None else 0
    running = min(reasons.in_flight, max(0, header.items - kept))
    return CancelSummary(stopped=max(0, header.items - kept - running), kept=kept, running=running)

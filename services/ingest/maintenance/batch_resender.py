"""Sends the header of a batch again when the aggregator misses items of it: one of its messages may have been lost."""

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import BatchResend
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.submission.announcement import accepted_message
from shared.postgres.outbox import Outbox

log = structlog.get_logger()


class BatchResender:
    """Message handler. The header of a sealed batch includes the number of its items, like the seal itself."""

    def __init__(self, store: BatchStore, outbox: Outbox, registry: WorkloadRegistry) -> None:
        self._store, self._outbox, self._registry = store, outbox, registry

    async def on_batch_resend(self, message: BatchResend, _: Envelope) -> None:
        """Send `batch.accepted.v1` again, in the order of the other messages on the batch."""
        async with self._store.lock(message.batch_id, None) as locked:
            header = locked.header
            if header is None:
                log.info("unknown batch is not sent again", batch_id=str(message.batch_id))
                return
            workload = await self._registry.get(header.workload, locked.connection)
            posted = await locked.add_messages(header, [accepted_message(header, workload.validator)])
        log.warning("batch header sent again", batch_id=str(header.batch_id), state=header.state, items=header.items)
        await self._outbox.deliver(posted)

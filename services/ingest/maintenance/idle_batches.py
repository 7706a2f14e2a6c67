"""Stops open batches that get no items any more, so that none stays unfinished forever."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from batchyard_contracts.v1.flow import BatchStopped
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.pager import EncodedMessage
from services.ingest.persistence.store import BatchStore
from services.ingest.submission.dedup_index import DedupIndex
from services.ingest.submission.seal import closing_messages
from shared.postgres.outbox import Outbox

log = structlog.get_logger()


class IdleBatchStopper:
    """Seals open batches that did not grow for `timeout`, in one transaction with the messages about it."""

    def __init__(
        self,
        store: BatchStore,
        outbox: Outbox,
        dedup_index: DedupIndex,
        clock: Callable[[], datetime],
        timeout: timedelta,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._dedup_index = dedup_index
        self._clock = clock
        self._timeout = timeout

    async def stop_idle(self) -> None:
        """Stop all idle batches. When several processes do this, each batch is stopped by one of them."""
        while await self._stop_one():
            pass

    async def _stop_one(self) -> bool:
        async with self._store.lock_idle(self._timeout) as locked:
            header = locked.header
            if header is None:
                return False
            await locked.seal(header.batch_id)
            messages = [self._stopped_message(header), *closing_messages(header, "expired")]
            posted = await locked.add_messages(header, messages)
        log.info("idle batch stopped", batch_id=str(header.batch_id), items=header.items)
        await self._outbox.deliver(posted)
        await self._dedup_index.delete(header.batch_id)
        return True

    def _stopped_message(self, header: BatchHeader) -> EncodedMessage:
        message = BatchStopped(
            batch_id=header.batch_id,
            owner=header.owner,
            round=1,
            reason="never_sealed",
            detail=f"No item was added for {self._timeout}, and the batch is not sealed. It has {header.items} items.",
            at=self._clock(),
        )
        return EncodedMessage(message.type, message.encode())

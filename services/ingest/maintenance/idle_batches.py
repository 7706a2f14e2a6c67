"""Stops open batches that nobody adds to any more, so that none stays unfinished for ever."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from batchyard_contracts.v1.flow import BatchStopped
from services.ingest.domain.batch import Header
from services.ingest.domain.pager import Note
from services.ingest.persistence.outbox import Outbox
from services.ingest.persistence.store import Store
from services.ingest.submission.dedup_index import Dedup
from services.ingest.submission.seal import closing_notes

log = structlog.get_logger()


class Expiry:
    """Seals what stood still for `idle`, in one transaction with the messages that say so."""

    def __init__(
        self, store: Store, outbox: Outbox, dedup: Dedup, clock: Callable[[], datetime], idle: timedelta
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._dedup = dedup
        self._clock = clock
        self._idle = idle

    async def sweep(self) -> None:
        """Stop all batches that are due. Of several processes, one stops each of them."""
        while await self._stop_one():
            pass

    async def _stop_one(self) -> bool:
        async with self._store.idle(self._idle) as locked:
            header = locked.header
            if header is None:
                return False
            await locked.seal(header.batch_id)
            notes = [self._stopped(header), *closing_notes(header, "expired")]
            row_id = await locked.note(header, notes)
        log.info("batch never sealed", batch_id=str(header.batch_id), items=header.items)
        await self._outbox.deliver(row_id, notes, header.traceparent)
        await self._dedup.forget(header.batch_id)
        return True

    def _stopped(self, header: Header) -> Note:
        message = BatchStopped(
            batch_id=header.batch_id,
            owner=header.owner,
            round=1,
            reason="never_sealed",
            detail=f"No item was added for {self._idle}, and the batch was not sealed. It has {header.items} items.",
            at=self._clock(),
        )
        return Note(message.type, message.encode())

"""All that ingest can do for a caller, whichever door the caller came through."""

from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import structlog

from batchyard_contracts.v1.queries import MAX_PAGE, BatchesQuery, BatchState
from services.ingest.control.cache_invalidation import Invalidation
from services.ingest.control.control import Steering
from services.ingest.domain.batch import Header
from services.ingest.domain.progress_snapshot import Frame
from services.ingest.domain.refused import NOT_FOUND, Refused
from services.ingest.persistence.store import Store
from services.ingest.persistence.workload_registry import Registry
from services.ingest.progress.hub import Watchers
from services.ingest.queries.aggregator_client import Ledger
from services.ingest.submission.append import Growth
from services.ingest.submission.submit import Submissions
from services.ingest.submission.upload_service import Uploads

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Door:
    """The application's parts, put together once."""

    submissions: Submissions
    uploads: Uploads
    growth: Growth
    steering: Steering
    invalidation: Invalidation
    registry: Registry
    ledger: Ledger
    watchers: Watchers
    store: Store

    async def header(self, owner: str, batch_id: UUID) -> Header:
        """An owner's batch; raises `Refused` (404) when there is none."""
        header = await self.store.get(batch_id, owner)
        if header is None:
            raise Refused(NOT_FOUND)
        return header

    async def state(self, owner: str, batch_id: UUID) -> BatchState:
        """How a batch is doing: as the ledger knows it, or as it was accepted when that was a moment ago."""
        header = await self.header(owner, batch_id)
        return await self.ledger.state(owner, batch_id) or header.as_state()

    async def first_frame(self, owner: str, batch_id: UUID) -> Frame:
        """Where a batch stands, for one who begins to watch."""
        saved = await self.watchers.snapshot(batch_id)
        if saved is None:
            return Frame.of_state(await self.state(owner, batch_id))
        if saved.final:  # unless a new round has begun since
            with suppress(Refused):
                known = Frame.of_state(await self.state(owner, batch_id))
                return max(saved, known, key=lambda frame: frame.rank)
        return saved

    async def catch_up(self, owner: str, batch_id: UUID) -> None:
        """Show the watchers of a batch what the ledger knows."""
        state = await self.ledger.state(owner, batch_id)
        if state is not None:
            self.watchers.show(batch_id, Frame.of_state(state))

    async def catch_up_all(self) -> bool:
        """Show all watchers what they may have missed while events did not arrive; False when nobody can tell now."""
        try:
            for owner, batch_ids in self.watchers.watched().items():
                for start in range(0, len(batch_ids), MAX_PAGE):
                    some = batch_ids[start : start + MAX_PAGE]
                    for state in await self.ledger.batches(BatchesQuery(owner=owner, batch_ids=some, limit=MAX_PAGE)):
                        self.watchers.show(state.batch_id, Frame.of_state(state))
        except Refused as error:
            log.warning("progress may have been missed", error=str(error))
            return False
        return True

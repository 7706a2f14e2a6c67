"""Grants the start of items that must not run twice, and ends those that were lost while they ran."""

import asyncio
import time
from collections.abc import Collection

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import StartPermitQuery, StartPermitReply
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.lease import Lease
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.settlement.chunk_settler import ChunkSettler
from services.dispatcher.state.state import DispatcherState
from shared.runtime.errors import MessageRejected

log = structlog.get_logger()
_NEEDS_REVIEW = ItemError(
    code="needs_review",
    message="Its worker was lost after it had begun. The call may have had its effect, and is not repeated by itself.",
)


class StartPermits:
    """Saves each permit before the items start; from then on no other worker may start them."""

    def __init__(self, state: DispatcherState, stores: Stores, chunk_settler: ChunkSettler) -> None:
        self._state, self._stores, self._chunk_settler = state, stores, chunk_settler
        self.lock = asyncio.Lock()
        """Held while permits are granted, and while chunks are dispatched again."""

    async def on_permit_query(self, query: StartPermitQuery, _: Envelope) -> StartPermitReply:
        """Decide whether a worker may start items of a chunk. The query may be repeated."""
        if "\x00" in query.worker_id:  # PostgreSQL refuses it
            raise MessageRejected("The id of a worker contains no NUL character.")
        async with self.lock:
            lease = self._state.leases.get(query.chunk_id)
            if lease is None or not self._may_start(lease, query):
                log.warning("start permit refused", worker_id=query.worker_id)
                return StartPermitReply(granted=False)
            if new := set(query.ordinals) - lease.started:
                await self._stores.leases.save_started(lease, query.worker_id, sorted(new))
                self._state.leases.mark_started(lease, query.worker_id, new)
            self._state.leases.mark_seen(lease, time.monotonic())
            self._state.record_taken(lease)
            return StartPermitReply(granted=True)

    def _may_start(self, lease: Lease, query: StartPermitQuery) -> bool:
        """Tell whether the round runs, and no other worker was permitted to start items under this fence."""
        is_current = lease.fence == query.fence and self._state.batch_of(lease) is not None
        return is_current and lease.holder in {None, query.worker_id}

    async def fail_started(self, lease: Lease, ordinals: Collection[int]) -> None:
        """Fail items of a lost or returned chunk that had started, since they must not run again."""
        failed = await self._chunk_settler.fail_items(lease, ordinals, _NEEDS_REVIEW)
        if failed:
            log.error(
                "items need review", batch_id=str(lease.batch_id), chunk_id=str(lease.chunk_id), ordinals=failed[:10]
            )

"""Lets items begin whose run must not be repeated, and ends those that were lost in the middle of it."""

import asyncio
import time
from collections.abc import Sequence

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import BeginQuery, BeginReply
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.persistence.page_cache import Pages
from services.dispatcher.persistence.store import Store
from services.dispatcher.settlement.settler import Settlement
from services.dispatcher.state.state import Lease, Yard

log = structlog.get_logger()
_UNKNOWN_END = ItemError(
    code="needs_review",
    message="Its worker was lost after it had begun. The call may have had its effect, and is not repeated by itself.",
)


class Beginnings:
    """What began is on record before it begins: from then on it goes to nobody else."""

    def __init__(self, yard: Yard, store: Store, settlement: Settlement, pages: Pages) -> None:
        self._yard, self._store, self._settlement, self._pages = yard, store, settlement, pages
        self.lock = asyncio.Lock()
        """Nothing begins of a chunk while it is decided that it goes out again."""

    async def query(self, asked: BeginQuery, _: Envelope) -> BeginReply:
        """Whether a worker may begin items of a chunk. May be asked twice."""
        async with self.lock:
            lease = self._yard.leases.get(asked.chunk_id)
            if lease is None or lease.fence != asked.fence or lease.holder not in {None, asked.worker_id}:
                log.warning("a worker has a chunk that is another's", worker_id=asked.worker_id)
                return BeginReply(granted=False)
            if new := set(asked.ordinals) - lease.begun:
                await self._store.begin(lease, asked.worker_id, sorted(new))
                lease.holder = asked.worker_id
                lease.begun |= new
            lease.seen_at = time.monotonic()
            self._yard.has_left(lease)
            return BeginReply(granted=True)

    async def end_lost(self, leases: Sequence[Lease]) -> None:
        """End what began and was not reported, of chunks that their worker lost or gives back."""
        for lease in leases:
            batch = self._yard.batches.get(lease.batch_id)
            if not lease.open_begun or batch is None:
                continue
            items = await self._pages.settled(lease, lease.open_begun, _UNKNOWN_END)
            await self._settlement.settle(batch, "failed", items)
            reported = [(lease.chunk_id, item.ordinal) for item in items]
            await self._store.report([], [], [(lease.batch_id, item.ordinal) for item in items], reported)
            log.error(
                "items need review",
                batch_id=str(lease.batch_id),
                chunk_id=str(lease.chunk_id),
                ordinals=[item.ordinal for item in items][:10],
            )
            lease.reported |= lease.begun

"""Ends the items without an outcome of batches that were cancelled or stopped."""

from collections.abc import Sequence

import structlog

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import ItemsSettled, SettledItem
from services.aggregator.domain.batch import Batch
from services.aggregator.persistence.store import LedgerStore
from shared.messaging.packing import pack
from shared.messaging.publisher import OutgoingMessage, Publisher

log = structlog.get_logger()
_MAX_ITEMS = 20_000
"""Items that end by one query."""


class MissingItems:
    """Sends the ends of missing items to the aggregator itself, which records an outcome unless another came first."""

    def __init__(self, store: LedgerStore, publisher: Publisher) -> None:
        self._store, self._publisher = store, publisher

    async def end_all(self, batch: Batch) -> None:
        """End all missing items of a round that was cancelled or stopped."""
        first: int | None = 0
        while first is not None:
            first = await self.end_some(batch, first)

    async def end_some(self, batch: Batch, first: int = 0) -> int | None:
        """End missing items of a round that was cancelled or stopped, from an ordinal on; return the ordinal from
        which there may be more, None if there are none."""
        status = batch.stop_status
        if status is None:
            return None
        ordinals = await self._store.missing_ordinals(batch, first, _MAX_ITEMS)
        if not ordinals:
            return None
        log.warning("missing items end", batch_id=str(batch.batch_id), status=status, items=len(ordinals))

        def encode(part: Sequence[SettledItem]) -> bytes:
            return ItemsSettled(
                batch_id=batch.batch_id, round=batch.round, status=status, items=list(part), reason=batch.stop_reason
            ).encode()

        key, kind = topology.ASIDE + ItemsSettled.type, ItemsSettled.type
        items = [SettledItem(ordinal=ordinal) for ordinal in ordinals]
        await self._publisher.publish(
            [OutgoingMessage(topology.FLOW, key, kind, body, str(batch.batch_id)) for body in pack(items, encode)]
        )
        return ordinals[-1] + 1 if len(ordinals) == _MAX_ITEMS else None

"""Ends items that will not run (again), by telling the ledger."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import orjson

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import ItemsSettled, SettledItem
from services.dispatcher.store import Store
from services.dispatcher.yard import Batch
from shared.amqp.publisher import Publisher, outgoing

_AT_ONCE = 5000
Status = Literal["failed", "cancelled", "expired"]


class Settlement:
    """Publishes first and forgets afterwards: the ledger takes an item's first outcome, so twice does no harm."""

    def __init__(self, store: Store, publisher: Publisher) -> None:
        self._store, self._publisher = store, publisher

    async def settle(self, batch: Batch, status: Status, items: Sequence[SettledItem]) -> None:
        """Tell the ledger."""
        messages = [
            ItemsSettled(batch_id=batch.batch_id, round=batch.round, status=status, items=list(items[i : i + _AT_ONCE]))
            for i in range(0, len(items), _AT_ONCE)
        ]
        await self._publisher.publish(
            [
                outgoing(topology.FLOW, m, correlation_id=str(batch.batch_id), traceparent=batch.traceparent)
                for m in messages
            ]
        )

    async def settle_waiting(self, batch: Batch, status: Status) -> None:
        """End everything of the batch that is not in flight."""
        waiting = [slice_ for _, slice_ in await self._store.waiting(batch.batch_id)]
        for start in range(0, len(waiting), 20):
            some = waiting[start : start + 20]
            keys = [(batch.batch_id, s.page, s.segment) for s in some]
            lines = await self._store.page_items(keys)
            items = [_settled(line) for s, key in zip(some, keys, strict=True) for line in lines[key][s.taken :]]
            await self.settle(batch, status, items)
            await self._store.take_all([(*key, s.size) for s, key in zip(some, keys, strict=True)])
        if retries := await self._store.waiting_retries(batch.batch_id):
            await self.settle(batch, status, [_settled(item) for _, item in retries])
            settled: list[tuple[UUID, int]] = [(batch.batch_id, ordinal) for ordinal, _ in retries]
            await self._store.report([], [], settled)


def _settled(line: bytes) -> SettledItem:
    item = orjson.loads(line)
    return SettledItem(ordinal=item["ordinal"], custom_id=item.get("custom_id"))

"""Ends items that will not run (again), by telling the ledger."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Literal
from uuid import UUID

import orjson

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import ItemsSettled, SettledItem
from batchyard_contracts.v1.values import ItemError, StopReason
from services.dispatcher.domain.scheduling.scheduler import PageSlice
from services.dispatcher.persistence.store import Store
from services.dispatcher.settlement.external_cancel import ExternalCancel
from services.dispatcher.state.state import Batch
from shared.messaging.publisher import Publisher, outgoing

_ITEMS_PER_MESSAGE = 1000
_PAGES_AT_ONCE = 5
SettledStatus = Literal["failed", "cancelled", "expired", "duplicate"]


async def _no_wait() -> None:
    """There is always room."""


class ItemSettler:
    """Publishes first and forgets afterwards: the ledger takes an item's first outcome, so twice does no harm."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        external_cancel: ExternalCancel,
        wait_for_room: Callable[[], Awaitable[None]] = _no_wait,
    ) -> None:
        """`room` waits until the ledger is through with most of what was set aside for it."""
        self._store, self._publisher, self._external_cancel, self._wait_for_room = (
            store,
            publisher,
            external_cancel,
            wait_for_room,
        )

    async def settle(self, batch: Batch, status: SettledStatus, items: Sequence[SettledItem]) -> None:
        """Tell the ledger."""
        await self.publish(batch.batch_id, batch.round, status, items, batch.traceparent, batch.cause)

    async def publish(
        self,
        batch_id: UUID,
        round_: int,
        status: SettledStatus,
        items: Sequence[SettledItem],
        trace: str | None = None,
        reason: StopReason | None = None,
        *,
        aside: bool = False,
    ) -> None:
        """Tell the ledger of items of a batch that need not be known here; `aside`: with less haste than of others."""
        reason = reason if status in {"cancelled", "expired"} else None
        messages = [
            ItemsSettled(
                batch_id=batch_id,
                round=round_,
                status=status,
                items=list(items[i : i + _ITEMS_PER_MESSAGE]),
                reason=reason,
            )
            for i in range(0, len(items), _ITEMS_PER_MESSAGE)
        ]
        key = (topology.ASIDE if aside else "") + ItemsSettled.type
        await self._publisher.publish(
            [
                outgoing(topology.FLOW, m, routing_key=key, correlation_id=str(batch_id), traceparent=trace)
                for m in messages
            ]
        )

    async def cancel_externally(self, batch: Batch, items: Iterable[tuple[str, bytes]]) -> None:
        """Tell the workers of items, each with its partition and line, that may go on elsewhere and are not wanted."""
        await self._external_cancel.publish(batch, items)

    async def settle_waiting(self, batch: Batch, status: SettledStatus) -> None:
        """End everything of the batch that is not in flight. Bounded in memory, and in the broker; may be called again,
        also meanwhile."""
        await self._settle_waiting(batch, status, None, None, self._wait_for_room)

    async def fail_partition(self, batch: Batch, partition: str, error: ItemError) -> None:
        """Fail what waits of a batch for a partition. As before."""
        await self._settle_waiting(batch, "failed", partition, error, _no_wait)

    async def _settle_waiting(
        self,
        batch: Batch,
        status: SettledStatus,
        partition: str | None,
        error: ItemError | None,
        wait_for_room: Callable[[], Awaitable[None]],
    ) -> None:
        """Of one partition, or of all."""
        waiting = await self._store.waiting_slices(batch.batch_id)
        if partition is not None:
            waiting = [(p, s) for p, s in waiting if p == partition]
        for piece in _pieces(waiting):
            some = {(batch.batch_id, s.page, s.segment): (p, s) for p, s in piece}
            lines = await self._store.page_items(list(some))
            items = [_settled(line, p, error) for key, (p, s) in some.items() for line in lines.get(key, ())[s.taken :]]
            await wait_for_room()
            await self._publish_aside(batch, status, items)
            await self._store.mark_taken([(*key, s.size) for key, (_, s) in some.items()])
        last = -1
        while retries := await self._store.waiting_retries(batch.batch_id, last):
            last = retries[-1][0]
            due = [(ordinal, p, item) for ordinal, p, item in retries if partition in {None, p}]
            await wait_for_room()
            await self._publish_aside(batch, status, [_settled(item, p, error) for _, p, item in due])
            await self.cancel_externally(batch, [(p, item) for _, p, item in due])
            await self._store.drop_waiting_retries(batch.batch_id, [ordinal for ordinal, _, _ in due])

    async def _publish_aside(self, batch: Batch, status: SettledStatus, items: Sequence[SettledItem]) -> None:
        await self.publish(batch.batch_id, batch.round, status, items, batch.traceparent, batch.cause, aside=True)


def _pieces(waiting: Iterable[tuple[str, PageSlice]]) -> Iterator[list[tuple[str, PageSlice]]]:
    """Slices in the order of their pages, all those of a few pages at a time: a page may have a thousand."""
    piece: list[tuple[str, PageSlice]] = []
    pages: set[int] = set()
    for partition, slice_ in waiting:
        if slice_.page not in pages and len(pages) == _PAGES_AT_ONCE:
            yield piece
            piece, pages = [], set()
        pages.add(slice_.page)
        piece.append((partition, slice_))
    if piece:
        yield piece


def _settled(line: bytes, partition: str, error: ItemError | None) -> SettledItem:
    item = orjson.loads(line)
    return SettledItem(ordinal=item["ordinal"], custom_id=item.get("custom_id"), partition=partition, error=error)

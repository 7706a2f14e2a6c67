"""Ends items that will not run (again) by publishing their outcome for the ledger."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Literal
from uuid import UUID

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import ItemsSettled, SettledItem
from batchyard_contracts.v1.values import ItemError, StopReason
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.item_line import settled_item
from services.dispatcher.domain.scheduling.backlog import START
from services.dispatcher.domain.scheduling.partition_queue import PageSlice
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.settlement.external_cancel import ExternalCancel
from shared.messaging.packing import pack
from shared.messaging.publisher import OutgoingMessage, Publisher

_PAGES_PER_GROUP = 5
_SLICES_PER_READ = 5000
"""A batch may have a million slices, of one item each."""
SettledStatus = Literal["failed", "cancelled", "expired", "duplicate"]


async def _no_wait() -> None:
    """Return at once: there is always room."""


class ItemSettler:
    """Publishes outcomes of items first and forgets the items afterwards. Repeating is harmless: the first outcome
    counts."""

    def __init__(
        self,
        stores: Stores,
        publisher: Publisher,
        external_cancel: ExternalCancel,
        wait_for_room: Callable[[], Awaitable[None]],
    ) -> None:
        """`wait_for_room` waits until the aggregator has handled most of the outcomes on the slow path."""
        self._stores, self._publisher, self._external_cancel, self._wait_for_room = (
            stores,
            publisher,
            external_cancel,
            wait_for_room,
        )

    async def settle(self, batch: Batch, status: SettledStatus, items: Sequence[SettledItem]) -> None:
        """Publish the outcomes of items of a batch."""
        await self.publish(batch.batch_id, batch.round, status, items, batch.traceparent, batch.stop_reason)

    async def publish(
        self,
        batch_id: UUID,
        round_: int,
        status: SettledStatus,
        items: Sequence[SettledItem],
        traceparent: str | None = None,
        stop_reason: StopReason | None = None,
        *,
        aside: bool = False,
    ) -> None:
        """Publish the outcomes of items of a batch that need not be in memory; `aside` uses the slow path, behind other
        outcomes."""
        stop_reason = stop_reason if status in {"cancelled", "expired"} else None

        def encode(part: Sequence[SettledItem]) -> bytes:
            return ItemsSettled(
                batch_id=batch_id, round=round_, status=status, items=list(part), reason=stop_reason
            ).encode()

        key = (topology.ASIDE if aside else "") + ItemsSettled.type
        await self._publisher.publish(
            [
                OutgoingMessage(topology.FLOW, key, ItemsSettled.type, body, str(batch_id), traceparent=traceparent)
                for body in pack(items, encode)
            ]
        )

    async def cancel_externally(self, batch: Batch, items: Iterable[tuple[str, bytes]]) -> None:
        """Tell workers to cancel work on these items, each with its partition and line, that may go on elsewhere."""
        await self._external_cancel.publish(batch, items)

    async def settle_waiting(self, batch: Batch, status: SettledStatus) -> None:
        """Settle all items of the batch that are not in flight. Memory and messages are bounded; may be repeated and
        run twice at a time."""
        await self._settle_waiting(batch, status, None, None, self._wait_for_room)

    async def fail_partition(self, batch: Batch, partition: str, error: ItemError) -> None:
        """Fail the waiting items of a batch for one partition. Bounded and repeatable like `settle_waiting`."""
        await self._settle_waiting(batch, "failed", partition, error, _no_wait)

    async def _settle_waiting(
        self,
        batch: Batch,
        status: SettledStatus,
        partition: str | None,
        error: ItemError | None,
        wait_for_room: Callable[[], Awaitable[None]],
    ) -> None:
        """Settle the waiting items of one partition, or of all (None)."""
        after = START
        while waiting := await self._stores.pages.waiting_slices(batch.batch_id, _SLICES_PER_READ, after, partition):
            after = (waiting[-1][1].page, waiting[-1][1].segment)
            for group in _group_by_page(waiting):
                slices = {(batch.batch_id, s.page, s.segment): (p, s) for p, s in group}
                lines = await self._stores.pages.page_items(list(slices))
                items = [
                    settled_item(line, p, error=error)
                    for key, (p, s) in slices.items()
                    for line in lines.get(key, ())[s.taken :]
                    if line
                ]
                await wait_for_room()
                await self._publish_aside(batch, status, items)
                await self._stores.pages.mark_taken([(*key, s.size) for key, (_, s) in slices.items()])
        last = -1
        while retries := await self._stores.retries.waiting_retries(batch.batch_id, batch.round, last):
            last = retries[-1][0]
            due = [(ordinal, p, item) for ordinal, p, item in retries if partition in {None, p}]
            await wait_for_room()
            await self._publish_aside(batch, status, [settled_item(item, p, error=error) for _, p, item in due])
            await self.cancel_externally(batch, [(p, item) for _, p, item in due])
            await self._stores.retries.drop_waiting_retries(
                batch.batch_id, batch.round, [ordinal for ordinal, _, _ in due]
            )

    async def _publish_aside(self, batch: Batch, status: SettledStatus, items: Sequence[SettledItem]) -> None:
        await self.publish(batch.batch_id, batch.round, status, items, batch.traceparent, batch.stop_reason, aside=True)


def _group_by_page(waiting: Iterable[tuple[str, PageSlice]]) -> Iterator[list[tuple[str, PageSlice]]]:
    """Group slices by their pages, a few pages at a time, since a page may have a thousand items."""
    group: list[tuple[str, PageSlice]] = []
    pages: set[int] = set()
    for partition, slice_ in waiting:
        if slice_.page not in pages and len(pages) == _PAGES_PER_GROUP:
            yield group
            group, pages = [], set()
        pages.add(slice_.page)
        group.append((partition, slice_))
    if group:
        yield group

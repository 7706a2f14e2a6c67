"""Gives chunks out: fetches their items, records the leases, publishes."""

import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from batchyard_contracts import topology
from batchyard_contracts.v1.events import BatchStarted
from batchyard_contracts.v1.work import ChunkHead
from services.dispatcher.domain.scheduler import Pick, Range
from services.dispatcher.domain.window import Window
from services.dispatcher.store import PageKey, Store
from services.dispatcher.yard import Batch, Lease, Yard
from shared.amqp.publisher import Outgoing, Publisher, outgoing
from shared.faults import until_it_passes

_CACHED_PAGES = 64


class Pages:
    """The items of the pages that are in use, read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: OrderedDict[PageKey, list[bytes]] = OrderedDict()

    def keep(self, key: PageKey, items: list[bytes]) -> None:
        """Hold a page that was just stored or read; the one that was not used for longest goes."""
        self._cache[key] = items
        self._cache.move_to_end(key)
        if len(self._cache) > _CACHED_PAGES:
            self._cache.popitem(last=False)

    async def items(self, leases: Iterable[Lease]) -> dict[UUID, list[bytes]]:
        """The lines of each lease's items, in order."""
        leases = list(leases)
        wanted = {_key(x, x.source): None for x in leases if isinstance(x.source, Range)}
        here = {key: self._cache[key] for key in wanted if key in self._cache}
        if missing := [key for key in wanted if key not in here]:
            here |= await self._store.page_items(missing)
        for key in wanted:
            self.keep(key, here[key])
        again = [(x.batch_id, o) for x in leases if not isinstance(x.source, Range) for o in x.source.ordinals]
        rows = await self._store.retry_items(again) if again else {}
        found: dict[UUID, list[bytes]] = {}
        for lease in leases:
            if isinstance(lease.source, Range):
                first = lease.source.first
                found[lease.chunk_id] = here[_key(lease, lease.source)][first : first + lease.source.count]
            else:
                found[lease.chunk_id] = [rows[lease.batch_id, ordinal][1] for ordinal in lease.source.ordinals]
        return found


class Giver:
    """Turns picks into leases and messages."""

    def __init__(self, yard: Yard, store: Store, publisher: Publisher, pages: Pages) -> None:
        self._yard, self._store, self._publisher, self._pages = yard, store, publisher, pages

    async def give(self, picks: Sequence[tuple[Window, Pick]]) -> None:
        """Record and publish; on return the broker has the chunks."""
        leases = [lease for window, pick in picks if (lease := self._lease(window, pick))]
        if not leases:
            return
        batches = {x.batch_id: self._yard.batches[x.batch_id] for x in leases}
        starting = [b for b in batches.values() if b.started_round < b.round]
        for lease in leases:  # before the message is out, since the report may be back before we are
            self._yard.leases[lease.chunk_id] = lease
        await until_it_passes(lambda: self._store.give(leases, [b.batch_id for b in starting]), "PostgreSQL")
        await self.publish(leases, [_started(b) for b in starting])
        for batch in starting:
            batch.started_round = batch.round

    async def publish(self, leases: Sequence[Lease], before: Sequence[Outgoing] = ()) -> None:
        """Publish chunks that are on record."""
        items = await until_it_passes(lambda: self._pages.items(leases), "PostgreSQL")
        chunks = [self._chunk(lease, items[lease.chunk_id]) for lease in leases]
        await until_it_passes(lambda: self._publisher.publish([*before, *chunks]), "chunks")

    def _lease(self, window: Window, pick: Pick) -> Lease | None:
        batch = self._yard.batches.get(pick.batch_id)
        if not isinstance(pick.source, Range):
            self._yard.unload(pick.batch_id, pick.partition, pick.source.ordinals)
        if batch is None or batch.cancelled:  # it ended between the choice and now
            window.returned(pick.partition, pick.source.count)
            return None
        attempt = 1 if isinstance(pick.source, Range) else pick.source.attempt
        return Lease(
            uuid.uuid4(),
            1,
            batch.batch_id,
            batch.workload,
            pick.priority,
            pick.partition,
            batch.round,
            attempt,
            pick.source,
            time.monotonic(),
        )

    def _chunk(self, lease: Lease, items: Sequence[bytes]) -> Outgoing:
        batch = self._yard.batches.get(lease.batch_id)
        head = ChunkHead(
            chunk_id=lease.chunk_id,
            fence=lease.fence,
            batch_id=lease.batch_id,
            owner=batch.owner if batch else "unknown",
            workload=lease.workload,
            priority=lease.priority,
            partition=lease.partition,
            round=lease.round,
            attempt=lease.attempt,
        )
        trace = batch.traceparent if batch else None
        return Outgoing(topology.WORK, head.routing_key(), head.type, head.with_items(items), traceparent=trace)


def _key(lease: Lease, source: Range) -> PageKey:
    return (lease.batch_id, source.page, source.segment)


def _started(batch: Batch) -> Outgoing:
    event = BatchStarted(
        workload=batch.workload,
        owner=batch.owner,
        batch_id=batch.batch_id,
        round=batch.round,
        at=datetime.now(UTC),
    )
    return outgoing(topology.EVENTS, event, correlation_id=str(batch.batch_id), traceparent=batch.traceparent)

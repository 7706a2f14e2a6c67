"""Publishes chunks: reads their items, records the leases, and sends the messages."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import structlog
from aio_pika.exceptions import DeliveryError

from batchyard_contracts import topology
from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.events import BatchStarted
from batchyard_contracts.v1.work import ChunkHead
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.scheduling.batch_queue import Pick
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.scheduling.partition_queue import PageRange, RetryRange
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.state.state import DispatcherState
from shared.messaging.publisher import OutgoingMessage, Publisher, outgoing
from shared.runtime.errors import BatchyardError, PublishFailed
from shared.runtime.transient import retry_transient

log = structlog.get_logger()


class ChunksRefused(BatchyardError):
    """Recorded chunks were not accepted by the broker: a queue refused them, or they are too large."""

    def __init__(self, refused: Sequence[Lease], oversized: Sequence[Lease]) -> None:
        super().__init__(f"{len(refused)} chunks were not taken, {len(oversized)} are too large to be sent.")
        self.refused, self.oversized = refused, oversized


class ChunkPublisher:
    """Turns picks into leases and messages."""

    def __init__(
        self,
        state: DispatcherState,
        stores: Stores,
        publisher: Publisher,
        pages: PageCache,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self._state, self._stores, self._publisher, self._pages = state, stores, publisher, pages
        self._on_wait = on_wait
        """Callback that runs while PostgreSQL or RabbitMQ is unreachable; it shows that the loop is alive."""

    async def dispatch(self, picks: Sequence[tuple[InFlightWindow, Pick]]) -> None:
        """Record and publish chunks. When it returns, the broker has confirmed them."""
        leases = [lease for window, pick in picks if (lease := self._create_lease(window, pick))]
        if not leases:
            return
        batches = {x.batch_id: self._state.batches[x.batch_id] for x in leases}
        starting = [b for b in batches.values() if b.started_round < b.round]
        for lease in leases:  # before the publish, since a report may arrive before it returns
            self._state.leases.add(lease)
        started_ids = [b.batch_id for b in starting]
        await retry_transient(
            lambda: self._stores.leases.save_leases(leases, started_ids), "PostgreSQL", on_wait=self._on_wait
        )
        try:
            await self.publish(leases, [_batch_started(b) for b in starting])
        finally:
            for batch in starting:
                batch.started_round = batch.round

    async def publish(self, leases: Sequence[Lease], events: Sequence[OutgoingMessage] = ()) -> None:
        """Publish recorded chunks without the items that were reported already. A chunk without items left, or whose
        round is over, ends instead.

        The events are sent right behind the first chunks. A workload whose queue refuses its chunks does not hold up
        the others: `ChunksRefused` is raised at the end.
        """
        items = await retry_transient(lambda: self._pages.items(leases), "PostgreSQL", on_wait=self._on_wait)
        await self._skip_dropped(items, leases)
        chunks: dict[str, list[OutgoingMessage]] = {}
        ended: list[Lease] = []
        oversized: list[Lease] = []
        for lease in leases:
            batch = self._state.batch_of(lease)
            lines = [line for o, line in items[lease.chunk_id].items() if o not in lease.reported]
            if batch is None or not lines:
                ended.append(lease)
            elif len((chunk := self._chunk(lease, batch, lines)).body) > MAX_MESSAGE_BYTES:
                oversized.append(lease)
            else:
                chunks.setdefault(lease.workload, []).append(chunk)
        refused: set[str] = set()
        for workload, messages in chunks.items():
            if not await self._send([*messages, *events]):
                refused.add(workload)
            events = ()
        self._state.leases.record_sent(leases, time.monotonic())
        if ended:
            await retry_transient(
                lambda: self._stores.leases.end([x.chunk_id for x in ended]),
                "PostgreSQL",
                on_wait=self._on_wait,
            )
        for lease in ended:
            self._state.release_lease(lease)
        if refused or oversized:
            raise ChunksRefused([x for x in leases if x.workload in refused and x not in oversized], oversized)

    async def _skip_dropped(self, items: Mapping[UUID, Mapping[int, bytes]], leases: Sequence[Lease]) -> None:
        """Mark items that the batch dropped as duplicates as reported: their outcome is in the ledger."""
        found = {
            lease.chunk_id: ordinals
            for lease in leases
            if (batch := self._state.batch_of(lease)) and batch.dropped
            if (ordinals := batch.dropped.intersection(items[lease.chunk_id]) - lease.reported)
        }
        if found:
            pairs = [(chunk_id, ordinal) for chunk_id, gone in found.items() for ordinal in gone]
            await retry_transient(lambda: self._stores.leases.save_reported(pairs), "PostgreSQL", on_wait=self._on_wait)
            for lease in leases:
                self._state.leases.record_reported(lease, found.get(lease.chunk_id, ()))

    async def _send(self, messages: Sequence[OutgoingMessage]) -> bool:
        """Publish, and wait while the broker is unreachable; returns False if the broker refuses a message."""

        async def attempt() -> bool:
            try:
                await self._publisher.publish(messages)
            except PublishFailed as error:
                if not isinstance(error.__cause__, DeliveryError):
                    raise
                log.warning("queue refused chunks", error=str(error))
                return False
            return True

        return await retry_transient(attempt, "chunks", on_wait=self._on_wait)

    def _create_lease(self, window: InFlightWindow, pick: Pick) -> Lease | None:
        batch = self._state.batches.get(pick.batch_id)
        if not isinstance(pick.source, PageRange):
            self._state.unload_retries(pick.batch_id, pick.partition, pick.source.ordinals)
        if batch is None or batch.stop_status:  # the batch ended after the pick
            window.record_returned(pick)
            return None
        attempt = 1 if isinstance(pick.source, PageRange) else pick.source.attempt
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
            seen_at=time.monotonic(),
            sent_at=time.monotonic(),
            quarantined=self._is_quarantined(batch.workload, pick.source),
        )

    def _is_quarantined(self, workload: str, source: PageRange | RetryRange) -> bool:
        return (
            isinstance(source, RetryRange) and source.quarantined and self._state.workers.handles_quarantine(workload)
        )

    def _chunk(self, lease: Lease, batch: Batch, items: Sequence[bytes]) -> OutgoingMessage:
        head = ChunkHead(
            chunk_id=lease.chunk_id,
            fence=lease.fence,
            batch_id=lease.batch_id,
            owner=batch.owner,
            workload=lease.workload,
            priority=lease.priority,
            partition=lease.partition,
            round=lease.round,
            attempt=lease.attempt,
            reuse=batch.reuse,
            quarantined=lease.quarantined,
            rates=self._state.workload_queue(lease.workload).window.chunk_rates(lease.partition),
        )
        body = head.with_items(items)
        return OutgoingMessage(topology.WORK, head.routing_key(), head.type, body, traceparent=batch.traceparent)


def _batch_started(batch: Batch) -> OutgoingMessage:
    event = BatchStarted(
        workload=batch.workload,
        owner=batch.owner,
        batch_id=batch.batch_id,
        round=batch.round,
        at=datetime.now(UTC),
    )
    return outgoing(topology.EVENTS, event, correlation_id=str(batch.batch_id), traceparent=batch.traceparent)

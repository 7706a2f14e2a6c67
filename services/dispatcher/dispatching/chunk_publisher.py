"""Publishes chunks: reads their items, records the leases, and sends the messages.

A chunk that cannot be made is left out, and its batch is set aside, so that it holds up no other.
"""

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import structlog
from aio_pika.exceptions import DeliveryError

from batchyard_contracts import topology
from batchyard_contracts.lease_token import LeaseTokens
from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.events import BatchStarted
from batchyard_contracts.v1.work import ChunkHead
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.item_line import ITEM_UNREADABLE, is_unreadable
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.scheduling.batch_queue import Pick
from services.dispatcher.domain.scheduling.chunk_bundles import BundleCandidate, bundle_groups
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.scheduling.partition_queue import PageRange, RetryRange
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.settlement.chunk_settler import ChunkSettler
from services.dispatcher.state.state import DispatcherState
from shared.messaging.publisher import OutgoingMessage, Publisher, outgoing
from shared.runtime.errors import BatchyardError, PublishFailed
from shared.runtime.isolation import run_isolated
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
        chunk_settler: ChunkSettler,
        on_batch_failed: Callable[[UUID, Exception], None],
        on_wait: Callable[[], None] = lambda: None,
        tokens: LeaseTokens | None = None,
    ) -> None:
        """`on_batch_failed` stops a batch of which a chunk cannot be made."""
        self._tokens = tokens
        self._state, self._stores, self._publisher, self._pages = state, stores, publisher, pages
        self._chunk_settler = chunk_settler
        self._on_batch_failed, self._on_wait = on_batch_failed, on_wait
        """Callback that runs while PostgreSQL or RabbitMQ is unreachable; it shows that the loop is alive."""

    async def dispatch(self, picks: Sequence[tuple[InFlightWindow, Pick]]) -> None:
        """Record and publish chunks. When it returns, the broker has confirmed them."""
        created = [lease for window, pick in picks if (lease := self._try_create_lease(window, pick))]
        for lease in created:  # before the publish, since a report may arrive before it returns
            self._state.leases.add(lease)
        leases = await self._each_possible(created, self._save_leases)
        saved = {lease.chunk_id for lease in leases}
        for lease in created:
            if lease.chunk_id not in saved:
                self._state.release_lease(lease)
        if not leases:
            return
        starting = self._starting_batches(leases)
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
        made = await self._make(leases)
        leases = [lease for lease in leases if lease.chunk_id in made]
        chunks: dict[str, list[tuple[Lease, OutgoingMessage]]] = {}
        ended: list[Lease] = []
        oversized: list[Lease] = []
        for lease in leases:
            if (chunk := made[lease.chunk_id]) is None:
                ended.append(lease)
            elif len(chunk.body) > MAX_MESSAGE_BYTES:
                oversized.append(lease)
            else:
                chunks.setdefault(lease.workload, []).append((lease, chunk))
        refused: set[str] = set()
        for workload, sent in chunks.items():
            if not await self._send([*self._grouped(workload, sent), *events]):
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

    async def _make(self, leases: Sequence[Lease]) -> dict[UUID, OutgoingMessage | None]:
        """Return the messages of chunks, None for a chunk that ends instead. Those that cannot be made are left out."""
        made: dict[UUID, OutgoingMessage | None] = {}

        async def make(some: Sequence[Lease]) -> None:
            items = await self._pages.items(some, all_known=True)
            await self._skip_dropped(items, some)
            await self._fail_unreadable(items, some)
            for lease in some:
                batch = self._state.batch_of(lease)
                lines = {o: line for o, line in items[lease.chunk_id].items() if o not in lease.reported}
                made[lease.chunk_id] = self._chunk(lease, batch, lines) if batch and lines else None

        possible = await self._each_possible(leases, make)
        return {lease.chunk_id: made[lease.chunk_id] for lease in possible}

    async def _skip_dropped(self, items: Mapping[UUID, Mapping[int, bytes]], leases: Sequence[Lease]) -> None:
        """Mark items that the batch dropped as duplicates as reported: their outcome is in the ledger."""
        found = {
            lease.chunk_id: ordinals
            for lease in leases
            if (batch := self._state.batch_of(lease)) and batch.dropped
            if (ordinals := {o for o in items[lease.chunk_id] if o in batch.dropped} - lease.reported)
        }
        if found:
            await self._stores.leases.save_reported(
                [(chunk_id, ordinal) for chunk_id, gone in found.items() for ordinal in gone]
            )
            for lease in leases:
                self._state.leases.record_reported(lease, found.get(lease.chunk_id, ()))

    async def _fail_unreadable(self, items: Mapping[UUID, Mapping[int, bytes]], leases: Sequence[Lease]) -> None:
        """Fail the items whose stored lines cannot be read."""
        for lease in leases:
            lines = items[lease.chunk_id]
            if gone := [o for o, line in lines.items() if is_unreadable(line) and o not in lease.reported]:
                log.error("stored items cannot be read", batch_id=str(lease.batch_id), ordinals=gone[:10])
                await self._chunk_settler.fail_items(lease, gone, ITEM_UNREADABLE)

    def _starting_batches(self, leases: Sequence[Lease]) -> list[Batch]:
        """Return the batches whose round begins with one of these chunks."""
        batches = {lease.batch_id: batch for lease in leases if (batch := self._state.batch_of(lease))}
        return [batch for batch in batches.values() if batch.started_round < batch.round]

    async def _save_leases(self, leases: Sequence[Lease]) -> None:
        started_ids = [batch.batch_id for batch in self._starting_batches(leases)]
        await self._stores.leases.save_leases(leases, started_ids)

    async def _each_possible(
        self, leases: Sequence[Lease], operation: Callable[[Sequence[Lease]], Awaitable[None]]
    ) -> list[Lease]:
        """Run an operation on chunks together, or on each alone if that fails for good. Return the chunks for which it
        succeeded; the batches of the others are set aside."""

        async def persistent(some: Sequence[Lease]) -> None:
            await retry_transient(lambda: operation(some), "PostgreSQL", on_wait=self._on_wait)

        failed = {lease.chunk_id: error for lease, error in await run_isolated(leases, persistent)}
        for lease in leases:
            if error := failed.get(lease.chunk_id):
                self._set_batch_aside(lease.batch_id, error)
        return [lease for lease in leases if lease.chunk_id not in failed]

    def _set_batch_aside(self, batch_id: UUID, error: Exception) -> None:
        if (batch := self._state.batches.get(batch_id)) and (queue := self._state.batch_queue(batch)):
            queue.pause()
        self._on_batch_failed(batch_id, error)

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

    def _grouped(self, workload: str, sent: Sequence[tuple[Lease, OutgoingMessage]]) -> list[OutgoingMessage]:
        """Return the chunks of a workload with the groups that may leave as bundles."""
        messages = [message for _, message in sent]
        if len(sent) < 2 or not self._state.workers.take_bundles(workload):
            return messages
        window = self._state.workload_queue(workload).window
        groups = bundle_groups(
            [
                BundleCandidate(message.routing_key, lease.source.count, len(message.body))
                if lease.is_ordinary and window.is_unlimited(lease.partition)
                else None
                for lease, message in sent
            ],
            window.manifest,
            window.longest_item_s,
            self._state.workers.count(workload),
        )
        return [replace(one, group=place) for one, place in zip(messages, groups, strict=True)]

    def _try_create_lease(self, window: InFlightWindow, pick: Pick) -> Lease | None:
        try:
            return self._create_lease(window, pick)
        except Exception as error:  # noqa: BLE001  whatever fails for one batch, the others go on
            window.record_returned(pick)
            self._set_batch_aside(pick.batch_id, error)
            return None

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

    def _chunk(self, lease: Lease, batch: Batch, items: Mapping[int, bytes]) -> OutgoingMessage:
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
        if self._tokens:
            head = head.model_copy(update={"lease": self._tokens.issue(head, items)})
        body = head.with_items(list(items.values()))
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

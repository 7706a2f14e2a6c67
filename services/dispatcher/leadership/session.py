"""The work of one active period: consumers, loops and decisions from the acquisition of the lock to its loss."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractRobustConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from batchyard_contracts import topology
from batchyard_contracts.v1.commands import RatesControl
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    BatchControlled,
    BatchSealed,
    BatchStopped,
    BatchWithdrawn,
    ChunkReturned,
    ItemsReopened,
    WorkerAnnounced,
    WorkerHeartbeat,
)
from batchyard_contracts.v1.queries import ItemsQuery, RatesQuery, StartPermitQuery, WorkersQuery
from services.dispatcher.codecs.page import Page
from services.dispatcher.codecs.report import Report
from services.dispatcher.dispatching.chunk_publisher import ChunkPublisher
from services.dispatcher.dispatching.dispatch_loop import DispatchLoop
from services.dispatcher.dispatching.undeliverable import UndeliverableChunks
from services.dispatcher.intake.batches import BatchIntake
from services.dispatcher.intake.payload_query import PayloadQuery
from services.dispatcher.outcomes.report_handler import ReportHandler
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.rate_store import RateStore
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.rate_limits.rate_api import RateApi
from services.dispatcher.rate_limits.rate_events import RateEvents
from services.dispatcher.recovery.lost_chunks import LostChunkRecovery
from services.dispatcher.recovery.orphaned_chunks import OrphanedChunkDetector
from services.dispatcher.recovery.start_permits import StartPermits
from services.dispatcher.recovery.worker_registry import WorkerRegistry
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.settlement.batch_stopper import BatchStopper
from services.dispatcher.settlement.external_cancel import ExternalCancel
from services.dispatcher.settlement.settler import ItemSettler
from services.dispatcher.state.state import DispatcherState
from shared.messaging.batch_consumer import BatchConsumer, BatchHandler, DecodedMessage
from shared.messaging.connection import open_channel
from shared.messaging.consumer import Consumer, Route
from shared.messaging.delivery import MessageDecoder
from shared.messaging.publisher import Publisher
from shared.postgres.pool import Pool
from shared.redis.client import RedisClient
from shared.redis.rate_reservations import RateReservations
from shared.runtime.health import Health
from shared.runtime.transient import retry_transient

_SWEEP_INTERVAL_S = 2.0
"""Seconds between two checks for lost chunks."""
_ORPHAN_SWEEP_INTERVAL_S = 0.25
"""Seconds between two checks while there may be orphaned chunks."""
_FIRST_CLEANUP_S = 60.0
_CLEANUP_INTERVAL_S = 3600.0
_CLEANUP_PAUSE_S = 0.1
"""Pause in seconds between two deletions, so that others can use the database."""
_MAX_ASIDE_MESSAGES = 20
"""Messages of up to a thousand items that may wait on the slow path before more are sent."""
_ASIDE_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources that live as long as the process."""

    settings: DispatcherSettings
    health: Health
    publisher: Publisher
    connection: AbstractRobustConnection
    memory: RedisClient


class Session:
    """One active period. It starts from the tables, so that nothing of an earlier period is left in memory."""

    def __init__(self, resources: Resources, pool: Pool) -> None:
        self._resources = resources
        self._beat = resources.health.pulse("leadership").beat
        publisher, health = resources.publisher, resources.health
        self._state, self._stores = DispatcherState(resources.settings.owner_weights), Stores.on(pool)
        external_cancel = ExternalCancel(self._state, publisher)
        pages, settler = (
            PageCache(self._stores),
            ItemSettler(self._stores, publisher, external_cancel, self._wait_for_aggregator),
        )
        pulse = health.pulse("dispatch loop")
        chunk_publisher = ChunkPublisher(self._state, self._stores, publisher, pages, on_wait=pulse.beat)
        self._undeliverable = UndeliverableChunks(self._state, self._stores, chunk_publisher, settler, pages)
        self._dispatch_loop = DispatchLoop(self._state, self._stores, chunk_publisher, self._undeliverable, pulse)
        self._start_permits = StartPermits(self._state, self._stores, settler, pages)
        self._recovery = LostChunkRecovery(
            self._state,
            self._stores,
            chunk_publisher,
            settler,
            pages,
            self._start_permits,
            self._undeliverable,
            resources.settings.max_chunk_losses,
            on_wait=health.pulse(topology.DISPATCHER_OUTCOMES.name).beat,
        )
        self._orphans = OrphanedChunkDetector(self._state, resources.settings.lease_s)
        self._worker_registry = WorkerRegistry(
            self._state, self._stores, self._recovery, self._orphans, resources.settings
        )
        self._batch_stopper = BatchStopper(
            self._state, self._stores, settler, pages, publisher, health.pulse("batch stopper")
        )
        self._rate_store = RateStore(pool)
        self._rate_events = RateEvents(
            self._state,
            self._rate_store,
            settler,
            publisher,
            RateReservations(resources.memory),
            health.pulse("rates"),
        )
        self._intake = BatchIntake(self._state, self._stores, settler, pages, self._dispatch_loop, self._batch_stopper)
        self._report_handler = ReportHandler(
            self._state, self._stores, settler, pages, self._dispatch_loop, self._batch_stopper, self._rate_events
        )
        hot: tuple[tuple[topology.Queue, list[MessageDecoder[object]], BatchHandler], ...] = (
            (topology.DISPATCHER_PAGES, [Page], self._intake.on_items_pages),
            (topology.DISPATCHER_OUTCOMES, [Report, ChunkReturned], self._on_reports),
        )
        self._consumers = [
            BatchConsumer(
                resources.connection, publisher, queue, kinds, handler, health.pulse(queue.name), max_messages=64
            )
            for queue, kinds, handler in hot
        ]
        self._control = Consumer(resources.settings.amqp_url, publisher, "dispatcher")

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until `stopping` is set, and then finish the messages in hand. When cancelled, stop at once, since
        another dispatcher may be active already."""
        tasks: list[asyncio.Task[None]] = []
        stop_wait = asyncio.create_task(stopping.wait())
        try:
            tasks = await self._start()
            await asyncio.wait([stop_wait, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in [t for t in tasks if t.done()]:
                task.result()
            await self._finish(tasks)
        finally:
            stop_wait.cancel()
            for task in tasks:
                task.cancel()
            await self._control.abandon()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self) -> list[asyncio.Task[None]]:
        """Load the state, start the consumers and the loops."""
        beat = self._beat
        await retry_transient(self._intake.load, "PostgreSQL", on_wait=beat)
        await retry_transient(self._rate_events.load, "PostgreSQL", on_wait=beat)
        now = time.monotonic()
        leases = await retry_transient(lambda: self._stores.leases.leases(now), "PostgreSQL", on_wait=beat)
        for lease in leases:
            self._state.add_lease(lease)
        self._orphans.watch(leases, now)
        intake, workers = self._intake, self._worker_registry
        view = RateApi(self._state, self._rate_store, self._rate_events)
        self._control.subscribe(
            topology.DISPATCHER_CONTROL,
            [
                Route(BatchAccepted, intake.on_batch_accepted),
                Route(BatchSealed, intake.on_batch_sealed),
                Route(BatchWithdrawn, intake.on_batch_withdrawn),
                Route(BatchControlled, intake.on_batch_controlled),
                Route(BatchStopped, intake.on_batch_stopped),
                Route(BatchFinished, intake.on_batch_finished),
                Route(ItemsReopened, intake.on_items_reopened),
                Route(WorkerAnnounced, workers.on_worker_announced),
                Route(RatesControl, view.on_rates_control),
            ],
            concurrency=1,  # in order of arrival
        )
        self._control.subscribe(topology.DISPATCHER_HEARTBEATS, [Route(WorkerHeartbeat, workers.on_worker_heartbeat)])
        self._control.subscribe(
            topology.DISPATCHER_QUERIES,
            [
                Route(WorkersQuery, workers.on_workers_query),
                Route(ItemsQuery, PayloadQuery(self._stores).on_items_query),
                Route(RatesQuery, view.on_rates_query),
                Route(StartPermitQuery, self._start_permits.on_permit_query),
            ],
            concurrency=5,
        )
        await self._control.start()
        loops = [s.run() for s in self._consumers]
        loops += [
            self._dispatch_loop.run(),
            self._batch_stopper.run(),
            self._rate_events.run(),
            self._sweep(),
            self._clean_up(),
        ]
        return [asyncio.create_task(loop) for loop in loops]

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """Stop consuming and finish the messages in hand."""
        await self._control.stop()
        for stream in self._consumers:
            stream.stop()
        await asyncio.wait(tasks[: len(self._consumers)], timeout=10)

    async def _on_reports(self, received: Sequence[DecodedMessage]) -> None:
        """Handle reports before the same chunks may be dispatched again."""
        await self._report_handler.on_chunks_processed(received)
        await self._recovery.on_chunks_returned(received)

    async def _sweep(self) -> None:
        pulse = self._resources.health.pulse("worker registry")
        try:
            while True:
                pulse.beat()
                await asyncio.sleep(_ORPHAN_SWEEP_INTERVAL_S if self._orphans.is_pending else _SWEEP_INTERVAL_S)
                await retry_transient(
                    lambda: self._worker_registry.sweep(self._queue_depth), "sweep", on_wait=pulse.beat
                )
        finally:
            pulse.stop()

    async def _clean_up(self) -> None:
        days = self._resources.settings.retention_days
        await asyncio.sleep(_FIRST_CLEANUP_S)
        while True:
            batches = await retry_transient(lambda: self._stores.batches.delete_old_batches(days), "PostgreSQL")
            orphans = await retry_transient(lambda: self._stores.batches.delete_orphans(days), "PostgreSQL")
            await asyncio.sleep(_CLEANUP_PAUSE_S if batches or orphans else _CLEANUP_INTERVAL_S)

    async def _wait_for_aggregator(self) -> None:
        """Wait until the aggregator has handled most messages on the slow path, so that items wait in tables, not in
        the broker."""
        while (await self._queue_depth(topology.AGGREGATOR_ASIDE.name) or 0) > _MAX_ASIDE_MESSAGES:  # noqa: ASYNC110  a queue has no event
            await asyncio.sleep(_ASIDE_POLL_S)

    async def _queue_depth(self, queue: str) -> int | None:
        if not self._resources.connection.connected.is_set():
            raise ConnectionError(
                "RabbitMQ is unreachable."
            )  # to be retried by the caller, which shows that it is alive
        async with await open_channel(self._resources.connection) as channel:
            try:
                declared = await channel.declare_queue(queue, passive=True)
            except ChannelNotFoundEntity:  # deleted meanwhile; its workers declare it again
                return None
            return declared.declaration_result.message_count or 0

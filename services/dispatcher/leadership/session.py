"""One time of being active: everything that consumes, decides and gives out, from the lock's gain to its loss."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractRobustConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from batchyard_contracts import topology
from batchyard_contracts.v1.commands import PaceControl
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
from batchyard_contracts.v1.queries import BeginQuery, ItemsQuery, PaceQuery, WorkersQuery
from services.dispatcher.codecs.page import Page
from services.dispatcher.codecs.report import Report
from services.dispatcher.dispatching.chunk_publisher import Giver
from services.dispatcher.dispatching.dispatch_loop import Pump
from services.dispatcher.dispatching.undeliverable import Refusals
from services.dispatcher.intake.batches import Intake
from services.dispatcher.intake.payload_query import Payloads
from services.dispatcher.outcomes.report_handler import Outcomes
from services.dispatcher.persistence.page_cache import Pages
from services.dispatcher.persistence.rate_store import PaceStore
from services.dispatcher.persistence.store import Store
from services.dispatcher.rate_limits.rate_api import PaceView
from services.dispatcher.rate_limits.rate_events import Pacing
from services.dispatcher.recovery.lost_chunks import Losses
from services.dispatcher.recovery.orphaned_chunks import Inherited
from services.dispatcher.recovery.start_permits import Beginnings
from services.dispatcher.recovery.worker_registry import Workers
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.settlement.batch_stopper import Stops
from services.dispatcher.settlement.external_cancel import LettingGo
from services.dispatcher.settlement.settler import Settlement
from services.dispatcher.state.state import Yard
from shared.messaging.batch_consumer import BatchConsumer, BatchHandler, Received
from shared.messaging.connection import open_channel
from shared.messaging.consumer import Consumer, Route
from shared.messaging.delivery import Kind
from shared.messaging.publisher import Publisher
from shared.postgres.pool import Pool
from shared.redis.client import RedisClient
from shared.redis.rate_reservations import RateReservations
from shared.runtime.health import Health
from shared.runtime.transient import retry_transient

_SWEEP_S = 2.0
"""Between two looks for lost chunks."""
_LOOK_S = 0.25
"""The same, as long as there may be chunks that a dispatcher before this one had no time to send."""
_FIRST_FORGET_S = 60.0
_FORGET_S = 3600.0
_FORGET_PAUSE_S = 0.1
"""Between two lots: others want the database, too."""
_ASIDE = 20
"""Messages that may wait for the ledger, each of a thousand items at most, before more follow."""
_ASIDE_S = 0.05


@dataclass(frozen=True, slots=True)
class Resources:
    """What lives as long as the process."""

    settings: DispatcherSettings
    health: Health
    publisher: Publisher
    connection: AbstractRobustConnection
    memory: RedisClient


class Session:
    """Starts from the tables, so that nothing of an earlier time is left in memory."""

    def __init__(self, resources: Resources, pool: Pool) -> None:
        self._resources = resources
        self._beat = resources.health.pulse("dispatcher").beat
        publisher, health = resources.publisher, resources.health
        self._yard, self._store = Yard(resources.settings.owner_weights), Store(pool)
        letting_go = LettingGo(self._yard, publisher)
        pages, settlement = Pages(self._store), Settlement(self._store, publisher, letting_go, self._room)
        pulse = health.pulse("pump")
        giver = Giver(self._yard, self._store, publisher, pages, waiting=pulse.beat)
        self._refusals = Refusals(self._yard, self._store, giver, settlement, pages)
        self._pump = Pump(self._yard, self._store, giver, self._refusals, pulse)
        self._beginnings = Beginnings(self._yard, self._store, settlement, pages)
        self._losses = Losses(
            self._yard,
            self._store,
            giver,
            settlement,
            pages,
            self._beginnings,
            self._refusals,
            resources.settings.losses_max,
            waiting=health.pulse(topology.DISPATCHER_OUTCOMES.name).beat,
        )
        self._inherited = Inherited(self._yard, resources.settings.lease_s)
        self._workers = Workers(self._yard, self._store, self._losses, self._inherited, resources.settings)
        self._stops = Stops(self._yard, self._store, settlement, pages, publisher, health.pulse("stops"))
        self._paces = PaceStore(pool)
        self._pacing = Pacing(
            self._yard, self._paces, settlement, publisher, RateReservations(resources.memory), health.pulse("pacing")
        )
        self._intake = Intake(self._yard, self._store, settlement, pages, self._pump, self._stops)
        self._outcomes = Outcomes(self._yard, self._store, settlement, pages, self._pump, self._stops, self._pacing)
        hot: tuple[tuple[topology.Queue, list[Kind[object]], BatchHandler], ...] = (
            (topology.DISPATCHER_PAGES, [Page], self._intake.pages),
            (topology.DISPATCHER_OUTCOMES, [Report, ChunkReturned], self._reported),
        )
        self._streams = [
            BatchConsumer(resources.connection, publisher, queue, kinds, handler, health.pulse(queue.name), most=64)
            for queue, kinds, handler in hot
        ]
        self._control = Consumer(resources.settings.amqp_url, publisher, "dispatcher")

    async def run(self, stopping: asyncio.Event) -> None:
        """Be active until told to stop, and then finish what is in hand. When cancelled, break it off: another
        dispatcher may be active already."""
        tasks: list[asyncio.Task[None]] = []
        told = asyncio.create_task(stopping.wait())
        try:
            tasks = await self._start()
            await asyncio.wait([told, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in [t for t in tasks if t.done()]:
                task.result()
            await self._finish(tasks)
        finally:
            told.cancel()
            for task in tasks:
                task.cancel()
            await self._control.abandon()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self) -> list[asyncio.Task[None]]:
        """Rebuild the yard, take messages, start the loops."""
        beat = self._beat
        await retry_transient(self._intake.load, "PostgreSQL", waiting=beat)
        await retry_transient(self._pacing.load, "PostgreSQL", waiting=beat)
        now = time.monotonic()
        leases = await retry_transient(lambda: self._store.leases(now), "PostgreSQL", waiting=beat)
        for lease in leases:
            self._yard.resume(lease)
        self._inherited.take(leases, now)
        intake, workers = self._intake, self._workers
        view = PaceView(self._yard, self._paces, self._pacing)
        self._control.subscribe(
            topology.DISPATCHER_CONTROL,
            [
                Route(BatchAccepted, intake.accepted),
                Route(BatchSealed, intake.sealed),
                Route(BatchWithdrawn, intake.withdrawn),
                Route(BatchControlled, intake.controlled),
                Route(BatchStopped, intake.stopped),
                Route(BatchFinished, intake.finished),
                Route(ItemsReopened, intake.reopened),
                Route(WorkerAnnounced, workers.announced),
                Route(PaceControl, view.control),
            ],
            at_once=1,  # in the order of their coming
        )
        self._control.subscribe(topology.DISPATCHER_HEARTBEATS, [Route(WorkerHeartbeat, workers.heartbeat)])
        self._control.subscribe(
            topology.DISPATCHER_QUERIES,
            [
                Route(WorkersQuery, workers.query),
                Route(ItemsQuery, Payloads(self._store).query),
                Route(PaceQuery, view.query),
                Route(BeginQuery, self._beginnings.query),
            ],
            at_once=5,
        )
        await self._control.start()
        loops = [s.run() for s in self._streams]
        loops += [self._pump.run(), self._stops.run(), self._pacing.run(), self._sweep(), self._forget()]
        return [asyncio.create_task(loop) for loop in loops]

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """Take no more messages, and be through with those in hand."""
        await self._control.stop()
        for stream in self._streams:
            stream.stop()
        await asyncio.wait(tasks[: len(self._streams)], timeout=10)

    async def _reported(self, received: Sequence[Received]) -> None:
        """What was reported of a chunk counts before it goes out again."""
        await self._outcomes.processed(received)
        await self._losses.returned(received)

    async def _sweep(self) -> None:
        pulse = self._resources.health.pulse("sweep")
        try:
            while True:
                pulse.beat()
                await asyncio.sleep(_LOOK_S if self._inherited.pending else _SWEEP_S)
                await retry_transient(lambda: self._workers.sweep(self._depth), "sweep", waiting=pulse.beat)
        finally:
            pulse.rest()

    async def _forget(self) -> None:
        days = self._resources.settings.retention_days
        await asyncio.sleep(_FIRST_FORGET_S)
        while True:
            batches = await retry_transient(lambda: self._store.forget_batches(days), "PostgreSQL")
            orphans = await retry_transient(lambda: self._store.forget_orphans(days), "PostgreSQL")
            await asyncio.sleep(_FORGET_PAUSE_S if batches or orphans else _FORGET_S)

    async def _room(self) -> None:
        """Wait until little is left of what the ledger is to take aside: items wait in tables, not in the broker."""
        while (await self._depth(topology.AGGREGATOR_ASIDE.name) or 0) > _ASIDE:  # noqa: ASYNC110  a queue has no event
            await asyncio.sleep(_ASIDE_S)

    async def _depth(self, queue: str) -> int | None:
        if not self._resources.connection.connected.is_set():
            raise ConnectionError("RabbitMQ is away.")  # to be tried again by who can say that it is alive
        async with await open_channel(self._resources.connection) as channel:
            try:
                declared = await channel.declare_queue(queue, passive=True)
            except ChannelNotFoundEntity:  # deleted under us; its workers declare it again
                return None
            return declared.declaration_result.message_count or 0

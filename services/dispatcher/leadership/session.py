"""The work of one active period: consumers, loops and decisions while this process holds the lease.

Its publisher and its handlers check the lease, and its connections to PostgreSQL are fenced. So a process that was
frozen, and wakes after another one has become active, publishes nothing, stores nothing and acknowledges nothing.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aio_pika.abc import AbstractRobustConnection

from batchyard_contracts import topology
from batchyard_contracts.lease_token import LeaseTokens
from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.v1.commands import RatesControl
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    BatchControlled,
    BatchRemedied,
    BatchSealed,
    BatchStopped,
    BatchWithdrawn,
    ChunkReturned,
    DeletionRequested,
    ItemsReopened,
    OwnerWeighted,
    WorkerAnnounced,
    WorkerHeartbeat,
)
from batchyard_contracts.v1.queries import (
    EstimateQuery,
    HeldQuery,
    HistoryQuery,
    ItemsQuery,
    LimitsQuery,
    LoadQuery,
    RatesQuery,
    ReasonsQuery,
    StartPermitQuery,
    StatesQuery,
    WaitingQuery,
    WorkersQuery,
)
from services.dispatcher.domain.accepted_batch import AcceptedBatch
from services.dispatcher.domain.page import Page
from services.dispatcher.forecasts import forecast_memory, forecaster
from services.dispatcher.leadership.components import build
from services.dispatcher.leadership.lease_keeper import LeaseKeeper
from services.dispatcher.outcomes.leased_reports import LeasedReportDecoder
from services.dispatcher.settings import DispatcherSettings
from shared.messaging.batch_consumer import BatchConsumer, BatchHandler, DecodedMessage
from shared.messaging.consumer import Consumer
from shared.messaging.delivery import MessageDecoder
from shared.messaging.message_router import Handler, Route
from shared.messaging.publisher import Publisher
from shared.messaging.queue_depth import queue_depth, queue_state
from shared.postgres.pool import Pool
from shared.redis.client import RedisClient
from shared.runtime.background import BackgroundTask
from shared.runtime.health import Health

log = structlog.get_logger()
HEARTBEAT_S = 4
"""Interval of the broker's heartbeats. After two or three of them without an answer the messages of a frozen dispatcher
go to the active one, before the chunks that they report count as lost."""
_SWEEP_INTERVAL_S = 2.0
"""Seconds between two checks for lost chunks."""
_ORPHAN_SWEEP_INTERVAL_S = 0.25
"""Seconds between two checks while there may be orphaned chunks."""
_FIRST_CLEANUP_S = 60.0
_CLEANUP_INTERVAL_S = 3600.0
_DELETION_INTERVAL_S = 30.0
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
    """One active period. It starts from the tables, so that nothing of an earlier period is left in memory.

    Its background tasks go on after an error, since their steps may be repeated; only the dispatch loop ends the
    session.
    """

    def __init__(self, resources: Resources, pool: Pool, lease: LeaseKeeper) -> None:
        self._resources, self._lease = resources, lease
        publisher, health = resources.publisher.checked(lease.check), resources.health
        self._components = build(
            resources.settings, health, pool, publisher, resources.memory, self._wait_for_aggregator
        )
        tokens = LeaseTokens.parse(resources.settings.lease_keys.get_secret_value())
        hot: tuple[tuple[topology.Queue, list[MessageDecoder[object]], BatchHandler], ...] = (
            (topology.DISPATCHER_PAGES, [Page], self._components.intake.on_items_pages),
            (topology.DISPATCHER_BATCHES, [AcceptedBatch, BatchFinished], self._components.intake.on_batches),
            (topology.DISPATCHER_OUTCOMES, [LeasedReportDecoder(tokens), ChunkReturned], self._on_reports),
        )
        self._consumers = [
            BatchConsumer(
                resources.connection,
                publisher,
                queue,
                kinds,
                self._fenced_batches(handler),
                health.pulse(queue.name),
                max_messages=64,
                priority=lease.number,
            )
            for queue, kinds, handler in hot
        ]
        *_, self._reports = self._consumers
        self._control = Consumer(
            resources.settings.amqp_url,
            publisher,
            "dispatcher",
            heartbeat_s=HEARTBEAT_S,
            priority=lease.number,
            anonymous_owner=resources.settings.anonymous_owner,
        )
        self._background_tasks = [
            *self._consumers,
            self._components.dispatch_loop,
            self._components.batch_stopper,
            self._components.rate_events,
            BackgroundTask(
                health.pulse("worker registry"),
                self._sweep,
                interval_s=_SWEEP_INTERVAL_S,
                delay_s=_ORPHAN_SWEEP_INTERVAL_S,
            ),
            BackgroundTask(
                health.pulse("forecaster"),
                self._components.forecaster.update,
                interval_s=forecaster.INTERVAL_S,
                is_optional=True,
            ),
            BackgroundTask(
                health.pulse("forecast memory"),
                self._components.forecast_memory.save,
                interval_s=forecast_memory.INTERVAL_S,
                delay_s=forecast_memory.INTERVAL_S,
                is_optional=True,
            ),
            BackgroundTask(
                health.pulse("cleanup"),
                self._components.batch_deletion.clean_up,
                interval_s=_CLEANUP_INTERVAL_S,
                delay_s=_FIRST_CLEANUP_S,
            ),
            BackgroundTask(
                health.pulse("deletions"),
                self._components.batch_deletion.deletions.update,
                interval_s=_DELETION_INTERVAL_S,
                wake=self._components.batch_deletion.deletions.wake,
            ),
        ]

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
        components = self._components
        await components.load(self._resources.health.pulse("leadership").beat)
        intake, workers, rates = components.intake, components.worker_registry, components.rate_api
        self._control.subscribe(
            topology.DISPATCHER_CONTROL,
            [
                self._route(BatchAccepted, intake.on_batch_accepted),
                self._route(BatchSealed, intake.on_batch_sealed),
                self._route(BatchWithdrawn, intake.on_batch_withdrawn),
                self._route(BatchControlled, intake.on_batch_controlled),
                self._route(BatchStopped, intake.on_batch_stopped),
                self._route(BatchRemedied, components.recovery.on_batch_remedied),
                self._route(BatchFinished, intake.on_batch_finished),
                self._route(DeletionRequested, components.batch_deletion.on_deletion_requested),
                self._route(ItemsReopened, intake.on_items_reopened),
                self._route(WorkerAnnounced, workers.on_worker_announced),
                self._route(OwnerWeighted, components.owner_weights.on_owner_weighted),
                self._route(RatesControl, rates.on_rates_control),
            ],
            concurrency=1,  # in order of arrival
        )
        self._control.subscribe(
            topology.DISPATCHER_HEARTBEATS, [self._route(WorkerHeartbeat, workers.on_worker_heartbeat)]
        )
        self._control.subscribe(
            topology.DISPATCHER_QUERIES,
            [
                self._route(WorkersQuery, workers.on_workers_query),
                self._route(ItemsQuery, components.payload_query.on_items_query),
                self._route(RatesQuery, rates.on_rates_query),
                self._route(WaitingQuery, components.waiting_query.on_waiting_query),
                self._route(ReasonsQuery, components.reasons_query.on_reasons_query),
                self._route(StatesQuery, components.states_query.on_states_query),
                self._route(LoadQuery, components.load_query.on_load_query),
                self._route(EstimateQuery, components.estimator.on_estimate_query),
                self._route(HistoryQuery, components.history_query.on_history_query),
                self._route(HeldQuery, components.waiting_query.on_held_query),
                self._route(LimitsQuery, rates.on_limits_query),
                self._route(StartPermitQuery, components.start_permits.on_permit_query),
            ],
            concurrency=5,
        )
        self._resources.health.add_readiness_check("messages", lambda: self._control.is_working)
        await self._control.start()
        for task in self._background_tasks:
            self._resources.health.add_readiness_check(task.name, lambda task=task: task.is_working)  # type: ignore[misc]
        return [asyncio.create_task(task.run()) for task in self._background_tasks]

    def _route(self, kind: type[Message], handler: Handler) -> Route:
        """Return a route whose messages are not acknowledged, and get no reply, when the lease may have ended."""

        async def handle(message: Any, envelope: Envelope) -> Message | None:
            reply = await handler(message, envelope)
            self._lease.check()
            return reply

        return Route(kind, handle)

    def _fenced_batches(self, handler: BatchHandler) -> BatchHandler:
        """Return a handler whose messages are not acknowledged when the lease may have ended."""

        async def handle(received: Sequence[DecodedMessage]) -> None:
            await handler(received)
            self._lease.check()

        return handle

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """Stop consuming, finish the messages in hand, and save what forecasts are made from."""
        await self._control.stop()
        for stream in self._consumers:
            stream.stop()
        await asyncio.wait(tasks[: len(self._consumers)], timeout=10)
        try:
            await self._components.forecast_memory.save()
        except Exception:
            log.exception("learned forecasts not saved")

    async def _on_reports(self, received: Sequence[DecodedMessage]) -> None:
        """Handle reports before the same chunks may be dispatched again."""
        await self._components.report_handler.on_chunks_processed(received)
        await self._components.recovery.on_chunks_returned(received)

    async def _sweep(self) -> float | None:
        """Recover lost chunks. Each change is saved before it is made in memory, so an error leaves the rest for the
        next sweep."""
        await self._components.worker_registry.sweep(self._queue_depth, self._reports_read_until)
        return _ORPHAN_SWEEP_INTERVAL_S if self._components.orphans.is_pending else None

    async def _reports_read_until(self) -> float:
        """Return a time before which all reports are handled; -inf while reports wait, or another consumer may have
        some: a dispatcher that was frozen, until the broker drops its connection."""
        state = await queue_state(self._resources.connection, topology.DISPATCHER_OUTCOMES.name)
        if state is None or state.messages or state.consumers > 1:
            return -math.inf
        busy_since = self._reports.busy_since
        return time.monotonic() if busy_since is None else busy_since

    async def _wait_for_aggregator(self) -> None:
        """Wait until the aggregator has handled most messages on the slow path, so that items wait in tables, not in
        the broker."""
        while (await self._queue_depth(topology.AGGREGATOR_ASIDE.name) or 0) > _MAX_ASIDE_MESSAGES:  # noqa: ASYNC110  a queue has no event
            await asyncio.sleep(_ASIDE_POLL_S)

    async def _queue_depth(self, queue: str) -> int | None:
        return await queue_depth(self._resources.connection, queue)

"""The worker's composition: workloads, their intakes, announcement, heartbeats, cancellation."""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection
from pydantic import ValidationError

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import (
    BatchControlled,
    BatchStopped,
    CacheInvalidated,
    WorkerAnnounced,
    WorkerHeartbeat,
)
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.recommendations import RecommendationsQuery
from services.worker.caching.invalidation import CacheInvalidation
from services.worker.caching.result_cache import ResultCache
from services.worker.consuming.chunk_consumer import ChunkConsumer
from services.worker.consuming.chunk_returner import ChunkReturner
from services.worker.execution.item_runner import ItemRunner
from services.worker.execution.start_permit import StartPermitClient
from services.worker.limits.rate_gate import RateGates
from services.worker.loading import registry
from services.worker.quarantine.consumer import QuarantineConsumer
from services.worker.settings import WorkerSettings
from services.worker.summaries.consumer import run_summaries
from services.worker.workloads.distances.opening import Resources
from services.worker.workloads.distances.recommending import Recommender
from shared.messaging.batch_consumer import BatchConsumer
from shared.messaging.connection import connect, open_channel
from shared.messaging.consumer import Consumer, Route
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.rpc_client import RpcClient
from shared.messaging.topology import declare
from shared.redis.client import RedisClient
from shared.redis.rate_reservations import RateReservations
from shared.runtime.health import Pulse
from shared.runtime.process import Runtime
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_INTERRUPTING = {"deadline", "failure_threshold"}
"""Causes that end what runs. Of a batch that was never sealed it may run to its end: nobody is in a hurry."""

_PAUSED_AFTER = {"pause": True, "resume": False, "cancel": False, "retry": False}


@asynccontextmanager
async def app(settings: WorkerSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Run the workloads; on the way out let what runs come to its end."""
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    structlog.contextvars.bind_contextvars(worker_id=worker_id)
    workloads = registry.find(settings.worker_workloads, settings.worker_files)
    registry.check_names("BATCHYARD_WORKER_SLOTS", settings.worker_slots, settings.worker_files)
    async with AsyncExitStack() as stack:
        publisher = await Publisher.open(settings.amqp_url, "worker")
        stack.push_async_callback(publisher.close)
        await declare(publisher.connection, [*topology.QUEUES, *_queues(workloads.values())])
        connection = await connect(settings.amqp_url, "worker-consume")
        stack.push_async_callback(connection.close)
        redis = RedisClient(settings.redis_url)
        stack.push_async_callback(redis.close)
        runtime.health.add_readiness_check("RabbitMQ", connection.connected.is_set)
        cache, reservations = ResultCache(redis), RateReservations(redis)
        returner, permits = (
            ChunkReturner(publisher, worker_id),
            StartPermitClient(RpcClient(publisher.connection), worker_id),
        )
        consumers: list[ChunkConsumer] = []
        quarantine_consumers: list[QuarantineConsumer] = []
        manifests = [workload.announcement() for workload in workloads.values()]
        opened: dict[str, object] = {}
        for workload in _available(workloads, manifests):
            opened[workload.name] = resources = await stack.enter_async_context(workload.lifespan())
            slots, grace_s = settings.worker_slots.get(workload.name), settings.worker_grace_s
            gates = RateGates(workload.name, reservations)
            runner = ItemRunner(
                workload, resources, publisher, cache, worker_id, slots, grace_s, gates, permits=permits
            )
            await runner.start()
            stack.push_async_callback(runner.stop)
            pulses = [runtime.health.pulse(f"{what} consumer {workload.name}") for what in ("chunk", "quarantine")]
            consumers.append(
                ChunkConsumer(runner, connection, publisher, pulses[0], returner, settings.report_interval_s)
            )
            quarantine_consumers.append(
                QuarantineConsumer(runner, connection, publisher, returner, pulses[1], settings)
            )
        names = [consumer.name for consumer in consumers]
        crew = Crew(
            settings, worker_id, publisher, names, consumers, runtime.health.pulse("heartbeat"), quarantine_consumers
        )
        runtime.health.add_count("handlers given up", lambda: crew.stuck_handlers)
        runtime.health.add_liveness_check("handlers", lambda: crew.stuck_handlers <= settings.worker_max_stuck_handlers)
        await _listen(connection, crew)
        await _announce(publisher, worker_id, manifests)
        tasks = [runtime.spawn(each.run(), f"intake {i}") for i, each in enumerate(crew.holders)]
        beating = runtime.spawn(crew.beat(), "heartbeat")
        pulse, on_invalidated = (
            runtime.health.pulse("cache invalidation"),
            CacheInvalidation(cache).on_cache_invalidated,
        )
        invalidation = BatchConsumer(
            connection, publisher, topology.WORKER_CACHE, [CacheInvalidated], on_invalidated, pulse
        )
        runtime.spawn(invalidation.run(), "cache")
        await stack.enter_async_context(run_summaries(settings.amqp_url, crew.runners, publisher, worker_id))
        await stack.enter_async_context(_answering(settings, publisher, opened.get("distances")))
        try:
            yield
        finally:
            invalidation.stop()
            await crew.drain(tasks)
            beating.cancel()
            await crew.say(stopping=True)


def _queues(workloads: Iterable[registry.AnyWorkload]) -> Iterator[topology.Queue]:
    for workload in workloads:
        yield from topology.work_queues(workload.name)
        yield topology.quarantine_queue(workload.name)
        if workload.summary_definition:
            yield topology.summary_queue(workload.name)


@asynccontextmanager
async def _answering(settings: WorkerSettings, publisher: Publisher, distances: object) -> AsyncIterator[None]:
    """Answer who recommends contractors, where ways can be had."""
    if not isinstance(distances, Resources):
        yield
        return
    control = Consumer(settings.amqp_url, publisher, "worker")
    route = Route(RecommendationsQuery, Recommender(distances).answer)
    control.subscribe(topology.WORKER_RECOMMENDATIONS, [route], concurrency=4)
    await control.start()
    try:
        yield
    finally:
        await control.stop()


async def _announce(publisher: Publisher, worker_id: str, manifests: list[Manifest]) -> None:
    announced = WorkerAnnounced(worker_id=worker_id, manifests=manifests, started_at=datetime.now(UTC))
    await retry_transient(lambda: publisher.publish([outgoing(topology.FLOW, announced)]), "announcement")


def _available(workloads: dict[str, registry.AnyWorkload], manifests: list[Manifest]) -> list[registry.AnyWorkload]:
    """The workloads that can run here; what lacks a setting is announced so, and its items wait for another worker."""
    for manifest in manifests:
        if manifest.unavailable:
            log.warning("workload unavailable", workload=manifest.name, reason=manifest.unavailable)
    return [workloads[manifest.name] for manifest in manifests if not manifest.unavailable]


class Crew:
    """All intakes of this process."""

    def __init__(
        self,
        settings: WorkerSettings,
        worker_id: str,
        publisher: Publisher,
        workloads: list[str],
        consumers: Sequence[ChunkConsumer],
        pulse: Pulse,
        quarantine_consumers: Sequence[QuarantineConsumer] = (),
    ) -> None:
        self._settings, self._worker_id, self._publisher = settings, worker_id, publisher
        self._workloads, self._consumers = workloads, consumers
        self.holders: Sequence[ChunkConsumer | QuarantineConsumer] = [*consumers, *quarantine_consumers]
        """All that take chunks."""
        self._pulse = pulse
        self._draining = False

    @property
    def runners(self) -> list[ItemRunner]:
        """What runs the workloads."""
        return [consumer.runner for consumer in self._consumers]

    @property
    def stuck_handlers(self) -> int:
        """Handlers that still run, although they were given up."""
        return sum(consumer.stuck_handlers for consumer in self._consumers)

    async def beat(self) -> None:
        """Say regularly that the worker lives, and which chunks it holds."""
        trimmed = time.monotonic()
        while True:
            self._pulse.beat()
            if time.monotonic() - trimmed >= self._settings.worker_idle_s:
                trimmed = time.monotonic()
                for consumer in self._consumers:
                    consumer.trim()
            await self.say()
            await asyncio.sleep(self._settings.heartbeat_s)

    async def say(self, *, stopping: bool = False) -> None:
        """One heartbeat."""
        chunks = [chunk for holder in self.holders for chunk in holder.chunk_ids]
        heartbeat = WorkerHeartbeat(
            worker_id=self._worker_id,
            workloads=self._workloads,
            chunks=chunks,
            running=sum(holder.unfinished for holder in self.holders),
            stopping=stopping or self._draining,
            slots={consumer.name: consumer.slots for consumer in self._consumers},
            handles_quarantine=True,
            at=datetime.now(UTC),
        )
        await retry_transient(
            lambda: self._publisher.publish([outgoing(topology.FLOW, heartbeat)]), "heartbeat", on_wait=self._pulse.beat
        )

    async def controlled(self, message: AbstractIncomingMessage) -> None:
        """Stop what runs of a cancelled batch, until a retry gives it another round; begin nothing of a paused one."""
        kind = BatchStopped if message.routing_key == BatchStopped.type else BatchControlled
        try:
            message_ = kind.decode(message.body)
        except ValidationError as error:
            log.warning("unreadable control message", error=str(error))
            return
        for holder in self.holders:
            if isinstance(message_, BatchStopped):
                if message_.reason in _INTERRUPTING:
                    holder.cancel(message_.batch_id, message_.round)
            elif message_.action == "cancel":
                holder.cancel(message_.batch_id)
            elif message_.action == "retry":
                holder.clear_cancellation(message_.batch_id)
        if isinstance(message_, BatchControlled) and message_.action in _PAUSED_AFTER:
            for consumer in self._consumers:
                consumer.set_paused(message_.batch_id, message_.at, paused=_PAUSED_AFTER[message_.action])

    def reconnected(self, *_: object) -> None:
        """Commands may have been missed: rather run what was cancelled than cancel what is to run again."""
        for holder in self.holders:
            holder.clear_cancellation()

    async def drain(self, tasks: list[asyncio.Task[None]]) -> None:
        """Take nothing more, wait for what runs; what takes too long runs elsewhere."""
        self._draining = True
        await self.say()
        for holder in self.holders:
            holder.drain()
        _, pending = await asyncio.wait(tasks, timeout=self._settings.drain_timeout_s)
        if pending:
            for holder in self.holders:
                holder.interrupt()
            await asyncio.wait(pending)


async def _listen(connection: AbstractRobustConnection, crew: Crew) -> None:
    """Hear of cancelled batches on a queue that lives as long as this worker."""
    channel = await open_channel(connection)
    queue = await channel.declare_queue(f"worker.control.{uuid.uuid4().hex}", exclusive=True, auto_delete=True)
    for kind in (BatchControlled, BatchStopped):
        await queue.bind(topology.FLOW, kind.type)
    await queue.consume(crew.controlled, no_ack=True)
    connection.reconnect_callbacks.add(crew.reconnected)

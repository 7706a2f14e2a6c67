"""The worker's composition root: workloads, their consumers, the announcement, heartbeats, cancellation."""

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import structlog

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import CacheInvalidated, WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest
from services.worker.caching.invalidation import CacheInvalidation
from services.worker.caching.result_cache import ResultCache
from services.worker.consuming.chunk_consumer import ChunkConsumer
from services.worker.consuming.chunk_returner import ChunkReturner
from services.worker.control.control_listener import ControlListener
from services.worker.control.heartbeat import Heartbeat
from services.worker.execution.item_runner import ItemRunner
from services.worker.execution.large_results import LargeResults
from services.worker.execution.start_permit import StartPermitClient
from services.worker.limits.rate_gate import RateGates
from services.worker.loading import registry
from services.worker.quarantine.consumer import QuarantineConsumer
from services.worker.questions.consumer import answer_questions
from services.worker.settings import WorkerSettings
from services.worker.summaries.consumer import run_summaries
from shared.messaging.batch_consumer import BatchConsumer
from shared.messaging.connection import connect
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.rpc_client import RpcClient
from shared.messaging.topology import prepare, queues_of
from shared.redis.client import RedisClient
from shared.redis.rate_reservations import RateReservations
from shared.runtime.background import BackgroundTask
from shared.runtime.process import Runtime
from shared.runtime.transient import retry_transient

log = structlog.get_logger()


@asynccontextmanager
async def app(settings: WorkerSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Run the workloads of this worker until the block ends, then drain."""
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    structlog.contextvars.bind_contextvars(worker_id=worker_id)
    workloads = registry.find(settings.worker_workloads, settings.worker_files)
    registry.check_names("BATCHYARD_WORKER_SLOTS", settings.worker_slots, settings.worker_files)
    async with AsyncExitStack() as stack:
        publisher = await Publisher.open(settings.amqp_url, "worker")
        stack.push_async_callback(publisher.close)
        connection = await connect(settings.amqp_url, "worker-consume")
        stack.push_async_callback(connection.close)
        redis = RedisClient(settings.redis_url)
        stack.push_async_callback(redis.close)
        runtime.health.add_readiness_check("RabbitMQ", connection.connected.is_set)
        cache, reservations = ResultCache(redis), RateReservations(redis)
        returner = ChunkReturner(publisher, worker_id)
        rpc_client = RpcClient(publisher.connection, "worker", topology.WORKER_INQUIRIES)
        permits = StartPermitClient(rpc_client, worker_id)
        large_results = LargeResults.open(settings.results_place)
        consumers: list[ChunkConsumer] = []
        quarantine_consumers: list[QuarantineConsumer] = []
        manifests = [workload.announcement() for workload in workloads.values()]
        await _prepare(publisher, settings, worker_id, manifests)
        for workload in _available(workloads, manifests):
            resources = await stack.enter_async_context(workload.lifespan())
            slots, grace_s = settings.worker_slots.get(workload.name), settings.worker_grace_s
            gates = RateGates(workload.name, reservations)
            runner = ItemRunner(
                workload,
                resources,
                publisher,
                cache,
                worker_id,
                slots,
                grace_s,
                gates,
                permits=permits,
                large_results=large_results,
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
        heartbeat = Heartbeat(settings, worker_id, publisher, consumers, quarantine_consumers)
        runtime.health.add_count("abandoned handlers", lambda: _stuck_handlers(consumers))
        runtime.health.add_liveness_check(
            "handlers", lambda: _stuck_handlers(consumers) <= settings.worker_max_stuck_handlers
        )
        await ControlListener(consumers, quarantine_consumers).start(connection)
        await _announce(publisher, worker_id, manifests)
        holders: list[ChunkConsumer | QuarantineConsumer] = [*consumers, *quarantine_consumers]
        heartbeats = BackgroundTask(
            runtime.health.pulse("heartbeat"),
            heartbeat.beat,
            interval_s=settings.heartbeat_s,
            on_stop=heartbeat.publish,
        )
        invalidation = BatchConsumer(
            connection,
            publisher,
            topology.WORKER_CACHE,
            [CacheInvalidated],
            CacheInvalidation(cache).on_cache_invalidated,
            runtime.health.pulse("cache invalidation"),
        )
        await stack.enter_async_context(runtime.running(invalidation))
        runners = [consumer.runner for consumer in consumers]
        await stack.enter_async_context(run_summaries(settings.amqp_url, runners, publisher, worker_id, runtime.health))
        await stack.enter_async_context(answer_questions(settings, runners, publisher, rpc_client))
        async with runtime.running(heartbeats), runtime.running(*holders):
            try:
                yield
            finally:
                await heartbeat.publish_stopping()
                asyncio.get_running_loop().call_later(settings.drain_timeout_s, _interrupt, holders)


async def _prepare(publisher: Publisher, settings: WorkerSettings, worker_id: str, manifests: list[Manifest]) -> None:
    """Have the queues there. Where workers may declare none, ingest declares those of the workloads it hears of."""
    if settings.topology == "check":
        await _announce(publisher, worker_id, manifests)
    queues = [queue for manifest in manifests for queue in queues_of(manifest)]
    await prepare(publisher.connection, settings.topology, "worker", queues)


async def _announce(publisher: Publisher, worker_id: str, manifests: list[Manifest]) -> None:
    announced = WorkerAnnounced(worker_id=worker_id, manifests=manifests, started_at=datetime.now(UTC))
    await retry_transient(lambda: publisher.publish([outgoing(topology.FLOW, announced)]), "announcement")


def _available(workloads: dict[str, registry.AnyWorkload], manifests: list[Manifest]) -> list[registry.AnyWorkload]:
    """Return the workloads that can run here; one that lacks a setting is announced as unavailable."""
    for manifest in manifests:
        if manifest.unavailable:
            log.warning("workload unavailable", workload=manifest.name, reason=manifest.unavailable)
    return [workloads[manifest.name] for manifest in manifests if not manifest.unavailable]


def _stuck_handlers(consumers: Sequence[ChunkConsumer]) -> int:
    """Return how many handlers still run although their items have ended."""
    return sum(consumer.stuck_handlers for consumer in consumers)


def _interrupt(holders: Sequence[ChunkConsumer | QuarantineConsumer]) -> None:
    """Let the chunks that still run after the drain timeout run on other workers."""
    for holder in holders:
        holder.interrupt()

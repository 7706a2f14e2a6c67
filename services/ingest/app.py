"""The composition root: wires the components of ingest to each other and to RabbitMQ, PostgreSQL and Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

from batchyard_contracts.ids import new_batch_id
from services.ingest.api.amqp import CommandHandlers
from services.ingest.api.command_consumer import command_consumer
from services.ingest.api.queries import QueryHandlers
from services.ingest.api.queue_declarations import QueueDeclarations
from services.ingest.api.service import IngestService
from services.ingest.api.service_consumer import service_consumer
from services.ingest.bulk.bulk_manager import BulkManager
from services.ingest.bulk.bulk_runner import BulkRunner
from services.ingest.control.cache_invalidator import CacheInvalidator
from services.ingest.control.control_handler import BatchControlHandler
from services.ingest.control.finished_batches import FinishedBatches
from services.ingest.control.remedies import BatchRemedies
from services.ingest.control.result_acceptor import ResultAcceptor
from services.ingest.control.retry_preview import RetryPreviewer
from services.ingest.export_jobs.components import open_exports
from services.ingest.http.api import build_app
from services.ingest.http.identity import open_identity
from services.ingest.http.server import HttpServer, ServerTls
from services.ingest.limits.limit_manager import LimitManager
from services.ingest.maintenance.batch_resender import BatchResender
from services.ingest.maintenance.housekeeping import Housekeeping
from services.ingest.maintenance.idle_batches import IdleBatchStopper
from services.ingest.maintenance.progress_reconciler import ProgressReconciler
from services.ingest.persistence.audit_log import AuditLog
from services.ingest.persistence.bulk_store import BulkStore
from services.ingest.persistence.limit_store import LimitStore
from services.ingest.persistence.notifier_registry import NotifierRegistry
from services.ingest.persistence.store import SESSION, BatchStore
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.progress.event_subscriber import EventSubscriber
from services.ingest.progress.hub import ProgressHub
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.queries.estimate_service import EstimateService
from services.ingest.queries.overview_reader import OverviewReader
from services.ingest.queries.system_state import SystemState
from services.ingest.queries.waiting_reasons import WaitingReasons
from services.ingest.remote_files.components import open_remote_files
from services.ingest.retention.components import open_retention
from services.ingest.schedules.components import open_scheduling
from services.ingest.settings import IngestSettings
from services.ingest.submission.append import BatchAppender
from services.ingest.submission.backpressure import Backpressure
from services.ingest.submission.batch_checker import BatchChecker
from services.ingest.submission.dedup_index import DedupIndex
from services.ingest.submission.group_commit import GroupCommit
from services.ingest.submission.source_expansion import SourceExpansion
from services.ingest.submission.submit import BatchSubmitter
from services.ingest.submission.upload_service import UploadService
from shared.messaging.consumer import Consumer
from shared.messaging.fair_consumer import FairConsumer
from shared.messaging.publisher import Publisher
from shared.messaging.rpc_client import RpcClient
from shared.messaging.topology import TopologyMode, prepare
from shared.postgres.outbox import INTERVAL_S, Outbox
from shared.postgres.pool import open_pool
from shared.redis.client import RedisClient
from shared.runtime.background import BackgroundTask
from shared.runtime.process import Runtime
from shared.runtime.transient import retry_transient

BROKER_PATIENCE_S = 5.0
"""Longest time in seconds that the start waits for RabbitMQ; then HTTP is served without it, and commands are kept in
the outbox."""


@asynccontextmanager
async def app(settings: IngestSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Run ingest, which needs PostgreSQL to start, and RabbitMQ only for messages.

    Components are closed in reverse order: consumers and the HTTP server stop before what they depend on.
    """
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, "ingest", "services.ingest.persistence", SESSION)
        stack.push_async_callback(pool.close)
        publisher = await Publisher.open(settings.amqp_url, "ingest", wait=False)
        stack.push_async_callback(publisher.close)
        rpc_client = await RpcClient.open(settings.amqp_url, "ingest", wait=False)
        stack.push_async_callback(rpc_client.close)
        redis = RedisClient(settings.redis_url)
        stack.push_async_callback(redis.close)

        identity, identity_tasks = await open_identity(pool, redis, settings, runtime.health, _now)
        store, dedup_index = BatchStore(pool), DedupIndex(redis)
        registry, notifier = WorkloadRegistry(pool), NotifierRegistry(pool)
        await retry_transient(registry.reload, "PostgreSQL")
        await retry_transient(notifier.reload, "PostgreSQL")
        outbox = Outbox(pool, publisher, max_backlog=settings.max_backlog)
        aggregator, progress_hub = AggregatorClient(rpc_client), ProgressHub(redis)
        backpressure = Backpressure(pool, identity.limits, total=settings.max_waiting)
        await retry_transient(backpressure.refresh, "PostgreSQL")
        parts = (
            store,
            GroupCommit(store, outbox),
            outbox,
            registry,
            notifier,
            dedup_index,
            backpressure,
            identity.limits,
        )
        remote_files = open_remote_files(
            pool, store, registry, outbox, dedup_index, backpressure, settings, runtime.health
        )
        submitter, uploads = (
            BatchSubmitter(*parts, new_batch_id, _now, remote_files.rules, remote_files.wake),
            UploadService(*parts, new_batch_id, _now),
        )
        appender, finished = (
            BatchAppender(store, outbox, registry, dedup_index, backpressure),
            FinishedBatches(store, aggregator, backpressure),
        )
        control_handler = BatchControlHandler(
            store, outbox, aggregator, finished, RetryPreviewer(aggregator, registry), dedup_index, backpressure, _now
        )
        result_acceptor = ResultAcceptor(store, outbox, aggregator, finished)
        cache_invalidator, waiting_reasons = (
            CacheInvalidator(registry, publisher, AuditLog(pool), _now),
            WaitingReasons(aggregator),
        )
        scheduling = await open_scheduling(
            pool,
            outbox,
            submitter,
            appender,
            control_handler,
            aggregator,
            runtime.health,
            new_batch_id,
            _now,
            max_schedules=settings.max_schedules,
        )
        service = IngestService(
            submitter,
            uploads,
            appender,
            control_handler,
            result_acceptor,
            cache_invalidator,
            registry,
            aggregator,
            waiting_reasons,
            progress_hub,
            store,
            EstimateService(registry, aggregator, _now),
        )

        limit_manager = LimitManager(LimitStore(pool), identity.limits, outbox, backpressure.waiting)
        retention = open_retention(
            pool,
            store,
            outbox,
            aggregator,
            progress_hub,
            dedup_index,
            limit_manager,
            redis,
            registry,
            settings,
            runtime.health,
        )

        pulse = runtime.health.pulse
        outbox_task = BackgroundTask(
            pulse("outbox"),
            outbox.update,
            interval_s=INTERVAL_S,
            wake=outbox.wake,
            on_stop=outbox.close,
            tolerates_outages=True,
        )
        await stack.enter_async_context(runtime.running(outbox_task))
        exports = open_exports(
            pool,
            store,
            aggregator,
            registry,
            settings.exports_place,
            timedelta(days=settings.export_days),
            runtime.health,
            new_batch_id,
        )
        housekeeping = Housekeeping(
            uploads,
            IdleBatchStopper(store, outbox, dedup_index, _now, timedelta(seconds=settings.unsealed_idle_s)),
            registry,
            notifier,
            store,
            identity.keys,
            AuditLog(pool),
            scheduling.store,
            BulkStore(pool),
            run_age=timedelta(days=settings.run_days),
            audit_age=timedelta(days=settings.audit_days),
            audit_entries=settings.audit_entries,
        )
        event_subscriber = EventSubscriber(settings.amqp_url, progress_hub, backpressure, service.catch_up_all)
        background_tasks = (
            BackgroundTask(pulse("housekeeping"), housekeeping.tidy, interval_s=Housekeeping.INTERVAL_S),
            *retention.tasks,
            BackgroundTask(pulse("backpressure"), backpressure.update, interval_s=Backpressure.INTERVAL_S),
            BackgroundTask(
                pulse("progress reconciler"),
                ProgressReconciler(pool, aggregator, backpressure).reconcile,
                interval_s=ProgressReconciler.INTERVAL_S,
                tolerates_outages=True,
            ),
            BackgroundTask(
                pulse("batch actions"),
                BulkRunner(BulkStore(pool), aggregator, control_handler).update,
                interval_s=BulkRunner.INTERVAL_S,
            ),
            *exports.tasks,
            remote_files.task,
            BackgroundTask(
                pulse("event subscriber"),
                event_subscriber.update,
                interval_s=EventSubscriber.INTERVAL_S,
                on_stop=event_subscriber.close,
                tolerates_outages=True,
            ),
        )
        await stack.enter_async_context(runtime.running(*background_tasks, *identity_tasks, *scheduling.tasks))

        declarations = await stack.enter_async_context(QueueDeclarations.open(settings.topology_amqp_url))
        handlers = CommandHandlers(
            submitter,
            appender,
            control_handler,
            result_acceptor,
            cache_invalidator,
            waiting_reasons,
            registry,
            notifier,
            scheduling.templates,
            scheduling.schedules,
            declarations,
        )
        commands = await stack.enter_async_context(
            command_consumer(settings, publisher, handlers, identity.access.turns, _now)
        )
        consumer = service_consumer(
            settings,
            publisher,
            handlers,
            SourceExpansion(store, outbox, registry, dedup_index, backpressure),
            BatchResender(store, outbox, registry),
            QueryHandlers(scheduling.templates, scheduling.schedules),
            retention.deleter,
        )
        stack.push_async_callback(consumer.stop)
        await _start_consuming(
            stack, runtime, _consume(publisher, (consumer, commands), declarations, settings.topology)
        )

        server = HttpServer(
            build_app(
                service,
                identity,
                scheduling.templates,
                scheduling.schedules,
                scheduling.follow_ups,
                limit_manager,
                BatchRemedies(store, outbox, registry),
                retention.deleter,
                retention.manager,
                retention.eraser,
                OverviewReader(
                    aggregator,
                    backpressure,
                    scheduling.store,
                    SystemState(publisher.connection, redis, registry),
                    _now,
                ),
                BulkManager(BulkStore(pool), aggregator, new_batch_id, _now),
                BatchChecker(registry, notifier, backpressure, identity.limits, _now, remote_files.rules),
                exports.manager,
                max_websockets=settings.max_websockets,
                amqp_url=settings.amqp_url,
                clock=_now,
            ),
            settings.http_host,
            settings.http_port,
            _http_tls(settings),
        )
        serving = runtime.spawn(server.run(), "http")
        stack.push_async_callback(_stop_and_wait, server.stop, serving)

        runtime.health.add_readiness_check("http", lambda: server.started)
        runtime.health.add_readiness_check("messages", lambda: consumer.is_working and commands.is_working)
        yield


async def _start_consuming(stack: AsyncExitStack, runtime: Runtime, consuming: Coroutine[None, None, None]) -> None:
    """Consume messages until the stack is closed. Wait for the broker, but not for long: HTTP does without it."""
    task = runtime.spawn(consuming, "consumers")
    stack.push_async_callback(_stop_and_wait, task.cancel, task)
    await asyncio.wait([task], timeout=BROKER_PATIENCE_S)


async def _consume(
    publisher: Publisher,
    consumers: Sequence[Consumer | FairConsumer],
    declarations: QueueDeclarations,
    mode: TopologyMode,
) -> None:
    """Have the queues and consume them, as soon as the broker is available."""
    await declarations.declare()
    await prepare(publisher.connection, mode, "ingest")
    for each in consumers:
        await each.start()


async def _stop_and_wait(stop: Callable[[], object], task: "asyncio.Task[None]") -> None:
    """Ask a task to end, and wait until it has. The runtime reports its failure, if any."""
    stop()
    await asyncio.wait([task])


def _http_tls(settings: IngestSettings) -> ServerTls | None:
    if settings.http_tls_certificate_file is None or settings.http_tls_key_file is None:
        return None
    return ServerTls(settings.http_tls_certificate_file, settings.http_tls_key_file, settings.http_tls_client_ca_file)


def _now() -> datetime:
    return datetime.now(UTC)

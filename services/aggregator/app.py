"""The aggregator's composition: consumers, handlers and background tasks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from batchyard_contracts import topology
from batchyard_contracts.lease_token import LeaseTokens
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    BatchControlled,
    BatchRemedied,
    BatchSealed,
    BatchStopped,
    BatchWithdrawn,
    DeletionRequested,
    ItemsSettled,
    ResultsAccepted,
    SummaryCompleted,
    WorkerAnnounced,
)
from batchyard_contracts.v1.queries import (
    AttemptsQuery,
    BatchesQuery,
    EndsQuery,
    FailuresQuery,
    OutcomesQuery,
    ResultsQuery,
    SelectionQuery,
    SeriesQuery,
    StreamQuery,
)
from services.aggregator.domain.report import Report
from services.aggregator.domain.summary import SummaryRetryPolicy
from services.aggregator.handlers.attempts import AttemptsQueryHandler
from services.aggregator.handlers.batches import BatchHandler
from services.aggregator.handlers.deletions import DeletionHandler
from services.aggregator.handlers.large_results import LargeResults
from services.aggregator.handlers.leased_reports import LeasedReportDecoder
from services.aggregator.handlers.outcomes import OutcomeHandler
from services.aggregator.handlers.queries import QueryHandler
from services.aggregator.handlers.result_check import ResultCheck
from services.aggregator.handlers.result_stream import StreamHandler
from services.aggregator.handlers.series import SeriesQueryHandler
from services.aggregator.handlers.summaries import SummaryHandler
from services.aggregator.maintenance.reconciler import Reconciler
from services.aggregator.maintenance.stuck_detector import StuckDetector
from services.aggregator.maintenance.summary_requester import SummaryRequester
from services.aggregator.maintenance.summary_workers import SummaryWorkers
from services.aggregator.maintenance.tombstones import Tombstones
from services.aggregator.persistence.attempt_store import AttemptStore
from services.aggregator.persistence.schema_store import SchemaStore
from services.aggregator.persistence.series_store import SeriesStore
from services.aggregator.persistence.store import LedgerStore
from services.aggregator.persistence.stream_store import StreamStore
from services.aggregator.publishing.batch_changes import BatchChangePublisher
from services.aggregator.publishing.failure_events import FailureEvents
from services.aggregator.publishing.missing_items import MissingItems
from services.aggregator.publishing.progress_events import ProgressEvents
from services.aggregator.publishing.series_recorder import SeriesRecorder
from services.aggregator.settings import AggregatorSettings
from shared.artefacts.results import ResultStore
from shared.messaging.batch_consumer import BatchConsumer
from shared.messaging.connection import connect
from shared.messaging.consumer import Consumer
from shared.messaging.message_router import Route
from shared.messaging.publisher import Publisher
from shared.messaging.queue_depth import queue_depth
from shared.messaging.rpc_client import RpcClient
from shared.messaging.topology import prepare
from shared.postgres.outbox import INTERVAL_S, Outbox
from shared.postgres.pool import open_pool
from shared.runtime.background import BackgroundTask
from shared.runtime.process import Runtime

NAME = "aggregator"
_CONTROL_CONCURRENCY = 2
_BATCHES_PER_TRANSACTION = 200
_ASIDE_MESSAGES_PER_TRANSACTION = 4
"""Messages of many settled items per transaction; few, because each transaction holds the lock of its batch."""
_QUERY_CONCURRENCY = 5
SESSION = {"enable_bitmapscan": "off"}
"""Settings of PostgreSQL sessions. While the statistics do not know a new batch, a bitmap scan seems cheap: each page
of its outcomes would read and sort all that follow, which takes time by the square of the batch."""
_OUTBOX_CLEANUP_INTERVAL_S = 600.0
_DELETION_INTERVAL_S = 30.0
_SERIES_CLEANUP_INTERVAL_S = 600.0


@asynccontextmanager
async def app(settings: AggregatorSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Run the aggregator until the block is left; then finish and publish what is in progress, and disconnect."""
    health = runtime.health
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, NAME, "services.aggregator.persistence", SESSION)
        stack.push_async_callback(pool.close)
        publisher = await Publisher.open(settings.amqp_url, NAME)
        stack.push_async_callback(publisher.close)
        await prepare(publisher.connection, settings.topology, NAME)
        consuming = await connect(settings.amqp_url, f"{NAME}-consume")
        stack.push_async_callback(consuming.close)

        store = LedgerStore(pool)
        outbox = Outbox(pool, publisher, relay_interval_s=settings.aggregator_outbox_interval_s)
        progress = ProgressEvents(publisher.publish)
        failure_events = FailureEvents(publisher.publish)
        summary_wake = asyncio.Event()
        batch_changes = BatchChangePublisher(outbox, progress, summary_wake.set)
        retry_policy = SummaryRetryPolicy(settings.aggregator_summary_attempts, settings.aggregator_summary_timeout_s)
        summary_handler = SummaryHandler(store, batch_changes, _now)
        large_results = LargeResults(ResultStore.open(settings.results_place))
        result_check = ResultCheck(SchemaStore(pool), large_results=large_results)
        series_store = SeriesStore(pool)
        series_recorder = SeriesRecorder(series_store, _now)
        attempts = AttemptStore(pool)
        outcome_handler = OutcomeHandler(
            store, batch_changes, failure_events, _now, result_check, series_recorder, attempts, large_results
        )
        batch_handler = BatchHandler(store, batch_changes, MissingItems(store, publisher), _now)
        deletion_handler = DeletionHandler(store, pool, publisher, _now, large_results.files)
        query_handler = QueryHandler(store, progress, large_results)
        attempts_query_handler = AttemptsQueryHandler(store, attempts)
        series_query_handler = SeriesQueryHandler(store, series_store, _now)
        reconciler = Reconciler(store, batch_changes, _now, idle_s=settings.aggregator_reconcile_idle_s)
        rpc_client = await RpcClient.open(settings.amqp_url, NAME)
        stack.push_async_callback(rpc_client.close)
        summary_requester = SummaryRequester(
            store,
            publisher,
            batch_changes,
            _now,
            retry_policy,
            SummaryWorkers(consuming, rpc_client),
            settings.topology,
        )

        async def depth(queue: str) -> int:
            return await queue_depth(consuming, queue) or 0

        stuck_detector = StuckDetector(
            store, outbox, publisher, rpc_client, depth, _now, idle_s=settings.aggregator_stuck_sweep_s
        )
        tokens = LeaseTokens.parse(settings.lease_keys.get_secret_value())
        outcomes_consumer = BatchConsumer(
            consuming,
            publisher,
            topology.AGGREGATOR_OUTCOMES,
            (LeasedReportDecoder(tokens) if tokens else Report, ItemsSettled),
            outcome_handler.on_outcomes,
            health.pulse("outcomes"),
            max_messages=settings.aggregator_messages_per_transaction,
            linger_s=settings.aggregator_linger_ms / 1000,
        )
        batches_consumer = BatchConsumer(
            consuming,
            publisher,
            topology.AGGREGATOR_BATCHES,
            (BatchAccepted,),
            batch_handler.on_batches_accepted,
            health.pulse("batches"),
            max_messages=_BATCHES_PER_TRANSACTION,
        )
        aside_consumer = BatchConsumer(
            consuming,
            publisher,
            topology.AGGREGATOR_ASIDE,
            (ItemsSettled,),
            outcome_handler.on_outcomes,
            health.pulse("aside"),
            max_messages=_ASIDE_MESSAGES_PER_TRANSACTION,
        )
        consumer = Consumer(settings.amqp_url, publisher, NAME, anonymous_owner=settings.anonymous_owner)
        consumer.subscribe(
            topology.AGGREGATOR_CONTROL,
            (
                Route(BatchAccepted, batch_handler.on_batch_accepted),
                Route(BatchSealed, batch_handler.on_batch_sealed),
                Route(BatchWithdrawn, batch_handler.on_batch_withdrawn),
                Route(BatchControlled, batch_handler.on_batch_controlled),
                Route(BatchStopped, batch_handler.on_batch_stopped),
                Route(BatchRemedied, batch_handler.on_batch_remedied),
                Route(ResultsAccepted, batch_handler.on_results_accepted),
                Route(DeletionRequested, deletion_handler.on_deletion_requested),
                Route(SummaryCompleted, summary_handler.on_summary_completed),
            ),
            concurrency=_CONTROL_CONCURRENCY,
        )
        consumer.subscribe(topology.AGGREGATOR_WORKERS, (Route(WorkerAnnounced, result_check.on_worker_announced),))
        consumer.subscribe(
            topology.AGGREGATOR_QUERIES,
            (
                Route(BatchesQuery, query_handler.on_batches_query),
                Route(EndsQuery, query_handler.on_ends_query),
                Route(ResultsQuery, query_handler.on_results_query),
                Route(StreamQuery, StreamHandler(StreamStore(pool), large_results).on_stream_query),
                Route(OutcomesQuery, query_handler.on_outcomes_query),
                Route(FailuresQuery, query_handler.on_failures_query),
                Route(SelectionQuery, query_handler.on_selection_query),
                Route(AttemptsQuery, attempts_query_handler.on_attempts_query),
                Route(SeriesQuery, series_query_handler.on_series_query),
            ),
            concurrency=_QUERY_CONCURRENCY,
        )
        for task in (  # stopped in reverse order, so that the last outcomes are published
            BackgroundTask(
                health.pulse("outbox"), outbox.update, interval_s=INTERVAL_S, wake=outbox.wake, on_stop=outbox.close
            ),
            BackgroundTask(health.pulse("outbox cleanup"), outbox.delete_sent, interval_s=_OUTBOX_CLEANUP_INTERVAL_S),
            BackgroundTask(
                health.pulse("progress"),
                progress.publish_due,
                interval_s=ProgressEvents.IDLE_S,
                wake=progress.wake,
                on_stop=progress.publish_rest,
            ),
            BackgroundTask(
                health.pulse("failure events"),
                failure_events.publish_queued,
                interval_s=FailureEvents.INTERVAL_S,
                wake=failure_events.wake,
                on_stop=failure_events.publish_rest,
            ),
            BackgroundTask(
                health.pulse("series"),
                series_recorder.save,
                interval_s=SeriesRecorder.INTERVAL_S,
                on_stop=series_recorder.save_rest,
                tolerates_outages=True,
            ),
            BackgroundTask(
                health.pulse("series cleanup"),
                series_store.delete_old,
                interval_s=_SERIES_CLEANUP_INTERVAL_S,
                tolerates_outages=True,
            ),
            BackgroundTask(
                health.pulse("reconciler", limit_s=180),
                reconciler.reconcile_next,
                interval_s=settings.aggregator_reconcile_interval_s,
                delay_s=settings.aggregator_reconcile_interval_s,
            ),
            BackgroundTask(
                health.pulse("stuck detector"),
                stuck_detector.sweep,
                interval_s=settings.aggregator_stuck_sweep_s,
                delay_s=settings.aggregator_stuck_sweep_s,
            ),
            BackgroundTask(
                health.pulse("deletions"),
                deletion_handler.deletions.update,
                interval_s=_DELETION_INTERVAL_S,
                wake=deletion_handler.deletions.wake,
            ),
            BackgroundTask(
                health.pulse("tombstones"),
                Tombstones(pool, large_results.files, deletion_handler.delete_stub, settings.deletion_days).forget,
                interval_s=Tombstones.INTERVAL_S,
                tolerates_outages=True,
            ),
            BackgroundTask(
                health.pulse("summary requester"),
                summary_requester.request_next,
                interval_s=SummaryRequester.INTERVAL_S,
                wake=summary_wake,
            ),
            outcomes_consumer,
            aside_consumer,
            batches_consumer,
        ):
            await stack.enter_async_context(runtime.running(task))
        health.add_readiness_check("rabbitmq", consuming.connected.is_set)
        health.add_readiness_check("outbox", lambda: outbox.is_working)  # stricter than that of the task
        health.add_readiness_check("messages", lambda: consumer.is_working)
        await consumer.start()
        stack.push_async_callback(consumer.stop)
        yield


def _now() -> datetime:
    return datetime.now(UTC)

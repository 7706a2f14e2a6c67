"""Wires the consumer of what services send, and of queries."""

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import (
    BatchResend,
    DeletionCompleted,
    NotifierAnnounced,
    SourceEnded,
    SourceExpanded,
    WorkerAnnounced,
)
from services.ingest.api.amqp import CommandHandlers
from services.ingest.api.queries import QueryHandlers
from services.ingest.maintenance.batch_resender import BatchResender
from services.ingest.retention.batch_deleter import BatchDeleter
from services.ingest.settings import IngestSettings
from services.ingest.submission.source_expansion import SourceExpansion
from shared.messaging.consumer import Consumer
from shared.messaging.message_router import Route
from shared.messaging.publisher import Publisher

MAX_CONCURRENT_SOURCES = 4
_QUERY_CONCURRENCY = 8


def service_consumer(
    settings: IngestSettings,
    publisher: Publisher,
    handlers: CommandHandlers,
    sources: SourceExpansion,
    resender: BatchResender,
    queries: QueryHandlers,
    deleter: BatchDeleter,
) -> Consumer:
    """Return the consumer, which has to be started and stopped."""
    consumer = Consumer(settings.amqp_url, publisher, "ingest", anonymous_owner=settings.anonymous_owner)
    consumer.subscribe(topology.INGEST_QUERIES, queries.routes, concurrency=_QUERY_CONCURRENCY)
    consumer.subscribe(
        topology.INGEST_SOURCES,
        [
            Route(SourceExpanded, sources.on_source_expanded),
            Route(SourceEnded, sources.on_source_ended),
            Route(BatchResend, resender.on_batch_resend),
            Route(DeletionCompleted, deleter.on_deletion_completed),
        ],
        concurrency=MAX_CONCURRENT_SOURCES,
    )
    consumer.subscribe(
        topology.INGEST_WORKERS,
        [
            Route(WorkerAnnounced, handlers.on_worker_announced),
            Route(NotifierAnnounced, handlers.on_notifier_announced),
        ],
        concurrency=1,
    )
    return consumer

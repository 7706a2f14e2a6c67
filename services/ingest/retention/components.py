"""The components of retention and deletion, wired to each other."""

from dataclasses import dataclass

from services.ingest.limits.limit_manager import LimitManager
from services.ingest.persistence.deletion_store import DeletionStore
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.progress.hub import ProgressHub
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.retention.batch_deleter import BatchDeleter
from services.ingest.retention.owner_eraser import OwnerEraser
from services.ingest.retention.retention_manager import RetentionManager
from services.ingest.retention.retention_sweeper import RetentionSweeper
from services.ingest.retention.shared_results import SharedResults
from services.ingest.settings import IngestSettings
from services.ingest.submission.dedup_index import DedupIndex
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Pool
from shared.redis.client import RedisClient
from shared.runtime.background import BackgroundTask
from shared.runtime.health import Health


@dataclass(frozen=True, slots=True)
class RetentionParts:
    """Components that delete batches and owners, change the rules, and go by them."""

    deleter: BatchDeleter
    manager: RetentionManager
    eraser: OwnerEraser
    tasks: tuple[BackgroundTask, ...]


def open_retention(
    pool: Pool,
    store: BatchStore,
    outbox: Outbox,
    aggregator: AggregatorClient,
    progress_hub: ProgressHub,
    dedup_index: DedupIndex,
    limits: LimitManager,
    redis: RedisClient,
    registry: WorkloadRegistry,
    settings: IngestSettings,
    health: Health,
) -> RetentionParts:
    """Return the components; the tasks are to be run."""
    deletions = DeletionStore(pool)
    sweeper = RetentionSweeper(deletions, outbox, settings.retention, settings.deletion_days)
    eraser = OwnerEraser(pool, outbox, limits, SharedResults(redis), registry)
    return RetentionParts(
        BatchDeleter(store, deletions, outbox, aggregator, progress_hub, dedup_index),
        RetentionManager(deletions, settings.retention),
        eraser,
        (
            BackgroundTask(health.pulse("retention"), sweeper.sweep, interval_s=RetentionSweeper.INTERVAL_S),
            BackgroundTask(health.pulse("erasure"), eraser.step, interval_s=OwnerEraser.INTERVAL_S),
        ),
    )

"""Puts the parts of remote files together."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from services.ingest.domain.remote_file import RemoteFileRules
from services.ingest.persistence.remote_file_store import RemoteFileStore
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.remote_files.file_runner import RemoteFileRunner
from services.ingest.remote_files.openers import Openers
from services.ingest.settings import IngestSettings
from services.ingest.submission.backpressure import Backpressure
from services.ingest.submission.dedup_index import DedupIndex
from shared.artefacts.store import fault_of
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Pool
from shared.runtime.background import BackgroundTask
from shared.runtime.errors import ConfigurationError
from shared.runtime.health import Health


class RemoteFileParts(NamedTuple):
    """Rules for remote files, the function that begins to read new ones, and the task that reads them."""

    rules: RemoteFileRules
    wake: Callable[[], None]
    task: BackgroundTask


def open_remote_files(
    pool: Pool,
    batches: BatchStore,
    registry: WorkloadRegistry,
    outbox: Outbox,
    dedup_index: DedupIndex,
    backpressure: Backpressure,
    settings: IngestSettings,
    health: Health,
) -> RemoteFileParts:
    """Return the parts of remote files; raises `ConfigurationError` where the library for buckets is
    missing."""
    if settings.remote_files_buckets and (fault := fault_of(settings.remote_files_place)):
        raise ConfigurationError(f"BATCHYARD_REMOTE_FILES_BUCKETS {fault} where ingest runs.")
    runner = RemoteFileRunner(
        RemoteFileStore(pool),
        batches,
        registry,
        outbox,
        dedup_index,
        backpressure,
        Openers(settings.remote_files_networks, settings.remote_files_place),
        max_bytes=settings.remote_files_max_bytes,
        max_age=timedelta(hours=settings.remote_files_hours),
    )
    task = BackgroundTask(
        health.pulse("remote files"),
        runner.update,
        interval_s=RemoteFileRunner.INTERVAL_S,
        wake=runner.wake,
        on_stop=runner.close,
        tolerates_outages=True,
    )
    rules = RemoteFileRules(settings.remote_files_networks, settings.remote_files_buckets)
    return RemoteFileParts(rules, runner.wake.set, task)

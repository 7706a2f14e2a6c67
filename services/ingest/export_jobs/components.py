"""Puts the parts of exports together."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from services.ingest.export_jobs.export_cleaner import ExportCleaner
from services.ingest.export_jobs.export_manager import ExportManager
from services.ingest.export_jobs.export_runner import ExportRunner
from services.ingest.persistence.export_store import ExportStore
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.queries.aggregator_client import AggregatorClient
from shared.artefacts.store import StorePlace, fault_of, open_store
from shared.postgres.pool import Pool
from shared.runtime.background import BackgroundTask
from shared.runtime.errors import ConfigurationError
from shared.runtime.health import Health

_PULSE_S = 900.0
"""Longest time in seconds that one part of an export takes, whose store may be slow."""


class Exports(NamedTuple):
    """Exports as clients see them, and the tasks that write and delete them."""

    manager: ExportManager
    tasks: tuple[BackgroundTask, ...]


def open_exports(
    pool: Pool,
    batches: BatchStore,
    aggregator: AggregatorClient,
    registry: WorkloadRegistry,
    place: StorePlace,
    age: timedelta,
    health: Health,
    new_id: Callable[[], UUID],
) -> Exports:
    """Return the parts of exports, which keep their files at a place until they have this age; raises
    `ConfigurationError` where a library for the place is missing."""
    if place.bucket is not None and (fault := fault_of(place)):
        raise ConfigurationError(f"BATCHYARD_EXPORTS_STORE {fault} where ingest runs.")
    files, store = open_store(place), ExportStore(pool)
    runner = ExportRunner(store, batches, aggregator, registry, files)
    writing = BackgroundTask(
        health.pulse("exports", _PULSE_S), runner.update, interval_s=ExportRunner.INTERVAL_S, tolerates_outages=True
    )
    cleaning = BackgroundTask(
        health.pulse("old exports", _PULSE_S),
        ExportCleaner(store, files, age).clean,
        interval_s=ExportCleaner.INTERVAL_S,
        tolerates_outages=True,
    )
    return Exports(ExportManager(store, files, lambda: fault_of(place), new_id), (writing, cleaning))

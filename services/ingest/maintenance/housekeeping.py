"""Runs periodic maintenance: renews leases of uploads, stops idle batches, reloads the registry, deletes old
commands."""

import asyncio
from contextlib import suppress

import structlog

from services.ingest.maintenance.idle_batches import IdleBatchStopper
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.submission.upload_service import UploadService
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
INTERVAL_S = 2.0
_DELETE_CONTROLS_TICKS = 1800


class Housekeeping:
    """A loop of small tasks. When one fails for a while, all are tried again at the next tick."""

    def __init__(
        self,
        uploads: UploadService,
        idle_batch_stopper: IdleBatchStopper,
        registry: WorkloadRegistry,
        store: BatchStore,
        pulse: Pulse,
    ) -> None:
        self._uploads = uploads
        self._idle_batch_stopper = idle_batch_stopper
        self._registry = registry
        self._store = store
        self._pulse = pulse
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Run the tasks until `stop`."""
        tick = 0
        while not self._stopping.is_set():
            self._pulse.beat()
            try:
                await self._uploads.renew_leases()
                await self._idle_batch_stopper.stop_idle()
                await self._registry.reload()
                if tick % _DELETE_CONTROLS_TICKS == 0:
                    await self._store.delete_old_controls()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("housekeeping is delayed", error=f"{type(error).__name__}: {error}")
            tick += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_S):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

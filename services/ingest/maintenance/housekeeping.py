"""Looks after what nobody waits for: leases of uploads, batches never sealed, the registry, old commands."""

import asyncio
from contextlib import suppress

import structlog

from services.ingest.maintenance.idle_batches import Expiry
from services.ingest.persistence.store import Store
from services.ingest.persistence.workload_registry import Registry
from services.ingest.submission.upload_service import Uploads
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
TICK_S = 2.0
_PRUNE_TICKS = 1800


class Caretaker:
    """A loop of small chores, each of which may be left out once."""

    def __init__(self, uploads: Uploads, expiry: Expiry, registry: Registry, store: Store, pulse: Pulse) -> None:
        self._uploads = uploads
        self._expiry = expiry
        self._registry = registry
        self._store = store
        self._pulse = pulse
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Do the chores until `stop`."""
        tick = 0
        while not self._stopping.is_set():
            self._pulse.beat()
            try:
                await self._uploads.renew()
                await self._expiry.sweep()
                await self._registry.reload()
                if tick % _PRUNE_TICKS == 0:
                    await self._store.prune()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("chores wait", error=f"{type(error).__name__}: {error}")
            tick += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

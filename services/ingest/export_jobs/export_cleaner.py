"""Deletes old exports, and those of deleted batches, with their files."""

from datetime import timedelta
from typing import ClassVar

import structlog

from services.ingest.persistence.export_store import ExportStore
from shared.artefacts.store import ArtefactStore, StoreFailed, StoreRefused

log = structlog.get_logger()
_MOST_AT_A_TIME = 20


class ExportCleaner:
    """Step of every replica. It may be repeated: the row of an export goes after its files."""

    INTERVAL_S: ClassVar[float] = 30.0

    def __init__(self, store: ExportStore, files: ArtefactStore, age: timedelta) -> None:
        self._store, self._files, self._age = store, files, age

    async def clean(self) -> float | None:
        """Delete some exports that ended longer ago, or whose batch was deleted; return 0 if there may be more."""
        jobs = await self._store.old(self._age, _MOST_AT_A_TIME)
        for job in jobs:
            try:
                await self._files.delete(job.file_names)
            except (StoreFailed, StoreRefused) as error:
                log.warning("files of an old export are not deleted", export_id=str(job.export_id), error=str(error))
                return None
            await self._store.delete(job)
        return 0.0 if len(jobs) == _MOST_AT_A_TIME else None

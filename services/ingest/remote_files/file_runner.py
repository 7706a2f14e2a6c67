"""Reads remote files in the background, those of several batches at a time.

Each process claims batches that no other reads. An owner has a few readers of each process, so that slow servers that
one owner names do not keep the files of others waiting.
"""

import asyncio
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import ClassVar

import structlog

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.remote_file import MAX_ATTEMPTS, FileAway, RemoteFilesJob, pause_s
from services.ingest.persistence.remote_file_store import RemoteFileStore
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.remote_files.batch_reader import BatchReader, ReadingLost
from services.ingest.remote_files.openers import Openers
from services.ingest.submission.backpressure import Backpressure
from services.ingest.submission.dedup_index import DedupIndex
from shared.postgres.outbox import Outbox
from shared.runtime.transient import is_transient

log = structlog.get_logger()
MAX_READERS, MAX_READERS_OF_OWNER = 8, 2


class RemoteFileRunner:
    """Step of every replica, see above."""

    INTERVAL_S: ClassVar[float] = 1.0

    def __init__(
        self,
        files: RemoteFileStore,
        batches: BatchStore,
        registry: WorkloadRegistry,
        outbox: Outbox,
        dedup_index: DedupIndex,
        backpressure: Backpressure,
        openers: Openers,
        *,
        max_bytes: int,
        max_age: timedelta,
    ) -> None:
        self._files, self._batches, self._registry, self._openers = files, batches, registry, openers
        self._reader = partial(
            BatchReader,
            files=files,
            batches=batches,
            outbox=outbox,
            dedup_index=dedup_index,
            backpressure=backpressure,
            max_bytes=max_bytes,
        )
        self._max_age = max_age
        self._running: dict[asyncio.Task[None], str] = {}
        self.wake = asyncio.Event()
        """Set when there may be files to read."""

    async def update(self) -> float | None:
        """Claim a batch and begin to read its files; 0 if there may be more."""
        if len(self._running) >= MAX_READERS:
            return None
        readers = Counter(self._running.values())
        job = await self._files.claim([owner for owner, number in readers.items() if number >= MAX_READERS_OF_OWNER])
        if job is None:
            return None
        task = asyncio.create_task(self._read(job))
        self._running[task] = job.owner
        task.add_done_callback(self._on_done)
        return 0.0

    async def close(self) -> None:
        """Stop reading, and give the claims up."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._openers.close()

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        del self._running[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("remote files left to their lease", error=f"{type(error).__name__}: {error}"[:300])
        self.wake.set()

    async def _read(self, job: RemoteFilesJob) -> None:
        reader: BatchReader | None = None
        try:
            header = await self._batches.get(job.batch_id, job.owner)
            if header is None or header.state != "open":
                await self._files.discard(job)
                return
            workload = await self._registry.get(header.workload)
            opener = self._openers.of(job.form)
            reader = self._reader(job, header, workload, opener, read_until=job.created_at + self._max_age)
            await reader.run()
        except ReadingLost:
            log.info("remote files left", batch_id=str(job.batch_id))
        except (FileAway, IngestError) as error:
            await self._postpone(job, reader, str(error))
        except asyncio.CancelledError:
            await asyncio.shield(self._files.release(job, reader.progress if reader else job.progress, timedelta()))
            raise
        except Exception as error:
            if is_transient(error):
                log.warning("remote files left to their lease", error=f"{type(error).__name__}: {error}"[:300])
                return
            log.exception("remote files met a defect", batch_id=str(job.batch_id))
            await self._postpone(job, reader, f"A defect: {type(error).__name__}. The log has the details.")

    async def _postpone(self, job: RemoteFilesJob, reader: BatchReader | None, reason: str) -> None:
        """Let the files be read on after a pause; in the end let the one that is away fail."""
        progress = reader.progress if reader else job.progress
        attempts = progress.attempts + 1
        log.warning("remote files wait", batch_id=str(job.batch_id), attempts=attempts, reason=reason)
        try:
            if attempts >= MAX_ATTEMPTS and reader is not None:
                await reader.give_up("file_unavailable", f"{reason} It was tried {attempts} times.")
                await self._files.release(job, reader.progress, timedelta())
                return
            later = progress.model_copy(update={"attempts": attempts})
            await self._files.release(job, later, timedelta(seconds=pause_s(attempts)))
        except (ReadingLost, FileAway):
            log.info("remote files left", batch_id=str(job.batch_id))
